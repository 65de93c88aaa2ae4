"""What an order needs next, and what it is after a call: for any answers in any order it is sent once, and ends."""

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirt_sitniks.core import order_steps as steps
from mirt_sitniks.core.order_match import SLACK, fitting
from mirt_sitniks.core.order_result import OrderOutcome, result_of
from mirt_sitniks.core.orders import CrmOrder, Line, OrderRecord, OrderState
from mirt_sitniks.errors import (
    BadResponse,
    CallTimeout,
    CrmError,
    Forbidden,
    NotApplied,
    RateLimited,
    Refused,
    Unauthorized,
    Unavailable,
)

NOW, LANDING = 1_800_000_000.0, 20.0
BODY: dict[str, Any] = {
    "client": {"fullname": "Олена Приклад", "phone": "380671234567"},
    "offers": [
        {"sku": "DRESS-S", "price": 1200, "quantity": 1},
        {"itemId": 12, "price": 99.5, "quantity": 2},
    ],
    "discountAmount": 100,
}
NEW = OrderRecord("e1", "digest", BODY, asked_at=NOW, due_at=NOW)
SENT = steps.sending(NEW, NOW, LANDING)
SHOWN = CrmOrder(
    "77",
    "1077",
    phone="+38 (067) 123-45-67",
    total=Decimal("1299.00"),
    lines=(Line(12, "COAT", Decimal("99.50"), 2), Line(11, "dress-s", Decimal("1200.00"), 1)),
    created_at=NOW + 1.0,
)
CERTAIN: list[tuple[CrmError, OrderState]] = [
    (Unavailable("no connection"), OrderState.NEW),
    (RateLimited("429", retry_after=60.0), OrderState.NEW),
    (Unauthorized("401"), OrderState.NEW),
    (Forbidden("403"), OrderState.NEW),
    (CrmError("the account is another's", code="account_mismatch"), OrderState.NEW),
    (BadResponse("a redirect"), OrderState.NEW),
    (Refused("400", code="order_invalid"), OrderState.REFUSED),
    (CrmError("no such sku", code="unknown_sku"), OrderState.REFUSED),
]
IN_DOUBT: list[CrmError] = [
    Unavailable("500", unconfirmed=True),
    CallTimeout("no answer", unconfirmed=True),
    BadResponse("a page", unconfirmed=True),
    NotApplied("it failed", unconfirmed=True),
]


def failed(error: CrmError, before: OrderRecord = NEW) -> OrderRecord:
    """The row after a call that brought an error."""
    return steps.failed(steps.sending(before, NOW, LANDING), before, error, NOW + 1.0, 0.5)


@pytest.mark.parametrize(("error", "state"), CERTAIN, ids=lambda one: type(one).__name__)
def test_what_is_certain_brings_it_back_or_ends_it(error: CrmError, state: OrderState) -> None:
    """Without effect for now: new again, and due later; refused for good: it ends with the code."""
    row = failed(error)
    assert (row.state, row.error_code, row.lease_until) == (state, error.code, 0.0)
    assert (row.due_at is None) == (state is OrderState.REFUSED)
    assert row.due_at is None or row.due_at > NOW + 1.0


@pytest.mark.parametrize("error", IN_DOUBT, ids=lambda one: type(one).__name__)
def test_row04_what_is_in_doubt_is_looked_for_when_it_has_landed(error: CrmError) -> None:
    """Row 4: nobody sends it again; the first look comes when it can land no more."""
    row = failed(error)
    assert (row.state, row.due_at, row.unconfirmed_until) == (OrderState.SENT, NOW + 1.0 + LANDING, NOW + 1.0 + LANDING)
    assert steps.next_step(row, NOW + LANDING) is steps.Step.REST
    assert steps.next_step(row, NOW + LANDING + 1.0) is steps.Step.LOOK


