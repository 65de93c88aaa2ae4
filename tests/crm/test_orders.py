"""The calls for orders: the requests of the contract, answers of every shape, and when a creation is in doubt."""

import json
import re
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirt_sitniks.core.orders import CrmOrder, Line, OrderStatus, Variation
from mirt_sitniks.crm import calls
from mirt_sitniks.crm.calls import Page
from mirt_sitniks.crm.orders import (
    CreateOrder,
    GetOrder,
    ListOrders,
    ListOrderStatuses,
    ListVariations,
    SetOrderStatus,
)
from mirt_sitniks.errors import BadResponse, CrmError, Forbidden, NotApplied, NotFound, Refused, Unauthorized
from tests.crm.reading import NOW, decode, failure, named, outcome

BODY = {"client": {"fullname": "Олена К.", "phone": "380671234567"}, "clientComment": "біла"}
SHOWN = {
    "id": 480001,
    "orderNumber": 1001,
    "externalId": "e1",
    "status": {"id": 2, "code": "waiting", "title": "Очікуємо оплату"},
    "client": {"id": 77, "fullname": "Олена К.", "phone": "380671234567"},
    "totalPrice": 2599,
    "totalPriceDiscount": 2499.5,
    "chatId": "6a22cc8ee056c3833dba0c2e",
    "products": [
        {"title": "Сукня", "price": 1299.5, "quantity": 2, "productVariation": {"sku": "SUKNYA-M", "productId": 3}}
    ],
    "npDelivery": {"billOfLading": "20450000000001"},
    "createdAt": "2026-06-05T13:00:00.000Z",
}
READ = CrmOrder(
    id="480001",
    number="1001",
    external_id="e1",
    status="Очікуємо оплату",
    status_id=2,
    phone="380671234567",
    total=Decimal("2499.5"),
    lines=(Line(None, "SUKNYA-M", Decimal("1299.5"), 2),),
    chat_id="6a22cc8ee056c3833dba0c2e",
    created_at=1780664400.0,
    waybill="20450000000001",
)
CREATE = CreateOrder(BODY)
GET = GetOrder("480001")
MOVE = SetOrderStatus("480001", 2)
LISTS = (ListOrders(NOW, NOW), ListOrderStatuses(), ListVariations("SUKNYA-M"))
CALLS = (CREATE, GET, MOVE, *LISTS)
unhurried = settings(suppress_health_check=[HealthCheck.too_slow])


# Asking


