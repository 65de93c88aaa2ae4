"""A thousand customers, eight processes and bad days on a virtual clock, over the code that ships."""

import asyncio
import json
import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mirt_sitniks.core.record import pending
from mirt_sitniks.core.stages import Stage
from tests.crowd.network import Network
from tests.crowd.simulation import Event, Simulation, bad_luck, conversations, store_trouble

GOOD = Network()
BAD = Network(
    crm=(0.02, 0.3), store=(0.001, 0.05), lost=20, late=15, hang=10, broken=20, refused=10, store_out=4, store_in=4
)


def busy_day(seed: int, customers: int, seconds: float, network: Network = GOOD, **options: Any) -> Simulation:
    """A day on which the customers come within `seconds`; ended when nothing is left to be done."""
    simulation = Simulation(seed, network=network, **options)
    simulation.day(conversations(Random(seed), customers, seconds, simulation.processes))
    return simulation


def bad_day(seed: int, customers: int, seconds: float, **options: Any) -> Simulation:
    """The same with bad luck: answers are lost and late, chats appear late, processes die and freeze."""
    simulation = Simulation(seed, network=BAD, **options)
    simulation.day(
        conversations(Random(seed), customers, seconds, simulation.processes),
        chaos=lambda simulation: bad_luck(simulation, until=seconds + 900.0),
        appears=lambda rng: rng.choice([0.0, 0.0, 0.0, 3.0, 40.0, 200.0]),
    )
    return simulation


def share(sorted_waits: list[float], part: float) -> float:
    """The wait that `part` of all had at most."""
    return sorted_waits[min(len(sorted_waits) - 1, int(len(sorted_waits) * part))]


def trips(simulation: Simulation) -> float:
    """Store calls for each call of the CRM."""
    return sum(process.store_calls for process, _ in simulation.team) / len(simulation.crm.calls)


def told(numbers: dict[str, Any], folder: Path, name: str) -> None:
    """Print the numbers, and leave them where `make test` keeps such."""
    text = json.dumps(numbers, indent=1)
    (Path(os.environ.get("MIRT_SITNIKS_CACHE") or folder) / f"crowd-{name}.json").write_text(text)
    print(text)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.virtual
