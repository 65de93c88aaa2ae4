"""What is lost, backwards and twice, and what is none of that."""

from dataclasses import replace
from typing import Any

import pytest

from mirt_sitniks.core.stages import BUILT_IN, Role
from mirt_sitniks.testing.judge import Asked, Case, Judgement, in_order, judge, summed

PEOPLE = {Role.AI: {101}, Role.HUMAN: {102, 103}}
TOUCH, INVOICE, ESCALATION = (
    Asked("first_touch", ("first_touch",), 1.0),
    Asked("give_requisites", ("give_requisites:1", "give_requisites:chain"), 2.0),
    Asked("escalation", ("escalation:2",), 3.0),
)
WHOLE = Case(
    "s",
    (TOUCH, INVOICE, ESCALATION),
    ("first_touch", "give_requisites:1", "escalation:2"),
    ("AI Увага", 102),
    (
        {"at": 1.5, "field": "status", "after": "Взято в роботу", "by": "api"},
        {"at": 1.6, "field": "manager", "after": 101, "by": "api"},
        {"at": 3.5, "field": "status", "after": "AI Увага", "by": "api"},
        {"at": 3.6, "field": "manager", "after": 102, "by": "api"},
    ),
)


def then(case: Case, at: float, field: str, after: Any, by: str) -> Case:
    """The case, when one more change has come."""
    status, manager = case.shows or (None, None)
    shows = (after, manager) if field == "status" else (status, after)
    return replace(case, shows=shows, history=(*case.history, {"at": at, "field": field, "after": after, "by": by}))


def found(case: Case) -> Judgement:
    return judge(case, BUILT_IN, PEOPLE)


def test_what_a_later_stage_has_overtaken_is_not_lost() -> None:
    """The invoice was never shown, because the escalation came before it could be."""
    assert found(WHOLE) == Judgement(3)


def test_a_stage_that_the_ledger_does_not_have_is_lost() -> None:
    """By any of its keys it is there; without one it is lost, and the chat is judged by the others."""
    assert found(replace(WHOLE, recorded=("first_touch", "give_requisites:chain", "escalation:2"))) == Judgement(3)
    less = replace(WHOLE, recorded=("first_touch", "escalation:2"))
    assert found(less) == Judgement(3, lost=("s: give_requisites, not recorded",))


def test_a_stage_that_the_chat_never_showed_is_lost() -> None:
    """Status and manager are judged one by one."""
    short = replace(WHOLE, shows=("Взято в роботу", 102), history=(*WHOLE.history[:2], WHOLE.history[3]))
    assert found(short).lost == ("s: escalation, status",)
    short = replace(WHOLE, shows=("AI Увага", 101), history=WHOLE.history[:3])
    assert found(short) == Judgement(3, lost=("s: escalation, manager",))


def test_an_older_stage_on_top_of_a_newer_is_backwards() -> None:
    """What had been shown and is not any more, by no person's hand."""
    assert found(then(WHOLE, 4.0, "status", "Взято в роботу", "api")).backwards == ("s: escalation, status",)
    assert found(then(WHOLE, 4.0, "manager", 101, "api")) == Judgement(3, backwards=("s: escalation, manager",))
    again = then(then(WHOLE, 4.0, "status", "Взято в роботу", "api"), 5.0, "status", "AI Увага", "api")
    assert found(again) == Judgement(3)


@pytest.mark.parametrize(("at", "excused"), [(4.0, True), (2.5, False)])
def test_a_person_excuses_what_was_asked_for_before(at: float, excused: bool) -> None:
    """An escalation goes over what people did before it, and nobody undoes what they do after."""
    moved = then(replace(WHOLE, history=WHOLE.history[:2]), at, "status", "ОПЛАЧЕНО", "person")
    assert found(moved).lost == (() if excused else ("s: escalation, status",))


def test_a_person_excuses_a_stage_that_respects_people() -> None:
    """A person's status from before the invoice may have been held."""
    held = Case("s", (TOUCH, INVOICE), WHOLE.recorded[:2], ("Взято в роботу", 101), WHOLE.history[:2])
    assert found(then(held, 1.9, "status", "ОПЛАЧЕНО", "person")) == Judgement(2)
    assert found(held).lost == ("s: give_requisites, status",)


def test_one_event_twice_in_the_ledger_is_duplicated() -> None:
    """Its key is there once, however often it was asked for."""
    assert found(replace(WHOLE, asked=(*WHOLE.asked, replace(INVOICE, at=9.0)))) == Judgement(3)
    twice = replace(WHOLE, recorded=(*WHOLE.recorded, "escalation:2"))
    assert found(twice) == Judgement(3, duplicated=("s: escalation:2",))


def test_a_first_touch_comes_before_all_else() -> None:
    """However late it was asked for; all others by their time."""
    assert in_order([replace(TOUCH, at=9.0), ESCALATION, INVOICE]) == [replace(TOUCH, at=9.0), INVOICE, ESCALATION]


def test_judgements_add_up() -> None:
    """Numbers and words."""
    one, other = Judgement(2, lost=("a",)), Judgement(1, lost=("b",), duplicated=("c",))
    assert summed([one, other]) == Judgement(3, ("a", "b"), (), ("c",))
