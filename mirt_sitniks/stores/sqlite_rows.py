"""The rows of the embedded store: its SQL."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from math import inf
from typing import Any

from mirt_sitniks.core.backoff import ACCOUNT_CODES
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.record import Record
from mirt_sitniks.core.rows import Waiting, waits
from mirt_sitniks.core.store import (
    MAIN,
    OF_INTEREST,
    WAITING,
    Entry,
    Group,
    KeyState,
    Overview,
    OverviewAsked,
    SessionsAsked,
)
from mirt_sitniks.stores.columns import (
    COLUMNS,
    CONTACT,
    SCHEMA,
    contact_from,
    contact_to,
    from_row,
    key_from,
    key_to,
    newest_managers,
    to_row,
)
from mirt_sitniks.stores.sqlite_orders import OrderRows

_PUT = (
    f"insert into sitniks_chat_mappings ({', '.join(COLUMNS)}, account, created_at) "
    f"values ({', '.join(f':{name}' for name in COLUMNS)}, :account, :updated_at) on conflict (user_id) do update set "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name != "user_id")
)
_GET = f"select {', '.join(COLUMNS)} from sitniks_chat_mappings where "
# Who waits for a chat has a search; all others can be worked on.
_WORK = "account = :account and pending = 1 and search_since is null "
_DUE = _WORK + "and due_at <= :now and lease_until <= :now "
_UNFOUND = "account = :account and pending = 1 and search_since is not null "
_WAITING = (
    "select max(due_at, lease_until) <= :now, search_attempt, min(coalesce(search_since, :wall)), min(urgent_at), "
    "min(max(due_at, lease_until)) "
    f"from sitniks_chat_mappings where {_UNFOUND} group by 1, 2"
)
_ENTRY = "session, kind, key, stage, generation, who, at, before, after"
# How a budget's columns are called in the state.
_BUDGET = {"grants": "grants", "lock": "lock_code", "locked_until": "locked_until"}
_CONTACT = (*CONTACT, "seen_at", "details")


class SqliteRows(OrderRows):
    """The `Rows` of one transaction on `connection`, for `account`; `wall` is Unix time."""

    def __init__(self, connection: sqlite3.Connection, wall: float) -> None:
        self.sql = connection
        self.account = MAIN
        self.unfolded = False
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
        row = to_row(record)
        more = {"details": json.dumps(row["details"]), "account": self.account, "updated_at": self.wall}
        self.sql.execute(_PUT, {**row, **more})

    def by_chat(self, chat_id: str) -> Record | None:
        return self._one("sitniks_chat_id = ?", (chat_id,))

    def _one(self, where: str, values: tuple[object, ...]) -> Record | None:
        row = self.sql.execute(_GET + where, values).fetchone()
        return _record_of(row) if row else None

    def _many(self, where: str, values: dict[str, object]) -> list[Record]:
        rows = self.sql.execute(_GET + where, {**values, "account": self.account}).fetchall()
        return [_record_of(row) for row in rows]

    def contact(self, chat_id: str) -> Chat | None:
        return next(iter(self._listed("chat_id", chat_id)), None)

    def _listed(self, column: str, value: str) -> list[Chat]:
        query = f"select {', '.join(_CONTACT)} from sitniks_directory where {column} = ? and account = ?"
        found = (dict(zip(_CONTACT, row, strict=True)) for row in self.sql.execute(query, (value, self.account)))
        return [contact_from({**row, "details": json.loads(row["details"])}) for row in found]

    def contacts(self, instagram: str | None, telegram: str | None) -> Iterable[Chat]:
        names = sorted({instagram, telegram} - {None}, key=str)
        found = {chat.id: chat for name in names for chat in self._listed("nickname", str(name))}
        own = "account = ? and sitniks_chat_id is not null and {}_username = ?"
        for channel, name in (("instagram", instagram), ("telegram", telegram)):
            if name:
                query = f"select sitniks_chat_id from sitniks_chat_mappings where {own.format(channel)}"
                for (chat_id,) in self.sql.execute(query, (self.account, name)).fetchall():
                    found.setdefault(chat_id, Chat(chat_id, name, channel, own=True))
        return found.values()

    def add_contacts(self, chats: Iterable[Chat]) -> None:
        rows = ({**contact_to(chat), "account": self.account} for chat in chats)
        marks = ", ".join(f":{name}" for name in _CONTACT)
        query = f"insert or replace into sitniks_directory ({', '.join(_CONTACT)}, account) values ({marks}, :account)"
        self.sql.executemany(query, ({**row, "details": json.dumps(row["details"])} for row in rows))

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
        values = {"now": now, "wall": self.wall, "account": self.account}
        return sum((waits(*row) for row in self.sql.execute(_WAITING, values).fetchall()), Waiting())

    def unfound(self) -> Iterable[Record]:
        return self._many(_UNFOUND + "order by urgent_at, intent_order", {})

    def lost(self, names: set[str]) -> Iterable[Record]:
        given_up = "account = :account and pending = 0 and search_since is not null and closed is null and {} = :name"
        queries = [given_up.format(f"{channel}_username") for channel in ("instagram", "telegram")]
        found = [one for query in queries for name in sorted(names) for one in self._many(query, {"name": name})]
        return {one.session: one for one in sorted(found, key=lambda one: one.session)}.values()

    def ahead(self, urgent_at: float, now: float, limit: int) -> int:
        inner = f"select 1 from sitniks_chat_mappings where {_DUE} and urgent_at < :urgent_at limit :limit"
        values = {"now": now, "urgent_at": urgent_at, "limit": limit, "account": self.account}
        return int(self.sql.execute(f"select count(*) from ({inner})", values).fetchone()[0])

    def next_due(self) -> float:
        query = (
            f"select max(due_at, lease_until) from sitniks_chat_mappings where {_WORK}"
            "order by max(due_at, lease_until) limit 1"
        )
        row = self.sql.execute(query, {"account": self.account}).fetchone()
        return float(row[0]) if row else inf

    def key(self, key: str) -> KeyState:
        query = "select state, lookout_at, lookout_by, details from sitniks_keys where key = ?"
        row = self.sql.execute(query, (key,)).fetchone()
        if row is None:
            return KeyState()
        state = json.loads(row[0])
        budget = {_BUDGET[name]: value for name, value in state["budget"].items()}
        return key_from({**state, **budget, "lookout_at": row[1], "lookout_by": row[2], "details": json.loads(row[3])})

    def managers(self) -> tuple[int, ...]:
        names = self.sql.execute("select key from sitniks_keys where key > ''").fetchall()
        return newest_managers(one for (name,) in names if (one := self.key(name)).account == self.account)

    def put_key(self, key: str, state: KeyState) -> None:
        row = key_to(state)
        # Apart from the rest: an earlier version reads the state, too, and takes nothing that it does not know.
        apart = row.pop("lookout_at"), row.pop("lookout_by"), json.dumps(row.pop("details"))
        row["budget"] = {name: row.pop(column) for name, column in _BUDGET.items()}
        columns = "key, state, lookout_at, lookout_by, details"
        values = (key, json.dumps(row), *apart)
        self.sql.execute(f"insert or replace into sitniks_keys ({columns}) values (?, ?, ?, ?, ?)", values)

    def wake(self, now: float) -> None:
        marks = ", ".join("?" * len(ACCOUNT_CODES))
        where = f"pending = 1 and due_at > ? and sitniks_chat_id is not null and error_code in ({marks})"
        self.sql.execute(f"update sitniks_chat_mappings set due_at = ? where {where}", (now, now, *ACCOUNT_CODES))

    def ledger(self, session: str, limit: int) -> tuple[Entry, ...]:
        """The newest entries of a session, oldest first."""
        query = f"select id, {_ENTRY} from sitniks_ledger where session = ? order by id desc limit ?"
        rows = self.sql.execute(query, (session, limit)).fetchall()
        return tuple(map(_entry, reversed(rows)))

    def forget(self, session: str) -> int:
        """Erase one customer; returns the rows erased."""
        # What it did is in the ledger also when the record itself is gone.
        record = self.get(session) or Record(session)
        names = (record.instagram, record.telegram, record.chat_id)
        return self.forget_orders(session, record.chat_id) + sum(
            self.sql.execute(query, values).rowcount
            for query, values in (
                ("delete from sitniks_directory where nickname in (?, ?) or chat_id = ?", names),
                ("delete from sitniks_ledger where session = ?", (session,)),
                ("delete from sitniks_chat_mappings where user_id = ?", (session,)),
            )
        )

    def prune(self, limit: float, seen: float, records: bool) -> int:
        """Delete what is converged and was last touched before `limit` (Unix time), and the chats that were not seen
        since `seen` (the store's time); returns the rows deleted."""
        queries = [
            ("delete from sitniks_directory where seen_at < ?", seen),
            ("delete from sitniks_ledger where at < ?", limit),
        ]
        if records:
            queries.append(("delete from sitniks_chat_mappings where pending = 0 and updated_at < ?", limit))
        return self.prune_orders(limit) + sum(self.sql.execute(query, (since,)).rowcount for query, since in queries)

    def troubled(self, limit: int) -> tuple[Record, ...]:
        """Those a person should look at."""
        where = (
            "pending = 1 and asked_at < :waiting or pending = 0 and error_code is not null and closed is null "
            "and asked_at > :known order by asked_at desc limit :limit"
        )
        times = {"waiting": self.wall - WAITING, "known": self.wall - OF_INTEREST}
        return tuple(self._many(where, {**times, "limit": limit}))

    def overview(self, asked: OverviewAsked, now: float) -> Overview:
        """All sessions in groups."""
        keys = (name for (name,) in self.sql.execute("select key from sitniks_keys where key > ''").fetchall())
        states = {name: self.key(name) for name in keys}
        active = self.sql.execute(_ACTIVE, {"since": self.wall - asked.active, **_account(asked.account)}).fetchall()
        values = {"statuses": json.dumps(dict(asked.statuses)), "account": asked.account}
        groups = [Group(_record_of(row[2:]), *row[:2]) for row in self.sql.execute(_GROUPS, values).fetchall()]
        (lines,) = self.sql.execute("select count(*) from sitniks_ledger").fetchone()
        mine = {name: state for name, state in states.items() if state.account == asked.account}
        return Overview(now, self.wall, SCHEMA, tuple(groups), mine, dict(active), lines)

    def sessions_that(self, asked: SessionsAsked) -> tuple[Record, ...]:
        """Those that fit."""
        values = {**asdict(asked), "statuses": json.dumps(dict(asked.statuses)), "codes": json.dumps(asked.codes)}
        rows = self.sql.execute(f"{_GET}account = :account and {_fitting(asked)} order by user_id limit :limit", values)
        return tuple(map(_record_of, rows.fetchall()))

    def lines(self, account: str, after: int, limit: int) -> tuple[Entry, ...]:
        """Those behind a number, or the newest."""
        order = "where id > :after and {} order by id" if after >= 0 else "where {} order by id desc"
        query = f"select id, {_ENTRY} from sitniks_ledger {order.format(_OF_ACCOUNT)} limit :limit"
        values = {"after": after, "limit": limit, **_account(account)}
        found = [_entry(row) for row in self.sql.execute(query, values).fetchall()]
        return tuple(found if after >= 0 else reversed(found))

    def counts(self, overdue: float) -> dict[str, int]:
        """How much is there; `overdue` is the store's time before which due work is late."""
        queries = {
            "records": "select count(*) from sitniks_chat_mappings",
            "pending": "select count(*) from sitniks_chat_mappings where pending = 1",
            "overdue": f"select count(*) from sitniks_chat_mappings where pending = 1 and due_at < {overdue!r}",
            "ledger": "select count(*) from sitniks_ledger",
            "directory": "select count(*) from sitniks_directory",
            "orders": "select count(*) from sitniks_orders",
        }
        return {name: int(self.sql.execute(query).fetchone()[0]) for name, query in queries.items()}


def _entry(row: Sequence[Any]) -> Entry:
    return Entry(*row[:-2], *map(json.loads, row[-2:]))


def _account(account: str) -> dict[str, object]:
    """What tells an account's lines from others': the sessions of all but the main one begin with its name."""
    return {"main": account == MAIN, "head": f"{account}/"}


def _fitting(asked: SessionsAsked) -> str:
    """What is asked for as a condition; its values are those of `asked`."""
    parts = ["user_id > :after"]
    if asked.who is not None:
        parts.append(f"({' or '.join(f'{name} = :who' for name in _NAMES)})")
    if asked.state:
        parts.append(_STATES[asked.state])
    if asked.codes:
        parts.append("error_code in (select value from json_each(:codes))")
    if asked.asked_before is not None:
        parts.append("asked_at < :asked_before")
    if asked.charted:
        parts.append("sitniks_chat_id is not null")
    return " and ".join(parts)


_NAMES = ("user_id", "instagram_username", "telegram_username", "sitniks_chat_id")
_SHOWN = "current_status = json_extract(:statuses, '$.' || want_status)"
_STATES = {
    "waiting": "pending = 1",
    "failed": "pending = 0 and error_code is not null and closed is null",
    "held": f"pending = 0 and error_code is null and closed is null and want_status is not null and not ({_SHOWN})",
}
_GROUPS = (
    f"select count(*), min(asked_at), {', '.join(COLUMNS)} from sitniks_chat_mappings where account = :account "
    "group by pending, closed is null, parked >= generation, error_code, status_gen < want_status_gen, "
    f"manager_gen < want_manager_gen, want_status is null, {_SHOWN}, sitniks_chat_id is null and search_attempt > 0"
)
# Lines of no session are everybody's.
_OF_ACCOUNT = "(session = '' or case when :main then instr(session, '/') = 0 else session like :head || '%' end)"
_ACTIVE = f"select who, max(at) from sitniks_ledger where at > :since and {_OF_ACCOUNT} group by who"


def _record_of(values: Sequence[Any]) -> Record:
    row = dict(zip(COLUMNS, values, strict=True))
    return from_row({**row, "details": json.loads(row["details"])})
