"""What the service asks of a store: small Protocols for syncing, for looking after it, and for reading it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from mirt_sitniks.core.budget import Limit
from mirt_sitniks.core.capabilities import Heard
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.events import Event, Message
from mirt_sitniks.core.hours import Hours
from mirt_sitniks.core.key_state import MAIN
from mirt_sitniks.core.record import Claim, Intent, Note, Observed, Record, Scan, Try, Unconfirmed
from mirt_sitniks.core.stages import BUILT_IN, Stages
from mirt_sitniks.core.survey import Overview, OverviewAsked, SessionsAsked
from mirt_sitniks.core.talk import Sign
from mirt_sitniks.core.voices import Spoken

# How late due work is when `counts` calls it so.
OVERDUE = 600.0
# How long ago a stage was asked for that is called waiting, and the longest ago that one given up is of interest.
WAITING, OF_INTEREST = 1800.0, 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What every store verb needs to know: whose budget (`key`: a fingerprint), how much, and for how long.

    `lease` and `lookback` are seconds; `who` names this process in the ledger. `owner` is the shop's page (id or name)
    that chats must have come to, None for any; `account` whose records these are, `stages` what each stage wants.
    `ai_manager` is the name of the AI manager, `ai_id` his id if that is set, `live_managers` who get escalations, in
    turn; empty: whoever is there. After `answer_within` seconds (0: never), of working time if there are `hours`, an
    escalation goes to the next of them. Every `watch` seconds (0: never) the CRM is looked through for changes of those
    who were asked for within `hold` seconds, in `watch_share` of the budget.
    """

    key: str
    limit: Limit = field(default_factory=Limit)
    lease: float = 30.0
    lookback: float = 300.0
    who: str = ""
    owner: str | None = None
    account: str = MAIN
    stages: Stages = field(default_factory=lambda: BUILT_IN)
    ai_manager: str = "Павло"
    ai_id: int | None = None
    live_managers: tuple[int, ...] = ()
    answer_within: float = 0.0
    hours: Hours | None = None
    watch: float = 0.0
    watch_share: float = 0.1
    hold: float = 86_400.0

    @property
    def watch_pace(self) -> float:
        """Seconds between two calls of the watch."""
        return self.limit.seconds / (self.limit.calls * self.watch_share)


def row_of(account: str, session: str) -> str:
    """The name that a session of an account has in every table."""
    return session if account == MAIN else f"{account}/{session}"


class Verdict(StrEnum):
    """What became of a recorded intent; `SUPERSEDED`: later ones have all it asks for, it is in the ledger only."""

    NEW = "new"
    KNOWN = "known"
    REPLAY = "replay"
    ALREADY_TOUCHED = "already_touched"
    NO_USERNAME = "no_username"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Outlook:
    """When there can be work, as a verb leaves it: `now` on the store's clock, the rest in seconds from then.

    `slot_in`: until the budget has a call; `work_in`: until any record can be worked on (None: all are done). `lock` is
    the key's: a code and when it ends. `lookout_by` is who has promised to look for work in `lookout_in` seconds; when
    that is past, nobody has. `watch_lag`: so many seconds after a change the watch sees it at the latest, None: it does
    not know yet.
    """

    now: float = 0.0
    slot_in: float = 0.0
    work_in: float | None = None
    lock: tuple[str, float] | None = None
    lookout_in: float = 0.0
    lookout_by: str = ""
    watch_lag: float | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """The record after an intent; `claim` is None when it is somebody else's turn or nothing can be sent now."""

    verdict: Verdict
    record: Record
    claim: Claim | None = None
    outlook: Outlook = Outlook()


@dataclass(frozen=True, slots=True)
class Settlement:
    """What the holder of a record's lease learned.

    `note` was handed out with the claim, and `noted` is what became of it. `generation` is the newest it saw,
    `unconfirmed` the write it started from, `gone` that `chat_id` is no longer in the CRM, `shown` a chat as it was
    read, `agrees` whether its status is as it shall be. `unconfirmed_until` is set when a write was sent: the store's
    time until which it may still land, for the case that the lease was lost meanwhile. `signs` tell who has the
    conversation, and so may the messages `told`, the newest until `heard_at`; the chat showed that its last one came
    at `last_message_at`. `absent` is a manager whom the CRM does not know.
    """

    session: str
    token: int
    generation: int
    observed: Observed
    unconfirmed: Unconfirmed | None = None
    chat_id: str | None = None
    gone: bool = False
    unconfirmed_until: float | None = None
    shown: Chat | None = None
    agrees: bool = False
    signs: tuple[Sign, ...] = ()
    heard_at: float | None = None
    told: tuple[Message, ...] = ()
    last_message_at: str | None = None
    absent: int | None = None
    note: Note | None = None
    noted: str = ""


@dataclass(frozen=True, slots=True)
class ScanPage:
    """One page of the shared scan; `pause` is how long the scan shall pause when the page could not be read.

    `unsent`: the call did not go out, because its grant had become too old, and the scan goes on where it is.
    """

    scan: Scan
    chats: tuple[Chat, ...] = ()
    raw: int = 0
    total: int | None = None
    pause: float | None = None
    unsent: bool = False


