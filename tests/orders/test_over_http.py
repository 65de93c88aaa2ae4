"""Orders over real HTTP: whatever becomes of the calls, the CRM has each order once, or the service does not say so."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from mirt_sitniks.orders import Client, Item, Order, SitniksOrderService
from mirt_sitniks.sandbox import Sandbox
from tests.service.shop import Shop, wait_until

# Each meets one creation. With the first, orders are made all the same; with the others they are not.
MADE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("answer_lost", {}),
    ("status", {"status": 500, "applied": True}),
    ("status", {"status": 504, "applied": True}),
    ("empty", {}),
    ("shape", {"json": {"ok": True}}),
    ("shows", {"body": "before"}),
    ("html", {"applied": True}),
)
NOT_MADE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("reset", {}),
    ("status", {"status": 503}),
    ("ignored", {"body": "success"}),
    ("ignored", {"body": "chat"}),
    ("html", {}),
)


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A shop whose CRM takes calls as they come, and shows external ids to who makes an order alone."""
    with Sandbox(limit=False) as sandbox:
        sandbox.add_variation("DRESS-M", price=1299, title="Сукня")
        made = Shop(sandbox, {"rate_limit": "10/1", "timeout": 1.0, "reply_budget": 0.0})
        yield made
        made.close()


def order(number: int) -> Order:
    """An order of one dress for a customer of its own."""
    client = Client(fullname="Олена К.", phone=f"06712345{number:02}")
    return Order(client=client, items=[Item(sku="DRESS-M", price=Decimal(1299), quantity=1)])


def test_what_was_made_is_found_and_what_is_not_known_is_never_sent_again(shop: Shop) -> None:
    """Seven answers that hide an order, five that hide that there is none: one call for each, and none is called made
    that is not there. Without external ids in the list each is told by what it says."""
    for kind, options in MADE + NOT_MADE:
        shop.sandbox.fault(kind, method="POST", path="/orders", **options)
    service = SitniksOrderService(shop.service(sweep=1.0))
    ids = [f"e{number}" for number in range(len(MADE + NOT_MADE))]

    async def run() -> None:
        for number, external_id in enumerate(ids):
            await service.create_order(order(number), external_id=external_id)

    asyncio.run(run())

    def created() -> dict[str, str | None]:
        found = [asyncio.run(service.find(one)) for one in ids]
        return {one.external_id: one.order_id for one in found if one and one.success}

    wait_until(lambda: len(created()) == len(MADE), 100.0)
    told = created()
    assert {one["externalId"]: str(one["id"]) for one in shop.sandbox.orders()} == told
    assert len(shop.sandbox.orders()) == len(MADE)
    assert shop.sandbox.count("POST", "/orders$") == len(ids)
    rest = [asyncio.run(service.find(one)) for one in ids if one not in told]
    assert [one.outcome.value for one in rest if one is not None] == ["queued"] * len(NOT_MADE)
    # The same ids again: the first one's results, and no call.
    again = [service.create_order_blocking(order(number), external_id=one) for number, one in enumerate(ids)]
    assert {one.external_id: one.order_id for one in again if one} == told
    assert shop.sandbox.count("POST", "/orders$") == len(ids)
