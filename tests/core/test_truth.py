"""What an answer proves, what it only says, and what the account's earlier answers have taught."""

from dataclasses import replace
from typing import Any

import pytest

from mirt_sitniks.core import plan as plans
from mirt_sitniks.core.capabilities import KEPT, PROBE, Capabilities, Heard, learn, lend
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.fold import fold
from mirt_sitniks.core.folding import Answer, Folded
from mirt_sitniks.core.plan import Read, WriteStatus
from mirt_sitniks.core.record import DesiredValue, ObservedValue, Record, Unconfirmed, pending
from mirt_sitniks.core.result import Outcome, result_of
from mirt_sitniks.core.stages import BUILT_IN, Stage, StageRule
from mirt_sitniks.errors import CrmError, Forbidden, NotApplied, Refused
from tests.core.records import CONTEXT, NAMES, bad, manager_step, ok, plan, read_step, record_at, status_step

FIRST, INVOICE, ALARM = Stage.FIRST_TOUCH, Stage.GIVE_REQUISITES, Stage.ESCALATION
OLD = Chat("chat", status="Нові заявки", manager_id=103)
UNSENT = CrmError("not sent", code="rate_limited", retryable=True)
NEW = Chat("chat", status="AI Увага", manager_id=102)


def fold_in(
    record: Record, *answers: Answer, now: float = 5.0, known: Capabilities | None = None
) -> tuple[Record, Folded]:
    """The record with what was folded in, and the fold."""
    folded = fold(record, answers, CONTEXT, now=now, random=0.5, known=known)
    return replace(record, observed=folded.observed), folded


def said(folded: Folded) -> set[tuple[str, str]]:
    """What was heard of kinds of call."""
    return {(one.kind, one.said) for one in folded.heard}


class TestRow38:
    """A 2xx that does not do what it says."""

    @pytest.mark.parametrize(
        "value", [None, NEW, Chat("chat")], ids=["nothing", "the value", "a chat that tells nothing"]
    )
    def test_row38_an_answer_that_contradicts_nothing_confirms(self, value: Chat | None) -> None:
        """Both fields at once, and no look is needed."""
        record = record_at(ALARM)
        done, _ = fold_in(record, ok(record, status_step(record), value), ok(record, manager_step(record), value))
        assert not pending(done)

    def test_row38_an_answer_that_shows_the_old_value_is_looked_at_and_not_believed(self) -> None:
        """Neither field is confirmed; the look shows that nothing was done: tried again in ten minutes, and said."""
        record = record_at(ALARM)
        left, _ = fold_in(record, ok(record, status_step(record), OLD), ok(record, manager_step(record), OLD))
        assert plan(left, 5.0) == (read_step(),)
        seen, folded = fold_in(left, ok(left, read_step(), OLD, at=5.0), now=6.0)
        assert seen.observed.error
        assert seen.observed.error.code == "not_applied"
        assert seen.observed.due_at == pytest.approx(636.0)
        assert {("status", "refused"), ("assign", "refused")} < said(folded)
        assert result_of(seen, stage=ALARM, at=0.0, statuses=NAMES).outcome is Outcome.FAILED

    def test_row38_a_manager_who_is_not_assigned_leaves_the_stage_partial(self) -> None:
        """The status stands, and the error says why the manager does not."""
        record = record_at(ALARM)
        shown = replace(NEW, manager_id=103)
        left, _ = fold_in(record, ok(record, status_step(record), shown), ok(record, manager_step(record), shown))
        assert left.observed.status.gen == 1
        seen, _ = fold_in(left, ok(left, read_step(), shown, at=5.0))
        result = result_of(seen, stage=ALARM, at=0.0, statuses=NAMES)
        assert (result.outcome, (result.error or {})["code"]) == (Outcome.PARTIAL, "not_applied")

    def test_row38_a_2xx_that_says_that_it_failed_is_looked_at(self) -> None:
        """The look decides, as of any contradiction."""
        record = record_at(INVOICE, seen_at=4.0)
        left, _ = fold_in(record, bad(record, status_step(record), NotApplied("no", status=200)))
        assert plan(left, 5.0) == (read_step(),)
        assert not pending(fold_in(left, ok(left, read_step(), Chat("chat", status="Виставлено рахунок"), at=5.0))[0])

    def test_row38_answers_that_show_the_state_before_are_learned_for_a_day(self) -> None:
        """The look shows the new values; from then on what such an answer shows of its own field proves nothing."""
        record = record_at(ALARM)
        left, _ = fold_in(record, ok(record, status_step(record), OLD), ok(record, manager_step(record), OLD))
        seen, folded = fold_in(left, ok(left, read_step(), NEW, at=5.0))
        assert not pending(seen)
        known = learn(Capabilities(), folded.heard, 5.0)
        assert set(known.before) == {"status", "assign"}
        record = record_at(INVOICE, seen_at=4.0)
        assert not pending(fold_in(record, ok(record, status_step(record), OLD), known=known)[0])


