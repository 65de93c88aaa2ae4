"""What a record means to the caller of a sync."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import pytest

from mirt_sitniks.core.record import Error, ObservedValue, Record
from mirt_sitniks.core.result import Outcome, SyncResult, iso, result_of
from mirt_sitniks.core.stages import Stage
from tests.core.records import NAMES, record_at

FIRST, INVOICE, ALARM = Stage.FIRST_TOUCH, Stage.GIVE_REQUISITES, Stage.ESCALATION


def result(record: Record, lock: tuple[str, float] | None = None) -> SyncResult:
    """The result at the beginning of 2027."""
    return result_of(record, stage=ALARM, at=1_798_761_600.0, statuses=NAMES, lock=lock)


def failing(code: str, given_up: int = 0) -> Record:
    return record_at(ALARM, error=Error(code, "the cure"), given_up=given_up)


def test_a_converged_record_is_synced_with_what_was_confirmed() -> None:
    """Status, manager and chat; the stage is the caller's."""
    done = result(replace(record_at(FIRST, ALARM, confirmed=2), first_touch_at=1.0))
    assert done
    assert (done.status, done.manager_id, done.chat_id, done.error) == ("AI Увага", 102, "chat", None)
    assert done.at == "2027-01-01T00:00:00.000Z"
    assert done.first_touch


def test_a_chat_that_is_not_there_is_told_while_it_is_looked_for() -> None:
    """Queued, but not as if the CRM were only busy: a misspelled user name looks like this."""
    waiting = replace(record_at(FIRST), chat_id=None, search_attempt=1)
    assert result(waiting).outcome is Outcome.QUEUED
    assert (result(waiting).error or {})["code"] == "chat_not_found"
    assert result(replace(waiting, search_attempt=0)).error is None
    assert (result(waiting, lock=("rate_limited", 60.0)).error or {})["code"] == "rate_limited"


def test_a_seen_value_is_not_reported_as_confirmed() -> None:
    """What the CRM showed before the intent proves nothing."""
    waiting = result(record_at(FIRST))
    assert (waiting.outcome, waiting.status, waiting.manager_id) == (Outcome.QUEUED, None, None)


@pytest.mark.parametrize("code", ["unauthorized", "plan_required", "forbidden", "unknown_status", "manager_not_found"])
def test_row08_row09_what_a_person_must_put_right_is_failed(code: str) -> None:
    """It heals by nobody but a person, although it is tried again."""
    assert result(failing(code)).outcome is Outcome.FAILED


STATUS_SET: dict[str, Any] = {"status": ObservedValue("AI Увага", 1)}
MANAGER_SET: dict[str, Any] = {"manager": ObservedValue(102, 1)}


@pytest.mark.parametrize("given_up", [0, 1])
@pytest.mark.parametrize("code", ["forbidden", "manager_not_found", "plan_required"])
def test_row15_a_status_without_its_manager_is_partial(code: str, given_up: int) -> None:
    """The CRM shows the stage and a person has to put the rest right; that is no success, also once it is given up."""
    done = result(record_at(ALARM, error=Error(code, "the cure"), given_up=given_up, **STATUS_SET))
    assert (done.outcome, done.status, done.manager_id, bool(done)) == (Outcome.PARTIAL, "AI Увага", None, False)
    assert done.error == {"code": code, "message": "the cure"}
    assert done.status_set


@pytest.mark.parametrize(
    ("seen", "code", "outcome"),
    [
        (STATUS_SET, "timeout", Outcome.QUEUED),
        (STATUS_SET, "rate_limited", Outcome.QUEUED),
        (MANAGER_SET, "forbidden", Outcome.FAILED),
        ({}, "forbidden", Outcome.FAILED),
        ({"status": ObservedValue("ОПЛАЧЕНО", 1)}, "forbidden", Outcome.FAILED),
    ],
    ids=["late", "resting", "manager only", "neither", "a person's status"],
)
def test_row15_what_is_late_or_lacks_the_status_is_not_partial(
    seen: dict[str, Any], code: str, outcome: Outcome
) -> None:
    """Late is queued, and without the stage's own status it has failed."""
    assert result(record_at(ALARM, error=Error(code, "the cure"), **seen)).outcome is outcome


