"""Driving one claim: plan, send side by side, fold, settle, and again until nothing is needed. The edge of the core."""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain, repeat
from logging import WARNING
from random import Random
from typing import Any, Protocol

from mirt_sitniks.core import noting
from mirt_sitniks.core.backoff import KEY_CODES, retry_delay
from mirt_sitniks.core.capabilities import PAGE_LEAST, Capabilities
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.folding import KINDS, Answer
from mirt_sitniks.core.managers import Assignee, NoManager
from mirt_sitniks.core.people import FoldContext
from mirt_sitniks.core.plan import Find, Listen, Read, Step, WriteManager, WriteNote, WriteStatus, steps_of
from mirt_sitniks.core.record import Claim, Intent, Record, Scan, Try, stale, ticks
from mirt_sitniks.core.rounds import CallOutcome, Round, report_of
from mirt_sitniks.core.stages import Role
from mirt_sitniks.core.store import Claimed, Recorded, Report, ScanPage, Settled, StoreOptions, SyncStore
from mirt_sitniks.crm.answers import forbidden
from mirt_sitniks.crm.calls import ASK, Call, CreateNote, GetChat, ListChats, Page, SetStatus, UpdateChat, kind_of
from mirt_sitniks.crm.events import ListMessages
from mirt_sitniks.engine.asking import Asking
from mirt_sitniks.engine.gate import SETTLE, StoreGate
from mirt_sitniks.engine.lateness import Lateness
from mirt_sitniks.engine.managers import MISSED_FOR, ManagerList
from mirt_sitniks.errors import CallTimeout, CrmError, Forbidden, TooLarge
from mirt_sitniks.log import log

# How many tries outside a drive are kept for a store that is away.
UNTOLD = 1000
# Seconds for which a stage waits for what the CRM told before it: without it a chat may have to be looked for.
HEARING = 0.25

