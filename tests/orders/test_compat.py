"""A host that was written for the earlier client makes its orders with its imports changed, and nothing else."""

import asyncio
from collections.abc import Iterator
from enum import Enum
from typing import Any

import pytest
from pydantic import BaseModel

from mirt_sitniks import service as services
from mirt_sitniks.compat import CRMErrorType, CRMResponse, SnitkixCRMClient, client, get_snitkix_client
from mirt_sitniks.sandbox import Sandbox


class HostStatus(str, Enum):  # noqa: UP042 - as the host has it
    NEW = "new"
    PAID = "paid"
    SHIPPED = "shipped"


class Way(str, Enum):  # noqa: UP042
    POST = "nova_poshta"
    FULL = "full_prepay"


class HostCustomer(BaseModel):
    full_name: str
    phone: str
    email: str | None = None
    city: str
    nova_poshta_branch: str | None = None
    nova_poshta_address: str | None = None


class HostItem(BaseModel):
    product_id: int
    product_name: str
    sku: str | None = None
    size: str
    color: str
    quantity: int = 1
    price: float


class HostOrder(BaseModel):
    """An order of the host's own, as its earlier client took it."""

    external_id: str
    customer: HostCustomer
    items: list[HostItem]
    discount: float = 0.0
    delivery_cost: float = 0.0
    status: HostStatus = HostStatus.NEW
    delivery_method: Way = Way.POST
    payment_method: Way = Way.FULL
    source: str = "bot"
    source_id: str | None = None
    customer_notes: str | None = None
    internal_notes: str | None = None


DATA: dict[str, Any] = {
    "external_id": "u77_4be1",
    "customer": {
        "full_name": "Ірина Приклад",
        "phone": "+380501234567",
        "city": "Львів",
        "nova_poshta_branch": "Відділення №5",
    },
    "items": [
        {
            "product_id": 7,
            "product_name": "Сукня «Волошка»",
            "sku": "VOL-98",
            "size": "98",
            "color": "синя",
            "price": 980.0,
        }
    ],
    "source": "manychat",
    "source_id": "u77",
}


def make_order_task(data: dict[str, Any]) -> dict[str, Any]:
    """A worker's task: builds the host's model, asks the client on a loop of its own, reads the answer."""
    order = HostOrder(**data)

    async def ask() -> CRMResponse:
        crm = get_snitkix_client()
        return await crm.create_order(order)

    answer = asyncio.run(ask())
    if answer.success:
        return {"status": "created", "order_id": answer.order_id, "external_id": order.external_id}
    return {"status": "refused", "reason": answer.error, "type": answer.error_type}


def read_status_task(order_id: str) -> str | None:
    """Another task: how the order stands now."""

    async def ask() -> Any:
        return await get_snitkix_client().get_order_status(order_id)

    found = asyncio.run(ask())
    return found.status if found else None


@pytest.fixture
def crm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox that the environment names, and a process that has no client yet."""
    with Sandbox(limit=False) as running:
        monkeypatch.setenv("SNITKIX_API_URL", running.url)
        monkeypatch.setenv("SNITKIX_API_KEY", running.key)
        monkeypatch.setenv("SITNIKS_DATABASE", ":memory:")
        monkeypatch.setenv("SITNIKS_RATE_LIMIT", "10/0.5")
        monkeypatch.setattr(client, "_client", None)
        running.add_variation("VOL-98", price=980, title="Сукня")
        yield running
        services.get_sitniks_chat_service().close()


def test_the_flow_of_a_host_makes_its_orders(crm: Sandbox) -> None:
    """Orders of the host's tasks are in the CRM, each once, however often a task is run, and their status is read."""
    tasks = [{**DATA, "external_id": f"order-{number}"} for number in range(5)]
    made = [make_order_task(task) for task in tasks for _ in range(2)]
    assert {one["status"] for one in made} == {"created"}
    assert [one["order_id"] for one in made[::2]] == [one["order_id"] for one in made[1::2]]
    shown = crm.orders()
    assert [order["externalId"] for order in shown] == [task["external_id"] for task in tasks]
    first = shown[0]
    assert first["client"]["fullname"] == "Ірина Приклад"
    assert first["client"]["phone"] == "380501234567"
    assert [(item["title"], item["price"], item["quantity"]) for item in first["products"]] == [
        ("Сукня «Волошка», 98, синя", 980, 1)
    ]
    assert first["managerComment"].splitlines() == [
        "Доставка: Нова пошта, Львів, Відділення №5",
        "Оплата: повна передоплата",
        "Джерело: manychat u77",
    ]
    assert read_status_task(made[0]["order_id"]) == "new"


def test_goods_without_a_sku_are_told_in_words(crm: Sandbox) -> None:
    """The host's own product number is no variation of Sitniks': people read what was bought, no wrong goods are."""
    bare = {**DATA["items"][0], "sku": None}
    made = make_order_task(
        {**DATA, "items": [bare], "discount": 80.0, "internal_notes": "подарунок", "delivery_cost": 70}
    )
    assert made["status"] == "created"
    (order,) = crm.orders()
    assert order["products"] == []
    assert order["managerComment"].splitlines()[:4] == [
        "подарунок",
        "Товари: Сукня «Волошка», 98, синя × 1 по 980.0 грн",
        "Знижка: 80.0",
        "Доставка: Нова пошта, Львів, Відділення №5",
    ]


def test_a_host_can_say_which_variation_a_product_is(crm: Sandbox) -> None:
    """With `variation_of` the items are the catalogue's."""
    number = crm.add_variation(None, price=980, title="Сукня")
    bare = {**DATA["items"][0], "sku": None}

    async def ask() -> CRMResponse:
        async with SnitkixCRMClient(crm.url, crm.key, variation_of=lambda item: number) as own:
            return await own.create_order(HostOrder(**{**DATA, "items": [bare]}))

    assert asyncio.run(ask()).success
    assert [item["price"] for item in crm.orders()[0]["products"]] == [980]


