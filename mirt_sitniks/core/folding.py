"""A fold under way, and what goes in and comes out of it: what good answers and looks have in common."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mirt_sitniks.core.capabilities import Capabilities, Heard
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.events import Message
from mirt_sitniks.core.managers import Assignee
from mirt_sitniks.core.people import FoldContext
from mirt_sitniks.core.plan import Listen, Read, Step, WriteManager, WriteNote, WriteStatus
from mirt_sitniks.core.record import Error, Observed, ObservedValue, Record
from mirt_sitniks.core.talk import Sign
from mirt_sitniks.errors import CrmError

KINDS: Mapping[type, str] = {
    Read: "read",
    Listen: "messages",
    WriteStatus: "status",
    WriteManager: "assign",
    WriteNote: "note",
}
"""The kind of call that each step needs."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one step: the CRM's value (for a write anything), or the error; `sent_at` is on the store's clock.

    `assignee` is who the manager step was about, `told` are the messages that were listened for. `sent`: a call was
    made; else it is known what it would bring.
    """

    step: Step
    value: Chat | None
    error: CrmError | None
    sent_at: float
    assignee: Assignee | None = None
    sent: bool = True
    told: tuple[Message, ...] = ()

    @property
    def kind(self) -> str:
        """The kind of call that the step needs."""
        return KINDS.get(type(self.step), "")


@dataclass(frozen=True, slots=True)
class Folded:
    """A record's new observed part; `gone` is set when the chat is no longer in the CRM, or may not be read by who has
    to know whose it is; `heard` is what its answers have said of kinds of call, `shown` the chat as it was read to know
    that, and `agrees` whether its status is as it shall be. `signs` tell who has the conversation. `absent` is a
    manager whom the CRM does not know. `heard_at` is until when its messages are known, of which `told` are the newest.
    """

    observed: Observed
    gone: bool = False
    heard: tuple[Heard, ...] = ()
    shown: Chat | None = None
    agrees: bool = False
    signs: tuple[Sign, ...] = ()
    heard_at: float | None = None
    told: tuple[Message, ...] = ()
    absent: int | None = None


@dataclass
class Folding:
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
    signs: list[Sign] = field(default_factory=list)
    absent: int | None = None


def has_chat(work: Folding, chat: Chat, assignee: Assignee) -> bool | None:
    """Whether a person has the chat; None when it does not tell, though the account's chats do as a rule."""
    nobody = chat.manager_id is None and chat.manager_name is None and work.now < work.known.names_until
    return False if nobody else assignee.shown_by(chat)


def took(work: Folding, seen: Observed, stage: str, gen: int, at: float) -> Observed:
    """The CRM has the status of `stage`."""
    status = work.context.status_of(stage)
    confirmed = seen.confirmed if stage in seen.confirmed else (*seen.confirmed, stage)
    before = seen.before if seen.status.value in (status, None) else str(seen.status.value)
    taken = ObservedValue(status, gen)
    at = max(at, seen.seen_at)
    return replace(seen, status=taken, seen_at=at, confirmed=confirmed, before=before, foreign_since=0.0)


def found(record: Record, seen: Observed, shown: str, gen: int, at: float) -> Observed:
    """The CRM shows a status that is none of ours: since when, at the earliest, does not change while it stays."""
    since = seen.foreign_since if shown == seen.status.value else 0.0
    value = ObservedValue(shown, gen)
    return replace(seen, status=value, seen_at=at, foreign_since=since or max(seen.seen_at, record.alike_at) or at)


def contradict(work: Folding, answer: Answer, why: str) -> None:
    """What an answer says contradicts what was written: a look decides."""
    name = "status" if isinstance(answer.step, WriteStatus) else "manager"
    work.observed = replace(work.observed, contradicted=(*work.observed.contradicted, (name, why)))
