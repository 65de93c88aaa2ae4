"""A simulated shop: processes that serve conversations over the real runtime, and who watches what must hold."""

import asyncio
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar

from mirt_sitniks.core.budget import free
from mirt_sitniks.core.record import Intent, Record, pending
from mirt_sitniks.core.stages import BUILT_IN, Role, Stage
from mirt_sitniks.crm.calls import Call, kind_of
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.settings import SitniksSettings
from mirt_sitniks.stores.memory import MemoryStore
from mirt_sitniks.testing.judge import missed
from tests.core.virtual import VirtualLoop
from tests.crowd.network import FarCrm, FarStore, Network, Process, Trace, track_tasks
from tests.model.crm import TIMEOUT, WALL, ModelCrm, Trouble

ROLES = {Role.AI: (101,), Role.HUMAN: (102, 103)}


@dataclass(frozen=True)
class Event:
    """At `at` seconds the conversation `session` comes to `stage`; process number `process` serves that turn."""

    at: float
    session: str
    stage: Stage
    process: int


@dataclass
class Watched:
    """What was seen by looking twenty times a second.

    `lull`: the longest time for which work was due, a call was free and the lookout was awake, and still nobody claimed
    it. `backlog`: (second, how many records were due).
    """

    lull: float = 0.0
    backlog: list[tuple[float, int]] = field(default_factory=list)
    since: float | None = None


