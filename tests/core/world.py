"""Processes that share one store and one CRM on a virtual loop, and can die or freeze at any await."""

import asyncio
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, TypeVar

from mirt_sitniks.core.managers import WantedManagers
from mirt_sitniks.core.people import FoldContext
from mirt_sitniks.core.record import Claim, Intent, pending
from mirt_sitniks.core.stages import EFFECTS, Stage
from mirt_sitniks.core.store import Claimed, Recorded, Report, Settled, StoreOptions, Verdict
from mirt_sitniks.crm.calls import Call
from mirt_sitniks.engine.driver import Driver
from mirt_sitniks.engine.managers import ManagerList
from mirt_sitniks.engine.worker import Worker
from mirt_sitniks.errors import CrmError
from mirt_sitniks.stores.memory import MemoryStore
from tests.core.virtual import VirtualLoop
from tests.model.crm import TIMEOUT, WALL, ModelCrm

T = TypeVar("T")

STATUSES = {stage: EFFECTS[stage].status for stage in Stage}
CONTEXT = FoldContext(STATUSES, landing_time=2 * TIMEOUT)
OPTIONS = StoreOptions("key", lease=3 * TIMEOUT, who="test")


class Process:
    """What a runtime is, without HTTP and settings: a driver, a worker, and its way to the store.

    A frozen process neither hears an answer nor asks the store anything; what it has sent is on its way.
    """

    def __init__(self, world: "World", name: str) -> None:
        self.world, self.name = world, name
        self.awake = asyncio.Event()
        self.awake.set()
        self.froze_at = 0.0
        managers = ManagerList(WantedManagers("Павло"), world.loop.time)
        self.driver = Driver(
            self, replace(OPTIONS, who=name), self, managers, CONTEXT, clock=world.loop.time, random=world.random.random
        )
        self.worker = Worker(self.driver, sweep=60.0)
        self.recording: set[asyncio.Task[Any]] = set()

    async def send(self, call: Call) -> Any:
        """A call to the CRM."""
        try:
            value = await self.world.crm.send(call)
        except CrmError:
            await self.awake.wait()
            raise
        await self.awake.wait()
        return value

    async def record(self, options: StoreOptions, intent: Intent, *, calls: int = 2) -> Recorded:
        """The store's verb, with the way there and back."""
        recorded: Recorded = await self._trip(self.world.store.record, options, intent, calls=calls)
        return recorded

    async def claim(self, options: StoreOptions, *, limit: int = 9) -> Claimed:
        """The store's verb, with the way there and back."""
        claimed: Claimed = await self._trip(self.world.store.claim, options, limit=limit)
        return claimed

    async def settle(self, options: StoreOptions, report: Report) -> Settled:
        """The store's verb, with the way there and back."""
        settled: Settled = await self._trip(self.world.store.settle, options, report)
        return settled

    async def _trip(self, verb: Any, *args: Any, **options: Any) -> Any:
        await self.awake.wait()
        await asyncio.sleep(self.world.way)
        answer = await verb(*args, **options)
        self.world.look(self, answer)
        await asyncio.sleep(self.world.way)
        await self.awake.wait()
        return answer

    async def sync(self, intent: Intent) -> Recorded:
        """Record and drive, as the runtime does; the drive goes on by itself."""
        asked = self.driver.clock()
        recorded = await self.record(self.driver.options, intent)
        self.world.note(intent, recorded)
        if recorded.claim:
            self.worker.spawn(recorded.claim, asked)
        elif pending(recorded.record):
            self.worker.expect(recorded.outlook)
        return recorded

    def begin(self, intent: Intent) -> None:
        """Sync as a task."""
        task = self.world.loop.create_task(self.sync(intent))
        self.recording.add(task)
        task.add_done_callback(self.recording.discard)

    def freeze(self) -> None:
        """Stop for a while, as SIGSTOP does."""
        if self.awake.is_set():
            self.awake.clear()
            self.froze_at = self.world.loop.time()

    def wake(self) -> None:
        """Go on. A freeze lasts longer than a third of a lease: a shorter one cannot be told from a slow network."""
        if not self.awake.is_set():
            self.world.loop.run_for(max(0.0, self.froze_at + OPTIONS.lease / 3 + 0.5 - self.world.loop.time()))
            self.awake.set()

    async def die(self) -> None:
        """Stop at whatever await it stands, as `kill -9` does."""
        for task in self.recording:
            task.cancel()
        await self.worker.drain(0.0)

    async def observe(self, chat_id: str, *, status: str | None = None, manager_id: int | None = None) -> None:
        """Not used here."""

    async def get(self, session: str) -> Any:
        """The record of a session."""
        return await self.world.store.get(session)

    async def aclose(self) -> None:
        """Nothing to close."""


