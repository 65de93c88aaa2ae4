"""Which calls a record needs: the first half of the core, a pure function of the record."""

from dataclasses import dataclass

from mirt_sitniks.core.backoff import SETTINGS_CODES
from mirt_sitniks.core.capabilities import Capabilities
from mirt_sitniks.core.people import FoldContext, looks_first
from mirt_sitniks.core.record import Claim, Note, Record, has_work, owes_look, owes_words, pending, stale, ticks

KINDS = {"status": "status", "manager": "assign"}
"""The kind of call that each field needs."""


@dataclass(frozen=True, slots=True)
class Find:
    """The chat is not known yet."""


@dataclass(frozen=True, slots=True)
class Read:
    """See what the CRM shows: whose the chat is, a write's fate, or whether a person has changed the chat."""

    chat_id: str


@dataclass(frozen=True, slots=True)
class Listen:
    """Read who has written in the chat."""

    chat_id: str


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """The status shall become that of `stage`, for generation `gen`."""

    chat_id: str
    stage: str
    gen: int


@dataclass(frozen=True, slots=True)
class WriteManager:
    """The record's role shall become responsible, for generation `gen`."""

    chat_id: str
    gen: int


@dataclass(frozen=True, slots=True)
class WriteNote:
    """A note is left in the chat."""

    chat_id: str
    note: Note


Step = Find | Read | Listen | WriteStatus | WriteManager | WriteNote


def steps_of(claim: Claim, context: FoldContext) -> tuple[Step, ...]:
    """What a claim is for: the note that came with it, or what the record needs now."""
    record = claim.record
    if record and claim.note:
        return (WriteNote(record.chat_id or "", claim.note),)
    return plan(record, claim.now, context, claim.known) if record else ()


def plan(record: Record, now: float, context: FoldContext, known: Capabilities | None = None) -> tuple[Step, ...]:
    """The steps that can be taken side by side now; none for a record that has converged, pauses or is closed.

    A field is written while its confirmed generation is behind the desired one, after a look at the chat where one is
    needed. An older write that is unconfirmed is looked for once it can no longer land. What is `known` not to work is
    not prepared.
    """
    seen, desired = record.observed, record.desired
    if listens(record, now):
        return (Listen(record.chat_id or ""),)
    if not has_work(record) or seen.due_at > now:
        return ()
    if not pending(record):
        chat_id = record.chat_id or ""
        return (Read(chat_id),) if owes_look(record) else (Listen(chat_id),) if owes_words(record) else ()
    if record.chat_id is None:
        return (Read(record.candidate),) if record.candidate else (Find(),)
    fields = stale(record)
    if not fields and seen.unconfirmed and not seen.contradicted:
        return (Read(record.chat_id),) if now >= seen.unconfirmed.until else ()
    known = known or Capabilities()
    rests = is_stuck(record) or all(known.rests(KINDS[name]) for name in fields)
    if looks_first(record, now, context, may_set=not known.rests("status")) or (rests and owes_look(record)):
        return (Read(record.chat_id),)
    steps: list[Step] = []
    if "status" in fields:
        steps.append(WriteStatus(record.chat_id, desired.status.value or "", desired.status.gen))
    if "manager" in fields:
        steps.append(WriteManager(record.chat_id, desired.manager.gen))
    return tuple(steps)


def is_stuck(record: Record) -> bool:
    """Whether all that is left is somebody who cannot be made responsible until a person mends the cause."""
    error = record.observed.error
    return pending(record) and stale(record) == ("manager",) and error is not None and error.code in SETTINGS_CODES


def listens(record: Record, now: float) -> bool:
    """Whether the messages are read while that rests, because a clock wants to know."""
    due = record.clock.due if ticks(record) and record.clock else 0.0
    return 0 < due <= now < record.observed.due_at and is_stuck(record) and owes_words(record)
