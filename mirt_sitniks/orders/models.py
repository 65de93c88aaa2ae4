"""An order as a host says it, and the JSON that it becomes.

Values of a wrong type are refused where a model is made, by pydantic; whatever else cannot be right, `problems` finds.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from mirt_sitniks.core.order_body import VARIATION, filled
from mirt_sitniks.core.orders import WHOSE
from mirt_sitniks.core.text import clean_text
from mirt_sitniks.orders.phone import phone_of

Form = Literal["offers", "products"]

_KOPECK = Decimal("0.01")


def _rounded(amount: Decimal) -> Decimal:
    """To whole kopecks, so that a float's noise (0.1 + 0.2) is gone."""
    return amount.quantize(_KOPECK, ROUND_HALF_UP)


def _known_phone(text: str | None) -> str | None:
    return (phone_of(text) or text) if text else None


Text = Annotated[str, AfterValidator(lambda text: clean_text(text).strip())]
Blank = Annotated[Text | None, AfterValidator(lambda text: text or None)]
Phone = Annotated[Blank, AfterValidator(_known_phone)]
# Wider than what `problems` lets through, and narrow enough to be added up exactly.
Money = Annotated[Decimal, Field(ge=-(10**12), le=10**12), AfterValidator(_rounded)]
Count = Annotated[int, Field(ge=-(10**9), le=10**9)]
Number = Annotated[int, Field(ge=-(10**15), le=10**15)]


class _Part(BaseModel):
    """Frozen, strict about names, and silent about values: they are customers' own."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        coerce_numbers_to_str=True,
        alias_generator=to_camel,
        populate_by_name=True,
    )

    def wire(self) -> dict[str, Any]:
        """What is set, under the API's names, money as numbers."""
        said = self.model_dump(by_alias=True, exclude_none=True)
        return {name: _number(one) if isinstance(one, Decimal) else one for name, one in said.items()}


class Client(_Part):
    """Who buys. A phone that is one becomes `380XXXXXXXXX`, whatever way it was written."""

    fullname: Text = ""
    phone: Phone = None
    email: Blank = None


class Item(_Part):
    """One line: what (by its sku, or by the variation's id where the host knows it), for how much each, how many."""

    sku: Blank = None
    variation_id: Number | None = None
    price: Money
    quantity: Count = 1
    title: Blank = None


class NovaPoshta(_Part):
    """Delivery by Nova Poshta; the refs are Nova Poshta's own, the integration's id is Sitniks', both the host's to
    know. What is not set is left to the account."""

    integration_novaposhta_id: Number | None = None
    price: Money | None = None
    seats_amount: Count | None = None
    weight: Annotated[Decimal, Field(ge=-(10**9), le=10**9)] | None = None
    city: Blank = None
    city_ref: Blank = None
    department: Blank = None
    department_ref: Blank = None
    region: Blank = None
    street: Blank = None
    house: Blank = None
    flat: Blank = None
    recipient_fullname: Blank = None
    recipient_phone: Phone = None
    service_type: Blank = None
    payer_type: Blank = None
    cargo_type: Blank = None
    payment_method: Blank = None
    product_payment_method: Blank = None


class Order(_Part):
    """What a customer has bought. `total` is what he was told; left out, it is what the items come to.

    `status` is a status of the account's, by its name or id; `discount` an amount of money. `problems` tells what
    cannot be right; a value of a wrong type, or a name that is no field, raises pydantic's `ValidationError`.

    >>> from mirt_sitniks.orders.problems import problems
    >>> client = Client(fullname="Ірина Приклад", phone="067 123 45 67")
    >>> order = Order(client=client, items=[Item(sku="DRESS-M", price=Decimal(980), quantity=2)])
    >>> order.total, client.phone, problems(order)
    (Decimal('1960.00'), '380671234567', [])
    """

    client: Client
    items: Sequence[Item]
    delivery: NovaPoshta | None = None
    status: Number | Blank = None
    comment: Blank = None
    manager_comment: Blank = None
    discount: Money = Decimal(0)
    sales_channel_id: Number | None = None
    utm: Mapping[Text, Text] | None = None
    total: Money | None = None

    @model_validator(mode="after")
    def _added_up(self) -> Self:
        if self.total is None:
            object.__setattr__(self, "total", due(self.items, self.discount))
        return self


def body(
    order: Order,
    *,
    external_id: str | None = None,
    chat_id: str | None = None,
    form: Form = "offers",
    variations: Mapping[str, int] = {},
) -> dict[str, Any]:
    """The JSON that creates an order; lines of a sku that is not among `variations` keep it until `filled`."""
    said: dict[str, Any] = {
        "client": order.client.wire(),
        form: [_line(item, form) for item in order.items] or None,
        "npDelivery": order.delivery.wire() if order.delivery else None,
        "statusId" if isinstance(order.status, int) else "status": order.status,
        "discountAmount": _number(order.discount) if order.discount else None,
        "clientComment": order.comment,
        "managerComment": order.manager_comment,
        "salesChannelId": order.sales_channel_id,
        "externalId": external_id,
        # Shown by the API, and ignored where it cannot be set: it ties the order to its chat.
        "chatId": chat_id,
        "utm": dict(order.utm) if order.utm else None,
    }
    return filled({name: one for name, one in said.items() if one is not None}, variations)


def digest(order: Order) -> str:
    """What is bought, by whom, sent where, for how much: equal for orders that differ in comments, titles or the order
    of their items alone. Without items the comments say what is bought."""
    lines = sorted(json.dumps(item.model_copy(update={"title": None}).wire(), sort_keys=True) for item in order.items)
    delivery = order.delivery.wire() if order.delivery else None
    goods: list[str | None] = [*lines] or [order.comment, order.manager_comment]
    said = json.dumps([order.client.wire(), goods, delivery, _number(order.discount)], sort_keys=True)
    whose, what = (hashlib.sha256(one.encode()).hexdigest() for one in (order.client.phone or "", said))
    return whose[:WHOSE] + what[WHOSE:]


def due(items: Sequence[Item], discount: Decimal) -> Decimal:
    """What the items come to, less the discount."""
    return sum((item.price * item.quantity for item in items), -discount)


def _line(item: Item, form: Form) -> dict[str, Any]:
    named = {"sku": item.sku} if item.variation_id is None else {VARIATION[form]: item.variation_id}
    kind = {"itemType": "variation"} if form == "offers" else {}
    title = {"title": item.title} if item.title else {}
    return {**named, **kind, "isUpsale": False, "price": _number(item.price), "quantity": item.quantity, **title}


def _number(amount: Decimal) -> int | float:
    # A float's shortest text has at most two decimals here: that is what JSON shows.
    return int(amount) if amount == amount.to_integral_value() else float(amount)
