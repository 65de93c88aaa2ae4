"""When a stage was asked for, from what one process can know of the store's clock."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from mirt_sitniks.core.asking import asked_at, bound_after

moments = st.floats(0.0, 30.0)


@given(st.floats(-1e6, 1e6), st.lists(st.tuples(moments, moments, moments), min_size=1, max_size=20))
def test_the_bound_is_never_above_the_truth_and_as_good_as_the_quickest_answer(
    apart: float, exchanges: list[tuple[float, float, float]]
) -> None:
    """Whatever the ways take: it is wrong by the quickest way back at most, and on one side only."""
    ours, bound = 0.0, None
    for pause, there, back in exchanges:
        asked = ours + pause
        ours = asked + there + back
        bound = bound_after(bound, asked, asked + there + apart, ours)
    assert bound is not None
    quickest = min(back for _, _, back in exchanges)
    assert apart - quickest - 1e-6 <= bound <= apart + 1e-6


def test_row22_a_clock_that_was_set_back_is_noticed_with_the_first_answer() -> None:
    """It begins anew, as when nothing was known; a clock that was set ahead is followed, and one that is a bit slow."""
    bound = bound_after(None, 10.0, 1010.0, 10.0)
    assert bound == 1000.0
    assert bound_after(bound, 20.0, 1020.0 - 3600.0, 20.5) == -2600.5
    assert bound_after(bound, 20.0, 1020.0 + 3600.0, 20.2) == 4599.8
    assert bound_after(bound, 20.0, 1019.75, 20.5) == 999.75


def test_one_process_tells_its_own_order() -> None:
    """What was asked for later is never told to be older, though the bound falls, or the first one was not dated."""
    assert asked_at(None, 5.0) is None
    assert asked_at(100.0, 5.0) == 105.0
    assert asked_at(100.0, 5.0, (4.5, 109.0)) == 109.5
    assert asked_at(None, 5.0, (4.5, 109.0)) == 109.5
    random = Random(1)
    bound, earlier, told = None, None, []
    for number in range(1000):
        bound = bound_after(bound, number, number + random.uniform(-9.0, 9.0), number + random.random())
        at = asked_at(bound, number, earlier)
        assert at is not None
        earlier = (float(number), at)
        told.append(at)
    assert told == sorted(told)
