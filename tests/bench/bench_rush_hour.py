"""A shop's day in virtual time over the real planner, budget, driver, worker and rules: who waits how long."""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from mirt_sitniks.core.budget import Limit
from mirt_sitniks.core.managers import WantedManagers
from mirt_sitniks.core.people import FoldContext
from mirt_sitniks.core.record import Intent, pending
from mirt_sitniks.core.stages import BUILT_IN, Role, Stage
from mirt_sitniks.core.store import Claimed, Recorded, Report, Settled, StoreOptions
from mirt_sitniks.engine.driver import Driver
from mirt_sitniks.engine.managers import ManagerList
from mirt_sitniks.engine.worker import Worker
from mirt_sitniks.stores.memory import MemoryStore
from tests.bench.report import Book
from tests.bench.shop import DAY, PEAK_AT, Talk, talks
from tests.core.virtual import run
from tests.model.crm import WALL, ModelCrm, Trouble

SEED = 20260110
LIMIT = Limit()
PEAK = (PEAK_AT, PEAK_AT + 900.0)
# Seconds: a call to the CRM, and the way to the store.
LATENCY, WAY = 0.25, 0.002
PEOPLE = {Role.AI: 101, Role.HUMAN: 102}


class NearStore(MemoryStore):
    """The store, and a way to it: with none at all, what is due now is due later by the last digit of a float."""

    async def record(self, options: StoreOptions, intent: Intent, *, calls: int = 2) -> Recorded:
        """The store's verb."""
        await asyncio.sleep(WAY)
        return await super().record(options, intent, calls=calls)

    async def claim(self, options: StoreOptions, *, limit: int = 9) -> Claimed:
        """The store's verb."""
        await asyncio.sleep(WAY)
        return await super().claim(options, limit=limit)

    async def settle(self, options: StoreOptions, report: Report) -> Settled:
        """The store's verb."""
        await asyncio.sleep(WAY)
        return await super().settle(options, report)


@dataclass
class World:
    """The core over a model CRM on one virtual clock."""

    clock: Callable[[], float]
    crm: ModelCrm = field(init=False)
    store: MemoryStore = field(init=False)
    worker: Worker = field(init=False)
    options: StoreOptions = field(init=False)

    def __post_init__(self) -> None:
        random = Random(SEED)
        clock = self.clock
        # Answers take a latency with a long tail.
        self.crm = ModelCrm(clock, lambda call: Trouble(after=LATENCY * math.exp(random.gauss(0.0, 0.4))))
        self.store = NearStore(clock, lambda: WALL + clock())
        self.options = StoreOptions("key", limit=LIMIT)
        context = FoldContext(BUILT_IN, landing_time=20.0)
        managers = ManagerList(WantedManagers("Павло"), clock)
        driver = Driver(self.store, self.options, self.crm, managers, context, clock=clock, random=random.random)
        self.worker = Worker(driver)
        self.worker.start()

    async def stage(self, talk: Talk, stage: Stage, key: str) -> None:
        """What a node's sync does, without waiting for the answer."""
        recorded = await self.store.record(self.options, Intent(talk.nickname, stage, key, instagram=talk.nickname))
        if recorded.claim:
            self.worker.spawn(recorded.claim)
        elif pending(recorded.record):
            self.worker.expect(recorded.outlook)


@dataclass(frozen=True, slots=True)
class Wait:
    """How long one stage took to the CRM; None: a later stage took its place before it was sent."""

    stage: Stage
    at: float
    shown: float
    seconds: float | None


@dataclass
class Outcome:
    """What a simulated day came to."""

    crm: ModelCrm
    waits: list[Wait]
    unfinished: int
    span: float


def simulate(day: Sequence[Talk]) -> Outcome:
    """Let a day's conversations happen, and go on until everything is done or four more hours have passed."""

    async def work() -> Outcome:
        loop = asyncio.get_running_loop()
        world = World(loop.time)
        events: list[tuple[float, int, Stage]] = sorted(
            (at, number, stage) for number, talk in enumerate(day) for at, stage in talk.stages
        )
        for at, number, stage in events:
            talk = day[number]
            await asyncio.sleep(max(0.0, at - loop.time()))
            if stage is Stage.FIRST_TOUCH:
                world.crm.add(talk.nickname, talk.nickname, appears_in=talk.late)
            await world.stage(talk, stage, f"{stage.value}:{at}")
        end = loop.time() + 4 * 3600.0
        while (unfinished := (await world.store.counts())["pending"]) and loop.time() < end:  # noqa: ASYNC110
            await asyncio.sleep(5.0)
        span = loop.time()
        await world.worker.drain(0.0)
        came: dict[tuple[str, str | int], list[float]] = {}
        for at, chat_id, value in world.crm.writes:
            came.setdefault((chat_id, value), []).append(at)
        waits = [_work_in(world.crm, came, day[number].nickname, at, stage) for at, number, stage in events]
        return Outcome(world.crm, waits, unfinished, span)

    return run(work(), start=0.0)


def _work_in(
    crm: ModelCrm, came: dict[tuple[str, str | int], list[float]], chat_id: str, at: float, stage: Stage
) -> Wait:
    """When the CRM first showed all that the stage asks for, after it was recorded."""
    effect = BUILT_IN[stage]
    wanted: list[str | int] = [effect.status, *([PEOPLE[effect.role]] if effect.role else [])]
    first = [next((one for one in came.get((chat_id, value), ()) if one >= at), None) for value in wanted]
    done = None if None in first else max(one for one in first if one is not None) - at
    return Wait(stage, at, max(at, crm.shows_at[chat_id]), done)


