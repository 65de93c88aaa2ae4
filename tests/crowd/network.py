"""What the simulation is made of: processes that die and freeze, and the network to the store and to the CRM."""

import asyncio
import contextvars
import hashlib
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from mirt_sitniks.core.events import Event
from mirt_sitniks.core.record import Intent, Record
from mirt_sitniks.core.store import Claimed, Outlook, Recorded, Report, Settled, StoreOptions
from mirt_sitniks.core.survey import SessionsAsked
from mirt_sitniks.core.voices import Spoken
from mirt_sitniks.crm.calls import Call, is_write
from mirt_sitniks.errors import CallTimeout, CrmError, StoreError
from mirt_sitniks.stores.memory import MemoryStore
from tests.model.crm import TIMEOUT, ModelCrm, Trouble

T = TypeVar("T")


@dataclass
class Trace:
    """Everything that happened at the store and to the processes, and what befell calls, as one hash and as counts."""

    now: Callable[[], float]
    counts: Counter[str] = field(default_factory=Counter)
    _hash: Any = field(default_factory=hashlib.sha256)

    def note(self, kind: str, *what: object) -> None:
        """One event."""
        self.counts[kind] += 1
        self._hash.update(f"{self.now():.9f} {kind} {what}\n".encode())

    def digest(self, *more: object) -> str:
        """The hash of all events so far, in order, and of what else there is."""
        whole = self._hash.copy()
        whole.update(repr(more).encode())
        return str(whole.hexdigest())


