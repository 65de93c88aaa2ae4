"""What the simulation is made of: a CRM that counts as the vendor does, a store far away, processes that die."""

import asyncio
import contextvars
import hashlib
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random
from typing import Any, TypeVar

from mirt_sitniks.core.record import Intent, Record
from mirt_sitniks.core.store import Claimed, Recorded, Report, Settled, StoreOptions
from mirt_sitniks.crm import calls as wire
from mirt_sitniks.errors import BadResponse, CallTimeout, CrmError, NotFound, RateLimited, StoreError, Unavailable
from mirt_sitniks.sandbox.limits import KeyLimit
from mirt_sitniks.stores.memory import MemoryStore

T = TypeVar("T")

BASE = 1_800_000_000.0
MANAGERS = (wire.Manager(101, "Павло"), wire.Manager(102, "Олена"), wire.Manager(103, "Марко"))


@dataclass
class Trace:
    """Everything that happened at the store and at the CRM, as one hash and as counts."""

    now: Callable[[], float]
    counts: Counter[str] = field(default_factory=Counter)
    _hash: Any = field(default_factory=hashlib.sha256)

    def note(self, kind: str, *what: object) -> None:
        """One event."""
        self.counts[kind] += 1
        self._hash.update(f"{self.now():.9f} {kind} {what}\n".encode())

    @property
    def digest(self) -> str:
        """The hash of all events so far, in order."""
        return str(self._hash.hexdigest())


@dataclass(frozen=True)
class Weather:
    """How bad the day is: one-way delays in seconds (from, to), and how many of a thousand requests go wrong.

    `lost`: the CRM applies a write and its answer never comes; `delayed`: it applies it only within two timeouts;
    `hang`: it neither applies nor answers; `broken`: 503 before anything was done. `store_out`: the store does the work
    and the answer is lost; `store_in`: the request is lost; `store_slow`: its answer takes up to five seconds.
    """

    crm: tuple[float, float] = (0.02, 0.06)
    store: tuple[float, float] = (0.001, 0.015)
    timeout: float = 10.0
    lost: float = 0.0
    late: float = 0.0
    hang: float = 0.0
    broken: float = 0.0
    refused: float = 0.0
    store_out: float = 0.0
    store_in: float = 0.0
    store_slow: float = 0.0


@dataclass
class Process:
    """A process of the simulation: everything that runs in its context ends with `kill` and rests in `freeze`."""

    name: str
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    alive: bool = True
    frozen: bool = False
    store_calls: int = 0
    _thawed: asyncio.Event = field(default_factory=asyncio.Event)

    def run(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Start `work` in this process."""
        context = contextvars.copy_context()
        context.run(_PROCESS.set, self)
        return asyncio.get_running_loop().create_task(work, context=context)

    def kill(self) -> None:
        """SIGKILL: not another line of its code has an effect; what it has sent is under way."""
        self.alive = False
        for task in tuple(self.tasks):
            task.cancel()

    def freeze(self) -> None:
        """SIGSTOP."""
        self.frozen = True
        self._thawed.clear()

    def thaw(self) -> None:
        """SIGCONT."""
        self.frozen = False
        self._thawed.set()

    async def running(self) -> None:
        """Returns when the process is not frozen; never in a dead one."""
        while self.frozen:
            await self._thawed.wait()
        if not self.alive:
            raise asyncio.CancelledError

    async def ask(self, delay: tuple[float, float], answer: Callable[[], Any], rng: Random, slow: float = 0.0) -> Any:
        """Send a request that is answered elsewhere: `answer` runs after the way there, whoever has died meanwhile.

        An exception that `answer` returns is raised; None instead of a value means that no answer comes.
        """
        await self.running()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        back = rng.uniform(*delay) + slow

        def deliver(result: Any) -> None:
            if not future.done():
                future.set_result(result)

        def arrive() -> None:
            result = answer()
            if result is not LOST:
                loop.call_later(back, deliver, result)

        loop.call_later(rng.uniform(*delay), arrive)
        result = await future
        await self.running()
        if isinstance(result, Exception):
            raise result
        return result


LOST = object()
_PROCESS: contextvars.ContextVar[Process] = contextvars.ContextVar("process")


def track_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Have every task of `loop` belong to the process in whose context it was made."""

    def make(loop: asyncio.AbstractEventLoop, work: Any, **how: Any) -> Any:
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **how)
        context = how.get("context") or contextvars.copy_context()
        process = context.get(_PROCESS)
        if process:
            process.tasks.add(task)
            task.add_done_callback(process.tasks.discard)
        return task

    loop.set_task_factory(make)


