"""A host's own order, of the earlier client's shape, as ours."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from mirt_sitniks.orders.problems import checked

STATUS_MAPPING = {
    "new": "Нові заявки",
    "pending_payment": "Виставлено рахунок",
    "paid": "ОПЛАЧЕНО",
    "processing": "Оформлено замовлення",
}
"""The host's status of an order, and its name in Sitniks; one that the account does not have is tried as a code."""

_WORDS = {
    "nova_poshta": "Нова пошта",
    "nova_poshta_courier": "Нова пошта, кур'єр",
    "ukrposhta": "Укрпошта",
    "self_pickup": "Самовивіз",
    "full_prepay": "повна передоплата",
    "partial_prepay": "часткова передоплата",
    "cash_on_delivery": "накладений платіж",
}


def read_order(order: Any, variation_of: Callable[[Any], int | None]) -> tuple[dict[str, Any], list[str]]:
    """The host's order as ours, and all that is wrong with it."""
    customer, goods = _of(order, "customer"), list(_of(order, "items") or ())
    items: list[dict[str, Any]] = [
        {
            "sku": text_of(item, "sku") or None,
            "variation_id": None if text_of(item, "sku") else variation_of(item),
            "price": _of(item, "price"),
            "quantity": _of(item, "quantity", 1),
            "title": ", ".join(filter(None, (text_of(item, name) for name in ("product_name", "size", "color")))),
        }
        for item in goods
    ]
    lines = [item for item in items if item["sku"] or item["variation_id"]]
    said: dict[str, Any] = {
        "client": {
            "fullname": text_of(customer, "full_name"),
            "phone": text_of(customer, "phone"),
            "email": text_of(customer, "email"),
        },
        "items": lines,
        "comment": text_of(order, "customer_notes"),
        "discount": (_of(order, "discount") or 0) if lines else 0,
    }
    # Goods of no sku are looked at like the others, before they become words.
    whole = {**said, "items": [{**item, "sku": item["sku"] or "?"} for item in items]}
    _, wrong = checked(whole)
    said["manager_comment"] = _comment(order, [item for item in items if item not in lines])
    if (status := word_of(_of(order, "status", "new"))) != "new":
        said["status"] = STATUS_MAPPING.get(status, status)
    return said, wrong


def _comment(order: Any, unlisted: list[dict[str, Any]]) -> str:
    """What the CRM's people are told: the host's own notes, and what Sitniks has no field for."""
    customer = _of(order, "customer")
    place = text_of(customer, "nova_poshta_branch") or text_of(customer, "nova_poshta_address")
    told = {
        "Товари": "; ".join(f"{item['title']} × {item['quantity']} по {item['price']} грн" for item in unlisted),
        "Знижка": text_of(order, "discount") if unlisted and _of(order, "discount") else "",
        "Доставка": ", ".join(filter(None, (_named(order, "delivery_method"), text_of(customer, "city"), place))),
        "Вартість доставки": text_of(order, "delivery_cost") if _of(order, "delivery_cost") else "",
        "Оплата": _named(order, "payment_method"),
        "Джерело": " ".join(filter(None, (text_of(order, "source"), text_of(order, "source_id")))),
    }
    lines = [text_of(order, "internal_notes"), *(f"{name}: {one}" for name, one in told.items() if one)]
    return "\n".join(filter(None, lines))


def _of(holder: Any, name: str, otherwise: Any = None) -> Any:
    found = holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
    return otherwise if found is None else found


def word_of(value: Any) -> str:
    return str(value.value if isinstance(value, Enum) else value).strip()


def text_of(holder: Any, name: str) -> str:
    return word_of(_of(holder, name, ""))


def _named(order: Any, name: str) -> str:
    word = text_of(order, name)
    return _WORDS.get(word, word)
