"""Whole conversations on a virtual clock: outages, keys, late chats, crashes and freezes, minute by minute."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from mirt_sitniks.core.budget import lock
from mirt_sitniks.core.managers import Manager
from mirt_sitniks.core.record import Record, pending
from mirt_sitniks.core.result import Outcome, result_of
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import Verdict
from mirt_sitniks.crm.calls import CreateNote, GetChat, ListChats, ListManagers, SetStatus, UpdateChat
from mirt_sitniks.errors import StoreError
from tests.core.virtual import Busy, Stalled, VirtualLoop, run
from tests.core.world import OPTIONS, STATUSES, World, intent
from tests.model.crm import Trouble

FIRST, INVOICE, ALARM = Stage.FIRST_TOUCH, Stage.GIVE_REQUISITES, Stage.ESCALATION


@pytest.fixture
def world() -> Iterator[World]:
    """Two processes, one store, a CRM with one customer."""
    made = World()
    made.crm.add("chat", "anna")
    yield made
    made.finish()


def say(
    world: World, stage: Stage, *, session: str = "s", name: str = "anna", place: int = 0, key: str = ""
) -> Verdict:
    """A conversation comes to a stage; back when it is recorded."""
    asked = intent(session, stage, key or f"{stage}:{world.loop.time()}", name=name)
    return world.loop.run(world.team[place].sync(asked)).verdict


def record(world: World, session: str = "s") -> Record:
    """The session's record."""
    return world.store.rows.records[session]


def outcome(world: World, session: str = "s") -> Outcome:
    """What a caller would be told now."""
    lock = world.store.rows.keys["key"].budget
    state = (lock.lock, lock.locked_until) if lock.lock and lock.locked_until > world.loop.time() else None
    return result_of(record(world, session), stage=ALARM, at=0.0, statuses=STATUSES, lock=state).outcome


def sent(world: World, kind: type) -> int:
    """How many calls of a kind arrived."""
    return sum(1 for _, call in world.crm.calls if isinstance(call, kind))


def test_a_whole_conversation_takes_seven_calls_and_the_list_of_managers(world: World) -> None:
    """One look-up, two writes, one, two, and a note; nothing is read that need not be."""
    for stage in (FIRST, INVOICE, ALARM):
        say(world, stage)
        world.loop.run_for(5.0)
    assert [type(call).__name__ for _, call in world.crm.calls] == [
        "ListChats", "ListManagers", "SetStatus", "UpdateChat", "SetStatus", "SetStatus", "UpdateChat",
        "CreateNote",
    ]  # fmt: skip
    assert (world.crm.chats["chat"].status, world.crm.chats["chat"].manager_id) == ("AI Увага", 102)


@pytest.mark.parametrize("kind", ["500", "502", "hang", "html", "refused"])
def test_row06_ten_minutes_of_trouble_heal_without_a_storm(world: World, kind: str) -> None:
    """Each try waits longer than the one before, on average; what was recorded stands minutes after the end."""
    say(world, FIRST)
    world.loop.run_for(5.0)
    before = len(world.crm.calls)
    world.crm.trouble = [Trouble(kind, 0.05)] * 10_000
    say(world, ALARM)
    world.loop.run_for(600.0)
    assert len(world.crm.calls) - before < 40
    assert outcome(world) is Outcome.QUEUED
    world.crm.trouble.clear()
    world.settle(hours=1.0)
    assert (world.crm.chats["chat"].status, world.crm.chats["chat"].manager_id) == ("AI Увага", 102)
    assert not world.pending()


def test_row06_a_list_that_cannot_be_read_is_not_stormed_either(world: World) -> None:
    """The shared scan backs off as well, for all who wait for it, and their records say why."""
    world.crm.trouble = [Trouble("html", 0.05)] * 10_000
    for number in range(5):
        say(world, FIRST, session=f"s{number}", name="anna")
    world.loop.run_for(600.0)
    assert len(world.crm.calls) < 40
    assert any(
        one.observed.error and one.observed.error.code == "bad_response" for one in world.store.rows.records.values()
    )
    world.crm.trouble.clear()
    world.settle(hours=1.0)
    assert world.crm.chats["chat"].status == "Взято в роботу"


