"""Orders over the Open API: the contract, what is open in it, and each fault."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from syrupy.assertion import SnapshotAssertion

from mirt_sitniks.sandbox import Sandbox
from mirt_sitniks.sandbox.faults import KINDS

from .conftest import HandClock

ApiOf = Callable[..., httpx.Client]
CLIENT = {"fullname": "Олена К.", "phone": "380671234567"}
BODY = {"client": CLIENT, "externalId": "e1"}


@pytest.fixture
def variation(sandbox: Sandbox) -> int:
    """An item of the catalogue."""
    return sandbox.add_variation("SUKNYA-M", price="1299.50", title="Сукня")


def make(api: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = api.post("/orders", json=BODY | body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def refused(answer: httpx.Response) -> str:
    assert answer.status_code == 400, answer.text
    return str(answer.json()["message"])


# Making


def test_the_flow_of_an_order_is_what_the_contract_shows(
    api_of: ApiOf, clock: HandClock, snapshot: SnapshotAssertion
) -> None:
    """The answers word for word: statuses, an item by its sku, the order made, listed, read and moved."""
    with Sandbox(clock=clock) as sandbox:
        api, chat = api_of(sandbox), "6a22cc8ee056c3833dba0c2e"
        sandbox.add_chat("olena.example", chat_id=chat, manager="Олена")
        item = sandbox.add_variation("SUKNYA-M", price="1299.50", title="Сукня")
        offer = {"itemId": item, "itemType": "variation", "isUpsale": False, "price": 1299.5, "quantity": 2}
        delivery = {"integrationNovaposhtaId": 3, "price": 70, "seatsAmount": 1, "city": "Київ"}
        body = BODY | {"offers": [offer], "npDelivery": delivery, "discountAmount": 100, "chatId": chat}
        answers = [
            api.get("/orders/statuses"),
            api.get("/products/variations", params={"sku": "SUKNYA-M", "limit": 50}),
            api.post("/orders", json=body),
            api.get("/orders", params={"createdAtFrom": "2027-01-15", "limit": 50, "skip": 0}),
            api.put("/orders/480001/status", json={"statusId": 4}),
            api.get("/orders/480001"),
            api.get("/orders/480002"),
        ]
        lines = [f"{one.request.method} {one.request.url.path} -> {one.status_code} {one.text}" for one in answers]
        assert "\n".join(lines) == snapshot


def test_items_come_as_offers_or_as_products(api: httpx.Client, variation: int) -> None:
    """The newer and the older body make the same order; a suit is of no variation; what is left out has a default."""
    old = {"productVariationId": variation, "isUpsale": False, "price": 1299.5, "quantity": 1, "title": "Сукня"}
    shown = [make(api, products=[old])["products"], make(api, offers=[{"itemId": variation}])["products"]]
    assert shown[0] == shown[1]
    suit = make(api, offers=[{"itemId": 5, "itemType": "suit", "title": "Комплект", "price": 10, "quantity": 3}])
    assert (suit["totalPrice"], suit["products"][0]["productVariation"]) == (30, None)


@pytest.mark.parametrize(
    ("body", "paid"),
    [
        ({}, 2599),
        ({"discountAmount": 99}, 2500),
        ({"discountPercent": 10}, 2339.1),
        ({"discountAmount": 10_000}, 0),
    ],
)
def test_a_discount_is_taken_off_the_total(api: httpx.Client, variation: int, body: Any, paid: float) -> None:
    """`totalPrice` is before it, `totalPriceDiscount` is what is paid."""
    made = make(api, offers=[{"itemId": variation, "quantity": 2}], **body)
    assert (made["totalPrice"], made["totalPriceDiscount"]) == (2599, paid)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"client": None}, "fullname"),
        ({"client": {"phone": "380671234567"}}, "fullname"),
        ({"client": {"fullname": "Ян"}}, "fullname"),
        ({"client": {"fullname": "  Ян  "}}, "fullname"),
        ({"client": {"fullname": 123}}, "fullname"),
        ({"client": "Олена К."}, "client"),
        ({"client": CLIENT | {"phone": 380671234567}}, "phone"),
        ({"offers": [{"itemId": 1}]}, "Product variation 1 not found"),
        ({"products": [{"productVariationId": 1}]}, "Product variation 1 not found"),
        ({"offers": [{}]}, "not found"),
        ({"offers": [{"itemId": 7001, "itemType": "box"}]}, "itemType"),
        ({"offers": [{"itemId": 7001, "price": -1}]}, "price"),
        ({"offers": [{"itemId": 7001, "price": "9"}]}, "price"),
        ({"offers": [{"itemId": 7001, "quantity": 0}]}, "quantity"),
        ({"offers": [{"itemId": 7001, "quantity": 1.5}]}, "quantity"),
        ({"offers": {"itemId": 7001}}, "offers"),
        ({"offers": [5]}, "object"),
        ({"statusId": 99}, "Status not found"),
        ({"statusId": "1"}, "statusId"),
        ({"externalId": 5}, "externalId"),
    ],
)
def test_an_order_that_makes_no_sense_is_400(
    api: httpx.Client, sandbox: Sandbox, variation: int, change: Any, words: str
) -> None:
    """Nothing is made, and the answer names what was wrong."""
    assert words in refused(api.post("/orders", json=BODY | change))
    assert sandbox.orders() == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
def test_a_body_that_is_no_object_is_400(api: httpx.Client, sandbox: Sandbox, body: bytes) -> None:
    """Whatever its bytes are."""
    answer = api.post("/orders", content=body, headers={"Content-Type": "application/json"})
    assert refused(answer).startswith("the body")
    assert sandbox.orders() == []


def test_unknown_properties_and_nulls_are_ignored(api: httpx.Client) -> None:
    """As everywhere in the API: 201, and they are not there."""
    made = make(api, utm={"source": "instagram"}, colour="red", statusId=None, products=None, chatId=None)
    assert (made["products"], made["chatId"], "colour" in made) == ([], None, False)


def test_a_chat_s_order_keeps_it(api: httpx.Client, sandbox: Sandbox) -> None:
    """The chat's id comes back as it was sent, and its manager is the order's."""
    chat = sandbox.add_chat("olena.example", manager="Олена")
    made = make(api, chatId=chat)
    assert (made["chatId"], made["responsible"]) == (chat, {"user": {"fullname": "Олена"}})
    assert make(api, chatId="elsewhere")["chatId"] == "elsewhere"


# What is open


@pytest.mark.parametrize(
    ("shows", "where"), [("all", [True] * 4), ("creation", [True, False, False, False]), ("never", [False] * 4)]
)
def test_an_external_id_is_shown_where_the_account_shows_it(
    api: httpx.Client, sandbox: Sandbox, shows: Any, where: list[bool]
) -> None:
    """In every answer, in the creation's alone, or in none; a test sees it always."""
    sandbox.order_shows = shows
    made = make(api)
    path = f"/orders/{made['id']}"
    moved = api.put(f"{path}/status", json={"statusId": 2}).json()
    (listed,) = api.get("/orders").json()["data"]
    assert ["externalId" in one for one in (made, api.get(path).json(), listed, moved)] == where
    assert [order["externalId"] for order in sandbox.orders()] == ["e1"]


