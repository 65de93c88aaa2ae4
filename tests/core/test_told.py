"""What webhooks tell of people, late or out of order, in whole conversations on a virtual clock."""

from collections.abc import Iterator

import pytest

from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.talk import AI, HUMAN, Talk
from mirt_sitniks.crm.calls import SetStatus, UpdateChat
from tests.core.world import World, intent
from tests.model.crm import Trouble

FIRST, INVOICE, ALARM = Stage.FIRST_TOUCH, Stage.GIVE_REQUISITES, Stage.ESCALATION


@pytest.fixture
def world() -> Iterator[World]:
    """Two processes, one store, a CRM with one customer."""
    made = World()
    made.crm.add("chat", "anna")
    yield made
    made.check()
    made.finish()


def say(world: World, stage: Stage, session: str = "s", place: int = 0) -> None:
    """A conversation comes to a stage."""
    asked = intent(session, stage, f"{stage}:{world.loop.time()}", name="anna")
    world.loop.call_soon(world.team[place].begin, asked)
    world.loop.run_for(0.001)


def tell(world: World, manager: int | None, late: float = 0.1) -> None:
    """Somebody writes, and a webhook tells of it so many seconds later."""
    world.people.tell(world.people.write("chat", manager), [late])


def talk(world: World) -> Talk:
    return world.store.rows.records["s"].talk


def test_what_was_told_of_the_moment_between_our_two_writes_gives_nothing_back(world: World) -> None:
    """The customer writes when the escalation shows and the live manager does not yet: that event shows who had the
    chat before him, and is no hand-back."""
    say(world, FIRST)
    world.loop.run_for(5.0)
    world.crm.usually = lambda call: Trouble(after=2.0 if isinstance(call, UpdateChat) else 0.05)
    say(world, ALARM)
    world.loop.run_for(0.5)
    tell(world, None, late=5.0)
    world.loop.run_for(60.0)
    assert (talk(world).owner, talk(world).why) == (HUMAN, "wrote")
    assert [one.after["owner"] for one in world.lines("owner")] == [HUMAN]


def test_who_writes_in_a_chat_that_was_handed_back_before_has_it(world: World) -> None:
    """Nobody told of the hand-back but his own message's event: it was before he wrote, and a look takes nothing
    away from him."""
    say(world, FIRST)
    world.loop.run_for(5.0)
    world.people.take("chat", 102)
    tell(world, 102)
    world.loop.run_for(60.0)
    world.people.take("chat", 101)
    world.loop.run_for(60.0)
    tell(world, 103)
    world.loop.run_for(60.0)
    assert (talk(world).owner, talk(world).why, talk(world).assignee) == (HUMAN, "message", AI)


def test_a_chat_that_nobody_has_read_is_handed_back_as_well(world: World) -> None:
    """A session that began with an invoice never asked who is responsible: the events tell it."""
    world.people.take("chat", 101)
    say(world, INVOICE)
    world.loop.run_for(5.0)
    world.people.take("chat", 102)
    tell(world, 102)
    world.loop.run_for(60.0)
    assert talk(world).owner == HUMAN
    world.people.take("chat", 101)
    tell(world, None)
    world.loop.run_for(60.0)
    assert (talk(world).owner, talk(world).why) == (AI, "assigned")


def test_what_another_session_left_to_be_written_is_no_persons(world: World) -> None:
    """It was asked for later and recorded before: who has the chat writes it, and his own next stage follows it."""
    world.crm.shows_at["chat"] = world.loop.time() + 60.0
    world.team[1].stalls.append(3.0)
    say(world, INVOICE, place=1)
    world.loop.run_for(1.0)
    say(world, ALARM, session="t")
    world.loop.run_for(60.0)
    tell(world, None)
    world.settle(hours=1.0)
    assert (world.store.rows.records["t"].closed, world.crm.chats["chat"].status) == ("superseded", "AI Увага")
    say(world, INVOICE)
    world.loop.run_for(60.0)
    assert world.crm.chats["chat"].status == "Виставлено рахунок"


def test_what_was_written_past_the_store_is_no_persons_whenever_that_is_told(world: World) -> None:
    """An escalation was written while the store was away, and is recorded after a later stage has met its status."""
    say(world, FIRST)
    world.loop.run_for(100.0)
    first = world.team[0]
    world.away = True
    asked = intent("s", ALARM, "alarm", name="anna", chat_id="chat")
    world.loop.call_soon(first.begin, asked)
    world.loop.run_for(30.0)
    assert world.crm.chats["chat"].status == "AI Увага"
    first.freeze()
    world.away = False
    say(world, INVOICE, place=1)
    world.loop.run_for(30.0)
    first.wake()
    world.settle(hours=1.0)
    assert world.crm.chats["chat"].status == "Виставлено рахунок"


def test_what_an_answer_contradicts_is_not_written_past_the_store(world: World) -> None:
    """The CRM says 200 and does nothing: the escalation is looked at and tried again when the store is there."""
    world.crm.shows, world.crm.ignores = {SetStatus: "before"}, {SetStatus}
    say(world, FIRST)
    world.loop.run_for(5.0)
    world.away = True
    world.loop.call_soon(world.team[0].begin, intent("s", ALARM, "alarm", name="anna", chat_id="chat"))
    world.loop.run_for(60.0)
    world.away = False
    world.loop.run_for(60.0)
    world.crm.ignores = set()
    world.settle(hours=1.0)
    assert world.crm.chats["chat"].status == "AI Увага"
