"""What an answer means for a record: the second half of the core, a pure function of record, step and answer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from mirt_sitniks.core.backoff import KEY_CODES, SETTINGS_CODES, next_try
from mirt_sitniks.core.capabilities import KEPT, Capabilities, Heard
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.managers import Assignee
from mirt_sitniks.core.people import FoldContext, is_persons, ours
from mirt_sitniks.core.plan import Read, Step, WriteManager, WriteStatus
from mirt_sitniks.core.record import Error, Observed, ObservedValue, Record, Unconfirmed, may_be_overwritten, stale
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.errors import CrmError, Forbidden, NotApplied, NotFound, Refused

# A call that the CRM does not have at all.
MISSING = (404, 405, 501)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one step: the CRM's value (for a write anything), or the error; `sent_at` is on the store's clock.

    `assignee` is who the manager step was about. `sent`: a call was made; else it is known what it would bring.
    """

    step: Step
    value: Chat | None
    error: CrmError | None
    sent_at: float
    assignee: Assignee | None = None
    sent: bool = True

    @property
    def kind(self) -> str:
        """The kind of call that the step needs."""
        return {Read: "read", WriteStatus: "status", WriteManager: "assign"}.get(type(self.step), "")


@dataclass(frozen=True, slots=True)
class Folded:
    """A record's new observed part; `gone` is set when the chat is no longer in the CRM, or may not be read by who has
    to know whose it is; `heard` is what its answers have said of kinds of call, `shown` the chat as it was read to know
    that, and `agrees` the fields that it shows as they shall be.
    """

    observed: Observed
    gone: bool = False
    heard: tuple[Heard, ...] = ()
    shown: Chat | None = None
    agrees: tuple[str, ...] = ()


@dataclass
class _Folding:
    """A fold under way: what is known so far."""

    record: Record
    answers: tuple[Answer, ...]
    context: FoldContext
    known: Capabilities
    now: float
    observed: Observed
    errors: list[Error] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    gone: bool = False


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
    work = _Folding(record, tuple(answers), context, known or Capabilities(), now, record.observed)
    if record.candidate:
        return _whose(work, random)
    for answer in work.answers:
        if isinstance(answer.error, NotApplied):
            _doubt(work, answer, "own")
        elif answer.error:
            _failed(work, answer, answer.error)
        elif isinstance(answer.step, Read):
            _looked(work, answer)
        else:
            _written(work, answer)
    if any(answer.sent and not isinstance(answer.step, Read) for answer in work.answers):
        work.observed = replace(work.observed, looked_gen=0)
    return Folded(_schedule(work, random), work.gone, tuple(work.heard))


def _whose(work: _Folding, random: float) -> Folded:
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
    agrees = ("status",) if shown and wanted and shown.status == work.context.statuses[Stage(wanted)] else ()
    return Folded(replace(work.observed, attempt=0, due_at=work.now), shown=shown, agrees=agrees)


# -------------------------------------------------------------------------------------------------------- good answers


def _written(work: _Folding, answer: Answer) -> None:
    """A write's 2xx confirms it, unless a chat in an answer says otherwise.

    Of two writes side by side the one that was carried out last shows both values. If neither does, and one shows
    nothing of the other, that may be lost.
    """
    others = [one for one in work.answers if one is not answer and not one.error]
    if _shows(work, answer, answer) is False:
        return _doubt(work, answer, "own")
    if any(_shows(work, one, answer) is False and not _came_before(work, one, answer) for one in others):
        return _doubt(work, answer, "beside")
    _confirm(work, answer)
    if not others and isinstance(answer.step, WriteManager) and answer.value:
        status, shown = work.observed.status, answer.value.status
        if shown and status.gen and status.gen == work.record.desired.status.gen and shown != status.value:
            work.observed = replace(work.observed, doubts=(*work.observed.doubts, ("status", "beside")))
    return None