@pytest.mark.parametrize(
    ("habit", "status", "orders"), [("made", 201, 2), ("returned", 200, 1), (400, 400, 1), (409, 409, 1)]
)
def test_a_second_order_with_one_external_id(
    api: httpx.Client, sandbox: Sandbox, habit: Any, status: int, orders: int
) -> None:
    """Another is made unless the account refuses it or gives back the first; without an id nothing is a second."""
    sandbox.same_external_id = habit
    first, second = make(api), api.post("/orders", json=BODY)
    assert (second.status_code, len(sandbox.orders())) == (status, orders)
    assert status != 200 or second.json()["id"] == first["id"]
    assert [api.post("/orders", json={"client": CLIENT}).status_code for _ in range(2)] == [201, 201]


def test_a_status_s_name_may_be_called_either_way(api: httpx.Client, sandbox: Sandbox) -> None:
    """`title`, or `name` in one source, in the list and in the orders."""
    sandbox.order_status_key = "name"
    assert make(api)["status"] == {"id": 1, "code": "new", "name": "Новий"}
    assert {frozenset(one) for one in api.get("/orders/statuses").json()["data"]} == {frozenset(("id", "name", "code"))}


@pytest.mark.parametrize(
    ("body", "made", "moved"),
    [
        ("chat", {"id": 480001}, {"status": 2}),
        ("before", {}, {"status": 1}),
        ("empty", None, None),
        ("success", {"success": True}, {"success": True}),
    ],
)
def test_a_write_shows_what_the_account_shows(
    api: httpx.Client, sandbox: Sandbox, body: Any, made: Any, moved: Any
) -> None:
    """The order after it, before it (there is none before a creation), nothing, or a word: all have their effect."""
    sandbox.write_body = body
    answers = [api.post("/orders", json=BODY), api.put("/orders/480001/status", json={"statusId": 2})]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert [order["status"]["id"] for order in sandbox.orders()] == [2]
    for answer, wanted in zip(answers, (made, moved), strict=True):
        shown = answer.json() if answer.content else None
        if shown and "status" in shown:
            assert {"id": shown["id"]} == wanted or {"status": shown["status"]["id"]} == wanted
        else:
            assert shown == wanted


