"""The rows of the embedded store: SQL in and out of the frozen values."""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from math import inf
from typing import Any

from mirt_sitniks.budget import Budget
from mirt_sitniks.finding import Contact
from mirt_sitniks.record import (
    Desired,
    Doubt,
    Error,
    Intent,
    Observed,
    Record,
    Scan,
    Seen,
    Want,
    pending,
)
from mirt_sitniks.stages import Stage
from mirt_sitniks.stores import rules
from mirt_sitniks.stores.protocol import Entry, Key

OVERDUE = 600.0

COLUMNS = (
    "user_id", "instagram_username", "telegram_username", "sitniks_chat_id", "sitniks_manager_id", "current_status",
    "first_touch_at", "generation", "stage", "intent", "intent_order", "asked_at", "want_status", "want_status_gen",
    "want_manager", "want_manager_gen", "status_gen", "manager_gen", "doubt_gen", "doubt_until", "doubt_looked",
    "parked", "attempt", "due_at", "error_code", "error_message", "search_since", "search_attempt", "urgent_at",
    "lease_token", "lease_until", "closed", "pending", "updated_at",
)  # fmt: skip
_PUT = (
    f"insert into sitniks_chat_mappings ({', '.join(COLUMNS)}, created_at) "
    f"values ({', '.join(f':{name}' for name in COLUMNS)}, :updated_at) on conflict (user_id) do update set "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name != "user_id")
)
_GET = f"select {', '.join(COLUMNS)} from sitniks_chat_mappings where "
_DUE = "pending = 1 and due_at <= :now and lease_until <= :now and sitniks_chat_id is not null "
# Written so that no plan reads all sessions that ever were without a chat, but only those with something left to do.
_UNFOUND = "pending = 1 and (sitniks_chat_id is null) = 1 "
_CONTACT = ("chat_id", "nickname", "source", "user_id", "last_message_at", "status", "manager_id")