class TestRow41:
    """An account that saves the whole chat, so that of two writes at once one is lost."""

    def test_row41_of_two_answers_the_later_shows_both_values(self) -> None:
        """The other one shows what was there before it, and that is no evidence against it."""
        record = record_at(ALARM)
        first = replace(OLD, status="AI Увага")
        done, _ = fold_in(record, ok(record, status_step(record), first), ok(record, manager_step(record), NEW))
        assert not pending(done)

    def test_row41_two_answers_of_which_none_shows_both_are_looked_at(self) -> None:
        """What was lost is written again, alone, and so are the account's writes for a day."""
        record = record_at(ALARM)
        status, manager = replace(OLD, status="AI Увага"), replace(OLD, manager_id=102)
        crossed, _ = fold_in(record, ok(record, status_step(record), status), ok(record, manager_step(record), manager))
        assert plan(crossed, 5.0) == (read_step(),)
        seen, folded = fold_in(crossed, ok(crossed, read_step(), manager, at=5.0))
        assert plan(seen, 6.0) == (status_step(record),)
        assert learn(Capabilities(), folded.heard, 5.0).apart_until == 5.0 + KEPT

    def test_row41_the_look_finds_which_of_two_was_lost(self) -> None:
        """One answer says nothing, the other shows nothing of it: either may have come on top of the other."""
        record = record_at(ALARM)
        manager = ok(record, manager_step(record), replace(OLD, manager_id=102))
        crossed, _ = fold_in(record, ok(record, status_step(record)), manager)
        seen, _ = fold_in(crossed, ok(crossed, read_step(), replace(OLD, status="AI Увага"), at=5.0))
        assert plan(seen, 6.0) == (manager_step(record),)

    @pytest.mark.parametrize(
        "record", [record_at(FIRST, attempt=1), record_at(ALARM, ALARM)], ids=["second try", "second stage"]
    )
    def test_row41_what_an_earlier_try_may_have_left_tells_no_order(self, record: Record) -> None:
        """The manager may be there since then: that the status' answer shows him does not make it the later one."""
        manager = record.desired.manager.value
        there = replace(OLD, manager_id=101 if manager == "ai" else 102)
        known = Capabilities(before={"status": KEPT, "assign": KEPT})
        answers = ok(record, status_step(record), there), ok(record, manager_step(record), there)
        seen, _ = fold_in(record, *answers, known=known)
        assert plan(seen, 5.0) == (read_step(),)
        assert seen.observed.status.gen == 0


class TestRow39:
    """A kind of call that is refused."""

    NO = Heard("assign", "refused", "a", "forbidden", "no")

    def test_row39_one_chats_refusal_is_its_own_until_two_others_say_the_same(self) -> None:
        """Three chats with no success between make it the kind's; a success begins the count anew."""
        two = learn(Capabilities(), [self.NO, self.NO, replace(self.NO, chat="b")], 0.0)
        assert two.rests("assign") is None
        assert learn(two, [replace(self.NO, chat="c")], 0.0).rests("assign")
        good = learn(two, [Heard("assign"), replace(self.NO, chat="c")], 0.0)
        assert good.rests("assign") is None

    def test_row39_a_call_that_is_missing_counts_at_once_and_alone(self) -> None:
        """No other kind is touched by it."""
        known = learn(Capabilities(), [replace(self.NO, said="missing")], 0.0)
        assert known.rests("assign")
        assert known.rests("status") is None

    def test_row39_what_is_refused_is_probed_by_one_in_ten_minutes(self) -> None:
        """Whoever is first goes on probing, others are told no; a good answer ends it for all."""
        known = learn(Capabilities(), [replace(self.NO, said="missing")], 0.0)
        assert lend(known, ["assign"], "s", PROBE - 1.0, 30.0)[1].rests("assign")
        known, shown = lend(known, ["assign"], "s", PROBE, 30.0)
        assert shown.rests("assign") is None
        assert lend(known, ["assign"], "other", PROBE + 1.0, 30.0)[1].rests("assign")
        assert lend(known, ["assign"], "s", PROBE + 1.0, 30.0)[1].rests("assign") is None
        assert lend(known, ["status"], "third", PROBE + 100.0, 30.0)[0] is known
        assert learn(known, [Heard("assign")], PROBE + 2.0) == replace(known, refused={})

    def test_row39_the_status_is_confirmed_beside_a_manager_who_may_not_be_assigned(self) -> None:
        """And the refusal is heard as that chat's, or, for a route that is not there, as everybody's."""
        record = record_at(FIRST)
        for status, said_of_it in ((403, "refused"), (404, "missing"), (405, "missing"), (501, "missing")):
            no = bad(record, manager_step(record), Forbidden("no", status=status))
            done, folded = fold_in(record, ok(record, status_step(record)), no)
            assert (done.observed.status.gen, done.observed.manager.gen) == (1, 0)
            assert ("assign", said_of_it) in said(folded)


