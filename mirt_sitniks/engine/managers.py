"""The one cached list of managers of a process."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from mirt_sitniks.core.chats import finished
from mirt_sitniks.core.managers import Assignee, Manager, NoManager, WantedManagers, pick
from mirt_sitniks.core.stages import Role
from mirt_sitniks.crm.calls import ListManagers, Page

LISTED_FOR, MISSED_FOR = 600.0, 60.0


@dataclass
class ManagerList:
    """The managers' list of one process: read once for all sessions, kept ten minutes.

    A name that was not on the list is not asked for again for one minute, nor is a list that may not be read. `clock`
    is monotonic.
    """

    wanted: WantedManagers
    clock: Callable[[], float]
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _listed: tuple[Manager, ...] | None = None
    _read_at: float = 0.0
    _refused: tuple[float, NoManager] | None = None
    _pages: list[Manager] = field(default_factory=list)
    _skip: int = 0

    def pick(self, role: Role) -> Assignee | NoManager | None:
        """The person for `role`, or None when `call()` has to be sent first."""
        age = self.clock() - self._read_at
        assignee = pick(role, self.wanted, self._listed if age < LISTED_FOR else None)
        if assignee is None or (isinstance(assignee, NoManager) and age >= MISSED_FOR):
            until, nobody = self._refused or (0.0, None)
            return nobody if self.clock() < until else None
        return assignee

    @property
    def ids(self) -> tuple[int, ...]:
        """All people of the account, when they were listed lately."""
        fresh = self.clock() - self._read_at < LISTED_FOR
        return tuple(one.id for one in self._listed or ()) if fresh else ()

    def call(self) -> ListManagers:
        """The next page of the list."""
        return ListManagers(skip=self._skip)

    def refuse(self, message: str) -> None:
        """The list may not be read: for a minute there is nobody, unless the settings name him by id."""
        self._refused = self.clock() + MISSED_FOR, NoManager(message, "forbidden")

    def learn(self, call: ListManagers, page: Page[Manager]) -> None:
        """Take in the answer to `call`; the list counts once its last page is in (at most ten pages)."""
        if call.skip != self._skip:
            return
        self._pages.extend(page.items)
        self._skip += page.raw
        if finished(self._skip, page.raw, page.total):
            self._listed, self._read_at = tuple(self._pages), self.clock()
            self._pages, self._skip = [], 0