def test_row08_a_refused_key_is_probed_once_in_ten_minutes(world: World) -> None:
    """All records stay due; the moment a probe is accepted everything is synced."""
    for name in ("olena", "ira", "vira"):
        world.crm.add(name, name)
    world.crm.key_ok = False
    for name in ("anna", "olena", "ira", "vira"):
        say(world, FIRST, session=name, name=name)
    world.loop.run_for(10.0)
    told = len(world.crm.calls)
    assert told <= 2
    assert {outcome(world, name) for name in ("anna", "olena", "ira", "vira")} == {Outcome.FAILED}
    world.loop.run_for(3600.0)
    assert len(world.crm.calls) - told == 6
    world.crm.key_ok = True
    world.settle(hours=1.0)
    assert {chat.status for chat in world.crm.chats.values()} == {"Взято в роботу"}


def test_row08_a_new_key_works_at_once(world: World) -> None:
    """The rest is the old key's: a process with a new one does not wait ten minutes."""
    world.crm.key_ok = False
    say(world, FIRST)
    world.loop.run_for(5.0)
    world.crm.key_ok = True
    driver = world.team[1].driver
    driver.options = replace(driver.options, key="a new one")
    say(world, ALARM, place=1)
    world.loop.run_for(5.0)
    assert world.crm.chats["chat"].status == "AI Увага"


def test_row07_a_429_rests_the_key_for_everyone_and_loses_nothing(world: World) -> None:
    """A minute's silence, from both processes, then both sessions are synced; no attempt is counted."""
    world.crm.add("olena", "olena")
    say(world, FIRST)
    world.loop.run_for(5.0)
    world.crm.trouble = [Trouble("429", 0.01)]
    at = world.loop.time()
    say(world, ALARM)
    say(world, FIRST, session="o", name="olena", place=1)
    world.loop.run_for(59.0)
    assert len([when for when, _ in world.crm.calls if when > at + 0.5]) == 0
    assert record(world).observed.attempt == 0
    world.loop.run_for(10.0)
    assert [chat.status for chat in world.crm.chats.values()] == ["AI Увага", "Взято в роботу"]


def test_row09_a_chat_that_is_listed_but_not_there_is_looked_up_again_once(world: World) -> None:
    """The list shows it, the write is answered 404: twice, and then it is given up and not tried for ever."""
    world.crm.trouble = [Trouble(), *[Trouble("404", 0.01), Trouble("ok", 0.01)] * 500]
    world.team[0].driver.managers.wanted = replace(world.team[0].driver.managers.wanted, human_ids=(102,))
    say(world, INVOICE)
    world.loop.run_for(600.0)
    assert sent(world, SetStatus) + sent(world, GetChat) == 2
    assert outcome(world) is Outcome.FAILED
    world.crm.trouble.clear()
    say(world, ALARM)
    world.loop.run_for(2400.0)
    assert world.crm.chats["chat"].status == "AI Увага"


def test_row09_a_chat_that_is_gone_is_found_under_its_new_id(world: World) -> None:
    """404 for the known one: the directory forgets it, and the customer's new chat gets the stage."""
    say(world, FIRST)
    world.loop.run_for(5.0)
    del world.crm.chats["chat"]
    world.crm.add("new", "anna")
    say(world, INVOICE)
    world.loop.run_for(60.0)
    assert record(world).chat_id == "new"
    assert (world.crm.chats["new"].status, world.crm.chats["new"].manager_id) == ("Виставлено рахунок", 101)


@pytest.mark.parametrize("late", [3.0, 45.0, 1200.0])
def test_row11_a_chat_that_shows_late_is_found_and_later_stages_wait_for_it(world: World, late: float) -> None:
    """Seconds, minutes: in the end it shows the newest stage, and never an older one on top."""
    world.crm.add("late", "vira", appears_in=late)
    say(world, FIRST, name="vira")
    world.loop.run_for(2.0)
    say(world, ALARM, name="vira")
    world.loop.run_for(1900.0)
    assert world.crm.chats["late"].status == "AI Увага"
    assert world.crm.chats["late"].manager_id == 102