# Finding


def test_dates_cut_the_list_and_their_offset_is_ignored(api_of: ApiOf, clock: HandClock) -> None:
    """The wall clock is read as UTC, both ends belong to the window, and either may be missing."""
    with Sandbox(clock=clock, limit=False) as sandbox:
        api = api_of(sandbox)
        old, at, new = (sandbox.add_order(BODY, created_ago=ago) for ago in (1, 0, -1))

        def found(query: str) -> list[int]:
            return [order["id"] for order in api.get(f"/orders?{query}").json()["data"]]

        assert found("") == [new, at, old]
        for form in ("2027-01-15T08:00:00.000Z", "2027-01-15T08:00:00%2B02:00", "2027-01-15T08:00:00-05:00"):
            assert found(f"createdAtFrom={form}") == [new, at]
            assert found(f"createdAtTo={form}") == [at, old]
            assert found(f"createdAtFrom={form}&createdAtTo={form}") == [at]
        assert found("externalId=none&search=none&client_phone=0&dateFrom=2030-01-01") == [new, at, old]
        assert refused(api.get("/orders?createdAtFrom=yesterday"))


def test_pages_cover_all_orders_once(api: httpx.Client, sandbox: Sandbox) -> None:
    """`skip` and `limit` walk through them, `count` is the total, no page is longer than 50."""
    added = {sandbox.add_order(BODY, created_ago=number) for number in range(60)}
    pages = [api.get("/orders", params={"limit": 50, "skip": skip}).json() for skip in (0, 50, 100)]
    assert [len(page["data"]) for page in pages] == [50, 10, 0]
    assert {page["count"] for page in pages} == {60}
    assert {order["id"] for page in pages for order in page["data"]} == added
    assert len(api.get("/orders").json()["data"]) == 10
    assert refused(api.get("/orders?limit=51"))


def test_items_are_found_by_their_exact_sku(api: httpx.Client, sandbox: Sandbox, variation: int) -> None:
    """Several may have one sku, some are off sale; without a sku the whole catalogue comes."""
    twin = sandbox.add_variation("SUKNYA-M", active=False)
    other = sandbox.add_variation("SUKNYA-L")

    def found(**query: Any) -> list[tuple[int, bool]]:
        return [(one["id"], one["isActive"]) for one in api.get("/products/variations", params=query).json()["data"]]

    assert found(sku="SUKNYA-M") == [(variation, True), (twin, False)]
    assert found(sku="suknya-m") == []
    assert [one for one, _ in found()] == [variation, twin, other]
    assert found(limit=1, skip=2) == [(other, True)]


