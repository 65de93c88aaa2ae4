"""The worker: claims due work, drives it, and sleeps until there can be more."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from logging import ERROR, INFO, WARNING
from typing import Any

from mirt_sitniks.core.backoff import ACCOUNT_CODES
from mirt_sitniks.core.chats import DAY
from mirt_sitniks.core.record import Claim, Record, pending
from mirt_sitniks.core.result import why_none
from mirt_sitniks.core.rota import MISSING
from mirt_sitniks.core.store import Claimed, Outlook, Settled
from mirt_sitniks.core.text import many, span
from mirt_sitniks.core.turns import is_unwatched
from mirt_sitniks.engine.driver import Driver
from mirt_sitniks.engine.gate import CLAIM
from mirt_sitniks.errors import StoreError
from mirt_sitniks.log import log

SWEEP = 60.0
SHORTEST, IDLE = 0.01, 5.0
AT_ONCE = 32
FEW_CALLS = "the watch has few calls for so many chats; webhooks tell at once, or raise SITNIKS_WATCH_SHARE"
TIDY_FIRST, TIDY_AGAIN = 600.0, 86_400.0

UNANSWERED = (
    "nobody has answered for %s, and of the live managers nobody is left to be asked (%s had the chat): answer there, "
    "or name more people in SITNIKS_HUMAN_MANAGER_ID"
)


class Worker:
    """Drives claims as tasks of the running loop, and claims more when there can be some.

    Of all processes one is the lookout: it has promised to look for work when there can be some next, and the others
    sleep. Once in half to a whole `sweep` seconds each looks all the same, for what a dead process has left behind.
    `on_done` hears of every driven record; `tidy` is done once a day, the first time within ten minutes.
    """

    def __init__(
        self,
        driver: Driver,
        *,
        sweep: float = SWEEP,
        on_done: Callable[[Settled], None] = lambda settled: None,
        tidy: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self.driver = driver
        self.sweep = sweep
        self._on_done = on_done
        self._tidy, self._tidy_at = tidy, math.inf
        self._drives: set[asyncio.Task[Any]] = set()
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._next = math.inf
        self._told: dict[str, float] = {}

    def start(self) -> None:
        """Begin to claim."""
        self._loop = self._loop or asyncio.ensure_future(self._run())

    def kick(self) -> None:
        """There may be work now."""
        self._wake.set()

    def expect(self, outlook: Outlook) -> None:
        """There can be work as `outlook` says: claim then, unless another has promised to, or it is planned sooner."""
        seconds, loop = outlook.work_in, asyncio.get_running_loop()
        mine = outlook.lookout_by == self.driver.options.who
        if seconds is not None and (mine or is_unwatched(outlook)) and loop.time() + seconds < self._next - SHORTEST:
            self._next = loop.time() + seconds
            loop.call_later(seconds, self.kick)

    def spawn(self, claim: Claim, asked: float | None = None) -> "asyncio.Task[None]":
        """Drive `claim` as a task of its own; `asked` is when the store was asked for it, on the driver's clock."""
        task = asyncio.ensure_future(self._drive(claim, asked))
        self._drives.add(task)
        task.add_done_callback(self._drives.discard)
        return task

    async def reconcile(self, limit: int) -> int:
        """Drive at most `limit` due records to where they can be driven now; returns how many claims that took."""
        driven = 0
        while driven < limit:
            asked, claimed = await self.driver.gate.once(self._claim(limit - driven))
            if not claimed.claims:
                break
            drives = [self.spawn(one, asked) for one in claimed.claims]
            # A drive waits for a store that is away; whoever called here does not.
            await asyncio.wait(drives, timeout=self.driver.options.lease)
            driven += sum(1 for one in claimed.claims if one.record)
        return driven

    async def stop(self) -> None:
        """Claim no more."""
        if self._loop:
            self._loop.cancel()
            await asyncio.wait({self._loop})
            self._loop = None

    async def drain(self, seconds: float) -> None:
        """Claim no more, and give the drives under way `seconds` to end; what is left is picked up after its lease."""
        await self.stop()
        if self._drives:
            await asyncio.wait(self._drives, timeout=seconds)
        left = set(self._drives)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)

    async def _drive(self, claim: Claim, asked: float | None = None) -> None:
        # Of one that was only looked at, or given a note, there is no news; nor again after a note.
        told = [claim.record] if claim.record and not pending(claim.record) else []

        def rest(settled: Settled) -> None:
            self._heard(settled, told)

        try:
            settled = await self.driver.drive(claim, asked, rest)
        except Exception as error:
            # Not only a `StoreError`: a bug of ours must not end in silence either.
            log(WARNING, "a drive failed; it is taken up again after its lease", code=_code(error))
            self.kick()
            return
        for who in settled.absent:
            log(ERROR, MISSING, who, manager=who, code="manager_not_found")
        for record in settled.unanswered:
            asked = len(record.clock.asked) if record.clock else 0
            since = span(settled.outlook.now - record.clock.began) if record.clock else "?"
            ids = {"session": record.session, "chat": record.chat_id, "stage": record.desired.stage}
            log(ERROR, UNANSWERED, since, many(asked, "manager"), **ids)
        self._heard(settled, told)

    def _heard(self, settled: Settled, told: list[Record]) -> None:
        """A record rests: say how, if that was not `told`; let those know who wait, and look when there can be work."""
        mine = settled.record
        news = mine if mine and all(one.desired.generation != mine.desired.generation for one in told) else None
        told += [news] if news else []
        for record in (news, *(one for one in settled.ended if mine is None or one.session != mine.session)):
            if record:
                self.tell(record, settled.outlook)
        if mine:
            self._on_done(settled)
        self.expect(settled.outlook)

    def tell(self, record: Record, outlook: Outlook) -> None:
        """How a record stands, as an event; what is the account's affair once a day, not for each chat."""
        error, now = record.observed.error, self.driver.clock()
        if error and error.code in ACCOUNT_CODES and pending(record):
            if now < self._told.get(error.message, -math.inf) + DAY:
                return
            self._told[error.message] = now
        _tell(record, outlook)

    def _tell_lag(self, outlook: Outlook) -> None:
        """Once a day, that the share of the watch does not suffice."""
        lag, now = outlook.watch_lag or 0.0, self.driver.clock()
        if lag > 3 * self.driver.options.watch and now >= self._told.get("watch", -math.inf) + DAY:
            self._told["watch"] = now
            minutes = round(lag / 60)
            log(WARNING, "what people do in Sitniks is seen after about %s minutes: %s", minutes, FEW_CALLS)

    async def _run(self) -> None:
        self._tidy_at = self.driver.clock() + TIDY_FIRST * self.driver.random()
        while True:
            self._wake.clear()
            self._next = math.inf
            await self._tidy_up()
            pause = await self._pass()
            self._next = min(self._next, asyncio.get_running_loop().time() + pause)
            # Not `wait_for`: before Python 3.12 it swallows a cancellation that comes together with a kick.
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def _tidy_up(self) -> None:
        if self._tidy and self.driver.clock() >= self._tidy_at:
            self._tidy_at = self.driver.clock() + TIDY_AGAIN
            try:
                await self._tidy()
            except Exception as error:
                log(WARNING, "what is old could not be deleted; it is tried again tomorrow", code=_code(error))

    async def _claim(self, room: int) -> tuple[float, Claimed]:
        return await self.driver.claim(room if self.driver.gate.held <= 0 else 0)

    async def _pass(self) -> float:
        """Claim once; returns how long to sleep."""
        room = AT_ONCE - len(self._drives)
        if room <= 0:
            return IDLE
        try:
            asked, claimed = await self.driver.gate.run(lambda: self._claim(room), CLAIM)
        except Exception as error:
            # A bug of ours, or an answer that means nothing: neither may end the worker.
            log(WARNING, "nothing can be claimed; the worker tries again", code=_code(error))
            return IDLE
        for claim in claimed.claims:
            self.spawn(claim, asked)
        if (held := self.driver.gate.held) > 0:
            return max(held, SHORTEST)
        self._tell_lag(claimed.outlook)
        outlook, sweep = claimed.outlook, self.sweep * (0.5 + 0.5 * self.driver.random())
        if outlook.work_in is not None and outlook.lookout_by == self.driver.options.who:
            return min(max(outlook.lookout_in, SHORTEST), sweep)
        return sweep


def _tell(record: Record, outlook: Outlook) -> None:
    """How a drive ended, or why there was none, as one line with code and cure."""
    ids = {"session": record.session, "stage": record.desired.stage, "chat": record.chat_id or record.candidate}
    seen, left = record.observed, pending(record)
    error = seen.error or (why_none(record, outlook) if left else None)
    if record.closed:
        log(INFO, "closed, %s", record.closed, **ids, reason=record.closed)
    elif error:
        how = "not synced yet" if left else "given up until the next stage"
        log(WARNING, f"{how} (%s): %s", error.code, error.message, **ids, code=error.code)
    elif not left:
        log(INFO, "arrived", **ids, status=seen.status.value, manager=seen.manager.value)


def _code(error: Exception) -> str:
    return error.code if isinstance(error, StoreError) else type(error).__name__