def test_row11_a_chat_that_never_shows_is_given_up_after_half_an_hour(world: World) -> None:
    """Then nothing is asked any more, until the next stage starts a new search."""
    say(world, FIRST, name="nobody")
    world.loop.run_for(2000.0)
    assert outcome(world) is Outcome.FAILED
    error = record(world).observed.error
    assert error
    assert error.code == "chat_not_found"
    looked = sent(world, ListChats)
    assert looked <= 12
    world.loop.run_for(4000.0)
    assert sent(world, ListChats) == looked
    say(world, INVOICE, name="nobody")
    world.crm.add("at-last", "nobody")
    world.loop.run_for(60.0)
    assert world.crm.chats["at-last"].status == "Виставлено рахунок"


def test_row14_no_name_means_no_call(world: World) -> None:
    """Nothing is recorded, nothing is asked."""
    assert say(world, FIRST, name="") is Verdict.NO_USERNAME
    world.loop.run_for(100.0)
    assert world.crm.calls == []


def test_row15_a_missing_manager_is_assigned_once_he_is_there(world: World) -> None:
    """The status is set at once; the manager when the list has him, ten minutes later."""
    world.crm.managers = (Manager(102, "Олена"),)
    say(world, FIRST)
    world.loop.run_for(30.0)
    assert world.crm.chats["chat"].status == "Взято в роботу"
    assert world.crm.chats["chat"].manager_id is None
    assert outcome(world) is Outcome.PARTIAL
    world.crm.managers = (Manager(102, "Олена"), Manager(101, "Павло"))
    world.loop.run_for(700.0)
    assert world.crm.chats["chat"].manager_id == 101
    assert sent(world, SetStatus) == 1


def test_a_right_that_the_key_lacks_stops_one_field_only(world: World) -> None:
    """Twelve customers at once, and the key may not assign: all statuses come as fast as the limit allows, a few
    assignments tell, one is tried again in ten minutes, and all are made once the right is there."""
    world.crm.refuses = {UpdateChat}
    names = [f"n{number:02}" for number in range(12)]
    for name in names:
        world.crm.add(name, name)
        world.loop.call_soon(world.team[0].begin, intent(name, FIRST, "k", name=name))
    world.loop.run_for(35.0)
    assert {world.crm.chats[name].status for name in names} == {"Взято в роботу"}
    assert {outcome(world, name) for name in names} == {Outcome.PARTIAL}
    assert sent(world, SetStatus) == 12
    told = sent(world, UpdateChat)
    assert told <= 5
    world.loop.run_for(500.0)
    assert sent(world, UpdateChat) == told
    world.loop.run_for(6000.0)
    assert sent(world, UpdateChat) <= told + 6500 / 600
    world.crm.refuses.clear()
    world.loop.run_for(1200.0)
    world.crm.add("late", "late")
    say(world, FIRST, session="late", name="late")
    world.loop.run_for(60.0)
    assert {world.crm.chats[name].manager_id for name in names} == {101}


@pytest.mark.parametrize("refused", [{SetStatus}, {"ira"}], ids=["a kind of call", "a chat"])
def test_a_chat_that_is_refused_takes_one_call_more_and_stops_nobody(world: World, refused: set[type | str]) -> None:
    """One list tells that the key is good; a refusal of that kind in the next minute needs none."""
    for name in ("ira", "olena"):
        world.crm.add(name, name)
        say(world, FIRST, session=name, name=name)
    world.loop.run_for(11.0)
    world.crm.refuses = refused
    lists = sent(world, ListChats)
    for name in ("ira", "olena"):
        say(world, INVOICE, session=name, name=name)
        world.loop.run_for(2.0)
    assert sent(world, ListChats) == lists + 1
    assert outcome(world, "ira") is Outcome.FAILED
    error = record(world, "ira").observed.error
    assert error
    assert error.code == "forbidden"
    assert outcome(world, "olena") is (Outcome.FAILED if SetStatus in refused else Outcome.SYNCED)
    assert world.store.rows.keys["key"].budget.lock is None


