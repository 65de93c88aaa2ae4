"""Driving one claim: plan, send side by side, fold, settle, and again until nothing is needed. The edge of the core."""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random
from typing import Any, Protocol

from mirt_sitniks.core.backoff import KEY_CODES, retry_delay
from mirt_sitniks.core.chats import PAGE, Chat
from mirt_sitniks.core.fold import Answer, FoldContext
from mirt_sitniks.core.managers import Assignee, NoManager
from mirt_sitniks.core.plan import Find, Read, Step, WriteManager, WriteStatus, plan
from mirt_sitniks.core.record import Claim, Scan
from mirt_sitniks.core.rounds import CallOutcome, Round, report_of
from mirt_sitniks.core.stages import Role
from mirt_sitniks.core.store import Report, ScanPage, Settled, StoreOptions, SyncStore
from mirt_sitniks.crm.calls import Call, GetChat, ListChats, ListManagers, Page, SetStatus, UpdateChat
from mirt_sitniks.engine.lateness import Lateness
from mirt_sitniks.engine.managers import MISSED_FOR, ManagerList
from mirt_sitniks.engine.refusals import ASK, Refusals, is_unexplained
from mirt_sitniks.errors import CrmError, Forbidden, StoreError

SETTLE_AGAIN = (0.2, 1.0)


class Sender(Protocol):
    """What driving needs of a client."""

    async def send(self, call: Call) -> Any:
        """The decoded answer; raises only `CrmError`."""
        ...


