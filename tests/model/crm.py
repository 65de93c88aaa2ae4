"""A Sitniks in memory, in its loop's time: the vendor's contract and limit, with answers that come late or never.

The one model of the CRM beside the real sandbox: whoever simulates, on a virtual loop, sends to it.
"""

import asyncio
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.events import Message
from mirt_sitniks.core.managers import Manager
from mirt_sitniks.crm.calls import (
    Call,
    CreateNote,
    GetChat,
    ListChats,
    ListManagers,
    OwnCall,
    Page,
    SetStatus,
    UpdateChat,
    is_write,
)
from mirt_sitniks.crm.events import ListMessages
from mirt_sitniks.errors import (
    BadResponse,
    CallTimeout,
    CrmError,
    Forbidden,
    NotFound,
    PlanRequired,
    RateLimited,
    Refused,
    Unauthorized,
    Unavailable,
)

WALL = 1_800_000_000.0
"""Unix time when the model's clock shows zero."""
TIMEOUT = 10.0
CALLS, WINDOW, LOCK = 10, 10.0, 60.0
# What of a change counts as an effect.
_EFFECTS = ("status", "manager_id")
MANAGERS = (Manager(101, "Павло"), Manager(102, "Олена"), Manager(103, "Марко"))

ERRORS: dict[str, Callable[[bool], CrmError]] = {
    "500": lambda write: Unavailable("500", status=500),
    "502": lambda write: Unavailable("502", status=502, unconfirmed=write),
    "503": lambda write: Unavailable("503", status=503, unconfirmed=write),
    "refused": lambda write: Unavailable("connection refused"),
    "html": lambda write: BadResponse("a page", status=200, unconfirmed=write),
    "400": lambda write: Refused("no such thing", status=400),
    "404": lambda write: NotFound("not there", status=404),
    "429": lambda write: RateLimited("too many", status=429, retry_after=60.0),
    "401": lambda write: Unauthorized("wrong key", status=401),
    "403": lambda write: PlanRequired("trial", status=403),
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happens to one call: it arrives `there` seconds after it was sent, and its answer `after` seconds later.

    What it does is done half-way in between. `kind` is ok, lost (done, the connection breaks instead of an answer),
    late (a write is done only `after` seconds after it arrived, and no answer comes; what reads is lost), reset (as
    late, but the connection breaks at once), hang (neither done nor answered), or an error of `ERRORS`.
    """

    kind: str = "ok"
    after: float = 0.05
    there: float = 0.0


@dataclass
class ModelCrm:
    """Chats and managers, and one limit of ten calls in ten seconds with a minute's lock: calls count as they arrive.

    A call meets the next of `trouble`, or what `usually` says. `refuses`: kinds of call, and ids of chats, that are
    answered 403. `by_creation`: the list filters on that date, else on the last message. What was sent goes on when its
    sender is gone; who waits gets no answer after `timeout` seconds. `calls` has the moments of arrival, refused
    connections included, `writes` those of the effects, and `notes` those that were left, with chat and text. `clock`
    runs as the loop's does, from any beginning.

    Habits of an account: `shows` says of a kind of write what its answer shows (`after`, `before`, `nothing`),
    `ignores` which are answered 200 and change nothing, `lacks` which calls are 404. `whole`: what is saved is the
    whole chat, as it was when the call arrived. `names`: chats show who is responsible by name as well. `closed` are
    chats that refuse every write with 422, `left` managers who are no more.
    """

    clock: Callable[[], float]
    usually: Callable[[Call], Trouble] = lambda call: Trouble()
    timeout: float = TIMEOUT
    managers: tuple[Manager, ...] = MANAGERS
    left: set[int] = field(default_factory=set)
    trouble: list[Trouble] = field(default_factory=list)
    key_ok: bool = True
    refuses: set[type | str] = field(default_factory=set)
    shows: dict[type, str] = field(default_factory=dict)
    ignores: set[type] = field(default_factory=set)
    lacks: set[type] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    whole: bool = False
    names: bool = True
    chats: dict[str, Chat] = field(default_factory=dict)
    shows_at: dict[str, float] = field(default_factory=dict)
    messages: dict[str, list[Message]] = field(default_factory=dict)
    by_creation: bool = False
    calls: list[tuple[float, Call]] = field(default_factory=list)
    writes: list[tuple[float, str, str | int]] = field(default_factory=list)
    notes: list[tuple[float, str, str]] = field(default_factory=list)
    limited: int = 0
    pending: int = 0
    locked_until: float = 0.0
    _admitted: list[float] = field(default_factory=list)
    _added: list[tuple[float, str]] = field(default_factory=list)

    def add(self, chat_id: str, nickname: str | None, *, source: str = "instagram", appears_in: float = 0.0) -> None:
        """A customer writes now; the API shows the chat `appears_in` seconds from now."""
        now = self.clock()
        at = datetime.fromtimestamp(WALL + now, UTC).isoformat(timespec="milliseconds")
        self.chats[chat_id] = Chat(
            chat_id,
            nickname,
            source,
            user_id=f"user-{chat_id}",
            status="Нові заявки",
            last_message_at=at,
            created_at=at.replace("+00:00", "Z"),
            unassigned=True,
        )
        self.shows_at[chat_id] = now + appears_in
        self._added.append((now, chat_id))

    def person_sets(self, chat_id: str, **changes: Any) -> None:
        """Somebody changes a chat by hand."""
        self.chats[chat_id] = replace(self.chats[chat_id], **self._named(changes))

    def _named(self, changes: dict[str, Any]) -> dict[str, Any]:
        names = {one.id: one.name for one in (*MANAGERS, *self.managers) if self.names}
        who = {"manager_name": names.get(changes["manager_id"])} if "manager_id" in changes else {}
        return who | changes

    def person_assigns(self, chat_id: str, manager_id: int) -> None:
        """Somebody makes a person, or the AI manager, responsible by hand."""
        self.person_sets(chat_id, manager_id=manager_id, unassigned=False)

    def behave(self, **habits: Any) -> None:
        """From now on the account has these habits and no others."""
        usual = {
            "shows": {},
            "ignores": set(),
            "lacks": set(),
            "closed": set(),
            "whole": False,
            "refuses": set(),
            "names": True,
        }
        for name, value in {**usual, **habits}.items():
            setattr(self, name, value)

    def write(self, chat_id: str, manager: str | None = None, text: str = "…") -> None:
        """The customer writes again, or a manager (of an empty name: the page): the chat moves to the front, unless
        chats are listed by their creation."""
        now = self.clock()
        at = datetime.fromtimestamp(WALL + now, UTC).isoformat(timespec="milliseconds")
        self.chats[chat_id] = replace(self.chats[chat_id], last_message_at=at)
        sent_by = f"user-{chat_id}" if manager is None else "the shop's page"
        said = Message(f"{chat_id}-{now}", sent_by, manager, text, at)
        self.messages.setdefault(chat_id, []).append(said)
        if not self.by_creation:
            self._added = [one for one in self._added if one[1] != chat_id]
            self._added.append((now, chat_id))

    def age(self, chat_id: str, seconds: float) -> None:
        """The chat is as old as that, and nobody has written since."""
        self._added = sorted((at - seconds if name == chat_id else at, name) for at, name in self._added)

    def rename(self, chat_id: str, nickname: str | None) -> None:
        """The customer takes another user name."""
        self.chats[chat_id] = replace(self.chats[chat_id], nickname=nickname)

    def delete(self, chat_id: str) -> None:
        """A person in Sitniks deletes the chat, or merges it into another."""
        del self.chats[chat_id]

    def by_kind(self) -> Counter[str]:
        """How many calls of each kind arrived."""
        return Counter(type(call).__name__ for _, call in self.calls)

    def most_in_window(self, seconds: float = WINDOW) -> int:
        """The most calls that arrived within any stretch of so many seconds."""
        most = first = 0
        for last, (at, _) in enumerate(self.calls):
            while at - self.calls[first][0] >= seconds:
                first += 1
            most = max(most, last - first + 1)
        return most

    async def send(self, call: Call) -> Any:
        """One call, as the service sends it: what it brings, or the `CrmError` that the real client raises."""
        trouble = self.trouble.pop(0) if self.trouble else self.usually(call)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        _later(trouble.there, self._arrive, call, trouble, answer)
        result = await answer
        if isinstance(result, CrmError):
            raise result
        return result

    async def aclose(self) -> None:
        """Nothing to close."""

    def _arrive(self, call: Call, trouble: Trouble, answer: "asyncio.Future[Any]") -> None:
        kind, write, left = trouble.kind, is_write(call), self.timeout - trouble.there
        wait = min(trouble.after, left)
        error: CrmError | None = None
        done: list[Any] = []
        self.calls.append((self.clock(), call))
        if not self._admit():
            self.limited += 1
            wait, error = 0.0, ERRORS["429"](write)
        elif not self.key_ok:
            wait, error = 0.0, ERRORS["401"](write)
        elif type(call) in self.refuses or getattr(call, "chat_id", None) in self.refuses:
            error = ERRORS["403"](write)
        elif type(call) in self.lacks:
            error = Forbidden("no such route", status=404)
        elif (write and getattr(call, "chat_id", None) in self.closed) or getattr(call, "manager_id", 0) in self.left:
            error = _error("400", call)
        elif kind in ERRORS:
            error = _error(kind, call)
        elif kind == "hang":
            wait, error = left, CallTimeout("no answer", unconfirmed=write)
        elif kind in ("late", "reset") and write:
            # The server has it: it will come to pass whatever becomes of the sender.
            self.pending += 1
            _later(trouble.after, self._do_late, call)
            if kind == "late":
                wait, error = left, CallTimeout("no answer", unconfirmed=True)
            else:
                wait, error = 0.01, Unavailable("connection reset", unconfirmed=True)
        else:
            before = self.chats.get(call.chat_id) if self.whole and isinstance(call, SetStatus | UpdateChat) else None
            _later(wait / 2, lambda: done.append(self._do(call, before)))
            if kind != "ok":
                error = Unavailable("connection reset", unconfirmed=write)
        _reply(answer, wait, lambda: error or done[0])

    def _admit(self) -> bool:
        now = self.clock()
        if now < self.locked_until:
            return False
        self._admitted = [at for at in self._admitted if now - at < WINDOW]
        if len(self._admitted) >= CALLS:
            self.locked_until = now + LOCK
            return False
        self._admitted.append(now)
        return True

    def _do_late(self, call: Call) -> None:
        self.pending -= 1
        self._do(call)

    def _do(self, call: Call, before: Chat | None = None) -> Any:
        """What the CRM does for a call that reaches it; an error is the answer too."""
        match call:
            case ListChats(since, until, skip, limit):
                shown = self._written_to(since.timestamp() - WALL, until.timestamp() - WALL)
                page = tuple(shown[skip : skip + limit])
                return Page(page, len(shown), len(page))
            case ListManagers(skip, limit):
                listed = tuple(one for one in self.managers if one.id not in self.left)
                managers = listed[skip : skip + limit]
                return Page(managers, len(listed), len(managers))
            case GetChat(chat_id):
                return self._change(chat_id)
            case ListMessages(chat_id, skip, limit):
                said = self.messages.get(chat_id, [])[::-1][skip : skip + limit]
                return Page(tuple(said), None, len(said)) if self._is_shown(chat_id) else _error("404", call)
            case CreateNote(chat_id, text):
                if not self._is_shown(chat_id):
                    return NotFound("not there", status=404)
                self.notes.append((self.clock(), chat_id, text))
                return True
            case SetStatus(chat_id, status):
                return self._write(call, chat_id, before, status=status)
            case UpdateChat(chat_id, manager_id):
                return self._write(call, chat_id, before, manager_id=manager_id, unassigned=False)
        raise AssertionError(call)

    def _write(self, call: Call, chat_id: str, read: Chat | None, **changes: Any) -> Any:
        old = self.chats.get(chat_id)
        if read and old:
            self.chats[chat_id] = read
        after = self._change(chat_id, **({} if type(call) in self.ignores else changes))
        shown = {"nothing": None, "before": read or old}.get(self.shows.get(type(call), ""), after)
        return after if isinstance(after, NotFound) else shown

    def _written_to(self, since: float, until: float) -> list[Chat]:
        """The chats that were written to between two moments and are shown, the newest first."""
        added = self._added[bisect_left(self._added, (since, "")) : bisect_right(self._added, (until, "~"))]
        return [self.chats[name] for _, name in reversed(added) if self._is_shown(name)]

    def _is_shown(self, chat_id: str) -> bool:
        return chat_id in self.chats and self.shows_at[chat_id] <= self.clock()

    def _change(self, chat_id: str, **changes: Any) -> Chat | NotFound:
        if not self._is_shown(chat_id):
            return NotFound("not there", status=404)
        self.chats[chat_id] = replace(self.chats[chat_id], **self._named(changes))
        self.writes.extend((self.clock(), chat_id, value) for name, value in changes.items() if name in _EFFECTS)
        return self.chats[chat_id]


def _later(seconds: float, do: Callable[..., None], *args: Any) -> None:
    """In `seconds`, or at once: the loop keeps it, not the task of the sender."""
    if seconds:
        asyncio.get_running_loop().call_later(seconds, do, *args)
    else:
        do(*args)


def _reply(answer: "asyncio.Future[Any]", seconds: float, result: Callable[[], Any]) -> None:
    """Answer in `seconds`, unless nobody waits any more."""

    def give() -> None:
        if not answer.done():
            answer.set_result(result())

    if seconds:
        timer = asyncio.get_running_loop().call_later(seconds, give)
        answer.add_done_callback(lambda _: timer.cancel())
    else:
        give()


def _error(kind: str, call: Call) -> CrmError:
    error = ERRORS[kind](is_write(call))
    if isinstance(error, NotFound) and isinstance(call, ListChats | ListManagers):
        return BadResponse("no such page", status=404)
    if isinstance(call, OwnCall) and call.makes:
        # Whether it was made before the server failed, nobody knows.
        error.unconfirmed = kind.startswith("5") or kind == "html"
    if isinstance(error, Refused) and isinstance(call, SetStatus | UpdateChat):
        error.code = "unknown_status" if isinstance(call, SetStatus) else "manager_not_found"
    return error