@dataclass
class Simulation:
    """`processes` runtimes, one key, one store, one CRM, all on one virtual clock and one seed.

    Escalations leave `notes`, or none. `open` are those whose loops have not been closed yet. The store is out of reach
    of all while it is `away`.
    """

    seed: int
    processes: int = 8
    network: Network = field(default_factory=Network)
    sweep: float = 60.0
    watch: float = 0.0
    notes: bool = False
    away: bool = False
    open: ClassVar[list["Simulation"]] = []

    def __post_init__(self) -> None:
        self.open.append(self)
        self.loop = VirtualLoop()
        track_tasks(self.loop)
        self.zero = self.loop.time()
        self.rng = Random(self.seed)
        self.trace = Trace(self.now)
        self.store = MemoryStore(self.now, lambda: WALL + self.now())
        self.luck = Random(self.rng.random())
        self.crm = ModelCrm(self.now, self._befalls, timeout=TIMEOUT)
        self.chats: dict[str, str] = {}
        self.known: dict[str, str] = {}
        self.team: list[tuple[Process, Runtime | None]] = []
        self.watched = Watched()
        self.looks: list[tuple[float, float]] = []
        self.asked: dict[tuple[str, Stage], tuple[bool, float]] = {}
        self.done_at: dict[tuple[str, int], tuple[Stage, float]] = {}
        self.settings = SitniksSettings(
            api_url="http://127.0.0.1:9", api_key="key", timeout=TIMEOUT, database=":memory:", watch=self.watch,
            notes=self.notes,
        )  # fmt: skip

    def now(self) -> float:
        """Seconds since the beginning."""
        return self.loop.time() - self.zero

    def _befalls(self, call: Call) -> Trouble:
        name, trouble = self.network.trouble(call, self.luck)
        if name != "ok":
            self.trace.note(name, call)
        return trouble

    def digest(self) -> str:
        """Everything that has happened, to the last event and its time, as one hash."""
        return self.trace.digest(self.crm.calls, self.crm.writes)

    @classmethod
    def close_all(cls) -> None:
        """Close the loops of all simulations."""
        while cls.open:
            cls.open.pop().loop.finish()

    def start(self, number: int) -> None:
        """Start process `number`, or start it again after its death."""
        process = Process(f"p{number}")
        luck = Random(self.rng.random())
        store = FarStore(process, self.store, self.trace, luck, self.network, self.looks, lambda: self.away)
        # No two machines were started together.
        skew = 1e6 * Random(f"{self.seed} {number}").random()

        async def begin() -> Runtime:
            runtime = Runtime(self.settings, store, own_store=False, sweep=self.sweep)  # type: ignore[arg-type]
            driver, chance = runtime.driver, Random(self.rng.random())
            driver.clock, driver.managers.clock, driver.random = self.now, self.now, chance.random
            driver.client, driver.asking.clock = FarCrm(process, self.crm), lambda: self.now() + skew
            return runtime

        while len(self.team) <= number:
            self.team.append((process, None))
        task = process.run(begin())
        task.add_done_callback(lambda done: self._started(number, process, done))

    def _started(self, number: int, process: Process, done: "asyncio.Task[Runtime]") -> None:
        if process.alive:
            self.team[number] = process, done.result()

    async def serve(self, event: Event) -> None:
        """One turn: the stage is recorded by the process that has it, or by the next one that is there."""
        for offset in range(self.processes):
            process, runtime = self.team[(event.process + offset) % self.processes]
            if process.alive and not process.frozen and runtime:
                break
        else:
            return
        self.asked[event.session, event.stage] = (event.stage is not Stage.FIRST_TOUCH, self.now())
        chat_id = self.known.get(event.session)
        intent = Intent(event.session, event.stage, f"{event.stage}", instagram=event.session, chat_id=chat_id)
        turn = process.run(runtime.sync(intent))
        await asyncio.wait({turn})
        if not turn.cancelled():
            result = turn.result()
            self.trace.note("turn", event.session, result.outcome)
            if result.chat_id:
                self.known[event.session] = result.chat_id

    def day(
        self,
        events: list[Event],
        *,
        hours: float = 6.0,
        chaos: "Callable[[Simulation], Any] | None" = None,
        appears: Callable[[Random], float] = lambda rng: 0.0,
    ) -> float:
        """Play the events; returns the second in which nothing was left to be done.

        `appears` draws how many seconds after the first message a chat shows in the CRM.
        """

        async def play() -> float:
            for number in range(self.processes):
                self.start(number)
            watch = self.loop.create_task(self._watch())
            trouble = self.loop.create_task(chaos(self)) if chaos else None
            turns = []
            for event in sorted(events, key=lambda one: (one.at, one.session, one.stage)):
                await asyncio.sleep(max(0.0, event.at - self.now()))
                if event.session not in self.chats:
                    chat_id = self.chats[event.session] = f"{len(self.chats):024x}"
                    self.crm.add(chat_id, event.session, appears_in=appears(self.rng))
                turns.append(self.loop.create_task(self.serve(event)))
            if trouble:
                await trouble
            await asyncio.wait(turns)
            while self.left() or any(one for _, runtime in self.team if runtime for one in runtime.recorder.waiting()):
                assert self.now() < hours * 3600, f"not done after {hours} hours: {self.left()[:5]}"
                await asyncio.sleep(1.0)
            end = self.now()
            watch.cancel()
            return end

        return self.loop.run(play())

    def rest(self, seconds: float) -> dict[str, int]:
        """Let time pass; how many store calls each process has made meanwhile."""
        before = {process.name: process.store_calls for process, _ in self.team}
        self.loop.run_for(seconds)
        return {process.name: process.store_calls - before[process.name] for process, _ in self.team}

    def left(self) -> list[Record]:
        """The records with something left to be done."""
        return [one for one in self.store.rows.records.values() if pending(one)]

    def wrong(self) -> list[str]:
        """Sessions whose chat does not show that of the recorded stages which was asked for last."""
        bad = []
        for session in self.chats:
            stages = [Stage(one.stage or "") for one in self.store.rows.entries if _is_intent(one, session)]
            stages.sort(key=lambda stage, session=session: self.asked[session, stage])  # type: ignore[misc]
            chat = self.crm.chats[self.chats[session]]
            if missed(stages, (chat.status, chat.manager_id), BUILT_IN, ROLES):
                bad.append(f"{session}: {stages} but {chat.status}, {chat.manager_id}")
        return bad

    def untold(self) -> tuple[Counter[str], Counter[str]]:
        """Calls of which the ledger has no line, and lines without a call, by kind."""
        made = Counter(kind_of(call) for _, call in self.crm.calls)
        told = Counter(str(one.key) for one in self.store.rows.entries if one.kind == "try")
        return made - told, told - made

    def used(self, crowd: int = 9) -> tuple[int, float]:
        """Calls sent, and calls that the budget allows, while at least `crowd` records were due."""
        sent, seconds = 0, 0.0
        arrivals = [at for at, _ in self.crm.calls]
        spell: list[float] = []
        for now, due in [*self.watched.backlog, (self.now(), 0)]:
            if due >= crowd:
                spell.append(now)
            elif spell:
                sent += bisect_right(arrivals, spell[-1]) - bisect_left(arrivals, spell[0])
                seconds += spell[-1] - spell[0]
                spell = []
        rate = self.settings.rate_limit
        return sent, seconds * rate.calls / rate.seconds

    def waits(self) -> dict[Stage, list[float]]:
        """Seconds from recording to confirmation of the stages that were shown, by stage, sorted."""
        found: dict[Stage, list[float]] = {stage: [] for stage in Stage}
        for stage, seconds in self.done_at.values():
            found[stage].append(seconds)
        return {stage: sorted(seconds) for stage, seconds in found.items()}

    async def _watch(self) -> None:
        watched = self.watched
        asked: dict[tuple[str, int], tuple[Any, float]] = {}
        while True:
            await asyncio.sleep(0.05)
            rows, now = self.store.rows, self.now()
            runtime = next((one for _, one in self.team if one), None)
            if runtime is None:
                continue
            limit = runtime.driver.options.limit
            key = rows.key(runtime.driver.options.key)
            due = [one for one in rows.left.values() if one.observed.due_at <= now]
            watched.backlog.append((now, len(due)))
            waiting = [
                one
                for one in due
                if one.lease_until <= now and (one.chat_id or now >= max(key.scan_until, key.scan_due))
            ]
            awake = [one for process, one in self.team if one and process.alive and not process.frozen]
            cared = waiting and any(one.driver.options.who == key.lookout_by for one in awake)
            watched.since = (watched.since or now) if cared and free(key.budget, limit, now) > 0 else None
            watched.lull = max(watched.lull, now - watched.since if watched.since else 0.0)
            # What is done aside keeps nobody waiting.
            for one in filter(pending, rows.left.values()):
                want = one.desired
                asked.setdefault((one.session, want.generation), (want.stage, want.asked_at - WALL))
            for (session, generation), (stage, at) in list(asked.items()):
                record = rows.records[session]
                if record.observed.status.gen >= generation:
                    if record.desired.generation == generation:
                        self.done_at[session, generation] = stage, now - at
                    del asked[session, generation]


