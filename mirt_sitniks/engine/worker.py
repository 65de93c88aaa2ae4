"""The worker: claims due work, drives it, and sleeps until there can be more."""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from logging import INFO, WARNING
from typing import Any

from mirt_sitniks.core.backoff import ACCOUNT_CODES, retry_delay
from mirt_sitniks.core.chats import DAY
from mirt_sitniks.core.record import Claim, Record, pending
from mirt_sitniks.core.store import Outlook, Settled
from mirt_sitniks.core.turns import is_unwatched
from mirt_sitniks.engine.driver import Driver
from mirt_sitniks.errors import StoreError
from mirt_sitniks.log import log

SWEEP = 60.0
SHORTEST, IDLE = 0.01, 5.0
AT_ONCE = 32


class Worker:
    """Drives claims as tasks of the running loop, and claims more when there can be some.

    Of all processes one is the lookout: it has promised to look for work when there can be some next, and the others
    sleep. Once in half to a whole `sweep` seconds each looks all the same, for what a dead process has left behind.
    `on_done` hears of every driven record.
    """

    def __init__(
        self, driver: Driver, *, sweep: float = SWEEP, on_done: Callable[[Settled], None] = lambda settled: None
    ) -> None:
        self.driver = driver
        self.sweep = sweep
        self._on_done = on_done
        self._drives: set[asyncio.Task[Any]] = set()
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._failures = 0
        self._next = math.inf
        self._told: dict[str, float] = {}

    def start(self) -> None:
        """Begin to claim."""
        self._loop = self._loop or asyncio.ensure_future(self._run())

    def kick(self) -> None:
        """There may be work now."""
        self._wake.set()

    def expect(self, outlook: Outlook) -> None:
        """There can be work as `outlook` says: claim then, unless somebody has promised to, or it is planned sooner."""
        if outlook.work_in is not None and is_unwatched(outlook):
            self._look_in(outlook.work_in)

    def _look_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() + seconds < self._next - SHORTEST:
            self._next = loop.time() + seconds
            loop.call_later(seconds, self.kick)

    def spawn(self, claim: Claim, asked: float | None = None) -> None:
        """Drive `claim` as a task of its own; `asked` is when the store was asked for it, on the driver's clock."""
        task = asyncio.ensure_future(self._drive(claim, asked))
        self._drives.add(task)
        task.add_done_callback(self._drives.discard)

    async def reconcile(self, limit: int) -> int:
        """Drive at most `limit` due records to where they can be driven now; returns how many claims that took."""
        driven = 0
        while driven < limit:
            asked = self.driver.clock()
            claimed = await self.driver.store.claim(self.driver.options, limit=limit - driven)
            if not claimed.claims:
                break
            await asyncio.gather(*(self._drive(claim, asked) for claim in claimed.claims))
            driven += sum(1 for claim in claimed.claims if claim.record)
        return driven

    async def drain(self, seconds: float) -> None:
        """Claim no more, and give the drives under way `seconds` to end; what is left is picked up after its lease."""
        if self._loop:
            self._loop.cancel()
            await asyncio.wait({self._loop})
            self._loop = None
        if self._drives:
            await asyncio.wait(self._drives, timeout=seconds)
        left = set(self._drives)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)

    async def _drive(self, claim: Claim, asked: float | None = None) -> None:
        try:
            settled = await self.driver.drive(claim, asked)
        except Exception as error:
            # Not only a `StoreError`: a bug of ours must not end in silence either.
            log(WARNING, "a drive failed; it is taken up again after its lease", code=_code(error))
            self.kick()
            return
        if settled.record:
            self._tell(settled.record)
            self._on_done(settled)
        self.expect(settled.outlook)

    def _tell(self, record: Record) -> None:
        """How a drive ended, as an event; what is the account's affair once a day, not for each chat."""
        error, now = record.observed.error, self.driver.clock()
        if error and error.code in ACCOUNT_CODES and pending(record):
            if now < self._told.get(error.message, -math.inf) + DAY:
                return
            self._told[error.message] = now
        _log(record)

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            self._next = math.inf
            pause = await self._pass()
            self._next = min(self._next, asyncio.get_running_loop().time() + pause)
            # Not `wait_for`: before Python 3.12 it swallows a cancellation that comes together with a kick.
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def _pass(self) -> float:
        """Claim once; returns how long to sleep."""
        room = AT_ONCE - len(self._drives)
        if room <= 0:
            return IDLE
        asked = self.driver.clock()
        try:
            claimed = await self.driver.store.claim(self.driver.options, limit=room)
        except Exception as error:
            self._failures += 1
            if self._failures == 1:
                log(WARNING, "nothing can be claimed; the worker tries again", code=_code(error))
            return max(1.0, retry_delay(self._failures, self.driver.random()))
        self._failures = 0
        for claim in claimed.claims:
            self.spawn(claim, asked)
        outlook, sweep = claimed.outlook, self.sweep * (0.5 + 0.5 * self.driver.random())
        if outlook.work_in is not None and outlook.lookout_by == self.driver.options.who:
            return min(max(outlook.lookout_in, SHORTEST), sweep)
        return sweep


def _log(record: Record) -> None:
    """How a drive ended, as an event."""
    ids = {"session": record.session, "stage": record.desired.stage, "chat": record.chat_id}
    if record.closed:
        log(INFO, "closed, %s", record.closed, **ids, reason=record.closed)
    elif not pending(record):
        seen = record.observed
        log(INFO, "arrived", **ids, status=seen.status.value, manager=seen.manager.value)
    elif error := record.observed.error:
        log(WARNING, "not synced yet (%s): %s", error.code, error.message, **ids, code=error.code)


def _code(error: Exception) -> str:
    return error.code if isinstance(error, StoreError) else type(error).__name__
