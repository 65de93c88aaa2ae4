"""The contract of orders, their statuses and the catalogue."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeVar

from .account import Account
from .api import BY, MAX_PAGE, Handler, page, written
from .clock import iso
from .order_book import Item, Order, Variation
from .request import Answer, Query, Refused, Request, as_json, bad, json_object, refusal

T = TypeVar("T")
NAME_LEAST = 3


# Showing


def show_order(account: Account, order: Order, *, external_id: bool = True) -> dict[str, Any]:
    """The order as the API shows it."""
    book = account.world.orders
    chat = account.world.find(order.chat_id)
    manager = account.world.managers.get(chat.manager_id or 0) if chat else None
    return {
        "id": order.id,
        "orderNumber": order.number,
        **({"externalId": order.external_id} if external_id else {}),
        "status": {
            "id": order.status_id,
            "code": book.code_of(order.status_id),
            account.habits.order_status_key: book.statuses[order.status_id],
        },
        "client": {"id": 900_000 + order.id, **order.client},
        "totalPrice": _number(order.total),
        "totalPriceDiscount": _number(order.to_pay),
        "source": "open_api",
        "chatId": order.chat_id,
        "responsible": {"user": {"fullname": manager}} if manager else None,
        "salesChannel": None,
        "products": [_show_item(item) for item in order.items],
        "npDelivery": {**order.delivery, "billOfLading": order.waybill} if order.delivery is not None else None,
        "clientComment": order.client_comment,
        "managerComment": order.manager_comment,
        "createdAt": iso(order.created),
        "updatedAt": iso(order.updated),
        "completedAt": None,
    }


def _show_item(item: Item) -> dict[str, Any]:
    known = item.variation
    variation = {"sku": known.sku, "productId": known.id - 5000, "systemTitle": known.title} if known else None
    return {
        "title": item.title,
        "price": _number(item.price),
        "quantity": item.quantity,
        "productVariation": variation,
    }


def show_variation(variation: Variation) -> dict[str, Any]:
    """The item of the catalogue as the API shows it."""
    return {
        "id": variation.id,
        "sku": variation.sku,
        "isActive": variation.active,
        "title": variation.title,
        "price": _number(variation.price),
    }


def _number(amount: Decimal) -> int | float:
    return int(amount) if amount == amount.to_integral_value() else float(amount)


# Reading


def read_order(account: Account, body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the order that `body` asks for; others are ignored, null is as good as missing."""
    book = account.world.orders
    client = _take(body, "client", dict, {})
    if len(_take(client, "fullname", str, "").strip()) < NAME_LEAST:
        raise bad(f"client.fullname must be longer than or equal to {NAME_LEAST} characters")
    offers = _take(body, "offers", list, None)
    items = [_read_item(account, one) for one in (_take(body, "products", list, []) if offers is None else offers)]
    total = sum((item.price * item.quantity for item, _ in items), Decimal(0))
    off = sum((less for _, less in items), _money(body, "discountAmount", Decimal(0)))
    off += total * _money(body, "discountPercent", Decimal(0)) / 100
    status_id = _take(body, "statusId", int, min(book.statuses))
    if status_id not in book.statuses:
        raise bad("Status not found")
    return {
        "status_id": status_id,
        "client": {name: _take(client, name, str, None) for name in ("fullname", "phone", "email")},
        "items": tuple(item for item, _ in items),
        "total": total,
        "to_pay": max(total - off, Decimal(0)),
        "external_id": _take(body, "externalId", str, None),
        "chat_id": _take(body, "chatId", str, None),
        "delivery": _take(body, "npDelivery", dict, None),
        "client_comment": _take(body, "clientComment", str, None),
        "manager_comment": _take(body, "managerComment", str, None),
    }


def _read_item(account: Account, value: Any) -> tuple[Item, Decimal]:
    """One line, in the newer form (of `offers`) or the older (of `products`), and what is taken off it."""
    if not isinstance(value, dict):
        raise bad("each item must be an object")
    kind = _take(value, "itemType", str, "variation")
    if kind not in ("variation", "suit"):
        raise bad("itemType must be one of: variation, suit")
    item_id = _take(value, "itemId" if "itemId" in value else "productVariationId", int, 0)
    known = account.world.orders.variations.get(item_id) if kind == "variation" else None
    if kind == "variation" and known is None:
        raise bad(f"Product variation {item_id} not found")
    quantity = _take(value, "quantity", int, 1)
    if quantity < 1:
        raise bad("quantity must not be less than 1")
    price = _money(value, "price", known.price if known else Decimal(0))
    title = _take(value, "title", str, known.title if known else "Комплект")
    return Item(title, price, quantity, known), _money(value, "discountAmount", Decimal(0))