def _part(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


def measure(book: Book, folder: Path) -> None:
    """A day with its peak, the evening with twice the conversations, and 100 customers at once."""
    _at_once(book, 100)
    usual = {"conversations": 8000, "peak": 300, "invoices": 0.6, "escalations": 0.25}
    _day(book, "a day of 8,000 conversations, 300 first touches in five minutes", "day", usual)
    twice = {**usual, "conversations": 16_000, "peak": 600, "hours": range(18, 22)}
    _day(book, "18:00 to 22:00 with twice as many: above the limit for hours", "twice", twice)


def _day(book: Book, title: str, name: str, shape: dict[str, Any]) -> None:
    day = talks(Random(SEED), **shape)
    outcome = simulate(day)
    crm = outcome.crm
    rows: list[tuple[object, ...]] = []
    kept: dict[str, Any] = {}
    for label, within in (("day", (0.0, 2 * DAY)), ("peak", PEAK)):
        for stage in (Stage.ESCALATION, Stage.GIVE_REQUISITES, Stage.FIRST_TOUCH):
            here = [one for one in outcome.waits if one.stage is stage and within[0] <= one.at < within[1]]
            done = sorted(one.seconds for one in here if one.seconds is not None)
            since = sorted(one.at + one.seconds - one.shown for one in here if one.seconds is not None)
            shares = [_part(done, share) for share in (0.5, 0.9, 0.99)] + [done[-1]]
            times = [f"{value:.1f}" for value in (*shares, _part(since, 0.5), _part(since, 0.99))]
            rows.append((f"{label}: {stage.value}", len(here), len(here) - len(done), *times))
            kept[f"{label}.{stage.value}"] = dict(zip(("p50", "p90", "p99", "max"), shares, strict=True))
            if label == "peak" and stage is Stage.ESCALATION and name == "day":
                book.goal("escalations at the peak: s to the CRM, 99 %", 30.0, shares[2])
    columns = ("when: stage", "recorded", "replaced", "p50 s", "p90", "p99", "max", "p50 since shown", "p99")
    most = crm.most_in_window()
    peak_calls = sum(1 for at, _ in crm.calls if PEAK[0] <= at < PEAK[1])
    peak_use = peak_calls / (PEAK[1] - PEAK[0]) / (LIMIT.calls / LIMIT.seconds)
    day_use = len(crm.calls) / (outcome.span - crm.calls[0][0]) / (LIMIT.calls / LIMIT.seconds)
    note = (
        f"calls {len(crm.calls):,} = {day_use:.0%} of the budget until the last call, "
        f"{peak_use:.0%} at the peak (15 minutes); "
        f"{dict(crm.by_kind())}; 429s {crm.limited}; busiest 10 s: {most} calls; unfinished {outcome.unfinished}; "
        f"done {outcome.span / 3600:.1f} h after midnight"
    )
    book.table(f"Rush hour: {title}", columns, rows, note)
    kept |= {"calls": len(crm.calls), "use": day_use, "peak_use": peak_use, "429": crm.limited}
    kept |= {"kinds": dict(crm.by_kind()), "unfinished": outcome.unfinished}
    book.keep("rush_hour", name, kept)
    if name == "day":
        _options(book, outcome, day)
        book.goal("rush hour: 429s", 0, crm.limited)


def _options(book: Book, outcome: Outcome, day: Sequence[Talk]) -> None:
    """What options that make further calls would cost on that day."""
    stages = [stage for talk in day for _, stage in talk.stages]
    escalated = sum(1 for stage in stages if stage is Stage.ESCALATION)
    budget = DAY * LIMIT.calls / LIMIT.seconds
    base = len(outcome.crm.calls)
    options = (
        ("nothing else", 0, ""),
        ("note at an escalation", escalated, "one call"),
        ("note at every stage", len(stages), "one call each"),
        ("tag at an escalation", escalated, "one read; the tags ride on the manager's write"),
        ("tag at every stage", len(stages) + len(stages) - escalated - len(day), "one read; an invoice also writes"),
    )
    rows = [(name, cost, f"{base + cost:,}", f"{(base + cost) / budget:.0%}", why) for name, cost, why in options]
    columns = ("option", "more calls a day", "calls a day", "of the budget", "why")
    book.table("What options cost on the day of 8,000 conversations", columns, rows)
    book.keep("rush_hour", "options", {name: cost for name, cost, _ in options})


def _at_once(book: Book, size: int) -> None:
    """So many whole conversations that begin in the same second, against the floor that the budget sets."""
    day = [
        Talk(
            f"crowd.{number}",
            1.0,
            0.0,
            ((1.0, Stage.FIRST_TOUCH), (1.2, Stage.GIVE_REQUISITES), (1.4, Stage.ESCALATION)),
        )
        for number in range(size)
    ]
    outcome = simulate(day)
    crm = outcome.crm
    right = sum(1 for chat in crm.chats.values() if chat.status == "AI Увага" and chat.manager_id == 102)
    first, last = crm.calls[0][0], crm.calls[-1][0]
    floor = (len(crm.calls) - 1) // LIMIT.calls * LIMIT.seconds
    rows = [(str(size), f"{right} of {size}", crm.limited, len(crm.calls), f"{last - first:.0f}", f"{floor:.0f}")]
    columns = ("conversations", "end right", "429s", "calls", "s to the last call", "floor of the budget")
    book.table("All three stages of many customers at once, virtual clock", columns, rows)
    ratio = (last - first) / floor
    book.keep("at_once", str(size), {"right": right, "429": crm.limited, "calls": len(crm.calls), "ratio": ratio})
    book.goal(f"{size} conversations at once: chats that end right", size, right, at_least=True)
    book.goal(f"{size} conversations at once: 429s", 0, crm.limited)
    book.goal(f"{size} conversations at once: time over the budget's floor", 1.05, ratio)
