"""What an answer means for a record."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.folding import Answer
from mirt_sitniks.core.plan import WriteStatus
from mirt_sitniks.core.record import Error, Observed, ObservedValue, Record, Unconfirmed, pending
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.errors import (
    BadResponse,
    CallTimeout,
    CrmError,
    Forbidden,
    NotFound,
    PlanRequired,
    RateLimited,
    Refused,
    Unauthorized,
    Unavailable,
)
from tests.core.records import (
    AI,
    HUMAN,
    NAMES,
    bad,
    folded,
    manager_step,
    ok,
    plan,
    read_step,
    record_at,
    status_step,
)

FIRST, INVOICE, ALARM = Stage.FIRST_TOUCH, Stage.GIVE_REQUISITES, Stage.ESCALATION


def after(record: Record, *answers: Answer, now: float = 1.0) -> Record:
    """The record with what was folded in."""
    return replace(record, observed=folded(record, *answers, now=now).observed)


def shows(record: Record, status: str, manager: int | None = None, *, at: float = 1.0) -> Answer:
    """A look at the chat that shows these."""
    return ok(record, read_step(), Chat("chat", status=status, manager_id=manager), at=at)


def test_a_definite_answer_confirms_the_generation_it_was_planned_for() -> None:
    """Both fields, with the values that were sent; nothing is left to do, and an error is forgotten."""
    record = record_at(FIRST, error=Error("timeout", "late"), attempt=3)
    done = after(record, ok(record, status_step(record)), ok(record, manager_step(record)))
    assert done.observed == Observed(
        ObservedValue(NAMES[FIRST], 1),
        ObservedValue(101, 1),
        due_at=1.0,
        confirmed=("first_touch",),
        before="Нові заявки",
    )
    assert not pending(done)


def test_an_answer_for_an_older_generation_confirms_no_newer_one() -> None:
    """The status of generation 1 came back while generation 2 is desired: it is written again."""
    record = record_at(FIRST, INVOICE)
    old = WriteStatus("chat", FIRST, 1)
    assert "WriteStatus" in [type(step).__name__ for step in plan(after(record, ok(record, old, at=8.0)), 9.0)]


class TestRow04:
    """A write whose fate is unknown."""

    def test_row04_a_lost_answer_leaves_a_doubt(self) -> None:
        """It may still land, until twice the timeout is over; nothing counts as confirmed."""
        record = record_at(ALARM)
        lost = after(record, bad(record, status_step(record), at=5.0), ok(record, manager_step(record), at=5.0))
        assert lost.observed.unconfirmed == Unconfirmed(1, 25.0)
        assert (lost.observed.status.gen, lost.observed.manager.gen) == (0, 1)

    @pytest.mark.parametrize("error", [Unavailable("refused"), RateLimited("429"), Unauthorized("401"), Refused("400")])
    def test_row04_a_write_that_was_surely_not_applied_leaves_none(self, error: CrmError) -> None:
        """The connection was refused, or the CRM said no: it is simply written again."""
        record = record_at(ALARM)
        assert after(record, bad(record, status_step(record), error)).observed.unconfirmed is None

    def test_row04_a_lost_read_leaves_none(self) -> None:
        """A read changes nothing."""
        record = record_at(ALARM, unconfirmed=Unconfirmed(1, 20.0))
        assert after(record, bad(record, read_step())).observed.unconfirmed == Unconfirmed(1, 20.0)

    def test_row04_what_the_look_shows_is_not_written_again(self) -> None:
        """The write had come through."""
        record = record_at(ALARM, unconfirmed=Unconfirmed(1, 20.0))
        assert not pending(after(record, shows(record, "AI Увага", 102)))

    def test_row04_our_older_value_is_written_again(self) -> None:
        """The write had not come through."""
        record = record_at(ALARM, unconfirmed=Unconfirmed(1, 20.0))
        assert len(plan(after(record, shows(record, "Нові заявки", 101)), 9.0)) == 2

    def test_row04_what_a_look_shows_may_have_been_there_before(self) -> None:
        """Two escalations: the chat shows the first one's status; the second's write lands on the next stage."""
        record = record_at(ALARM, ALARM, unconfirmed=Unconfirmed(2, 20.0), manager=ObservedValue(102, 2))
        seen = after(record, shows(record, "AI Увага", 102))
        assert seen.observed.unconfirmed == Unconfirmed(2, 20.0)
        assert not pending(seen)

    def test_row04_a_second_doubt_does_not_hide_the_first(self) -> None:
        """Both are in the air: the newer one's landing must not end the watch for the older one."""
        record = record_at(INVOICE, ALARM, confirmed=1, unconfirmed=Unconfirmed(1, 20.0))
        lost = after(record, bad(record, status_step(record), at=5.0), ok(record, manager_step(record), at=5.0))
        assert lost.observed.unconfirmed == Unconfirmed(1, 25.0)

    def test_row04_an_older_doubt_that_is_not_looked_at_yet_is_not_hidden_either(self) -> None:
        """It landed and can be seen, but nobody has looked yet."""
        record = record_at(FIRST, ALARM, manager=ObservedValue(102, 2), unconfirmed=Unconfirmed(1, 20.0))
        lost = after(record, bad(record, status_step(record), at=30.0))
        assert lost.observed.unconfirmed == Unconfirmed(1, 50.0)

    def test_row04_a_write_of_one_field_says_nothing_of_the_other(self) -> None:
        """The AI's late assignment may stand over the live manager while only the status was written since."""
        record = record_at(FIRST, ALARM, manager=ObservedValue(102, 2), unconfirmed=Unconfirmed(1, 20.0))
        written = after(record, ok(record, status_step(record), at=30.0), now=31.0)
        assert plan(written, 31.0) == (read_step(),)
        fixed = after(written, shows(written, "AI Увага", 101, at=31.0))
        assert plan(fixed, 32.0) == (manager_step(record),)

    def test_row04_a_confirmed_record_waits_until_the_older_write_can_no_longer_land(self) -> None:
        """It is due exactly then, not before."""
        record = record_at(INVOICE, ALARM, confirmed=1, unconfirmed=Unconfirmed(1, 20.0))
        done = after(record, ok(record, status_step(record)), ok(record, manager_step(record)))
        assert pending(done)
        assert done.observed.due_at == 20.0

    def test_row04_a_chat_that_does_not_tell_its_manager_is_assigned_again(self) -> None:
        """Better once too often than the wrong one: the account shows no manager's id, and no name."""
        record = record_at(FIRST, ALARM, confirmed=2, unconfirmed=Unconfirmed(1, 20.0))
        assert plan(after(record, shows(record, "AI Увага", None, at=20.0)), 30.0) == (manager_step(record),)