def test_a_list_of_managers_that_is_refused_is_asked_for_once_a_minute(world: World) -> None:
    """It stops no status, and the doubt about a lost write is looked at without the manager's name."""
    world.crm.refuses = {ListManagers}
    for number in range(10):
        world.crm.add(f"c{number}", f"n{number}")
        say(world, FIRST, session=f"s{number}", name=f"n{number}")
    world.loop.run_for(30.0)
    assert {world.crm.chats[f"c{number}"].status for number in range(10)} == {"Взято в роботу"}
    assert sent(world, ListManagers) <= 2
    world.loop.run_for(60.0)
    world.crm.trouble = [Trouble("reset", 0.5)]
    proofs = sent(world, GetChat)
    say(world, INVOICE, session="s0", name="n0")
    world.loop.run_for(60.0)
    assert world.crm.chats["c0"].status == "Виставлено рахунок"
    # For a person's change, and for the write's fate.
    assert sent(world, GetChat) == proofs + 2
    assert outcome(world, "s0") is Outcome.PARTIAL


def test_a_chat_that_may_not_be_read_is_written_again_unseen(world: World) -> None:
    """The first touch is lost and lands on top of the escalation; nobody may look, so the escalation is repeated."""
    world.crm.refuses = {GetChat}
    world.crm.trouble = [Trouble(), Trouble(), Trouble("reset", 12.0), Trouble("reset", 12.0)]
    say(world, FIRST)
    world.loop.run_for(1.0)
    say(world, ALARM)
    world.loop.run_for(120.0)
    assert (world.crm.chats["chat"].status, world.crm.chats["chat"].manager_id) == ("AI Увага", 102)
    assert outcome(world) is Outcome.SYNCED


def test_a_question_about_the_key_that_gets_no_answer_is_asked_again_with_patience(world: World) -> None:
    """The write is refused, and the list of chats is in trouble: no storm, no lock, and the stage comes in the end."""
    say(world, FIRST)
    world.loop.run_for(11.0)
    world.crm.refuses = {SetStatus}
    world.crm.usually = lambda call: Trouble("500", 0.01) if isinstance(call, ListChats) else Trouble()
    calls = len(world.crm.calls)
    say(world, INVOICE)
    world.loop.run_for(300.0)
    assert len(world.crm.calls) - calls < 60
    assert outcome(world) is Outcome.QUEUED
    world.crm.usually = lambda call: Trouble()
    world.settle(hours=1.0)
    assert world.crm.chats["chat"].status == "Виставлено рахунок"


def test_row08_a_plan_that_ends_under_a_backlog_costs_few_calls(world: World) -> None:
    """Forty invoices for known chats, from two processes: at most two rounds of them are refused, then all rest."""
    for number in range(40):
        world.crm.add(f"c{number:02}", f"n{number}")
        say(world, INVOICE, session=f"s{number}", name=f"n{number}")
    world.loop.run_for(200.0)
    world.crm.key_ok = False
    calls = len(world.crm.calls)
    for number in range(40):
        asked = intent(f"s{number}", INVOICE, "again", name=f"n{number}")
        world.loop.call_soon(world.team[number % 2].begin, asked)
    world.loop.run_for(60.0)
    told = len(world.crm.calls)
    assert told - calls <= 18
    assert {outcome(world, f"s{number}") for number in range(40)} == {Outcome.FAILED}
    world.loop.run_for(3600.0)
    assert len(world.crm.calls) - told <= 8
    world.crm.key_ok = True
    world.settle(hours=1.0)
    assert not world.pending()


@pytest.mark.parametrize("good", [True, False])
def test_row08_the_one_call_that_a_resting_key_is_let_try_may_be_one_that_it_has_no_right_to(
    world: World, good: bool
) -> None:
    """All that is left to do is an assignment: refused, it says nothing of the key, which is asked for with the next
    call, so that it neither rests for ever nor is let in by mistake."""
    world.crm.refuses = {UpdateChat}
    say(world, ALARM)
    world.loop.run_for(30.0)
    world.crm.key_ok = good
    for place in (0, 1):
        world.loop.run(world.replace(place))
        world.loop.run(world.team[place].worker.drain(0.0))
    key, calls = world.store.rows.keys["key"], len(world.crm.calls)
    resting = lock(key.budget, world.loop.time(), "plan_required", 700.0)
    world.store.rows.keys["key"] = replace(key, budget=resting)
    world.loop.run_for(700.0)
    (claim,) = world.loop.run(world.store.claim(OPTIONS)).claims
    settled = world.loop.run(world.team[0].driver.drive(claim))
    assert settled.record
    assert [type(call) for _, call in world.crm.calls[calls:]][:1] == [ListChats]
    assert world.store.rows.keys["key"].budget.lock == (None if good else "unauthorized")