def _shows(work: _Folding, shown: Answer, asked: Answer) -> bool | None:
    """Whether the chat in the answer `shown` has the value that `asked` wrote; None when nothing can be said."""
    chat, step = shown.value, asked.step
    if chat is None or (shown is asked and shown.kind in work.known.before):
        return None
    if isinstance(step, WriteStatus):
        return None if chat.status is None else chat.status == work.context.statuses[step.stage]
    return _has(work, chat, asked.assignee) if asked.assignee else None


def _has(work: _Folding, chat: Chat, assignee: Assignee) -> bool | None:
    """Whether a person has the chat; None when it does not tell, though the account's chats do as a rule."""
    nobody = chat.manager_id is None and chat.manager_name is None and work.now < work.known.names_until
    return False if nobody else assignee.shown_by(chat)


def _came_before(work: _Folding, one: Answer, answer: Answer) -> bool:
    """Whether `answer` shows what `one` wrote, and it was not there already, as an earlier try may have put it."""
    seen, step = work.record.observed, one.step
    if seen.attempt or work.record.desired.generation > seen.status.gen + 1:
        return False
    if isinstance(step, WriteStatus):
        there = seen.status.value == work.context.statuses[step.stage]
    else:
        there = one.assignee is not None and seen.manager.value == one.assignee.id
    return _shows(work, answer, one) is True and not there


def _confirm(work: _Folding, answer: Answer) -> None:
    step, seen = answer.step, work.observed
    if isinstance(step, WriteStatus):
        work.observed = _took(work, seen, step.stage, step.gen, answer.sent_at)
        work.heard.append(Heard("status", chat=step.chat_id, value=work.context.statuses[step.stage]))
    elif isinstance(step, WriteManager) and answer.assignee:
        work.observed = replace(seen, manager=ObservedValue(answer.assignee.id, step.gen))
        work.heard.append(Heard("assign", chat=step.chat_id))


def _took(work: _Folding, seen: Observed, stage: Stage, gen: int, at: float) -> Observed:
    """The CRM has the status of `stage`."""
    status = work.context.statuses[stage]
    confirmed = seen.confirmed if stage in seen.confirmed else (*seen.confirmed, stage.value)
    before = seen.before if seen.status.value in (status, None) else str(seen.status.value)
    taken = ObservedValue(status, gen)
    return replace(seen, status=taken, seen_at=max(at, seen.seen_at), confirmed=confirmed, before=before)


def _doubt(work: _Folding, answer: Answer, why: str) -> None:
    name = "status" if isinstance(answer.step, WriteStatus) else "manager"
    work.observed = replace(work.observed, doubts=(*work.observed.doubts, (name, why)))


# ----------------------------------------------------------------------------------------------------- looks at a chat


def _looked(work: _Folding, answer: Answer) -> None:
    """A chat read after the intent, and after all answers to what was written."""
    work.heard.append(Heard("read", chat=answer.value.id if answer.value else None))
    unconfirmed, doubts, sent_at = work.observed.unconfirmed, work.observed.doubts, answer.sent_at
    if answer.value and (answer.value.manager_id or answer.value.manager_name):
        work.heard.append(Heard("read", "names"))
    if answer.value and work.record.desired.status.value:
        _look_at_status(work, answer.value, sent_at)
    if answer.value and answer.assignee and work.record.desired.manager.value:
        _look_at_manager(work, answer.value, answer.assignee, sent_at)
    if unconfirmed and sent_at >= unconfirmed.until:
        unconfirmed = None
    if [why for _, why in doubts] == ["own", "own"] and len(stale(replace(work.record, observed=work.observed))) == 1:
        # Both were answered as if nothing was done, and one was: the other is written again, alone.
        work.errors.clear()
        work.heard = [one for one in work.heard if one.said != "refused"] + [Heard("status", "crossed")]
    # What it shows may have been there before: until then a lost write can still land, on top of the next stage.
    generation = work.record.desired.generation
    work.observed = replace(work.observed, unconfirmed=unconfirmed, doubts=(), looked_gen=generation, looked_at=sent_at)