@pytest.mark.parametrize("order_id", ["1", "none", "480001x", "%2e%2e", "9" * 20])
def test_an_order_that_is_not_there_is_404(api: httpx.Client, order_id: str) -> None:
    """Its words differ from those of a missing route."""
    make(api)
    answers = [api.get(f"/orders/{order_id}"), api.put(f"/orders/{order_id}/status", json={"statusId": 2})]
    assert [answer.json()["message"] for answer in answers] == ["Order not found"] * 2
    assert [answer.status_code for answer in answers] == [404] * 2


@pytest.mark.parametrize("body", [{}, {"statusId": None}, {"statusId": "2"}, {"statusId": True}, {"statusId": 99}])
def test_a_status_that_is_none_is_400(api: httpx.Client, sandbox: Sandbox, body: Any) -> None:
    """The order stays where it was."""
    refused(api.put(f"/orders/{make(api)['id']}/status", json=body))
    assert sandbox.order_history(480001) == []


# Who may


CALLS = {
    "order_create": ("POST", "/orders"),
    "orders": ("GET", "/orders"),
    "order": ("GET", "/orders/480001"),
    "order_status": ("PUT", "/orders/480001/status"),
    "order_statuses": ("GET", "/orders/statuses"),
    "variations": ("GET", "/products/variations"),
}


def answers_of(api: httpx.Client) -> dict[str, int]:
    body = BODY | {"statusId": 2}
    return {kind: api.request(method, path, json=body).status_code for kind, (method, path) in CALLS.items()}


@pytest.mark.parametrize("refused_kind", CALLS)
@pytest.mark.parametrize("status", [403, 404])
def test_rights_are_per_endpoint(api: httpx.Client, sandbox: Sandbox, refused_kind: str, status: int) -> None:
    """A key that is refused one call makes all others; 404 says that the route is not there."""
    make(api)
    sandbox.refuses = {refused_kind: status}
    found = answers_of(api)
    assert found.pop(refused_kind) == status
    assert set(found.values()) <= {200, 201}


@pytest.mark.parametrize("status", [401, 403])
def test_the_key_and_the_plan_stand_before_all(api: httpx.Client, sandbox: Sandbox, api_of: ApiOf, status: int) -> None:
    """A wrong key is 401 and the trial plan 403, for every call of orders."""
    sandbox.trial = status == 403
    assert set(answers_of(api_of(sandbox, "wrong" if status == 401 else None)).values()) == {status}
    assert sandbox.orders() == []


def test_orders_and_chats_share_one_limit(api_of: ApiOf) -> None:
    """The eleventh call in ten seconds locks the key for both, and nothing is made by it."""
    with Sandbox() as sandbox:
        api = api_of(sandbox)
        codes = [api.get("/chats" if number % 2 else "/orders").status_code for number in range(10)]
        assert (codes, api.post("/orders", json=BODY).status_code) == ([200] * 10, 429)
        assert sandbox.orders() == []


# Trouble


