"""A turn's reply is held for one budget, however many syncs it has."""

from uuid import UUID

import pytest
from langchain_core.messages import HumanMessage

from mirt_sitniks.engine.replies import MOST, OVER, ReplyBudget, turn_of
from mirt_sitniks.graph.reading import read


class Clock:
    """Time that is handed in."""

    now = 100.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def hold(budget: ReplyBudget, clock: Clock, turn: tuple[str, str] | None, seconds: float) -> float:
    """Hold a reply for so long; what was left for it."""
    with budget.holding(turn) as left:
        clock.now += seconds
    return left


def test_row32_a_second_sync_gets_what_the_first_left(clock: Clock) -> None:
    """What passes between them is not held; another turn, and a call that names none, have a budget of their own."""
    budget = ReplyBudget(1.5, clock)
    assert hold(budget, clock, ("s", "1"), 1.0) == 1.5
    clock.now += 30.0
    assert hold(budget, clock, ("s", "1"), 0.7) == pytest.approx(0.5)
    assert hold(budget, clock, ("s", "1"), 0.0) == pytest.approx(-0.2)
    for turn in (("s", "2"), ("t", "1"), None, None):
        assert hold(budget, clock, turn, 1.5) == 1.5


def test_row32_a_turn_that_is_long_over_is_forgotten(clock: Clock) -> None:
    """The same event hours later has the whole budget again, and a day's turns take no memory."""
    budget = ReplyBudget(1.5, clock)
    hold(budget, clock, ("s", "1"), 1.5)
    clock.now += OVER + 1.0
    assert hold(budget, clock, ("s", "1"), 0.0) == 1.5
    for number in range(MOST + 10):
        hold(budget, clock, ("s", f"turn {number}"), 0.1)
    assert hold(budget, clock, ("s", "turn 0"), 0.0) == 1.5
    assert hold(budget, clock, ("s", f"turn {MOST}"), 0.0) == pytest.approx(1.4)


def test_row32_the_stages_of_one_message_are_one_turn() -> None:
    """An escalation is known by fewer names than a first touch: the first is what they share."""
    names = {"messages": [HumanMessage("Добрий день!", id=str(UUID(int=7, version=4)))], "session_id": "s"}
    reading = read(names)
    turns = {turn_of("s", reading.intent(chained=chained)) for chained in (True, False)}
    assert len({reading.intent(chained=chained) for chained in (True, False)}) == 2
    assert len(turns) == 1
    assert turns != {None}
    assert turn_of("s", "order 17") != turn_of("t", "order 17")
    assert turn_of("s", None) is turn_of("s", ()) is None
