"""Processes that share one store and one CRM on a virtual loop, and can die or freeze at any await."""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import inf
from random import Random
from typing import Any, TypeVar, cast

from mirt_sitniks.core.events import Event
from mirt_sitniks.core.hours import Hours
from mirt_sitniks.core.managers import WantedManagers
from mirt_sitniks.core.people import FoldContext
from mirt_sitniks.core.record import Claim, Intent, Record, Try, has_work, pending, ticks
from mirt_sitniks.core.stages import BUILT_IN, Stage, StageRule, rule_of
from mirt_sitniks.core.store import Claimed, Entry, Outlook, Recorded, Report, Settled, StoreOptions, Verdict
from mirt_sitniks.core.voices import Spoken
from mirt_sitniks.core.watch import is_watch
from mirt_sitniks.crm.calls import Call, kind_of
from mirt_sitniks.engine.direct import DirectWriter
from mirt_sitniks.engine.driver import Driver
from mirt_sitniks.engine.managers import ManagerList
from mirt_sitniks.engine.recorder import Asked, Recorder
from mirt_sitniks.engine.worker import Worker
from mirt_sitniks.errors import CrmError, NotFound, StoreError
from mirt_sitniks.stores.memory import MemoryStore
from tests.core.people_world import People
from tests.core.virtual import VirtualLoop
from tests.model.crm import TIMEOUT, WALL, ModelCrm

T = TypeVar("T")

# A shop's own stages beside the built-in ones: one like an invoice, one like an escalation.
STAGES = {
    **BUILT_IN,
    "escalation": replace(BUILT_IN["escalation"], note="{reason}"),
    "paid": StageRule("Оплату отримано", replaces=("Виставлено рахунок",)),
    "complaint": StageRule("Скарга", assign="human", urgency="first", respects_people=False, note="{reason}"),
}
STATUSES: dict[str, str] = {stage: rule.status for stage, rule in STAGES.items()}
CONTEXT = FoldContext(STAGES, landing_time=2 * TIMEOUT)
# Seconds within which nobody promises an order between processes: ten milliseconds, and the way to the store of a
# process that has not heard of its clock yet.
AT_ONCE = 0.025
OPTIONS = StoreOptions("key", lease=3 * TIMEOUT, who="test", stages=STAGES)