@dataclass(frozen=True)
class Network:
    """How bad the day is: one-way delays in seconds (from, to), and how many of a thousand requests go wrong.

    `lost`: the CRM does what is asked and its answer never comes; `late`: it does a write only within two timeouts;
    `hang`: it neither does anything nor answers; `broken`: 503 before anything was done; `refused`: no connection;
    `failed`: 500; `page`: HTML; `limited`: 429.
    `store_out`: the store does the work and the answer is lost; `store_in`: the request is lost; `store_slow`: its
    answer takes up to five seconds; `store_stall`: a record is up to thirty seconds on its way there.
    """

    crm: tuple[float, float] = (0.02, 0.06)
    store: tuple[float, float] = (0.001, 0.015)
    lost: float = 0.0
    late: float = 0.0
    hang: float = 0.0
    broken: float = 0.0
    refused: float = 0.0
    failed: float = 0.0
    page: float = 0.0
    limited: float = 0.0
    store_out: float = 0.0
    store_in: float = 0.0
    store_slow: float = 0.0
    store_stall: float = 0.0

    def trouble(self, call: Call, rng: Random) -> tuple[str, Trouble]:
        """What happens to a call: our word for it, and the model's."""
        there, back, luck = rng.uniform(*self.crm), rng.uniform(*self.crm), rng.random() * 1000.0
        silent = "late" if is_write(call) else "hang"
        late = rng.uniform(0.0, 2 * TIMEOUT - 1.0)
        kinds = {
            "lost": Trouble(silent, back, there),
            "late": Trouble(silent, late, there),
            "hang": Trouble("hang", back, there),
            "broken": Trouble("503", back, there),
            "refused": Trouble("refused", back, there),
            "failed": Trouble("500", back, there),
            "page": Trouble("html", back, there),
            "limited": Trouble("429", back, there),
        }
        for name, trouble in kinds.items():
            share = getattr(self, name)
            if luck < share:
                return name, trouble
            luck -= share
        return "ok", Trouble("ok", back, there)


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

    async def ask(
        self, delay: tuple[float, float], answer: Callable[[], Any], rng: Random, slow: float = 0.0, stall: float = 0.0
    ) -> Any:
        """Send a request that is answered elsewhere: `answer` runs after the way there, whoever has died meanwhile.

        `slow` seconds more it takes back, `stall` more there.

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

        loop.call_later(rng.uniform(*delay) + stall, arrive)
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
class FarCrm:
    """The client of one process: `Sender` over the network. A frozen one hears nothing, but its time runs out."""

    process: Process
    crm: ModelCrm

    async def send(self, call: Call) -> Any:
        """The answer, or the `CrmError` that the real client raises in this case."""
        await self.process.running()
        try:
            async with asyncio.timeout(self.crm.timeout):
                try:
                    answer = await self.crm.send(call)
                except CrmError:
                    await self.process.running()
                    raise
                await self.process.running()
                return answer
        except TimeoutError:
            await self.process.running()
            raise CallTimeout("no answer", unconfirmed=is_write(call)) from None

    async def aclose(self) -> None:
        """Nothing to close."""


@dataclass
class FarStore:
    """The store as one process sees it: the pure model behind a network that delays and loses.

    `looks`: when claims of work were sent, and when they were answered.
    """

    process: Process
    model: MemoryStore
    trace: Trace
    rng: Random
    network: Network
    looks: list[tuple[float, float]]
    is_away: Callable[[], bool] = lambda: False

    async def record(self, options: StoreOptions, intent: Intent, *, calls: int = 2) -> Recorded:
        """Log an intent."""
        result: Recorded = await self._far("record", lambda: self.model.record(options, intent, calls=calls))
        return result

    async def claim(self, options: StoreOptions, *, limit: int = 9) -> Claimed:
        """Take due work."""
        began = self.trace.now()
        result: Claimed = await self._far("claim", lambda: self.model.claim(options, limit=limit))
        self.looks.append((began, self.trace.now()))
        return result

    async def settle(self, options: StoreOptions, report: Report) -> Settled:
        """Fold a round in."""
        result: Settled = await self._far("settle", lambda: self.model.settle(options, report))
        return result

    async def hear(self, options: StoreOptions, events: tuple[Event, ...]) -> Outlook:
        """Take in what was told."""
        result: Outlook = await self._far("hear", lambda: self.model.hear(options, events))
        return result

    async def said(self, options: StoreOptions, spoken: tuple[Spoken, ...]) -> tuple[str, ...]:
        """Remember what the graph has said."""
        result: tuple[str, ...] = await self._far("said", lambda: self.model.said(options, spoken))
        return result

    async def release(self, options: StoreOptions, session: str, *, calls: int = 2) -> Recorded:
        """Give a conversation back."""
        result: Recorded = await self._far("release", lambda: self.model.release(options, session, calls=calls))
        return result

    async def get(self, session: str) -> Record | None:
        """The record of a session."""
        result: Record | None = await self._far("get", lambda: self.model.get(session))
        return result

    async def sessions(self, asked: SessionsAsked) -> tuple[Record, ...]:
        """The sessions that are asked for."""
        result: tuple[Record, ...] = await self._far("sessions", lambda: self.model.sessions(asked))
        return result

    async def prune(self, seconds: float, *, records: bool = True) -> None:
        """Delete what is old: once a day, which no call's cost has a part of."""
        await self.model.prune(seconds, records=records)

    async def aclose(self) -> None:
        """Nothing to close."""

    async def _far(self, verb: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        self.process.store_calls += 1
        luck = self.rng.random() * 1000.0
        lost_in, lost_out = luck < self.network.store_in, luck >= 1000.0 - self.network.store_out

        def answer() -> Any:
            if lost_in or self.is_away():
                self.trace.note("store_in", verb)
                return StoreError("the request was lost")
            result = _now(work())
            self.trace.note(verb, self.process.name, _brief(result))
            if lost_out:
                self.trace.note("store_out", verb)
                return StoreError("the answer was lost")
            return result

        slow = self.rng.random() * 1000.0 < self.network.store_slow
        slow_by = self.rng.uniform(0.0, 5.0) if slow else 0.0
        stall = self.network.store_stall if verb == "record" else 0.0
        stall_by = self.rng.uniform(0.0, 30.0) if stall and self.rng.random() * 1000.0 < stall else 0.0
        return await self.process.ask(self.network.store, answer, self.rng, slow_by, stall_by)


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
