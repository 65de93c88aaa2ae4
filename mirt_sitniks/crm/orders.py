"""The calls for orders, their statuses and the catalogue, and what the answers mean: pure, and read as tolerantly.

Making an order is the one call that must never be made twice: its error is `unconfirmed` unless the CRM said no, and a
good answer that shows no id says nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

from mirt_sitniks.core.orders import CrmOrder, Line, OrderStatus, Variation
from mirt_sitniks.core.text import clean
from mirt_sitniks.crm.answers import _bad_response
from mirt_sitniks.crm.calls import UNREADABLE, OwnCall, Page, Request, _json, _order_path, _paging, format_time, id_of
from mirt_sitniks.crm.objects import int_of, page_of, text_of
from mirt_sitniks.errors import CrmError, NotFound, Refused

T = TypeVar("T")
_MONEY = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,6})?")


@dataclass(frozen=True, slots=True)
class CreateOrder(OwnCall[CrmOrder]):
    """Make an order of `body`, the JSON of the contract."""

    body: Mapping[str, Any]

    kind, right, writes, makes = "orders", "make orders", True, True

    def request(self) -> Request:
        """`POST /orders`."""
        return Request("POST", "/orders", body=_json(clean(dict(self.body))))

    def read(self, document: object) -> object:
        """The order that was made; without an id there is none."""
        return _order(_inner(document)) or UNREADABLE

    def refusal(self, status: int, said: str) -> CrmError | None:
        """The order will not be taken as it is."""
        if status not in (400, 404, 422):
            return None
        cure = "the order is not taken as it is; correct its client, items, status or delivery."
        return Refused(f"{said}: {cure}", status=status, code="order_invalid")


@dataclass(frozen=True, slots=True)
class GetOrder(OwnCall[CrmOrder]):
    """One order as it is now."""

    order_id: str

    kind, right = "orders", "read orders"

    def request(self) -> Request:
        """`GET /orders/{id}`."""
        return Request("GET", _order_path(self.order_id))

    def read(self, document: object) -> object:
        """The order that was asked for, no other."""
        return _own_order(document, self.order_id) or UNREADABLE

    def refusal(self, status: int, said: str) -> CrmError | None:
        """A 404 is the order's."""
        return _order_gone(status, said) if status == 404 else None


@dataclass(frozen=True, slots=True)
class SetOrderStatus(OwnCall[CrmOrder | None]):
    """Give an order a status, by the status's id."""

    order_id: str
    status_id: int

    kind, right, writes = "orders", "set the status of orders", True

    def request(self) -> Request:
        """`PUT /orders/{id}/status`."""
        return Request("PUT", _order_path(self.order_id, "/status"), body=_json({"statusId": self.status_id}))

    def read(self, document: object) -> object:
        """The order, if the answer shows it: any 2xx is a yes."""
        return _own_order(document, self.order_id)

    def refusal(self, status: int, said: str) -> CrmError | None:
        """A 404 is the order's, a 400 or 422 the status's."""
        if status == 404:
            return _order_gone(status, said)
        if status not in (400, 422):
            return None
        cure = f"the account has no order status {self.status_id}, or this order cannot be given it: name another."
        return Refused(f"{said}: {cure}", status=status, code="unknown_status")


class _List(OwnCall[T]):
    """A list always exists: where it is missing, the address is wrong."""

    __slots__ = ()

    def refusal(self, status: int, said: str) -> CrmError | None:
        """A 404 is the address's."""
        return _bad_response(self, status, "no such page") if status == 404 else None


@dataclass(frozen=True, slots=True)
class ListOrders(_List[Page[CrmOrder]]):
    """A page of the orders made between two moments. The CRM ignores time zones: ask a day wider, cut by
    `created_at`."""

    since: datetime
    until: datetime
    skip: int = 0
    limit: int = 50

    kind, right = "orders", "list orders"

    def request(self) -> Request:
        """`GET /orders`."""
        dates = (("createdAtFrom", format_time(self.since)), ("createdAtTo", format_time(self.until)))
        return Request("GET", "/orders", (*dates, *_paging(self.skip, self.limit)))

    def read(self, document: object) -> object:
        """A page."""
        return page_of(document, _order)


