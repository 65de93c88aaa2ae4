"""An escalation leaves one note: behind its writes, never two, none lost without a word of the ledger."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mirt_sitniks.core.record import Note, has_work, pending
from mirt_sitniks.core.result import Outcome
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.crm.calls import CreateNote, SetStatus, UpdateChat, kind_of
from tests.core.test_bad_days import outcome, record, say, sent
from tests.core.world import OPTIONS, STAGES, World, intent
from tests.model.crm import Trouble

ALARM, INVOICE, FIRST = Stage.ESCALATION, Stage.GIVE_REQUISITES, Stage.FIRST_TOUCH


@pytest.fixture
def world() -> Iterator[World]:
    made = World(processes=2)
    made.crm.add("chat", "anna")
    yield made
    made.check()
    made.check_notes()
    made.finish()


def fates(world: World, session: str = "s") -> list[str]:
    """What the ledger says of a session's notes, in order."""
    return [one.after["note"] for one in world.lines("note") if one.session == session]


def notes(world: World) -> list[str]:
    """The notes that the chat has."""
    return [text for _, _, text in world.crm.notes]


@pytest.mark.parametrize("stage", [ALARM, "complaint"])
def test_an_escalation_that_goes_well_leaves_one_note_behind_its_writes(world: World, stage: Stage) -> None:
    """Status and manager side by side, then the note; a stage of the shop's own may leave one as well."""
    say(world, stage, key="k")
    world.loop.run_for(5.0)
    assert [kind_of(call) for _, call in world.crm.calls][-3:] == ["status", "assign", "note"]
    assert notes(world) == ["s k"]
    assert fates(world) == ["unknown", "sent"]


def test_what_leaves_no_note_makes_no_call_for_one(world: World) -> None:
    """An invoice, a first touch, and an event that is known."""
    for stage in (FIRST, INVOICE, ALARM, ALARM):
        say(world, stage, key=str(stage))
        world.loop.run_for(5.0)
    assert notes(world) == ["s escalation"]


def test_no_reply_waits_for_a_note(world: World) -> None:
    """While its answer is awaited, the stage has come to pass."""
    say(world, FIRST)
    world.loop.run_for(5.0)
    world.crm.trouble = [Trouble(), Trouble(), Trouble("ok", 9.0)]
    say(world, ALARM)
    world.loop.run_for(1.0)
    assert sent(world, CreateNote) == 1
    assert outcome(world) is Outcome.SYNCED
    assert not has_work(record(world)), "it counts as sent"


@pytest.mark.parametrize("kind", ["lost", "late", "reset", "hang", "500", "502", "html"])
def test_a_note_of_which_nobody_knows_is_not_repeated(world: World, kind: str) -> None:
    """Left or not, one call was made, and the ledger says `unknown`; the stage is synced."""
    say(world, FIRST)
    world.loop.run_for(5.0)
    world.crm.trouble = [Trouble(), Trouble(), Trouble(kind, 1.0)]
    say(world, ALARM)
    world.loop.run_for(20.0)
    assert not world.crm.trouble
    world.settle(hours=2.0)
    assert sent(world, CreateNote) == 1
    assert set(fates(world)) == {"unknown"}
    assert outcome(world) is Outcome.SYNCED


@pytest.mark.parametrize("kind", ["refused", "429"])
def test_a_note_that_cannot_have_come_through_is_tried_again(world: World, kind: str) -> None:
    """A connection that was refused, and a lock of the key: one note in the end."""
    say(world, FIRST)
    world.loop.run_for(5.0)
    world.crm.trouble = [Trouble(), Trouble(), Trouble(kind, 0.05)]
    say(world, ALARM, key="k")
    world.loop.run_for(0.5)
    assert (notes(world), fates(world)[-1]) == ([], "waits")
    assert outcome(world) is not Outcome.QUEUED, "only a note is left"
    world.settle(hours=1.0)
    assert (notes(world), fates(world)[-1]) == (["s k"], "sent")


def test_a_note_is_given_up_when_it_was_tried_often_enough(world: World) -> None:
    """Eight refused connections, and its words are gone."""
    say(world, FIRST)
    world.loop.run_for(5.0)
    world.crm.usually = lambda call: Trouble("refused" if isinstance(call, CreateNote) else "ok")
    say(world, ALARM)
    world.settle(hours=4.0)
    assert sent(world, CreateNote) == 8
    assert fates(world)[-1] == "given up"


@pytest.mark.parametrize("habit", [{"refuses": {CreateNote}}, {"lacks": {CreateNote}}])
def test_row39_an_account_without_notes_loses_nothing_else(world: World, habit: dict[str, set[type]]) -> None:
    """403 or 404: all stages are synced, each of three chats is asked once, and then none."""
    world.crm.behave(**habit)
    for number in range(6):
        world.crm.add(f"c{number}", f"n{number}")
        say(world, ALARM, session=f"s{number}", name=f"n{number}")
        world.loop.run_for(30.0)
        assert outcome(world, f"s{number}") is Outcome.SYNCED
        assert set(fates(world, f"s{number}")) <= {"unknown", "waits", "refused"}
    assert 1 <= sent(world, CreateNote) <= 3
    assert "note" in world.store.rows.keys["key"].known.refused
    world.crm.behave()
    world.loop.run_for(700.0)
    say(world, ALARM, session="s0", name="n0", key="probe")
    world.loop.run_for(5.0)
    assert notes(world) == ["s0 probe"], "once in ten minutes it is tried"