def test_a_field_that_waits_for_the_word_on_another_is_not_put_off(world: World) -> None:
    """The assignment is refused, the status meets a 500; the key is asked for, and it is good."""
    world.crm.refuses, world.crm.trouble = {UpdateChat}, [Trouble(), Trouble(), Trouble("500", 0.01)]
    say(world, ALARM)
    world.loop.run_for(10.0)
    assert world.crm.chats["chat"].status == "AI Увага"
    assert outcome(world) is Outcome.PARTIAL


@pytest.mark.parametrize("kind", ["late", "reset", "lost", "hang"])
@pytest.mark.parametrize("after", [0.5, 12.0, 19.9])
def test_row16_a_slow_first_touch_does_not_stay_on_top_of_the_escalation(world: World, kind: str, after: float) -> None:
    """Applied late, answered never: the escalation stands, manager included."""
    world.crm.trouble = [Trouble(), Trouble(), Trouble(kind, after), Trouble(kind, after)]
    say(world, FIRST)
    world.loop.run_for(1.0)
    say(world, ALARM, place=1)
    world.settle(hours=1.0)
    assert (world.crm.chats["chat"].status, world.crm.chats["chat"].manager_id) == ("AI Увага", 102)


@pytest.mark.parametrize("wait", [0.005, 0.015, 0.03, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2])
@pytest.mark.parametrize("kind", ["ok", "late"])
def test_row03_a_process_that_dies_anywhere_loses_nothing(world: World, wait: float, kind: str) -> None:
    """Between record, look-up, send, answer and settle: the other one finishes after the lease."""
    world.crm.trouble = [Trouble(), Trouble(), Trouble(kind, 15.0), Trouble(kind, 15.0)]
    world.team[0].begin(intent("s", ALARM, "k", name="anna"))
    world.loop.run_for(wait)
    recorded = "s" in world.store.rows.records
    world.loop.run(world.replace(0))
    world.loop.run_for(200.0)
    assert not recorded or (world.crm.chats["chat"].status, world.crm.chats["chat"].manager_id) == ("AI Увага", 102)


def test_an_invoice_keeps_the_manager_who_is_still_to_come(world: World) -> None:
    """Nothing could be written at the first touch; behind the invoice the AI is assigned all the same."""
    world.crm.trouble = [Trouble("500", 0.01)] * 6
    say(world, FIRST)
    world.loop.run_for(0.5)
    say(world, INVOICE)
    world.settle(hours=0.5)
    assert (world.crm.chats["chat"].status, world.crm.chats["chat"].manager_id) == ("Виставлено рахунок", 101)


def test_row16_a_stage_that_comes_while_a_call_fails_does_not_wait_for_the_retry(world: World) -> None:
    """The invoice is refused, which is tried again in ten minutes; the escalation that came meanwhile goes at once."""
    world.crm.trouble = [Trouble(), Trouble("400", 5.0)]
    say(world, INVOICE)
    world.loop.run_for(2.0)
    say(world, ALARM, place=1)
    world.loop.run_for(20.0)
    assert (world.crm.chats["chat"].status, world.crm.chats["chat"].manager_id) == ("AI Увага", 102)


def test_row09_row15_a_wrong_status_does_not_put_the_manager_off(world: World) -> None:
    """The status is refused while the list of managers is read: the manager is assigned at once, not in ten minutes."""
    say(world, INVOICE)
    world.loop.run_for(5.0)
    world.crm.trouble = [Trouble("400", 0.05), Trouble(), Trouble("400", 0.05)]
    say(world, ALARM)
    world.loop.run_for(5.0)
    assert world.crm.chats["chat"].manager_id == 102
    assert outcome(world) is Outcome.FAILED
    assert sent(world, SetStatus) == 3


