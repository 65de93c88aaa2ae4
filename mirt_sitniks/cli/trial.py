"""The trial of `doctor --chat`: every call on one chat, which then is as it was before."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mirt_sitniks.cli.trial_back import PutBack, Values
from mirt_sitniks.cli.trial_facts import Listing, Write, dates_of, names, paging, right_of, shows, taken, windows
from mirt_sitniks.core.backoff import KEY_CODES
from mirt_sitniks.core.chats import CLOCK_SLACK, Chat
from mirt_sitniks.core.managers import Manager, fold_name
from mirt_sitniks.crm.calls import Call, GetChat, ListChats, ListManagers, SetStatus, UpdateChat, kind_of
from mirt_sitniks.errors import CrmError, RateLimited, SitniksError

MOST = 15
WIDE, PAGE = timedelta(days=30), 50


CALLS: Mapping[str, Callable[[str, Any], Call]] = {"status": SetStatus, "assign": UpdateChat}


class Meddled(Exception):
    """Somebody else works in the chat: nothing more is tried on it."""


@dataclass
class Trial:
    """`call` sends within the shared budget; `landing` is how long a write without an answer can still land.

    `statuses` and `people` (ids) are what is tried, the first that is not there already. `managers` are the account's
    people, None when they cannot be listed. `mine` has what the store wants of the chat, by kind of write, when a stage
    has come to it since the trial began. `say` tells a person what is being waited for.
    """

    call: Callable[..., Awaitable[Any]]
    chat_id: str
    statuses: Sequence[str]
    people: Sequence[int]
    managers: Sequence[Manager] | None
    landing: float
    mine: Callable[[], Awaitable[Values]]
    say: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep
    now: Chat | None = None
    trouble: SitniksError | Meddled | None = None
    writes: list[Write] = field(default_factory=list)
    listings: list[Listing] = field(default_factory=list)
    rights: dict[str, str] = field(default_factory=dict)
    pages: dict[str, Any] = field(default_factory=dict)
    back: PutBack = field(init=False)

    def __post_init__(self) -> None:
        self.back = PutBack(self._send, self._shown, self.mine, self.say, self.clock, self.sleep)

    @property
    def was(self) -> Values:
        """What the chat showed before, by kind of write."""
        return self.back.was

    async def look(self) -> None:
        """See how the chat is; raises `CrmError` when it cannot be read."""
        self.back.was = await self._shown()

    async def run(self) -> None:
        """All else. Whatever ends it, a cancellation too, what was there is put back; `left` has what could not be, and
        `trouble` what came in between. A second cancellation ends that as well."""
        cancelled = False
        try:
            await self._try_managers()
            await self._round(self.was)
            await self._round(self._others())
            await self.back.run(self._values(self.now))
            if not self.back.left:
                # What was not seen there is looked for once more at the end: it may be slow.
                for one in self.writes:
                    if one.read and one.after != one.value:
                        self.back.expect(one.kind, one.value)
                await self._try_lists()
        except (SitniksError, Meddled) as error:
            self.trouble = error
        except asyncio.CancelledError:
            cancelled = True
            raise
        finally:
            try:
                await self.back.run()
            except asyncio.CancelledError:
                if not cancelled:
                    await self.back.run()
                raise

    @property
    def left(self) -> dict[str, tuple[Any, Any]]:
        """By kind of write what was there, and what was seen there last, of all that may not be as it was."""
        shown = self._values(self.now)
        return {kind: (self.was[kind], shown[kind]) for kind in self.back.left}

    @property
    def is_as_before(self) -> bool:
        """Whether it was as before when it was seen last: a person may have changed it, and that stays."""
        return self._values(self.now) == self.was

    def facts(self) -> dict[str, Any]:
        """How the account answers, in our words alone."""
        chats = [chat for page in self.listings for chat in page.chats] + ([self.now] if self.now else [])
        return {
            "kinds": self.rights | {kind: taken(self.writes, kind) for kind in CALLS},
            "answers_show": {kind: shows(self.writes, kind) for kind in CALLS},
            "dates": dates_of(self.listings, self.now) if self.now else "unknown",
            "responsible_shown_by": names(chats),
            "pages": self.pages,
        }

    # Reading

    async def _read(self) -> Chat:
        chat: Chat = await self._asked(GetChat(self.chat_id))
        self.now = chat
        return chat

    async def _shown(self) -> Values:
        return self._values(await self._read())

    async def _send(self, kind: str, value: Any, ahead: float = 0.0) -> Chat | None:
        answer: Chat | None = await self.call(CALLS[kind](self.chat_id, value), ahead=ahead)
        return answer

    async def _asked(self, call: Call) -> Any:
        kind = kind_of(call)
        try:
            answer = await self.call(call)
        except CrmError as error:
            self.rights[kind] = right_of(error)
            raise
        self.rights[kind] = "ok"
        return answer

    async def _listed(self, call: Call) -> Any:
        """A page; None when this account does not give it."""
        try:
            return await self._asked(call)
        except RateLimited:
            raise
        except CrmError as error:
            if error.code in KEY_CODES:
                raise
            return None

    async def _try_managers(self) -> None:
        call = ListManagers(skip=1 if self.managers and len(self.managers) > 1 else 0, limit=1)
        if page := await self._listed(call):
            known = len(self.managers) if self.managers is not None else None
            self.pages["managers"] = paging(call.limit, page.raw, page.total, known)

    async def _try_lists(self) -> None:
        now = datetime.now(UTC)
        wide = (now - WIDE, now + timedelta(seconds=CLOCK_SLACK))
        for since, until in [wide, *(windows(self.now) if self.now else ())]:
            page = await self._listed(ListChats(since, until, limit=PAGE))
            if page is None:
                return
            self.listings.append(Listing(since, until, page.items, page.raw))
            self.pages.setdefault("chats", paging(PAGE, page.raw, page.total))

    def _values(self, chat: Chat | None) -> dict[str, Any]:
        """What a chat shows, as its writes have it."""
        return {"status": chat and chat.status, "assign": chat and self._manager(chat)}

    def _manager(self, chat: Chat) -> int | None:
        """The id of who has it; a name that two have is nobody's."""
        name = fold_name(chat.manager_name or "")
        named = [one.id for one in self.managers or () if name and fold_name(one.name) == name]
        return chat.manager_id or (named[0] if len(named) == 1 else None)

    # Writing

    def _others(self) -> Values:
        """Something else than what is there: of each kind that is not refused, and that can be told by what the chat
        shows."""
        told = {one.id for one in self.managers or ()} if self.now and not self.now.manager_id else {*self.people}
        choices = {"status": self.statuses, "assign": [one for one in self.people if one in told]}
        found = {kind: next((one for one in choices[kind] if one != self.was[kind]), None) for kind in CALLS}
        return {kind: value for kind, value in found.items() if self._is_safe(kind)}

    def _is_safe(self, kind: str) -> bool:
        """Whether what is there was written again without a refusal, so that it can be put back."""
        return self.was[kind] is not None and taken(self.writes, kind) == "untried"

    async def _round(self, values: Values) -> None:
        """Write fields one after the other, and read what has become of all."""
        begun = len(self.writes)
        for kind, value in values.items():
            if value is None:
                continue
            if await self.mine():
                raise Meddled
            await self._write(kind, value)
        if begun == len(self.writes):
            return
        shown = self._values(await self._read())
        self.writes[begun:] = [replace(one, read=True, after=shown[one.kind]) for one in self.writes[begun:]]
        if any(shown[one.kind] not in (one.value, one.before) for one in self.writes[begun:]):
            raise Meddled

    async def _write(self, kind: str, value: Any) -> None:
        done = Write(kind, self.was[kind], value)
        # Said before it is known: the call may be cut off while it is under way.
        before = self.back.expect(kind, value, self.clock() + self.landing)
        try:
            answer = await self._send(kind, value)
        except CrmError as error:
            self.back.lands_at = self.back.lands_at if error.unconfirmed else before
            self.writes.append(replace(done, error=error))
            if isinstance(error, RateLimited) or error.code in KEY_CODES:
                raise
            return
        self.back.lands_at = before
        self.writes.append(replace(done, told=answer is not None, shown=self._values(answer)[kind]))
