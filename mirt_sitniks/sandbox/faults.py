"""Faults that wait for a request: which kinds there are, and which request meets which."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Any

# Each kind with its options and their defaults. `applied`: whether a write takes effect although its answer is bad.
# Of writes: `ignored` answers 200 and changes nothing; `shows` answers with the chat "before" or after ("chat"), with
# nothing ("empty") or {"success": bool} ("success"); `whole` reads the chat, and saves all of it so many seconds later,
# over what came meanwhile.
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
        "refuse": {"status": 403, "message": None},
        "ignored": {},
        "shows": {"body": "before"},
        "whole": {"seconds": 0.15},
        "redirect": {"location": "/elsewhere"},
    }
)
# These stand before the account: the limit does not count what they answer.
AT_THE_DOOR = frozenset({"rate_limited", "refuse_key", "trial"})


@dataclass(slots=True)
class Fault:
    """A fault in waiting: it meets the next `times` requests (None: all) whose method and path fit, each by `chance`.

    `method` is one or several ("PUT|PATCH"), `path` a regular expression looked for in the path as sent.
    """

    kind: str
    method: str | None
    path: re.Pattern[str] | None
    times: int | None
    chance: float
    options: Mapping[str, Any]

    def fits(self, method: str, path: str) -> bool:
        """Whether the fault is meant for this request."""
        return (self.method is None or method in self.method.split("|")) and (
            self.path is None or bool(self.path.search(path))
        )


def make_fault(
    kind: str,
    method: str | None = None,
    path: str | None = None,
    times: int | None = 1,
    chance: float = 1.0,
    **options: Any,
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
    if not 0 < chance <= 1:
        raise ValueError(f"chance must be above 0 and at most 1, not {chance}")
    try:
        pattern = re.compile(path) if path is not None else None
    except re.error as exc:
        raise ValueError(f"path {path!r} is not a regular expression: {exc}") from exc
    return Fault(kind, method.upper() if method else None, pattern, times, chance, {**KINDS[kind], **options})


class Faults:
    """The armed faults, in the order in which they were armed."""

    def __init__(self) -> None:
        self._armed: list[Fault] = []
        # Seeded, so that the same calls meet the same faults.
        self._random = Random(0)

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
            if (fault.kind in AT_THE_DOOR) is at_the_door and self._meets(fault, method, path):
                if fault.times is not None:
                    fault.times -= 1
                    if not fault.times:
                        self._armed.remove(fault)
                return fault
        return None

    def _meets(self, fault: Fault, method: str, path: str) -> bool:
        return fault.fits(method, path) and (fault.chance == 1 or self._random.random() < fault.chance)

    def clear(self) -> None:
        """Disarm everything."""
        self._armed.clear()
