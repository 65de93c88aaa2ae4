"""The pure model of a store: the rules over dictionaries. Oracle of the contract suite, and fast in simulations."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import islice
from math import inf
from typing import TypeVar

from mirt_sitniks.core.backoff import ACCOUNT_CODES
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.key_state import MAIN, KeyState
from mirt_sitniks.core.orders import OrderRecord, OrdersAsked, OrdersSeen
from mirt_sitniks.core.overview import fits, kind_of
from mirt_sitniks.core.record import Record, has_work, pending, searching, ticks
from mirt_sitniks.core.repeats import without_chat
from mirt_sitniks.core.rows import Waiting, waits
from mirt_sitniks.core.store import OF_INTEREST, WAITING, Entry, StoreOptions
from mirt_sitniks.core.survey import Group, Overview, OverviewAsked, SessionsAsked
from mirt_sitniks.core.voices import Voices
from mirt_sitniks.stores.columns import SCHEMA, newest_managers
from mirt_sitniks.stores.local import LocalRows, LocalStore
from mirt_sitniks.stores.memory_orders import MemoryOrders

T = TypeVar("T")
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
    touched: dict[str, float] = field(default_factory=dict)
    left: dict[str, Record] = field(default_factory=dict)
    chats: dict[str, str] = field(default_factory=dict)
    sessions: Index = field(default_factory=lambda: defaultdict(dict))
    nicknames: Index = field(default_factory=lambda: defaultdict(dict))
    intents: dict[tuple[str, str | None], int] = field(default_factory=dict)
    orders: int = 0
    wall: float = 0.0
    unfolded: bool = False
    made: MemoryOrders = field(default_factory=MemoryOrders)

    def get(self, session: str) -> Record | None:
        return self.records.get(session)

    def put(self, record: Record) -> None:
        session = record.session
        if old := self.records.get(session):
            self._unlink(old)
        self.records[session] = record
        self.touched[session] = self.wall
        self.sessions[record.instagram][session] = self.sessions[record.telegram][session] = None
        if record.chat_id:
            self.chats[record.chat_id] = session
        if has_work(record) or ticks(record):
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
        found = {chat_id: self.directory[chat_id] for name in names for chat_id in self.nicknames[name]}
        for channel, name in (("instagram", instagram), ("telegram", telegram)):
            for one in [self.records[session] for session in self.sessions[name]] if name else ():
                if one.chat_id and getattr(one, channel) == name:
                    found.setdefault(one.chat_id, Chat(one.chat_id, name, channel, own=True))
        return found.values()

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
        found = Waiting()
        for one in filter(_seeks, self.left.values()):
            ready_at, since = max(one.observed.due_at, one.lease_until), one.search_since or self.wall
            found += waits(ready_at <= now, one.search_attempt, since, one.urgent_at, ready_at)
        return found

    def _due(self, now: float) -> list[Record]:
        left = [one for one in self.left.values() if not searching(one)]
        return [one for one in left if one.observed.due_at <= now and one.lease_until <= now]

    def unfound(self) -> Iterable[Record]:
        found = filter(_seeks, self.left.values())
        return sorted(found, key=lambda one: (one.urgent_at, one.desired.order))

    def lost(self, names: set[str]) -> Iterable[Record]:
        sessions = sorted({session for name in names for session in self.sessions[name]})
        found = (self.records[session] for session in sessions)
        return [one for one in found if one.search_since is not None and not (one.closed or pending(one))]

    def awaiting(self, names: set[str]) -> Iterable[Record]:
        sessions = sorted({session for name in names for session in self.sessions[name]} & set(self.left))
        return [self.left[session] for session in sessions if _seeks(self.left[session])]

    def ahead(self, urgent_at: float, now: float, limit: int) -> int:
        return min(limit, sum(1 for one in self._due(now) if one.urgent_at < urgent_at))

    def next_due(self) -> float:
        found = (one for one in self.left.values() if not searching(one))
        return min((max(one.observed.due_at, one.lease_until) for one in found), default=inf)

    def unlisted(self, now: float, since: float, hold: float) -> Iterable[Record]:
        found = (one for name, one in sorted(self.records.items()) if one.chat_id and self._is_unlisted(one, since))
        return [one for one in found if not one.closed and self.touched[one.session] > self.wall - hold]

    def _is_unlisted(self, record: Record, since: float) -> bool:
        listed = self.directory.get(record.chat_id or "")
        return listed is None or listed.seen_at < since

    def keep_entries(self, entries: Iterable[Entry]) -> None:
        self.entries = list(entries)
        self.intents = {(one.session, one.key): one.generation for one in self.entries if one.kind in INTENTS}

    def key(self, key: str) -> KeyState:
        return self.keys.get(key, KeyState())

    def managers(self) -> tuple[int, ...]:
        return newest_managers(self.keys.values())

    def put_key(self, key: str, state: KeyState) -> None:
        self.keys[key] = state

    def wake(self, now: float) -> None:
        for one in list(self.left.values()):
            seen = one.observed
            if pending(one) and one.chat_id and seen.due_at > now and seen.error and seen.error.code in ACCOUNT_CODES:
                self.put(replace(one, observed=replace(seen, due_at=now)))

    def ledger(self, session: str, limit: int) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.session == session)[-limit:]

    def forget(self, session: str) -> int:
        # What it did is in the ledger also when the record itself is gone.
        record, before = self.get(session) or Record(session), self._size()
        names = {record.instagram, record.telegram} - {None}
        chats = {one.id for one in self.directory.values() if one.nickname in names} | {record.chat_id}
        self.remove(session)
        self.keep_entries(entry for entry in self.entries if entry.session != session)
        for chat_id in chats - {None}:
            self.drop_contact(str(chat_id))
        for name, key in self.keys.items():
            self.keys[name] = replace(key, repeats=without_chat(key.repeats, record.chat_id))
        return before - self._size() + self.made.forget(session, record.chat_id, self.wall)

    def prune(self, limit: float, seen: float, records: bool) -> int:
        before = self._size()
        young = {name for name, at in self.touched.items() if at >= limit}
        for session in set(self.records) - young - set(self.left) if records else ():
            self.remove(session)
        for rows in (self.records, self.left):
            for one in [one for name, one in rows.items() if name not in young and one.voices != Voices()]:
                rows[one.session] = replace(one, voices=Voices())
        self.keep_entries(entry for entry in self.entries if entry.at >= limit)
        for chat_id in [one.id for one in self.directory.values() if one.seen_at < seen]:
            self.drop_contact(chat_id)
        return before - self._size() + self.made.prune(limit)

    def _size(self) -> int:
        return len(self.records) + len(self.entries) + len(self.directory)

    def counts(self, overdue: float) -> dict[str, int]:
        return {
            "records": len(self.records),
            "pending": sum(1 for one in self.left.values() if pending(one)),
            "overdue": sum(1 for one in self.left.values() if pending(one) and one.observed.due_at < overdue),
            "ledger": len(self.entries),
            "directory": len(self.directory),
            "orders": len(self.made.written),
        }

    def troubled(self, limit: int) -> tuple[Record, ...]:
        found = [one for one in self.records.values() if _is_troubled(one, self.wall)]
        return tuple(sorted(found, key=lambda one: one.desired.asked_at, reverse=True)[:limit])

    def overview(self, asked: OverviewAsked, now: float) -> Overview:
        if not asked.counted:
            return Overview(now, self.wall, SCHEMA, keys=dict(self.keys))
        groups: dict[object, Group] = {}
        for one in self.records.values():
            kind, at = kind_of(one, asked.statuses), one.desired.asked_at
            known = groups.get(kind, Group(one, 0, at))
            groups[kind] = replace(known, count=known.count + 1, oldest=min(known.oldest, at))
        active = {one.who: one.at for one in self.entries if one.at > self.wall - asked.active}
        shown = frozenset(one.status for one in self.directory.values() if one.status and asked.listed)
        lines = len(self.entries)
        return Overview(now, self.wall, SCHEMA, tuple(groups.values()), dict(self.keys), active, lines, shown)

    def sessions_that(self, asked: SessionsAsked) -> tuple[Record, ...]:
        found = (one for _, one in sorted(self.records.items()) if fits(one, asked))
        return tuple(islice(found, asked.limit))

    def lines(self, account: str, after: int, limit: int) -> tuple[Entry, ...]:
        found = [one for one in self.entries if one.id > after]
        return tuple(found[-limit:] if after < 0 else found[:limit])

    def show_orders(self, asked: OrdersAsked, now: float) -> OrdersSeen:
        # Dates of the CRM's orders are compared with it: of those there are none on a clock of the machine's.
        return self.made.show(asked, self.wall)

    def commit_order(self, record: OrderRecord) -> bool:
        return self.made.commit(record, self.wall)


@dataclass
class MemoryStore(LocalStore):
    """The verbs over `MemoryRows`; `clock` is the store's, `wall` gives Unix time.

    `rows` are those of the main account, with all orders, `others` those of the other ones.
    """

    clock: Callable[[], float]
    wall: Callable[[], float]
    rows: MemoryRows = field(default_factory=MemoryRows)
    others: dict[str, MemoryRows] = field(default_factory=dict)

    @property
    def made(self) -> MemoryOrders:
        """The orders of all accounts."""
        return self.rows.made

    async def _write(self, work: Callable[[LocalRows, float], T], home: StoreOptions | str = "") -> T:
        if isinstance(home, str):
            rows = self.others.get(home.partition("/")[0], self.rows)
        else:
            fresh = MemoryRows(made=self.rows.made)
            rows = self.rows if home.account == MAIN else self.others.setdefault(home.account, fresh)
        rows.wall = self.wall()
        return work(rows, self.clock())

    async def aclose(self) -> None:
        """Nothing to close."""


def _seeks(record: Record) -> bool:
    """Whether it waits for a chat."""
    return searching(record) and pending(record)


def _is_troubled(record: Record, wall: float) -> bool:
    asked_at = record.desired.asked_at
    if pending(record):
        return asked_at < wall - WAITING
    return record.observed.error is not None and record.closed is None and asked_at > wall - OF_INTEREST
