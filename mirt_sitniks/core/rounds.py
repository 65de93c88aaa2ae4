"""A round of calls side by side, and what it comes to: one list of outcomes, and pure readers of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mirt_sitniks.core import noting
from mirt_sitniks.core.backoff import KEY_CODES, PROBE, SUSPECTED
from mirt_sitniks.core.capabilities import VOUCHED, Heard
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.fold import fold
from mirt_sitniks.core.folding import Answer, Folded
from mirt_sitniks.core.people import FoldContext
from mirt_sitniks.core.plan import Step, WriteManager, WriteStatus
from mirt_sitniks.core.record import Claim, Error, Note, Record, Try
from mirt_sitniks.core.store import KeyVerdict, Report, ScanPage, Settlement
from mirt_sitniks.errors import CrmError, Forbidden, TooLarge

# How many calls the next round may send: status and manager, or a page of the scan and one of the managers.
SIDE_BY_SIDE = 2


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What became of a call that was due, or of a step that needed none.

    `sent` says whether a call went out, `kind` of which kind it was. Of `answer` (to a step), `page` (of the scan),
    `managers` (the ids of all) and `error` it has what there is. `meant` is what a refusal means if the key is good.
    `names`: it shows who has a chat. `tried` is what the ledger is told of it.
    """

    sent: bool = False
    answer: Answer | None = None
    page: ScanPage | None = None
    error: CrmError | None = None
    kind: str = ""
    meant: Forbidden | None = None
    names: bool = False
    managers: tuple[int, ...] = ()
    tried: Try | None = None

    def as_error(self, error: CrmError | None) -> "CallOutcome":
        """The same call, with another meaning; whoever only wanted the managers for a look goes on without."""
        answer = self.answer
        if answer and self.kind == "managers" and not isinstance(answer.step, WriteManager):
            answer = None
        return replace(self, answer=replace(answer, error=error) if answer else None, error=error, meant=None)


@dataclass(frozen=True, slots=True)
class Round:
    """What was done for a claim. `now` is its end on the store's clock. `late`: its calls may have reached the CRM
    later than a grant may be used.
    """

    claim: Claim
    steps: tuple[Step, ...]
    outcomes: tuple[CallOutcome, ...]
    now: float
    late: bool = False

    @property
    def meanings(self) -> tuple[CallOutcome, ...]:
        """The outcomes, as far as they are explained: whose affair a refusal is.

        It is that kind of call's when any other that was sent no earlier was let in, or the key was asked for moments
        ago; and the key's when the list of chats is refused as well. When the list is in trouble, so is the call.
        """
        listed = next((one for one in self.outcomes if one.sent and one.kind == "list"), None)
        good = any(one.sent and not one.error for one in self.outcomes)
        good = good or self.now - self.claim.known.vouched_at < VOUCHED
        if listed and listed.error:
            key = listed.error.code in KEY_CODES
            return tuple(one if key or not one.meant else one.as_error(listed.error) for one in self.outcomes)
        explained = (one.as_error(one.meant) if one.meant else one for one in self.outcomes if good or not one.meant)
        return tuple(explained)

    @property
    def unexplained(self) -> tuple[CallOutcome, ...]:
        """The refusals of which nobody knows yet whose affair they are."""
        told = len(self.meanings) == len(self.outcomes)
        return () if told else tuple(replace(one, sent=False, tried=None) for one in self.outcomes if one.meant)

    @property
    def answers(self) -> tuple[Answer, ...]:
        """The steps' answers."""
        return tuple(one.answer for one in self.meanings if one.answer)

    @property
    def noted(self) -> tuple[Note, str]:
        """The note of the claim, and what became of it."""
        assert self.claim.note
        return noting.fate_of(self.claim.note, next(iter(self.answers), None))

    @property
    def sent(self) -> int:
        """How many calls went out."""
        return sum(1 for one in self.outcomes if one.sent)

    @property
    def page(self) -> ScanPage | None:
        """The page of the scan that was claimed; one that was not sent is still to be read."""
        found = next((one.page for one in self.outcomes if one.page), None)
        return found or (ScanPage(self.claim.scan, unsent=True) if self.claim.scan else None)

    @property
    def unread(self) -> CrmError | None:
        """Why the page could not be read."""
        found = next((one for one in self.outcomes if one.page and one.error), None)
        # A page that is too large is asked for in parts at once.
        smaller = found and found.page and isinstance(found.error, TooLarge) and not found.page.pause
        return found.error if found and not smaller else None

    @property
    def goes_on(self) -> bool:
        """Whether managers were listed, the key was asked for, or nothing was sent in time: the rest goes on."""
        silent = not self.sent or any(one.sent and not (one.answer or one.page or one.error) for one in self.outcomes)
        if any(one.managers for one in self.outcomes) and not self.answers:
            return True
        met = {one.step for one in self.answers}
        return (self.claim.ask or silent or bool(self.unexplained)) and not met.issuperset(self.steps)

    @property
    def heard(self) -> list[Heard]:
        """What the calls that belong to no step said of their kinds."""
        said = []
        for one in self.meanings:
            if one.kind == "managers" and isinstance(one.error, Forbidden):
                said.append(Heard(one.kind, "missing", code=one.error.code, message=one.error.message))
            elif one.kind == "managers" and not one.error:
                said.append(Heard(one.kind))
            elif isinstance(one.error, TooLarge) and one.kind == "list":
                said.append(Heard(one.kind, "too_large"))
            elif one.kind == "list" and one.sent and not one.error and not one.page:
                said.append(Heard(one.kind, "vouched"))
            if one.names:
                said.append(Heard(one.kind, "names"))
        return said


