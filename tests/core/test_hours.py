"""Working hours as people write them, and what a clock makes of them."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirt_sitniks.core.hours import Hours, is_open, opens_at, parse_hours, working_seconds

KYIV = ZoneInfo("Europe/Kyiv")
DESIGN = "Mon-Fri 09:00-19:00; Sat 10:00-15:00 Europe/Kyiv"
WEEKDAYS = tuple((day, 540, 1140) for day in range(5))
# The clocks go forward at 03:00 and back at 04:00 in Kyiv.
SPRING, AUTUMN = (2026, 3, 29), (2026, 10, 25)


def hours(text: str) -> Hours:
    """Hours in their zone."""
    return parse_hours(text, ZoneInfo)


def at(*when: int, fold: int = 0) -> float:
    """A moment, as a clock in Kyiv shows it."""
    return datetime(*when, tzinfo=KYIV, fold=fold).timestamp()  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        (DESIGN, (*WEEKDAYS, (5, 600, 900))),
        ("Пн-Пт 9:00–19:00; сб 10.00-15.00 Europe/Kyiv", (*WEEKDAYS, (5, 600, 900))),
        ("monday - FRIDAY: 09:00 - 19:00 Europe/Kyiv", WEEKDAYS),
        ("понеділок-п’ятниця 9-19 Europe/Kyiv", WEEKDAYS),
        ("Mon,Wed 09:00-13:00, 14:00-18:00 UTC", ((0, 540, 780), (0, 840, 1080), (2, 540, 780), (2, 840, 1080))),
        ("Fri 22:00-02:00; Europe/Kyiv", ((4, 1320, 1560),)),
        ("Сб-Пн 0-24 Europe/Kyiv", ((0, 0, 1440), (5, 0, 1440), (6, 0, 1440))),
        ("10:00-20:00 Europe/Kyiv", tuple((day, 600, 1200) for day in range(7))),
        ("щодня 10:00-20:00 Europe/Kyiv", tuple((day, 600, 1200) for day in range(7))),
        ("Mon-Fri 09:00-19:00\nSat 10:00-15:00\nEurope/Kyiv", (*WEEKDAYS, (5, 600, 900))),
    ],
)
def test_hours_are_read_as_people_write_them(text: str, ranges: tuple[tuple[int, int, int], ...]) -> None:
    """English and Ukrainian days, any dash, `9` for `09:00`, several ranges a day, over midnight, round the week."""
    assert hours(text).ranges == ranges
    assert str(hours(text)) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Mon-Fri 09:00-19:00", "no time zone"),
        ("Mon-Fri", "no time zone"),
        ("Europe/Kyiv", "no time zone"),
        ("09:00-19:00 Fri", "no time zone"),
        ("Mon-Fri Europe/Kyiv", "no times"),
        ("; Europe/Kyiv", "no times"),
        ("Mon 09:00-19:00; Day 10:00-12:00 Europe/Kyiv", "group 2 names something that is no weekday"),
        ("Mon-Wed-Fri 09:00-19:00 Europe/Kyiv", "group 1 names something that is no weekday"),
        ("Mon 09:00 Europe/Kyiv", "group 1 has something that is no time"),
        ("Mon 09:00-19:00 break 12-13 Europe/Kyiv", "group 1 has something that is no time"),
        ("Mon 09:60-19:00 Europe/Kyiv", "no clock shows"),
        ("Mon 24:00-25:00 Europe/Kyiv", "no clock shows"),
        ("Mon 09:00-09:00 Europe/Kyiv", "no clock shows"),
    ],
)
def test_hours_that_cannot_be_right_are_refused(text: str, why: str) -> None:
    """What is wrong, in which group, and what would be right; the text itself is not shown."""
    with pytest.raises(ValueError, match=why) as refused:
        hours(text)
    assert str(refused.value).endswith("give days, times and a time zone like Mon-Fri 09:00-19:00 Europe/Kyiv")
    assert "break" not in str(refused.value)


def test_a_day_of_the_week() -> None:
    """Open from the first minute to before the last; closed ones say when people are back, over a weekend as well."""
    shop = hours(DESIGN)
    assert [is_open(shop, at(2026, 11, 27, *when)) for when in ((8, 59), (9, 0), (18, 59), (19, 0))] == [
        *(False, True, True, False)
    ]
    assert opens_at(shop, at(2026, 11, 28, 15, 0)) == at(2026, 11, 30, 9, 0)
    assert opens_at(shop, at(2026, 11, 27, 12, 0)) == at(2026, 11, 27, 12, 0)
    assert working_seconds(shop, at(2026, 11, 27, 18, 0), at(2026, 11, 28, 11, 0)) == 7200
    assert working_seconds(shop, at(2026, 11, 29), at(2026, 11, 23)) == 0


def test_a_night_goes_on_into_the_next_day() -> None:
    """Friday's late hours are Saturday's first; a range that ends at midnight meets one that begins there."""
    bar = hours("Fri 22:00-02:00 Europe/Kyiv")
    assert is_open(bar, at(2026, 11, 28, 1, 59))
    assert not is_open(bar, at(2026, 11, 28, 2, 0))
    assert not is_open(bar, at(2026, 11, 27, 1, 0))
    assert working_seconds(bar, at(2026, 11, 23), at(2026, 11, 30)) == 4 * 3600
    whole = hours("0-24 Europe/Kyiv")
    assert working_seconds(whole, at(2026, 11, 2), at(2026, 11, 30)) == 28 * 86_400
    assert opens_at(whole, at(2026, 11, 2)) == at(2026, 11, 2)


def test_the_change_of_the_clocks() -> None:
    """An hour that is left out begins when the clocks go forward; one that comes twice is one time of work."""
    early = hours("Sun 03:30-05:00 Europe/Kyiv")
    assert opens_at(early, at(*SPRING)) == at(*SPRING, 4, 0)
    assert working_seconds(early, at(*SPRING), at(*SPRING, 12)) == 3600
    assert working_seconds(hours("Sun 03:10-03:50 Europe/Kyiv"), at(*SPRING), at(*SPRING, 12)) == 0
    assert opens_at(hours("Sun 03:10-03:50 Europe/Kyiv"), at(*SPRING)) == at(2026, 4, 5, 3, 10)
    assert working_seconds(early, at(*AUTUMN), at(*AUTUMN, 12)) == 2.5 * 3600
    assert working_seconds(hours("0-24 Europe/Kyiv"), at(*AUTUMN), at(2026, 10, 26)) == 25 * 3600
    assert is_open(early, at(*AUTUMN, 3, 15, fold=1))


@given(
    ranges=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1439), st.integers(1, 1440)), min_size=1, max_size=5),
    day=st.integers(0, 364),
    minutes=st.lists(st.integers(0, 3 * 1440), min_size=2, max_size=6),
)
def test_the_clock_on_the_wall_decides(ranges: list[tuple[int, int, int]], day: int, minutes: list[int]) -> None:
    """Whatever the hours and the moment: open is what the week's table says, but on the days that the clocks change;
    the next opening is the first such minute, and work is what lies between."""
    table = tuple((one, begin, end if end > begin else end + 1440) for one, begin, end in ranges)
    shop = Hours("", KYIV, table)
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day)
    moments = sorted((start + timedelta(minutes=one)).timestamp() for one in minutes)
    near = [datetime(*change, tzinfo=UTC).timestamp() for change in (SPRING, AUTUMN)]
    for moment in moments:
        seen = datetime.fromtimestamp(moment, KYIV)
        minute = seen.weekday() * 1440 + seen.hour * 60 + seen.minute
        listed = any(
            one * 1440 + begin <= minute + week < one * 1440 + end
            for one, begin, end in table
            for week in (0, 7 * 1440)
        )
        if all(abs(moment - change) > 2 * 86_400 for change in near):
            assert is_open(shop, moment) is listed
        back = opens_at(shop, moment)
        assert back is None or (back >= moment and is_open(shop, back))
        assert (back == moment) is is_open(shop, moment)
        if back is not None and back > moment:
            assert working_seconds(shop, moment, back) == 0
            assert not is_open(shop, back - 1)
    parts = [working_seconds(shop, *pair) for pair in pairwise(moments)]
    assert abs(sum(parts) - working_seconds(shop, moments[0], moments[-1])) < 1e-6
    assert all(0 <= part <= b - a for part, (a, b) in zip(parts, pairwise(moments), strict=True))