class Process:
    """What a runtime is, without HTTP and settings: a driver, a worker, and its way to the store.

    A frozen process neither hears an answer nor asks the store anything; what it has sent is on its way.
    """

    def __init__(self, world: "World", name: str) -> None:
        self.world, self.name = world, name
        self.awake = asyncio.Event()
        self.awake.set()
        self.froze_at = 0.0
        # By how much the store's time in the answers was too old when they were heard, at best; and by how much what
        # is said of each session is later than it was asked for.
        self.late = inf
        self.ahead: dict[str, float] = {}
        managers = ManagerList(WantedManagers("Павло", human_ids=world.live), world.loop.time)
        options = replace(OPTIONS, who=name, live_managers=world.live, watch=world.watch, hours=world.hours)
        options = replace(options, answer_within=world.answer_within)
        self.driver = Driver(self, options, self, managers, CONTEXT, clock=world.loop.time, random=world.random.random)
        # One that begins while the store is away knows nothing of the calls before: that is said, and not tried here.
        self.driver.gate.answered_at = world.loop.time()
        self.worker = Worker(self.driver, sweep=60.0)
        # No two machines were started together.
        self.skew = world.random.uniform(0.0, 1e6)
        self.driver.asking.clock = lambda: world.loop.time() + self.skew
        self.stalls: list[float] = []
        self.began: dict[tuple[str, str], float] = {}
        # Calls by kind, and the tries that the store has heard of, some of them perhaps: their answer was lost.
        self.sent: Counter[str] = Counter()
        self.told: dict[int, Try] = {}
        self.doubtful: set[int] = set()
        self.recorder = Recorder(self.driver, 2, self._recorded, lambda: self.direct.begin())
        self.direct = DirectWriter(self.driver, self.recorder.waiting)

    async def send(self, call: Call) -> Any:
        """A call to the CRM."""
        self.world.people.overlook(call)
        self.sent[kind_of(call)] += 1
        vain = self.world.people.vain_of(call)
        try:
            value = await self.world.crm.send(call)
        except CrmError as error:
            self.world.people.vain += vain if error.unconfirmed else ()
            if isinstance(error, NotFound):
                self.world.people.gone(getattr(call, "chat_id", ""))
            await self.awake.wait()
            raise
        await self.awake.wait()
        return value

    async def record(self, options: StoreOptions, intent: Intent, *, calls: int = 2) -> Recorded:
        """The store's verb, with the way there and back."""
        # Who has heard the store but once, and stood before he did, takes its clock for an earlier one.
        cold = -self.late if self.late > AT_ONCE else 0.0
        self.ahead[intent.session] = max(self.ahead.get(intent.session, cold), cold)

        async def verb() -> Recorded:
            self.tell(intent.tries)
            old = await self.world.store.get(intent.session)
            answer = await self.world.store.record(options, intent, calls=calls)
            asked = self.began[intent.session, intent.key]
            if intent.asked_at is None:
                # How long the words of a process that never heard of the store were on the way, nobody can tell;
                # what it says of the session later is no older.
                self.ahead[intent.session] = max(0.0, answer.outlook.now - intent.waited - asked)
            asked = min(asked + self.ahead[intent.session], answer.outlook.now)
            self.world.hear(intent, asked, answer, again=old is not None and bool(old.closed))
            return answer

        try:
            recorded: Recorded = await self._trip(verb, stall=self.stalls.pop(0) if self.stalls else 0.0)
        except StoreError:
            self.doubtful |= {id(one) for one in intent.tries}
            raise
        self.late = min(self.late, self.world.loop.time() - recorded.outlook.now)
        return recorded

    def tell(self, tries: tuple[Try, ...]) -> None:
        """The store hears of calls: of each once, unless its answer was lost."""
        if any(id(one) in self.told and id(one) not in self.doubtful for one in tries):
            self.world.broken.append(f"{self.name}: a call is told of twice")
        self.told |= {id(one): one for one in tries}

    def all_told(self) -> Counter[str]:
        """The calls that the store has heard of, or that wait to be told."""
        return Counter(one.kind for one in (*self.told.values(), *self.driver.untold))

    async def claim(self, options: StoreOptions, *, limit: int = 9) -> Claimed:
        """The store's verb, with the way there and back."""
        claimed: Claimed = await self._trip(self.world.store.claim, options, limit=limit)
        self.late = min(self.late, self.world.loop.time() - claimed.outlook.now)
        return claimed

    async def settle(self, options: StoreOptions, report: Report) -> Settled:
        """The store's verb, with the way there and back."""

        async def verb() -> Settled:
            self.tell(report.tries)
            return await self.world.store.settle(options, report)

        try:
            settled: Settled = await self._trip(verb)
        except StoreError:
            self.doubtful |= {id(one) for one in report.tries}
            raise
        return settled

    async def said(self, options: StoreOptions, spoken: tuple[Spoken, ...]) -> tuple[str, ...]:
        """The store's verb, with the way there and back."""
        unrecorded: tuple[str, ...] = await self._trip(self.world.store.said, options, spoken)
        return unrecorded

    async def hear(self, options: StoreOptions, events: tuple[Event, ...]) -> Outlook:
        """The store's verb, with the way there and back."""

        async def verb() -> Outlook:
            before = [self.world.store.rows.by_chat(one.chat.id) for one in events]
            outlook = await self.world.store.hear(options, events)
            for event, record in zip(events, before, strict=True):
                self.world.people.heard(event, record)
            return outlook

        heard: Outlook = await self._trip(verb)
        return heard

    def begin_hearing(self, event: Event) -> None:
        """A webhook comes in, as the runtime takes it; what the store does not take is gone."""

        async def told() -> None:
            with suppress(StoreError):
                self.worker.expect(await self.driver.gate.once(self.hear(self.driver.options, (event,))))

        task = self.world.loop.create_task(told())
        self.driver.hearing.add(task)
        task.add_done_callback(self.driver.hearing.discard)

    async def release(self, session: str) -> None:
        """A host gives a conversation back, and may be told that the store is away."""

        async def verb() -> Recorded:
            before = await self.world.store.get(session)
            released = await self.world.store.release(self.driver.options, session)
            self.world.people.released(released.record, anew=before != released.record)
            return released

        asked = self.world.loop.time()
        with suppress(StoreError):
            released: Recorded = await self.driver.gate.once(self._trip(verb))
            if released.claim:
                self.worker.spawn(released.claim, asked)
            elif has_work(released.record):
                self.worker.expect(released.outlook)

    async def _trip(self, verb: Any, *args: Any, stall: float = 0.0, **options: Any) -> Any:
        await self.awake.wait()
        await asyncio.sleep(self.world.way + stall)
        lost = self.world.lost.pop(0) if self.world.lost else ""
        if self.world.away or lost == "there":
            raise StoreError("away", status=503)
        answer = await verb(*args, **options)
        if isinstance(answer, Recorded | Claimed | Settled):
            self.world.look(self, answer)
        await asyncio.sleep(self.world.way)
        await self.awake.wait()
        if lost == "back":
            raise StoreError("the answer was lost")
        return answer

    async def sync(self, intent: Intent) -> Recorded:
        """Record and drive, as the runtime does; the drive goes on by itself."""
        self.began.setdefault((intent.session, intent.key), self.world.loop.time())
        asked = self.recorder.ask(replace(intent, asked_at=self.driver.asking.clock()))
        recorded: Any = await asked.told
        return cast(Recorded, recorded)

    def begin(self, intent: Intent) -> None:
        """Sync, and do not wait for what is told."""
        task = self.world.loop.create_task(self.sync(intent))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _recorded(self, asked: Asked, recorded: Recorded) -> None:
        self.world.note(asked.intent, recorded)
        if recorded.claim:
            self.worker.spawn(recorded.claim, asked.tried_at)
        elif pending(recorded.record):
            self.worker.expect(recorded.outlook)

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

    async def die(self, seconds: float = 0.0) -> None:
        """Stop at whatever await it stands, as `kill -9` does; or close, which takes so many seconds at most."""
        end = self.world.loop.time() + seconds
        for hearing in self.driver.hearing:
            hearing.cancel()
        if not seconds:
            self.direct.stop()
        await self.worker.stop()
        waiting = list(self.recorder.waiting())
        await self.recorder.drain(seconds)
        self.direct.stop()
        await self.worker.drain(max(0.0, end - self.world.loop.time()))
        for one in (asked.intent for asked in waiting):
            # Its call may be under way.
            if rule_of(STAGES, one.stage).goes_past_the_store and not self.world.store.rows.known(
                one.session, (one.key,)
            ):
                self.world.unrecorded.add(one.chat_id)

    async def observe(self, chat_id: str, *, status: str | None = None, manager_id: int | None = None) -> None:
        """Not used here."""

    async def get(self, session: str) -> Any:
        """The record of a session."""
        return await self.world.store.get(session)

    async def aclose(self) -> None:
        """Nothing to close."""


