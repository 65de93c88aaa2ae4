"""An escalation that nobody answers goes from one live manager to the next, each once, and then it is said aloud."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirt_sitniks.core.events import Event
from mirt_sitniks.core.hours import parse_hours, working_seconds, working_until
from mirt_sitniks.core.managers import Manager
from mirt_sitniks.core.record import has_work, ticks
from mirt_sitniks.core.result import Outcome
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.text import iso
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
    assert all(WITHIN <= later - before < WITHIN + 30.0 for before, later in pairwise(times))
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
    assert [type(call) for _, call in world.crm.calls[before:]] == [GetChat, ListMessages][: 1 + (sign is message)]
    assert len(assigned(world)) == wrote
    (answer,) = lines(world, "answered")
    assert 290.0 < float(str(answer["seconds"])) < WITHIN + 10.0
    clock = record(world).clock
    assert clock
    assert not clock.ticks


def test_who_takes_a_chat_that_the_ai_never_had_is_a_person_as_well(world: World) -> None:
    """An escalation is the first stage: whom we did not call, but who has the chat now, has come by himself."""
    say(world, ALARM)
    world.loop.run_for(60.0)
    assignment(world)
    world.loop.run_for(10 * WITHIN)
    assert [who for _, who in assigned(world)] == [104]
    assert [one["why"] for one in lines(world, "answered")] == ["assigned"]


def test_a_crm_whose_clock_is_behind_is_heard_all_the_same(world: World) -> None:
    """By its clock he wrote before the last look, and after the call."""
    escalated(world)
    world.loop.run_for(WITHIN + 10.0)
    message(world)
    late = world.crm.messages["chat"][-1]
    at = iso(WALL + world.loop.time() - 40.0)
    world.crm.messages["chat"][-1] = replace(late, at=at)
    world.loop.run_for(10 * WITHIN)
    assert [who for _, who in assigned(world)] == [104, 102]
    assert len(lines(world, "answered")) == 1


def test_what_a_customer_or_the_page_writes_ends_nothing(world: World) -> None:
    """He asks again, and the graph answers him: the next manager is called all the same."""
    escalated(world)
    world.crm.write("chat")
    world.crm.write("chat", "")
    world.loop.run_for(WITHIN + 30.0)
    assert [who for _, who in assigned(world)] == [104, 102]


def test_a_sign_that_comes_by_itself_costs_no_call(world: World) -> None:
    """A webhook tells of a manager's message: the clock ends there and then, and nothing is read."""
    escalated(world)
    world.loop.run_for(120.0)
    world.crm.write("chat", "Марко")
    message = world.crm.messages["chat"][-1]
    event = Event(world.crm.chats["chat"], message, message.at)
    before = len(world.crm.calls)
    world.loop.run(world.store.hear(world.team[1].driver.options, (event,)))
    world.loop.run_for(10 * WITHIN)
    assert len(world.crm.calls) == before
    assert [one["why"] for one in lines(world, "answered")] == ["message"]


def test_a_second_escalation_changes_nothing_while_the_clock_runs(world: World) -> None:
    """Nobody gets a quarter of an hour more; after an answer a new event has a clock of its own."""
    escalated(world)
    world.loop.run_for(WITHIN - 200.0)
    say(world, ALARM)
    world.loop.run_for(250.0)
    assert [who for _, who in assigned(world)][-1] == 102
    message(world)
    world.loop.run_for(2 * WITHIN)
    assert (len(lines(world, "answered")), lines(world, "unanswered")) == (1, [])
    say(world, ALARM)
    world.loop.run_for(10 * WITHIN)
    assert [who for _, who in assigned(world)][-3:] == [102, 103, 104], "whose turn it is, and who has not had it yet"
    assert len(lines(world, "unanswered")) == 1


@pytest.mark.parametrize("stage", [INVOICE, "paid"])
def test_a_later_stage_lets_the_clock_run(world: World, stage: Stage) -> None:
    """It says nothing of who has the chat; a first touch of nobody's either."""
    escalated(world)
    say(world, stage)
    world.loop.run_for(10 * WITHIN)
    assert [who for _, who in assigned(world)] == list(LIVE)
    assert outcome(world) is Outcome.SYNCED


@pytest.mark.parametrize("live", [(102,), ()])
def test_with_nobody_else_to_call_it_is_only_told(live: tuple[int, ...]) -> None:
    """One live manager, or whoever is there first: after his quarter of an hour it is said, once."""
    world = World(processes=2, live=live, answer_within=WITHIN)
    world.crm.add("chat", "anna")
    escalated(world)
    writes = sent(world, UpdateChat)
    world.loop.run_for(5 * WITHIN)
    assert (len(lines(world, "unanswered")), sent(world, UpdateChat)) == (1, writes)
    world.finish()


