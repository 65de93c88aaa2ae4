"""What taking sessions up again costs."""

import pytest

from mirt_sitniks.core.budget import Budget, Limit
from mirt_sitniks.core.cost import calls_of, cost_of
from mirt_sitniks.core.record import Error
from mirt_sitniks.core.stages import Stage
from tests.core.records import CONTEXT, record_at


def test_calls_are_those_that_the_plan_would_make() -> None:
    """What was given up counts as due now; a chat that is read first is written behind that; looking is shared."""
    failed = record_at(Stage.FIRST_TOUCH, given_up=1, error=Error("unknown_status", "create it"))
    assert calls_of([failed, failed], 100.0, CONTEXT) == {"assign": 2, "status": 2}
    invoice = record_at(Stage.FIRST_TOUCH, Stage.GIVE_REQUISITES, confirmed=1, given_up=2)
    assert calls_of([invoice], 100.0, CONTEXT) == {"read": 1, "status": 1}
    lost = record_at(Stage.FIRST_TOUCH, chat_id=None, given_up=1)
    assert calls_of([lost, lost], 100.0, CONTEXT) == {"assign": 2, "list": 1, "status": 2}
    assert calls_of([record_at(Stage.FIRST_TOUCH, confirmed=1)], 100.0, CONTEXT) == {}


@pytest.mark.parametrize(
    ("calls", "used", "seconds"), [(0, 0, 0.0), (9, 0, 0.0), (10, 0, 10.0), (18, 0, 10.0), (19, 0, 20.0), (9, 4, 10.0)]
)
def test_the_budget_says_how_long_that_takes(calls: int, used: int, seconds: float) -> None:
    """Nine in ten seconds, of which some are gone."""
    budget = Budget((100.0,) * used)
    assert cost_of({"status": calls}, budget, Limit(9, 10.0), 100.0).seconds == seconds


def test_a_locked_key_waits_first() -> None:
    """The lock comes on top."""
    budget = Budget((), "rate_limited", 160.0)
    cost = cost_of({"status": 10, "assign": 2}, budget, Limit(9, 10.0), 100.0)
    assert (cost.total, cost.seconds) == (12, 70.0)