@dataclass(frozen=True, slots=True)
class KeyVerdict:
    """What an answer said of the key: `code` None means it was accepted, else it is locked for `seconds`."""

    code: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one round of calls brought, settled in one transaction; `calls` asks for the next ones.

    `heard` is what the answers said of kinds of call. `delayed` are grants whose calls may have reached the CRM as late
    as now. `managers` are the ids of all people of the account, when they were listed. `basis` is that of the claim.
    `priority_seconds`: so much earlier counts a call that is no record's. `tries` go to the ledger, also those of a
    stale holder; settled again after a lost answer they may stand there twice.
    """

    record: Settlement | None = None
    page: ScanPage | None = None
    key_verdict: KeyVerdict | None = None
    heard: tuple[Heard, ...] = ()
    unused: tuple[float, ...] = ()
    calls: int = 0
    delayed: tuple[float, ...] = ()
    managers: tuple[int, ...] = ()
    priority_seconds: float = 0.0
    tries: tuple[Try, ...] = ()
    basis: object = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Settled:
    """The record after settling (None: it is not known any more), and the claim while there is more to send.

    `ended` are all records that were given up with it, also those of others who waited for the scan; `absent` live
    managers who were found missing, `unanswered` records in whose chat nobody has answered, and nobody is left to be
    called.
    """

    record: Record | None = None
    claim: Claim | None = None
    outlook: Outlook = Outlook()
    ended: tuple[Record, ...] = ()
    absent: tuple[int, ...] = ()
    unanswered: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class Claimed:
    """Work to do now."""

    claims: tuple[Claim, ...] = ()
    outlook: Outlook = Outlook()


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger: an `intent` (or `also`, its second key), an `outcome`, a `try`, what became of a `note`,
    an `owner` of the conversation, or what the clock of an escalation did. `at` is Unix time.

    A try is of no session ("") when it was made for all, such as a page of the chats, or past the plan; its `key` is
    the kind of call, and `after` has its `seconds`, and `status` and `code` where something went wrong.
    """

    id: int
    session: str
    kind: str
    key: str | None
    stage: str | None
    generation: int
    who: str
    at: float
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


class SyncStore(Protocol):
    """What syncing needs. Every verb is one transaction and one round trip; all raise `StoreError` only."""

    async def record(self, options: StoreOptions, intent: Intent, *, calls: int = 2) -> Recorded:
        """Log the intent; if it is new, raise the generation and what the stage desires; claim the record if free."""

    async def claim(self, options: StoreOptions, *, limit: int = 9) -> Claimed:
        """Take the most urgent due records that the budget has calls for."""

    async def settle(self, options: StoreOptions, report: Report) -> Settled:
        """Fold a round in; the record comes back, and the claim while the lease stays ours and calls are granted."""

    async def observe(self, chat_id: str, *, status: str | None = None, manager_id: int | None = None) -> None:
        """Note an own write that went past the plan, when the chat is known."""

    async def hear(self, options: StoreOptions, events: tuple[Event, ...]) -> Outlook:
        """Take in what the CRM told by itself: into the directory, and for the sessions whose chats these are."""

    async def said(self, options: StoreOptions, spoken: tuple[Spoken, ...]) -> tuple[str, ...]:
        """Remember what the graph has told customers; returns the sessions that are not recorded yet."""

    async def get(self, session: str) -> Record | None:
        """The record of a session."""

    async def aclose(self) -> None:
        """Close what the store opened."""


class CareStore(Protocol):
    """What looking after a store needs."""

    async def release(self, options: StoreOptions, session: str, *, calls: int = 2) -> Recorded:
        """Give a conversation that a person has back to the graph, and claim the record if it is free."""

    async def reopen(self, options: StoreOptions, session: str, *, calls: int = 2) -> Recorded:
        """Make due what was given up or waits, as at its first try, and claim it if it is free."""

    async def ledger(self, session: str, *, limit: int = 100) -> tuple[Entry, ...]:
        """The newest entries of a session, oldest first."""

    async def forget(self, session: str) -> int:
        """Erase one customer from every table and the directory; of his orders stays what keeps them from being made
        again. Returns the rows erased."""

    async def prune(self, older_than: float, *, records: bool = True) -> int:
        """Delete ledger entries, contacts and ended orders not touched for `older_than` seconds, and converged
        `records` as well."""

    async def counts(self) -> dict[str, int]:
        """How much is there: `records`, `pending`, `overdue` (ten minutes late), `ledger`, `directory`, `orders`."""

    async def troubled(self, *, limit: int = 100) -> tuple[Record, ...]:
        """Those a person should look at, the newest first: given up within a week, or waiting for half an hour."""

    async def check(self) -> None:
        """Raise a `StoreError` with the cure unless tables, functions and rights are as they must be."""


class ReadStore(Protocol):
    """What people and machines look at. Reading writes nothing, makes nothing and keeps nobody waiting."""

    async def overview(self, asked: OverviewAsked) -> Overview:
        """All sessions of an account in groups of the same kind, the state of its keys, and who has been at work."""

    async def sessions(self, asked: SessionsAsked) -> tuple[Record, ...]:
        """The records that fit all that is asked, in order of their sessions."""

    async def lines(self, account: str, *, after: int, limit: int = 1000) -> tuple[Entry, ...]:
        """The ledger's lines of an account behind the one numbered `after`, oldest first; `after` below 0: so many of
        the newest."""


class Store(SyncStore, CareStore, ReadStore, Protocol):
    """All of them."""
