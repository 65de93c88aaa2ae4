"""The trial of `doctor --chat`: every call on one chat, which then is as it was before."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mirt_sitniks.cli.trial_facts import Listing, Write, dates_of, names, paging, right_of, shows, taken, windows
from mirt_sitniks.core.backoff import KEY_CODES
from mirt_sitniks.core.chats import CLOCK_SLACK, Chat
from mirt_sitniks.core.managers import Manager, fold_name
from mirt_sitniks.crm.calls import Call, GetChat, ListChats, ListManagers, SetStatus, UpdateChat, kind_of
from mirt_sitniks.errors import CrmError, RateLimited, SitniksError

MOST = 15
WIDE, PAGE = timedelta(days=30), 50
# After how many seconds it is tried again to put back what was there, how long a key rests at least, and how many
# seconds earlier such a call counts than others that wait for the budget.
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
REST, AHEAD = 60.0, 3600.0
CALLS: Mapping[str, Callable[[str, Any], Call]] = {"status": SetStatus, "assign": UpdateChat}
Values = Mapping[str, Any]


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
    was: dict[str, Any] = field(default_factory=dict)
    trouble: SitniksError | Meddled | None = None
    writes: list[Write] = field(default_factory=list)
    listings: list[Listing] = field(default_factory=list)
    rights: dict[str, str] = field(default_factory=dict)
    pages: dict[str, Any] = field(default_factory=dict)
    # What was written and may be there, by kind of write; of which kinds it was seen there; until when more can land.
    _open: dict[str, set[Any]] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)
    _lands_at: float = 0.0

    async def look(self) -> None:
        """See how the chat is; raises `CrmError` when it cannot be read."""
        self.was = self._values(await self._read())

    async def run(self) -> None:
        """All else. Whatever ends it, a cancellation too, what was there is put back; `left` has what could not be, and
        `trouble` what came in between. A second cancellation ends that as well."""
        cancelled = False
        try:
            await self._try_managers()
            await self._round(self.was)
            await self._round(self._others())
            await self._put_back(self.now)
            if not self._open:
                # What was not seen there is looked for once more at the end: it may be slow.
                self._open = {one.kind: {one.value} for one in self.writes if one.read and one.after != one.value}
                await self._try_lists()
        except (SitniksError, Meddled) as error:
            self.trouble = error
        except asyncio.CancelledError:
            cancelled = True
            raise
        finally:
            try:
                await self._put_back()
            except asyncio.CancelledError:
                if not cancelled:
                    await self._put_back()
                raise

    @property
    def left(self) -> dict[str, tuple[Any, Any]]:
        """By kind of write what was there, and what was seen there last, of all that may not be as it was."""
        shown = self._values(self.now)
        return {kind: (self.was[kind], shown[kind]) for kind, ours in self._open.items() if ours - {self.was[kind]}}

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
            self._open.setdefault(kind, set()).add(value)
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
        self._lands_at, before = self.clock() + self.landing, self._lands_at
        try:
            answer: Chat | None = await self.call(CALLS[kind](self.chat_id, value))
        except CrmError as error:
            self._lands_at = self._lands_at if error.unconfirmed else before
            self.writes.append(replace(done, error=error))
            if isinstance(error, RateLimited) or error.code in KEY_CODES:
                raise
            return
        self._lands_at = before
        self.writes.append(replace(done, told=answer is not None, shown=self._values(answer)[kind]))

    # Putting back

    async def _put_back(self, chat: Chat | None = None) -> None:
        """Until the chat shows what it did before, or what was set by others since, and nothing can land any more.

        `chat` is how it was just read. Gives up after some tries, or at a cancellation.
        """
        for pause in (*PAUSES, None):
            if not self._open:
                return
            wait = 0.0
            try:
                shown, mine = self._values(chat or await self._read()), await self.mine()
                if await self._undone(shown, mine):
                    shown, mine = self._values(await self._read()), await self.mine()
                self._close(shown, mine)
                wait = self._lands_at - self.clock() if self._open else 0.0
            except RateLimited as error:
                wait = error.retry_after or REST
            except SitniksError:
                pass
            chat = None
            if self._open and pause is not None:
                wait = max(wait, pause)
                if wait > 1:
                    self.say(f"what was there is put back in {wait:.0f} s")
                await self.sleep(wait)

    async def _undone(self, shown: Values, mine: Values) -> bool:
        """Write over what is ours there and shall not be; whether there was any."""
        self._seen.update(kind for kind, ours in self._open.items() if shown[kind] in ours - {self.was[kind]})
        wrong = [kind for kind in self._open if self._is_wrong(kind, shown, mine)]
        for kind in wrong:
            right = mine.get(kind, self.was[kind])
            self._open[kind].add(right)
            await self.call(CALLS[kind](self.chat_id, right), ahead=AHEAD)
        return bool(wrong)

    def _is_wrong(self, kind: str, shown: Values, mine: Values) -> bool:
        """Whether a value of ours stands where what was there before, or what the store wants by now, should."""
        return shown[kind] in self._open[kind] and bool(shown[kind] != mine.get(kind, self.was[kind]))

    def _close(self, shown: Values, mine: Values) -> None:
        """What is right, and nothing can come on top of any more, is done."""
        for kind in list(self._open):
            landed = kind in self._seen or self.clock() >= self._lands_at
            if landed and not self._is_wrong(kind, shown, mine):
                del self._open[kind]
