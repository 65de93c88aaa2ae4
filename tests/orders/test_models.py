"""An order as a host says it: phones, money, what is wrong with it, and the JSON in both forms."""

import json
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from mirt_sitniks.core.order_body import filled, lines_of, total_of, unfilled
from mirt_sitniks.core.orders import Line
from mirt_sitniks.orders.models import Client, Item, NovaPoshta, Order, body, digest
from mirt_sitniks.orders.phone import phone_of
from mirt_sitniks.orders.problems import checked, problems

OLENA = Client(fullname="Олена Приклад", phone="067 123 45 67")


def item(**said: Any) -> Item:
    return Item(**said)


def order(**more: Any) -> Order:
    return Order(**{"client": OLENA, "items": [item(sku="DRESS-1", price="1299.90", quantity=2)], **more})


@pytest.mark.parametrize(
    "written",
    [
        "0671234567",
        "+38 (067) 123-45-67",
        "8 067 123 45 67",
        "80671234567",
        "+8(067)1234567",
        "380671234567",
        "00380671234567",
        "38 067 123 45 67",
        "671234567",
        "тел. 067-123-45-67",
        "  ٠٦٧١٢٣٤٥٦٧ ",
        380671234567,
    ],
)
def test_however_a_phone_is_written_it_is_one_number(written: Any) -> None:
    """A Ukrainian number of any spelling is `380XXXXXXXXX`; the old trunk's 8 goes first."""
    client = Client(fullname="Олена", phone=written)
    assert client.phone == "380671234567"
    assert Client(fullname="Олена", phone=client.phone) == client
    assert problems(order(client=client)) == []


@pytest.mark.parametrize("written", ["+48 501 234 567", "0048501234567", "48501234567"])
def test_a_number_of_another_country_keeps_its_code(written: str) -> None:
    """What names its country is no Ukrainian number, and stays right when it is read again."""
    assert phone_of(written) == phone_of("48501234567") == "48501234567"


@pytest.mark.parametrize(
    "written", ["123", "0000000000", "ні", "0671234567, 0501234567", "067123456", "0671234567" * 99_999, "8", "+"]
)
def test_what_is_no_number_is_a_problem(written: str) -> None:
    """A text that no telephone answers to is told, and not shown."""
    said = problems(order(client=Client(fullname="Олена", phone=written)))
    assert said == ["client.phone is not a phone number: write it like 0671234567, or with its country's code"]


def test_all_that_is_wrong_is_told_at_once() -> None:
    """Each thing that is wrong with an order has its line, and no line holds a customer's words."""
    wrong = order(
        client=Client(fullname="Лі", phone=" ", email="olena"),
        items=[item(price=-1, quantity=0), *[item(sku="A", price=0)] * 199],
        comment="💛" * 1_000_000,
        delivery=NovaPoshta(recipient_phone="таємне", weight=Decimal(-1), city="Львів" * 99),
        discount=-5,
        total=7,
    )
    assert problems(wrong) == [
        "client.fullname has 2 letters: Sitniks wants 3 or more",
        "client.phone is missing",
        "client.email is not an address",
        "items has 200 lines: 100 at most",
        "items[0] has neither sku nor variation_id",
        "items[0] (and 199 more: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10) has a price that is not above 0",
        "items[0] has a quantity that is not 1 to 999",
        "discount is negative",
        "total is 7.00, but the items, less the discount, come to 5.00",
        "comment has more than 5,000 characters",
        "delivery.city has more than 255 characters",
        "delivery.recipient_phone is not a phone number",
        "delivery.weight is negative",
    ]


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"client": Client(fullname=" \x00", phone="0671234567")}, "client.fullname is missing"),
        ({"client": Client(fullname="💛💛💛💛", phone="0671234567")}, "client.fullname has 0 letters: Sitniks wants 3"),
        ({"items": []}, "items is empty, and no comment says what is bought"),
        ({"items": [item(variation_id=0, price=1)]}, "items[0] has a variation_id that is not above 0"),
        ({"items": [item(sku="A", price=10_000_000)]}, "items[0] has a price of 10,000,000 or more"),
        ({"items": [item(sku="A", price=1, title="x" * 256)]}, "items[0] has a text of more than 255 characters"),
        ({"discount": 9_999}, "discount is more than the items come to"),
        ({"status": "x" * 256}, "order.status has more than 255 characters"),
        ({"utm": {"x" * 256: ""}}, "utm has more than 50 lines, or a text of more than 255 characters"),
        ({"manager_comment": "x" * 5_001}, "manager_comment has more than 5,000 characters"),
    ],
)
def test_each_thing_that_can_be_wrong_has_its_line(wrong: dict[str, Any], line: str) -> None:
    """One fault, one line."""
    (said,) = problems(order(**wrong))
    assert said.startswith(line)