@dataclass
class Driver:
    """Everything a drive needs. `clock` is monotonic, `random` gives numbers in [0, 1)."""

    store: SyncStore
    options: StoreOptions
    client: Sender
    managers: ManagerList
    context: FoldContext
    clock: Callable[[], float] = time.monotonic
    random: Callable[[], float] = field(default_factory=lambda: Random().random)
    refusals: Refusals = field(init=False)
    lateness: Lateness = field(init=False)
    unverifiable_until: float = -math.inf

    def __post_init__(self) -> None:
        # The clock may be replaced later.
        self.refusals, self.lateness = Refusals(lambda: self.clock()), Lateness(lambda: self.clock())

    async def drive(self, claim: Claim, asked: float | None = None) -> Settled:
        """Work until the claim ends; returns how it was settled last. Raises `StoreError` only.

        `asked` is when the store was asked for the claim (None: just now).
        """
        while True:
            received = self.clock()
            age = self.lateness.grant_age(claim.now, received, received if asked is None else asked)
            done = await self._round(claim, received - age)
            asked, settled = await self._settle(report_of(done, self.context, self.random()))
            if settled.claim is None:
                return await self._let_another_try(claim, settled)
            claim = settled.claim

    async def _let_another_try(self, claim: Claim, settled: Settled) -> Settled:
        """The end of a claim; when ours was the one call that a locked key is let try, and it told nothing, another may
        be sent.
        """
        lock = settled.outlook.lock
        if not (lock and lock[0] in KEY_CODES and self.refusals.waiting):
            return settled
        _, after = await self._settle(Report(unused=claim.grants))
        return replace(after, record=settled.record)

    async def _settle(self, report: Report) -> tuple[float, Settled]:
        """Settle, and again when the store fails for a moment: what the CRM has answered is worth more than one try.

        A round that is settled twice changes nothing, but gives its unused calls back only once.
        """
        for pause in SETTLE_AGAIN:
            asked = self.clock()
            try:
                return asked, await self.store.settle(self.options, report)
            except StoreError:
                await asyncio.sleep(pause)
                report = replace(report, unused=(), delayed=())
        return self.clock(), await self.store.settle(self.options, report)

    async def _round(self, claim: Claim, granted: float) -> Round:
        """Send what the claim needs and has grants for, side by side; `granted` is when that was, on our clock."""
        steps = plan(claim.record, claim.now) if claim.record else ()
        asked = self.refusals.open
        jobs, ready = self._jobs(claim, steps, granted, asked)
        kept, left = jobs[: len(claim.grants)], jobs[len(claim.grants) :]
        for job in left:
            job.close()
        began = self.clock()
        outcomes = (*ready, *await asyncio.gather(*kept), *self._meant(steps, claim))
        ended = self.clock()
        delay = self.lateness.delay(ended - began) if any(one.sent for one in outcomes) else 0.0
        late = delay > self.options.limit.grace
        return Round(
            claim=claim,
            steps=steps,
            outcomes=outcomes,
            now=claim.now + ended - granted,
            arrived=claim.now + began - granted + delay if late else None,
            asked=asked,
        )

    def _jobs(
        self, claim: Claim, steps: Sequence[Step], granted: float, asking: bool
    ) -> tuple[list[Coroutine[Any, Any, CallOutcome]], list[CallOutcome]]:
        """What to send for a claim, and what is known without a call."""
        if claim.verify and not asking and self.clock() >= self.unverifiable_until:
            return [self._whose(steps, claim, granted)], []
        jobs: list[Coroutine[Any, Any, CallOutcome]] = [self._page(claim.scan, claim, granted)] if claim.scan else []
        if asking:
            # Whether it is the key has to be known before anything else; a page of the scan tells as well.
            return jobs or [self._ask(granted)], []
        ready = self._meant(steps, claim)
        met = [one.answer.step for one in ready if one.answer]
        for step in (one for one in steps if one not in met):
            role = claim.record.role if claim.record and not isinstance(step, WriteStatus) else None
            who = self.managers.pick(role) if role else None
            assignee = who if isinstance(who, Assignee) else None
            if claim.record and claim.record.candidate and (read := self._call(step, None)):
                # Whose the chat is does not hang on who is responsible: that can be found out beside it.
                jobs.append(self._step(step, read, None, claim, granted))
                jobs += [self._managers(Find(), role, claim, granted)] if role and who is None else []
            elif role and who is None:
                jobs.append(self._managers(step, role, claim, granted))
            elif isinstance(step, WriteManager) and isinstance(who, NoManager):
                error = CrmError(who.message, code=who.code)
                ready.append(CallOutcome(answer=Answer(step, None, error, claim.now)))
            elif call := self._call(step, assignee):
                jobs.append(self._step(step, call, assignee, claim, granted))
        return jobs, ready

    def _meant(self, steps: Sequence[Step], claim: Claim) -> list[CallOutcome]:
        """What became of steps that were refused, now or in an earlier round, once it is known what that meant."""
        outcomes = []
        for step in steps:
            call, error = self.refusals.meaning(step) or (None, None)
            if isinstance(call, ListManagers) and isinstance(error, Forbidden):
                # Whoever only wanted to know whom the chat shows goes on without.
                self.managers.refuse(error.message)
                error = error if isinstance(step, WriteManager) else None
            if error and not isinstance(step, Find):
                outcomes.append(CallOutcome(answer=Answer(step, None, error, claim.now)))
        return outcomes

    def _call(self, step: Step, assignee: Assignee | None) -> Call | None:
        """The call that takes a step; None for a chat that is looked for, which is the scan's work."""
        match step:
            case WriteStatus(chat_id, stage):
                return SetStatus(chat_id, self.context.statuses[stage])
            case WriteManager(chat_id) if assignee:
                return UpdateChat(chat_id, assignee.id)
            case Read(chat_id):
                return GetChat(chat_id)
        return None

    def _void(self, granted: float) -> bool:
        """Whether the grant is too old to be used.

        The same check guards the lease: it is many times longer than a grant's grace and a call's timeout together.
        """
        return self.clock() - granted > self.options.limit.grace

    async def _step(
        self, step: Step, call: Call, assignee: Assignee | None, claim: Claim, granted: float
    ) -> CallOutcome:
        if self._void(granted):
            return CallOutcome()
        sent_at = claim.now + self.clock() - granted
        try:
            value = await self.send(call)
        except CrmError as error:
            if is_unexplained(call, error):
                self.refusals.keep(step, call, error, granted)
                return CallOutcome(True, unexplained=True)
            return CallOutcome(True, Answer(step, None, error, sent_at, assignee), error=error)
        return CallOutcome(True, Answer(step, value, None, sent_at, assignee))

    async def _managers(self, step: Step, role: Role, claim: Claim, granted: float) -> CallOutcome:
        """Read a page of managers, unless another drive does it meanwhile; a failure counts as the step's."""
        async with self.managers.lock:
            if self._void(granted) or self.managers.pick(role) is not None:
                return CallOutcome()
            call = self.managers.call()
            try:
                self.managers.learn(call, await self.send(call))
            except CrmError as error:
                if is_unexplained(call, error):
                    self.refusals.keep(step, call, error, granted)
                    return CallOutcome(True, unexplained=True)
                answer = None if isinstance(step, Find) else Answer(step, None, error, claim.now)
                return CallOutcome(True, answer, error=error)
        return CallOutcome(True, managers=self.managers.ids)

    async def _whose(self, steps: Sequence[Step], claim: Claim, granted: float) -> CallOutcome:
        """List the people of a key that is new to its account. One that may not list them is taken at its word for a
        minute: what it may not do it cannot do wrong either."""
        async with self.managers.lock:
            if self._void(granted):
                return CallOutcome()
            if self.managers.ids:
                return CallOutcome(managers=self.managers.ids)
            call = self.managers.call()
            try:
                self.managers.learn(call, await self.send(call))
            except CrmError as error:
                if is_unexplained(call, error):
                    self.unverifiable_until = self.clock() + MISSED_FOR
                    return CallOutcome(True, error=error, unexplained=True)
                answer = next((Answer(one, None, error, claim.now) for one in steps if not isinstance(one, Find)), None)
                page = ScanPage(claim.scan, pause=self._pause(claim.scan)) if claim.scan else None
                return CallOutcome(True, answer, page, error)
        return CallOutcome(True, managers=self.managers.ids)

    async def _ask(self, granted: float) -> CallOutcome:
        """Ask for the key alone, unless another drive has done it meanwhile."""
        async with self.refusals.lock:
            if self._void(granted) or not self.refusals.open or self.refusals.refused_since(granted):
                return CallOutcome()
            try:
                await self.send(ASK)
            except CrmError as error:
                return CallOutcome(True, error=error)
        return CallOutcome(True)

    async def send(self, call: Call) -> Any:
        """Send a call that was granted, and take in what its answer says of the key."""
        sent_at = self.clock()
        try:
            answer = await self.client.send(call)
        except CrmError as error:
            self.refusals.heard(call, error, sent_at)
            raise
        self.refusals.heard(call, None, sent_at)
        return answer

    async def _page(self, scan: Scan, claim: Claim, granted: float) -> CallOutcome:
        if self._void(granted):
            return CallOutcome()
        sent_at = claim.now + self.clock() - granted
        call = ListChats(_date(scan.since), _date(scan.until), skip=scan.skip, limit=PAGE)
        try:
            page: Page[Chat] = await self.send(call)
        except CrmError as error:
            locked = error.code == "rate_limited" or error.code in KEY_CODES
            return CallOutcome(True, page=ScanPage(scan, pause=0.0 if locked else self._pause(scan)), error=error)
        chats = tuple(replace(chat, seen_at=sent_at) for chat in page.items)
        return CallOutcome(True, page=ScanPage(scan, chats, page.raw, page.total))

    def _pause(self, scan: Scan) -> float:
        """How long a scan rests after a page that could not be read."""
        return max(0.5, retry_delay(scan.failures + 1, self.random()))


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