def _is_intent(entry: Any, session: str) -> bool:
    return bool(entry.kind == "intent" and entry.session == session)


def conversations(
    rng: Random, count: int, seconds: float, processes: int, *, pace: tuple[float, float] = (1.0, 600.0)
) -> list[Event]:
    """`count` conversations that begin within `seconds`, each with all three stages, mostly in the usual order."""
    events = []
    for number in range(count):
        at, session = rng.uniform(0.0, seconds), f"customer{number:04}"
        later = [Stage.GIVE_REQUISITES, Stage.ESCALATION]
        if rng.random() < 0.3:
            later.reverse()
        for stage in (Stage.FIRST_TOUCH, *later):
            events.append(Event(at, session, stage, rng.randrange(processes)))
            at += rng.uniform(*pace)
    return events


async def bad_luck(
    simulation: Simulation, *, until: float, kill_every: float = 60.0, freeze_every: float = 90.0
) -> None:
    """Kill a process now and then and start it again, freeze another for up to two minutes."""
    rng = Random(simulation.rng.random())

    async def kills() -> None:
        while simulation.now() < until:
            await asyncio.sleep(rng.expovariate(1 / kill_every))
            number = rng.randrange(simulation.processes)
            process, _ = simulation.team[number]
            if process.alive and not process.frozen:
                simulation.trace.note("kill", process.name)
                process.kill()
                simulation.team[number] = process, None
                simulation.loop.call_later(rng.uniform(0.5, 20.0), simulation.start, number)

    async def freezes() -> None:
        while simulation.now() < until:
            await asyncio.sleep(rng.expovariate(1 / freeze_every))
            process, _ = simulation.team[rng.randrange(simulation.processes)]
            if process.alive and not process.frozen:
                simulation.trace.note("freeze", process.name)
                process.freeze()
                simulation.loop.call_later(rng.uniform(1.0, 120.0), process.thaw)

    await asyncio.gather(kills(), freezes())
    for process, _ in simulation.team:
        process.thaw()


async def store_trouble(simulation: Simulation, *, until: float, every: float = 60.0) -> None:
    """The store goes away now and then, for moments or minutes; processes are closed and start again meanwhile."""
    rng = Random(simulation.rng.random())

    async def outages() -> None:
        while simulation.now() < until:
            await asyncio.sleep(rng.expovariate(1 / every))
            simulation.away = True
            simulation.trace.note("outage")
            await asyncio.sleep(rng.choice([0.2, 1.0, 5.0, 30.0, 120.0]))
            simulation.away = False

    async def closings() -> None:
        while simulation.now() < until:
            await asyncio.sleep(rng.expovariate(1 / every))
            number = rng.randrange(simulation.processes)
            process, runtime = simulation.team[number]
            # One that closes while the store is away may lose what it says it lost: that is another test's.
            if runtime and not simulation.away and not any(runtime.recorder.waiting()):
                simulation.trace.note("close", process.name)
                simulation.team[number] = process, None
                await process.run(runtime.aclose())
                simulation.start(number)

    await asyncio.gather(outages(), closings())
