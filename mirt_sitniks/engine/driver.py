"""Driving one claim: plan, send side by side, fold, settle, and again until nothing is needed. The edge of the core."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from logging import WARNING
from random import Random
from typing import Any, Protocol

from mirt_sitniks.core import noting
from mirt_sitniks.core.backoff import KEY_CODES
from mirt_sitniks.core.people import FoldContext
from mirt_sitniks.core.plan import steps_of
from mirt_sitniks.core.record import Claim, Intent, Record, Try
from mirt_sitniks.core.rounds import CallOutcome, Round, report_of
from mirt_sitniks.core.store import Claimed, Recorded, Report, Settled, StoreOptions, SyncStore
from mirt_sitniks.crm.answers import forbidden
from mirt_sitniks.crm.calls import Call, kind_of
from mirt_sitniks.engine.asking import Asking
from mirt_sitniks.engine.gate import SETTLE, StoreGate
from mirt_sitniks.engine.jobs import Jobs
from mirt_sitniks.engine.lateness import Lateness
from mirt_sitniks.engine.managers import ManagerList
from mirt_sitniks.errors import CallTimeout, CrmError
from mirt_sitniks.log import log

# How many tries outside a drive are kept for a store that is away.
UNTOLD = 1000
# Seconds for which a stage waits for what the CRM told before it: without it a chat may have to be looked for.
HEARING = 0.25


class Sender(Protocol):
    """What driving needs of a client."""

    async def send(self, call: Call) -> Any:
        """The decoded answer; raises only `CrmError`."""
        ...


@dataclass
class Driver:
    """Everything a drive needs. `clock` is monotonic, `random` gives numbers in [0, 1).

    `vouching` and `vouched_at` are for calls outside a drive: who asks for the key, and when it was last found good.
    `untold` are tries that the store has not heard of, and that are of no drive, `hearing` what it is just told.
    """

    store: SyncStore
    options: StoreOptions
    client: Sender
    managers: ManagerList
    context: FoldContext
    clock: Callable[[], float] = time.monotonic
    random: Callable[[], float] = field(default_factory=lambda: Random().random)
    asking: Asking = field(default_factory=Asking)
    lateness: Lateness = field(default_factory=Lateness)
    gate: StoreGate = field(init=False)
    vouching: asyncio.Lock = field(default_factory=asyncio.Lock)
    vouched_at: float = -1e9
    untold: tuple[Try, ...] = ()
    hearing: set[asyncio.Future[Any]] = field(default_factory=set)

    def __post_init__(self) -> None:
        # The clock may be replaced later.
        self.gate = StoreGate(lambda: self.clock(), lambda: self.random(), self.options.limit.seconds)

    async def record(self, intent: Intent, calls: int) -> Recorded:
        """The store's verb, with the store's time of asking in place of ours; what was told before goes before."""
        if self.hearing:
            await asyncio.wait(self.hearing, timeout=HEARING)
        return await self.asking.recorded(intent, lambda dated: self.store.record(self.options, dated, calls=calls))

    async def claim(self, limit: int) -> tuple[float, Claimed]:
        """The store's verb, and when it was asked; its answer tells of the store's clock, too."""
        return self.clock(), await self.asking.heard(self.store.claim(self.options, limit=limit))

    async def drive(
        self, claim: Claim, asked: float | None = None, on_rest: Callable[[Settled], None] = lambda settled: None
    ) -> Settled:
        """Work until the claim ends; returns how it was settled last. Raises a `StoreError` for what the store refuses.

        `asked` is when the store was asked for the claim (None: just now). `on_rest` hears when nothing is left to do
        for now but a note, for which no reply waits.
        """
        ended: tuple[Record, ...] = ()
        absent: tuple[int, ...] = ()
        unanswered: tuple[Record, ...] = ()
        refused: tuple[CallOutcome, ...] = ()
        while True:
            received = self.clock()
            granted = received - self.lateness.grant_age(claim.now, received, received if asked is None else asked)
            done = await self._round(claim, granted, refused)
            refused = done.unexplained
            asked, settled = await self._settle(report_of(done, self.context, self.random()))
            ended, absent = ended + settled.ended, absent + settled.absent
            unanswered += settled.unanswered
            self._say(done)
            if settled.claim is None:
                return replace(settled, ended=ended, absent=absent, unanswered=unanswered)
            if settled.claim.note:
                on_rest(replace(settled, ended=ended))
                ended = ()
            claim = settled.claim

    def _say(self, done: Round) -> None:
        """What became of a note, where it was not left: a refusal once, as long as it is known."""
        record, error = done.claim.record, next((one.error for one in done.answers), None)
        if record is None or done.claim.note is None or error is None:
            return
        fate, ids = done.noted[1], {"session": record.session, "chat": record.chat_id, "stage": done.claim.note.stage}
        if fate == noting.REFUSED and "note" not in done.claim.known.refused:
            log(WARNING, "no note was left, all else goes on: %s", error.message, **ids, code=error.code)
        elif fate in (noting.UNKNOWN, noting.GIVEN_UP):
            log(WARNING, "whether a note was left is %s, it is not sent again", fate, **ids, code=error.code)

    async def settle(self, report: Report) -> Settled:
        """The store's verb, which hears of the tries outside a drive as well; the next one does when this one fails."""
        untold, self.untold = self.untold, ()
        try:
            return await self.store.settle(self.options, replace(report, tries=report.tries + untold))
        except BaseException:
            self.untold = (untold + self.untold)[-UNTOLD:]
            raise

    def remember(self, done: CallOutcome) -> None:
        """Have the next settle tell of a call outside a drive; of very many of the newest."""
        tried = (replace(done.tried, for_all=True),) if done.tried else ()
        self.untold = (self.untold + tried)[-UNTOLD:]

    async def _settle(self, report: Report) -> tuple[float, Settled]:
        """Settle, however long the store is away: what the CRM has answered is not to be asked for again.

        A round that is settled twice changes nothing, but gives its unused calls back only once.
        """
        reports = chain([report], repeat(replace(report, unused=(), delayed=())))

        async def attempt() -> tuple[float, Settled]:
            # Without calls the record is let go, and taken up when they may be sent again.
            told = next(reports)
            told = replace(told, calls=0) if self.gate.held > 0 else told
            return self.clock(), await self.settle(told)

        return await self.gate.run(attempt, SETTLE)

    async def _round(self, claim: Claim, granted: float, refused: tuple[CallOutcome, ...]) -> Round:
        """Send what the claim needs and has grants for, side by side; `granted` is when that was, on our clock.

        `refused` are the refusals of the round before that nothing has explained yet.
        """
        steps = steps_of(claim, self.context)
        if claim.known.writes_apart(claim.now):
            steps = steps[:1]
        if not claim.ask:
            # Somebody was let in since.
            refused = tuple(one.as_error(one.meant) for one in refused)
        sending = Jobs(self, claim, granted)
        jobs, ready = sending.of(steps, refused)
        outcomes = (*ready, *await asyncio.gather(*(job() for job in jobs[: len(claim.grants)])))
        late = self.is_late(granted) and any(one.sent for one in outcomes)
        return Round(claim, steps, outcomes, sending.now, late)

    def is_late(self, granted: float) -> bool:
        """Whether a grant is too old to be used; and a call that has used it counts from its answer on.

        A network that stalls keeps calls back and delivers them together, long after their grants. The way from the
        store counts as well: it and the way to the CRM share one padding.
        """
        return self.clock() - granted > self.options.limit.grace

    async def send(self, call: Call, granted: float) -> tuple[Any, CallOutcome]:
        """The answer to a call, and what became of it; nothing is sent when the grant is too old to be used.

        The same check guards the lease: it is many times longer than a grant's grace and a call's timeout together.
        """
        return (None, CallOutcome()) if self.is_late(granted) else await self.attempt(call)

    async def attempt(self, call: Call) -> tuple[Any, CallOutcome]:
        """The same without a look at the grant."""
        kind, began = kind_of(call), self.clock()

        def done(error: CrmError | None = None) -> CallOutcome:
            code, status = (error.code, error.status) if error else (None, None)
            # What a refusal means if it is not the key's.
            meant = forbidden(call, status) if code in KEY_CODES and kind != "list" else None
            tried = Try(kind, self.clock() - began, status, code, for_all=kind in ("list", "managers"))
            return CallOutcome(True, error=error, kind=kind, meant=meant, tried=tried)

        try:
            return await self.client.send(call), done()
        except CrmError as error:
            return None, done(error)
        except asyncio.CancelledError:
            self.remember(done(CallTimeout("nobody waited any longer")))
            raise