class TestRow28:
    """What people set by hand."""

    def test_row28_a_status_of_a_person_stays_when_ours_is_in_doubt(self) -> None:
        """Neither the desired nor an older one of ours: the person was later than the write that is in doubt."""
        record = record_at(FIRST, INVOICE, confirmed=1, unconfirmed=Unconfirmed(2, 20.0))
        seen = after(record, shows(record, "ОПЛАЧЕНО", 101))
        assert not pending(seen)
        assert seen.observed.status == ObservedValue("ОПЛАЧЕНО", 2)

    def test_row28_a_manager_who_took_over_stays_when_only_the_status_is_in_doubt(self) -> None:
        """The assignment had its definite answer, so whoever is shown now was chosen by a person."""
        record = record_at(FIRST, INVOICE, confirmed=1, unconfirmed=Unconfirmed(2, 20.0))
        assert not pending(after(record, shows(record, "Виставлено рахунок", 103)))

    def test_row28_a_converged_record_plans_nothing_whatever_people_do(self) -> None:
        """A graph that resumes brings no new generation, so the chat is not even read."""
        assert plan(record_at(FIRST, INVOICE, confirmed=2), 1e9) == ()


class TestRow09:
    """404 for a chat, 400 and 422 for a status."""

    def test_row09_a_chat_that_is_gone_is_looked_up_again_once(self) -> None:
        """The first 404 starts a search; a second one in a row gives the stage up."""
        record = record_at(ALARM)
        gone = folded(record, bad(record, status_step(record), NotFound("404", status=404)))
        assert gone.gone
        assert gone.observed.given_up == 0
        again = replace(record, observed=replace(record.observed, error=gone.observed.error))
        twice = folded(again, bad(again, status_step(again), NotFound("404", status=404)))
        assert twice.observed.given_up == 1
        assert twice.observed.error
        assert twice.observed.error.code == "chat_not_found"

    def test_row09_a_status_that_is_not_there_names_itself_and_its_setting(self) -> None:
        """So that whoever reads it knows what to create, or what to change."""
        record = record_at(ALARM)
        refused = Refused("no", status=422, code="unknown_status")
        error = folded(record, bad(record, status_step(record), refused)).observed.error
        assert error
        assert error.code == "unknown_status"
        assert "AI Увага" in error.message
        assert "SITNIKS_STATUS_ESCALATION" in error.message

    def test_row09_a_wrong_setting_is_tried_again_in_ten_minutes_and_given_up_in_the_end(self) -> None:
        """Trying at once cannot help; the eighth refusal ends it until the next stage."""
        record = record_at(ALARM)
        waits = []
        for _ in range(8):
            refused = bad(record, status_step(record), Refused("no", status=400, code="unknown_status"))
            record = after(record, refused, now=0.0)
            waits.append(record.observed.due_at)
        assert waits[:5] == pytest.approx([630.0, 1260.0, 2520.0, 5040.0, 10080.0])
        assert record.observed.given_up == 1
        assert not pending(record)

    def test_row09_another_refusal_says_nothing_of_the_status(self) -> None:
        """A 409 or 405 is no missing status: it is tried again soon, and never given up."""
        record = record_at(ALARM)
        for _ in range(20):
            record = after(record, bad(record, status_step(record), Refused("no", status=409)), now=0.0)
            record = replace(record, observed=replace(record.observed, due_at=0.0))
        assert record.observed.error == Error("bad_response", "no")
        assert pending(record)


