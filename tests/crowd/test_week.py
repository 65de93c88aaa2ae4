"""A week of a shop: nobody's work is undone, nobody is forgotten, and the graph does not answer over people."""

import pytest

from tests.crowd.bad_week import BadWeek
from tests.crowd.week import Habit, Mode, Week

pytestmark = pytest.mark.virtual

# What must never be, in whatever way the shop is told.
NEVER = (
    "people's changes overwritten, older", "answered over a person: told", "held long after the last sign",
    "silent after a hand-back: told", "own writes and texts taken for people's", "hand-off loops",
    "escalations, not shown", "returns, not shown", "orders: 1, not shown", "orders: 2, not shown",
)  # fmt: skip


def _holds_its_promises(week: Week) -> None:
    counts = week.truth.counts
    assert not week.truth.broken, week.truth.broken
    assert not {name: counts[name] for name in NEVER if counts[name]}
    assert week.crm.limited == 0
    assert not week.loop.failures
    assert counts["handed back"] > 5
    assert counts["kept silent"] > 5


@pytest.mark.parametrize(
    ("mode", "seed", "days", "hold"),
    [("webhooks", 1, 2.0, 24.0), ("watch", 3, 0.3, 2.0), ("neither", 4, 2.0, 24.0)],
)
def test_row42_two_days_of_forty_chats(mode: Mode, seed: int, days: float, hold: float) -> None:
    """What a person did stands but for escalations, what he has is his while he shows signs of life and no longer, and
    second orders and escalations are shown; nothing of ours is taken for a person's."""
    week = Week(seed, customers=40, days=days, mode=mode, hold_hours=hold).run()
    _holds_its_promises(week)


@pytest.mark.parametrize(
    ("mode", "seed", "habit"),
    [("webhooks", 9, "refuses"), ("neither", 9, "refuses"), ("webhooks", 3, "ignores"), ("webhooks", 10, "lacks")],
)
def test_row39_two_days_of_an_account_that_assigns_nobody(mode: Mode, seed: int, habit: Habit) -> None:
    """A person's status takes a chat there and that of the first touch gives it back, also across the customer's
    sessions and while an escalation still waits for somebody: the same promises hold."""
    week = Week(seed, customers=40, days=2.0, mode=mode, assigns=False, habit=habit).run()
    _holds_its_promises(week)


@pytest.mark.parametrize("seed", [6, 17])
def test_two_bad_days_of_forty_chats(seed: int) -> None:
    """Calls fail and are lost, the store is away for minutes, processes close, die and freeze: what `BadWeek` promises
    holds."""
    week = BadWeek(seed, customers=40, days=2.0).run()
    _holds_its_promises(week)
    befallen = week.trace.counts
    assert min(befallen[name] for name in ("kill", "freeze", "outage", "close", "store_out")) > 20
    assert sum(befallen[name] for name in ("lost", "late", "hang", "broken", "failed", "page", "limited")) > 5
    assert week.truth.counts["events lost"] > 5


def test_the_same_seed_is_the_same_week() -> None:
    """Everything that is counted is the same, to the last call."""
    one, two = (Week(5, customers=8, days=1.0).run() for _ in range(2))
    assert one.truth.counts == two.truth.counts
    assert one.crm.calls == two.crm.calls
