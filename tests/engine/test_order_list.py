"""The CRM's list of orders, however long it is and whichever way round: what is looked for is found, or it is told."""

from dataclasses import dataclass
from typing import Any

import pytest

from mirt_sitniks.core.orders import CrmOrder, OrderState
from mirt_sitniks.core.stages import BUILT_IN, Stage
from mirt_sitniks.crm.calls import Page
from mirt_sitniks.crm.orders import ListOrders
from mirt_sitniks.engine.order_list import listed
from mirt_sitniks.errors import TooLarge
from tests.engine.counter import OrderCounter
from tests.model.crm import WALL
from tests.model.orders import OrderCrm

DAY = 86_400


@dataclass
class LongCrm(OrderCrm):
    """Its list comes `oldest` first, in no order (None), or is too much for a page of more than `most`."""

    oldest: bool | None = False
    most: int = 50

    def _do(self, call: Any, before: Any = None) -> Any:
        if not isinstance(call, ListOrders):
            return super()._do(call, before)
        if call.limit > self.most:
            return TooLarge("more than 1 MB")
        made = sorted(self.orders.values(), key=lambda one: one.created_at or 0.0, reverse=not self.oldest)
        if self.oldest is None:
            made.sort(key=lambda one: one.id[::-1])
        shown = tuple(made[call.skip : call.skip + call.limit])
        return Page(shown, len(made), len(shown))


def long_of(counter: OrderCounter, number: int, **more: Any) -> LongCrm:
    """A CRM with so many orders of the day before."""
    crm = LongCrm(counter.loop.time, **more)
    begun = WALL + counter.loop.time() - DAY
    for at in range(number):
        made = CrmOrder(f"old{at}", created_at=begun + at * DAY / number)
        crm.orders[made.id] = made
    crm.tells_ids = False
    counter.crm = crm
    return crm


@pytest.mark.parametrize("oldest", [False, True])
def test_in_a_shop_of_five_thousand_orders_a_day_a_look_is_three_pages(counter: OrderCounter, oldest: bool) -> None:
    """Whether the CRM lists the newest or the oldest first, the order that was made is found by few calls."""
    crm = long_of(counter, 5_000, oldest=oldest)
    runtime = counter.process()
    counter.befalls("lost")
    counter.create(runtime)
    counter.loop.run_for(120.0)
    assert counter.row().state is OrderState.CREATED
    assert crm.by_kind()["ListOrders"] <= 3


@pytest.mark.parametrize("oldest", [False, True])
def test_orders_of_many_lines_are_listed_by_smaller_pages(counter: OrderCounter, oldest: bool) -> None:
    """A page of fifty is more than an answer may be: by ten the order is found."""
    long_of(counter, 300, oldest=oldest, most=10)
    runtime = counter.process()
    counter.befalls("lost")
    counter.create(runtime)
    counter.loop.run_for(120.0)
    assert counter.row().state is OrderState.CREATED


def test_a_list_that_is_cut_is_not_a_list_without_the_order(counter: OrderCounter) -> None:
    """More orders than can be read, in no order: a look that has not seen them all counts as none, and after half an
    hour a person is told why; a list that was asked for says so, too."""
    crm = long_of(counter, 3_000, oldest=None)
    runtime = counter.process()
    counter.befalls("hang")
    counter.create(runtime)
    counter.loop.run_for(3_600.0)
    row = counter.row()
    assert (row.state, "more orders of that time" in (row.error_message or "")) == ("unknown", True)
    assert crm.by_kind()["ListOrders"] <= 250
    with pytest.raises(TooLarge):
        counter.loop.run(listed(runtime.driver, 0.0, WALL + 1e6, 0.0))


@pytest.mark.parametrize("oldest", [False, True])
def test_every_order_since_a_moment_is_listed(counter: OrderCounter, oldest: bool) -> None:
    """From both ends the list is whole, wherever the moment lies, also where many orders are of one second."""
    crm = long_of(counter, 400, oldest=oldest)
    for number in range(130):
        crm.orders[f"same{number}"] = CrmOrder(f"same{number}", created_at=WALL + counter.loop.time() - DAY / 2)
    runtime = counter.process()
    for back in (DAY, DAY / 2, DAY / 3, 500.0, 0.0):
        needed = WALL + counter.loop.time() - back
        found = counter.loop.run(listed(runtime.driver, 0.0, WALL + 1e6, needed))
        expected = {one.id for one in crm.orders.values() if (one.created_at or 0.0) >= needed}
        assert expected <= {one.id for one in found}


def test_looks_never_go_before_an_escalation_that_has_just_come(counter: OrderCounter) -> None:
    """However long ago an order was asked for, each page of its look counts as an invoice that is due now."""
    runtime = counter.process()
    told: list[float] = []
    settle = runtime.driver.store.settle

    async def heard(options: Any, report: Any) -> Any:
        told.append(report.priority_seconds)
        return await settle(options, report)

    runtime.driver.store.settle = heard  # type: ignore[method-assign]
    counter.befalls("hang")
    counter.create(runtime)
    counter.loop.run_for(1_900.0)
    assert counter.row().state is OrderState.UNKNOWN
    assert max(told) < BUILT_IN[Stage.ESCALATION].priority_seconds / 2
