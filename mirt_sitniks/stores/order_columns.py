"""An order as the columns of `sitniks_orders`, which both databases have, and back."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from math import inf
from typing import Any

from mirt_sitniks.core.orders import Candidate, OrderRecord, OrderState

# Named as the record's fields are; `body` and `candidates` are JSON.
COLUMNS = tuple(one.name for one in fields(OrderRecord))
TIMES = ("asked_at", "due_at", "sent_at", "unconfirmed_until", "lease_until")


def order_to(record: OrderRecord) -> dict[str, Any]:
    """An order as the column values that it is written with: its version is the next one."""
    values = {name: getattr(record, name) for name in COLUMNS}
    candidates = [asdict(one) for one in record.candidates]
    return {**values, "body": dict(record.body), "candidates": candidates, "version": record.version + 1}


def order_from(row: Mapping[str, Any]) -> OrderRecord:
    """Column values as an order; JSON is read, times are seconds."""
    candidates = tuple(Candidate(**one) for one in row["candidates"])
    return OrderRecord(**{**row, "state": OrderState(row["state"]), "candidates": candidates})


def in_turn(records: Iterable[OrderRecord]) -> tuple[OrderRecord, ...]:
    """Each once: who could be worked on longest first, ended ones last."""
    return tuple(sorted({one.external_id: one for one in records}.values(), key=_turn))


def _turn(record: OrderRecord) -> tuple[float, str]:
    return inf if record.due_at is None else max(record.due_at, record.lease_until), record.external_id