def test_emoji_pass() -> None:
    """Emoji are text like any other, beside the three letters of a name."""
    fine = order(client=Client(fullname="Оля 💛", phone="0671234567"), comment="🎁", manager_comment="👍")
    assert problems(fine) == []
    assert body(fine)["client"]["fullname"] == "Оля 💛"


def test_money_is_exact() -> None:
    """A float's noise is gone, the total is the sum of what is sent, and JSON shows the decimals that were said."""
    noisy = order(items=[item(sku="A", price=0.1 + 0.2, quantity=3), item(sku="B", price=1299)], discount="0.9")
    assert noisy.total == Decimal("1299.00") == total_of(body(noisy))
    assert problems(order(items=noisy.items, discount=0.9, total=1299.0000001)) == []
    sent = json.dumps([line["price"] for line in body(noisy)["offers"]])
    assert sent == "[0.3, 1299]"
    kopecks = [Decimal(at) / 100 for at in range(1, 100_000, 97)]
    assert all(lines_of(body(order(items=[item(sku="A", price=one)])))[0].price == one for one in kopecks)


def test_both_forms_say_the_same() -> None:
    """The newer form has offers, the older one products; all else is equal, and both are read alike."""
    said = order(
        items=[item(variation_id=5, price=10, title="Сукня"), item(sku="A", price="2.5", quantity=4)],
        delivery=NovaPoshta(
            integration_novaposhta_id=3, city_ref="c", department_ref="d", recipient_phone="0671234567"
        ),
        status="Нове",
        comment="подзвоніть",
        manager_comment="від бота",
        discount=1,
        sales_channel_id=2,
        utm={"source": "instagram"},
    )
    newer = body(said, external_id="e1", chat_id="c1")
    older = body(said, external_id="e1", chat_id="c1", form="products")
    assert newer.pop("offers") == [
        {"itemId": 5, "itemType": "variation", "isUpsale": False, "price": 10, "quantity": 1, "title": "Сукня"},
        {"sku": "A", "itemType": "variation", "isUpsale": False, "price": 2.5, "quantity": 4},
    ]
    assert older.pop("products") == [
        {"productVariationId": 5, "isUpsale": False, "price": 10, "quantity": 1, "title": "Сукня"},
        {"sku": "A", "isUpsale": False, "price": 2.5, "quantity": 4},
    ]
    assert newer == older
    assert newer == {
        "client": {"fullname": "Олена Приклад", "phone": "380671234567"},
        "npDelivery": {
            "integrationNovaposhtaId": 3,
            "cityRef": "c",
            "departmentRef": "d",
            "recipientPhone": "380671234567",
        },
        "status": "Нове",
        "clientComment": "подзвоніть",
        "managerComment": "від бота",
        "discountAmount": 1,
        "salesChannelId": 2,
        "externalId": "e1",
        "chatId": "c1",
        "utm": {"source": "instagram"},
    }


@pytest.mark.parametrize(("form", "key"), [("offers", "itemId"), ("products", "productVariationId")])
def test_names_are_filled_in(form: Any, key: str) -> None:
    """What is said by name waits in the body until its id is known, and then none of it is left."""
    named = body(order(items=[item(sku="A", price=1)] * 2 + [item(sku="B", price=2)], status="Нове"), form=form)
    assert unfilled(named) == (("A", "B"), "Нове")
    ready = filled(named, {"A": 7, "B": 8}, 4)
    assert unfilled(ready) == ((), None)
    assert [line[key] for line in ready[form]] == [7, 7, 8]
    assert ready["statusId"] == 4
    assert lines_of(ready)[2] == Line(8, None, Decimal(2), 1)
    assert lines_of(named)[2] == Line(None, "B", Decimal(2), 1)
    assert ready == filled(ready, {}), "filling in what is full changes nothing"


def test_words_alone_can_be_an_order() -> None:
    """Goods that the catalogue does not know are named in a comment: the least that Sitniks takes."""
    said = order(items=[], manager_comment="Сукня з вітрини, 980 грн")
    assert problems(said) == []
    assert body(said) == {
        "client": {"fullname": "Олена Приклад", "phone": "380671234567"},
        "managerComment": "Сукня з вітрини, 980 грн",
    }
    assert not lines_of(body(said))
    assert total_of(body(said)) == 0


