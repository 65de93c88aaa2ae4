"""The JSON of an order: what in it has still to be looked up, and what tells it apart from other orders."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from mirt_sitniks.core.orders import Line

VARIATION = {"offers": "itemId", "products": "productVariationId"}
"""The two forms of an order's lines, and what each calls the variation's id: newer and older accounts differ."""


def unfilled(body: Mapping[str, Any]) -> tuple[tuple[str, ...], str | None]:
    """What has to be looked up before the body can be sent: skus without a variation's id, and a status by its name."""
    skus = dict.fromkeys(line["sku"] for _, line in _lines(body) if "sku" in line)
    return tuple(skus), body.get("status")


def filled(body: Mapping[str, Any], variations: Mapping[str, int], status_id: int | None = None) -> dict[str, Any]:
    """The body with the ids of these skus, and of its status, in the place of their names."""
    made = dict(body)
    for form, key in VARIATION.items():
        if form in body:
            made[form] = [
                {key: variations[line["sku"]], **{name: one for name, one in line.items() if name != "sku"}}
                if line.get("sku") in variations
                else dict(line)
                for line in body[form]
            ]
    if status_id is not None:
        made.pop("status", None)
        made["statusId"] = status_id
    return made


def lines_of(body: Mapping[str, Any]) -> tuple[Line, ...]:
    """The items of a body, in either form."""
    return tuple(
        Line(line.get(VARIATION[form]), line.get("sku"), _money(line["price"]), line["quantity"])
        for form, line in _lines(body)
    )


def total_of(body: Mapping[str, Any]) -> Decimal:
    """What the customer pays for the items of a body, the discount taken off."""
    return sum((line.price * line.quantity for line in lines_of(body)), -_money(body.get("discountAmount", 0)))


def _lines(body: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return ((form, line) for form in VARIATION for line in body.get(form, ()))


def _money(number: float) -> Decimal:
    # By its shortest decimal text, which is what the JSON says.
    return Decimal(str(number))
