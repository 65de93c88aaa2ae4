"""Which orders of the CRM may be a record's own: pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from mirt_sitniks.core.order_body import lines_of, total_of
from mirt_sitniks.core.orders import CrmOrder, Line, OrderRecord

# How far the CRM's clock and the store's may be apart, and how much wider than needed the list is asked for: what the
# CRM makes of a date's time zone is not known.
SLACK, WIDER = 120.0, 86_400.0
# A phone's last digits: a country's code may be shown or not.
DIGITS = 9


def since(record: OrderRecord) -> float:
    """Since when the order can have been made, on the CRM's clock."""
    return (record.sent_at or record.asked_at) - SLACK


def fitting(record: OrderRecord, orders: Iterable[CrmOrder]) -> tuple[CrmOrder, ...]:
    """Those that may be this record's: of its external id; where none has it, of its phone, total and items.

    One that shows another's external id never fits, nor one that is older than the call.
    """
    listed = tuple(orders)
    own = tuple(one for one in listed if one.external_id == record.external_id)
    return own or tuple(one for one in listed if not one.external_id and _is_like(record, one))


def _is_like(record: OrderRecord, order: CrmOrder) -> bool:
    """Whether all that the order shows is the record's, and that is enough to tell it apart."""
    if order.created_at is None or order.created_at < since(record) or not record.body:
        return False
    told = order.total is not None or bool(order.lines)
    total = order.total is None or order.total in _totals(record.body, sure=not order.lines)
    lines = not order.lines or _are_lines(lines_of(record.body), order.lines)
    ours, theirs = _digits(record.body["client"].get("phone")), _digits(order.phone)
    return told and total and lines and ours == theirs and len(ours) == DIGITS


def _totals(body: Mapping[str, Any], *, sure: bool) -> set[Decimal]:
    """What the CRM may show as the total: whether it takes the discount off, and adds the delivery, is not known.

    Where it shows no items beside it, what the customer pays for them alone.
    """
    due, delivery = total_of(body), Decimal(str((body.get("npDelivery") or {}).get("price", 0)))
    goods = due + Decimal(str(body.get("discountAmount", 0)))
    return {due} if sure else {due, goods, due + delivery, goods + delivery}


def _are_lines(ours: Sequence[Line], theirs: Sequence[Line]) -> bool:
    left = list(theirs)
    for line in ours:
        found = next((one for one in left if _is_line(line, one)), None)
        if found is None:
            return False
        left.remove(found)
    return not left


def _is_line(ours: Line, theirs: Line) -> bool:
    if (ours.price, ours.quantity) != (theirs.price, theirs.quantity):
        return False
    if ours.variation_id is not None and theirs.variation_id is not None:
        return ours.variation_id == theirs.variation_id
    return ours.sku is None or theirs.sku is None or ours.sku.casefold() == theirs.sku.casefold()


def _digits(phone: str | None) -> str:
    return re.sub(r"\D", "", phone or "")[-DIGITS:]