@pytest.mark.parametrize("code", ["timeout", "unavailable", "bad_response", "rate_limited", "chat_not_found"])
def test_row06_row07_what_heals_by_itself_is_queued_and_says_why(code: str) -> None:
    """A chat that was gone is looked for again, so that is no failure yet."""
    waiting = result(failing(code))
    assert waiting.outcome is Outcome.QUEUED
    assert waiting.error == {"code": code, "message": "the cure"}


@pytest.mark.parametrize("code", ["chat_not_found", "chat_ambiguous"])
def test_row11_row13_what_was_given_up_is_failed(code: str) -> None:
    """Nothing will be tried before the next stage."""
    assert result(failing(code, given_up=1)).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("code", "outcome"),
    [("unauthorized", Outcome.FAILED), ("plan_required", Outcome.FAILED), ("rate_limited", Outcome.QUEUED)],
)
def test_row08_the_keys_lock_explains_why_nothing_is_sent(code: str, outcome: Outcome) -> None:
    """With the cure, also for a session that was never tried."""
    locked = result(record_at(ALARM), (code, 9.0))
    assert locked.outcome is outcome
    assert locked.error
    assert locked.error["code"] == code


def test_row09_the_keys_lock_does_not_hide_a_wrong_setting() -> None:
    """That has to be put right anyway."""
    error = result(failing("unknown_status"), ("rate_limited", 9.0)).error
    assert error
    assert error["code"] == "unknown_status"


def test_row28_a_status_that_a_person_set_is_held() -> None:
    """The record has converged on it, so nothing is written, and the caller is told."""
    record = record_at(FIRST, INVOICE, confirmed=2, status=ObservedValue("ОПЛАЧЕНО", 2), manager=ObservedValue(101, 1))
    held = result(record)
    assert (held.outcome, held.status) == (Outcome.HELD, "ОПЛАЧЕНО")
    assert not held


def test_row19_a_session_that_lost_its_chat_is_superseded() -> None:
    """Skipped, with the reason."""
    lost = result(replace(record_at(FIRST, chat_id=None), closed="superseded"))
    assert (lost.outcome, lost.reason) == (Outcome.SKIPPED, "superseded")


def test_times_are_written_as_the_api_writes_them() -> None:
    """ISO 8601 UTC with milliseconds and Z."""
    assert iso(0.5) == "1970-01-01T00:00:00.500Z"


def test_a_result_is_a_mapping_for_code_written_for_a_dict() -> None:
    """Every field by name, as plain JSON, also through `dict`, `in`, `get` and a REST route's encoder."""
    done = result(record_at(ALARM, confirmed=1))
    assert isinstance(done, Mapping)
    assert [done[key] for key in ("success", "status_set", "manager_assigned")] == [True, True, True]
    assert ("success" in done, "nonsense" in done, done.get("nonsense", 7)) == (True, False, 7)
    assert dict(done) == asdict(done) == json.loads(json.dumps(dict(done)))
    assert done["outcome"] == "synced"
    with pytest.raises(KeyError):
        done["nonsense"]
    failed = result(failing("forbidden"))
    assert [failed[key] for key in ("success", "status_set", "manager_assigned")] == [False, False, False]
    assert failed["error"] == {"code": "forbidden", "message": "the cure"}


def test_graph_state_has_all_keys_always() -> None:
    """What is not known is None; what only serves old code is not stored."""
    keys = {"stage", "at", "outcome", "reason", "chat_id", "status", "manager_id", "first_touch", "event", "owner"}
    state = SyncResult(None, "", Outcome.SKIPPED).to_state()
    assert state.keys() == keys | {"held_until", "people", "error"}
    assert [state[key] for key in ("event", "owner", "held_until", "people", "error")] == [None] * 5
