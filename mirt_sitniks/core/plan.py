"""Which calls a record needs: the first half of the core, a pure function of the record."""

from dataclasses import dataclass

from mirt_sitniks.core.record import Record, may_be_overwritten, pending, stale
from mirt_sitniks.core.stages import Stage


@dataclass(frozen=True, slots=True)
class Find:
    """The chat is not known yet."""


@dataclass(frozen=True, slots=True)
class Read:
    """A write's fate is unknown, or whose the chat is: see what the CRM shows."""

    chat_id: str


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """The status shall become that of `stage`, for generation `gen`."""

    chat_id: str
    stage: Stage
    gen: int


@dataclass(frozen=True, slots=True)
class WriteManager:
    """The record's role shall become responsible, for generation `gen`."""

    chat_id: str
    gen: int


Step = Find | Read | WriteStatus | WriteManager


def plan(record: Record, now: float) -> tuple[Step, ...]:
    """The steps that can be taken side by side now; none for a record that has converged, pauses or is closed.

    A field is written while its confirmed generation is behind the desired one. While a write of what is desired now is
    unconfirmed, the chat is read first. After an older one it is read once that write can no longer land.
    """
    seen, desired = record.observed, record.desired
    if not pending(record) or seen.due_at > now:
        return ()
    if record.chat_id is None:
        return (Read(record.candidate),) if record.candidate else (Find(),)
    fields = stale(record)
    if not fields and may_be_overwritten(record) and seen.unconfirmed is not None:
        return (Read(record.chat_id),) if now >= seen.unconfirmed.until else ()
    if seen.unconfirmed and not seen.unconfirmed.looked and seen.unconfirmed.gen == desired.generation:
        return (Read(record.chat_id),)
    steps: list[Step] = []
    if "status" in fields:
        steps.append(WriteStatus(record.chat_id, Stage(desired.status.value or ""), desired.status.gen))
    if "manager" in fields:
        steps.append(WriteManager(record.chat_id, desired.manager.gen))
    return tuple(steps)
