"""Faults that wait for a request: which kinds there are, and which request meets which."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

# Each kind with its options and their defaults. `applied`: whether a write takes effect although its answer is bad.
KINDS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "status": {"status": 500, "body": b"", "content_type": "text/plain", "headers": {}, "applied": False},
        "html": {"status": 200, "applied": False},
        "empty": {"status": 200, "applied": True},
        "shape": {"json": None, "status": 200, "applied": True},
        "huge": {"size": 50_000_000, "applied": True},
        "slow": {"seconds": 1.0},
        "drip": {"every": 1.0},
        "hang": {},
        "reset": {},
        "reset_body": {"applied": True},
        "answer_lost": {},
        "applied_late": {"seconds": 1.0},
        "too_fast_503": {"headers": {}},
        "rate_limited": {"retry_after": None},
        "refuse_key": {},
        "trial": {},
        "forbidden": {},
        "redirect": {"location": "/elsewhere"},
    }
)
# These stand before the account: the limit does not count what they answer.
AT_THE_DOOR = frozenset({"rate_limited", "refuse_key", "trial"})


@dataclass(slots=True)
class Fault:
    """A fault in waiting: it meets the next `times` requests (None: all) whose method and path fit.

    `path` is a regular expression looked for in the path as sent.
    """

    kind: str
    method: str | None
    path: re.Pattern[str] | None
    times: int | None
    options: Mapping[str, Any]

    def fits(self, method: str, path: str) -> bool:
        """Whether the fault is meant for this request."""
        return (self.method is None or self.method == method) and (self.path is None or bool(self.path.search(path)))


def make_fault(
    kind: str, method: str | None = None, path: str | None = None, times: int | None = 1, **options: Any
) -> Fault:
    """A fault with its options filled in; ValueError names what was wrong and what is allowed."""
    if kind not in KINDS:
        raise ValueError(f"there is no fault {kind!r}; there are: {', '.join(KINDS)}")
    strange = set(options) - set(KINDS[kind])
    if strange:
        allowed = ", ".join(KINDS[kind]) or "none"
        raise ValueError(f"the fault {kind!r} has no option {', '.join(sorted(strange))}; it has: {allowed}")
    if times is not None and times < 1:
        raise ValueError(f"times must be at least 1, or None for ever, not {times}")
    try:
        pattern = re.compile(path) if path is not None else None
    except re.error as exc:
        raise ValueError(f"path {path!r} is not a regular expression: {exc}") from exc
    return Fault(kind, method.upper() if method else None, pattern, times, {**KINDS[kind], **options})


class Faults:
    """The armed faults, in the order in which they were armed."""

    def __init__(self) -> None:
        self._armed: list[Fault] = []

    @property
    def armed(self) -> tuple[Fault, ...]:
        """What still waits."""
        return tuple(self._armed)

    def arm(self, fault: Fault) -> None:
        """Add a fault behind the others."""
        self._armed.append(fault)

    def take(self, method: str, path: str, *, at_the_door: bool) -> Fault | None:
        """The first fault that fits the request, used up by one."""
        for fault in self._armed:
            if (fault.kind in AT_THE_DOOR) is at_the_door and fault.fits(method, path):
                if fault.times is not None:
                    fault.times -= 1
                    if not fault.times:
                        self._armed.remove(fault)
                return fault
        return None

    def clear(self) -> None:
        """Disarm everything."""
        self._armed.clear()
