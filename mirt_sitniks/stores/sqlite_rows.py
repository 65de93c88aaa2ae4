"""The rows of the embedded store: its SQL."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from math import inf
from typing import Any

from mirt_sitniks.core.backoff import ACCOUNT_CODES
from mirt_sitniks.core.budget import Budget
from mirt_sitniks.core.chats import Contact
from mirt_sitniks.core.record import Record
from mirt_sitniks.core.rows import Waiting
from mirt_sitniks.core.store import OF_INTEREST, WAITING, Entry, KeyState
from mirt_sitniks.stores.columns import COLUMNS, from_row, known_from, known_to, scan_from, to_row

_PUT = (
    f"insert into sitniks_chat_mappings ({', '.join(COLUMNS)}, created_at) "
    f"values ({', '.join(f':{name}' for name in COLUMNS)}, :updated_at) on conflict (user_id) do update set "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name != "user_id")
)
_GET = f"select {', '.join(COLUMNS)} from sitniks_chat_mappings where "
_DUE = "pending = 1 and due_at <= :now and lease_until <= :now and sitniks_chat_id is not null "
# Written so that no plan reads all sessions that ever were without a chat, but only those with something left to do.
_UNFOUND = "pending = 1 and (sitniks_chat_id is null) = 1 "
_WAITING = (
    "select max(due_at, lease_until) <= :now, search_attempt, min(coalesce(search_since, :wall)), min(urgent_at), "
    "min(max(due_at, lease_until)) "
    f"from sitniks_chat_mappings where {_UNFOUND} group by 1, 2"
)
_ENTRY = "session, kind, key, stage, generation, who, at, before, after"
_CONTACT = ("chat_id", "nickname", "source", "user_id", "last_message_at", "status", "manager_id")


class SqliteRows:
    """The `Rows` of one transaction on `connection`; `wall` is Unix time."""

    def __init__(self, connection: sqlite3.Connection, wall: float) -> None:
        self.sql = connection
        self.unfolded = False
        self.wall = wall
        # What this transaction leaves; None for a record that is erased.
        self.records_put: dict[str, Record | None] = {}
        self.keys_put: dict[str, KeyState] = {}

    def start(self, ahead: float) -> None:
        """Begin the store's clock so far ahead of the machine's, unless it is running."""
        self.sql.execute("insert or ignore into sitniks_clock (id, ahead, last) values (1, ?, 0)", (ahead,))

    def tick(self, monotonic: float) -> float:
        """The store's clock: the machine's monotonic one, moved so that it never falls behind what was stored."""
        row = self.sql.execute("select ahead, last from sitniks_clock where id = 1").fetchone()
        # A new store starts at the wall's time, so that its times read as dates.
        ahead, last = row or (self.wall - monotonic, 0.0)
        if monotonic + ahead < last:
            ahead = last - monotonic
        now = monotonic + ahead
        self.sql.execute("insert or replace into sitniks_clock (id, ahead, last) values (1, ?, ?)", (ahead, now))
        return float(now)

    def get(self, session: str) -> Record | None:
        return self._one("user_id = ?", (session,))

    def put(self, record: Record) -> None:
        row = to_row(record)
        self.records_put[record.session] = record
        self.sql.execute(_PUT, {**row, "details": json.dumps(row["details"]), "updated_at": self.wall})

    def by_chat(self, chat_id: str) -> Record | None:
        return self._one("sitniks_chat_id = ?", (chat_id,))

    def _one(self, where: str, values: tuple[object, ...]) -> Record | None:
        row = self.sql.execute(_GET + where, values).fetchone()
        return _record_of(row) if row else None

    def _many(self, where: str, values: dict[str, object]) -> list[Record]:
        rows = self.sql.execute(_GET + where, values).fetchall()
        return [_record_of(row) for row in rows]

    def contacts(self, instagram: str | None, telegram: str | None) -> Iterable[Contact]:
        names = sorted({instagram, telegram} - {None}, key=str)
        found: dict[str, Contact] = {}
        for name in names:
            query = f"select {', '.join(_CONTACT)} from sitniks_directory where nickname = ?"
            found.update((row[0], Contact(*row)) for row in self.sql.execute(query, (name,)))
        own = "select sitniks_chat_id from sitniks_chat_mappings where {} = ? and sitniks_chat_id is not null"
        for channel, name in (("instagram", instagram), ("telegram", telegram)):
            if name:
                for (chat_id,) in self.sql.execute(own.format(f"{channel}_username"), (name,)).fetchall():
                    found.setdefault(chat_id, Contact(chat_id, name, channel, own=True))
        return found.values()

    def add_contacts(self, contacts: Iterable[Contact]) -> None:
        values = [(*(getattr(contact, name) for name in _CONTACT), self.wall) for contact in contacts]
        marks = ", ".join("?" * (len(_CONTACT) + 1))
        query = f"insert or replace into sitniks_directory ({', '.join(_CONTACT)}, seen_at) values ({marks})"
        self.sql.executemany(query, values)

    def drop_contact(self, chat_id: str) -> None:
        self.sql.execute("delete from sitniks_directory where chat_id = ?", (chat_id,))

    def known(self, session: str, keys: Iterable[str]) -> int | None:
        listed = tuple(keys)
        marks = ", ".join("?" * len(listed))
        where = f"session = ? and kind in ('intent', 'also') and key in ({marks})"
        query = f"select max(generation) from sitniks_ledger where {where}"
        (found,) = self.sql.execute(query, (session, *listed)).fetchone()
        return None if found is None else int(found)

    def log(self, line: Entry) -> int:
        told = (json.dumps(one, ensure_ascii=False) for one in (line.before, line.after))
        values = (line.session, line.kind, line.key, line.stage, line.generation, line.who, line.at, *told)
        query = f"insert into sitniks_ledger ({_ENTRY}) values (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        return int(self.sql.execute(query, values).lastrowid or 0)

    def due(self, now: float, limit: int) -> Iterable[Record]:
        order = "order by urgent_at, intent_order limit :limit"
        return self._many(_DUE + order, {"now": now, "limit": limit})

    def waiting(self, now: float) -> Waiting:
        values = {"now": now, "wall": self.wall}
        sums = self.sql.execute(_WAITING, values).fetchall()
        found = Waiting()
        for due, attempt, since, urgent_at, ready_at in sums:
            mine = Waiting(first_at=urgent_at, ready_at=ready_at)
            if due:
                mine = Waiting(((attempt, since),), urgent_at, urgent_at, ready_at)
            found += mine
        return found

    def unfound(self) -> Iterable[Record]:
        return self._many(_UNFOUND + "order by urgent_at, intent_order", {})

    def ahead(self, urgent_at: float, now: float, limit: int) -> int:
        inner = f"select 1 from sitniks_chat_mappings where {_DUE} and urgent_at < :urgent_at limit :limit"
        values = {"now": now, "urgent_at": urgent_at, "limit": limit}
        return int(self.sql.execute(f"select count(*) from ({inner})", values).fetchone()[0])

    def next_due(self) -> float:
        query = (
            "select max(due_at, lease_until) from sitniks_chat_mappings "
            "where pending = 1 and (sitniks_chat_id is null) = 0 order by max(due_at, lease_until) limit 1"
        )
        row = self.sql.execute(query).fetchone()
        return float(row[0]) if row else inf

    def key(self, key: str) -> KeyState:
        query = "select state, lookout_at, lookout_by, details from sitniks_keys where key = ?"
        row = self.sql.execute(query, (key,)).fetchone()
        if row is None:
            return KeyState()
        state = json.loads(row[0])
        budget = state.pop("budget")
        scan, windows_read = state.pop("scan"), state.pop("wide")
        # An earlier version's.
        state.pop("aged_at", None)
        budget["grants"] = tuple(budget["grants"])
        return KeyState(
            Budget(**budget),
            scan_from(scan),
            windows_read=(windows_read[0], windows_read[1]),
            lookout_at=row[1],
            lookout_by=row[2],
            known=known_from(json.loads(row[3])),
            **state,
        )

    def put_key(self, key: str, state: KeyState) -> None:
        self.keys_put[key] = state
        # Apart from the rest: an earlier version reads the state, too, and takes nothing that it does not know.
        known = json.dumps(known_to(state.known))
        values = (key, json.dumps(state, default=_fields), state.lookout_at, state.lookout_by, known)
        query = (
            "insert or replace into sitniks_keys (key, state, lookout_at, lookout_by, details) values (?, ?, ?, ?, ?)"
        )
        self.sql.execute(query, values)

    def wake(self, now: float) -> None:
        marks = ", ".join("?" * len(ACCOUNT_CODES))
        where = f"pending = 1 and due_at > ? and sitniks_chat_id is not null and error_code in ({marks})"
        self.sql.execute(f"update sitniks_chat_mappings set due_at = ? where {where}", (now, now, *ACCOUNT_CODES))

    def ledger(self, session: str, limit: int) -> tuple[Entry, ...]:
        """The newest entries of a session, oldest first."""
        query = f"select id, {_ENTRY} from sitniks_ledger where session = ? order by id desc limit ?"
        rows = self.sql.execute(query, (session, limit)).fetchall()
        return tuple(Entry(*row[:-2], *map(json.loads, row[-2:])) for row in reversed(rows))

    def forget(self, session: str) -> int:
        """Erase one customer; returns the rows erased."""
        # What it did is in the ledger also when the record itself is gone.
        record = self.get(session) or Record(session)
        self.records_put[session] = None
        names = (record.instagram, record.telegram, record.chat_id)
        return sum(
            self.sql.execute(query, values).rowcount
            for query, values in (
                ("delete from sitniks_directory where nickname in (?, ?) or chat_id = ?", names),
                ("delete from sitniks_ledger where session = ?", (session,)),
                ("delete from sitniks_chat_mappings where user_id = ?", (session,)),
            )
        )

    def prune(self, limit: float, records: bool) -> int:
        """Delete what is converged and was last touched before `limit` (Unix time); returns the rows deleted."""
        queries = ["delete from sitniks_directory where seen_at < ?", "delete from sitniks_ledger where at < ?"]
        if records:
            queries.append("delete from sitniks_chat_mappings where pending = 0 and updated_at < ?")
        return sum(self.sql.execute(query, (limit,)).rowcount for query in queries)

    def troubled(self, limit: int) -> tuple[Record, ...]:
        """Those a person should look at."""
        where = (
            "pending = 1 and asked_at < :waiting or pending = 0 and error_code is not null and closed is null "
            "and asked_at > :known order by asked_at desc limit :limit"
        )
        times = {"waiting": self.wall - WAITING, "known": self.wall - OF_INTEREST}
        return tuple(self._many(where, {**times, "limit": limit}))

    def counts(self, overdue: float) -> dict[str, int]:
        """How much is there; `overdue` is the store's time before which due work is late."""
        queries = {
            "records": "select count(*) from sitniks_chat_mappings",
            "pending": "select count(*) from sitniks_chat_mappings where pending = 1",
            "overdue": f"select count(*) from sitniks_chat_mappings where pending = 1 and due_at < {overdue!r}",
            "ledger": "select count(*) from sitniks_ledger",
            "directory": "select count(*) from sitniks_directory",
        }
        return {name: int(self.sql.execute(query).fetchone()[0]) for name, query in queries.items()}


def _record_of(values: Sequence[Any]) -> Record:
    row = dict(zip(COLUMNS, values, strict=True))
    return from_row({**row, "details": json.loads(row["details"])})


# The names that files have in them since the first version.
_STORED = {"windows_read": "wide", "window": "reach"}


def _fields(value: Any) -> dict[str, Any]:
    """A frozen value for JSON; `asdict` would copy every number in it."""
    names = (name for name in value.__slots__ if not name.startswith(("lookout", "known")))
    return {_STORED.get(name, name): getattr(value, name) for name in names}