@dataclass
class Crm:
    """A Sitniks that counts calls as the vendor does: ten in ten seconds, and a minute's lock for the eleventh."""

    now: Callable[[], float]
    trace: Trace
    rng: Random
    weather: Weather
    limit: KeyLimit = field(default_factory=KeyLimit)
    chats: dict[str, wire.Chat] = field(default_factory=dict)
    shows_at: dict[str, float] = field(default_factory=dict)
    arrivals: list[float] = field(default_factory=list)
    refusals: int = 0
    _listed: list[str] = field(default_factory=list)

    def add(self, nickname: str, source: str, appears_in: float) -> str:
        """A customer writes; the API shows the chat after `appears_in` seconds."""
        chat_id = f"{len(self.chats):024x}"
        at = _iso(self.now())
        self.chats[chat_id] = wire.Chat(chat_id, nickname, source, f"u{chat_id}", "Нові заявки", last_message_at=at)
        self.shows_at[chat_id] = self.now() + appears_in
        self._listed.insert(0, chat_id)
        return chat_id

    def answer(self, call: wire.Call) -> Any:
        """Take a call in; a value, an exception, or `LOST`."""
        self.arrivals.append(self.now())
        if not self.limit.admit(self.now()):
            self.refusals += 1
            self.trace.note("429")
            return RateLimited("too many", status=429)
        write, rng, weather = wire.is_write(call), self.rng, self.weather
        luck = rng.random() * 1000.0
        self.trace.note(type(call).__name__, call)
        for name in ("lost", "late", "hang", "broken"):
            share = getattr(weather, name)
            if luck < share:
                self.trace.note(name, call)
                return self._spoiled(name, call, write)
            luck -= share
        return self._apply(call)

    def _spoiled(self, name: str, call: wire.Call, write: bool) -> Any:
        if name == "broken":
            return Unavailable("503", status=503, unconfirmed=write)
        if name == "lost":
            self._apply(call)
        elif name == "late":
            delay = self.rng.uniform(0.0, 2 * self.weather.timeout - 1.0)
            asyncio.get_running_loop().call_later(delay, lambda: self._apply(call))
        return LOST

    def _apply(self, call: wire.Call) -> Any:
        now = self.now()
        match call:
            case wire.ListManagers():
                return wire.Page(MANAGERS, len(MANAGERS), len(MANAGERS))
            case wire.ListChats(since, until, skip, limit):
                first, last = _iso(since.timestamp() - BASE), _iso(until.timestamp() - BASE)
                shown = [self.chats[one] for one in self._listed if self.shows_at[one] <= now]
                found = [chat for chat in shown if first <= (chat.last_message_at or "") <= last]
                return wire.Page(tuple(found[skip : skip + limit]), len(found), len(found[skip : skip + limit]))
            case wire.GetChat(chat_id) | wire.SetStatus(chat_id) | wire.UpdateChat(chat_id):
                if self.shows_at.get(chat_id, now + 1) > now:
                    return NotFound("no chat", status=404)
                chat = self.chats[chat_id]
                if isinstance(call, wire.SetStatus):
                    chat = replace(chat, status=call.status)
                elif isinstance(call, wire.UpdateChat):
                    chat = replace(chat, manager_id=call.manager_id)
                if chat != self.chats[chat_id]:
                    self.trace.note("effect", chat_id, chat.status, chat.manager_id)
                self.chats[chat_id] = chat
                return chat
        return BadResponse("unknown call")


@dataclass
class FarCrm:
    """The client of one process: `Sender` over the simulated wire."""

    process: Process
    crm: Crm

    async def send(self, call: wire.Call) -> Any:
        """The answer, or the `CrmError` that the real client raises in this case."""
        rng, weather = self.crm.rng, self.crm.weather
        await self.process.running()
        if rng.random() * 1000.0 < weather.refused:
            await asyncio.sleep(rng.uniform(*weather.crm))
            raise Unavailable("connection refused")
        try:
            async with asyncio.timeout(weather.timeout):
                return await self.process.ask(weather.crm, lambda: self.crm.answer(call), rng)
        except TimeoutError:
            await self.process.running()
            raise CallTimeout("no answer", unconfirmed=wire.is_write(call)) from None
        except CrmError as error:
            # A fresh one, as every answer brings: a shared exception would grow a traceback for ever.
            raise type(error)(error.message, status=error.status, unconfirmed=error.unconfirmed) from None

    async def aclose(self) -> None:
        """Nothing to close."""


@dataclass
class FarStore:
    """The store as one process sees it: the pure model behind a network that delays and loses."""

    process: Process
    model: MemoryStore
    trace: Trace
    rng: Random
    weather: Weather

    async def record(self, options: StoreOptions, intent: Intent, *, calls: int = 2) -> Recorded:
        """Log an intent."""
        result: Recorded = await self._far("record", lambda: self.model.record(options, intent, calls=calls))
        return result

    async def claim(self, options: StoreOptions, *, limit: int = 9) -> Claimed:
        """Take due work."""
        result: Claimed = await self._far("claim", lambda: self.model.claim(options, limit=limit))
        return result

    async def settle(self, options: StoreOptions, report: Report) -> Settled:
        """Fold a round in."""
        result: Settled = await self._far("settle", lambda: self.model.settle(options, report))
        return result

    async def get(self, session: str) -> Record | None:
        """The record of a session."""
        result: Record | None = await self._far("get", lambda: self.model.get(session))
        return result

    async def aclose(self) -> None:
        """Nothing to close."""

    async def _far(self, verb: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        self.process.store_calls += 1
        luck = self.rng.random() * 1000.0
        lost_in, lost_out = luck < self.weather.store_in, luck >= 1000.0 - self.weather.store_out

        def answer() -> Any:
            if lost_in:
                self.trace.note("store_in", verb)
                return StoreError("the request was lost")
            result = _now(work())
            self.trace.note(verb, self.process.name, _brief(result))
            if lost_out:
                self.trace.note("store_out", verb)
                return StoreError("the answer was lost")
            return result

        slow = self.rng.random() * 1000.0 < self.weather.store_slow
        return await self.process.ask(self.weather.store, answer, self.rng, self.rng.uniform(0.0, 5.0) if slow else 0.0)


def _now(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits: one transaction, in one go."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("the model waited")


def _brief(result: Any) -> object:
    """What of a store's answer goes into the trace."""
    claims = result.claims if isinstance(result, Claimed) else [getattr(result, "claim", None)]
    return [(one.record and one.record.session, one.record and one.record.token, one.grants) for one in claims if one]


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(BASE + seconds, UTC).isoformat(timespec="milliseconds")
