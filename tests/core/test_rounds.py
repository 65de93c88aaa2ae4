"""What a round comes to when it could not send all that it needed."""

from dataclasses import replace

from mirt_sitniks.core.capabilities import Capabilities
from mirt_sitniks.core.record import Claim, Error, Try
from mirt_sitniks.core.result import Outcome, result_of
from mirt_sitniks.core.rounds import CallOutcome, Round, report_of
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.errors import Forbidden
from tests.core.records import CONTEXT, NAMES, bad, manager_step, read_step, record_at, status_step

FIRST = Stage.FIRST_TOUCH


def test_row39_a_status_that_was_not_sent_in_time_is_on_its_way_whatever_is_known_of_the_manager() -> None:
    """It is due at once, and `queued`: that nobody can be assigned was known without a call, and says nothing of it.
    Once it is there, the stage is `partial` and rests."""
    record = record_at(FIRST)
    steps = (status_step(record), manager_step(record))
    no = CallOutcome(answer=replace(bad(record, steps[1], Forbidden("no", status=403)), sent=False))
    claim = Claim(record, None, (0.0,), 0.0, False, Capabilities())
    late = report_of(Round(claim, steps, (no, CallOutcome()), now=1.0), CONTEXT, 0.5)
    assert late.record
    assert late.unused == (0.0,)
    waits = replace(record, observed=late.record.observed)
    assert waits.observed.due_at <= 1.0
    assert result_of(waits, stage=FIRST, at=0.0, statuses=NAMES).outcome is Outcome.QUEUED

    refused = Error("forbidden", "no")
    was_told = replace(record, observed=replace(record.observed, attempt=1, error=refused))
    again = report_of(Round(replace(claim, record=was_told), steps, (no, CallOutcome()), now=1.0), CONTEXT, 0.5)
    assert again.record
    assert (again.record.observed.error, again.record.observed.attempt) == (refused, 1)

    sent = CallOutcome(True, replace(bad(record, steps[0]), error=None), kind="status")
    done = report_of(Round(replace(claim, record=waits), steps, (no, sent), now=2.0), CONTEXT, 0.5)
    assert done.record
    there = replace(waits, observed=done.record.observed)
    assert there.observed.due_at > 600.0
    assert result_of(there, stage=FIRST, at=0.0, statuses=NAMES).outcome is Outcome.PARTIAL


def test_every_call_of_a_round_is_told_of_once() -> None:
    """What needed no call has no try; a refusal that waits for its meaning is told of in the round that it came in."""
    record = record_at(FIRST)
    steps = (status_step(record), manager_step(record))
    refused = Forbidden("no", status=403, code="plan_required")
    status, managers = (
        Try("status", 0.1, 403, "plan_required"),
        Try("managers", 0.2, for_all=True),
    )
    no = CallOutcome(True, bad(record, steps[0], refused), error=refused, kind="status", meant=refused, tried=status)
    listed = CallOutcome(kind="managers", managers=(101,))
    claim = Claim(record, None, (0.0, 0.0), 0.0, False, Capabilities())
    done = Round(claim, steps, (no, listed), now=1.0)
    assert report_of(done, CONTEXT, 0.5).tries == (status,)
    assert [one.tried for one in done.unexplained] == [None]

    people = replace(listed, sent=True, tried=managers)
    again = Round(claim, steps, (*done.unexplained, people), now=2.0)
    assert report_of(again, CONTEXT, 0.5).tries == (managers,)


def test_row39_a_refusal_that_was_explained_meanwhile_delays_no_look() -> None:
    """The key was asked for because a manager was refused; the status, which failed beside him, needs a look first by
    now: that is due at once, and not in the ten minutes of the refusal."""
    record = record_at(FIRST)
    refused = Forbidden("no", status=403)
    no = CallOutcome(answer=bad(record, manager_step(record), refused), error=refused, kind="assign", meant=refused)
    claim = Claim(record, None, (0.0,), 0.0, True, Capabilities())
    asked = report_of(Round(claim, (read_step(),), (no, CallOutcome(True, kind="list")), now=1.0), CONTEXT, 0.5)
    assert asked.record
    assert asked.record.observed.due_at <= 1.0
