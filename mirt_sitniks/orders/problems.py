"""All that is wrong with an order, told at once, before anything is sent or recorded."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from mirt_sitniks.orders.models import Client, Item, NovaPoshta, Order, due
from mirt_sitniks.orders.phone import phone_of

MOST_LINES, MOST_PIECES, MOST_MONEY = 100, 999, 10_000_000
SHORTEST_NAME, LONGEST_TEXT, LONGEST_COMMENT = 3, 255, 5_000
MOST_UTM, MOST_TOLD = 50, 20
NOTHING = "items is empty, and no comment says what is bought"


def problems(order: Order) -> list[str]:
    """All that is wrong with an order, a line each, without a word of the customer's; empty when nothing is.

    Emoji and any other text may stand everywhere; a name needs three letters beside them.
    """
    return [
        *_problems_of_client(order.client),
        *_problems_of_items(order.items),
        *([] if order.items or order.comment or order.manager_comment else [NOTHING]),
        *_problems_of_money(order),
        *_problems_of_rest(order),
    ]


def checked(said: Order | Mapping[str, Any]) -> tuple[Order | None, list[str]]:
    """What a host says as an order, and all that is wrong with it; None where a value is of a wrong type."""
    try:
        order = said if isinstance(said, Order) else Order.model_validate(said)
    except ValidationError as error:
        return None, wrong_types(error)
    except ValueError:  # CPython prints no integer of more than 4,300 digits, and pydantic lets that through.
        return None, ["a number has too many digits"]
    return order, problems(order)


def wrong_types(error: ValidationError) -> list[str]:
    """The lines of pydantic's refusal, without the values that it refused: the first of them where they are many."""
    wrong = error.errors(include_url=False, include_context=False, include_input=False)
    lines = [f"{'.'.join(map(_name, one['loc']))}: {one['msg']}" for one in wrong[:MOST_TOLD]]
    return lines if len(wrong) <= MOST_TOLD else [*lines, f"and {len(wrong) - MOST_TOLD} more"]


def _name(part: int | str) -> str:
    """A part of a field's place; a key that is no field is the host's, and may be anything."""
    return ascii(part).strip("'")[:40]


def _problems_of_client(client: Client) -> Iterator[str]:
    letters = sum(sign.isalpha() for sign in client.fullname)
    if not client.fullname:
        yield "client.fullname is missing"
    elif letters < SHORTEST_NAME:
        yield f"client.fullname has {letters} letters: Sitniks wants {SHORTEST_NAME} or more"
    if client.phone is None:
        yield "client.phone is missing"
    elif phone_of(client.phone) is None:
        yield "client.phone is not a phone number: write it like 0671234567, or with its country's code"
    name, at, host = (client.email or "a@b").partition("@")
    if not (name and at and host) or "@" in host or " " in f"{name}{host}":
        yield "client.email is not an address"


def _problems_of_items(items: Sequence[Item]) -> Iterator[str]:
    if len(items) > MOST_LINES:
        yield f"items has {len(items)} lines: {MOST_LINES} at most"
    wrongs = {
        "has neither sku nor variation_id": [item.sku is None and item.variation_id is None for item in items],
        "has a variation_id that is not above 0": [
            item.variation_id is not None and item.variation_id < 1 for item in items
        ],
        "has a price that is not above 0": [item.price <= 0 for item in items],
        f"has a price of {MOST_MONEY:,} or more": [item.price >= MOST_MONEY for item in items],
        f"has a quantity that is not 1 to {MOST_PIECES}": [not 1 <= item.quantity <= MOST_PIECES for item in items],
        f"has a text of more than {LONGEST_TEXT} characters": [
            max(len(item.sku or ""), len(item.title or "")) > LONGEST_TEXT for item in items
        ],
    }
    for wrong, found in wrongs.items():
        at = [place for place, is_wrong in enumerate(found) if is_wrong]
        if at:
            more = f" (and {len(at) - 1} more: {', '.join(map(str, at[1:11]))})" if at[1:] else ""
            yield f"items[{at[0]}]{more} {wrong}"


def _problems_of_money(order: Order) -> Iterator[str]:
    come_to = due(order.items, order.discount)
    if order.discount < 0:
        yield "discount is negative"
    elif order.discount and come_to < 0:
        yield "discount is more than the items come to"
    if order.total != come_to:
        yield f"total is {order.total}, but the items, less the discount, come to {come_to}"


def _problems_of_rest(order: Order) -> Iterator[str]:
    for name in ("comment", "manager_comment"):
        if len(getattr(order, name) or "") > LONGEST_COMMENT:
            yield f"{name} has more than {LONGEST_COMMENT:,} characters"
    utm = order.utm or {}
    if len(utm) > MOST_UTM or max((len(text) for one in utm.items() for text in one), default=0) > LONGEST_TEXT:
        yield f"utm has more than {MOST_UTM} lines, or a text of more than {LONGEST_TEXT} characters"
    yield from _problems_of_texts("client", order.client.wire())
    yield from _problems_of_texts("order", {"status": order.status})
    if order.delivery:
        yield from _problems_of_delivery(order.delivery)


def _problems_of_texts(part: str, said: Mapping[str, Any]) -> Iterator[str]:
    for name, text in said.items():
        if isinstance(text, str) and len(text) > LONGEST_TEXT and not name.lower().endswith("phone"):
            yield f"{part}.{name} has more than {LONGEST_TEXT} characters"


def _problems_of_delivery(delivery: NovaPoshta) -> Iterator[str]:
    yield from _problems_of_texts("delivery", delivery.wire())
    if delivery.recipient_phone and phone_of(delivery.recipient_phone) is None:
        yield "delivery.recipient_phone is not a phone number"
    for name in ("price", "seats_amount", "weight"):
        if (getattr(delivery, name) or 0) < 0:
            yield f"delivery.{name} is negative"
