"""Driving one claim: plan, send side by side, fold, settle, and again until nothing is needed. The edge of the core."""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random
from typing import Any, Protocol

from mirt_sitniks.core.backoff import KEY_CODES, PROBE, retry_delay
from mirt_sitniks.core.chats import PAGE, Chat, Contact
from mirt_sitniks.core.fold import Answer, FoldContext, fold
from mirt_sitniks.core.managers import Assignee, NoManager
from mirt_sitniks.core.plan import Find, Read, Step, WriteManager, WriteStatus, plan
from mirt_sitniks.core.record import Claim, Error, Record, Scan
from mirt_sitniks.core.stages import Role
from mirt_sitniks.core.store import KeyVerdict, Report, ScanPage, Settled, Settlement, StoreOptions, SyncStore
from mirt_sitniks.crm.calls import Call, GetChat, ListChats, ListManagers, Page, SetStatus, UpdateChat
from mirt_sitniks.engine.managers import ManagerList
from mirt_sitniks.engine.refusals import ASK, Refusals, is_unexplained
from mirt_sitniks.errors import CrmError, Forbidden, StoreError

SIDE_BY_SIDE = 2
SETTLE_AGAIN = (0.2, 1.0)
# How far two clocks go apart in a second, at most.
DRIFT = 0.001
# How much of the time that passes the CRM's usual way of answering may have become slower by.
SLOWER = 0.01