def report_of(done: Round, context: FoldContext, random: float) -> Report:
    """What the store is told of a round; `random` is in [0, 1)."""
    grants = done.claim.grants
    settlement, heard = None, done.heard
    if record := done.claim.record:
        folded = _folded(done, record, context, random)
        settlement, heard = _settlement(done, record, folded, context), [*heard, *folded.heard]
        if done.claim.note:
            note, fate = done.noted
            settlement = replace(settlement, note=note, noted=fate)
            heard += noting.heard_of(record.chat_id, next(iter(done.answers), None))
    return Report(
        record=settlement,
        page=done.page,
        key_verdict=_verdict(done),
        heard=tuple(heard),
        unused=grants[done.sent :],
        calls=SIDE_BY_SIDE,
        delayed=grants[: done.sent] if done.late else (),
        managers=next((one.managers for one in done.outcomes if one.managers), ()),
        tries=tuple(one.tried for one in done.outcomes if one.tried),
        basis=done.claim.basis,
    )


def key_verdict_of(errors: Sequence[CrmError | None]) -> KeyVerdict | None:
    """What answers say of the key, None for a good one; a refusal outweighs a good answer."""
    for error in errors:
        if error and error.code in KEY_CODES:
            return KeyVerdict(error.code, PROBE)
        if error and error.code == "rate_limited":
            return KeyVerdict(error.code, error.retry_after or 60.0)
    return KeyVerdict() if any(error is None for error in errors) else None


def _verdict(done: Round) -> KeyVerdict | None:
    """The same for a round; after a refusal that nothing explains the key is to be asked for."""
    said = key_verdict_of([one.error for one in done.outcomes if one.sent and not one.meant])
    return KeyVerdict(SUSPECTED) if done.unexplained and not (said and said.code) else said


def _settlement(done: Round, record: Record, folded: Folded, context: FoldContext) -> Settlement:
    writes = [one for one in done.answers if isinstance(one.step, WriteStatus | WriteManager) and one.sent]
    lost = any(one.error and one.error.unconfirmed for one in writes)
    return Settlement(
        session=record.session,
        token=record.token,
        generation=record.desired.generation,
        observed=folded.observed,
        unconfirmed=record.observed.unconfirmed,
        chat_id=record.chat_id,
        gone=folded.gone,
        shown=folded.shown,
        agrees=folded.agrees,
        signs=folded.signs,
        heard_at=folded.heard_at,
        last_message_at=next((one.value.last_message_at for one in done.answers if isinstance(one.value, Chat)), None),
        told=folded.told,
        absent=folded.absent,
        unconfirmed_until=(done.now + context.landing_time if lost else done.now) if writes else None,
    )


def _folded(done: Round, record: Record, context: FoldContext, random: float) -> Folded:
    """What is known of the chat after the round."""
    folded, now = Folded(record.observed), done.now
    if done.claim.note:
        note, fate = done.noted
        return replace(folded, observed=noting.paced(record.observed, note, fate, now, random))
    if done.unread:
        # The scan paces itself; the record only tells why its chat is not found yet.
        error = Error(done.unread.code, done.unread.message)
        folded = Folded(replace(record.observed, error=error))
    if done.answers or not done.steps:
        folded = fold(record, done.answers, context, now=now, random=random, known=done.claim.known)
    observed = folded.observed
    if done.goes_on and not folded.gone:
        # What has an answer does not speak for what has none yet.
        before = record.observed if done.answers else observed
        observed = replace(observed, due_at=min(observed.due_at, now), error=before.error, attempt=before.attempt)
    if not done.steps and observed.due_at <= now:
        # Nothing to do although it is due: never spin on it.
        observed = replace(observed, due_at=now + 1.0)
    return replace(folded, observed=observed)
