"""What an answer means for a record: the second half of the core, a pure function of record, step and answer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from mirt_sitniks.core.backoff import SETTINGS_CODES, next_try
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.managers import Assignee
from mirt_sitniks.core.plan import Read, Step, WriteManager, WriteStatus
from mirt_sitniks.core.record import Error, Observed, ObservedValue, Record, Unconfirmed, may_be_overwritten, stale
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.errors import CrmError, Forbidden, NotFound, Refused


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one step: the CRM's value (for a write anything), or the error; `sent_at` is on the store's clock.

    `assignee` is who the manager step was about.
    """

    step: Step
    value: Chat | None
    error: CrmError | None
    sent_at: float
    assignee: Assignee | None = None


@dataclass(frozen=True, slots=True)
class FoldContext:
    """What folding needs to know of the world: status names by stage, and how long a lost write can still land."""

    statuses: Mapping[Stage, str]
    landing_time: float


@dataclass(frozen=True, slots=True)
class Folded:
    """A record's new observed part; `gone` is set when the chat is no longer in the CRM, or may not be read by who has
    to know whose it is. `shown`: the chat as it was read.
    """

    observed: Observed
    gone: bool = False
    shown: Chat | None = None


def fold(record: Record, answers: Iterable[Answer], context: FoldContext, *, now: float, random: float) -> Folded:
    """Fold the answers of steps that went out side by side.

    A definite 2xx confirms the generation it was planned for. A write whose fate is unknown is unconfirmed. The worst
    error decides when to try again; a lock of the key (429, 401, 403) is the key's affair and no failed attempt.
    """
    observed, errors, gone = record.observed, [], False
    answers = tuple(answers)
    if record.candidate:
        return _whose(record, answers, context, now, random)
    if any(isinstance(one.step, Read) and isinstance(one.error, Forbidden) for one in answers):
        return Folded(replace(_unread(record, context), due_at=now))
    for answer in answers:
        if answer.error is None:
            observed = _success(record, observed, answer, context)
        else:
            gone = gone or isinstance(answer.error, NotFound)
            observed = _unconfirmed(record, observed, answer, context)
            errors.append(_explain(answer, context))
    observed = _overwritten(record, observed, answers)
    return Folded(_schedule(replace(record, observed=observed), errors, gone, now, random), gone)


def _whose(record: Record, answers: tuple[Answer, ...], context: FoldContext, now: float, random: float) -> Folded:
    """The chat was read before its first write: whose it is the store decides, what it shows is where we begin."""
    answer = next((one for one in answers if isinstance(one.step, Read)), None)
    if answer is None:
        return Folded(record.observed)
    if isinstance(answer.error, NotFound | Forbidden):
        return Folded(replace(record.observed, due_at=now), gone=True)
    if answer.error:
        return Folded(_schedule(record, [_explain(answer, context)], False, now, random))
    shown = replace(answer.value, seen_at=answer.sent_at) if answer.value else None
    return Folded(replace(record.observed, attempt=0, due_at=now), shown=shown)


def _success(record: Record, observed: Observed, answer: Answer, context: FoldContext) -> Observed:
    step = answer.step
    if isinstance(step, Read):
        return _read(record, observed, answer, context) if answer.value else observed
    if isinstance(step, WriteStatus):
        observed = replace(observed, status=ObservedValue(context.statuses[step.stage], step.gen))
    elif isinstance(step, WriteManager) and answer.assignee:
        observed = replace(observed, manager=ObservedValue(answer.assignee.id, step.gen))
    return observed


def _read(record: Record, observed: Observed, answer: Answer, context: FoldContext) -> Observed:
    """A chat read after the intent: what is as desired is confirmed, our own older value is to be written again.

    A status that is neither is a person's: it came after the write that is unconfirmed, and stays. A field that had a
    definite answer is judged only when an older write may have come on top of it.
    """
    chat, desired, unconfirmed = answer.value, record.desired, observed.unconfirmed
    assert chat is not None
    older = unconfirmed is not None and unconfirmed.gen != desired.generation
    if desired.status.value:
        name = context.statuses[Stage(desired.status.value)]
        ours = {*context.statuses.values(), observed.status.value}
        if chat.status == name or (chat.status and observed.status.value and chat.status not in ours):
            observed = replace(observed, status=ObservedValue(chat.status, desired.status.gen))
        elif older or "status" in stale(record):
            observed = replace(
                observed, status=ObservedValue(chat.status, min(observed.status.gen, desired.status.gen - 1))
            )
    if desired.manager.value and (assignee := answer.assignee):
        if assignee.shown_by(chat):
            observed = replace(observed, manager=ObservedValue(assignee.id, desired.manager.gen))
        elif older or "manager" in stale(record):
            gen = min(observed.manager.gen, desired.manager.gen - 1)
            observed = replace(observed, manager=replace(observed.manager, gen=gen))
    if unconfirmed is None or answer.sent_at >= unconfirmed.until:
        return replace(observed, unconfirmed=None)
    # What it shows may have been there before: the write can still land, on top of the next stage.
    return replace(observed, unconfirmed=replace(unconfirmed, looked=True))


