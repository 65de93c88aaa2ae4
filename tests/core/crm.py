"""A model CRM for a virtual loop: the vendor's contract in memory, with answers that come late, twice or never."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.managers import Manager
from mirt_sitniks.crm.calls import Call, GetChat, ListChats, ListManagers, Page, SetStatus, UpdateChat, is_write
from mirt_sitniks.errors import (
    BadResponse,
    CallTimeout,
    CrmError,
    NotFound,
    PlanRequired,
    RateLimited,
    Refused,
    Unauthorized,
    Unavailable,
)

TIMEOUT = 10.0

ERRORS: dict[str, Callable[[bool], CrmError]] = {
    "500": lambda write: Unavailable("500", status=500),
    "502": lambda write: Unavailable("502", status=502, unconfirmed=write),
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
    """What happens to one call: `kind` is ok, lost (applied, the answer is not), late (timed out, applied at `after`
    seconds), reset (as late, but the connection breaks at once), hang, or an error of `ERRORS`; `after` is how long it
    takes."""

    kind: str = "ok"
    after: float = 0.05


@dataclass
class ModelCrm:
    """Chats and managers, one limit of ten calls in ten seconds with a minute's lock, and `trouble` to come.

    `refuses`: kinds of call, and ids of chats, that are answered 403. It goes on with what was sent to it when the
    sender is gone. `clock` is the loop's.
    """

    clock: Callable[[], float]
    chats: dict[str, Chat] = field(default_factory=dict)
    hidden: dict[str, float] = field(default_factory=dict)
    managers: tuple[Manager, ...] = (Manager(101, "Павло"), Manager(102, "Олена"))
    trouble: list[Trouble] = field(default_factory=list)
    calls: list[tuple[float, Call]] = field(default_factory=list)
    writes: list[tuple[float, str, str | int | None]] = field(default_factory=list)
    limited: int = 0
    pending: int = 0
    key_ok: bool = True
    refuses: set[type | str] = field(default_factory=set)
    locked_until: float = 0.0
    latency: float = 0.05
    _admitted: list[float] = field(default_factory=list)

    def add(self, chat_id: str, nickname: str | None, *, source: str = "instagram", appears_at: float = 0.0) -> None:
        """A customer's chat that shows from `appears_at` on."""
        self.chats[chat_id] = Chat(
            chat_id, nickname, source, user_id=f"user-{chat_id}", status="Нові заявки", last_message_at=chat_id
        )
        self.hidden[chat_id] = appears_at

    def most_in_window(self, seconds: float = 10.0) -> int:
        """The most calls that arrived within any stretch of so many seconds."""
        times = [at for at, _ in self.calls]
        return max((sum(1 for one in times if at <= one < at + seconds) for at in times), default=0)

    async def send(self, call: Call) -> Any:
        """One call, as the service sends it."""
        now = self.clock()
        self.calls.append((now, call))
        trouble = self.trouble.pop(0) if self.trouble else Trouble(after=self.latency)
        if not self._admit(now):
            self.limited += 1
            raise RateLimited("too many", status=429, retry_after=60.0)
        if not self.key_ok:
            raise Unauthorized("wrong key", status=401)
        if type(call) in self.refuses or getattr(call, "chat_id", None) in self.refuses:
            await asyncio.sleep(min(trouble.after, TIMEOUT))
            raise PlanRequired("403", status=403)
        write = is_write(call)
        if trouble.kind in ERRORS:
            await asyncio.sleep(min(trouble.after, TIMEOUT))
            error = ERRORS[trouble.kind](write)
            if isinstance(error, Refused) and write:
                error.code = "unknown_status" if isinstance(call, SetStatus) else "manager_not_found"
            if isinstance(error, NotFound) and isinstance(call, ListChats | ListManagers):
                raise BadResponse("no such page", status=404)
            raise error
        if trouble.kind == "hang":
            await asyncio.sleep(TIMEOUT)
            raise CallTimeout("no answer", unconfirmed=write)
        if trouble.kind in ("late", "reset") and write:
            # The server has it: it will come to pass whatever becomes of the sender.
            self.pending += 1
            asyncio.get_running_loop().call_later(trouble.after, self._quietly, call)
            if trouble.kind == "late":
                await asyncio.sleep(TIMEOUT)
                raise CallTimeout("no answer", unconfirmed=True)
            await asyncio.sleep(0.01)
            raise Unavailable("connection reset", unconfirmed=True)
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(min(trouble.after, TIMEOUT) / 2, self._answer, call, done)
        await asyncio.sleep(min(trouble.after, TIMEOUT))
        if trouble.kind in ("lost", "late", "reset"):
            raise Unavailable("connection reset", unconfirmed=write)
        return await done

    def _admit(self, now: float) -> bool:
        if now < self.locked_until:
            return False
        self._admitted = [at for at in self._admitted if now - at < 10.0]
        if len(self._admitted) >= 10:
            self.locked_until = now + 60.0
            return False
        self._admitted.append(now)
        return True

    def _quietly(self, call: Call) -> None:
        self.pending -= 1
        self._answer(call, asyncio.get_running_loop().create_future())

    def _answer(self, call: Call, done: "asyncio.Future[Any]") -> None:
        try:
            value = self.apply(call)
        except CrmError as error:
            done.set_exception(error)
            done.exception()
        else:
            done.set_result(value)

    def apply(self, call: Call) -> Any:
        """What the CRM does for a call that reaches it."""
        match call:
            case ListChats(_, _, skip, limit):
                shown = sorted(self._shown(), key=lambda chat: chat.id, reverse=True)
                return Page(tuple(shown[skip : skip + limit]), len(shown), len(shown[skip : skip + limit]))
            case ListManagers(skip, limit):
                page = self.managers[skip : skip + limit]
                return Page(page, len(self.managers), len(page))
            case GetChat(chat_id):
                return self._chat(chat_id)
            case SetStatus(chat_id, status):
                return self._change(chat_id, status=status)
            case UpdateChat(chat_id, manager_id):
                return self._change(chat_id, manager_id=manager_id)
        raise AssertionError(call)

    def _shown(self) -> Iterable[Chat]:
        return [chat for chat in self.chats.values() if self.hidden[chat.id] <= self.clock()]

    def _chat(self, chat_id: str) -> Chat:
        if chat_id not in self.chats:
            raise NotFound("not there", status=404)
        return self.chats[chat_id]

    def _change(self, chat_id: str, **changes: Any) -> Chat:
        chat = self._chat(chat_id)
        self.chats[chat_id] = replace(chat, **changes)
        self.writes.extend((self.clock(), chat_id, value) for value in changes.values())
        return self.chats[chat_id]
