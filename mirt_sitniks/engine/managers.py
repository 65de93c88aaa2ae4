"""The one cached list of managers of a process."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from mirt_sitniks.core.chats import finished
from mirt_sitniks.core.managers import Assignee, Manager, NoManager, WantedManagers, pick
from mirt_sitniks.core.rounds import CallOutcome
from mirt_sitniks.core.stages import Role
from mirt_sitniks.crm.calls import ListManagers, Page

LISTED_FOR, MISSED_FOR = 600.0, 60.0


@dataclass
class ManagerList:
    """The managers' list of one process: read once for all sessions, kept ten minutes.

    A name that was not on the list is not asked for again for one minute. `clock` is monotonic.
    """

    wanted: WantedManagers
    clock: Callable[[], float]
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _listed: tuple[Manager, ...] | None = None
    _read_at: float = 0.0
    _pages: list[Manager] = field(default_factory=list)
    _skip: int = 0
    _unlisted_until: float = -math.inf

    def pick(self, role: Role, who: int | None = None) -> Assignee | NoManager | None:
        """The person for `role`, or None when `call()` has to be sent first; `who` is the live manager in turn."""
        age = self.clock() - self._read_at
        assignee = pick(role, self.wanted, self._listed if age < LISTED_FOR else None, who)
        return None if isinstance(assignee, NoManager) and age >= MISSED_FOR else assignee

    @property
    def ids(self) -> tuple[int, ...]:
        """All people of the account, when they were listed lately."""
        fresh = self.clock() - self._read_at < LISTED_FOR
        return tuple(one.id for one in self._listed or ()) if fresh else ()

    @property
    def can_be_listed(self) -> bool:
        """Whether no key was refused the list within the last minute."""
        return self.clock() >= self._unlisted_until

    def refused(self) -> None:
        """The key may not list anybody."""
        self._unlisted_until = self.clock() + MISSED_FOR

    async def read(
        self, role: Role | None, send: Callable[[ListManagers], Awaitable[tuple[Any, CallOutcome]]]
    ) -> CallOutcome:
        """Read a page of the list, unless another drive has done it meanwhile; for `role`, or to know who they are."""
        async with self.lock:
            if self.pick(role) if role else self.ids:
                return CallOutcome(managers=self.ids)
            call = self.call()
            page, outcome = await send(call)
            if page:
                self.learn(call, page)
            return replace(outcome, managers=self.ids)

    def call(self) -> ListManagers:
        """The next page of the list."""
        return ListManagers(skip=self._skip)

    def learn(self, call: ListManagers, page: Page[Manager]) -> None:
        """Take in the answer to `call`; the list counts once its last page is in (at most ten pages)."""
        if call.skip != self._skip:
            return
        fresh = [one for one in page.items if one not in self._pages]
        self._pages.extend(fresh)
        self._skip += page.raw
        if not fresh or finished(self._skip, page.raw, page.total):
            self._listed, self._read_at = tuple(self._pages), self.clock()
            self._pages, self._skip = [], 0