def _take(value: Mapping[str, Any], name: str, kind: type[T], default: Any) -> Any:
    found = value.get(name)
    if found is None:
        return default
    if not isinstance(found, kind) or isinstance(found, bool):
        raise bad(f"{name} must be of type {kind.__name__}")
    return found


def _money(value: Mapping[str, Any], name: str, default: Decimal) -> Decimal:
    found = value.get(name)
    if found is None:
        return default
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < 10**12:
        raise bad(f"{name} must be a number not less than 0")
    return Decimal(str(found))


# The endpoints


def _create(account: Account, request: Request) -> Answer:
    wanted = read_order(account, json_object(request))
    book, habits = account.world.orders, account.habits
    external_id = wanted["external_id"]
    first = next((one for one in book.orders.values() if external_id and one.external_id == external_id), None)
    if first and habits.same_external_id == "returned":
        return as_json(200, show_order(account, first, external_id=habits.order_shows != "never"))
    if first and isinstance(habits.same_external_id, int):
        raise Refused(refusal(habits.same_external_id, "externalId must be unique"))
    made = None if request.ignored or habits.ignores("order_create") else book.add(wanted)
    shown = show_order(account, made, external_id=habits.order_shows != "never") if made else {}
    return written(account, request, made is not None, {}, shown, 201)


def _list_orders(account: Account, request: Request) -> Answer:
    query = Query(request, "createdAtFrom", "createdAtTo", "limit", "skip")
    since, until = query.date("createdAtFrom"), query.date("createdAtTo")
    found = [
        _shown(account, order)
        for order in sorted(reversed(account.world.orders.orders.values()), key=lambda one: one.created, reverse=True)
        if (since is None or order.created >= since) and (until is None or order.created <= until)
    ]
    return page(account, query, MAX_PAGE, found)


def _get_order(account: Account, request: Request) -> Answer:
    return as_json(200, _shown(account, _order(account, request)))


def _set_status(account: Account, request: Request) -> Answer:
    status_id = _take(json_object(request), "statusId", int, None)
    if status_id is None:
        raise bad("statusId must be an integer number")
    order = _order(account, request)
    if status_id not in account.world.orders.statuses:
        raise Refused(refusal(account.habits.unknown_status, "Status not found"))
    before = _shown(account, order)
    taken = not (request.ignored or account.habits.ignores("order_status"))
    if taken:
        account.world.orders.set_status(order, status_id, BY)
    return written(account, request, taken, before, _shown(account, order))


def _list_statuses(account: Account, request: Request) -> Answer:
    book, key = account.world.orders, account.habits.order_status_key
    data = [{"id": number, key: title, "code": book.code_of(number)} for number, title in book.statuses.items()]
    return as_json(200, {"data": data})


def _list_variations(account: Account, request: Request) -> Answer:
    query = Query(request, "sku", "limit", "skip")
    sku = query.get("sku", "")
    found = [one for one in account.world.orders.variations.values() if not sku or one.sku == sku]
    return page(account, query, MAX_PAGE, [show_variation(one) for one in found])


def _shown(account: Account, order: Order) -> dict[str, Any]:
    return show_order(account, order, external_id=account.habits.order_shows == "all")


def order_of(account: Account, path: str) -> Order | None:
    """The order that a path is about, None when it is about none that is there."""
    match = re.match("/open-api/orders/([0-9]{1,15})(?:/|$)", path)
    return account.world.orders.orders.get(int(match[1])) if match else None


def _order(account: Account, request: Request) -> Order:
    order = order_of(account, request.path)
    if order is None:
        raise Refused(refusal(404, "Order not found"))
    return order


# The statuses stand before the orders, or they would be read as one.
ROUTES: tuple[tuple[str, str, re.Pattern[str], Handler], ...] = (
    ("order_create", "POST", re.compile("/open-api/orders"), _create),
    ("orders", "GET", re.compile("/open-api/orders"), _list_orders),
    ("order_statuses", "GET", re.compile("/open-api/orders/statuses"), _list_statuses),
    ("order", "GET", re.compile("/open-api/orders/[^/]+"), _get_order),
    ("order_status", "PUT", re.compile("/open-api/orders/[^/]+/status"), _set_status),
    ("variations", "GET", re.compile("/open-api/products/variations"), _list_variations),
)
