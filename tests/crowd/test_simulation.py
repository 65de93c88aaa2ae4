"""A thousand customers, eight processes and bad days on a virtual clock, over the code that ships."""

import asyncio
import json
import os
from pathlib import Path
from random import Random

import pytest

from mirt_sitniks.core.record import pending
from mirt_sitniks.core.stages import Stage
from tests.crowd.model import Weather
from tests.crowd.town import Event, Town, bad_luck, conversations

FAIR = Weather()
STORMY = Weather(
    crm=(0.02, 0.3), store=(0.001, 0.05), lost=20, late=15, hang=10, broken=20, refused=10, store_out=4, store_in=4
)


def busy_day(seed: int, customers: int, seconds: float, weather: Weather = FAIR) -> Town:
    """A day on which the customers come within `seconds`; ended when nothing is left to be done."""
    town = Town(seed, weather=weather)
    town.day(conversations(Random(seed), customers, seconds, town.processes))
    return town


def bad_day(seed: int, customers: int, seconds: float) -> Town:
    """The same in a storm: answers are lost and late, chats appear late, processes die and freeze."""
    town = Town(seed, weather=STORMY)
    town.day(
        conversations(Random(seed), customers, seconds, town.processes),
        chaos=lambda town: bad_luck(town, until=seconds + 900.0),
        appears=lambda rng: rng.choice([0.0, 0.0, 0.0, 3.0, 40.0, 200.0]),
    )
    return town


def share(sorted_waits: list[float], part: float) -> float:
    """The wait that `part` of all had at most."""
    return sorted_waits[min(len(sorted_waits) - 1, int(len(sorted_waits) * part))]


@pytest.mark.slow
@pytest.mark.long
def test_a_thousand_customers_of_eight_processes(tmp_path: Path) -> None:
    """Every chat ends right, no 429 by our own budget, the budget is used up, and escalations go first."""
    town = busy_day(1, 1000, 4000.0)
    sent, allowed = town.used()
    waits = {stage: [round(share(one, part), 1) for part in (0.5, 0.95, 1.0)] for stage, one in town.waits().items()}
    numbers = {
        "429 answers": town.crm.refusals,
        "wrong": len(town.wrong()),
        "calls": len(town.crm.arrivals),
        "used under contention": round(sent / allowed, 4),
        "store calls for each call": round(sum(one.store_calls for one, _ in town.crew) / len(town.crm.arrivals), 1),
        "longest lull": round(town.eye.lull, 2),
        "waited (50 %, 95 %, all)": waits,
    }
    text = json.dumps(numbers, indent=1)
    (Path(os.environ.get("MIRT_SITNIKS_CACHE") or tmp_path) / "crowd-simulation.json").write_text(text)
    print(text)
    assert not town.wrong()
    assert town.crm.refusals == 0
    assert sent / allowed >= 0.95
    assert town.eye.lull < 1.0
    first, invoice, escalation = (waits[stage] for stage in Stage)
    assert escalation[1] < invoice[1] < first[1]
    assert escalation[1] < 60.0


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_thousand_customers_on_a_bad_day(seed: int) -> None:
    """Lost and late answers, a store that fails, processes that die and freeze: all ends right, and no 429."""
    town = bad_day(seed, 1000 if seed == 1 else 250, 4000.0 if seed == 1 else 1500.0)
    assert min(town.trace.counts[what] for what in ("kill", "freeze", "lost", "late", "hang", "store_out")) > 5
    assert not town.wrong()
    assert town.crm.refusals == 0
    assert not town.loop.failures


@pytest.mark.parametrize("seed", range(10, 14))
def test_a_few_customers_on_a_bad_day(seed: int) -> None:
    """As above, in a small town."""
    town = bad_day(seed, 40, 400.0)
    assert not town.wrong()
    assert town.crm.refusals == 0


def test_the_same_seed_is_the_same_day() -> None:
    """Everything that happens at the store and in the CRM is the same, to the last event and its time."""
    assert bad_day(7, 30, 300.0).trace.digest == bad_day(7, 30, 300.0).trace.digest
    assert bad_day(7, 30, 300.0).trace.digest != bad_day(8, 30, 300.0).trace.digest


@pytest.mark.parametrize("share_slow", [100.0, 300.0])
def test_slow_answers_of_the_store_break_no_limit(share_slow: float) -> None:
    """A grant that was long under way is not used: others may have been given its place in the window since."""
    town = busy_day(1, 100, 200.0, Weather(store_slow=share_slow))
    assert town.crm.refusals == 0
    assert not town.wrong()


def test_a_store_that_is_always_slow_does_not_stop_the_work() -> None:
    """Grants are old only by comparison: with most of a second to the store and back the budget is used up too."""
    town = busy_day(1, 100, 100.0, Weather(store=(0.3, 0.5)))
    sent, allowed = town.used()
    assert sent / allowed >= 0.9
    assert town.crm.refusals == 0


def test_what_is_found_is_driven_at_once() -> None:
    """After a scan, or when a record is let go for want of calls, somebody looks again as soon as there is a call."""
    assert busy_day(1, 200, 600.0).eye.lull < 1.0


def test_processes_at_rest_sweep_once_a_minute() -> None:
    """Nothing unfinished: each process asks the store once in half a minute to a minute, and nothing else."""
    town = busy_day(2, 20, 60.0)
    assert all(60 <= calls <= 121 for calls in town.rest(3600.0).values())


def test_a_chat_that_does_not_appear_costs_little() -> None:
    """One unfinished search for half an hour: a few store calls a minute, not a busy loop."""
    town = Town(3)
    town.day([Event(0.0, "late", Stage.FIRST_TOUCH, 0)], appears=lambda rng: 1200.0)
    assert town.trace.counts["ListChats"] < 15
    assert sum(process.store_calls for process, _ in town.crew) < 8 * town.now() / 60.0 + 80


def test_work_of_the_dead_waits_for_lease_and_sweep_only() -> None:
    """What a process leaves behind is done within its lease and one sweep of the others."""
    town = Town(4, processes=2)

    async def one_dies(town: Town) -> None:
        process, _ = town.crew[0]
        # The scan is over by then, and the first write is under way.
        await asyncio.sleep(0.65)
        assert town.trace.counts["ListChats"]
        assert not town.trace.counts["effect"]
        process.kill()
        town.crew[0] = process, None

    ended = town.day([Event(0.5, "left", Stage.FIRST_TOUCH, 0)], chaos=one_dies)
    assert not town.wrong()
    assert ended < 30.0 + 60.0 + 15.0
    assert not any(pending(one) for one in town.store.rows.records.values())