class SqliteRows:
    """The `Rows` of one transaction on `connection`; `wall` is Unix time."""

    def __init__(self, connection: sqlite3.Connection, wall: float) -> None:
        self.sql = connection
        self.wall = wall

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
        self.sql.execute(_PUT, {**to_row(record), "updated_at": self.wall})

    def by_chat(self, chat_id: str) -> Record | None:
        return self._one("sitniks_chat_id = ?", (chat_id,))

    def _one(self, where: str, values: tuple[object, ...]) -> Record | None:
        row = self.sql.execute(_GET + where, values).fetchone()
        return from_row(dict(zip(COLUMNS, row, strict=True))) if row else None

    def _many(self, where: str, values: dict[str, object]) -> list[Record]:
        rows = self.sql.execute(_GET + where, values).fetchall()
        return [from_row(dict(zip(COLUMNS, row, strict=True))) for row in rows]

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

    def intent(self, session: str, key: str) -> int | None:
        query = "select generation from sitniks_ledger where session = ? and key = ? and kind = 'intent'"
        row = self.sql.execute(query, (session, key)).fetchone()
        return int(row[0]) if row else None

    def log_intent(self, intent: Intent, generation: int, who: str, at: float) -> int:
        after = {"reason": intent.reason} if intent.reason else {}
        return self._log(intent.session, "intent", intent.key, intent.stage.value, generation, who, at, {}, after)

    def log_outcome(self, before: Record, after: Record, who: str, at: float) -> None:
        stage = after.desired.stage.value if after.desired.stage else None
        lines = rules.line(before), rules.line(after)
        self._log(after.session, "outcome", None, stage, after.desired.generation, who, at, *lines)

    def _log(self, *fields: object) -> int:
        *plain, before, after = fields
        query = (
            "insert into sitniks_ledger (session, kind, key, stage, generation, who, at, before, after) "
            "values (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        values = (*plain, json.dumps(before, ensure_ascii=False), json.dumps(after, ensure_ascii=False))
        return int(self.sql.execute(query, values).lastrowid or 0)

    def due(self, now: float, limit: int, after: float = -inf) -> Iterable[Record]:
        order = "and urgent_at > :after order by urgent_at, intent_order limit :limit"
        return self._many(_DUE + order, {"now": now, "limit": limit, "after": after})

    def searching(self, now: float) -> Iterable[Record]:
        ready = "and max(due_at, lease_until) <= :now order by urgent_at, intent_order"
        return self._many(_UNFOUND + ready, {"now": now})

    def unfound(self) -> Iterable[Record]:
        return self._many(_UNFOUND + "order by urgent_at, intent_order", {})

    def ahead(self, urgent_at: float, now: float, limit: int) -> int:
        inner = f"select 1 from sitniks_chat_mappings where {_DUE} and urgent_at < :urgent_at limit :limit"
        values = {"now": now, "urgent_at": urgent_at, "limit": limit}
        return int(self.sql.execute(f"select count(*) from ({inner})", values).fetchone()[0])

    def next_due(self, scan_at: float) -> float | None:
        query = (
            "select max(due_at, lease_until) from sitniks_chat_mappings "
            "where pending = 1 and (sitniks_chat_id is null) = ? order by max(due_at, lease_until) limit 1"
        )
        found, unfound = (self.sql.execute(query, (flag,)).fetchone() for flag in (0, 1))
        times = [*(found or ()), *(max(at, scan_at) for at in unfound or ())]
        return float(min(times)) if times else None

    def key(self, key: str) -> Key:
        row = self.sql.execute("select state from sitniks_keys where key = ?", (key,)).fetchone()
        if row is None:
            return Key()
        state = json.loads(row[0])
        budget = state.pop("budget")
        scan, wide = state.pop("scan"), state.pop("wide")
        budget["grants"] = tuple(budget["grants"])
        return Key(Budget(**budget), Scan(**scan) if scan else None, wide=(wide[0], wide[1]), **state)

    def put_key(self, key: str, state: Key) -> None:
        values = (key, json.dumps(state, default=_fields))
        self.sql.execute("insert or replace into sitniks_keys (key, state) values (?, ?)", values)

    def ledger(self, session: str, limit: int) -> tuple[Entry, ...]:
        """The newest entries of a session, oldest first."""
        query = (
            "select id, session, kind, key, stage, generation, who, at, before, after from sitniks_ledger "
            "where session = ? order by id desc limit ?"
        )
        rows = self.sql.execute(query, (session, limit)).fetchall()
        return tuple(_entry(row) for row in reversed(rows))

    def forget(self, session: str) -> int:
        """Erase one customer; returns the rows erased."""
        record = self.get(session)
        if record is None:
            return 0
        names = (record.instagram, record.telegram, record.chat_id)
        return sum(
            self.sql.execute(query, values).rowcount
            for query, values in (
                ("delete from sitniks_directory where nickname in (?, ?) or chat_id = ?", names),
                ("delete from sitniks_ledger where session = ?", (session,)),
                ("delete from sitniks_chat_mappings where user_id = ?", (session,)),
            )
        )

    def prune(self, limit: float) -> int:
        """Delete what is converged and was last touched before `limit` (Unix time); returns the rows deleted."""
        return sum(
            self.sql.execute(query, (limit,)).rowcount
            for query in (
                "delete from sitniks_directory where seen_at < ?",
                "delete from sitniks_ledger where at < ?",
                "delete from sitniks_chat_mappings where pending = 0 and updated_at < ?",
            )
        )

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


def _fields(value: Any) -> dict[str, Any]:
    """A frozen value for JSON; `asdict` would copy every number in it."""
    return {name: getattr(value, name) for name in value.__slots__}


def _entry(row: tuple[Any, ...]) -> Entry:
    number, session, kind, key, stage, generation, who, at, before, after = row
    return Entry(number, session, kind, key, stage, generation, who, at, json.loads(before), json.loads(after))


def to_row(record: Record) -> dict[str, object]:
    """A record as column values."""
    want, seen = record.desired, record.observed
    values = (
        record.session, record.instagram, record.telegram, record.chat_id, seen.manager.value, seen.status.value,
        record.first_touch_at, want.generation, want.stage, want.intent, want.order, want.asked_at, want.status.value,
        want.status.gen, want.manager.value, want.manager.gen, seen.status.gen, seen.manager.gen,
        seen.doubt.gen if seen.doubt else None, seen.doubt.until if seen.doubt else None,
        seen.doubt.looked if seen.doubt else None, seen.parked, seen.attempt, seen.due_at,
        seen.error.code if seen.error else None, seen.error.message if seen.error else None, record.search_since,
        record.search_attempt, record.urgent_at, record.token, record.lease_until, record.closed, pending(record), 0.0,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def from_row(row: Mapping[str, Any]) -> Record:
    """Column values as a record; `row` has the names of `COLUMNS`."""
    looked = bool(row["doubt_looked"])
    doubt = None if row["doubt_gen"] is None else Doubt(row["doubt_gen"], row["doubt_until"], looked)
    return Record(
        session=row["user_id"],
        instagram=row["instagram_username"],
        telegram=row["telegram_username"],
        chat_id=row["sitniks_chat_id"],
        desired=Desired(
            generation=row["generation"],
            stage=Stage(row["stage"]) if row["stage"] else None,
            intent=row["intent"],
            order=row["intent_order"],
            asked_at=row["asked_at"],
            status=Want(row["want_status"], row["want_status_gen"]),
            manager=Want(row["want_manager"], row["want_manager_gen"]),
        ),
        observed=Observed(
            status=Seen(row["current_status"], row["status_gen"]),
            manager=Seen(row["sitniks_manager_id"], row["manager_gen"]),
            doubt=doubt,
            parked=row["parked"],
            attempt=row["attempt"],
            due_at=row["due_at"],
            error=Error(row["error_code"], row["error_message"] or "") if row["error_code"] else None,
        ),
        first_touch_at=row["first_touch_at"],
        search_since=row["search_since"],
        search_attempt=row["search_attempt"],
        urgent_at=row["urgent_at"],
        token=row["lease_token"],
        lease_until=row["lease_until"],
        closed=row["closed"],
    )
