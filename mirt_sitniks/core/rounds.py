"""A round of calls side by side, and what it comes to: one list of outcomes, and pure readers of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mirt_sitniks.core.backoff import KEY_CODES, PROBE
from mirt_sitniks.core.fold import Answer, FoldContext, Folded, fold
from mirt_sitniks.core.plan import Step, WriteManager, WriteStatus
from mirt_sitniks.core.record import Claim, Error, Record
from mirt_sitniks.core.store import KeyVerdict, Report, ScanPage, Settlement
from mirt_sitniks.errors import CrmError

# How many calls the next round may send: status and manager, or a page of the scan and one of the managers.
SIDE_BY_SIDE = 2


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What became of a call that was due, or of a step that needed none.

    `sent` says whether a call went out, `unexplained` that it was refused and nobody knows yet whose affair that is. Of
    `answer` (to a step), `page` (of the scan), `managers` (the ids of all) and `error` it has what there is.
    """

    sent: bool = False
    answer: Answer | None = None
    page: ScanPage | None = None
    error: CrmError | None = None
    unexplained: bool = False
    managers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Round:
    """What was done for a claim. `now` is its end and `arrived` the latest moment at which its calls may have reached
    the CRM, when that is later than a grant may be used; both on the store's clock. `asked`: the key was asked for
    first.
    """

    claim: Claim
    steps: tuple[Step, ...]
    outcomes: tuple[CallOutcome, ...]
    now: float
    arrived: float | None = None
    asked: bool = False

    @property
    def answers(self) -> tuple[Answer, ...]:
        """The steps' answers."""
        return tuple(one.answer for one in self.outcomes if one.answer)

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
        return next((one.error for one in self.outcomes if one.page and one.error), None)

    @property
    def goes_on(self) -> bool:
        """Whether managers were listed, or the key was asked for: what that was for goes on at once."""
        silent = any(one.sent and not (one.answer or one.page or one.error) for one in self.outcomes)
        if any(one.managers for one in self.outcomes) and not self.answers:
            return True
        return (self.asked or silent) and len({one.step for one in self.answers}) < len(self.steps)


def report_of(done: Round, context: FoldContext, random: float) -> Report:
    """What the store is told of a round; `random` is in [0, 1)."""
    grants, late = done.claim.grants, done.arrived is not None
    return Report(
        record=_settlement(done, done.claim.record, context, random) if done.claim.record else None,
        page=done.page,
        key_verdict=key_verdict_of([one.error for one in done.outcomes if one.sent and not one.unexplained]),
        unused=grants[done.sent :],
        calls=SIDE_BY_SIDE,
        delayed=grants[: done.sent] if late else (),
        arrived=done.arrived or 0.0,
        managers=next((one.managers for one in done.outcomes if one.managers), ()),
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


def _settlement(done: Round, record: Record, context: FoldContext, random: float) -> Settlement:
    folded = _observed(done, record, context, random)
    writes = [one for one in done.answers if isinstance(one.step, WriteStatus | WriteManager)]
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
        unconfirmed_until=(done.now + context.landing_time if lost else done.now) if writes else None,
        keep=True,
    )


def _observed(done: Round, record: Record, context: FoldContext, random: float) -> Folded:
    """What is known of the chat after the round."""
    observed, now = record.observed, done.now
    folded = Folded(observed)
    if done.unread:
        # The scan paces itself; the record only tells why its chat is not found yet.
        observed = replace(observed, error=Error(done.unread.code, done.unread.message))
    if done.answers or not done.steps:
        folded = fold(record, done.answers, context, now=now, random=random)
        observed = folded.observed
    if done.goes_on and not folded.gone:
        observed = replace(observed, due_at=min(observed.due_at, now))
    if not done.steps and observed.due_at <= now:
        # Nothing to do although it is due: never spin on it.
        observed = replace(observed, due_at=now + 1.0)
    return replace(folded, observed=observed)