class TestRow15:
    """Managers who are not there."""

    def test_row15_the_status_is_set_all_the_same(self) -> None:
        """Only the manager's field is left, with the error that names the cure."""
        record = record_at(FIRST)
        nobody = CrmError("set SITNIKS_AI_MANAGER_ID", code="manager_not_found")
        done = after(record, ok(record, status_step(record)), bad(record, manager_step(record), nobody))
        assert done.observed.status.gen == 1
        assert done.observed.error == Error("manager_not_found", "set SITNIKS_AI_MANAGER_ID")
        assert plan(done, 1e6) == (manager_step(record),)

    def test_row15_a_manager_whom_the_crm_refuses_names_his_id_and_the_settings(self) -> None:
        """The id in the settings may be another account's."""
        record = record_at(ALARM)
        refused = Refused("no", status=422, code="manager_not_found")
        error = folded(record, bad(record, manager_step(record), refused)).observed.error
        assert error
        assert error.code == "manager_not_found"
        assert str(HUMAN.id) in error.message
        assert "SITNIKS_HUMAN_MANAGER_ID" in error.message

    def test_row15_a_setting_that_is_wrong_does_not_slow_the_other_field(self) -> None:
        """The status meets a 500, which heals in seconds, while no manager can be had for ten minutes."""
        record = record_at(FIRST)
        nobody = CrmError("nobody", code="manager_not_found")
        trouble = bad(record, status_step(record), Unavailable("500", status=500))
        assert after(record, trouble, bad(record, manager_step(record), nobody)).observed.due_at <= 3.0


class TestForbidden:
    """What the key may not do, although it is good for other calls."""

    NO = Forbidden("give the key this right")

    def test_only_the_refused_field_waits(self) -> None:
        """The status is confirmed beside it; the assignment is made again in ten minutes, and given up as a setting."""
        record = record_at(FIRST)
        done = after(record, ok(record, status_step(record)), bad(record, manager_step(record), self.NO), now=0.0)
        assert done.observed.status.gen == 1
        assert done.observed.error == Error("forbidden", "give the key this right")
        assert done.observed.due_at == pytest.approx(630.0)
        for _ in range(7):
            done = after(done, bad(done, manager_step(done), self.NO), now=0.0)
        assert done.observed.given_up == 1

    @pytest.mark.parametrize("error", [Unavailable("500", status=500), RateLimited("429"), PlanRequired("403")])
    def test_it_does_not_put_the_other_field_off(self, error: CrmError) -> None:
        """Trouble, and a rest of the key, end sooner than in ten minutes."""
        record = record_at(FIRST)
        trouble = bad(record, status_step(record), error)
        done = after(record, trouble, bad(record, manager_step(record), self.NO)).observed
        assert done.due_at <= 3.0
        assert done.error
        assert done.error.code == error.code

    def test_a_chat_that_may_not_be_read_is_written_again(self) -> None:
        """A write of what is desired now was lost: it is made once more, as if the look had shown nothing of it."""
        record = record_at(FIRST, INVOICE, confirmed=1, unconfirmed=Unconfirmed(2, 20.0), attempt=2)
        unread = after(record, bad(record, read_step(), self.NO))
        assert plan(unread, 1.0) == (status_step(record),)
        assert unread.observed.attempt == 2

    def test_what_an_older_write_may_have_spoiled_is_written_again_unseen(self) -> None:
        """Both fields of the escalation; the invoice's manager was not touched by what came before it."""
        record = record_at(FIRST, ALARM, confirmed=2, unconfirmed=Unconfirmed(1, 20.0))
        unread = after(record, bad(record, read_step(), self.NO, at=20.0), now=20.0)
        assert plan(unread, 20.0) == (status_step(record), manager_step(record))
        record = record_at(FIRST, INVOICE, confirmed=2, unconfirmed=Unconfirmed(1, 20.0))
        unread = after(record, bad(record, read_step(), self.NO, at=20.0), now=20.0)
        assert plan(unread, 20.0) == (status_step(record),)
        assert not pending(after(unread, ok(unread, status_step(record), at=21.0)))

    def test_row28_what_a_person_set_is_not_written_over_unseen(self) -> None:
        """Then there is nothing to write, and the doubt ends."""
        record = record_at(
            FIRST,
            INVOICE,
            status=ObservedValue("ОПЛАЧЕНО", 2),
            manager=ObservedValue(101, 1),
            unconfirmed=Unconfirmed(1, 20.0),
        )
        assert not pending(after(record, bad(record, read_step(), self.NO, at=20.0), now=20.0))