def test_row17_a_frozen_process_neither_sends_nor_settles_when_it_wakes(world: World) -> None:
    """Frozen before it read the store's first answer, past its lease: others went on, and it keeps its hands off."""
    say(world, FIRST, place=1)
    world.loop.run_for(5.0)
    world.team[0].begin(intent("s", INVOICE, "k", name="anna"))
    world.loop.run_for(0.012)
    world.team[0].freeze()
    world.loop.run_for(100.0)
    say(world, ALARM, place=1)
    world.loop.run_for(10.0)
    before = len(world.crm.calls)
    world.team[0].wake()
    world.settle(hours=0.5)
    assert (world.crm.chats["chat"].status, world.crm.chats["chat"].manager_id) == ("AI Увага", 102)
    assert len(world.crm.calls) == before


def test_row17_what_a_stale_holder_had_sent_is_looked_at(world: World) -> None:
    """Frozen while its write was under way: the answer is thrown away, but the newest stage is checked once."""
    say(world, FIRST)
    world.loop.run_for(5.0)
    world.crm.trouble = [Trouble("late", 9.0)]
    world.team[0].begin(intent("s", INVOICE, "k", name="anna"))
    world.loop.run_for(0.5)
    world.team[0].freeze()
    world.loop.run_for(40.0)
    say(world, ALARM, place=1)
    world.loop.run_for(5.0)
    world.team[0].wake()
    world.settle(hours=0.5)
    assert sent(world, GetChat) == 1
    assert (world.crm.chats["chat"].status, world.crm.chats["chat"].manager_id) == ("AI Увага", 102)


def test_row19_a_takeover_waits_for_the_other_sessions_lost_write(world: World) -> None:
    """The old session's write was lost and lands on top of the new session's: it is looked at, and put right."""
    say(world, FIRST)
    world.loop.run_for(5.0)
    world.crm.trouble = [Trouble("reset", 15.0)]
    say(world, INVOICE)
    world.loop.run_for(0.5)
    say(world, ALARM, session="t", place=1)
    world.settle(hours=0.5)
    assert record(world).closed == "superseded"
    assert (world.crm.chats["chat"].status, world.crm.chats["chat"].manager_id) == ("AI Увага", 102)


def test_row19_only_a_new_intent_takes_a_chat_over(world: World) -> None:
    """The old session's replay gets nothing back; its next event does."""
    say(world, FIRST, key="first_touch")
    world.loop.run_for(5.0)
    say(world, FIRST, session="t", key="first_touch")
    world.loop.run_for(5.0)
    calls = len(world.crm.calls)
    assert say(world, FIRST, key="first_touch") is Verdict.KNOWN
    world.loop.run_for(100.0)
    assert (record(world).chat_id, len(world.crm.calls)) == (None, calls)
    say(world, ALARM)
    world.loop.run_for(5.0)
    assert record(world).chat_id == "chat"
    assert record(world, "t").closed == "superseded"


def test_row18_a_burst_keeps_the_limit_and_everybody_is_served(world: World) -> None:
    """Forty customers at once from two processes: never more than nine in a window, and all end right."""
    for number in range(40):
        world.crm.add(f"c{number:02}", f"n{number}")
        asked = intent(f"s{number}", (FIRST, INVOICE, ALARM)[number % 3], "k", name=f"n{number}")
        world.loop.call_soon(world.team[number % 2].begin, asked)
    world.loop.run_for(150.0)
    assert world.crm.most_in_window(10.0) <= 9
    assert not world.pending()
    needed = sent(world, SetStatus) + sent(world, UpdateChat) + sent(world, CreateNote)
    assert needed == 40 + 27 + 13
    assert len(world.crm.calls) <= needed + 4


def test_row18_escalations_go_first(world: World) -> None:
    """The live manager does not wait behind a queue of first touches."""
    for number in range(30):
        world.crm.add(f"c{number:02}", f"n{number}")
        world.loop.call_soon(world.team[0].begin, intent(f"s{number}", FIRST, "k", name=f"n{number}"))
    world.loop.run_for(15.0)
    at = world.loop.time()
    say(world, ALARM, session="s29", name="n29")
    world.loop.run_for(120.0)
    first = next(when for when, chat, value in world.crm.writes if (chat, value) == ("c29", "AI Увага"))
    assert first - at < 11.0
    assert not pending(record(world, "s29"))


