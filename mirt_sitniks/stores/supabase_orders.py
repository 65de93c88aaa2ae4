"""Orders in a Supabase project: what is shown of them, and writing one."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import uuid4

from mirt_sitniks.core.orders import OrderRecord, OrdersAsked, OrdersSeen
from mirt_sitniks.core.store import WAITING
from mirt_sitniks.core.text import clean
from mirt_sitniks.stores.order_columns import TIMES, in_turn, order_from, order_to
from mirt_sitniks.stores.supabase_project import Json
from mirt_sitniks.stores.supabase_rows import iso

T = TypeVar("T")


class _Exchanges(Protocol):
    async def _care(self, verb: str, request: Json, read: Callable[[Any], T], *, safe: bool = False) -> T: ...


class SupabaseOrders:
    """`OrderStore` for the store that it is a part of."""

    async def orders(self: _Exchanges, asked: OrdersAsked) -> OrdersSeen:
        """Show orders."""
        names = clean(asked)
        request: Json = {
            "account": names.account,
            "external_ids": list(names.external_ids),
            "order_ids": list(names.order_ids),
            "sessions": list(names.sessions),
            "alike": names.alike,
            "due": names.due,
            "troubled": names.troubled,
            "waiting": WAITING,
        }
        return await self._care("orders", request, _seen_of, safe=True)

    async def commit_order(self: _Exchanges, record: OrderRecord) -> bool:
        """Write a row if it is what was seen; after a lost answer it is told whether it was written."""
        row = order_to(clean(record))
        times = {name: row[name] if row[name] is None else iso(row[name]) for name in TIMES}
        return await self._care("commit_order", {**row, **times, "written_by": uuid4().hex}, bool, safe=True)


def _seen_of(answer: Json) -> OrdersSeen:
    seconds = {name: _seconds(answer[name]) for name in ("now", "next_at")}
    return OrdersSeen(records=in_turn(map(_order_of, answer["records"])), **seconds)


def _order_of(row: Json) -> OrderRecord:
    return order_from({**row, **{name: _seconds(row[name]) for name in TIMES}})


def _seconds(text: str | None) -> Any:
    return text and datetime.fromisoformat(text).timestamp()
