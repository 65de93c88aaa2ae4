"""The rows of the embedded store, as the rules see and write them: their SQL."""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from math import inf

from mirt_sitniks.core.backoff import ACCOUNT_CODES
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.key_state import MAIN, KeyState
from mirt_sitniks.core.record import Record
from mirt_sitniks.core.repeats import without_chat
from mirt_sitniks.core.rows import SHOWN, Waiting, waits
from mirt_sitniks.core.store import Entry
from mirt_sitniks.stores.columns import COLUMNS, CONTACT, contact_from, contact_to, key_to, newest_managers, to_row
from mirt_sitniks.stores.sqlite_reading import BUDGET, ENTRY, ReadingRows

_PUT = (
    f"insert into sitniks_chat_mappings ({', '.join(COLUMNS)}, account, created_at) "
    f"values ({', '.join(f':{name}' for name in COLUMNS)}, :account, :updated_at) on conflict (user_id) do update set "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name != "user_id")
)
# Who waits for a chat has a search; all others can be worked on.
_WORK = "account = :account and (pending = 1 or aside = 1) and search_since is null "
_DUE = _WORK + "and due_at <= :now and lease_until <= :now "
_UNFOUND = "account = :account and pending = 1 and search_since is not null "
_WAITING = (
    "select max(due_at, lease_until) <= :now, search_attempt, min(coalesce(search_since, :wall)), min(urgent_at), "
    "min(max(due_at, lease_until)) "
    f"from sitniks_chat_mappings where {_UNFOUND} group by 1, 2"
)
_LOOKED = ", ".join(f"coalesce(json_extract(details, '$.{one}'), 0)" for one in ("looked_at", "seen_at", "hinted_at"))
_UNLISTED = (
    "account = :account and closed is null and sitniks_chat_id is not null and updated_at > :touched "
    f"and max({_LOOKED}) < :since and not exists (select 1 from sitniks_directory d where d.account = :account "
    "and d.chat_id = sitniks_chat_id and d.seen_at >= :since) order by user_id limit :limit"
)
_SILENCE = (
    "update sitniks_chat_mappings set details = json_remove(details, '$.voices') "
    "where details like '%\"voices\"%' and updated_at < ?"
)
_CONTACT = (*CONTACT, "seen_at", "details")


class SqliteRows(ReadingRows):
    """The `Rows` of one transaction on `connection`, for `account`; `wall` is Unix time."""

    def __init__(self, connection: sqlite3.Connection, wall: float) -> None:
        self.sql = connection
        self.account = MAIN
        self.unfolded = False
        self.wall = wall

    def tick(self, monotonic: float) -> float:
        """The store's time, which it keeps."""
        now, ahead = self.clock(monotonic)
        self.sql.execute("insert or replace into sitniks_clock (id, ahead, last) values (1, ?, ?)", (ahead, now))
        return now

    def put(self, record: Record) -> None:
        row = to_row(record)
        more = {"details": json.dumps(row["details"]), "account": self.account, "updated_at": self.wall}
        self.sql.execute(_PUT, {**row, **more})

    def by_chat(self, chat_id: str) -> Record | None:
        return self.one("sitniks_chat_id = ?", (chat_id,))

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
        query = f"insert into sitniks_ledger ({ENTRY}) values (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        return int(self.sql.execute(query, values).lastrowid or 0)

    def due(self, now: float, limit: int) -> Iterable[Record]:
        order = "order by urgent_at, intent_order limit :limit"
        return self.many(_DUE + order, {"now": now, "limit": limit})

    def waiting(self, now: float) -> Waiting:
        values = {"now": now, "wall": self.wall, "account": self.account}
        return sum((waits(*row) for row in self.sql.execute(_WAITING, values).fetchall()), Waiting())

    def unfound(self) -> Iterable[Record]:
        return self.many(_UNFOUND + "order by urgent_at, intent_order", {})

    def lost(self, names: set[str]) -> Iterable[Record]:
        return self._named("account = :account and pending = 0 and search_since is not null and closed is null", names)

    def awaiting(self, names: set[str]) -> Iterable[Record]:
        return self._named(_UNFOUND, names)

    def _named(self, where: str, names: set[str]) -> Iterable[Record]:
        queries = [f"{where} and {channel}_username = :name" for channel in ("instagram", "telegram")]
        found = [one for query in queries for name in sorted(names) for one in self.many(query, {"name": name})]
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

    def unlisted(self, now: float, since: float, hold: float) -> Iterable[Record]:
        return self.many(_UNLISTED, {"touched": self.wall - hold, "since": since, "limit": SHOWN})

    def managers(self) -> tuple[int, ...]:
        return newest_managers(self.keys().values())

    def put_key(self, key: str, state: KeyState) -> None:
        row = key_to(state)
        # Apart from the rest: an earlier version reads the state, too, and takes nothing that it does not know.
        apart = row.pop("lookout_at"), row.pop("lookout_by"), json.dumps(row.pop("details"))
        row["budget"] = {name: row.pop(column) for name, column in BUDGET.items()}
        columns = "key, state, lookout_at, lookout_by, details"
        values = (key, json.dumps(row), *apart)
        self.sql.execute(f"insert or replace into sitniks_keys ({columns}) values (?, ?, ?, ?, ?)", values)

    def wake(self, now: float) -> None:
        marks = ", ".join("?" * len(ACCOUNT_CODES))
        where = f"pending = 1 and due_at > ? and sitniks_chat_id is not null and error_code in ({marks})"
        self.sql.execute(f"update sitniks_chat_mappings set due_at = ? where {where}", (now, now, *ACCOUNT_CODES))

    def forget(self, session: str) -> int:
        """Erase one customer; returns the rows erased."""
        # What it did is in the ledger also when the record itself is gone.
        record = self.get(session) or Record(session)
        names = (record.instagram, record.telegram, record.chat_id)
        for name, key in self.keys().items():
            if (repeats := without_chat(key.repeats, record.chat_id)) != key.repeats:
                self.put_key(name, replace(key, repeats=repeats))
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
            queries.append(
                ("delete from sitniks_chat_mappings where pending = 0 and aside = 0 and updated_at < ?", limit)
            )
        erased = self.prune_orders(limit) + sum(self.sql.execute(query, (since,)).rowcount for query, since in queries)
        self.sql.execute(_SILENCE, (limit,))
        return erased