def test_refusals_of_the_key_are_no_failed_tries() -> None:
    """A 429 or a wrong key leaves the number of tries alone; no connection adds one, with a pause that grows."""
    tried = replace(NEW, attempt=5)
    kept = [failed(one, tried).attempt for one in (RateLimited("429"), Unauthorized("401"), Forbidden("403"))]
    assert (kept, failed(Unavailable("no connection"), tried).attempt) == ([5, 5, 5], 6)


@given(
    answers=st.lists(
        st.one_of(
            st.sampled_from([one for one, _ in CERTAIN]),
            st.sampled_from(IN_DOUBT),
            st.just("made"),
            st.sampled_from(["nothing", "found", "two", "down", "killed"]),
        ),
        max_size=60,
    ),
    random=st.floats(0.0, 0.99),
)
@settings(max_examples=100, deadline=None)
def test_after_a_call_in_doubt_nothing_is_sent_any_more(answers: list[Any], random: float) -> None:
    """Whatever comes in whatever order: a send follows only on a certain answer, due times are later than now, and an
    end is an end."""
    row, now, in_doubt = NEW, NOW, False
    for answer in answers:
        if row.due_at is None:
            assert row.state not in steps.PENDING
            break
        assert row.due_at >= now
        now = row.due_at
        step = steps.next_step(row, now)
        assert step is (steps.Step.LOOK if row.state is OrderState.SENT else steps.Step.SEND)
        if step is steps.Step.SEND:
            assert not in_doubt, "it may be there, and was sent again"
            sent = steps.sending(row, now, LANDING)
            if answer == "made":
                row = steps.made(sent, SHOWN)
            elif isinstance(answer, CrmError):
                in_doubt = answer.unconfirmed
                row = steps.failed(sent, row, answer, now, random)
            else:
                in_doubt, row = True, sent
        elif answer == "down" or isinstance(answer, CrmError):
            error = answer if isinstance(answer, CrmError) else Unavailable("500")
            row = steps.unseen(row, error, now, random)
        else:
            fit = {"found": [SHOWN], "two": [SHOWN, replace(SHOWN, id="78")]}.get(answer, [])
            row = steps.looked(row, fit, (), 1, now)


def test_it_is_looked_for_half_an_hour_with_growing_pauses_and_no_longer() -> None:
    """Nothing fits: the looks come at growing distances, the last one half an hour after the first; then a person is
    asked."""
    row, looks = SENT, [SENT.due_at or 0.0]
    while row.state is OrderState.SENT:
        row = steps.looked(row, [], (), 1, looks[-1])
        looks.append(row.due_at or looks[-1])
    pauses = [after - before for before, after in pairwise(looks)][:-2]
    assert pauses == sorted(pauses)
    assert looks[-1] - looks[0] == 1800.0
    assert (row.error_code, result_of(row).outcome) == ("order_unknown", OrderOutcome.UNKNOWN)


def test_a_look_that_is_forbidden_ends_too() -> None:
    """Orders may be made and not listed: after half an hour it is a person's."""
    row, now = SENT, SENT.due_at or 0.0
    while row.due_at is not None:
        now = row.due_at
        row = steps.unseen(row, Forbidden("403"), now, 0.5)
    assert (row.state, now - NOW < 3_000.0) == (OrderState.UNKNOWN, True)


def test_of_as_many_equal_orders_each_takes_one() -> None:
    """Two records that say the same and two orders: the first takes the earlier, the second what is left."""
    late = replace(SHOWN, id="78", created_at=NOW + 2.0)
    first = steps.looked(SENT, [late, SHOWN], (), 2, NOW + 30.0)
    second = steps.looked(SENT, [late, SHOWN], {"77"}, 1, NOW + 31.0)
    assert (first.order_id, second.order_id) == ("77", "78")


def test_more_orders_than_records_are_told_apart_by_a_person() -> None:
    """Two orders for one record, or two with its own external id: neither is taken, both are named."""
    late = replace(SHOWN, id="78", created_at=NOW + 2.0)
    own = [replace(one, external_id="e1") for one in (SHOWN, late)]
    for fit, alike in (([SHOWN, late], 1), (own, 2)):
        row = steps.looked(SENT, fit, (), alike, NOW + 30.0)
        assert (row.state, [one.id for one in row.candidates]) == (OrderState.UNKNOWN, ["77", "78"])