Job = Callable[[], Coroutine[Any, Any, CallOutcome]]


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
    unverifiable_until: float = -math.inf
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
        jobs, ready = self._jobs(claim, steps, granted, refused)
        outcomes = (*ready, *await asyncio.gather(*(job() for job in jobs[: len(claim.grants)])))
        late = self.is_late(granted) and any(one.sent for one in outcomes)
        return Round(claim, steps, outcomes, claim.now + self.clock() - granted, late)

    def _jobs(
        self, claim: Claim, steps: Sequence[Step], granted: float, refused: tuple[CallOutcome, ...]
    ) -> tuple[list[Job], list[CallOutcome]]:
        """What to send for a claim, and what is known without a call."""
        jobs: list[Job] = [partial(self._page, claim.scan, claim, granted)] if claim.scan else []
        ready = list(refused)
        if claim.ask:
            # Whether it is the key has to be known before anything else; a page of the scan tells as well.
            return jobs or [partial(self._ask, granted)], ready
        if claim.verify and not claim.known.rests("managers") and self.clock() >= self.unverifiable_until:
            return [partial(self._whose, steps, claim, granted)], ready
        met = [one.answer.step for one in ready if one.answer]
        for step in (one for one in steps if one not in met):
            role = claim.record.role if claim.record and _needs_managers(step, claim.record) else None
            who = self.managers.pick(role, claim.record.desired.manager.who) if claim.record and role else None
            assignee = who if isinstance(who, Assignee) else None
            if error := self._lacks_rule(step) or _known(step, who, role, claim.known):
                ready.append(CallOutcome(answer=Answer(step, None, error, claim.now, assignee, sent=False)))
                continue
            listed = who is not None or claim.known.rests("managers")
            if claim.record and claim.record.candidate and (read := self._call(step, None)):
                # Whose the chat is does not hang on who is responsible: that can be found out beside it.
                jobs.append(partial(self._step, step, read, None, claim, granted))
                jobs += [partial(self._managers, Find(), role, claim, granted)] if role and not listed else []
            elif role and not listed:
                jobs.append(partial(self._managers, step, role, claim, granted))
            elif call := self._call(step, assignee):
                jobs.append(partial(self._step, step, call, assignee, claim, granted))
        return jobs, ready

    def _lacks_rule(self, step: Step) -> CrmError | None:
        """Why a status cannot be written: another process knows its stage, this one does not."""
        if not isinstance(step, WriteStatus) or self.context.status_of(step.stage):
            return None
        text = f"the process {self.options.who} has no stage “{step.stage}”: add it to SITNIKS_STAGES there"
        return CrmError(text, code="unknown_status")

    def _call(self, step: Step, assignee: Assignee | None) -> Call | None:
        """The call that takes a step; None for a chat that is looked for, which is the scan's work."""
        match step:
            case WriteStatus(chat_id, stage):
                return SetStatus(chat_id, self.context.status_of(stage))
            case WriteManager(chat_id) if assignee:
                return UpdateChat(chat_id, assignee.id)
            case Read(chat_id):
                return GetChat(chat_id)
            case Listen(chat_id):
                return ListMessages(chat_id)
            case WriteNote(chat_id, note):
                return CreateNote(chat_id, note.text)
        return None

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

    async def _step(
        self, step: Step, call: Call, assignee: Assignee | None, claim: Claim, granted: float
    ) -> CallOutcome:
        answer = Answer(step, None, None, claim.now + self.clock() - granted, assignee)
        value, outcome = await self.send(call, granted)
        if not outcome.sent:
            return outcome
        brought = {"told": value.items} if isinstance(value, Page) else {"value": value}
        return replace(outcome, answer=replace(answer, error=outcome.error, **brought))

    async def _people(self, role: Role | None, granted: float) -> CallOutcome:
        """Read a page of managers, unless another drive has done it meanwhile; for `role`, or to know who they are."""
        async with self.managers.lock:
            if self.managers.pick(role) if role else self.managers.ids:
                return CallOutcome(managers=self.managers.ids)
            call = self.managers.call()
            page, outcome = await self.send(call, granted)
            if page:
                self.managers.learn(call, page)
            return replace(outcome, managers=self.managers.ids)

    async def _managers(self, step: Step, role: Role, claim: Claim, granted: float) -> CallOutcome:
        """Read a page of managers for a step; a failure counts as the step's."""
        outcome = await self._people(role, granted)
        if error := outcome.error:
            answer = None if isinstance(step, Find) else Answer(step, None, error, claim.now, sent=False)
            outcome = replace(outcome, answer=answer)
        return outcome.as_error(error) if isinstance(error, Forbidden) else outcome

    async def _whose(self, steps: Sequence[Step], claim: Claim, granted: float) -> CallOutcome:
        """List the people of a key that is new to its account. One that may not list them is taken at its word for a
        minute: what it may not do it cannot do wrong either."""
        outcome = await self._people(None, granted)
        error = outcome.error
        if outcome.meant or isinstance(error, Forbidden):
            self.unverifiable_until = self.clock() + MISSED_FOR
        elif error:
            failed = (Answer(one, None, error, claim.now, sent=False) for one in steps if not isinstance(one, Find))
            page = ScanPage(claim.scan, pause=self._pause(claim.scan)) if claim.scan else None
            outcome = replace(outcome, answer=next(failed, None), page=page)
        return outcome

    async def _ask(self, granted: float) -> CallOutcome:
        """Ask for the key alone."""
        return (await self.send(ASK, granted))[1]

    async def _page(self, scan: Scan, claim: Claim, granted: float) -> CallOutcome:
        sent_at, limit = claim.now + self.clock() - granted, claim.known.page_at(claim.now)
        call = ListChats(_date(scan.since), _date(scan.until), skip=scan.skip, limit=limit)
        page: Page[Chat] | None
        page, outcome = await self.send(call, granted)
        if error := outcome.error:
            at_once = error.code in ("rate_limited", *KEY_CODES) or (isinstance(error, TooLarge) and limit > PAGE_LEAST)
            return replace(outcome, page=ScanPage(scan, pause=0.0 if at_once else self._pause(scan)))
        if page is None:
            return outcome
        chats = tuple(replace(chat, seen_at=sent_at) for chat in page.items)
        names = any(chat.manager_id or chat.manager_name for chat in page.items)
        return replace(outcome, page=ScanPage(scan, chats, page.raw, page.total), names=names)

    def _pause(self, scan: Scan) -> float:
        """How long a scan rests after a page that could not be read."""
        return max(0.5, retry_delay(scan.failures + 1, self.random()))


def _needs_managers(step: Step, record: Record) -> bool:
    """Whether it matters to a step who shall be responsible: a look at a chat is often for the status alone."""
    seen = record.observed
    looks = isinstance(step, Read) and bool("manager" in stale(record) or seen.unconfirmed or seen.contradicted)
    # Whoever waits for a person has to know one whom it did not call.
    waits = isinstance(step, Read) and ticks(record) and record.desired.manager.who is not None
    return looks or waits or isinstance(step, Find | WriteManager)


def _known(step: Step, who: Assignee | NoManager | None, role: Role | None, known: Capabilities) -> CrmError | None:
    """Why a step needs no call: nobody can be assigned, or its kind of call, or the list of managers, is refused."""
    refusal = known.rests(KINDS.get(type(step), ""))
    if isinstance(step, WriteManager) and not refusal:
        if isinstance(who, NoManager):
            return CrmError(who.message, code=who.code)
        refusal = known.rests("managers") if role and who is None else None
    return Forbidden(refusal.message, code=refusal.code) if refusal else None


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
