"""The sandbox's time: seconds that may run faster than real ones, and dates that never do."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class Clock:
    """Two times: `now()` in sandbox seconds for limits, locks and lateness, and `date()` for what the API shows.

    Sandbox seconds are real seconds times `speed`. Dates stay real, because a client compares them with its own clock.
    With `source` (a callable giving Unix seconds) both come from it and `speed` is not used.
    """

    def __init__(self, speed: float = 1.0, source: Callable[[], float] | None = None) -> None:
        if speed <= 0:
            raise ValueError(f"speed must be above 0, not {speed}")
        self.speed = 1.0 if source else speed
        self._source = source
        self._date_base = time.time()
        self._base = time.monotonic()

    def now(self) -> float:
        """Sandbox seconds. They begin at the Unix time of the start, so that they are easy to read."""
        if self._source is not None:
            return self._source()
        return self._date_base + (time.monotonic() - self._base) * self.speed

    def date(self, at: float | None = None) -> datetime:
        """The UTC date of a sandbox second (None: of now), cut to milliseconds."""
        if self._source is not None:
            seconds = self._source() if at is None else at
        else:
            seconds = time.time() - (0.0 if at is None else (self.now() - at) / self.speed)
        return datetime.fromtimestamp(int(seconds * 1000) / 1000, UTC)

    def timeout(self, until: float | None) -> float | None:
        """How many real seconds to wait before looking at `now()` again; None: until woken."""
        if until is None:
            return None
        left = max(0.0, (until - self.now()) / self.speed)
        # A handed-in clock may be moved at any moment and tells nobody: look often.
        return min(left, 0.02) if self._source is not None else left


def iso(date: datetime) -> str:
    """A date as the API writes it: ISO 8601, milliseconds, Z."""
    return date.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_iso(text: str) -> datetime | None:
    """A date in any form of ISO 8601 as the API reads it: its offset is ignored, so the wall clock is UTC's."""
    day, mark, time_of_day = text.partition("T")
    try:
        # A client that does not encode its query sends the plus of an offset as a space.
        return datetime.fromisoformat(day + mark + time_of_day.replace(" ", "+")).replace(tzinfo=UTC)
    except ValueError:
        return None


def ago(date: datetime, seconds: float) -> datetime:
    """The date that lies `seconds` before `date`, cut to milliseconds."""
    return date - timedelta(milliseconds=int(seconds * 1000))
