"""What is only read of the embedded store: its SQL."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mirt_sitniks.core.chats import normalise_username
from mirt_sitniks.core.key_state import MAIN, KeyState
from mirt_sitniks.core.overview import STUCK
from mirt_sitniks.core.record import Record
from mirt_sitniks.core.store import OF_INTEREST, WAITING, Entry, row_of
from mirt_sitniks.core.survey import Group, Overview, OverviewAsked, SessionsAsked
from mirt_sitniks.stores.columns import COLUMNS, SCHEMA, from_row, key_from
from mirt_sitniks.stores.sqlite_orders import OrderRows
from mirt_sitniks.stores.sqlite_views import ACCOUNT, CODE, STATE

_GET = f"select {', '.join(COLUMNS)} from sitniks_chat_mappings "
ENTRY = "session, kind, key, stage, generation, who, at, before, after"
# How a budget's columns are called in the state.
BUDGET = {"grants": "grants", "lock": "lock_code", "locked_until": "locked_until"}


class ReadingRows(OrderRows):
    """The rows of one transaction on `sql`, for `account`, as they are looked at; `wall` is Unix time."""

    account: str = MAIN

    def clock(self, monotonic: float) -> tuple[float, float]:
        """The store's time, by the machine's monotonic clock moved so that it never falls behind what was stored; and
        how far it is moved."""
        row = self.sql.execute("select ahead, last from sitniks_clock where id = 1").fetchone()
        # A new store starts at the wall's time, so that its times read as dates.
        ahead, last = row or (self.wall - monotonic, 0.0)
        if monotonic + ahead < last:
            ahead = last - monotonic
        return float(monotonic + ahead), ahead

    def get(self, session: str) -> Record | None:
        return self.one("user_id = ?", (session,))

    def one(self, where: str, values: tuple[object, ...]) -> Record | None:
        row = self.sql.execute(f"{_GET}where {where}", values).fetchone()
        return _record_of(row) if row else None

    def many(self, where: str, values: dict[str, object]) -> list[Record]:
        rows = self.sql.execute(f"{_GET}where {where}", {**values, "account": self.account}).fetchall()
        return [_record_of(row) for row in rows]

    def key(self, key: str) -> KeyState:
        query = "select state, lookout_at, lookout_by, details from sitniks_keys where key = ?"
        row = self.sql.execute(query, (key,)).fetchone()
        if row is None:
            return KeyState()
        state = json.loads(row[0])
        budget = {BUDGET[name]: value for name, value in state["budget"].items()}
        return key_from({**state, **budget, "lookout_at": row[1], "lookout_by": row[2], "details": json.loads(row[3])})

    def keys(self) -> dict[str, KeyState]:
        """Those of the account."""
        names = self.sql.execute("select key from sitniks_keys where key > ''").fetchall()
        return {name: one for (name,) in names if (one := self.key(name)).account == self.account}

    def ledger(self, session: str, limit: int) -> tuple[Entry, ...]:
        """The newest entries of a session, oldest first."""
        return self._lines("session = :session", -1, {"session": session, "limit": limit})

    def lines(self, account: str, after: int, limit: int) -> tuple[Entry, ...]:
        """Those behind a number, or the newest."""
        return self._lines(_OF_ACCOUNT, after, {"account": account, "limit": limit})

    def _lines(self, where: str, after: int, values: Mapping[str, object]) -> tuple[Entry, ...]:
        order = "desc" if after < 0 else "asc"
        query = f"select id, {ENTRY} from sitniks_ledger where id > :after and {where} order by id {order} limit :limit"
        rows = self.sql.execute(query, {**values, "after": after}).fetchall()
        return tuple(sorted((Entry(*row[:-2], *map(json.loads, row[-2:])) for row in rows), key=lambda one: one.id))

    def overview(self, asked: OverviewAsked, now: float) -> Overview:
        """All sessions in groups."""
        if not asked.counted:
            return Overview(now, self.wall, SCHEMA, keys=self.keys())
        since = {"since": self.wall - asked.active, "account": asked.account}
        active = dict(self.sql.execute(_ACTIVE, since).fetchall())
        shown, names = _shown(asked.statuses)
        rows = self.sql.execute(_GROUPS.format(shown=shown), {**names, "account": asked.account}).fetchall()
        groups = tuple(Group(_record_of(row[2:]), *row[:2]) for row in rows)
        (lines,) = self.sql.execute("select count(*) from sitniks_ledger").fetchone()
        told = self.sql.execute(_SHOWN, {"account": asked.account}).fetchall() if asked.listed else ()
        return Overview(now, self.wall, SCHEMA, groups, self.keys(), active, lines, frozenset(one for (one,) in told))

    def sessions_that(self, asked: SessionsAsked) -> tuple[Record, ...]:
        """Those that fit."""
        where, values = _fitting(asked)
        # Few fit what has no index: reading the table is quicker than looking each row up in order.
        scan = not asked.who and (asked.state or asked.codes or asked.asked_before is not None)
        query = f"{_GET}{'not indexed' if scan else ''} where {where} order by user_id limit :limit"
        return tuple(map(_record_of, self.sql.execute(query, values).fetchall()))

    def troubled(self, limit: int) -> tuple[Record, ...]:
        """Those a person should look at."""
        where = (
            "pending = 1 and asked_at < :waiting or pending = 0 and error_code is not null and closed is null "
            "and asked_at > :known order by asked_at desc limit :limit"
        )
        times = {"waiting": self.wall - WAITING, "known": self.wall - OF_INTEREST}
        return tuple(self.many(where, {**times, "limit": limit}))

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


# Lines of no session are everybody's.
_SHOWN = "select distinct status from sitniks_directory where account = :account and status is not null"
_OF_ACCOUNT = f"(session = '' or {ACCOUNT} = :account)"
_ACTIVE = f"select who, max(at) from sitniks_ledger where at > :since and {_OF_ACCOUNT} group by who"
# Of most there is no clock, and so nothing to be read in the details.
_UNANSWERED = (
    "(details like '%\"clock\"%' and json_extract(details, '$.clock[2]') = 0 "
    "and json_extract(details, '$.clock[4]') = 0)"
)
# One number and one text, for SQLite sorts all rows by what it groups by.
_BITS = (
    *("pending", "closed is null", "parked >= generation", "status_gen < want_status_gen"),
    *("manager_gen < want_manager_gen", "want_status is null", "{shown}"),
    *("(sitniks_chat_id is null and search_attempt > 0)", _UNANSWERED),
)
_GROUPS = (
    "with kinds as (select count(*) as count, min(asked_at) as oldest, min(id) as place from sitniks_chat_mappings "
    f"where account = :account group by error_code, {' + '.join(f'{2**n} * ({b})' for n, b in enumerate(_BITS))}) "
    f"select count, oldest, {', '.join(COLUMNS)} from kinds join sitniks_chat_mappings on id = place"
)


def _shown(statuses: Mapping[str, str]) -> tuple[str, dict[str, object]]:
    """Whether a row shows the status that is asked for, and what names that are in it."""
    names: dict[str, object] = {}
    cases = ""
    for number, (stage, status) in enumerate(statuses.items()):
        names |= {f"stage{number}": stage, f"status{number}": status}
        cases += f" when :stage{number} then :status{number}"
    return (f"ifnull(current_status = case want_status{cases} end, 0)" if cases else "0"), names


def _fitting(asked: SessionsAsked) -> tuple[str, dict[str, object]]:
    """What is asked for as a condition and its values."""
    parts = ["account = :account", "user_id > :after"]
    values: dict[str, object] = {"account": asked.account, "after": asked.after, "limit": asked.limit}
    if asked.who is not None:
        parts.append(f"id in ({' union '.join(f'select id from sitniks_chat_mappings where {one}' for one in _NAMED)})")
        values |= {"who": asked.who, "row": row_of(asked.account, asked.who), "name": normalise_username(asked.who)}
    if asked.state:
        shown, names = _shown(asked.statuses)
        parts.append(_STATES[asked.state].format(shown=shown))
        values |= {**names, "stuck": json.dumps(STUCK)}
    if asked.codes:
        parts.append(f"{CODE} in (select value from json_each(:codes))")
        values["codes"] = json.dumps(asked.codes)
    if asked.asked_before is not None:
        parts.append("asked_at < :asked_before")
        values["asked_before"] = asked.asked_before
    if asked.charted:
        parts.append("sitniks_chat_id is not null")
    return " and ".join(parts), values


_NAMED = (
    *("user_id in (:who, :row)", "sitniks_chat_id = :who"),
    *("instagram_username = :name", "telegram_username = :name"),
)
_STUCK = "ifnull(error_code in (select value from json_each(:stuck)), 0)"
_STATES = {
    "waiting": f"pending = 1 and not {_STUCK}",
    "failed": f"({STATE} = 'given up' or pending = 1 and {_STUCK})",
    "held": f"{STATE} = 'done' and want_status is not null and not {{shown}}",
    "unanswered": _UNANSWERED,
}


def _record_of(values: Sequence[Any]) -> Record:
    row = dict(zip(COLUMNS, values, strict=True))
    return from_row({**row, "details": json.loads(row["details"])})
