"""Without webhooks: what people do in the CRM is seen from its lists, within a share of the calls and behind all else."""

from collections.abc import Iterator

import pytest

from mirt_sitniks.core.record import Record
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.talk import HUMAN
from tests.core.world import OPTIONS, World, intent

PERIOD = 60.0
PACE = OPTIONS.limit.seconds / (OPTIONS.limit.calls * OPTIONS.watch_share)


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
