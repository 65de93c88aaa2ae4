"""What an answer means for a record: the second half of the core, a pure function of record, step and answer."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from mirt_sitniks.core.backoff import KEY_CODES, SETTINGS_CODES, next_try, retry_delay
from mirt_sitniks.core.capabilities import KEPT, MISSING, Capabilities, Heard
from mirt_sitniks.core.folding import Answer, Folded, Folding, contradict, has_chat, took
from mirt_sitniks.core.looks import look_at_talk, looked, unread
from mirt_sitniks.core.people import FoldContext
from mirt_sitniks.core.plan import Listen, Read, WriteManager, WriteStatus
from mirt_sitniks.core.record import (
    Error,
    Observed,
    ObservedValue,
    Record,
    Unconfirmed,
    may_be_overwritten,
    pending,
    stale,
)
from mirt_sitniks.core.signs import gives_to, signs_of
from mirt_sitniks.core.stages import BUILT_IN
from mirt_sitniks.core.talk import Sign
from mirt_sitniks.errors import CrmError, Forbidden, NotApplied, NotFound, Refused

# For how long a hint is followed when the chat cannot be read.
HINTS = 3600.0


def fold(
    record: Record,
    answers: Iterable[Answer],
    context: FoldContext,
    *,
    now: float,
    random: float,
    known: Capabilities | None = None,
) -> Folded:
    """Fold the answers of steps that went out side by side.

    A write is confirmed by a 2xx that nothing contradicts; what is contradicted is looked at. A write whose fate is
    unknown is unconfirmed. The worst error decides when to try again; a lock of the key (429, 401, 403) is the key's
    affair and no failed attempt. `known` is what the account's answers have taught so far.
    """
    work = Folding(record, tuple(answers), context, known or Capabilities(), now, record.observed)
    if record.candidate:
        return _whose(work, random)
    if not pending(record) or any(isinstance(one.step, Listen) for one in work.answers):
        return _aside(work, random)
    for answer in work.answers:
        if isinstance(answer.error, NotApplied):
            contradict(work, answer, "own")
        elif answer.error:
            _failed(work, answer, answer.error)
        elif isinstance(answer.step, Read):
            looked(work, answer)
        else:
            _written(work, answer)
    if any(answer.sent and not isinstance(answer.step, Read) for answer in work.answers):
        work.observed = replace(work.observed, looked_gen=0)
    return Folded(_schedule(work, random), work.gone, tuple(work.heard), signs=tuple(work.signs), absent=work.absent)


def _aside(work: Folding, random: float) -> Folded:
    """A look that no stage waits for: it fails nothing, and ends when the chat cannot be read."""
    seen, answer = work.observed, next(iter(work.answers), None)
    if answer is None:
        return Folded(replace(seen, due_at=max(seen.due_at, work.now)))
    if isinstance(answer.step, Listen):
        return _listened(work, answer, random)
    if answer.error is None:
        looked(work, answer)
        return Folded(replace(work.observed, due_at=work.now), heard=tuple(work.heard), signs=tuple(work.signs))
    _hear_refusal(work, answer, answer.error)
    # What was told so long ago will be told again.
    if isinstance(answer.error, NotFound | Forbidden) or work.now > work.record.hinted_at + HINTS:
        return Folded(replace(seen, looked_at=work.now, due_at=work.now), heard=tuple(work.heard))
    return _later(work, answer.error, random)


def _listened(work: Folding, answer: Answer, random: float) -> Folded:
    """Who has written in the chat; of a chat whose messages cannot be read nobody knows."""
    error, known = answer.error, work.record.moved_at
    if error:
        _hear_refusal(work, answer, error)
        if not isinstance(error, NotFound | Forbidden) and work.now <= known + HINTS and not pending(work.record):
            return _later(work, error, random)
    else:
        work.heard.append(Heard(answer.kind, chat=work.record.chat_id))
    # A stage that rests meanwhile keeps its pace.
    seen = work.observed if pending(work.record) else replace(work.observed, due_at=work.now, attempt=0)
    return Folded(seen, heard=tuple(work.heard), heard_at=known, told=answer.told)


def _later(work: Folding, error: CrmError, random: float) -> Folded:
    """Nobody waits: it is tried again."""
    seen = work.observed
    pause = 0.0 if error.code in ("rate_limited", *KEY_CODES) else retry_delay(seen.attempt + 1, random)
    return Folded(replace(seen, due_at=work.now + pause, attempt=seen.attempt + 1), heard=tuple(work.heard))


def _whose(work: Folding, random: float) -> Folded:
    """The chat was read before its first write: whose it is the store decides, what it shows is where we begin."""
    answer = next((one for one in work.answers if isinstance(one.step, Read)), None)
    if answer is None:
        return Folded(work.observed)
    if isinstance(answer.error, NotFound | Forbidden):
        _hear_refusal(work, answer, answer.error)
        return Folded(replace(work.observed, due_at=work.now), gone=True, heard=tuple(work.heard))
    if answer.error:
        work.errors.append(_explain(work, answer, answer.error))
        return Folded(_schedule(work, random))
    shown, wanted = answer.value and replace(answer.value, seen_at=answer.sent_at), work.record.desired.status.value
    agrees = bool(shown and wanted and shown.status == work.context.status_of(wanted))
    return Folded(replace(work.observed, attempt=0, due_at=work.now), shown=shown, agrees=agrees)


# -------------------------------------------------------------------------------------------------------- good answers


def _written(work: Folding, answer: Answer) -> None:
    """A write's 2xx confirms it, unless a chat in an answer says otherwise.

    Of two writes side by side the one that was carried out last shows both values. If neither does, and one shows
    nothing of the other, that may be lost.
    """
    others = [one for one in work.answers if one is not answer and not one.error]
    if _shows(work, answer, answer) is False:
        return contradict(work, answer, "own")
    if any(_shows(work, one, answer) is False and not _came_before(work, one, answer) for one in others):
        return contradict(work, answer, "beside")
    _confirm(work, answer)
    if not others and isinstance(answer.step, WriteManager) and answer.value:
        _look_beside(work, answer, answer.value.status)
    return None


def _look_beside(work: Folding, answer: Answer, shown: str | None) -> None:
    """A manager's answer that shows another status than the confirmed one: a look decides what became of that."""
    seen = work.observed
    if shown and seen.status.gen and seen.status.gen == work.record.desired.status.gen and shown != seen.status.value:
        # Long after it was written ours was not lost beside this one: what was there before is there by a hand.
        lost = answer.sent_at - seen.seen_at <= work.context.landing_time
        contradicted = (*seen.contradicted, ("status", "beside"))
        work.observed = replace(seen, contradicted=contradicted, before=seen.before if lost else None)


