"""Orders on bad days: processes die and freeze, the network loses and delays, the store goes away."""

import pytest

from tests.crowd.network import Network
from tests.crowd.orders import OrderDay


@pytest.mark.parametrize("seed", range(8))
def test_row03_on_bad_days_no_order_is_made_twice_or_lost(seed: int) -> None:
    """Row 3: with kills at any moment each order ends, tied to one of its content, made at most once; what nobody can
    know is a person's. Equal orders of one customer are among them, with and without external ids in the list."""
    day = OrderDay(seed, processes=1 + seed % 3, tells_ids=bool(seed % 2))
    try:
        day.play()
        assert day.wrong() == []
        assert not day.loop.failures
    finally:
        day.close()


def test_on_a_good_day_an_order_costs_one_call() -> None:
    """Nothing goes wrong: as many calls as orders, and one for each sku a process has not seen; each has its line."""
    day = OrderDay(1, processes=1, kills=0.0, troubles={}, network=Network())
    try:
        day.play()
        made = len(day.crm.orders)
        assert (made, day.calls()["CreateOrder"], day.calls()["ListOrders"]) == (12, 12, 0)
        assert day.calls()["ListVariations"] <= 2
        told = [one.key for one in day.store.rows.entries if one.kind == "try"]
        assert (told.count("orders"), len(told)) == (12, len(day.crm.calls))
    finally:
        day.close()