def test_a_thousand_customers_of_eight_processes(tmp_path: Path) -> None:
    """Every chat ends right, no 429 by our own budget, the budget is used up, and escalations go first."""
    simulation = busy_day(1, 1000, 4000.0)
    sent, allowed = simulation.used()
    waits = {
        stage: [round(share(one, part), 1) for part in (0.5, 0.95, 1.0)] for stage, one in simulation.waits().items()
    }
    numbers = {
        "429 answers": simulation.crm.limited,
        "wrong": len(simulation.wrong()),
        "calls": len(simulation.crm.calls),
        "used under contention": round(sent / allowed, 4),
        "store calls for each call": round(trips(simulation), 1),
        "longest lull": round(simulation.watched.lull, 2),
        "waited (50 %, 95 %, all)": waits,
    }
    told(numbers, tmp_path, "simulation")
    assert not simulation.wrong()
    assert simulation.crm.limited == 0
    assert sent / allowed >= 0.95
    assert simulation.watched.lull < 1.0
    first, invoice, escalation = (waits[stage] for stage in Stage)
    # A first touch that an invoice takes over is not counted, so those two say nothing of each other here.
    assert escalation[2] < min(first[1], invoice[1])
    assert escalation[1] < 60.0


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "most"), [(1, 3.5), (8, 3.6), (30, 4.5)])
@pytest.mark.virtual
def test_more_processes_cost_the_store_little(tmp_path: Path, processes: int, most: float) -> None:
    """Above the limit for a quarter of an hour the store is asked a few times for each call, and lists are few."""
    simulation = busy_day(1, 300, 900.0, processes=processes)
    sent, allowed = simulation.used()
    calls, limit = simulation.crm.by_kind(), simulation.settings.rate_limit
    numbers = {
        "processes": processes,
        "429 answers": simulation.crm.limited,
        "seconds of overload": round(allowed / limit.calls * limit.seconds),
        "used in them": round(sent / allowed, 4),
        "store calls for each call": round(trips(simulation), 2),
        "escalations waited (50 %, 95 %, all)": [
            round(share(simulation.waits()[Stage.ESCALATION], part), 1) for part in (0.5, 0.95, 1.0)
        ],
        "calls": dict(calls),
    }
    told(numbers, tmp_path, f"store-{processes}")
    assert not simulation.wrong()
    assert simulation.crm.limited == 0
    assert allowed >= 900.0 * limit.calls / limit.seconds
    assert sent / allowed >= 0.95
    assert trips(simulation) < most
    assert share(simulation.waits()[Stage.ESCALATION], 0.95) < 60.0
    # A page of chats serves all who wait; the managers are known to a process for ten minutes.
    assert calls["ListChats"] <= 300 / 3
    assert calls["ListManagers"] <= processes * (1 + simulation.now() // 600.0)


@pytest.mark.slow
@pytest.mark.virtual
def test_one_process_looks_out_for_all(tmp_path: Path) -> None:
    """But for their sweeps thirty processes ask the store as often as one, and seldom two of them at once."""
    alone, many = (busy_day(1, 300, 900.0, processes=count, sweep=36_000.0) for count in (1, 30))
    looks = sorted(many.looks)
    clashes = sum(1 for (_, end), (begin, _) in pairwise(looks) if begin < end)
    numbers = {
        "store calls for each call, one process": round(trips(alone), 2),
        "store calls for each call, thirty processes": round(trips(many), 2),
        "claims": len(looks),
        "claims while another was under way": clashes,
    }
    told(numbers, tmp_path, "lookout")
    assert trips(many) < 1.15 * trips(alone)
    assert clashes < 0.1 * len(looks)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.virtual
def test_a_thousand_customers_on_a_bad_day(seed: int) -> None:
    """Lost and late answers, a store that fails, processes that die and freeze: all ends right, and no 429."""
    simulation = bad_day(seed, 1000 if seed == 1 else 250, 4000.0 if seed == 1 else 1500.0)
    assert min(simulation.trace.counts[what] for what in ("kill", "freeze", "lost", "late", "hang", "store_out")) > 5
    assert not simulation.wrong()
    assert simulation.crm.limited == 0
    assert not simulation.loop.failures


@pytest.mark.parametrize("seed", range(10, 14))
def test_a_few_customers_on_a_bad_day(seed: int) -> None:
    """As above, in a small shop; of a call there is no line only where a process died before it could tell, and a
    second one only where the store's answer was lost."""
    simulation = bad_day(seed, 40, 400.0, notes=True)
    assert not simulation.wrong()
    assert simulation.crm.limited == 0
    untold, twice = simulation.untold()
    assert untold.total() <= 2 * simulation.trace.counts["kill"]
    assert twice.total() <= 2 * simulation.trace.counts["store_out"]


@pytest.mark.parametrize("by_creation", [False, True])
def test_people_are_seen_without_webhooks_in_a_tenth_of_the_calls(by_creation: bool) -> None:
    """One of eight processes watches for all: what people have changed and written is known, the day ends right, and
    afterwards no call beyond the share is made, nor is the store asked by all for one."""
    simulation = Simulation(5, sweep=36_000.0, watch=60.0)
    simulation.crm.by_creation = by_creation
    simulation.day(conversations(Random(5), 40, 400.0, simulation.processes))
    assert (simulation.wrong(), simulation.crm.limited) == ([], 0)
    begin = simulation.now()
    for number, chat_id in enumerate(simulation.chats.values()):
        if number % 2:
            simulation.crm.person_sets(chat_id, status="ОПЛАЧЕНО")
        else:
            simulation.crm.write(chat_id, manager="Олена")
    asked = sum(simulation.rest(1800.0).values())
    calls = sum(1 for at, _ in simulation.crm.calls if at > begin)
    limit = simulation.settings.rate_limit
    assert calls <= 0.1 * limit.calls * 1800.0 / limit.seconds + 1
    assert asked <= 3.5 * calls
    for number, session in enumerate(simulation.chats):
        record = simulation.store.rows.records[session]
        assert (record.observed.status.value == "ОПЛАЧЕНО") if number % 2 else (record.talk.why == "message"), session


@pytest.mark.parametrize("seed", range(50, 52))
def test_a_few_customers_on_a_bad_day_under_watch(seed: int) -> None:
    """Answers are lost and processes die and freeze, also those that watch: no stage is lost, and no 429."""
    simulation = bad_day(seed, 30, 300.0, watch=60.0)
    assert not simulation.wrong()
    assert simulation.crm.limited == 0


@pytest.mark.parametrize("seed", range(30, 33))
def test_row30_a_store_that_comes_and_goes_loses_nothing(seed: int) -> None:
    """For moments and minutes, while customers come and processes close: each stage is recorded, each chat ends right,
    and what is written past the store breaks no limit."""
    simulation = Simulation(seed, processes=4)
    events = conversations(Random(seed), 60, 600.0, 4, pace=(1.0, 120.0))
    simulation.day(events, chaos=lambda simulation: store_trouble(simulation, until=900.0))
    assert min(simulation.trace.counts[what] for what in ("outage", "close", "store_in")) > 3
    assert len(simulation.store.rows.intents) == len(events)
    assert simulation.untold() == ({}, {}), "a call without a line, or two lines of one"
    assert not simulation.wrong()
    assert simulation.crm.limited == 0
    assert not simulation.loop.failures


def test_the_same_seed_is_the_same_day() -> None:
    """Everything that happens at the store and in the CRM is the same, to the last event and its time."""
    assert bad_day(7, 30, 300.0).digest() == bad_day(7, 30, 300.0).digest()
    assert bad_day(7, 30, 300.0).digest() != bad_day(8, 30, 300.0).digest()


@pytest.mark.parametrize(("seed", "share_slow"), [(1, 100.0), (1, 300.0), (2, 300.0), (4, 300.0), (20, 100.0)])
def test_slow_answers_of_the_store_break_no_limit(seed: int, share_slow: float) -> None:
    """A grant that was long under way is not used: others may have been given its place in the window since. So it is
    for a process whose first answers are all slow."""
    simulation = busy_day(seed, 100, 200.0, Network(store_slow=share_slow))
    assert simulation.crm.limited == 0
    assert not simulation.wrong()


@pytest.mark.parametrize("seed", range(4))
def test_row29_records_that_stall_change_no_order(seed: int) -> None:
    """One of three is up to half a minute on its way to the store, and other processes' later ones overtake it: each
    chat ends with the stage that was asked for last."""
    simulation = Simulation(seed, network=Network(store_stall=300.0))
    talk = conversations(Random(seed), 100, 600.0, simulation.processes, pace=(0.05, 20.0))
    # A process that has heard of no clock yet promises no order.
    simulation.day([replace(event, at=event.at + 120.0) for event in talk])
    assert not simulation.wrong()
    late = [one for one in simulation.store.rows.entries if one.kind == "intent" and not one.generation]
    assert len(late) > 10, "nothing was overtaken"


def test_a_store_that_is_always_slow_does_not_stop_the_work() -> None:
    """Grants are old only by comparison: with most of a second to the store and back the budget is used up too."""
    simulation = busy_day(1, 100, 100.0, Network(store=(0.3, 0.5)))
    sent, allowed = simulation.used()
    assert sent / allowed >= 0.9
    assert simulation.crm.limited == 0


def test_what_is_found_is_driven_at_once() -> None:
    """After a scan, or when a record is let go for want of calls, somebody looks again as soon as there is a call."""
    assert busy_day(1, 200, 600.0).watched.lull < 1.0


def test_processes_at_rest_sweep_once_a_minute() -> None:
    """Nothing unfinished: each process asks the store once in half a minute to a minute, and nothing else."""
    simulation = busy_day(2, 20, 60.0)
    assert simulation.untold() == ({}, {})
    assert all(60 <= calls <= 121 for calls in simulation.rest(3600.0).values())


def test_a_chat_that_does_not_appear_costs_little() -> None:
    """One unfinished search for half an hour: a few store calls a minute, not a busy loop."""
    simulation = Simulation(3)
    simulation.day([Event(0.0, "late", Stage.FIRST_TOUCH, 0)], appears=lambda rng: 1200.0)
    assert simulation.crm.by_kind()["ListChats"] < 15
    assert sum(process.store_calls for process, _ in simulation.team) < 8 * simulation.now() / 60.0 + 80


def test_work_of_the_dead_waits_for_lease_and_sweep_only() -> None:
    """What a process leaves behind is done within its lease and one sweep of the others."""
    simulation = Simulation(4, processes=2)

    async def one_dies(simulation: Simulation) -> None:
        process, _ = simulation.team[0]
        # The scan is over by then, and the first write is under way.
        await asyncio.sleep(0.65)
        assert simulation.crm.by_kind()["ListChats"]
        assert not simulation.crm.writes
        process.kill()
        simulation.team[0] = process, None

    ended = simulation.day([Event(0.5, "left", Stage.FIRST_TOUCH, 0)], chaos=one_dies)
    assert not simulation.wrong()
    assert ended < 30.0 + 60.0 + 15.0
    assert not any(pending(one) for one in simulation.store.rows.records.values())
