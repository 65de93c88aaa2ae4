"""An escalation that nobody answers goes from one live manager to the next, each once, and then it is said aloud."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirt_sitniks.core.hours import parse_hours, working_seconds, working_until
from mirt_sitniks.core.managers import Manager
from mirt_sitniks.core.record import has_work, ticks
from mirt_sitniks.core.result import Outcome
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.talk import AI
from mirt_sitniks.crm.calls import GetChat, SetStatus, UpdateChat
from mirt_sitniks.crm.events import ListMessages
from tests.core.test_bad_days import outcome, record, say, sent
from tests.core.world import World
from tests.model.crm import WALL, Trouble

ALARM, INVOICE, FIRST = Stage.ESCALATION, Stage.GIVE_REQUISITES, Stage.FIRST_TOUCH
WITHIN = 900.0
LIVE = (104, 102, 103)
PEOPLE = tuple(Manager(number, name) for number, name in ((101, "Павло"), (102, "Олена"), (103, "Марко"), (104, "Яна")))


@pytest.fixture
def world() -> Iterator[World]:
    made = World(processes=2, live=LIVE, answer_within=WITHIN)
    made.crm.managers = PEOPLE
    made.crm.add("chat", "anna")
    yield made
    made.check()
    made.finish()


def assigned(world: World) -> list[tuple[float, int]]:
    """Who was made responsible by a call, and when it had come to pass, but the AI."""
    return [(at, value) for at, _, value in world.crm.writes if isinstance(value, int) and value != 101]


def lines(world: World, kind: str) -> list[dict[str, object]]:
    """What the ledger's lines of a kind say."""
    return [one.after for one in world.lines(kind)]


def escalated(world: World, stage: Stage = ALARM) -> None:
    """A first touch, and a moment later a person is called."""
    say(world, FIRST)
    world.loop.run_for(30.0)
    say(world, stage)
    world.loop.run_for(10.0)


@pytest.mark.parametrize("stage", [ALARM, "complaint"])
def test_each_manager_gets_it_once_and_then_it_is_told(
    world: World, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """A quarter of an hour each, by a stage of the shop's own as well; the status is not touched; one ERROR, and then
    nothing more is called."""
    escalated(world, stage)
    statuses = sent(world, SetStatus)
    world.loop.run_for(10 * WITHIN)
    times, who = zip(*assigned(world), strict=True)
    assert who == LIVE
    assert all(WITHIN <= later - before < WITHIN + 30.0 for before, later in zip(times, times[1:], strict=False))
    assert sent(world, SetStatus) == statuses
    assert (sent(world, ListMessages), outcome(world)) == (3, Outcome.SYNCED)
    (told,) = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert told == (
        "sitniks: nobody has answered for 45 min, and of the live managers nobody is left to be asked (3 managers had "
        f"the chat): answer there, or name more people in SITNIKS_HUMAN_MANAGER_ID session=s chat=chat stage={stage}"
    )
    assert [one["manager_id"] for one in lines(world, "passed")] == [102, 103]
    assert [one["asked"] for one in lines(world, "unanswered")] == [[104, 102, 103]]
    assert not ticks(record(world))
    assert not has_work(record(world))


def message(world: World) -> None:
    world.crm.write("chat", "Марко")


def status(world: World) -> None:
    world.person("chat", "ОПЛАЧЕНО")


def assignment(world: World) -> None:
    world.crm.person_sets("chat", manager_id=103)


def hand_back(world: World) -> None:
    world.crm.person_sets("chat", manager_id=101)


@pytest.mark.parametrize("sign", [message, status, assignment, hand_back])
def test_a_person_who_came_is_seen_before_the_next_one_is_called(world: World, sign: Callable[[World], None]) -> None:
    """He wrote, set a status, took the chat or gave it back: nobody tells of it, so it is read, and the clock ends."""
    escalated(world)
    world.loop.run_for(300.0)
    before, wrote = len(world.crm.calls), len(assigned(world))
    sign(world)
    world.loop.run_for(10 * WITHIN)
    assert [type(call) for _, call in world.crm.calls[before:]] == [GetChat, ListMessages][: 2 - (sign is hand_back)]
    assert len(assigned(world)) == wrote
    (answer,) = lines(world, "answered")
    assert 290.0 < float(str(answer["seconds"])) < WITHIN + 10.0
    assert record(world).clock and not ticks(record(world))