@pytest.mark.parametrize("answers", [True, False])
def test_where_nobody_can_be_assigned_the_messages_tell(world: World, answers: bool) -> None:
    """The stage waits for a right; meanwhile who has answered is known from the messages, and who has not is told of
    once. The stage keeps its pace."""
    world.crm.behave(refuses={UpdateChat})
    escalated(world)
    assert outcome(world) is Outcome.PARTIAL
    if answers:
        message(world)
    world.loop.run_for(4 * WITHIN)
    assert (len(lines(world, "answered")), len(lines(world, "unanswered"))) == (int(answers), int(not answers))
    assert sent(world, UpdateChat) <= 7
    assert outcome(world) is Outcome.PARTIAL


def test_one_who_is_missing_is_passed_over(world: World) -> None:
    """The next in turn is no more: the one behind him gets the chat, at once and with time of his own."""
    escalated(world)
    world.crm.left.add(102)
    world.loop.run_for(10 * WITHIN)
    assert [who for _, who in assigned(world)] == [104, 103]
    assert len(lines(world, "unanswered")) == 1


@pytest.mark.parametrize("kind", [GetChat, ListMessages])
@pytest.mark.parametrize("how", ["403", "502", "hang"])
def test_what_cannot_be_read_keeps_nobody_waiting_for_ever(world: World, kind: type, how: str) -> None:
    """Refused: the next is called without it. In trouble: once it is over, or after an hour."""
    escalated(world)
    world.crm.usually = lambda call: Trouble(how if isinstance(call, kind) else "ok")
    if how == "403":
        world.crm.usually = lambda call: Trouble()
        world.crm.behave(refuses={kind})
    world.loop.run_for(WITHIN + 5400.0)
    assert 102 in [who for _, who in assigned(world)]


def test_row18_a_clock_outlives_its_processes(world: World) -> None:
    """Whoever is up goes on with it; nobody is called twice, though they die at any moment."""
    escalated(world)
    for place in (0, 1, 0, 1, 0):
        world.loop.run_for(WITHIN / 2)
        world.loop.run(world.replace(place))
    world.loop.run_for(10 * WITHIN)
    assert [who for _, who in assigned(world)] == list(LIVE)
    assert len(lines(world, "unanswered")) == 1


def test_the_clock_belongs_to_the_chat(world: World) -> None:
    """Another session of the customer gets the chat: its clock goes on where it was, with those who had it."""
    escalated(world)
    world.loop.run_for(WITHIN)
    say(world, INVOICE, session="later")
    world.loop.run_for(10 * WITHIN)
    assert [who for _, who in assigned(world)] == list(LIVE)
    assert record(world).closed == "superseded"
    assert [one.session for one in world.lines("unanswered")] == ["later"]


def test_without_the_setting_there_is_no_clock() -> None:
    """Not a call more; and one of before, when it was set, ends."""
    world = World(processes=1, live=LIVE)
    world.crm.managers = PEOPLE
    world.crm.add("chat", "anna")
    escalated(world)
    assert record(world).clock is None
    world.team[0].driver.options = replace(world.team[0].driver.options, answer_within=WITHIN)
    say(world, ALARM)
    world.loop.run_for(60.0)
    assert ticks(record(world))
    world.team[0].driver.options = replace(world.team[0].driver.options, answer_within=0.0)
    calls = len(world.crm.calls)
    world.loop.run_for(5 * WITHIN)
    assert (record(world).clock, len(world.crm.calls)) == (None, calls)
    world.finish()


HOURS = parse_hours("Mon-Fri 09:00-19:00; Sat 10:00-15:00 Europe/Kyiv", ZoneInfo)


def test_nobody_is_called_outside_working_hours() -> None:
    """Asked for on a Friday: each has four hours of working time, and the last one's end on Saturday."""
    world = World(processes=1, live=LIVE, answer_within=4 * 3600.0, hours=HOURS)
    world.crm.managers = PEOPLE
    world.crm.add("chat", "anna")
    escalated(world)
    world.loop.run_for(2 * 86_400.0)
    times = [at for at, _ in assigned(world)]
    worked = [working_seconds(HOURS, WALL + before, WALL + later) for before, later in pairwise(times)]
    assert len(worked) == 2
    assert all(4 * 3600.0 <= one < 4 * 3600.0 + 60.0 for one in worked)
    (told,) = world.lines("unanswered")
    assert 4 * 3600.0 <= working_seconds(HOURS, WALL + times[-1], told.at) < 4 * 3600.0 + 60.0
    world.finish()


@given(since=st.integers(1_700_000_000, 1_800_000_000), seconds=st.integers(1, 400_000))
def test_working_time_ends_when_it_has_passed(since: int, seconds: int) -> None:
    """Whatever the weekend or the change of the clocks."""
    until = working_until(HOURS, since, seconds)
    assert working_seconds(HOURS, since, until) == seconds
    assert working_seconds(HOURS, since, until - 1) < seconds