@dataclass
class World:
    """One store, one CRM, some processes, and what must hold whatever they do.

    The store is out of reach while it is `away`; of the next requests some are `lost`, on their way there or back.
    `unrecorded` are chats that show what a process wrote past the store before it ended. `live` are the live managers
    in turn; none: the first who is there. With `watch` each looks for changes that often: `watched` has its calls, as
    they were granted. Whoever is not answered `answer_within` seconds of `hours` goes to the next.
    """

    processes: int = 2
    seed: int = 0
    watch: float = 0.0
    answer_within: float = 0.0
    hours: Hours | None = None
    live: tuple[int, ...] = ()
    way: float = 0.01
    loop: VirtualLoop = field(default_factory=VirtualLoop)
    asked: dict[str, list[tuple[str, float]]] = field(default_factory=dict)
    ever: dict[str, list[tuple[str, float]]] = field(default_factory=dict)
    owners: dict[tuple[str, int], str] = field(default_factory=dict)
    seen: set[tuple[str, str]] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    born: int = 0
    away: bool = False
    lost: list[str] = field(default_factory=list)
    unrecorded: set[str | None] = field(default_factory=set)
    watched: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.crm = ModelCrm(self.loop.time)
        self.store = MemoryStore(self.loop.time, lambda: WALL + self.loop.time())
        self.people = People(self, CONTEXT, OPTIONS)
        self.team: list[Process] = []
        self.ever_there: list[Process] = []
        for _ in range(self.processes):
            self.loop.run(self.start())

    async def start(self) -> None:
        """One process more, which has heard of the store's clock: before that it can promise no order."""
        self.born += 1
        process = Process(self, f"p{self.born}")
        process.worker.start()
        await asyncio.sleep(3 * self.way)
        self.team.append(process)
        self.ever_there.append(process)

    async def replace(self, place: int, seconds: float = 0.0) -> None:
        """The process dies, or closes, and another one takes its place."""
        dead = self.team.pop(place)
        await dead.die(seconds)
        await self.start()
        self.team.insert(place, self.team.pop())

    def hear(self, intent: Intent, asked: float, answer: Recorded, *, again: bool) -> None:
        """The store hears of what was asked for at `asked`; a session that had lost its chat may begin `again`."""
        if again and answer.verdict is Verdict.NEW:
            self.asked[intent.session] = []
        if answer.verdict in (Verdict.NEW, Verdict.SUPERSEDED):
            for asks in (self.asked, self.ever):
                asks.setdefault(intent.session, []).append((intent.stage, asked))

    def newest(self, session: str) -> set[str]:
        """What a session may be shown as in the end: of its latest stage, and what was asked for at the same moment."""
        later = [one for one in self.asked[session] if one[0] != Stage.FIRST_TOUCH] or self.asked[session]
        last = max(at for _, at in later)
        return {stage for stage, at in later if at > last - AT_ONCE}

    def owed(self, session: str, sessions: list[str]) -> set[str]:
        """What `sessions` have asked of one chat no earlier, whoever had it; a first touch gives way to any stage."""
        mine = max(_order(one) for one in self.asked[session])
        theirs = [one for other in sessions for one in self.ever.get(other, ())]
        return {one[0] for one in theirs if _order(one) > (mine[0], mine[1] - AT_ONCE)}

    def note(self, intent: Intent, recorded: Recorded) -> None:
        """What was told to the caller about an intent must be so."""
        if recorded.verdict is Verdict.KNOWN and recorded.record.desired.intent != intent.key:
            self.broken.append(f"{intent.session}: {intent.key} is not the newest")

    def ask(self, session: str, stage: str, key: str, record: Record) -> None:
        """A session that is known comes to a stage, at the first process."""
        asked = Intent(session, stage, key, record.instagram, record.telegram, reason=f"{session} {key}")
        self.loop.call_soon(self.team[0].begin, asked)

    def person(self, chat_id: str, status: str) -> None:
        """Somebody in the shop moves a chat on."""
        self.people.sets(chat_id, status)

    def look(self, process: Process, answer: Recorded | Claimed | Settled) -> None:
        """What the store hands out: a lease is one process's own."""
        claims: tuple[Claim | None, ...] = answer.claims if isinstance(answer, Claimed) else (answer.claim,)
        for claim in claims:
            if claim and (is_watch(claim.scan) or (claim.record and not pending(claim.record))):
                self.watched += claim.grants
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

    def check_notes(self) -> None:
        """No intent has two notes, of each that was left the ledger knows, and none is owed for ever."""
        left = Counter(text for _, _, text in self.crm.notes)
        fates = {(one.session, one.key, one.after["note"]) for one in self.lines("note")}
        sent, unknown = ({one[:2] for one in fates if one[2] == fate} for fate in ("sent", "unknown"))
        assert not left or max(left.values()) == 1, f"two notes for one intent: {left}"
        assert len(sent) <= len(left) <= len(unknown), f"{sent}, {left}, {unknown}"
        assert not any(one.notes for one in self.store.rows.records.values()), "a note is owed for ever"

    def check_clocks(self) -> None:
        """No live manager is called twice, nor before the others had their time; and no clock runs for ever."""
        for line in self.lines("passed"):
            asked, who = line.after["asked"], line.after["manager_id"]
            assert who not in asked, f"{line.session}: {who} is called again, after {asked}"
            assert line.after["seconds"] > self.answer_within * len(asked) - 0.01, f"{line.session}: {who} too soon"
        assert not [one.session for one in self.store.rows.records.values() if ticks(one)], "a clock runs for ever"

    def lines(self, kind: str) -> list[Entry]:
        """The ledger's lines of a kind."""
        return [one for one in self.store.rows.entries if one.kind == kind]

    def check_tries(self) -> None:
        """Every call has its line in the ledger, but those of which a process died before it could tell."""
        assert sum((one.sent for one in self.ever_there), Counter()) == Counter(
            kind_of(call) for _, call in self.crm.calls
        )
        for process in self.ever_there:
            for _ in range(100):
                if process not in self.team or process.all_told() == process.sent:
                    break
                # Who watches always has a call under way now and then, whose answer is not written down yet.
                self.loop.run_for(0.05)
            assert process not in self.team or process.all_told() == process.sent, f"{process.name}: untold calls"
            assert process.all_told() <= process.sent
        lines = Counter((one.who, one.key) for one in self.store.rows.entries if one.kind == "try")
        least = Counter((one.name, tried.kind) for one in self.ever_there for tried in one.told.values())
        doubtful = Counter(
            (one.name, one.told[of].kind) for one in self.ever_there for of in one.doubtful & one.told.keys()
        )
        assert least <= lines
        assert doubtful or lines == least

    def pending(self) -> list[str]:
        """The sessions that are not there yet."""
        return [one.session for one in self.store.rows.records.values() if pending(one)]

    def settle(self, hours: float = 12.0) -> None:
        """No more trouble; let time pass until nothing is left to do."""
        self.away = False
        self.lost.clear()
        self.crm.trouble.clear()
        self.crm.refuses.clear()
        self.crm.key_ok = True
        for process in self.team:
            process.wake()
        for _ in range(int(hours * 60)):
            self.loop.run_for(60.0)
            if not self._busy():
                self.loop.run_for(400.0)
                # Whose chat was not found may come back.
                if not self._busy():
                    break

    def _busy(self) -> bool:
        # What nobody waits for may be put off with the key.
        left = any(has_work(one) for one in self.store.rows.records.values())
        return bool(left or self.crm.pending or any(any(one.recorder.waiting()) for one in self.team))

    def finish(self) -> None:
        """End everything."""
        for process in self.team:
            process.awake.set()
            self.loop.run(process.die())
        self.loop.finish()
        assert not self.loop.failures, self.loop.failures


def intent(
    session: str, stage: str, key: str, *, name: str, channel: str = "instagram", chat_id: str | None = None
) -> Intent:
    """An intent of a session whose customer has `name` in `channel`."""
    names = {one: name if channel == one else None for one in ("instagram", "telegram")}
    return Intent(session, stage, key, names["instagram"], names["telegram"], chat_id, reason=f"{session} {key}")


def _order(asked: tuple[str, float]) -> tuple[bool, float]:
    return asked[0] != Stage.FIRST_TOUCH, asked[1]