def test_a_note_goes_out_though_nobody_can_be_assigned(world: World) -> None:
    """The status stands, the manager is refused for a day: who sees the chat reads why."""
    world.crm.behave(refuses={UpdateChat})
    say(world, ALARM, key="k")
    world.loop.run_for(30.0)
    assert notes(world) == ["s k"]
    assert outcome(world) is Outcome.PARTIAL


def test_a_note_waits_for_its_status(world: World) -> None:
    """While the status fails and is tried again, no note goes out; with it, one."""
    say(world, FIRST)
    world.loop.run_for(5.0)
    world.crm.usually = lambda call: Trouble("502" if isinstance(call, SetStatus) else "ok")
    say(world, ALARM, key="k")
    world.loop.run_for(60.0)
    assert sent(world, CreateNote) == 0
    world.crm.usually = lambda call: Trouble()
    world.settle(hours=1.0)
    assert notes(world) == ["s k"]


def test_a_newer_stage_neither_loses_nor_repeats_an_older_note(world: World) -> None:
    """Two escalations and an invoice while the key rests: both notes come, once, in their order."""
    say(world, FIRST)
    world.loop.run_for(5.0)
    world.crm.trouble = [Trouble("429", 0.05)] * 2
    for stage, key in ((ALARM, "a"), (ALARM, "b"), (INVOICE, "c")):
        say(world, stage, key=key)
    world.settle(hours=1.0)
    assert notes(world) == ["s a", "s b"]


def test_of_very_many_notes_that_wait_the_newest_are_left(world: World) -> None:
    """A session owes five at most; the ledger says which it gave up."""
    world.crm.key_ok = False
    for number in range(8):
        say(world, ALARM, key=str(number))
    assert fates(world) == ["given up"] * 3
    world.settle(hours=2.0)
    assert notes(world) == [f"s {number}" for number in range(3, 8)]


def test_a_note_passes_to_the_session_that_takes_the_chat(world: World) -> None:
    """It is about the same customer and his chat; the closed session owes nothing and keeps no words."""
    say(world, FIRST, session="old")
    world.loop.run_for(5.0)
    world.crm.trouble = [Trouble("429", 0.05)] * 2
    say(world, ALARM, session="old", key="k")
    say(world, FIRST, session="new", key="f")
    world.settle(hours=1.0)
    assert record(world, "old").closed == "superseded"
    assert notes(world) == ["old k"]


def test_no_note_where_a_person_has_the_chat(world: World) -> None:
    """A stage that is held leaves none."""
    say(world, FIRST)
    world.loop.run_for(5.0)
    world.person("chat", "ОПЛАЧЕНО")
    world.loop.run_for(120.0)
    world.crm.key_ok = False
    say(world, INVOICE, key="i")
    world.loop.run_for(1.0)
    mine = record(world)
    world.store.rows.put(replace(mine, notes=(Note(mine.desired.generation, INVOICE.value, "i", "k", 1e12),)))
    world.settle(hours=2.0)
    assert outcome(world) is Outcome.HELD
    assert (notes(world), fates(world)) == ([], ["held"])


def test_words_are_erased_when_no_chat_is_found(world: World) -> None:
    """What a customer said is not kept for a chat that is given up."""
    say(world, ALARM, session="gone", name="nobody", key="secret")
    assert record(world, "gone").notes
    world.settle(hours=2.0)
    assert not record(world, "gone").notes
    assert not pending(record(world, "gone"))


def test_no_word_is_in_the_ledger_or_in_what_is_printed(world: World) -> None:
    """Only the note itself has the customer's, and it shows them to nobody."""
    world.crm.key_ok = False
    asked = replace(intent("s", ALARM, "k", name="anna"), words="мій пароль")
    rule = replace(STAGES["escalation"], note="{words}")
    world.loop.run(world.store.record(replace(OPTIONS, stages={**STAGES, "escalation": rule}), asked, calls=0))
    assert record(world).notes[0].text == "мій пароль"
    rows = world.store.rows
    assert "пароль" not in f"{asked} {rows.records} {rows.entries}"
    world.settle(hours=1.0)
    assert notes(world) == ["мій пароль"]
    assert not record(world).notes


@pytest.mark.parametrize("after", [0.0, 0.01, 0.025, 0.05, 0.075, 0.1, 0.12, 0.2])
def test_row03_a_process_that_dies_around_its_note_leaves_one_at_most(world: World, after: float) -> None:
    """Killed between the grant and the answer: another one finishes the rest, and nobody sends it again."""
    say(world, FIRST)
    world.loop.run_for(5.0)
    say(world, ALARM, key="k")
    world.loop.run_for(0.07 + after)
    world.loop.run(world.replace(0))
    world.settle(hours=1.0)
    assert sent(world, CreateNote) <= 1
    assert len(notes(world)) <= 1
    assert fates(world)[0] == "unknown"
    assert outcome(world) is Outcome.SYNCED