@pytest.mark.parametrize(
    ("call", "method", "path", "params", "body"),
    [
        (CREATE, "POST", "/orders", (), BODY),
        (GET, "GET", "/orders/480001", (), None),
        (MOVE, "PUT", "/orders/480001/status", (), {"statusId": 2}),
        (
            ListOrders(NOW, NOW, skip=50),
            "GET",
            "/orders",
            (
                ("createdAtFrom", "2026-06-05T13:00:00.000Z"),
                ("createdAtTo", "2026-06-05T13:00:00.000Z"),
                ("limit", "50"),
                ("skip", "50"),
            ),
            None,
        ),
        (ListOrderStatuses(), "GET", "/orders/statuses", (), None),
        (
            ListVariations("СУКНЯ М"),
            "GET",
            "/products/variations",
            (("sku", "СУКНЯ М"), ("limit", "50"), ("skip", "0")),
            None,
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, calls.OwnCall) else "",
)
def test_each_call_becomes_the_request_that_the_vendor_documents(
    call: Any, method: str, path: str, params: object, body: object
) -> None:
    """Method, path, parameters and JSON body are those of the contract; what changes something says so."""
    built = calls.request(call)
    sent = None if built.body is None else json.loads(built.body)
    assert (built.method, built.path, built.params, sent) == (method, path, params, body)
    assert calls.is_write(call) is (method != "GET")
    assert call.kind == ("catalogue" if isinstance(call, ListVariations) else "orders")


@pytest.mark.parametrize("order_id", ["", " ", "..", "a\nb", "x" * 129])
@pytest.mark.parametrize("make", [GetOrder, lambda one: SetOrderStatus(one, 2)])
def test_what_cannot_be_an_order_s_id_is_not_sent(make: Any, order_id: str) -> None:
    """As a path it would address something else; one that can be an id stays one segment."""
    with pytest.raises(NotFound, match="not the id of an order") as caught:
        calls.request(make(order_id))
    assert caught.value.code == "order_not_found"
    assert calls.request(make("../statuses")).path.startswith("/orders/..%2Fstatuses")


@pytest.mark.parametrize("text", ["a\ud800b", "a\x00b"])
def test_a_body_is_utf8_whatever_the_text(text: str) -> None:
    """Lone surrogates and NUL do not go out, however deep they stand."""
    body = calls.request(CreateOrder({"client": {"fullname": text}, "offers": [{"title": text}]})).body
    assert body is not None
    assert "\\u0000" not in body.decode()


# Reading


def test_an_order_is_read_whole() -> None:
    """Each field of the contract that orders are told apart by, from every call that shows one."""
    assert [decode(call, SHOWN) for call in (CREATE, GET, MOVE)] == [READ] * 3
    assert decode(GET, {"data": SHOWN}) == READ
    assert decode(LISTS[0], {"data": [SHOWN, 5], "count": 9}) == Page(items=(READ,), total=9, raw=2)


@pytest.mark.parametrize("key", sorted(SHOWN.keys() - {"id"}))
def test_an_order_may_lack_any_key_but_its_id(key: str) -> None:
    """What is missing is None or empty, and the rest stays."""
    order = decode(GET, {name: value for name, value in SHOWN.items() if name != key})
    assert (order.id, order != READ) == ("480001", key != "totalPrice")


@pytest.mark.parametrize(
    ("key", "value", "field", "read"),
    [
        ("id", "480001", "id", "480001"),
        ("orderNumber", "A-17", "number", "A-17"),
        ("status", {"id": "2", "name": "Новий"}, "status", "Новий"),
        ("status", "Новий", "status", "Новий"),
        ("status", {"id": "2", "name": "Новий"}, "status_id", 2),
        ("status", 5, "status", None),
        ("client", {"phone": 380671234567}, "phone", "380671234567"),
        ("client", None, "phone", None),
        ("totalPriceDiscount", "2 499,50", "total", Decimal("2499.5")),
        ("totalPriceDiscount", None, "total", Decimal(2599)),
        ("totalPriceDiscount", "free", "total", Decimal(2599)),
        ("totalPriceDiscount", 0, "total", Decimal(0)),
        ("npDelivery", {"billOfLading": 20450000000001}, "waybill", "20450000000001"),
        ("npDelivery", {"billOfLading": ""}, "waybill", None),
        ("npDelivery", [], "waybill", None),
        ("createdAt", "2026-06-05T16:00:00+03:00", "created_at", 1780664400.0),
        ("createdAt", "2026-06-05T13:00:00", "created_at", 1780664400.0),
        ("createdAt", "yesterday", "created_at", None),
        ("createdAt", 1780664400, "created_at", None),
        ("externalId", "", "external_id", None),
        ("products", None, "lines", ()),
        ("products", {"price": 1}, "lines", ()),
    ],
)
def test_every_open_shape_of_a_field_is_read(key: str, value: object, field: str, read: object) -> None:
    """A field of an unexpected form is read as far as it makes sense; the order stays."""
    assert getattr(decode(GET, SHOWN | {key: value}), field) == read


@pytest.mark.parametrize(
    ("item", "line"),
    [
        ({"productVariationId": 7, "price": "9.90", "quantity": "3"}, Line(7, None, Decimal("9.90"), 3)),
        ({"itemId": 7, "price": 9, "quantity": 3.0, "sku": 500}, Line(7, "500", Decimal(9), 3)),
        (
            {"price": 0.1, "quantity": 1, "productVariation": {"id": 7, "sku": "A"}},
            Line(7, "A", Decimal("0.1"), 1),
        ),
        ({"price": 5, "quantity": 1}, Line(None, None, Decimal(5), 1)),
    ],
)
def test_items_come_in_the_older_and_in_the_newer_form(item: object, line: Line) -> None:
    """`products` or `offers`, money exactly as it is written."""
    others = {name: value for name, value in SHOWN.items() if name != "products"}
    assert decode(GET, SHOWN | {"products": [item]}).lines == (line,)
    assert decode(GET, others | {"offers": [item]}).lines == (line,)


@pytest.mark.parametrize("item", [5, None, {}, {"price": 5}, {"quantity": 1}, {"price": "?", "quantity": 1}])
def test_items_that_cannot_all_be_read_are_not_shown(item: object) -> None:
    """A part of an order's items is another order's: then the items say nothing."""
    assert decode(GET, SHOWN | {"products": [{"price": 5, "quantity": 1}, item]}).lines == ()


def test_only_the_order_that_was_asked_for_counts() -> None:
    """Another order's values are no answer to a read, and confirm nothing of this one."""
    assert isinstance(failure(GET, SHOWN | {"id": 5}), BadResponse)
    assert decode(MOVE, SHOWN | {"id": 5}) is None


def test_a_status_is_set_by_any_2xx() -> None:
    """No body, or one that cannot be read, is a yes; one that says no is a no."""
    bodies: list[Any] = [b"", b"OK", {}, [1]]
    assert [decode(MOVE, body) for body in bodies] == [None] * 4
    assert type(failure(MOVE, {"success": False})) is NotApplied


def test_statuses_and_variations_are_read() -> None:
    """`title` or `name`, a bare list or pages; one unreadable object costs that object alone."""
    shown = [{"id": 1, "title": "Новий", "code": "new"}, {"id": "2", "name": "Виконано"}, {"id": 3}, 5]
    read = (OrderStatus(1, "Новий", "new"), OrderStatus(2, "Виконано"))
    assert decode(ListOrderStatuses(), {"data": shown}) == decode(ListOrderStatuses(), shown) == read
    found = [{"id": 7, "sku": "A", "isActive": False}, {"id": 8, "sku": 15}, {"sku": "B"}]
    page = Page(items=(Variation(7, "A", False), Variation(8, "15")), total=3, raw=3)
    assert decode(ListVariations("A"), {"data": found, "count": 3}) == page


def test_a_hostile_amount_costs_no_time() -> None:
    """Whatever text stands where an amount belongs, reading it is over at once."""
    began = time.process_time()
    assert decode(GET, SHOWN | {"totalPriceDiscount": "1" + " " * 400_000 + "9" * 400_000}).total == Decimal(2599)
    assert time.process_time() - began < 5


# What became of it


@pytest.mark.parametrize("body", [b"<html></html>", b'{"message": "no"}'], ids=["page", "plain"])
def test_a_creation_is_in_doubt_unless_the_crm_said_no(body: bytes) -> None:
    """A second order is worse than none: only a status that says that nothing was made lets it be made again."""
    certain = {status for status in (100, 302, *range(400, 600), 700) if not failure(CREATE, body, status).unconfirmed}
    assert certain == {400, 401, 403, 404, 405, 413, 415, 422, 429}


@pytest.mark.parametrize("status", [200, 201, 204])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b"[]",
        b"OK",
        b"{",
        b"<html>",
        b'{"id": null}',
        b'{"success": false}',
        b'{"statusCode": 400}',
    ],
)
def test_a_creation_without_an_id_is_in_doubt(status: int, body: bytes) -> None:
    """Good or bad, an answer that names no order leaves open whether there is one."""
    assert failure(CREATE, body, status).unconfirmed