@pytest.mark.parametrize(
    "change",
    [
        {"phone": "380671234568"},
        {"phone": None},
        {"total": Decimal(1300)},
        {"lines": SHOWN.lines[:1]},
        {"lines": (*SHOWN.lines, SHOWN.lines[0])},
        {"lines": (replace(SHOWN.lines[0], quantity=3), SHOWN.lines[1])},
        {"lines": (replace(SHOWN.lines[0], variation_id=13), SHOWN.lines[1])},
        {"lines": (SHOWN.lines[0], replace(SHOWN.lines[1], sku="DRESS-M"))},
        {"lines": (), "total": None},
        {"created_at": NOW - SLACK - 1.0},
        {"created_at": None},
        {"external_id": "e2"},
    ],
)
def test_an_order_that_differs_in_anything_is_another(change: dict[str, Any]) -> None:
    """Phone, total, each line, the time, another's external id: one of them is enough, and too little is not enough."""
    assert fitting(SENT, [SHOWN]) == (SHOWN,)
    assert fitting(SENT, [replace(SHOWN, **change)]) == ()


def test_a_total_may_have_the_discount_and_the_delivery_in_it() -> None:
    """Which sum the CRM calls the total is its own affair where the items are shown, too; a sum alone must be exact."""
    sent = replace(SENT, body={**BODY, "npDelivery": {"price": 70.5}})
    for total in ("1299", "1399", "1369.50", "1469.50"):
        assert fitting(sent, [replace(SHOWN, total=Decimal(total))])
        assert bool(fitting(sent, [replace(SHOWN, total=Decimal(total), lines=())])) is (total == "1299")
    assert not fitting(sent, [replace(SHOWN, total=Decimal("1329"))])


def test_what_the_crm_does_not_show_is_not_compared() -> None:
    """Without a total, without lines or without ids in them the rest tells; the order's own id tells alone."""
    bare = tuple(replace(one, variation_id=None, sku=None) for one in SHOWN.lines)
    for change in ({"total": None}, {"lines": ()}, {"lines": bare}, {"phone": "0671234567"}):
        assert fitting(SENT, [replace(SHOWN, **change)]), change
    own = CrmOrder("79", external_id="e1")
    assert fitting(SENT, [SHOWN, own]) == (own,)


def test_settle_says_no_where_it_would_make_two() -> None:
    """While a call or a look is under way, for what is made already, and for what may yet be found."""
    held = steps.leased(SENT, "somebody", NOW + 60.0)
    made = steps.made(SENT, SHOWN)
    other = replace(SHOWN, id="99")
    assert isinstance(steps.settled(held, SHOWN, NOW), str)
    assert isinstance(steps.settled(SENT, None, NOW), str)
    assert isinstance(steps.settled(made, other, NOW), str)
    assert isinstance(steps.settled(made, None, NOW), str)
    assert steps.settled(made, SHOWN, NOW) is made
    forgotten = OrderRecord("e1", "", {}, state=OrderState.UNKNOWN, due_at=None)
    assert isinstance(steps.settled(forgotten, None, NOW), str)
    assert not steps.conflicts(forgotten, "digest")
    assert steps.conflicts(made, "other")


def test_what_was_forgotten_before_its_end_is_unknown_for_ever() -> None:
    """A row without content is not due: its caller is told that it must be looked for."""
    for state in (OrderState.NEW, OrderState.SENT):
        result = result_of(OrderRecord("e1", "", {}, state=state, due_at=None))
        assert (result.outcome, result.success) == (OrderOutcome.UNKNOWN, False)
    assert result_of(steps.made(SENT, SHOWN)).to_state() == {
        "outcome": "created",
        "order_id": "77",
        "order_number": "1077",
        "external_id": "e1",
        "error": None,
    }