@dataclass
class World:
    """One store, one CRM, some processes, and what must hold whatever they do."""

    processes: int = 2
    seed: int = 0
    way: float = 0.01
    loop: VirtualLoop = field(default_factory=VirtualLoop)
    newest: dict[str, Stage] = field(default_factory=dict)
    owners: dict[tuple[str, int], str] = field(default_factory=dict)
    seen: set[tuple[str, str]] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    born: int = 0

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.crm = ModelCrm(self.loop.time)
        self.store = MemoryStore(self.loop.time, lambda: WALL + self.loop.time())
        self.team: list[Process] = []
        for _ in range(self.processes):
            self.loop.run(self.start())

    async def start(self) -> None:
        """One process more."""
        self.born += 1
        process = Process(self, f"p{self.born}")
        process.worker.start()
        self.team.append(process)

    async def replace(self, place: int) -> None:
        """The process dies and another one takes its place."""
        dead = self.team.pop(place)
        await dead.die()
        await self.start()
        self.team.insert(place, self.team.pop())

    def note(self, intent: Intent, recorded: Recorded) -> None:
        """What was told to the caller about an intent must be so."""
        if recorded.verdict is Verdict.KNOWN and recorded.record.desired.intent != intent.key:
            self.broken.append(f"{intent.session}: {intent.key} is not the newest")

    def look(self, process: Process, answer: Recorded | Claimed | Settled) -> None:
        """What the store hands out: a lease is one process's own."""
        claims: tuple[Claim | None, ...] = answer.claims if isinstance(answer, Claimed) else (answer.claim,)
        for claim in claims:
            if claim and claim.record:
                owner = self.owners.setdefault((claim.record.session, claim.record.token), process.name)
                if owner != process.name:
                    self.broken.append(f"{claim.record.session}: one lease, two holders")

    def check(self) -> None:
        """What must hold at every moment."""
        assert not self.broken, self.broken
        assert not self.crm.limited, "the key was asked for more than it allows"
        held = [record.chat_id for record in self.store.rows.records.values() if record.chat_id]
        assert len(held) == len(set(held)), "a chat has two sessions"
        for record in self.store.rows.records.values():
            assert not (record.closed and record.chat_id)

    def pending(self) -> list[str]:
        """The sessions that are not there yet."""
        return [one.session for one in self.store.rows.records.values() if pending(one)]

    def settle(self, hours: float = 12.0) -> None:
        """No more trouble; let time pass until nothing is left to do."""
        self.crm.trouble.clear()
        self.crm.refuses.clear()
        self.crm.key_ok = True
        for process in self.team:
            process.wake()
        for _ in range(int(hours * 60)):
            self.loop.run_for(60.0)
            if not self.pending() and not self.crm.pending:
                break
        self.loop.run_for(300.0)

    def finish(self) -> None:
        """End everything."""
        for process in self.team:
            process.awake.set()
            self.loop.run(process.die())
        self.loop.finish()
        assert not self.loop.failures, self.loop.failures


def intent(session: str, stage: Stage, key: str, *, name: str, channel: str = "instagram") -> Intent:
    """An intent of a session whose customer has `name` in `channel`."""
    return Intent(session, stage, key, **{channel: name})
