"""The pure model of a store: the rules over dictionaries. Oracle of the contract suite, and fast in simulations."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from math import inf

from mirt_sitniks.core import rules
from mirt_sitniks.core.backoff import ACCOUNT_CODES
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.orders import OrderRecord, OrdersAsked, OrdersSeen
from mirt_sitniks.core.record import Intent, Record, pending, searching
from mirt_sitniks.core.rows import Transaction, Waiting, waiting_of
from mirt_sitniks.core.store import (
    MAIN,
    OF_INTEREST,
    OVERDUE,
    WAITING,
    Claimed,
    Entry,
    KeyState,
    Recorded,
    Report,
    Settled,
    StoreOptions,
)
from mirt_sitniks.stores.memory_orders import MemoryOrders

# Kinds of lines with a key by which an intent is known.
INTENTS = ("intent", "also")
Index = dict[str | None, dict[str, None]]


@dataclass
class MemoryRows:
    """All rows of one store.

    `left` are the records with something left to be done; the indexes lead from a chat, a user name, a nickname and an
    intent to what has it, so that a simulated day costs what its work costs.
    """

    records: dict[str, Record] = field(default_factory=dict)
    directory: dict[str, Chat] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    keys: dict[str, KeyState] = field(default_factory=dict)
    touched: dict[tuple[str, str], float] = field(default_factory=dict)
    left: dict[str, Record] = field(default_factory=dict)
    chats: dict[str, str] = field(default_factory=dict)
    sessions: Index = field(default_factory=lambda: defaultdict(dict))
    nicknames: Index = field(default_factory=lambda: defaultdict(dict))
    intents: dict[tuple[str, str | None], int] = field(default_factory=dict)
    orders: int = 0
    wall: float = 0.0
    unfolded: bool = False

    def get(self, session: str) -> Record | None:
        return self.records.get(session)

    def put(self, record: Record) -> None:
        session = record.session
        if old := self.records.get(session):
            self._unlink(old)
        self.records[session] = record
        self.touched["record", session] = self.wall
        self.sessions[record.instagram][session] = self.sessions[record.telegram][session] = None
        if record.chat_id:
            self.chats[record.chat_id] = session
        if pending(record):
            self.left[session] = record
        else:
            self.left.pop(session, None)

    def remove(self, session: str) -> None:
        if old := self.records.pop(session, None):
            self._unlink(old)
        self.left.pop(session, None)

    def _unlink(self, record: Record) -> None:
        for name in (record.instagram, record.telegram):
            self.sessions[name].pop(record.session, None)
        if record.chat_id and self.chats.get(record.chat_id) == record.session:
            del self.chats[record.chat_id]

    def by_chat(self, chat_id: str) -> Record | None:
        session = self.chats.get(chat_id)
        return self.records[session] if session else None

    def contacts(self, instagram: str | None, telegram: str | None) -> Iterable[Chat]:
        names = sorted({instagram, telegram} - {None}, key=str)
        found = [self.directory[chat_id] for name in names for chat_id in self.nicknames[name]]
        listed = {chat.id for chat in found}
        for one in [self.records[session] for name in names for session in self.sessions[name]]:
            if one.chat_id and one.chat_id not in listed:
                if instagram and one.instagram == instagram:
                    found.append(Chat(one.chat_id, instagram, "instagram", own=True))
                elif telegram and one.telegram == telegram:
                    found.append(Chat(one.chat_id, telegram, "telegram", own=True))
        return found

    def contact(self, chat_id: str) -> Chat | None:
        return self.directory.get(chat_id)

    def add_contacts(self, chats: Iterable[Chat]) -> None:
        for chat in chats:
            self._unlist(chat.id)
            self.directory[chat.id] = chat
            self.nicknames[chat.nickname][chat.id] = None

    def drop_contact(self, chat_id: str) -> None:
        self._unlist(chat_id)

    def _unlist(self, chat_id: str) -> None:
        if old := self.directory.pop(chat_id, None):
            self.nicknames[old.nickname].pop(chat_id, None)

    def known(self, session: str, keys: Iterable[str]) -> int | None:
        return max((self.intents[session, key] for key in keys if (session, key) in self.intents), default=None)

    def log(self, line: Entry) -> int:
        self.orders += 1
        self.entries.append(replace(line, id=self.orders))
        if line.kind in INTENTS:
            self.intents[line.session, line.key] = line.generation
        return self.orders

    def due(self, now: float, limit: int) -> Iterable[Record]:
        return sorted(self._due(now), key=lambda one: (one.urgent_at, one.desired.order))[:limit]

    def waiting(self, now: float) -> Waiting:
        return waiting_of((one for one in self.left.values() if searching(one)), now, self.wall)

    def _due(self, now: float) -> list[Record]:
        left = [one for one in self.left.values() if not searching(one)]
        return [one for one in left if one.observed.due_at <= now and one.lease_until <= now]

    def unfound(self) -> Iterable[Record]:
        found = (one for one in self.left.values() if searching(one))
        return sorted(found, key=lambda one: (one.urgent_at, one.desired.order))

    def lost(self, names: set[str]) -> Iterable[Record]:
        sessions = sorted({session for name in names for session in self.sessions[name]})
        found = (self.records[session] for session in sessions if session not in self.left)
        return [one for one in found if one.search_since is not None and not one.closed]

    def ahead(self, urgent_at: float, now: float, limit: int) -> int:
        return min(limit, sum(1 for one in self._due(now) if one.urgent_at < urgent_at))

    def next_due(self) -> float:
        found = (one for one in self.left.values() if not searching(one))
        return min((max(one.observed.due_at, one.lease_until) for one in found), default=inf)

    def keep_entries(self, entries: Iterable[Entry]) -> None:
        self.entries = list(entries)
        self.intents = {(one.session, one.key): one.generation for one in self.entries if one.kind in INTENTS}

    def key(self, key: str) -> KeyState:
        return self.keys.get(key, KeyState())

    def managers(self) -> tuple[int, ...]:
        listed = [one for one in self.keys.values() if one.managers]
        return max(listed, key=lambda one: one.listed_at).managers if listed else ()

    def put_key(self, key: str, state: KeyState) -> None:
        self.keys[key] = state

    def wake(self, now: float) -> None:
        for one in list(self.left.values()):
            seen = one.observed
            if one.chat_id and seen.due_at > now and seen.error and seen.error.code in ACCOUNT_CODES:
                self.put(replace(one, observed=replace(seen, due_at=now)))


@dataclass
class MemoryStore:
    """`SyncStore` and `CareStore` over `MemoryRows`; `clock` is the store's, `wall` gives Unix time.

    `rows` are those of the main account, `others` those of the other ones.
    """

    clock: Callable[[], float]
    wall: Callable[[], float]
    rows: MemoryRows = field(default_factory=MemoryRows)
    others: dict[str, MemoryRows] = field(default_factory=dict)
    made: MemoryOrders = field(default_factory=MemoryOrders)

    async def orders(self, asked: OrdersAsked) -> OrdersSeen:
        """Show orders."""
        return self.made.show(asked, self.wall())

    async def commit_order(self, record: OrderRecord) -> bool:
        """Write a row if it is what was seen."""
        return self.made.commit(record, self.wall())

    def _begin_rules(self, options: StoreOptions) -> Transaction:
        rows = self.rows if options.account == MAIN else self.others.setdefault(options.account, MemoryRows())
        rows.wall = self.wall()
        return Transaction(rows, options, self.clock(), rows.wall)

    def _home(self, session: str) -> MemoryRows:
        """The rows of a session's account, which its name begins with."""
        return self.others.get(session.partition("/")[0], self.rows)

    async def record(self, options: StoreOptions, intent: Intent, *, calls: int = 2) -> Recorded:
        """Log an intent."""
        return rules.record(self._begin_rules(options), intent, calls)

    async def claim(self, options: StoreOptions, *, limit: int = 9) -> Claimed:
        """Take due work."""
        return rules.claim(self._begin_rules(options), limit)

    async def settle(self, options: StoreOptions, report: Report) -> Settled:
        """Fold a round in."""
        return rules.settle(self._begin_rules(options), report)

    async def reopen(self, options: StoreOptions, session: str, *, calls: int = 2) -> Recorded:
        """Take up again."""
        return rules.reopen(self._begin_rules(options), session, calls)

    async def observe(self, chat_id: str, *, status: str | None = None, manager_id: int | None = None) -> None:
        """Note an own write."""
        rules.observe(self._begin_rules(StoreOptions("")), chat_id, status, manager_id)

    async def get(self, session: str) -> Record | None:
        """The record of a session."""
        return self._home(session).get(session)

    async def aclose(self) -> None:
        """Nothing to close."""

    async def ledger(self, session: str, *, limit: int = 100) -> tuple[Entry, ...]:
        """The newest entries of a session."""
        return tuple(entry for entry in self._home(session).entries if entry.session == session)[-limit:]

    async def forget(self, session: str) -> int:
        """Erase one customer."""
        # What it did is in the ledger also when the record itself is gone.
        rows = self._home(session)
        record = rows.get(session) or Record(session)
        names = {record.instagram, record.telegram} - {None}
        chats = {one.id for one in rows.directory.values() if one.nickname in names} | {record.chat_id}
        before = self._size(rows)
        rows.remove(session)
        rows.keep_entries(entry for entry in rows.entries if entry.session != session)
        for chat_id in chats - {None}:
            rows.drop_contact(str(chat_id))
        return before - self._size(rows) + self.made.forget(session, record.chat_id, self.wall())

    async def prune(self, older_than: float, *, records: bool = True) -> int:
        """Delete what is converged and old."""
        rows, limit, before = self.rows, self.wall() - older_than, self._size(self.rows)
        young = {name for (kind, name), at in rows.touched.items() if kind == "record" and at >= limit}
        for session in set(rows.records) - young - set(rows.left) if records else ():
            rows.remove(session)
        rows.keep_entries(entry for entry in rows.entries if entry.at >= limit)
        for chat_id in [one.id for one in rows.directory.values() if one.seen_at < self.clock() - older_than]:
            rows.drop_contact(chat_id)
        return before - self._size(rows) + self.made.prune(limit)

    def _size(self, rows: MemoryRows) -> int:
        return len(rows.records) + len(rows.entries) + len(rows.directory)

    async def counts(self) -> dict[str, int]:
        """How much is there."""
        left = self.rows.left
        overdue = sum(1 for one in left.values() if one.observed.due_at < self.clock() - OVERDUE)
        return {
            "records": len(self.rows.records),
            "pending": len(left),
            "overdue": overdue,
            "ledger": len(self.rows.entries),
            "directory": len(self.rows.directory),
            "orders": len(self.made.written),
        }

    async def troubled(self, *, limit: int = 100) -> tuple[Record, ...]:
        """Those a person should look at."""
        wall = self.wall()
        found = [one for one in self.rows.records.values() if _is_troubled(one, wall)]
        return tuple(sorted(found, key=lambda one: one.desired.asked_at, reverse=True)[:limit])

    async def check(self) -> None:
        """Always fine."""


def _is_troubled(record: Record, wall: float) -> bool:
    asked_at = record.desired.asked_at
    if pending(record):
        return asked_at < wall - WAITING
    return record.observed.error is not None and record.closed is None and asked_at > wall - OF_INTEREST