def _shows(work: Folding, shown: Answer, asked: Answer) -> bool | None:
    """Whether the chat in the answer `shown` has the value that `asked` wrote; None when nothing can be said."""
    chat, step = shown.value, asked.step
    if chat is None or (shown is asked and work.known.shows_before(shown.kind, work.now)):
        return None
    if isinstance(step, WriteStatus):
        return None if chat.status is None else chat.status == work.context.status_of(step.stage)
    return has_chat(work, chat, asked.assignee) if asked.assignee else None


def _came_before(work: Folding, one: Answer, answer: Answer) -> bool:
    """Whether `answer` shows what `one` wrote, and it was not there already, as an earlier try may have put it."""
    seen, step = work.record.observed, one.step
    if seen.attempt or work.record.desired.generation > seen.status.gen + 1:
        return False
    if isinstance(step, WriteStatus):
        there = seen.status.value == work.context.status_of(step.stage)
    else:
        there = one.assignee is not None and seen.manager.value == one.assignee.id
    return _shows(work, answer, one) is True and not there


def _confirm(work: Folding, answer: Answer) -> None:
    step, seen = answer.step, work.observed
    if isinstance(step, WriteStatus):
        work.observed = took(work, seen, step.stage, step.gen, answer.sent_at)
        work.heard.append(Heard("status", chat=step.chat_id, value=work.context.status_of(step.stage)))
        work.signs.append(Sign("wrote", answer.sent_at, gives_to(work.context.rule_of(step.stage))))
        if answer.value and len(work.answers) == 1 and not work.known.shows_before(answer.kind, work.now):
            look_at_talk(work, answer.value, answer)
    elif isinstance(step, WriteManager) and answer.assignee:
        work.observed = replace(seen, manager=ObservedValue(answer.assignee.id, step.gen))
        work.heard.append(Heard("assign", chat=step.chat_id))
        who = work.record.desired.manager.value
        work.signs.append(Sign("put", work.now, who, id=str(answer.assignee.id)))
        if answer.value and not work.known.shows_before(answer.kind, work.now):
            work.signs += signs_of(answer.value, answer.sent_at, work.context)


# -------------------------------------------------------------------------------------------------------------- errors