@pytest.mark.parametrize(
    ("call", "status", "kind", "code"),
    [
        (CREATE, 400, Refused, "order_invalid"),
        (CREATE, 422, Refused, "order_invalid"),
        (CREATE, 404, Refused, "order_invalid"),
        (CREATE, 401, Unauthorized, "unauthorized"),
        (GET, 404, NotFound, "order_not_found"),
        (MOVE, 404, NotFound, "order_not_found"),
        (MOVE, 400, Refused, "unknown_status"),
        (MOVE, 422, Refused, "unknown_status"),
        *((call, 404, BadResponse, "bad_response") for call in LISTS),
        *((call, 400, Refused, "bad_response") for call in LISTS),
    ],
)
def test_a_refusal_is_of_what_was_asked(call: Any, status: int, kind: type[CrmError], code: str) -> None:
    """Never "the chat is gone": it is the order, its status, or an address without such a list."""
    error = failure(call, {"statusCode": status, "message": "closed"}, status)
    assert (type(error), error.code, error.status, error.unconfirmed) == (kind, code, status, False)
    assert "chat" not in error.message


@pytest.mark.parametrize("call", CALLS, ids=named)
def test_a_route_that_is_missing_is_that_call_s_right(call: Any) -> None:
    """The account has no such call: whatever else works goes on, and nothing was made."""
    error = failure(call, {"message": "Cannot POST /open-api/orders"}, 404)
    assert (type(error), error.unconfirmed) == (Forbidden, False)
    assert call.right in error.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*SHOWN, "data", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)
ODD = st.dictionaries(st.sampled_from([*SHOWN, "offers", "sku", "isActive"]), JSON).map(lambda odd: SHOWN | odd)
BODIES = st.binary() | (JSON | ODD | st.lists(ODD, max_size=2)).map(lambda value: json.dumps(value).encode())


@unhurried
@given(st.sampled_from(CALLS), st.just(200) | st.integers(0, 700), BODIES)
def test_any_answer_is_a_value_or_one_of_our_errors(call: Any, status: int, body: bytes) -> None:
    """For any status and bytes: a value of the call's type, whose money can be compared, or a `CrmError`."""
    value = outcome(call, status, {}, body)
    if isinstance(value, CrmError):
        assert value.message.endswith(".")
        assert value.unconfirmed <= calls.is_write(call)
        return
    assert 200 <= status <= 299
    kinds = {SetOrderStatus: CrmOrder | None, ListOrders: Page, ListVariations: Page, ListOrderStatuses: tuple}
    assert isinstance(value, kinds.get(type(call), CrmOrder))
    if isinstance(value, CrmOrder):
        assert all(one.is_finite() for one in (value.total or Decimal(0), *(line.price for line in value.lines)))
    repr(value).encode("utf-8", "replace")


@given(st.sampled_from(CALLS), st.integers(200, 599), st.sampled_from(["{}", "<p>{}", '{{"message": "{}"}}']))
def test_no_message_carries_what_the_crm_said(call: Any, status: int, frame: str) -> None:
    """Customer text, keys and whatever else a body holds stay out of errors, and so does what was sent."""
    value = outcome(call, status, {"Retry-After": "PLANTED"}, frame.format("PLANTED").encode())
    if isinstance(value, CrmError):
        assert not re.search("PLANTED|Олена", f"{value!s}{value!r}{vars(value)}")
