"""The call budget of one key as a value: a sliding window of grants, and one lock.

The vendor allows 10 calls in 10 s and locks the key for a minute when it is asked for more. Numerically exact limiters
let 11 arrive in a window when several processes share it, so the default is 9 in 10.5 s: a grant may be used up to
`GRACE` of the window after it was given, and the padding covers that.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from mirt_sitniks.core.backoff import KEY_CODES, PROBE, SUSPECTED

GRACE = 0.4 / 10.5
# What one call is let try, and for how long its answer is waited for.
TRIED = {**dict.fromkeys(KEY_CODES, PROBE), SUSPECTED: 30.0}


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `calls` in any `seconds`; written `calls/seconds`, as in `9/10.5`."""

    calls: int = 9
    seconds: float = 10.5

    @classmethod
    def parse(cls, value: object) -> "Limit":
        """Read `9/10.5`; raises `ValueError` for what is not 1 to 10 calls in 0 to 3600 seconds."""
        match = re.fullmatch(r"\s*([0-9]{1,2})\s*/\s*([0-9]{1,6}(?:\.[0-9]{1,9})?)\s*", str(value))
        if not match or not 1 <= int(match[1]) <= VENDOR.calls or not 0 < float(match[2]) <= 3600:
            raise ValueError("not a rate limit")
        return cls(int(match[1]), float(match[2]))

    def __str__(self) -> str:
        return f"{self.calls}/{self.seconds:.9f}".rstrip("0").rstrip(".")

    @property
    def grace(self) -> float:
        """How long a grant may be used: 0.4 s for the default window."""
        return self.seconds * GRACE


# What the vendor allows a key, and locks it for a minute when it is asked for more.
VENDOR = Limit(10, 10.0)


@dataclass(frozen=True, slots=True)
class Budget:
    """When calls were granted, and until when (`locked_until`) and why (`lock`: an error code) the key is locked."""

    grants: tuple[float, ...] = ()
    lock: str | None = None
    locked_until: float = 0.0


def locked(budget: Budget, now: float) -> tuple[str, float] | None:
    """The key's lock, while it lasts: a code and the time it ends."""
    if budget.lock and now < budget.locked_until:
        return budget.lock, budget.locked_until
    return None


def is_asked_for(budget: Budget) -> bool:
    """Whether the next call has to ask for the key, because it was refused or may have been."""
    return budget.lock in TRIED


def free(budget: Budget, limit: Limit, now: float) -> int:
    """How many calls may be granted now. A key that was refused gets one probe when its lock is over."""
    if locked(budget, now):
        return 0
    used = sum(1 for at in budget.grants if at > now - limit.seconds)
    return max(0, min(limit.calls - used, 1 if is_asked_for(budget) else limit.calls))


def take(budget: Budget, limit: Limit, now: float, calls: int) -> tuple[Budget, tuple[float, ...]]:
    """Grant at most `calls` calls; a granted probe locks the key again until its answer is in."""
    count = min(calls, free(budget, limit, now))
    if count <= 0:
        return budget, ()
    kept = tuple(at for at in budget.grants if at > now - limit.seconds)
    until = now + TRIED[budget.lock] if budget.lock in TRIED else budget.locked_until
    return replace(budget, grants=(*kept, *(now,) * count), locked_until=until), (now,) * count


def charge(budget: Budget, now: float, calls: int) -> Budget:
    """Count calls that were sent without having been granted."""
    return replace(budget, grants=(*budget.grants, *(now,) * calls)) if calls else budget


def give_back(budget: Budget, grants: Collection[float]) -> Budget:
    """Take back grants that were not used; their slots are free at once, and a probe that was not sent may be."""
    until = budget.locked_until
    if budget.lock in TRIED:
        tried = TRIED[budget.lock]
        until = next((at for at in grants if abs(at + tried - until) < 0.001), until)
    return replace(budget, grants=_without(budget, grants), locked_until=until)


def move(budget: Budget, grants: Iterable[float], at: float) -> Budget:
    """Count grants from a later time on: the calls were on their way for so long that the vendor counts them then."""
    left = _without(budget, grants)
    return replace(budget, grants=(*left, *(at,) * (len(budget.grants) - len(left))))


def _without(budget: Budget, grants: Iterable[float]) -> tuple[float, ...]:
    return tuple((Counter(budget.grants) - Counter(grants)).elements())


def lock(budget: Budget, now: float, code: str, seconds: float) -> Budget:
    """Lock the key for `seconds`; a longer lock of the same kind stands."""
    until = now + seconds
    if budget.lock == code or (code == SUSPECTED and locked(budget, now)):
        code, until = budget.lock or code, max(until, budget.locked_until)
    return replace(budget, lock=code, locked_until=until)


def welcome(budget: Budget) -> Budget:
    """The key was accepted: a refusal ends. A lock after a 429 is not cut short by a late good answer."""
    return replace(budget, lock=None, locked_until=0.0) if is_asked_for(budget) else budget


def slot_in(budget: Budget, limit: Limit, now: float) -> float:
    """Seconds until at least one call can be granted; 0 when one can be now."""
    locked_for = max(0.0, budget.locked_until - now) if budget.lock else 0.0
    used = sorted(at for at in budget.grants if at > now - limit.seconds)
    slot = used[len(used) - limit.calls] + limit.seconds - now if len(used) >= limit.calls else 0.0
    return max(locked_for, slot)