@dataclass(frozen=True, slots=True)
class ListOrderStatuses(_List[tuple[OrderStatus, ...]]):
    """The statuses that the account's orders can have."""

    kind, right = "orders", "list the statuses of orders"

    def request(self) -> Request:
        """`GET /orders/statuses`."""
        return Request("GET", "/orders/statuses")

    def read(self, document: object) -> object:
        """All of them: there are no pages."""
        page = page_of(document, _status)
        return page.items if isinstance(page, Page) else UNREADABLE


@dataclass(frozen=True, slots=True)
class ListVariations(_List[Page[Variation]]):
    """A page of the catalogue's variations with this sku. A filter may be ignored: look at each one's `sku`."""

    sku: str
    skip: int = 0
    limit: int = 50

    kind, right = "catalogue", "read the catalogue"

    def request(self) -> Request:
        """`GET /products/variations`."""
        return Request("GET", "/products/variations", (("sku", clean(self.sku)), *_paging(self.skip, self.limit)))

    def read(self, document: object) -> object:
        """A page."""
        return page_of(document, _variation)


def _order_gone(status: int, said: str) -> NotFound:
    cure = "the order is not there (deleted, or SNITKIX_API_URL and SNITKIX_API_KEY belong to another account)."
    return NotFound(f"{said}: {cure}", status=status, code="order_not_found")


def _inner(document: object) -> object:
    return document.get("data") if isinstance(document, dict) and "id" not in document else document


def _own_order(document: object, order_id: str) -> CrmOrder | None:
    order = _order(_inner(document))
    return order if order is not None and order.id == order_id.strip() else None


def _order(value: object) -> CrmOrder | None:
    if not isinstance(value, dict) or (order_id := id_of(value.get("id"))) is None:
        return None
    status, client, delivery = value.get("status"), _dict(value.get("client")), _dict(value.get("npDelivery"))
    paid = _money(value.get("totalPriceDiscount"))
    return CrmOrder(
        id=order_id,
        number=id_of(value.get("orderNumber")),
        external_id=id_of(value.get("externalId")),
        status=_title(status) if isinstance(status, dict) else text_of(status),
        status_id=int_of(_dict(status).get("id", value.get("statusId"))),
        phone=id_of(client.get("phone")),
        total=_money(value.get("totalPrice")) if paid is None else paid,
        lines=_lines(value.get("products")) or _lines(value.get("offers")),
        chat_id=id_of(value.get("chatId")),
        created_at=_unix(value.get("createdAt")),
        waybill=id_of(delivery.get("billOfLading")),
    )


def _lines(value: object) -> tuple[Line, ...]:
    """The items of an order: all of them or none, because some of them are another order's."""
    lines = tuple(_line(one) for one in value) if isinstance(value, list) else ()
    return tuple(one for one in lines if one) if all(lines) else ()


def _line(value: object) -> Line | None:
    item = _dict(value)
    variation = _dict(item.get("productVariation")) or _dict(item.get("variation"))
    price, quantity = _money(item.get("price")), int_of(item.get("quantity"))
    if price is None or quantity is None:
        return None
    ids = (variation.get("id"), item.get("productVariationId"), item.get("itemId"))
    named = next((one for one in map(int_of, ids) if one is not None), None)
    return Line(named, id_of(variation.get("sku")) or id_of(item.get("sku")), price, quantity)


def _status(value: object) -> OrderStatus | None:
    status = _dict(value)
    status_id, title = int_of(status.get("id")), _title(status)
    return None if status_id is None or title is None else OrderStatus(status_id, title, text_of(status.get("code")))


def _variation(value: object) -> Variation | None:
    shown = _dict(value)
    if (variation_id := int_of(shown.get("id"), least=1)) is None:
        return None
    return Variation(variation_id, id_of(shown.get("sku")), shown.get("isActive") is not False)


def _title(status: Mapping[str, object]) -> str | None:
    return text_of(status.get("title")) or text_of(status.get("name"))


def _dict(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _money(value: object) -> Decimal | None:
    """An amount, exactly as it is written: JSON numbers by their digits, text with a point or a comma."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = re.sub(r"\s", "", str(value)).replace(",", ".")
    return Decimal(text) if _MONEY.fullmatch(text) else None


def _unix(value: object) -> float | None:
    try:
        moment = datetime.fromisoformat(value.strip()) if isinstance(value, str) else None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() if moment else None
    except (ValueError, OverflowError):
        return None