def _look_at_status(work: _Folding, chat: Chat, at: float) -> None:
    """What is as desired is confirmed, a person's status stays; any other was there before, and is written over.

    A status that had a definite answer is judged only when an older write may have come on top of it.
    """
    record, seen, desired = work.record, work.observed, work.record.desired.status
    shown, doubt = chat.status, dict(seen.doubts).get("status")
    stage = Stage(desired.value or "")
    name = work.context.statuses[stage]
    if shown == name:
        if doubt == "own":
            work.heard.append(Heard("status", "before"))
        work.observed = _took(work, seen, stage, desired.gen, at)
        work.heard.append(Heard("read", value=name))
        return
    if is_persons(record, chat, at, work.context):
        work.observed = replace(seen, status=ObservedValue(shown, desired.gen), seen_at=at)
        return
    if seen.doubts or "status" in stale(record) or may_be_overwritten(record):
        before = shown is None or shown in ours(record, work.context)
        gen = min(seen.status.gen, desired.gen - 1) if before else 0
        seen = replace(seen, status=ObservedValue(shown or seen.status.value, gen))
        work.observed = replace(seen, seen_at=at) if shown else seen
    if doubt == "own":
        _refused_by(work, "status", f"Sitniks takes the status “{name}” with 200 and does not set it")
    elif seen.doubts:
        work.heard.append(Heard("status", "crossed"))


def _look_at_manager(work: _Folding, chat: Chat, assignee: Assignee, at: float) -> None:
    """Whoever is as desired is confirmed; somebody else stays with a person's status, and is written over without."""
    record, seen, desired = work.record, work.observed, work.record.desired.manager
    shown, doubt = _has(work, chat, assignee), dict(seen.doubts).get("manager")
    if shown or (shown is None and doubt):
        if doubt == "own":
            work.heard.append(Heard("assign", "before"))
        work.observed = replace(seen, manager=ObservedValue(assignee.id, desired.gen))
    elif shown is False and (chat.manager_id or chat.manager_name) and is_persons(record, chat, at, work.context):
        work.observed = replace(seen, manager=ObservedValue(chat.manager_id, desired.gen))
    elif doubt or "manager" in stale(record) or may_be_overwritten(record):
        work.observed = replace(seen, manager=replace(seen.manager, gen=min(seen.manager.gen, desired.gen - 1)))
        if doubt == "own":
            _refused_by(work, "assign", "Sitniks takes the manager with 200 and does not assign him")
        elif doubt:
            work.heard.append(Heard("assign", "crossed"))


def _refused_by(work: _Folding, kind: str, what: str) -> None:
    """A write that was answered well and has changed nothing."""
    error = Error("not_applied", f"{what}: give the key this right there, or ask Sitniks' support")
    work.errors.append(error)
    work.heard.append(Heard(kind, "refused", work.record.chat_id, error.code, error.message))


def _unread(work: _Folding) -> None:
    """The chat may not be read: what an older write may have spoiled is written again unseen, but for what a person
    set; so is what an answer contradicted, at leisure."""
    record, seen, unconfirmed, desired = work.record, work.observed, work.observed.unconfirmed, work.record.desired
    for name, why in seen.doubts:
        if why == "own":
            kind, what = ("status", "status") if name == "status" else ("assign", "manager")
            _refused_by(work, kind, f"Sitniks takes the {what} with 200, shows another, and may not be asked for it")
        else:
            work.heard.append(Heard("status", "crossed"))
    status, manager = seen.status, seen.manager
    wanted = work.context.statuses[Stage(desired.status.value)] if desired.status.value else None
    if unconfirmed and not stale(record):
        if desired.status.gen > unconfirmed.gen and status.value == wanted:
            status = replace(status, gen=min(status.gen, desired.status.gen - 1))
        if desired.manager.gen > unconfirmed.gen:
            manager = replace(manager, gen=min(manager.gen, desired.manager.gen - 1))
        unconfirmed = None
    if ("status", "beside") in seen.doubts:
        status = replace(status, gen=min(status.gen, desired.status.gen - 1))
    work.observed = replace(
        seen,
        status=status,
        manager=manager,
        unconfirmed=unconfirmed,
        doubts=(),
        looked_gen=desired.generation,
        looked_at=work.now,
    )


