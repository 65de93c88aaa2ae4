"""Without webhooks: what people do is seen from the lists of chats, in a share of the calls and behind all else."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mirt_sitniks.core.record import Record
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.talk import HUMAN
from mirt_sitniks.core.turns import lag_of
from tests.core.virtual import VirtualLoop
from tests.core.world import OPTIONS, World, intent
from tests.model.crm import Trouble

PERIOD = 60.0
WATCHING = replace(OPTIONS, watch=PERIOD)
PACE = WATCHING.watch_pace


@pytest.fixture(params=[False, True], ids=["by_message", "by_creation"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Two processes that watch; the account lists chats by their last message, or by their creation."""
    world = World(watch=PERIOD)
    world.crm.by_creation = request.param
    yield world
    world.check()
    world.finish()


def serve(world: World, *names: str, age: float = 0.0) -> None:
    """Each customer's first message came so many seconds ago, and each is shown as taken."""
    for name in names:
        world.crm.add(f"chat-{name}", name)
        world.crm.age(f"chat-{name}", age)
        chat_id = f"chat-{name}" if age else None
        world.loop.run(world.team[0].sync(intent(name, Stage.FIRST_TOUCH, "first", name=name, chat_id=chat_id)))
    world.settle()
    assert not world.pending()


def record_of(world: World, name: str) -> Record:
    return world.store.rows.records[name]


def test_a_persons_change_is_seen_within_two_periods(world: World) -> None:
    """Somebody moves a chat and takes it: no stage asks, and the record shows both within moments of a period."""
    serve(world, "olena")
    world.crm.person_sets("chat-olena", status="ОПЛАЧЕНО", manager_id=102)
    world.loop.run_for(2 * PERIOD)
    mine = record_of(world, "olena")
    assert (mine.observed.status.value, mine.talk.owner, mine.talk.why) == ("ОПЛАЧЕНО", HUMAN, "assigned")


def test_a_managers_message_is_heard_within_two_periods(world: World) -> None:
    """He writes in Sitniks: the chat is his; what the customer and the graph write is nobody's taking over."""
    serve(world, "olena", "ivan")
    world.crm.write("chat-ivan")
    world.crm.write("chat-ivan", manager="")
    world.crm.write("chat-olena", manager="Олена")
    world.loop.run_for(2 * PERIOD)
    talks = {name: record_of(world, name).talk for name in ("olena", "ivan")}
    assert (talks["olena"].owner, talks["olena"].why) == (HUMAN, "message")
    assert talks["ivan"].owner != HUMAN


def most_in(moments: list[float], seconds: float) -> int:
    """The most of them that lie within any stretch of so many seconds."""
    return max((sum(1 for one in moments if at <= one < at + seconds) for at in moments), default=0)


def test_chats_that_no_list_shows_are_looked_at_in_turn(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Twenty old chats, all changed by a person: each is seen, in the share of calls, and how long that takes is
    known."""
    names = [f"customer{number:02}" for number in range(20)]
    serve(world, *names, age=400 * 86_400.0)
    for name in names:
        world.crm.person_sets(f"chat-{name}", status="ОПЛАЧЕНО")
    before = len(world.crm.calls)
    world.loop.run_for(3 * PERIOD + (len(names) + 10) * PACE)
    assert {record_of(world, name).observed.status.value for name in names} == {"ОПЛАЧЕНО"}
    made = [at for at, _ in world.crm.calls[before:]]
    assert most_in(made, 20 * PACE) <= 21
    lag = lag_of(world.store.rows.key("key").watch, world.loop.time())
    assert lag is not None
    told = [one.getMessage() for one in caplog.records if "is seen after about" in one.getMessage()]
    assert 1 <= len(told) <= world.processes
    assert "SITNIKS_WATCH_SHARE" in told[0]
    assert lag <= 2 * PERIOD + (len(names) + 10) * PACE


def test_what_a_list_has_shown_is_looked_at_by_nobody_whatever_the_clock_shows() -> None:
    """By the last digit of a clock a chat is shown a moment before the list began, as any clock has such moments."""
    world = World(watch=PERIOD, loop=VirtualLoop(8150.0))
    world.crm.by_creation = True
    serve(world, "olena", "ivan")
    looks = world.crm.by_kind()["GetChat"]
    world.loop.run_for(3600.0)
    assert world.crm.by_kind()["GetChat"] == looks
    world.finish()


def test_a_day_costs_no_more_than_the_share(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Thirty chats in which all write all the time: what is to be read waits for its turn, and nobody is forgotten."""
    names = [f"customer{number:02}" for number in range(31)]
    serve(world, *names)
    before, first = len(world.crm.calls), len(world.watched)
    for _ in range(60):
        for name in names:
            world.crm.write(f"chat-{name}")
        world.loop.run_for(30.0)
    for name in names:
        world.crm.write(f"chat-{name}", manager="Олена")
    world.loop.run_for(30 * PACE * 2)
    assert all(record_of(world, name).talk.owner == HUMAN for name in names)
    late = [one for one in caplog.records if "is seen after about" in one.getMessage()]
    assert len(late) <= world.processes
    assert len(world.crm.calls) - before == len(world.watched) - first
    assert most_in([at for at, _ in world.crm.calls[before:]], 20 * PACE) <= 21


def test_who_dies_in_the_middle_is_followed(world: World) -> None:
    """The process that reads a page is gone: the other one takes it up after the lease, and the store's being away
    for minutes puts it off only."""
    serve(world, "olena")
    world.crm.person_sets("chat-olena", status="ОПЛАЧЕНО")
    world.crm.trouble.append(Trouble("hang"))
    world.loop.run_for(PERIOD)
    for place in (0, 1):
        world.loop.run(world.replace(place))
    world.away = True
    world.loop.run_for(300.0)
    world.away = False
    world.loop.run_for(OPTIONS.lease + 2 * PERIOD)
    assert record_of(world, "olena").observed.status.value == "ОПЛАЧЕНО"