def _unread(record: Record, context: FoldContext) -> Observed:
    """The chat may not be read: what an older write may have spoiled is written again unseen, but for what a person
    set; with nothing to write it ends there."""
    observed, unconfirmed, desired = record.observed, record.observed.unconfirmed, record.desired
    status, manager = observed.status, observed.manager
    if (
        unconfirmed
        and desired.status.gen > unconfirmed.gen
        and status.value == context.statuses[Stage(desired.status.value or "")]
    ):
        status = replace(status, gen=min(status.gen, desired.status.gen - 1))
    if unconfirmed and desired.manager.gen > unconfirmed.gen:
        manager = replace(manager, gen=min(manager.gen, desired.manager.gen - 1))
    observed = replace(
        observed, status=status, manager=manager, unconfirmed=replace(unconfirmed, looked=True) if unconfirmed else None
    )
    return observed if stale(replace(record, observed=observed)) else replace(observed, unconfirmed=None)


def _unconfirmed(record: Record, observed: Observed, answer: Answer, context: FoldContext) -> Observed:
    step, error, before = answer.step, answer.error, record.observed.unconfirmed
    if error is None or not error.unconfirmed or not isinstance(step, WriteStatus | WriteManager):
        return observed
    until = max(answer.sent_at + context.landing_time, observed.unconfirmed.until if observed.unconfirmed else 0.0)
    if before and (before.until > answer.sent_at or before.gen != record.desired.generation):
        # Two writes are in the air, or an older one is still to be looked at: this one's landing says nothing of it.
        return replace(observed, unconfirmed=Unconfirmed(0, until))
    return replace(observed, unconfirmed=Unconfirmed(record.desired.generation, until))


def _overwritten(record: Record, observed: Observed, answers: tuple[Answer, ...]) -> Observed:
    """An unconfirmed write needs no look when it can no longer land and every field that it could have
    spoiled has been written since."""
    unconfirmed, desired = record.observed.unconfirmed, record.desired
    if unconfirmed is None or observed.unconfirmed != unconfirmed:
        return observed
    since = [one.step for one in answers if one.error is None and one.sent_at >= unconfirmed.until]
    status = desired.status.gen <= unconfirmed.gen or any(isinstance(step, WriteStatus) for step in since)
    manager = desired.manager.gen <= unconfirmed.gen or any(isinstance(step, WriteManager) for step in since)
    return replace(observed, unconfirmed=None) if since and status and manager else observed


def _explain(answer: Answer, context: FoldContext) -> Error:
    """The error as the public list names it; a status that is not there is named with its setting."""
    error, step = answer.error, answer.step
    assert error is not None
    if error.code == "unknown_status" and isinstance(step, WriteStatus):
        name, setting = context.statuses[step.stage], f"SITNIKS_STATUS_{step.stage.upper()}"
        return Error("unknown_status", f"Sitniks has no status “{name}”: create it there or set {setting}")
    if error.code == "manager_not_found" and isinstance(step, WriteManager) and isinstance(error, Refused):
        who = f"manager {answer.assignee.id}" if answer.assignee else "the manager"
        cure = "check SITNIKS_AI_MANAGER_ID and SITNIKS_HUMAN_MANAGER_ID"
        return Error("manager_not_found", f"Sitniks refused {who}: {cure}")
    return Error(error.code, error.message)


def _schedule(record: Record, errors: list[Error], gone: bool, now: float, random: float) -> Observed:
    observed = record.observed
    failures = [error for error in errors if error.code not in ("rate_limited", "unauthorized", "plan_required")]
    locks = [error for error in errors if error not in failures]
    if not errors:
        pause = (
            observed.unconfirmed.until
            if observed.unconfirmed and not stale(record) and may_be_overwritten(record)
            else now
        )
        return replace(observed, attempt=0, error=None, due_at=max(now, pause))
    if gone:
        # Looked up again once: a chat that is gone twice in a row is given up until the next stage.
        again = observed.error is not None and observed.error.code == "chat_not_found"
        given_up = record.desired.generation if again else observed.given_up
        return replace(observed, error=failures[0] if failures else errors[0], given_up=given_up, due_at=now, attempt=0)
    # What may heal by itself decides the pace; a setting that is wrong must not slow the other field down.
    if locks and all(error.code in SETTINGS_CODES for error in failures):
        return replace(observed, error=locks[0], due_at=now)
    error = min(failures, key=lambda one: one.code in SETTINGS_CODES)
    before = observed.error is not None and observed.error.code in SETTINGS_CODES
    attempt = observed.attempt + 1 if before is (error.code in SETTINGS_CODES) else 1
    delay = next_try(error, attempt, random)
    if delay is None:
        return replace(observed, error=error, attempt=attempt, given_up=record.desired.generation, due_at=now)
    return replace(observed, error=error, attempt=attempt, due_at=now + delay)
