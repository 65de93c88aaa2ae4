"""What an answer means for a record: the second half of the core, a pure function of record, step and answer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from mirt_sitniks.backoff import SETTINGS_CODES, next_try
from mirt_sitniks.errors import CrmError, NotFound, Refused
from mirt_sitniks.people import Person
from mirt_sitniks.plan import Read, Step, WriteManager, WriteStatus
from mirt_sitniks.record import Doubt, Error, Observed, Record, Seen, stale, unsettled
from mirt_sitniks.stages import Stage
from mirt_sitniks.wire import Chat


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one step: the CRM's value (for a write anything), or the error; `sent_at` is on the store's clock.

    `person` is who the manager step was about.
    """

    step: Step
    value: Chat | None
    error: CrmError | None
    sent_at: float
    person: Person | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What folding needs to know of the world: status names by stage, and how long a lost write can still land."""

    statuses: Mapping[Stage, str]
    late: float


@dataclass(frozen=True, slots=True)
class Folded:
    """A record's new observed part; `gone` is set when the chat is no longer in the CRM."""

    observed: Observed
    gone: bool = False


def fold(record: Record, answers: Iterable[Answer], rules: Rules, *, now: float, random: float) -> Folded:
    """Fold the answers of steps that went out side by side.

    A definite 2xx confirms the generation it was planned for. A write whose fate is unknown leaves a doubt. The worst
    error decides when to try again; a rest of the key (429, 401, 403) is the key's affair and no failed attempt.
    """
    observed, errors, gone = record.observed, [], False
    for answer in answers:
        if answer.error is None:
            observed = _success(record, observed, answer, rules)
        else:
            gone = gone or isinstance(answer.error, NotFound)
            observed = _doubt(observed, answer, rules)
            errors.append(_explain(answer, rules))
    return Folded(_schedule(replace(record, observed=observed), errors, gone, now, random), gone)


def _success(record: Record, observed: Observed, answer: Answer, rules: Rules) -> Observed:
    step = answer.step
    if isinstance(step, Read):
        return _read(record, observed, answer, rules) if answer.value else observed
    if isinstance(step, WriteStatus):
        observed = replace(observed, status=Seen(rules.statuses[step.stage], step.gen))
    elif isinstance(step, WriteManager) and answer.person:
        observed = replace(observed, manager=Seen(answer.person.id, step.gen))
    if observed.doubt and answer.sent_at >= observed.doubt.until:
        return replace(observed, doubt=None)
    return observed


def _read(record: Record, observed: Observed, answer: Answer, rules: Rules) -> Observed:
    """A chat read after the intent: what is as desired is confirmed, our own older value is to be written again.

    A status that is neither is a person's: it came after the write that is in doubt, and stays.
    """
    chat, want = answer.value, record.desired
    assert chat is not None
    landed = True
    if want.status.value:
        desired = rules.statuses[Stage(want.status.value)]
        ours = {*rules.statuses.values(), observed.status.value}
        if chat.status == desired or (chat.status and observed.status.value and chat.status not in ours):
            observed = replace(observed, status=Seen(chat.status, want.status.gen))
        else:
            landed = False
            observed = replace(observed, status=Seen(chat.status, min(observed.status.gen, want.status.gen - 1)))
    if want.manager.value and (person := answer.person):
        match = person.shown_by(chat)
        if match:
            observed = replace(observed, manager=Seen(person.id, want.manager.gen))
        elif match is False:
            landed = False
            observed = replace(observed, manager=replace(observed.manager, gen=want.manager.gen - 1))
        elif "manager" in stale(record):
            landed = False
    doubt = observed.doubt
    if doubt is None or answer.sent_at >= doubt.until or (landed and doubt.gen == want.generation):
        return replace(observed, doubt=None)
    return replace(observed, doubt=replace(doubt, looked=True))


def _doubt(observed: Observed, answer: Answer, rules: Rules) -> Observed:
    step, error = answer.step, answer.error
    if error is None or not error.unsure or not isinstance(step, WriteStatus | WriteManager):
        return observed
    return replace(observed, doubt=Doubt(step.gen, answer.sent_at + rules.late))


def _explain(answer: Answer, rules: Rules) -> Error:
    """The error as the public list names it; a refused status names the status and its setting."""
    error, step = answer.error, answer.step
    assert error is not None
    if isinstance(error, Refused) and isinstance(step, WriteStatus):
        name, setting = rules.statuses[step.stage], f"SITNIKS_STATUS_{step.stage.upper()}"
        return Error("unknown_status", f"Sitniks has no status “{name}”: create it there or set {setting}")
    if isinstance(error, Refused) and isinstance(step, WriteManager):
        who = f"manager {answer.person.id}" if answer.person else "the manager"
        cure = "check SITNIKS_AI_MANAGER_ID and SITNIKS_HUMAN_MANAGER_ID"
        return Error("manager_not_found", f"Sitniks refused {who}: {cure}")
    return Error("bad_response" if error.code == "refused" else error.code, error.message)


def _schedule(record: Record, errors: list[Error], gone: bool, now: float, random: float) -> Observed:
    observed = record.observed
    failures = [error for error in errors if error.code not in ("rate_limited", "unauthorized", "plan_required")]
    if not errors:
        rest = observed.doubt.until if observed.doubt and not stale(record) and unsettled(record) else now
        return replace(observed, attempt=0, error=None, due_at=rest)
    if gone:
        # Looked up again once: a chat that is gone twice in a row is given up until the next stage.
        again = observed.error is not None and observed.error.code == "chat_not_found"
        parked = record.desired.generation if again else observed.parked
        return replace(observed, error=failures[0] if failures else errors[0], parked=parked, due_at=now, attempt=0)
    if not failures:
        return replace(observed, error=errors[0], due_at=now)
    # What may heal by itself decides the pace; a setting that is wrong must not slow the other field down.
    error = min(failures, key=lambda one: one.code in SETTINGS_CODES)
    before = observed.error is not None and observed.error.code in SETTINGS_CODES
    attempt = observed.attempt + 1 if before is (error.code in SETTINGS_CODES) else 1
    delay = next_try(error, attempt, random)
    if delay is None:
        return replace(observed, error=error, attempt=attempt, parked=record.desired.generation, due_at=now)
    return replace(observed, error=error, attempt=attempt, due_at=now + delay)