class TestRow40:
    """A chat that refuses writes."""

    NO = Refused("no", status=422, code="unknown_status")

    def test_row40_a_status_that_others_take_is_no_unknown_status(self) -> None:
        """So the chat is refused; the same answer without that is the status's affair."""
        record = record_at(INVOICE, seen_at=4.0)
        known = learn(Capabilities(), [Heard("status", value="Виставлено рахунок")], 0.0)
        for with_known, code in ((known, "chat_refused"), (None, "unknown_status")):
            refused, _ = fold_in(record, bad(record, status_step(record), self.NO), known=with_known)
            assert refused.observed.error
            assert refused.observed.error.code == code

    def test_row40_a_chat_that_refuses_every_write_is_closed(self) -> None:
        """Status and manager are refused together: neither setting is blamed."""
        record = record_at(ALARM)
        manager = bad(record, manager_step(record), Refused("no", status=422, code="manager_not_found"))
        refused, _ = fold_in(record, bad(record, status_step(record), self.NO), manager)
        assert refused.observed.error
        assert refused.observed.error.code == "chat_refused"
        assert result_of(refused, stage=ALARM, at=0.0, statuses=NAMES).outcome is Outcome.FAILED


class TestRow42:
    """A person changes the chat while our write waits."""

    @pytest.mark.parametrize(
        ("change", "looks"),
        [
            ({}, False),
            ({"seen_at": 30.0}, True),
            ({"confirmed": ("give_requisites",)}, True),
            ({"seen_at": 0.0}, True),
            ({"seen_at": 30.0, "looked_gen": 2, "looked_at": 95.0}, False),
            ({"seen_at": 30.0, "looked_gen": 2, "looked_at": 60.0}, True),
            ({"seen_at": 30.0, "looked_gen": 1, "looked_at": 95.0}, True),
        ],
        ids=[
            "seen lately",
            "seen long ago",
            "second time",
            "never seen",
            "just looked",
            "looked a while ago",
            "before it",
        ],
    )
    def test_row42_a_chat_is_read_before_a_write_that_respects_people(
        self, change: dict[str, Any], looks: bool
    ) -> None:
        """When it was last seen more than a minute ago, or the stage was there once before, and not twice in a row."""
        record = record_at(FIRST, INVOICE, confirmed=1, seen_at=90.0)
        record = replace(record, observed=replace(record.observed, **change))
        assert plan(record, 100.0) == ((read_step(),) if looks else (status_step(record),))

    @pytest.mark.parametrize("stage", [FIRST, ALARM])
    def test_row42_first_touch_and_escalation_do_not_look(self, stage: Stage) -> None:
        """One is the first there is, the other goes over people."""
        assert Read("chat") not in plan(record_at(INVOICE, stage, confirmed=1, seen_at=1.0), 1000.0)

    def test_row42_a_status_that_changed_within_the_hours_is_a_persons(self) -> None:
        """Nothing is written and the outcome is `held`; after the hours it is what was there before."""
        record = record_at(FIRST, INVOICE, confirmed=1, seen_at=10.0)
        paid = Chat("chat", status="ОПЛАЧЕНО", manager_id=101)
        held, _ = fold_in(record, ok(record, read_step(), paid, at=1000.0))
        assert result_of(held, stage=INVOICE, at=0.0, statuses=NAMES).outcome is Outcome.HELD
        late, _ = fold_in(record, ok(record, read_step(), paid, at=100_000.0), now=100_000.0)
        assert plan(late, 100_000.0) == (status_step(record),)

    def test_row42_what_was_there_before_our_lost_write_is_nobodys_change(self) -> None:
        """The old order's status is shown again after the second order's write was lost: it is written again."""
        record = record_at(FIRST, INVOICE, confirmed=1, seen_at=10.0)
        paid = Chat("chat", status="ОПЛАЧЕНО", manager_id=101)
        before, _ = fold_in(record, ok(record, read_step(), paid, at=100_000.0), now=100_000.0)
        lost, _ = fold_in(before, bad(before, status_step(before), at=100_001.0), now=100_010.0)
        again, _ = fold_in(lost, ok(lost, read_step(), paid, at=100_011.0), now=100_012.0)
        assert plan(again, 100_012.0) == (status_step(record),)

    def test_row42_what_was_held_is_looked_at_before_the_next_stage(self) -> None:
        """A second invoice a moment later: known as it is, a person's status is not written over unseen."""
        record = record_at(FIRST, INVOICE, confirmed=1, seen_at=10.0)
        held, _ = fold_in(record, ok(record, read_step(), Chat("chat", status="ОПЛАЧЕНО"), at=100.0))
        desired = replace(held.desired, generation=3, status=DesiredValue("give_requisites", 3, asked_at=101.0))
        assert plan(replace(held, desired=desired), 102.0) == (read_step(),)

    def test_row42_what_a_person_sets_back_after_we_saw_our_own_is_his(self) -> None:
        """The invoice was read in the chat; a person sets the status from before it again, and a lost write of the next
        stage's manager is looked at: his status stays."""
        record = record_at(INVOICE, confirmed=1, seen_at=10.0)
        record = replace(record, observed=replace(record.observed, before="ОПЛАЧЕНО", looked_gen=0))
        again = replace(
            record, desired=replace(record.desired, generation=2, status=DesiredValue("give_requisites", 2))
        )
        seen, _ = fold_in(again, ok(again, read_step(), Chat("chat", status="Виставлено рахунок"), at=20.0))
        left = replace(seen, observed=replace(seen.observed, contradicted=(("status", "beside"),)))
        held, _ = fold_in(left, ok(left, read_step(), Chat("chat", status="ОПЛАЧЕНО"), at=300.0), now=301.0)
        assert not any(isinstance(step, WriteStatus) for step in plan(held, 301.0))

    @pytest.mark.parametrize(
        "ai", [{"manager_id": 101}, {"manager_name": "павло"}], ids=["by his id", "where only names are shown"]
    )
    def test_row42_a_person_who_moved_the_chat_did_not_leave_it_to_the_ai(self, ai: dict[str, Any]) -> None:
        """Of a lost escalation the live manager still comes; one whom a person put there stays."""
        record = record_at(FIRST, ALARM, confirmed=1, seen_at=1.0)
        lost, _ = fold_in(record, bad(record, status_step(record), at=2.0), bad(record, manager_step(record), at=2.0))
        moved = Chat("chat", status="ОПЛАЧЕНО", **ai)
        held, _ = fold_in(lost, ok(lost, read_step(), moved, at=100.0))
        assert plan(held, 200.0) == (manager_step(record),)
        taken = replace(moved, manager_id=None, manager_name="Марко")
        assert plan(fold_in(lost, ok(lost, read_step(), taken, at=100.0))[0], 200.0) == ()

    @pytest.mark.parametrize(
        ("created", "status", "stays"),
        [(50.0, "ОПЛАЧЕНО", True), (50.0, "Новый", False), (-50.0, "ОПЛАЧЕНО", False)],
        ids=["a young chat", "a new chat", "an old chat"],
    )
    @pytest.mark.parametrize("stage", [FIRST, INVOICE])
    def test_row42_a_chat_that_is_younger_than_the_session_was_moved_by_a_person(
        self, stage: Stage, created: float, status: str, stays: bool
    ) -> None:
        """At first sight there is nothing else to tell it by; that binds first touches too."""
        record = record_at(stage)
        record = replace(record, desired=replace(record.desired, began_at=1_000_000.0))
        at = {50.0: "1970-01-12T13:47:30.000Z", -50.0: "1970-01-12T13:45:50.000Z"}[created]
        shown = Chat("chat", status=status, created_at=at)
        seen, _ = fold_in(record, ok(record, read_step(), shown, at=3.0))
        assert (seen.observed.status.value == status and seen.observed.status.gen == 1) is stays

    def test_row42_a_status_that_is_seen_for_the_first_time_was_changed_by_nobody(self) -> None:
        """The manager was written, the status was lost: that the chat is as new chats are is no person's doing."""
        record = record_at(FIRST, unconfirmed=Unconfirmed(1, 30.0), status=ObservedValue())
        record = replace(record, observed=replace(record.observed, manager=ObservedValue(101, 1)))
        seen, _ = fold_in(record, ok(record, read_step(), replace(OLD, manager_id=101), at=40.0), now=40.0)
        assert plan(seen, 50.0) == (status_step(record),)

    def test_row42_an_escalation_does_not_repeat_its_own_lost_write_over_a_person(self) -> None:
        """It is looked at first, and what a person has set since stays."""
        record = record_at(FIRST, ALARM, confirmed=1, seen_at=1.0)
        lost, _ = fold_in(record, bad(record, status_step(record), at=2.0), bad(record, manager_step(record), at=2.0))
        assert plan(lost, 100.0) == (read_step(),)
        held, _ = fold_in(lost, ok(lost, read_step(), Chat("chat", status="ОПЛАЧЕНО", manager_id=103), at=100.0))
        assert not any(isinstance(step, WriteStatus) for step in plan(held, 200.0))

    @pytest.mark.parametrize("lost", [False, True], ids=["ignored", "lost"])
    def test_row42_an_escalation_whose_write_changed_nothing_goes_over_what_was_left_to_a_person(
        self, lost: bool
    ) -> None:
        """His status was known before the write and is there still: nobody has set it since, and it is written over."""
        record = record_at(INVOICE, ALARM, confirmed=1, seen_at=40.0, status=ObservedValue("ОПЛАЧЕНО", 1))
        record = replace(record, observed=replace(record.observed, foreign_since=30.0))
        paid, step = Chat("chat", status="ОПЛАЧЕНО", manager_id=102), status_step(record)
        manager = ok(record, manager_step(record), at=50.0)
        wrote = bad(record, step, at=50.0) if lost else ok(record, step, paid, at=50.0)
        left, _ = fold_in(record, wrote, manager, now=60.0)
        seen, _ = fold_in(left, ok(left, read_step(), paid, at=80.0), now=81.0)
        assert status_step(record) in plan(seen, 1000.0)

    @pytest.mark.parametrize(("at", "stays"), [(12.0, False), (700.0, True)], ids=["beside it", "long after"])
    def test_row42_what_a_later_write_shows_in_place_of_ours_was_not_lost_beside_it(
        self, at: float, stays: bool
    ) -> None:
        """The status was confirmed; the manager's answer shows what was there before it. Moments later our write may
        have been lost beside that one; long after a person has set it back."""
        record = record_at(ALARM, seen_at=9.0, status=ObservedValue("ОПЛАЧЕНО"))
        wrote, waits = ok(record, status_step(record), at=10.0), bad(record, manager_step(record), UNSENT)
        written, _ = fold_in(record, wrote, waits)
        before = Chat("chat", status=written.observed.before or "", manager_id=102)
        seen, _ = fold_in(written, ok(written, manager_step(written), before, at=at), now=at)
        assert plan(seen, at + 1.0) == (read_step(),)
        looked, _ = fold_in(seen, ok(seen, read_step(), before, at=at + 1.0), now=at + 1.0)
        assert (not any(isinstance(step, WriteStatus) for step in plan(looked, at + 2.0))) is stays

    def test_row42_a_stage_may_move_on_from_what_it_replaces(self) -> None:
        """A person's status that the stage names is written over, any other stays."""
        stages = {**BUILT_IN, "paid": StageRule("Оплату отримано", replaces=("ОПЛАЧЕНО",))}
        context = replace(CONTEXT, stages=stages)
        record = record_at(FIRST, INVOICE, confirmed=1, seen_at=10.0)
        desired = replace(record.desired, stage="paid", status=DesiredValue("paid", 2), stages=("first_touch", "paid"))
        record = replace(record, desired=desired)
        for status, writes in (("ОПЛАЧЕНО", True), ("Чекає на товар", False)):
            seen = fold(
                record, [ok(record, read_step(), Chat("chat", status=status), at=100.0)], context, now=100.0, random=0.5
            )
            steps = plans.plan(replace(record, observed=seen.observed), 101.0, context)
            assert any(isinstance(step, WriteStatus) for step in steps) is writes

    def test_row42_who_does_not_respect_people_never_looks(self) -> None:
        """With hours of 0 nothing is read before a write, and nothing is held."""
        record = record_at(FIRST, INVOICE, confirmed=1, seen_at=1.0)
        context = replace(CONTEXT, hold=0.0)
        assert plans.plan(record, 1000.0, context) == (status_step(record),)
