"""The one way to a store that may be away: all wait for it together, and one at a time tries."""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import count
from logging import ERROR, INFO, WARNING
from typing import TypeVar

from mirt_sitniks.errors import StoreError
from mirt_sitniks.log import log

T = TypeVar("T")

# Who comes first once the store is back: what is not recorded yet, before anybody acts on what is.
RECORD, SETTLE, CLAIM = range(3)
# As many as a store serves side by side: after an outage thousands wait, and would take each other's time.
WIDTH = 16
FIRST, CAP = 0.1, 5.0
# How long ago the last try must be for somebody who comes to be worth another.
STALE = 1.0
# So often it is the turn of who has waited longest: whose own fault it is must not keep all others waiting.
FAIR = 8
# So often the store refuses one thing, and serves others between, before it counts as that thing's own fault.
OWN_FAULT = 3


class StoreGate:
    """Lets work through to one store; used on one loop.

    While the store is away one of those who wait tries it, after pauses that grow from a tenth of a second to five and
    are random, and then all go on, `RECORD` before `SETTLE` before `CLAIM`. `trouble` is why it is away now (None: it
    is not), and `since` when; `answered_at` is when it answered last. `on_trouble` hears of each try that failed. When
    it was away for a `window` of the rate limit, processes may have written past it, which each tells it when it is
    back: no calls are taken for as long again.
    """

    def __init__(self, clock: Callable[[], float], random: Callable[[], float], window: float) -> None:
        self._clock, self._random, self._window = clock, random, window
        self.on_trouble: Callable[[StoreError], None] = lambda error: None
        self.since, self._calls_from = -math.inf, -math.inf
        self.trouble: StoreError | None = None
        self.answered_at = -math.inf
        self._failures, self._failed_at, self._served = 0, -math.inf, 0
        self._busy = 0
        self._pause: asyncio.TimerHandle | None = None
        self._lanes: list[deque[tuple[int, asyncio.Future[None]]]] = [deque(), deque(), deque()]
        self._places = count()

    async def run(self, work: Callable[[], Awaitable[T]], rank: int = RECORD) -> T:
        """What `work` brings, however long the store is away.

        Raises `StoreError` only when the store refuses this very thing.
        """
        own, served = 0, self._served
        while True:
            await self._enter(rank)
            try:
                return await self.once(work())
            except StoreError as error:
                own += _is_no(error) and self._served > served
                served = self._served
                if error.kind == "refused" or own >= OWN_FAULT:
                    raise
            finally:
                self._busy -= 1
                # Not at once: who is done may have more of the same to do, in his order.
                asyncio.get_running_loop().call_soon(self._admit)

    async def once(self, work: Awaitable[T]) -> T:
        """What `work` brings, without waiting for anybody; raises its `StoreError`."""
        try:
            answer = await work
        except StoreError as error:
            if error.kind == "refused":
                self._answered()
            else:
                self._failed(error)
            raise
        self._answered()
        return answer

    @property
    def held(self) -> float:
        """For how many seconds no calls may be taken; 0 or less: they may. Whoever finds the store back takes none."""
        now = self._clock()
        return self._window if self.trouble and now - self.since >= self._window else self._calls_from - now

    def knock(self) -> bool:
        """Somebody has come: try again at once unless that was done just now; whether it was not."""
        if self._pause is None or self._clock() - self._failed_at < STALE:
            return False
        self._rested()
        return True

    def hurry(self) -> None:
        """There is not much time left: try at once, and pause shortly at first."""
        self._failures = 0
        self._rested()

    async def _enter(self, rank: int) -> None:
        place = asyncio.get_running_loop().create_future()
        # Nobody is let past another while the store keeps up.
        self._lanes[rank if self.trouble else RECORD].append((next(self._places), place))
        self._admit()
        try:
            await place
        except BaseException:
            if place.done() and not place.cancelled():
                self._busy -= 1
                self._admit()
            raise

    def _admit(self) -> None:
        while self._pause is None and self._busy < (1 if self.trouble else WIDTH):
            lanes = [one for one in self._lanes if one]
            if not lanes:
                return
            by_age = self.trouble and self._failures % FAIR == 0
            _, place = (min(lanes, key=lambda one: one[0][0]) if by_age else lanes[0]).popleft()
            if not place.done():
                self._busy += 1
                place.set_result(None)

    def _answered(self) -> None:
        returned, now = self.trouble is not None, self._clock()
        if self._pause:
            self._pause.cancel()
        self.trouble = self._pause = None
        self._failures, self._served, self.answered_at = 0, self._served + 1, now
        if returned:
            log(INFO, "the store answers again")
            self._calls_from = now + self._window if now - self.since >= self._window else self._calls_from
        self._admit()

    def _failed(self, error: StoreError) -> None:
        if self.trouble is None or self.trouble.kind != error.kind:
            log(WARNING if error.kind == "away" else ERROR, "the store is away: %s", error.message, code=error.code)
        self.since = self.since if self.trouble else self._clock()
        self.trouble, self._failed_at = error, self._clock()
        if self._pause is None:
            # Those who were under way together fail together: that is one failure.
            self._failures += 1
            seconds = min(CAP, FIRST * 2.0 ** min(self._failures - 1, 30))
            seconds *= 0.5 + 0.5 * self._random()
            self._pause = asyncio.get_running_loop().call_later(seconds, self._rested)
        self.on_trouble(error)

    def _rested(self) -> None:
        if self._pause:
            self._pause.cancel()
        self._pause = None
        self._admit()


def _is_no(error: StoreError) -> bool:
    """Whether somebody was there who said no, for whatever reason."""
    return error.kind == "away" and error.status is not None and 400 <= error.status <= 499