def test_row28_a_resumed_graph_writes_nothing(world: World) -> None:
    """The intent is known and the newest: what a person set meanwhile stays."""
    say(world, INVOICE, key="turn-1")
    world.loop.run_for(5.0)
    chat = world.crm.chats["chat"]
    world.crm.chats["chat"] = replace(chat, status="ОПЛАЧЕНО")
    calls = len(world.crm.calls)
    assert say(world, INVOICE, key="turn-1") is Verdict.KNOWN
    world.loop.run_for(100.0)
    assert world.crm.chats["chat"].status == "ОПЛАЧЕНО"
    assert len(world.crm.calls) == calls


@pytest.mark.parametrize("kind", ["500", "refused", "429"])
def test_row42_a_person_who_moves_the_chat_while_the_invoice_waits_is_not_overruled(world: World, kind: str) -> None:
    """The CRM is in trouble for minutes, then recovers: his status stays; an escalation is written all the same."""
    say(world, FIRST)
    world.loop.run_for(5.0)
    world.crm.trouble = [Trouble(kind, 0.05)] * (1 if kind == "429" else 8)
    say(world, INVOICE)
    world.loop.run_for(2.0)
    world.crm.person_sets("chat", status="ОПЛАЧЕНО")
    world.loop.run_for(120.0)
    world.settle(hours=1.0)
    assert world.crm.chats["chat"].status == "ОПЛАЧЕНО"
    assert outcome(world) is Outcome.HELD
    say(world, ALARM)
    world.loop.run_for(10.0)
    assert world.crm.chats["chat"].status == "AI Увага"


@pytest.mark.parametrize("stage", [FIRST, INVOICE])
def test_row42_a_person_who_finds_a_new_chat_first_is_not_overruled(world: World, stage: Stage) -> None:
    """The chat shows late, and somebody has moved it by then."""
    say(world, stage, name="vira")
    world.loop.run_for(8.0)
    world.crm.add("late", "vira", appears_in=3.0)
    world.crm.person_sets("late", status="ОПЛАЧЕНО")
    world.settle(hours=1.0)
    assert world.crm.chats["late"].status == "ОПЛАЧЕНО"
    assert outcome(world) is Outcome.HELD


def test_row42_a_second_order_shows_and_a_third_stage_of_the_day_does_not_undo_a_person(world: World) -> None:
    """Weeks later the invoice is written over what the first order left; twice in a minute it is looked for people."""
    say(world, FIRST)
    say(world, INVOICE, key="first")
    world.loop.run_for(60.0)
    world.crm.person_sets("chat", status="ОПЛАЧЕНО")
    world.loop.run_for(14 * 86_400.0)
    say(world, INVOICE, key="second")
    world.loop.run_for(5.0)
    assert world.crm.chats["chat"].status == "Виставлено рахунок"
    world.crm.person_sets("chat", status="ОПЛАЧЕНО")
    say(world, INVOICE, key="third")
    world.loop.run_for(5.0)
    assert world.crm.chats["chat"].status == "ОПЛАЧЕНО"


@pytest.mark.parametrize("shows", ["after", "before"])
def test_row41_writes_that_cross_are_both_there_in_the_end(world: World, shows: str) -> None:
    """Twelve customers of an account that saves whole chats: each ends right, and only the first is looked at."""
    world.crm.behave(whole=True, shows={SetStatus: shows, UpdateChat: shows})
    for number in range(12):
        world.crm.add(f"c{number}", f"n{number}")
        say(world, FIRST, session=f"s{number}", name=f"n{number}")
        world.loop.run_for(5.0)
    shown = {(world.crm.chats[f"c{number}"].status, world.crm.chats[f"c{number}"].manager_id) for number in range(12)}
    assert shown == {("Взято в роботу", 101)}
    assert sent(world, GetChat) <= 3