MADE = {"empty", "shape", "huge", "drip", "slow", "reset_body", "answer_lost", "shows", "whole"}
QUICK: dict[str, dict[str, Any]] = {
    "slow": {"seconds": 0.0},
    "drip": {"every": 0.0},
    "huge": {"size": 100},
    "whole": {"seconds": 0.0},
    "applied_late": {"seconds": 1000.0},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_makes_the_order_or_does_not(api: httpx.Client, sandbox: Sandbox, kind: str) -> None:
    """Each kind of fault meets a creation as it meets the writes of chats."""
    sandbox.fault(kind, method="POST", path="/orders", **QUICK.get(kind, {}))
    try:
        patience = 0.1 if kind in ("hang", "applied_late") else 5.0
        status: int | None = api.post("/orders", json=BODY, timeout=patience).status_code
    except httpx.TransportError:
        status = None
    assert [order["externalId"] for order in sandbox.orders()] == (["e1"] if kind in MADE else [])
    assert status == 200 or status == 201 or kind not in MADE - {"answer_lost", "reset_body", "drip"}


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_bad_answer_may_have_had_its_effect(api: httpx.Client, sandbox: Sandbox, status: int) -> None:
    """A 500 after the order was made; a refused order is refused all the same."""
    sandbox.fault("status", status=status, applied=True, times=None)
    assert api.post("/orders", json=BODY).status_code == status
    assert api.post("/orders", json={}).status_code == 400
    assert len(sandbox.orders()) == 1


@pytest.mark.parametrize("way", ["habit", "fault"])
def test_a_200_may_have_done_nothing(api: httpx.Client, sandbox: Sandbox, way: str) -> None:
    """Neither order nor status, as the account's habit and as a fault; the answer shows no order that is not there."""
    order_id = make(api)["id"]
    if way == "habit":
        sandbox.refuses = {"order_create": 200, "order_status": 200}
    else:
        sandbox.fault("ignored", method="POST|PUT", times=2)
    created, moved = api.post("/orders", json=BODY), api.put(f"/orders/{order_id}/status", json={"statusId": 2})
    assert (created.status_code, created.json()) == (201, {})
    assert (moved.status_code, moved.json()["status"]["id"]) == (200, 1)
    assert len(sandbox.orders()) == 1


def test_an_order_may_come_late(api_of: ApiOf, clock: HandClock) -> None:
    """The client has given up; the order is made in its own second, and it is as old as that."""
    with Sandbox(clock=clock) as sandbox:
        api = api_of(sandbox)
        sandbox.fault("applied_late", method="POST", seconds=20)
        with pytest.raises(httpx.ReadTimeout):
            api.post("/orders", json=BODY, timeout=0.05)
        sandbox.wait(sandbox.account.world.next_event)
        clock.pass_by(19)
        assert api.get("/orders").json()["count"] == 0
        clock.pass_by(100)
        (order,) = api.get("/orders").json()["data"]
        assert order["createdAt"] == "2027-01-15T08:00:20.000Z"


# By hand


def test_a_person_s_orders_are_no_calls(api: httpx.Client, sandbox: Sandbox) -> None:
    """One made by hand, moved, given a waybill and deleted: the API shows it, the log does not."""
    order_id = sandbox.add_order(BODY, created_ago=60)
    sandbox.person_sets_order(order_id, status=4, waybill="20450000000001")
    assert sandbox.calls == ()
    shown = api.get(f"/orders/{order_id}").json()
    assert (shown["status"]["title"], shown["npDelivery"]) == ("ТТН сформовано", {"billOfLading": "20450000000001"})
    assert [change["by"] for change in sandbox.order_history(order_id)] == ["person"]
    sandbox.person_sets_order(order_id, deleted=True)
    assert api.get(f"/orders/{order_id}").status_code == 404
    with pytest.raises(ValueError, match="fullname"):
        sandbox.add_order({})
    with pytest.raises(ValueError, match="no order status 99"):
        sandbox.person_sets_order(sandbox.add_order(BODY), status=99)


def test_an_account_has_statuses_of_its_own(api: httpx.Client, sandbox: Sandbox) -> None:
    """The first is a new order's; those that orders have cannot go."""
    sandbox.order_statuses = {10: "Нове", 20: "Готово"}
    assert make(api)["status"] == {"id": 10, "code": "custom", "title": "Нове"}
    for statuses in ({}, {20: "Готово"}):
        with pytest.raises(ValueError, match="keep them"):
            sandbox.order_statuses = statuses
    with pytest.raises(ValueError, match="there is a variation 5"):
        sandbox.add_variation("A", variation_id=sandbox.add_variation("A", variation_id=5))
