"""Which calls a record needs."""

from dataclasses import replace

import pytest

from mirt_sitniks.core.plan import Find, Read, WriteManager, WriteStatus
from mirt_sitniks.core.record import Error, ObservedValue, Unconfirmed
from mirt_sitniks.core.stages import Stage
from tests.core.records import plan, record_at

FIRST, INVOICE, ALARM = Stage.FIRST_TOUCH, Stage.GIVE_REQUISITES, Stage.ESCALATION


def test_status_and_manager_go_out_side_by_side() -> None:
    """A first touch needs two writes, and neither waits for the other."""
    assert plan(record_at(FIRST), 0.0) == (WriteStatus("chat", FIRST, 1), WriteManager("chat", 1))


def test_an_invoice_leaves_the_manager_alone() -> None:
    """A confirmed manager is not written again by a stage that has none."""
    assert plan(record_at(FIRST, INVOICE, confirmed=1), 0.0) == (WriteStatus("chat", INVOICE, 2),)


def test_an_invoice_does_not_forget_a_manager_who_is_still_to_come() -> None:
    """Wishes are coalesced field by field: the newest status, and the manager of the stage before."""
    record = record_at(FIRST, INVOICE, seen_at=1.0)
    assert plan(record, 2.0) == (WriteStatus("chat", INVOICE, 2), WriteManager("chat", 1))


def test_equal_values_do_not_count_when_they_were_only_seen() -> None:
    """The chat showed the status before the intent: a person may have changed it since, so it is written."""
    record = record_at(ALARM, status=ObservedValue("AI Увага", 0), manager=ObservedValue(102, 1))
    assert plan(record, 0.0) == (WriteStatus("chat", ALARM, 1),)


def test_without_a_chat_it_is_looked_for() -> None:
    """Nothing can be written to an unknown chat."""
    assert plan(record_at(FIRST, chat_id=None), 0.0) == (Find(),)


@pytest.mark.parametrize(
    "record",
    [
        record_at(),
        record_at(FIRST, confirmed=1),
        record_at(FIRST, due_at=5.0),
        record_at(FIRST, given_up=1),
        replace(record_at(FIRST), closed="superseded"),
        record_at(FIRST, confirmed=1, unconfirmed=Unconfirmed(1, 0.0)),
        record_at(FIRST, INVOICE, confirmed=2, unconfirmed=Unconfirmed(1, 9.0)),
    ],
    ids=["empty", "converged", "resting", "given up", "superseded", "own write in doubt", "older write can still land"],
)
def test_row16_no_call_is_planned_where_none_is_needed(record: object) -> None:
    """A converged, resting, closed or given-up record gets no call."""
    assert plan(record, 4.0) == ()  # type: ignore[arg-type]


def test_a_manager_who_cannot_be_assigned_keeps_nobody_from_looking() -> None:
    """All that an escalation still waits for is a person whom the account does not assign: a chat that is told to be
    other than known is looked at, for a person may have taken it or given it back."""
    error = Error("forbidden", "403")
    stuck = record_at(FIRST, ALARM, status=ObservedValue("AI Увага", 2), seen_at=1.0, error=error)
    assert plan(stuck, 5.0) == (WriteManager("chat", 2),)
    assert plan(replace(stuck, hinted_at=4.0), 5.0) == (Read("chat"),)


def test_a_new_stage_ends_giving_up() -> None:
    """Giving up is about one generation."""
    assert plan(record_at(FIRST, ALARM, given_up=1), 0.0)


def test_row04_a_write_in_doubt_is_looked_at_before_it_is_repeated() -> None:
    """Its answer was lost: one read, and only then the write again."""
    assert plan(record_at(ALARM, unconfirmed=Unconfirmed(1, 20.0)), 1.0) == (Read("chat"),)
    assert len(plan(record_at(ALARM, unconfirmed=Unconfirmed(1, 20.0), looked_gen=1, looked_at=0.5), 1.0)) == 2


def test_row04_a_doubt_about_an_older_write_holds_nothing_up() -> None:
    """The new stage is written at once; the look comes when the old write can no longer land."""
    assert plan(record_at(INVOICE, ALARM, confirmed=1, unconfirmed=Unconfirmed(1, 20.0)), 1.0) == (
        WriteStatus("chat", ALARM, 2),
        WriteManager("chat", 2),
    )


@pytest.mark.parametrize("gen", [0, 1])
def test_row16_a_converged_record_is_looked_at_once_an_older_write_can_no_longer_land(gen: int) -> None:
    """A slow first touch must not stay on top of the escalation; `gen` 0 is somebody else's write."""
    record = record_at(FIRST, ALARM, confirmed=2, unconfirmed=Unconfirmed(gen, 20.0))
    assert plan(record, 20.0) == (Read("chat"),)