def test_the_digest_is_of_what_is_bought() -> None:
    """Words and the order of lines change nothing; who, what, how many, where to and for how much do."""
    items = [item(sku="A", price=1), item(sku="B", price=2)]
    one = digest(order(items=items))
    assert one == digest(order(items=items[::-1], comment="x", manager_comment="y", status=3, utm={"a": "b"}))
    assert one == digest(order(items=[item(sku="A", price="1.00", title="Сукня"), items[1]]))
    others: list[dict[str, Any]] = [
        {"items": [*items, items[0]]},
        {"items": [item(sku="A", price=1, quantity=2), items[1]]},
        {"items": items, "client": Client(fullname="Ірина", phone="0671234567")},
        {"items": items, "delivery": NovaPoshta(city="Львів")},
        {"items": items, "discount": 1},
    ]
    assert len({one, *(digest(order(**other)) for other in others)}) == 6


@pytest.mark.parametrize(
    "wrong", [{"price": "nan"}, {"price": 10**400}, {"price": 1, "quantity": 10**400}, {"price": 1, "colour": "red"}]
)
def test_a_wrong_type_is_refused_without_the_words_of_the_customer(wrong: dict[str, Any]) -> None:
    """pydantic refuses what no order can hold, and shows no value."""
    with pytest.raises(ValidationError) as refused:
        Order.model_validate({"client": {"fullname": "Олена", "phone": ["таємне"]}, "items": [wrong]})
    assert "таємне" not in str(refused.value)
    assert "items.0" in str(refused.value)


HOSTILE = [
    10**5000, -(10**30), "9" * 5000, "1E+9999", "1e400", float("nan"), float("inf"), "Infinity", Decimal("NaN"),
    Decimal("sNaN"), Decimal("1E+9999"), "\ud800", "a\0b", "x" * 10**6, {"a" * 100_000: 1}, {"\n\ud800": "\0"}, b"\xff",
    [[1]], [], {}, object(), True,
]  # fmt: skip
PLACES = [
    "client", "client.fullname", "client.phone", "client.email", "items", "items.0", "items.0.sku",
    "items.0.variationId", "items.0.price", "items.0.quantity", "items.0.title", "delivery", "delivery.weight",
    "delivery.price", "delivery.seatsAmount", "delivery.integrationNovaposhtaId", "delivery.city",
    "delivery.recipientPhone", "status", "comment", "managerComment", "discount", "salesChannelId", "utm", "utm.a",
    "total", "colour",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_whatever_stands_in_a_field_is_an_order_or_one_short_line(place: str) -> None:
    """Numbers beyond all bounds, text that nothing can hold, the wrong shape: told, or fit for a call."""
    for value in HOSTILE:
        said: dict[Any, Any] = {"client": {"fullname": "Олена", "phone": "0671234567"}, "items": {0: {"sku": "A"}}}
        said["items"][0]["price"] = 10
        *way, last = [int(name) if name == "0" else name for name in place.split(".")]
        holder = said
        for name in way:
            holder = holder.setdefault(name, {})
        holder[last] = value
        if isinstance(said["items"], dict):
            said["items"] = [*said["items"].values()]
        made, wrong = checked(said)
        line = "; ".join(wrong)
        assert len(line) < 1_000, (place, len(line))
        assert "\n" not in line
        line.encode()
        if made and not wrong:
            sent = body(made, external_id="e1")
            assert len(json.dumps(sent, ensure_ascii=False, allow_nan=False).encode()) < 20_000
            assert "\\u0000" not in json.dumps(sent)
            assert total_of(sent) == made.total
            digest(made)


def test_of_a_thousand_wrong_items_the_first_are_told() -> None:
    """What is told fits a log and a reply."""
    _, wrong = checked({"client": {"fullname": "Олена"}, "items": [{"sku": "A", "price": "x"}] * 1000})
    assert wrong[0].startswith("items.0.price: ")
    assert len("; ".join(wrong)) < 2_000
    assert wrong[-1] == "and 980 more"


def test_only_orders_load_phonenumbers() -> None:
    """Who makes no orders needs no extra; who does is told in one line which one."""
    code = (
        "import sys; sys.modules['phonenumbers'] = None\n"
        "import mirt_sitniks, mirt_sitniks.service\n"
        "try: import mirt_sitniks.orders.models\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == 'orders need phonenumbers, which is not installed: pip install "mirt-sitniks[orders]"\n'