# -------------------------------------------------------------------------------------------------------------- errors


def _failed(work: _Folding, answer: Answer, error: CrmError) -> None:
    """A bad answer: the other field stands, and a write that may have been carried out all the same is unconfirmed."""
    _hear_refusal(work, answer, error)
    if isinstance(error, Forbidden) and isinstance(answer.step, Read):
        _unread(work)
        return
    work.gone = work.gone or isinstance(error, NotFound)
    if error.unconfirmed and not isinstance(answer.step, Read):
        lost = work.observed.unconfirmed
        until = max(answer.sent_at + work.context.landing_time, lost.until if lost else 0.0)
        # Of several the first counts: a later one's landing says nothing of it.
        gen = lost.gen if lost else work.record.desired.generation
        work.observed = replace(work.observed, unconfirmed=Unconfirmed(gen, until))
    work.errors.append(_explain(work, answer, error))


def _hear_refusal(work: _Folding, answer: Answer, error: CrmError) -> None:
    if isinstance(error, Forbidden) and answer.sent:
        said, chat = "missing" if error.status in MISSING else "refused", work.record.chat_id or work.record.candidate
        work.heard.append(Heard(answer.kind, said, chat, error.code, error.message))


def _explain(work: _Folding, answer: Answer, error: CrmError) -> Error:
    """The error as the public list names it; what is not there is named with its setting.

    A chat that refuses every write, or a status that others take, is closed: the status is there all the same.
    """
    step, others = answer.step, [one for one in work.answers if one is not answer]
    if isinstance(error, Refused) and error.status in (400, 422):
        name: str = work.context.statuses[step.stage] if isinstance(step, WriteStatus) else ""
        all_refused = others and all(isinstance(one.error, Refused) for one in others)
        is_there = work.known.statuses.get(name, -1e9) > work.now - KEPT
        if error.code == "chat_refused" or all_refused or is_there:
            return Error("chat_refused", "Sitniks refuses to change this chat: open it again there, if it is closed")
        if error.code == "unknown_status" and isinstance(step, WriteStatus):
            cure = f"create it there or set SITNIKS_STATUS_{step.stage.upper()}"
            return Error("unknown_status", f"Sitniks has no status “{name}”: {cure}")
    if error.code == "manager_not_found" and isinstance(step, WriteManager) and isinstance(error, Refused):
        who = f"manager {answer.assignee.id}" if answer.assignee else "the manager"
        cure = "check SITNIKS_AI_MANAGER_ID and SITNIKS_HUMAN_MANAGER_ID"
        return Error("manager_not_found", f"Sitniks refused {who}: {cure}")
    return Error(error.code, error.message)


def _schedule(work: _Folding, random: float) -> Observed:
    observed, errors, now = work.observed, work.errors, work.now
    left = bool(stale(replace(work.record, observed=observed)) or observed.doubts)
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
    # What may heal by itself decides the pace; a setting that is wrong must not slow the other field down.
    if locks and all(error.code in SETTINGS_CODES for error in failures):
        return replace(observed, error=locks[0], due_at=now)
    if observed.doubts and all(error.code in SETTINGS_CODES for error in failures):
        return replace(observed, due_at=now)
    return _paced(work, observed, failures, random)


def _paced(work: _Folding, observed: Observed, failures: Sequence[Error], random: float) -> Observed:
    error = min(failures, key=lambda one: one.code in SETTINGS_CODES)
    before = observed.error is not None and observed.error.code in SETTINGS_CODES
    attempt = observed.attempt + 1 if before is (error.code in SETTINGS_CODES) else 1
    delay = next_try(error, attempt, random)
    if delay is None:
        return replace(observed, error=error, attempt=attempt, given_up=work.record.desired.generation, due_at=work.now)
    return replace(observed, error=error, attempt=attempt, due_at=work.now + delay)