def test_row16_a_late_first_touch_is_found_and_corrected() -> None:
    """The escalation was confirmed, then the first touch landed: the look shows it, and both fields are written."""
    record = record_at(FIRST, ALARM, confirmed=2, unconfirmed=Unconfirmed(1, 20.0))
    assert len(plan(after(record, shows(record, "Взято в роботу", AI.id, at=20.0), now=21.0), 21.0)) == 2


@pytest.mark.parametrize("error", [RateLimited("429"), Unauthorized("401"), PlanRequired("403")])
def test_row07_row08_a_rest_of_the_key_is_no_failed_attempt(error: CrmError) -> None:
    """The record stays due, and its count of failures stays as it was."""
    record = record_at(ALARM, attempt=2)
    rested = folded(record, bad(record, status_step(record), error)).observed
    assert (rested.attempt, rested.due_at) == (2, 1.0)
    assert rested.error
    assert rested.error.code == error.code


def test_row06_failures_in_a_row_wait_longer_and_longer() -> None:
    """Two seconds, doubling, to ten minutes; here with the jitter at its half."""
    record, waits = record_at(ALARM), []
    for _ in range(12):
        record = after(record, bad(record, status_step(record), Unavailable("502", status=502)), now=0.0)
        waits.append(record.observed.due_at)
    assert waits[:3] == [1.0, 2.0, 4.0]
    assert waits[-1] == 300.0


_ERRORS = st.sampled_from(
    [
        None,
        CallTimeout("t", unconfirmed=True),
        Unavailable("u"),
        Unavailable("u", unconfirmed=True),
        BadResponse("b", unconfirmed=True),
        RateLimited("r"),
        Unauthorized("k"),
        NotFound("n"),
        Forbidden("x"),
        Refused("f"),
    ]
)


@given(
    stages=st.lists(st.sampled_from(Stage), min_size=1, max_size=3),
    confirmed=st.integers(0, 3),
    unconfirmed=st.none() | st.builds(Unconfirmed, st.integers(0, 3), st.sampled_from([0.0, 5.0, 50.0])),
    errors=st.lists(_ERRORS, min_size=2, max_size=2),
    shown=st.sampled_from(["Нові заявки", "ОПЛАЧЕНО", *NAMES.values()]),
    manager=st.sampled_from([None, 101, 102, 103]),
    random=st.floats(0, 0.999),
)
@example(
    stages=[Stage.FIRST_TOUCH],
    confirmed=1,
    unconfirmed=Unconfirmed(0, 0.0),
    errors=[Forbidden("x"), None],
    shown="Нові заявки",
    manager=None,
    random=0.0,
)
@example(
    stages=[Stage.FIRST_TOUCH, Stage.GIVE_REQUISITES],
    confirmed=1,
    unconfirmed=Unconfirmed(0, 0.0),
    errors=[None, None],
    shown="Нові заявки",
    manager=None,
    random=0.0,
)
def test_folding_never_goes_back_and_never_ahead(
    stages: list[Stage],
    confirmed: int,
    unconfirmed: Unconfirmed | None,
    errors: list[CrmError | None],
    shown: str,
    manager: int | None,
    random: float,
) -> None:
    """Nothing is confirmed beyond what is desired, a failure confirms nothing, the next try is not in the past."""
    record = record_at(*stages, confirmed=confirmed, unconfirmed=unconfirmed)
    chat = Chat("chat", status=shown, manager_id=manager)
    answers = [
        bad(record, step, error, at=9.0) if error else ok(record, step, chat, at=9.0)
        for step, error in zip(plan(record, 10.0), errors, strict=False)
    ]
    result = folded(record, *answers, now=10.0, random=random)
    seen, want = result.observed, record.desired
    assert seen.status.gen <= want.status.gen
    assert seen.manager.gen <= want.manager.gen
    assert seen.due_at >= 10.0
    if answers and all(answer.error for answer in answers):
        for now_seen, before in ((seen.status, record.observed.status), (seen.manager, record.observed.manager)):
            assert now_seen.value == before.value
            assert now_seen.gen <= before.gen
        done = seen.given_up == want.generation or (unconfirmed is not None and seen.unconfirmed is None)
        assert pending(replace(record, observed=seen)) or done