class Sender(Protocol):
    """What driving needs of a client."""

    async def send(self, call: Call) -> Any:
        """The decoded answer; raises only `CrmError`."""
        ...


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one job: `used` says whether a call went out, `unexplained` that it was refused and kept."""

    used: bool = False
    answer: Answer | None = None
    page: ScanPage | None = None
    error: CrmError | None = None
    unexplained: bool = False


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
    _offset: tuple[float, float] = (math.inf, 0.0)
    _usual: tuple[float, float] = (0.0, math.inf)
    refusals: Refusals = field(init=False)

    def __post_init__(self) -> None:
        self.refusals = Refusals(self.clock)

    async def drive(self, claim: Claim, asked: float | None = None) -> Settled:
        """Work until the claim ends; returns how it was settled last. Raises `StoreError` only.

        `asked` is when the store was asked for the claim (None: just now).
        """
        while True:
            received = self.clock()
            asked = received if asked is None else asked
            granted = received - self.grant_age(claim, received, asked)
            report = await self._round(claim, granted)
            asked, settled = await self._settle(report)
            if (
                settled.claim is None
                and settled.outlook.lock
                and settled.outlook.lock[0] in KEY_CODES
                and self.refusals.waiting
            ):
                # Ours may be the one call that a resting key is let try, and it told nothing: another may be sent.
                _, after = await self._settle(Report(unused=claim.grants))
                return replace(after, record=settled.record)
            if settled.claim is None:
                return settled
            claim = settled.claim

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

    def grant_age(self, claim: Claim, received: float, asked: float) -> float:
        """How much later the store's answer came than it comes at best: so old are its grants already.

        A slow answer must not use a slot that others have been given meanwhile, nor a frozen process a lease that it
        has lost; and a store that is always slow must not stop the work. The difference of the two clocks is at its
        least when the answer came quickest.
        """
        offset, (best, at) = received - claim.now, self._offset
        self._offset = min(best + DRIFT * (received - at), offset), received
        # Nothing to compare with yet, or a clock that was set back: no answer is later than what it took in all.
        return min(offset - self._offset[0], received - asked) if best < math.inf else received - asked

    async def _round(self, claim: Claim, granted: float) -> Report:
        record, scan = claim.record, claim.scan
        steps = plan(record, claim.now) if record else ()
        asking = self.refusals.open
        jobs, ready = self._jobs(claim, steps, granted, asking)
        kept, left = jobs[: len(claim.grants)], jobs[len(claim.grants) :]
        for job in left:
            job.close()
        began = self.clock()
        sent = await asyncio.gather(*kept)
        used = sum(1 for one in sent if one.used)
        way = self._way(self.clock() - began) if used else 0.0
        delayed = claim.grants[:used] if way > self.options.limit.grace else ()
        answers = [*ready, *(one.answer for one in sent if one.answer), *self._meant(steps, claim)]
        unread = next((one.error for one in sent if one.page and one.error), None)
        silent = any(one.used and not (one.answer or one.page or one.error) for one in sent)
        more = (asking or silent) and len({one.step for one in answers}) < len(steps)
        return Report(
            record=self._settlement(record, steps, answers, unread, more, claim, granted) if record else None,
            page=next((one.page for one in sent if one.page), ScanPage(scan, unsent=True) if scan else None),
            key_verdict=key_verdict_of([one.error for one in sent if one.used and not one.unexplained]),
            unused=claim.grants[used:],
            calls=SIDE_BY_SIDE,
            delayed=delayed,
            arrived=claim.now + began - granted + way if delayed else 0.0,
        )

    def _jobs(
        self, claim: Claim, steps: Sequence[Step], granted: float, asking: bool
    ) -> tuple[list[Coroutine[Any, Any, Sent]], list[Answer]]:
        """What to send for a claim, and the answers that need no call."""
        jobs: list[Coroutine[Any, Any, Sent]] = [self._page(claim.scan, claim, granted)] if claim.scan else []
        if asking:
            # Whether it is the key has to be known before anything else; a page of the scan tells as well.
            return jobs or [self._ask(granted)], []
        ready = self._meant(steps, claim)
        met = [answer.step for answer in ready]
        for step in (one for one in steps if one not in met):
            role = claim.record.role if claim.record and not isinstance(step, WriteStatus) else None
            who = self.managers.pick(role) if role else None
            assignee = who if isinstance(who, Assignee) else None
            if role and who is None:
                jobs.append(self._managers(step, role, claim, granted))
            elif isinstance(step, WriteManager) and isinstance(who, NoManager):
                ready.append(Answer(step, None, CrmError(who.message, code=who.code), claim.now))
            elif call := self._call(step, assignee):
                jobs.append(self._step(step, call, assignee, claim, granted))
        return jobs, ready

    def _meant(self, steps: Sequence[Step], claim: Claim) -> list[Answer]:
        """The answers of steps that were refused, now or in an earlier round, once it is known what that meant."""
        answers = []
        for step in steps:
            call, error = self.refusals.meaning(step) or (None, None)
            if isinstance(call, ListManagers) and isinstance(error, Forbidden):
                # Whoever only wanted to know whom the chat shows goes on without.
                self.managers.refuse(error.message)
                error = error if isinstance(step, WriteManager) else None
            if error and not isinstance(step, Find):
                answers.append(Answer(step, None, error, claim.now))
        return answers

    def _way(self, took: float) -> float:
        """How much longer than usual a round took: so late its calls may have reached the CRM.

        A network that stalls keeps calls back and delivers them together, long after their grants. A CRM that is always
        slow must not count twice.
        """
        now, (usual, at) = self.clock(), self._usual
        self._usual = min(took, usual + SLOWER * max(0.0, now - at)), now
        return took - self._usual[0]

    def _settlement(
        self,
        record: Record,
        steps: tuple[Step, ...],
        answers: list[Answer],
        unread: CrmError | None,
        more: bool,
        claim: Claim,
        granted: float,
    ) -> Settlement:
        now = claim.now + self.clock() - granted
        observed, gone = record.observed, False
        if unread:
            # The scan paces itself; the record only tells why its chat is not found yet.
            observed = replace(observed, error=Error(unread.code, unread.message))
        if answers or not steps:
            folded = fold(record, answers, self.context, now=now, random=self.random())
            observed, gone = folded.observed, folded.gone
        if more and not gone:
            # Managers were listed, or the key was asked for: what that was for goes on, whatever the rest has met.
            observed = replace(observed, due_at=min(observed.due_at, now))
        if not steps and observed.due_at <= now:
            # Nothing to do although it is due: never spin on it.
            observed = replace(observed, due_at=now + 1.0)
        writes = [one for one in answers if isinstance(one.step, WriteStatus | WriteManager)]
        lost = any(one.error and one.error.unconfirmed for one in writes)
        return Settlement(
            session=record.session,
            token=record.token,
            generation=record.desired.generation,
            observed=observed,
            unconfirmed=record.observed.unconfirmed,
            chat_id=record.chat_id,
            gone=gone,
            unconfirmed_until=(now + self.context.landing_time if lost else now) if writes else None,
            keep=True,
        )

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

    async def _step(self, step: Step, call: Call, assignee: Assignee | None, claim: Claim, granted: float) -> Sent:
        if self._void(granted):
            return Sent()
        sent_at = claim.now + self.clock() - granted
        try:
            value = await self.send(call)
        except CrmError as error:
            if is_unexplained(call, error):
                self.refusals.keep(step, call, error, granted)
                return Sent(True, unexplained=True)
            return Sent(True, Answer(step, None, error, sent_at, assignee), error=error)
        return Sent(True, Answer(step, value, None, sent_at, assignee))

    async def _managers(self, step: Step, role: Role, claim: Claim, granted: float) -> Sent:
        """Read a page of managers, unless another drive does it meanwhile; a failure counts as the step's."""
        async with self.managers.lock:
            if self._void(granted) or self.managers.pick(role) is not None:
                return Sent()
            call = self.managers.call()
            try:
                self.managers.learn(call, await self.send(call))
            except CrmError as error:
                if is_unexplained(call, error):
                    self.refusals.keep(step, call, error, granted)
                    return Sent(True, unexplained=True)
                answer = None if isinstance(step, Find) else Answer(step, None, error, claim.now)
                return Sent(True, answer, error=error)
        return Sent(True)

    async def _ask(self, granted: float) -> Sent:
        """Ask for the key alone, unless another drive has done it meanwhile."""
        async with self.refusals.lock:
            if self._void(granted) or not self.refusals.open or self.refusals.refused_since(granted):
                return Sent()
            try:
                await self.send(ASK)
            except CrmError as error:
                return Sent(True, error=error)
        return Sent(True)

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

    async def _page(self, scan: Scan, claim: Claim, granted: float) -> Sent:
        if self._void(granted):
            return Sent()
        call = ListChats(_date(scan.since), _date(scan.until), skip=scan.skip, limit=PAGE)
        try:
            page: Page[Chat] = await self.send(call)
        except CrmError as error:
            resting = error.code == "rate_limited" or error.code in KEY_CODES
            pause = 0.0 if resting else max(0.5, retry_delay(scan.failures + 1, self.random()))
            return Sent(True, page=ScanPage(scan, pause=pause), error=error)
        contacts = tuple(contact(chat) for chat in page.items)
        return Sent(True, page=ScanPage(scan, contacts, page.raw, page.total))


def contact(chat: Chat) -> Contact:
    """What the directory keeps of a chat."""
    return Contact(
        chat.id, chat.nickname, chat.source, chat.user_id, chat.last_message_at, chat.status, chat.manager_id
    )


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def key_verdict_of(errors: Sequence[CrmError | None]) -> KeyVerdict | None:
    """What a round's answers say of the key; a refusal outweighs a good answer."""
    for error in errors:
        if error and error.code in KEY_CODES:
            return KeyVerdict(error.code, PROBE)
        if error and error.code == "rate_limited":
            return KeyVerdict(error.code, error.retry_after or 60.0)
    return KeyVerdict() if any(error is None for error in errors) else None
