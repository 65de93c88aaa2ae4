"""When this process's stages were asked for, told before they are written: a write that stalls changes nothing."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from mirt_sitniks.core.asking import SET_BACK, asked_at, bound_after
from mirt_sitniks.core.record import Intent
from mirt_sitniks.core.store import Claimed, Recorded

T = TypeVar("T", Claimed, Recorded)

# How long what was told of a session is remembered, in seconds: longer than a bound is wrong by.
REMEMBERED = 120.0


def boot_clock() -> float:
    """Seconds of a clock that nobody sets, and which goes on while the machine sleeps, where there is one."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


@dataclass
class Asking:
    """What one process knows of the store's clock, and what it has told of each session; `clock` is its own."""

    clock: Callable[[], float] = boot_clock
    _bound: float | None = None
    _told: dict[str, tuple[float, float, float]] = field(default_factory=dict)

    def dated(self, intent: Intent) -> Intent:
        """The intent with the store's time in place of ours; while no answer has told of it, with its age."""
        if intent.asked_at is None:
            return intent
        earlier = self._told.get(intent.session)
        at = asked_at(self._bound, intent.asked_at, earlier and earlier[1:])
        self._remember(intent, at)
        return replace(intent, asked_at=at, waited=0.0 if at else self.clock() - intent.asked_at)

    def now(self) -> float | None:
        """About what the store's clock shows now; None while nothing is known of it."""
        return None if self._bound is None else self.clock() + self._bound

    async def recorded(self, intent: Intent, exchange: Callable[[Intent], Awaitable[Recorded]]) -> Recorded:
        """The answer of `exchange` to the dated intent; what the store had to date itself is remembered."""
        dated = self.dated(intent)
        answer = await self.heard(exchange(dated))
        if dated.asked_at is None:
            self._remember(intent, answer.outlook.now - dated.waited)
        return answer

    async def heard(self, exchange: Awaitable[T]) -> T:
        """The answer of one exchange with the store, after learning from it."""
        asked = self.clock()
        answer = await exchange
        before, self._bound = self._bound, bound_after(self._bound, asked, answer.outlook.now, self.clock())
        if before is not None and self._bound < before - SET_BACK:
            # What was told before is of another time.
            self._told.clear()
        return answer

    def _remember(self, intent: Intent, at: float | None) -> None:
        now = self.clock()
        self._told.pop(intent.session, None)
        while self._told and next(iter(self._told.values()))[0] < now - REMEMBERED:
            del self._told[next(iter(self._told))]
        if intent.asked_at is not None and at is not None:
            self._told[intent.session] = (now, intent.asked_at, at)