@pytest.mark.parametrize(
    ("habit", "most"), [("lacks", 1), ("ignores", 3), ("refuses", 3)], ids=["no route", "ignored", "forbidden"]
)
def test_row39_an_account_that_cannot_assign_is_partial_and_wastes_few_calls(
    world: World, habit: str, most: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Twenty customers an hour for three hours: all statuses, a probe in ten minutes, one line a process."""
    world.crm.behave(**{habit: {UpdateChat}})
    for number in range(60):
        world.crm.add(f"c{number}", f"n{number}")
        say(world, FIRST, session=f"s{number}", name=f"n{number}")
        world.loop.run_for(180.0)
    assert {world.crm.chats[f"c{number}"].status for number in range(60)} == {"Взято в роботу"}
    assert {outcome(world, f"s{number}") for number in range(60)} == {Outcome.PARTIAL}
    assert sent(world, UpdateChat) <= most + 3 * 6
    # Two processes have something to say.
    assert sum("not synced yet" in one.getMessage() for one in caplog.records) <= 2


def test_row02_a_replay_behind_a_newer_stage_changes_nothing(world: World) -> None:
    """Known, with a newer intent behind it."""
    say(world, INVOICE, key="turn-1")
    say(world, ALARM, key="turn-2")
    world.loop.run_for(10.0)
    calls = len(world.crm.calls)
    assert say(world, INVOICE, key="turn-1") is Verdict.REPLAY
    world.loop.run_for(100.0)
    assert len(world.crm.calls) == calls


@pytest.mark.parametrize("verb", ["claim", "settle"])
@pytest.mark.parametrize("error", [StoreError("away"), ValueError("a bug")])
def test_row20_a_store_that_fails_for_a_while_ends_no_worker(
    world: World, monkeypatch: pytest.MonkeyPatch, verb: str, error: Exception
) -> None:
    """Whatever it raises, also what it should not: the work is taken up again, after the lease at the latest."""

    async def fail(*args: object, **more: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(world.store, verb, fail)
        world.crm.trouble = [Trouble("500", 0.01)]
        say(world, ALARM)
        world.loop.run_for(40.0)
    world.loop.run_for(120.0)
    assert (world.crm.chats["chat"].status, world.crm.chats["chat"].manager_id) == ("AI Увага", 102)


def test_row20_a_settle_that_fails_once_is_made_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CRM's answers are not thrown away with it: nothing is written twice, and nothing waits for the lease."""
    settle, failures = world.store.settle, [StoreError("away for a moment")] * 2

    async def fail_first(*args: Any, **more: Any) -> Any:
        if failures:
            raise failures.pop()
        return await settle(*args, **more)

    monkeypatch.setattr(world.store, "settle", fail_first)
    say(world, ALARM)
    world.loop.run_for(10.0)
    assert not failures
    assert (world.crm.chats["chat"].status, world.crm.chats["chat"].manager_id) == ("AI Увага", 102)
    assert [sent(world, kind) for kind in (ListChats, ListManagers, SetStatus, UpdateChat)] == [1, 1, 1, 1]


@pytest.mark.parametrize("rounds", range(8))
def test_row23_a_worker_can_be_stopped_while_it_is_woken(world: World, rounds: int) -> None:
    """A kick just before the end, so many rounds of the loop, must not make the end wait for ever."""
    worker = world.team[0].worker

    async def end() -> None:
        await asyncio.sleep(1.0)
        worker.kick()
        for _ in range(rounds):
            await asyncio.sleep(0)
        async with asyncio.timeout(5.0):
            await worker.drain(0.0)

    world.loop.run(end())


def test_the_managers_are_listed_once_for_all_sessions(world: World) -> None:
    """Ten sessions, one list in ten minutes and process."""
    for number in range(10):
        world.crm.add(f"c{number}", f"n{number}")
        say(world, FIRST, session=f"s{number}", name=f"n{number}")
    world.loop.run_for(100.0)
    assert sent(world, ListManagers) == 1


def test_virtual_time_costs_nothing_and_shows_who_spins() -> None:
    """A day passes at once; waiting for nothing, and spinning, are errors and no hanging tests."""

    async def day() -> float:
        begin = asyncio.get_running_loop().time()
        await asyncio.sleep(86_400.0)
        return asyncio.get_running_loop().time() - begin

    async def spin() -> None:
        again = asyncio.get_running_loop().call_soon
        again(lambda: again(spinning))
        await asyncio.sleep(1.0)

    def spinning() -> None:
        asyncio.get_running_loop().call_soon(spinning)

    assert run(day()) == 86_400.0
    with VirtualLoop() as loop, pytest.raises(Stalled):
        loop.run(asyncio.Event().wait())
    with VirtualLoop() as loop, pytest.raises(Busy):
        loop.run(spin())
