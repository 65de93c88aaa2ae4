"""What the sandbox was asked: every call to the Open API, with its arrival and its answer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `status` is None while it is unanswered, or when its connection was dropped.

    `path` is as sent (percent-encoded, without the query), `body` is the parsed JSON, text when it was none, or None;
    `at` is the arrival in sandbox seconds; `fault` is the kind of fault that met it. The key itself is never kept.
    """

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    status: int | None
    at: float
    key_ok: bool
    fault: str | None


class CallLog:
    """Calls in order of arrival."""

    def __init__(self) -> None:
        self._calls: list[Call] = []

    def __iter__(self) -> Iterator[Call]:
        return iter(tuple(self._calls))

    def arrive(self, call: Call) -> int:
        """Note a call that came; returns its number for `update`."""
        self._calls.append(call)
        return len(self._calls) - 1

    def update(self, number: int, **changes: Any) -> None:
        """Note what became of a call; a number from before `clear` is ignored."""
        if number < len(self._calls):
            self._calls[number] = replace(self._calls[number], **changes)

    def clear(self) -> None:
        """Forget all calls."""
        self._calls.clear()


def most_in_window(arrivals: list[float], seconds: float) -> int:
    """The most arrivals that any stretch of `seconds` holds (from an arrival up to, not including, its end)."""
    arrivals = sorted(arrivals)
    most = first = 0
    for last, at in enumerate(arrivals):
        while at - arrivals[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