def _failed(work: Folding, answer: Answer, error: CrmError) -> None:
    """A bad answer: the other field stands, and a write that may have been carried out all the same is unconfirmed."""
    _hear_refusal(work, answer, error)
    if isinstance(error, Forbidden) and isinstance(answer.step, Read):
        unread(work)
        return
    work.gone = work.gone or isinstance(error, NotFound)
    if error.unconfirmed and not isinstance(answer.step, Read):
        lost = work.observed.unconfirmed
        until = max(answer.sent_at + work.context.landing_time, lost.until if lost else 0.0)
        # Of several the first counts: a later one's landing says nothing of it.
        gen = lost.gen if lost else work.record.desired.generation
        work.observed = replace(work.observed, unconfirmed=Unconfirmed(gen, until))
    work.errors.append(_explain(work, answer, error))
    if work.errors[-1].code == "manager_not_found" and answer.assignee:
        work.absent = answer.assignee.id


def _hear_refusal(work: Folding, answer: Answer, error: CrmError) -> None:
    if isinstance(error, Forbidden) and answer.sent:
        said, chat = "missing" if error.status in MISSING else "refused", work.record.chat_id or work.record.candidate
        work.heard.append(Heard(answer.kind, said, chat, error.code, error.message))


def _explain(work: Folding, answer: Answer, error: CrmError) -> Error:
    """The error as the public list names it; what is not there is named with its setting.

    A chat that refuses every write, or a status that others take, is closed: the status is there all the same.
    """
    step, others = answer.step, [one for one in work.answers if one is not answer]
    if isinstance(error, Refused) and error.status in (400, 422):
        name: str = work.context.status_of(step.stage) if isinstance(step, WriteStatus) else ""
        all_refused = others and all(isinstance(one.error, Refused) for one in others)
        is_there = work.known.statuses.get(name, -1e9) > work.now - KEPT
        if error.code == "chat_refused" or all_refused or is_there:
            return Error("chat_refused", "Sitniks refuses to change this chat: open it again there, if it is closed")
        if error.code == "unknown_status" and isinstance(step, WriteStatus):
            own = f"write {step.stage}.status in SITNIKS_STAGES as it is there"
            cure = f"set SITNIKS_STATUS_{step.stage.upper()}" if step.stage in BUILT_IN else own
            return Error("unknown_status", f"Sitniks has no status “{name}”: create it there or {cure}")
    if error.code == "manager_not_found" and isinstance(step, WriteManager) and isinstance(error, Refused):
        who = f"manager {answer.assignee.id}" if answer.assignee else "the manager"
        cure = "check SITNIKS_AI_MANAGER_ID and SITNIKS_HUMAN_MANAGER_ID"
        return Error("manager_not_found", f"Sitniks refused {who}: {cure}")
    return Error(error.code, error.message)


def _schedule(work: Folding, random: float) -> Observed:
    observed, errors, now = work.observed, work.errors, work.now
    left = bool(stale(replace(work.record, observed=observed)) or observed.contradicted)
    failures = [error for error in errors if error.code not in ("rate_limited", *KEY_CODES)]
    locks = [error for error in errors if error not in failures]
    if not errors:
        lost = observed.unconfirmed
        pause = lost.until if lost and not left and may_be_overwritten(replace(work.record, observed=observed)) else now
        # A look between two tries of a write is no success.
        kept = observed if left else replace(observed, attempt=0, error=None)
        return replace(kept, due_at=max(now, pause))
    if work.gone:
        # Looked up again once: a chat that is gone twice in a row is given up until the next stage.
        again = observed.error is not None and observed.error.code == "chat_not_found"
        given_up = work.record.desired.generation if again else observed.given_up
        return replace(observed, error=failures[0] if failures else errors[0], given_up=given_up, due_at=now, attempt=0)
    # What may heal by itself decides the pace; a setting that is wrong must not slow the other field down,
    # nor a look that decides at once.
    if (locks or observed.contradicted) and all(error.code in SETTINGS_CODES for error in failures):
        return replace(observed, error=locks[0] if locks else observed.error, due_at=now)
    return _paced(work, observed, failures, random)


def _paced(work: Folding, observed: Observed, failures: Sequence[Error], random: float) -> Observed:
    error = min(failures, key=lambda one: one.code in SETTINGS_CODES)
    before = observed.error is not None and observed.error.code in SETTINGS_CODES
    attempt = observed.attempt + 1 if before is (error.code in SETTINGS_CODES) else 1
    delay = next_try(error, attempt, random)
    if delay is None:
        return replace(observed, error=error, attempt=attempt, given_up=work.record.desired.generation, due_at=work.now)
    return replace(observed, error=error, attempt=attempt, due_at=work.now + delay)
