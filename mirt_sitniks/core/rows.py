"""What the rules need of a store inside one transaction: its rows, in the words of the records."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.key_state import KeyState
from mirt_sitniks.core.record import Record
from mirt_sitniks.core.store import Entry, StoreOptions


@dataclass(frozen=True, slots=True)
class Waiting:
    """Those who wait for a chat, in sums: however many they are, the next scan needs no more of them.

    `due` has one pair for each number of searches made: that number, and since when the first of them waits (wall
    clock); `urgent_at` is the most urgent of all that are due, `first_at` of all who wait, and at `ready_at` the
    first of them can be looked for.
    """

    due: tuple[tuple[int, float], ...] = ()
    urgent_at: float = inf
    first_at: float = inf
    ready_at: float = inf

    def __add__(self, other: "Waiting") -> "Waiting":
        since = dict(self.due)
        for attempt, at in other.due:
            since[attempt] = min(at, since.get(attempt, inf))
        return Waiting(
            tuple(sorted(since.items())),
            min(self.urgent_at, other.urgent_at),
            min(self.first_at, other.first_at),
            min(self.ready_at, other.ready_at),
        )


def waits(due: bool, attempt: int, since: float, urgent_at: float, ready_at: float) -> Waiting:
    """Of those who have searched as often: when the first has begun, the most urgent, and when there is one to look."""
    return Waiting(((attempt, since),) if due else (), urgent_at if due else inf, urgent_at, ready_at)


# So many records are shown where there may be any number.
SHOWN = 20


class Rows(Protocol):
    """The rows of one account in a store, inside one transaction; `log` numbers a line and returns its number, `known`
    is the newest generation of an intent that has one of `keys`, as its first or second one.

    `lost` are those of these names whose search was given up, `awaiting` those who wait for a chat; `managers` the
    account's people as its keys listed them last. `unfolded`: more wait for a chat than `unfound` shows. `wake`: what
    waits because of an error of `ACCOUNT_CODES` is due now. `unlisted` are those who were at work within `hold` seconds
    and have a chat that no list or answer has shown since then, at least `SHOWN` of them if there are as many.
    """

    unfolded: bool

    def get(self, session: str) -> Record | None: ...
    def put(self, record: Record) -> None: ...
    def by_chat(self, chat_id: str) -> Record | None: ...
    def contact(self, chat_id: str) -> Chat | None: ...
    def contacts(self, instagram: str | None, telegram: str | None) -> Iterable[Chat]: ...
    def add_contacts(self, chats: Iterable[Chat]) -> None: ...
    def drop_contact(self, chat_id: str) -> None: ...
    def known(self, session: str, keys: Iterable[str]) -> int | None: ...
    def log(self, line: Entry) -> int: ...
    def due(self, now: float, limit: int) -> Iterable[Record]: ...
    def ahead(self, urgent_at: float, now: float, limit: int) -> int: ...
    def next_due(self) -> float: ...
    def waiting(self, now: float) -> Waiting: ...
    def unfound(self) -> Iterable[Record]: ...
    def lost(self, names: set[str]) -> Iterable[Record]: ...
    def awaiting(self, names: set[str]) -> Iterable[Record]: ...
    def unlisted(self, now: float, since: float, hold: float) -> Iterable[Record]: ...
    def key(self, key: str) -> KeyState: ...
    def managers(self) -> tuple[int, ...]: ...
    def put_key(self, key: str, state: KeyState) -> None: ...
    def wake(self, now: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction: its rows and options, the store's clock and the wall's; `ended` are those it has given up,
    `absent` the live managers whom it has found missing, `unanswered` those whose clock has found nobody.
    """

    rows: Rows
    options: StoreOptions
    now: float
    wall: float
    ended: list[Record] = field(default_factory=list)
    absent: list[int] = field(default_factory=list)
    unanswered: list[Record] = field(default_factory=list)
