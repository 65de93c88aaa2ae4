"""What is sent for a claim: which steps need a call, which one that is, and what its answer says of the step."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

from mirt_sitniks.core.backoff import KEY_CODES, retry_delay
from mirt_sitniks.core.capabilities import PAGE_LEAST, Capabilities
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.folding import KINDS, Answer
from mirt_sitniks.core.managers import Assignee, NoManager
from mirt_sitniks.core.people import FoldContext
from mirt_sitniks.core.plan import Find, Listen, Read, Step, WriteManager, WriteNote, WriteStatus
from mirt_sitniks.core.record import Claim, Record, Scan, stale, ticks
from mirt_sitniks.core.rounds import CallOutcome
from mirt_sitniks.core.stages import Role
from mirt_sitniks.core.store import ScanPage, StoreOptions
from mirt_sitniks.crm.calls import ASK, Call, CreateNote, GetChat, ListChats, Page, SetStatus, UpdateChat
from mirt_sitniks.crm.events import ListMessages
from mirt_sitniks.engine.managers import ManagerList
from mirt_sitniks.errors import CrmError, Forbidden, TooLarge

Job = Callable[[], Coroutine[Any, Any, CallOutcome]]


class Sending(Protocol):
    """What a round needs of its driver."""

    options: StoreOptions
    context: FoldContext
    managers: ManagerList

    def clock(self) -> float: ...
    def random(self) -> float: ...
    async def send(self, call: Call, granted: float) -> tuple[Any, CallOutcome]: ...


@dataclass(frozen=True)
class Jobs:
    """The calls of one round of a claim; `granted` is when they were, on the driver's clock."""

    driver: Sending
    claim: Claim
    granted: float

    @property
    def now(self) -> float:
        """The store's time."""
        return self.claim.now + self.driver.clock() - self.granted

    def of(self, steps: Sequence[Step], refused: tuple[CallOutcome, ...]) -> tuple[Sequence[Job], list[CallOutcome]]:
        """What to send for the steps, and what is known without a call: `refused`, for example."""
        claim, record, ready = self.claim, self.claim.record, list(refused)
        jobs: list[Job] = [partial(self._page, claim.scan)] if claim.scan else []
        if claim.ask:
            # Whether it is the key has to be known before anything else; a page of the scan tells as well.
            return jobs or [self._ask], ready
        managers = self.driver.managers
        if claim.verify and not claim.known.rests("managers") and managers.can_be_listed:
            return [partial(self._whose, steps)], ready
        met = [one.answer.step for one in ready if one.answer]
        for step in (one for one in steps if one not in met):
            role = record.role if record and _needs_managers(step, record) else None
            who = managers.pick(role, record.desired.manager.who) if record and role else None
            assignee = who if isinstance(who, Assignee) else None
            if error := self._lacks_rule(step) or _known(step, who, role, claim.known):
                ready.append(CallOutcome(answer=Answer(step, None, error, claim.now, assignee, sent=False)))
                continue
            listed = who is not None or claim.known.rests("managers")
            if record and record.candidate and (read := self._call(step, None)):
                # Whose the chat is does not hang on who is responsible: that can be found out beside it.
                jobs.append(partial(self._step, step, read, None))
                jobs += [partial(self._managers, Find(), role)] if role and not listed else []
            elif role and not listed:
                jobs.append(partial(self._managers, step, role))
            elif call := self._call(step, assignee):
                jobs.append(partial(self._step, step, call, assignee))
        return jobs, ready

    def _lacks_rule(self, step: Step) -> CrmError | None:
        """Why a status cannot be written: another process knows its stage, this one does not."""
        if not isinstance(step, WriteStatus) or self.driver.context.status_of(step.stage):
            return None
        text = f"the process {self.driver.options.who} has no stage “{step.stage}”: add it to SITNIKS_STAGES there"
        return CrmError(text, code="unknown_status")

    def _call(self, step: Step, assignee: Assignee | None) -> Call | None:
        """The call that takes a step; None for a chat that is looked for, which is the scan's work."""
        match step:
            case WriteStatus(chat_id, stage):
                return SetStatus(chat_id, self.driver.context.status_of(stage))
            case WriteManager(chat_id) if assignee:
                return UpdateChat(chat_id, assignee.id)
            case Read(chat_id):
                return GetChat(chat_id)
            case Listen(chat_id):
                return ListMessages(chat_id)
            case WriteNote(chat_id, note):
                return CreateNote(chat_id, note.text)
        return None

    async def _send(self, call: Call) -> tuple[Any, CallOutcome]:
        return await self.driver.send(call, self.granted)

    async def _ask(self) -> CallOutcome:
        """Ask for the key alone."""
        return (await self._send(ASK))[1]

    async def _step(self, step: Step, call: Call, assignee: Assignee | None) -> CallOutcome:
        answer = Answer(step, None, None, self.now, assignee)
        value, outcome = await self._send(call)
        if not outcome.sent:
            return outcome
        brought = {"told": value.items} if isinstance(value, Page) else {"value": value}
        return replace(outcome, answer=replace(answer, error=outcome.error, **brought))

    async def _managers(self, step: Step, role: Role) -> CallOutcome:
        """Read a page of managers for a step; a failure counts as the step's."""
        outcome = await self.driver.managers.read(role, self._send)
        if error := outcome.error:
            answer = None if isinstance(step, Find) else Answer(step, None, error, self.claim.now, sent=False)
            outcome = replace(outcome, answer=answer)
        return outcome.as_error(error) if isinstance(error, Forbidden) else outcome

    async def _whose(self, steps: Sequence[Step]) -> CallOutcome:
        """List the people of a key that is new to its account. One that may not list them is taken at its word for a
        minute: what it may not do it cannot do wrong either."""
        claim = self.claim
        outcome = await self.driver.managers.read(None, self._send)
        error = outcome.error
        if outcome.meant or isinstance(error, Forbidden):
            self.driver.managers.refused()
        elif error:
            failed = (Answer(one, None, error, claim.now, sent=False) for one in steps if not isinstance(one, Find))
            page = ScanPage(claim.scan, pause=self._pause(claim.scan)) if claim.scan else None
            outcome = replace(outcome, answer=next(failed, None), page=page)
        return outcome

    async def _page(self, scan: Scan) -> CallOutcome:
        sent_at, limit = self.now, self.claim.known.page_at(self.claim.now)
        call = ListChats(_date(scan.since), _date(scan.until), skip=scan.skip, limit=limit)
        page: Page[Chat] | None
        page, outcome = await self._send(call)
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
        return max(0.5, retry_delay(scan.failures + 1, self.driver.random()))


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