def test_what_is_wrong_with_an_order_is_one_answer(crm: Sandbox) -> None:
    """All of it is told, no call is made; an unknown sku is told with a word of the catalogue."""
    wrong = {
        **DATA,
        "customer": {**DATA["customer"], "full_name": "Лі", "phone": "12"},
        "items": [{**DATA["items"][0], "price": -1, "quantity": 0, "sku": None}],
    }
    said = make_order_task(wrong)
    assert said["type"] is CRMErrorType.VALIDATION
    for part in ("client.fullname", "client.phone", "price that is not above 0", "quantity that is not 1 to 999"):
        assert part in said["reason"]
    assert list(crm.calls) == []
    unknown = make_order_task({**DATA, "items": [{**DATA["items"][0], "sku": "NO-1"}]})
    assert unknown["type"] is CRMErrorType.VALIDATION
    assert "NO-1" in unknown["reason"]
    assert crm.orders() == []


@pytest.mark.parametrize("place", ["external_id", "customer", "items", "source_id", "status", "customer_notes"])
def test_what_cannot_be_read_is_one_answer(crm: Sandbox, place: str) -> None:
    """Values that raise when they are asked for their text, or are no list: told, never raised, nothing is sent."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("таємне")

        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("таємне")

    for value in (Broken(), 10**5000):
        told = asyncio.run(get_snitkix_client().create_order({**DATA, place: value}))
        assert (told.success, told.error_type) == (False, CRMErrorType.VALIDATION)
        assert "таємне" not in str(told.error)
    assert crm.orders() == []


def test_statuses_and_orders_are_read_and_set(crm: Sandbox) -> None:
    """A status by the host's word, an order by its id, orders by phone or external id; what is not there is told."""
    crm.order_statuses = {1: "Новий", 2: "Оплачено"}
    order_id = make_order_task(DATA)["order_id"]

    async def ask() -> None:
        own = get_snitkix_client()
        assert await own.health_check()
        paid = await own.update_order_status(order_id, HostStatus.PAID, notes="оплата")
        assert paid.success
        assert paid.error == "the status is set, the notes are dropped: Sitniks takes none"
        stands = await own.get_order_status(order_id)
        assert stands is not None
        assert (stands.status, stands.snitkix_status) == ("paid", "Оплачено")
        refused = await own.update_order_status(order_id, HostStatus.SHIPPED)
        assert refused.error_type is CRMErrorType.VALIDATION
        assert "Оплачено" in str(refused.error)
        shown = (await own.get_order(order_id)).data or {}
        assert (shown["status"], shown["totalPrice"]) == ("Оплачено", 980.0)
        gone = await own.get_order("999999")
        assert gone.error_type is CRMErrorType.NOT_FOUND
        assert await own.get_order_status("999999") is None
        for asked, number in [
            ({"external_id": DATA["external_id"]}, 1),
            ({"phone": "050 123 45 67"}, 1),
            ({"phone": "0501234567", "status": HostStatus.PAID}, 1),
            ({"status": HostStatus.NEW}, 0),
            ({"phone": "0671234567"}, 0),
        ]:
            found = await own.search_orders(**asked)
            assert len((found.data or {})["orders"]) == number, asked

    asyncio.run(ask())


def test_a_status_that_the_account_has_under_its_code_alone_is_one(
    crm: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """An order is made with it or given it, and no warning tells otherwise; where there is neither, one does."""
    crm.order_statuses = {1: "Новий", 2: "paid"}
    assert make_order_task({**DATA, "external_id": "u77_paid", "status": "paid"})["status"] == "created"
    assert [order["status"]["title"] for order in crm.orders()] == ["paid"]
    order_id = make_order_task(DATA)["order_id"]
    assert asyncio.run(get_snitkix_client().update_order_status(order_id, HostStatus.PAID)).success
    assert not [one for one in caplog.records if one.levelname == "WARNING"]
    refused = asyncio.run(get_snitkix_client().update_order_status(order_id, HostStatus.SHIPPED))
    assert refused.error_type is CRMErrorType.VALIDATION
    assert len([one for one in caplog.records if one.levelname == "WARNING"]) == 1


def test_what_the_api_cannot_do_is_told(crm: Sandbox) -> None:
    """No call is made for what there is no call for."""

    async def ask() -> list[CRMResponse]:
        own = get_snitkix_client()
        return [
            await own.add_order_note("1", "x"),
            await own.get_customer("0671234567"),
            await own.create_customer("Ірина", "0671234567"),
            await own.search_orders(email="a@b.ua"),
        ]

    said = asyncio.run(ask())
    assert not any(one.success for one in said)
    assert all("Sitniks" in str(one.error) for one in said)
    assert list(crm.calls) == []


def test_a_crm_that_does_not_answer_is_told(crm: Sandbox) -> None:
    """A wrong key, and no settings at all, are failures with their kind."""

    async def ask(key: str) -> CRMResponse:
        async with SnitkixCRMClient(crm.url, key) as own:
            return await own.get_order("1")

    assert asyncio.run(ask("wrong")).error_type is CRMErrorType.AUTHENTICATION


def test_without_settings_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that has no address yet gets a failure that says what is missing."""
    monkeypatch.setattr(client, "_client", None)
    said = make_order_task(DATA)
    assert said["reason"] == "SNITKIX_API_URL or SNITKIX_API_KEY is not set"
    services.get_sitniks_chat_service().close()
