"""The call budget of one key, and when things are tried again."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirt_sitniks.core.backoff import next_try, refused_delay, retry_delay, search_delay
from mirt_sitniks.core.budget import Budget, Limit, free, give_back, lock, locked, slot_in, take, welcome
from mirt_sitniks.core.record import Error

LIMIT = Limit()
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.001, 0.3, 1.0, 3.0, 10.0, 10.5, 11.0]),
        st.sampled_from([*["take"] * 8, "back", "429", "fine"]),
        st.integers(0, 12),
    ),
    max_size=60,
)


@given(steps=STEPS)
def test_row18_no_window_holds_more_than_the_limit(steps: list[tuple[float, str, int]]) -> None:
    """Whatever is taken, given back and locked: no stretch of the window has more grants than calls, none in a lock."""
    budget, now = Budget(), 1000.0
    used: list[float] = []
    for pause, what, count in steps:
        now += pause
        if what == "take":
            before = budget
            budget, grants = take(budget, LIMIT, now, count)
            assert not (grants and locked(before, now))
            used += grants
        elif what == "back" and used:
            budget = give_back(budget, used[-1:])
            used.pop()
        elif what == "429":
            budget = lock(budget, now, "rate_limited", 3.0)
        elif what == "fine":
            budget = welcome(budget)
        assert all(later - first >= LIMIT.seconds for first, later in zip(used, used[LIMIT.calls :], strict=False))
        assert (slot_in(budget, LIMIT, now) == 0.0) is (free(budget, LIMIT, now) > 0)


@given(steps=STEPS, code=st.sampled_from(["rate_limited", "unauthorized", "plan_required"]))
def test_row18_waiting_as_long_as_it_says_brings_a_call(steps: list[tuple[float, str, int]], code: str) -> None:
    """`wait` is neither too short nor endless: nobody spins, nobody starves."""
    budget, now = Budget(), 1000.0
    for pause, what, count in steps:
        now += pause
        if what == "take":
            budget, _ = take(budget, LIMIT, now, count)
        elif what == "429":
            budget = lock(budget, now, code, 60.0)
    assert free(budget, LIMIT, now + slot_in(budget, LIMIT, now) + 1e-6) > 0


def test_a_grant_that_is_given_back_is_free_at_once() -> None:
    """Nobody waits for a call that was never made."""
    budget, grants = take(Budget(), LIMIT, 0.0, 99)
    assert len(grants) == LIMIT.calls
    assert free(give_back(budget, grants[:2]), LIMIT, 0.1) == 2
    assert give_back(budget, (77.0,)) == budget


def test_row07_a_lock_after_a_429_is_for_everyone_and_is_not_cut_short() -> None:
    """Neither a shorter rest nor the late good answer of a call from before ends it early; then all calls are back."""
    budget = lock(lock(Budget(), 0.0, "rate_limited", 60.0), 1.0, "rate_limited", 1.0)
    assert locked(welcome(budget), 59.9) == ("rate_limited", 60.0)
    assert take(budget, LIMIT, 59.9, 1)[1] == ()
    assert free(budget, LIMIT, 60.0) == LIMIT.calls


def test_row08_a_refused_key_gets_one_probe_in_ten_minutes() -> None:
    """One call, and no second one until its answer is in or ten minutes are over."""
    budget = lock(Budget(), 0.0, "unauthorized", 600.0)
    assert take(budget, LIMIT, 599.0, 9)[1] == ()
    budget, probe = take(budget, LIMIT, 600.0, 9)
    assert probe == (600.0,)
    assert take(budget, LIMIT, 1199.0, 9)[1] == ()
    assert free(welcome(budget), LIMIT, 601.0) == LIMIT.calls - 1


def test_row08_a_probe_that_was_not_sent_does_not_cost_ten_minutes() -> None:
    """It is given back, and the next one to ask gets it."""
    budget, probe = take(lock(Budget(), 0.0, "plan_required", 600.0), LIMIT, 600.0, 1)
    assert take(give_back(budget, probe), LIMIT, 600.5, 1)[1] == (600.5,)


def test_a_grant_lives_for_four_tenths_of_a_second() -> None:
    """The padding of the window covers what is sent late; a faster window has a shorter grace."""
    assert pytest.approx(0.4) == LIMIT.grace
    assert Limit(9, 1.05).grace == pytest.approx(0.04)


@given(attempt=st.integers(1, 1000), random=st.floats(0, 0.999999))
def test_row06_retries_have_full_jitter_and_a_cap(attempt: int, random: float) -> None:
    """From nothing to 2 s doubling to ten minutes; never more."""
    delay = retry_delay(attempt, random)
    assert 0.0 <= delay <= min(600.0, 2.0**attempt)
    assert retry_delay(attempt, 0.5) == min(600.0, 2.0**attempt) / 2


def test_row09_a_refusal_is_repeated_slowly_and_for_a_day_at_most() -> None:
    """Nobody can have corrected the setting within seconds."""
    assert [refused_delay(attempt, 0.0) for attempt in (1, 2, 3)] == [600.0, 1200.0, 2400.0]
    assert refused_delay(1, 0.999) < 661.0
    waits = [next_try(Error("unknown_status", ""), attempt, 0.0) for attempt in range(1, 9)]
    assert sum(wait or 0.0 for wait in waits) > 70_000.0
    assert waits[-1] is None
    assert next_try(Error("unavailable", ""), 10_000, 0.5) == 300.0


def test_row11_a_chat_is_looked_for_from_five_seconds_to_half_an_hour() -> None:
    """5, 10, 20 s and so on; the last look is 30 minutes after the first, then it is given up."""
    delays: list[float] = []
    while (delay := search_delay(len(delays) + 1)) is not None:
        delays.append(delay)
    assert delays[:4] == [5.0, 10.0, 20.0, 40.0]
    assert sum(delays) == 1800.0
    assert all(later >= first for first, later in pairwise(delays[:-1]))
