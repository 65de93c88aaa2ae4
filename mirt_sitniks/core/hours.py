"""When people are there: working hours as people write them, on the clock of their time zone. Pure."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import chain

WEEK = 7
# Hours that a change of the clocks takes away are not there on that day.
AHEAD = 2 * WEEK

_NAMES = (
    ("mon", "monday", "пн", "пон", "понеділок"),
    ("tue", "tues", "tuesday", "вт", "вів", "вівторок"),
    ("wed", "wednesday", "ср", "сер", "середа"),
    ("thu", "thur", "thurs", "thursday", "чт", "чет", "четвер"),
    ("fri", "friday", "пт", "п'ят", "п'ятниця"),
    ("sat", "saturday", "сб", "суб", "субота"),
    ("sun", "sunday", "нд", "вс", "нед", "неділя"),
)
_DAYS = {name: day for day, names in enumerate(_NAMES) for name in names}
_ALL = ("", "daily", "щодня")
_SAME = str.maketrans({"–": "-", "—": "-", "−": "-", "’": "'", "ʼ": "'", "`": "'"})
_TIME = r"(\d{1,2})(?:[:.](\d\d))?"
_RANGE = re.compile(rf"{_TIME}-{_TIME}")
_CURE = "give days, times and a time zone like Mon-Fri 09:00-19:00 Europe/Kyiv"


@dataclass(frozen=True, slots=True)
class Hours:
    """Working hours: of each weekday (Monday is 0) from which minute to which; past the 1440th is the next day."""

    text: str
    zone: tzinfo = field(compare=False)
    ranges: tuple[tuple[int, int, int], ...]

    def __str__(self) -> str:
        return self.text


def parse_hours(text: str, zone_of: Callable[[str], tzinfo]) -> Hours:
    """Hours as people write them: `;` between groups of days, `,` between times of a day, the time zone at the end.

    Days are English or Ukrainian, short or whole; without any it is each day. A range may end at 24:00 or, when its end
    is not behind its beginning, on the next day. `zone_of` makes a zone of its name. Raises `ValueError` with what
    cannot be right, in which group, and the cure; it shows nothing of the text, which may be a misplaced secret.
    """
    groups, _, name = " ".join(re.sub("[;\n]", " ; ", text).split()).rpartition(" ")
    if not groups or not re.search("[A-Za-z]", name) or name.casefold() in _DAYS:
        raise ValueError(f"it ends with no time zone: {_CURE}")
    ranges: set[tuple[int, int, int]] = set()
    for number, group in enumerate(filter(None, (one.strip() for one in groups.split(";"))), start=1):
        plain = re.sub(r"\s*([-,])\s*", r"\1", group.translate(_SAME).casefold())
        days, times = re.fullmatch(r"(\D*)(.*)", plain).groups()  # type: ignore[union-attr]
        ranges |= {(day, *minutes) for day in _days(days, number) for minutes in _times(times, number)}
    if not ranges:
        raise ValueError(f"it names no times: {_CURE}")
    return Hours(text, zone_of(name), tuple(sorted(ranges)))


def _days(text: str, group: int) -> Iterator[int]:
    """The weekdays of a group."""
    if text.strip(" ,:") in _ALL:
        yield from range(WEEK)
        return
    for part in filter(None, re.split("[ ,]", text.strip(" ,:"))):
        first, *more = (_DAYS.get(one.rstrip(".")) for one in part.split("-"))
        last = more[0] if more else first
        if first is None or last is None or len(more) > 1:
            raise ValueError(f"group {group} names something that is no weekday: {_CURE}")
        # From Friday to Monday it goes round the end of the week.
        yield from (day % WEEK for day in range(first, last + 1 if last >= first else last + WEEK + 1))


def _times(text: str, group: int) -> Iterator[tuple[int, int]]:
    """From which minute of a day to which."""
    for part in filter(None, re.split("[ ,]", text)):
        found = _RANGE.fullmatch(part)
        if not found:
            raise ValueError(f"group {group} has something that is no time: {_CURE}")
        hour, minute, last_hour, last_minute = (int(one or 0) for one in found.groups())
        begin, end = 60 * hour + minute, 60 * last_hour + last_minute
        if max(minute, last_minute) > 59 or begin >= 1440 or end > 1440 or begin == end:
            raise ValueError(f"group {group} has a time that no clock shows, or none between two: {_CURE}")
        yield begin, end if end > begin else end + 1440


def is_open(hours: Hours, at: float) -> bool:
    """Whether people are there at `at` (Unix time, as all here)."""
    return any(begin <= at < end for begin, end in _spans(hours, at, 0))


def opens_at(hours: Hours, at: float) -> float | None:
    """When people are there next: `at` itself while they are."""
    return next((max(at, begin) for begin, end in _spans(hours, at, AHEAD) if end > at), None)


def working_seconds(hours: Hours, since: float, until: float) -> float:
    """How many of the seconds from `since` to `until` were working hours."""
    days = int(max(0.0, until - since) // 86_400) + 1
    return sum(max(0.0, min(end, until) - max(begin, since)) for begin, end in _spans(hours, since, days))


def working_until(hours: Hours, since: float, seconds: float) -> float:
    """The moment until which so many working seconds have passed from `since` on."""
    at, left = since, seconds
    while span := next(((max(at, begin), end) for begin, end in _spans(hours, at, AHEAD) if end > at), None):
        if span[0] + left <= span[1]:
            return span[0] + left
        at, left = span[1], left - (span[1] - span[0])
    return at + left


def _spans(hours: Hours, at: float, days: int) -> Iterator[tuple[float, float]]:
    """When people are there from the day of `at` to that many days later, in order; no two of these touch."""
    today = datetime.fromtimestamp(at, hours.zone).date()
    dates = (today + timedelta(days=number) for number in range(-1, days + 2))
    begun: tuple[float, float] | None = None
    for begin, end in sorted(chain.from_iterable(_of_day(hours, one) for one in dates)):
        if begun and begin <= begun[1]:
            begun = begun[0], max(begun[1], end)
            continue
        if begun:
            yield begun
        begun = begin, end
    if begun:
        yield begun


def _of_day(hours: Hours, day: date) -> Iterator[tuple[float, float]]:
    for weekday, begin, end in hours.ranges:
        if weekday == day.weekday():
            span = _moment(hours.zone, day, begin, fold=0), _moment(hours.zone, day, end, fold=1)
            if span[0] < span[1]:
                yield span


def _moment(zone: tzinfo, day: date, minute: int, *, fold: int) -> float:
    """When the clock shows this minute of a day; of an hour that comes twice the first or (`fold`) the second time, and
    of one that is left out the moment at which it is."""
    shown = datetime.combine(day, time()) + timedelta(minutes=minute)
    at = shown.replace(tzinfo=zone, fold=fold)
    if at.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == shown:
        return at.timestamp()
    # The two readings of an hour that is left out lie on both sides of the moment at which it is.
    earliest = int(min(at.replace(fold=one).timestamp() for one in (0, 1)))
    minutes = (datetime.fromtimestamp(one, zone) for one in range(earliest, earliest + 86_400, 60))
    return next(one.timestamp() for one in minutes if one.replace(tzinfo=None) >= shown)
