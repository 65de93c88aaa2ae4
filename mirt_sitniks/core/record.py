"""The record of one session: what its chat shall show, and what the CRM has confirmed.

`Desired` is written by recording an intent, `Observed` by whoever holds the lease; neither writes the other's part. All
times are seconds. Due times, leases and unconfirmed writes are on the store's clock, `asked_at` and `search_since` on
the wall's, because they become dates in a request.
"""

from dataclasses import dataclass, field

from mirt_sitniks.core.capabilities import Capabilities
from mirt_sitniks.core.clock import Clock
from mirt_sitniks.core.stages import Role
from mirt_sitniks.core.talk import Talk
from mirt_sitniks.core.voices import Voices


@dataclass(frozen=True, slots=True)
class DesiredValue:
    """A desired value (a stage for the status, a `Role` for the manager), the generation that asked for it, and when
    it was asked for, on the store's clock. `rank` is 0 for a first touch, which takes back nothing of a later stage's.
    `who`, of a manager: the live one whose turn it was when a person was first wanted; he keeps the session.
    """

    value: str | None = None
    gen: int = 0
    asked_at: float = 0.0
    rank: int = 0
    who: int | None = None


@dataclass(frozen=True, slots=True)
class ObservedValue:
    """A value the CRM has, as last known, and the generation for which it was confirmed (0: only seen)."""

    value: str | int | None = None
    gen: int = 0


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """Writes whose fate is unknown; they can still land until `until`.

    `gen` is the record's generation when the first of them was sent, 0 for one of somebody else's.
    """

    # By it a look after a lost status leaves a manager whom a person has set, and a confirmed repeat needs no look.
    gen: int
    until: float


