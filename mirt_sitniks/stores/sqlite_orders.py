"""The orders of the embedded store: their SQL."""

import json
import sqlite3
from collections.abc import Iterable

from mirt_sitniks.core.orders import OrderRecord, OrdersAsked, OrdersSeen
from mirt_sitniks.core.store import WAITING
from mirt_sitniks.stores.order_columns import COLUMNS, in_turn, order_from, order_to

_ALL = (*COLUMNS, "updated_at")
_GET = f"select {', '.join(COLUMNS)} from sitniks_orders where account = :account and "
_READY = "max(due_at, lease_until)"
_NEXT = f"select {_READY} from sitniks_orders where account = ? and due_at is not null order by {_READY} limit 1"
_LISTED = "{0} in (select value from json_each(:{0}s))"
_ALIKE = "state in ('sent', 'unknown') and substr(digest, 1, length(:alike)) = :alike"
_DUE = f"due_at is not null and {_READY} <= :now order by {_READY}, external_id limit :due"
_TROUBLED = (
    "(due_at is not null and asked_at < :waiting or state = 'unknown' and digest > '') "
    "order by asked_at desc, external_id limit :troubled"
)
# Neither another row of this name nor another one that is tied to this order of the CRM.
_ADD = f"insert or ignore into sitniks_orders ({', '.join(_ALL)}) values ({', '.join(f':{name}' for name in _ALL)})"
_CHANGE = (
    f"update or ignore sitniks_orders set {', '.join(f'{name} = :{name}' for name in _ALL)} "
    "where account = :account and external_id = :external_id and version = :version - 1"
)
_FORGET = (
    "update sitniks_orders set digest = '', body = '{}', session = null, chat_id = null, due_at = null, attempt = 0, "
    "sent_at = null, unconfirmed_until = null, error_code = null, error_message = null, candidates = '[]', "
    "lease_by = '', lease_until = 0, version = version + 1, updated_at = ? where session = ? or chat_id = ?"
)


class OrderRows:
    """The orders of one transaction on `sql`; `wall` is Unix time."""

    sql: sqlite3.Connection
    wall: float

    def show_orders(self, asked: OrdersAsked, now: float) -> OrdersSeen:
        values = {
            "account": asked.account,
            "external_ids": json.dumps(asked.external_ids),
            "order_ids": json.dumps(asked.order_ids),
            "sessions": json.dumps(asked.sessions),
            "alike": asked.alike,
            "now": now,
            "due": asked.due,
            "waiting": now - WAITING,
            "troubled": asked.troubled,
        }
        wanted = [_LISTED.format("external_id")] * bool(asked.external_ids)
        wanted += [_LISTED.format("order_id")] * bool(asked.order_ids)
        wanted += [_LISTED.format("session")] * bool(asked.sessions)
        wanted += [_ALIKE] * (asked.alike is not None)
        wanted += [_DUE] * bool(asked.due) + [_TROUBLED] * bool(asked.troubled)
        found = [one for where in wanted for one in self.sql.execute(_GET + where, values).fetchall()]
        following = self.sql.execute(_NEXT, (asked.account,)).fetchone()
        return OrdersSeen(now, in_turn(map(_order_of, found)), following[0] if following else None)

    def commit_order(self, record: OrderRecord) -> bool:
        row = order_to(record)
        values = {**row, **{name: json.dumps(row[name]) for name in ("body", "candidates")}, "updated_at": self.wall}
        return self.sql.execute(_CHANGE if record.version else _ADD, values).rowcount == 1

    def forget_orders(self, session: str, chat_id: str | None) -> int:
        """Leave of a customer's orders what keeps them from being made again; returns how many these are."""
        return self.sql.execute(_FORGET, (self.wall, session, chat_id)).rowcount

    def prune_orders(self, before: float) -> int:
        """Delete what ended and was last written before; returns how many these are."""
        return self.sql.execute(
            "delete from sitniks_orders where due_at is null and updated_at < ?", (before,)
        ).rowcount


def _order_of(values: Iterable[object]) -> OrderRecord:
    row = dict(zip(COLUMNS, values, strict=True))
    return order_from({**row, **{name: json.loads(str(row[name])) for name in ("body", "candidates")}})