@dataclass(frozen=True, slots=True)
class Error:
    """Why the record is not where it shall be: a code of the public list and a line with the cure."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Try:
    """One call that went out: its `kind`, how many `seconds` it took, and what was wrong with it.

    `code` is that of its error, `status` the HTTP status of the answer that brought it: both None for a good answer, no
    `status` for one that never came. `for_all`: it was made for no session's sake, or for nobody's in particular. What
    was not sent is no try.
    """

    kind: str
    seconds: float
    status: int | None = None
    code: str | None = None
    for_all: bool = False


@dataclass(frozen=True, slots=True)
class Intent:
    """One stage of one session, as a node asks for it.

    `key` makes it one event however often it is recorded; `also` is a second one, and either of them is enough.
    `chat_id` is what the host knows, or remembers of an earlier sync. `reason` is kept in the ledger, and with the
    customer's last `words` in a note until that is sent. `asked_at` is when it was asked for: on the clock of who asks
    until it is recorded, on the store's from then on; None: `waited` seconds before the store hears of it. `written` is
    the status that the CRM has confirmed on `chat_id` before this is recorded, `sent` how many calls that took, of
    which `tries` have ended, and for `landing` seconds one without an answer may still land there: the store was away.
    """

    session: str
    stage: str
    key: str
    instagram: str | None = None
    telegram: str | None = None
    chat_id: str | None = None
    reason: str | None = None
    also: str | None = None
    asked_at: float | None = None
    waited: float = 0.0
    written: str | None = None
    sent: int = 0
    landing: float = 0.0
    tries: tuple[Try, ...] = ()
    words: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Note:
    """A note that an intent (by its key) leaves in the chat for the stage of generation `gen`, at most once.

    It makes sense `until` then, and has been tried `tries` times.
    """

    gen: int
    stage: str
    intent: str
    text: str = field(repr=False)
    until: float = 0.0
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Desired:
    """The newest generation's intent, and what all together ask for; a field has its own generation and time.

    `stages` are all that this session has asked for, `began_at` is when the first was (wall clock).
    """

    generation: int = 0
    stage: str | None = None
    intent: str | None = None
    order: int = 0
    asked_at: float = 0.0
    status: DesiredValue = DesiredValue()
    manager: DesiredValue = DesiredValue()
    stages: tuple[str, ...] = ()
    began_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Observed:
    """What the holder of the lease learned.

    `given_up` is the generation that was given up (a newer intent starts anew). `attempt` counts failures in a row.
    `due_at` is when the next call may be made. `seen_at` is when the CRM last told the status, or took ours;
    `confirmed` are the stages whose status it took. `contradicted` are fields whose write was answered well, by an
    answer that contradicts it: each is a field and whether that answer was its own (`own`) or of a write beside it
    (`beside`). `looked_gen` and `looked_at`: for which generation, and when, the chat was read since the last
    write. `before` is the status that it had before it took ours. `foreign_since` is when it may have got the one that
    it shows and that is none of ours, at the earliest.
    """

    status: ObservedValue = ObservedValue()
    manager: ObservedValue = ObservedValue()
    unconfirmed: Unconfirmed | None = None
    given_up: int = 0
    attempt: int = 0
    due_at: float = 0.0
    error: Error | None = None
    seen_at: float = 0.0
    confirmed: tuple[str, ...] = ()
    contradicted: tuple[tuple[str, str], ...] = ()
    looked_gen: int = 0
    looked_at: float = 0.0
    before: str | None = None
    foreign_since: float = 0.0


@dataclass(frozen=True, slots=True)
class Record:
    """One session. `token` rises with every lease; `closed` says why nothing will be done any more.

    `chat_id` is the session's own chat. `candidate` may be it, and is read first; `said`: by the host's word.
    `prove_since`: what the CRM showed before that (store's clock) proves nothing. `search_since` is set while the chat
    is looked for, and when that was given up. `talk` is who has the conversation. `hinted_at` is when something was
    told that differs from what is known of the chat, `alike_at` when it was last told to be as it is known, but for an
    hour. `voices` is what was said and heard in it. `moved_at` is the time of the last message that a list has told of,
    `heard_at` until when the messages were read. `notes` are those that are still to be left. `clock` runs while a
    person is waited for.
    """

    session: str
    instagram: str | None = None
    telegram: str | None = None
    chat_id: str | None = None
    desired: Desired = Desired()
    observed: Observed = Observed()
    first_touch_at: float | None = None
    search_since: float | None = None
    search_attempt: int = 0
    urgent_at: float = 0.0
    token: int = 0
    lease_until: float = 0.0
    closed: str | None = None
    candidate: str | None = None
    said: bool = False
    prove_since: float = 0.0
    talk: Talk = field(default_factory=Talk)
    hinted_at: float = 0.0
    alike_at: float = 0.0
    moved_at: float = 0.0
    heard_at: float = 0.0
    voices: Voices = field(default_factory=Voices)
    notes: tuple[Note, ...] = ()
    clock: Clock | None = None

    @property
    def role(self) -> Role | None:
        """Who shall be responsible."""
        return Role(self.desired.manager.value) if self.desired.manager.value else None


@dataclass(frozen=True, slots=True)
class Scan:
    """The one shared reading of the CRM's chats: pages from `since` to `until` (wall clock), next page at `skip`.

    `window` is 0 for the look-back and 2 for 30 days (an earlier version also had a day); one of `core/watch` is below
    0, and nobody waits for it. `failures` is how many pages in a row could not be read.
    """

    token: int
    since: float
    until: float
    skip: int = 0
    window: int = 0
    started: float = 0.0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work: a record whose lease is ours, or the scan, or both, with the calls that may be sent now.

    `now` is the store's clock at the moment of the grant. `ask`: the key is to be asked for before anything else;
    `verify`: whose key this is. `note` is one to send, which is nowhere else any more. `known` is what the account is
    known to do. `basis` is for the store alone: what it saw when it granted, so that the settlement need not ask for it
    again.
    """

    record: Record | None
    scan: Scan | None = None
    grants: tuple[float, ...] = ()
    now: float = 0.0
    ask: bool = False
    known: Capabilities = field(default_factory=Capabilities)
    verify: bool = False
    note: Note | None = None
    basis: object = field(default=None, compare=False, repr=False)


def searching(record: Record) -> bool:
    """Whether no chat is known that could be the session's."""
    return record.chat_id is None and record.candidate is None


def pending(record: Record) -> bool:
    """Whether anything is left to be done for this record."""
    if record.closed or record.desired.generation <= record.observed.given_up:
        return False
    return bool(stale(record) or record.observed.contradicted) or may_be_overwritten(record)


def owes_look(record: Record) -> bool:
    """Whether a hint says that the chat may have changed since it was read or written last."""
    seen = record.observed
    return bool(record.chat_id and not record.closed) and record.hinted_at > max(seen.looked_at, seen.seen_at)


def owes_words(record: Record) -> bool:
    """Whether somebody has written in the chat, and nobody has read who and what."""
    return bool(record.chat_id and not record.closed) and record.moved_at > record.heard_at


def owes_note(record: Record) -> bool:
    """Whether a note can be left: it needs a chat."""
    return bool(record.notes) and record.chat_id is not None and record.closed is None


def ticks(record: Record) -> bool:
    """Whether there is a moment at which there will be something to do for this record."""
    return record.clock is not None and record.clock.ticks and record.closed is None


def is_unanswered(record: Record) -> bool:
    """Whether nobody has answered in its chat, and nobody is left to be called."""
    return record.clock is not None and record.clock.due == 0 and not record.clock.ended


def is_known(seen: Observed) -> bool:
    """Whether the session has written to its chat or read it; that a list has shown it is but a hint."""
    return bool(seen.looked_at or seen.confirmed or seen.manager.gen)


def known_at(record: Record) -> float:
    """When the chat was known last: what is other than that has changed since."""
    seen = record.observed
    # One that was read only to see whose it is was compared with nothing.
    own = max(seen.seen_at, seen.looked_at) if is_known(seen) else 0.0
    return max(own, record.alike_at)


def has_work(record: Record) -> bool:
    """Whether there is anything to do for this record: for its stages, or aside."""
    return pending(record) or owes_aside(record)


def owes_aside(record: Record) -> bool:
    """Whether there is anything to do that no stage waits for: a look, messages to read, or a note."""
    return owes_look(record) or owes_words(record) or owes_note(record)


def stale(record: Record) -> tuple[str, ...]:
    """The fields that the CRM has not confirmed for the generation that asks for them."""
    desired, seen = record.desired, record.observed
    fields = (("status", desired.status, seen.status), ("manager", desired.manager, seen.manager))
    return tuple(name for name, asked, shown in fields if shown.gen < asked.gen)


def may_be_overwritten(record: Record, *fields: str) -> bool:
    """Whether an older write may still land on top of what was confirmed, in one of these fields (none: in any)."""
    lost, asked = record.observed.unconfirmed, (fields or ("status", "manager"))
    return lost is not None and lost.gen < max(getattr(record.desired, name).gen for name in asked)


def keys_of(intent: Intent) -> tuple[str, ...]:
    """The keys by which an intent is known; one of them is enough."""
    return (intent.key, intent.also) if intent.also else (intent.key,)


def intent_key(stage: str, turn: str, *, once: bool) -> str:
    """The key of one event within a session; the session itself is no part of it.

    What happens `once` in a session does so whatever the turn. Any other stage happens once a turn.
    """
    return str(stage) if once else f"{stage}:{turn}"
