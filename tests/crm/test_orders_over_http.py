"""The client's word on a creation, held against what the CRM has: every fault, over real HTTP."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from mirt_sitniks.core.orders import CrmOrder
from mirt_sitniks.crm.client import SitniksClient
from mirt_sitniks.crm.orders import (
    CreateOrder,
    GetOrder,
    ListOrders,
    ListOrderStatuses,
    ListVariations,
    SetOrderStatus,
)
from mirt_sitniks.errors import CrmError, NotFound
from mirt_sitniks.sandbox import Sandbox
from mirt_sitniks.sandbox.faults import KINDS

TIMEOUT = 0.2
BODY = {"client": {"fullname": "Олена К.", "phone": "380671234567"}, "externalId": "e1"}
# Those whose pauses would outlast the client's patience are told apart from those that do not: none waits for long.
OPTIONS: dict[str, dict[str, Any]] = {
    "slow": {"seconds": 1.0},
    "drip": {"every": 0.05},
    "applied_late": {"seconds": 0.01},
    "huge": {"size": 2_000_000},
    "whole": {"seconds": 0.0},
}
FAULTS = [
    *((kind, {}) for kind in KINDS),
    *(("status", {"status": status, "applied": True}) for status in (500, 502, 503, 504)),
    ("html", {"applied": True}),
    ("empty", {"applied": False}),
    *(("refuse", {"status": status}) for status in (400, 404, 405, 413, 422, 429)),
    *((kind, {"body": body}) for kind in ("shows", "ignored") for body in ("chat", "before", "empty", "success")),
]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox without the limit."""
    with Sandbox(limit=False) as running:
        yield running


def send(sandbox: Sandbox, *sent: Any, timeout: float = 5.0, url: str | None = None) -> list[Any]:
    """What each call brings, values and errors alike."""

    async def run() -> list[Any]:
        client = SitniksClient(url or sandbox.url, sandbox.key, timeout=timeout)
        try:
            return [await _outcome(client, call) for call in sent]
        finally:
            await client.aclose()

    return asyncio.run(run())


async def _outcome(client: SitniksClient, call: Any) -> Any:
    try:
        return await client.send(call)
    except CrmError as error:
        return error


@pytest.mark.parametrize(("kind", "options"), FAULTS, ids=lambda value: str(value))
def test_a_creation_that_is_not_in_doubt_is_as_it_was_told(sandbox: Sandbox, kind: str, options: Any) -> None:
    """Told as made, the order is there; told as not made, it is not and never will be; all else is in doubt."""
    sandbox.fault(kind, method="POST", **OPTIONS.get(kind, {}), **options)
    (told,) = send(sandbox, CreateOrder(BODY), timeout=TIMEOUT)
    sandbox.clear_faults()
    made = [str(order["id"]) for order in sandbox.orders()]
    if isinstance(told, CrmOrder):
        assert made == [told.id]
    elif not told.unconfirmed:
        assert made == []
    assert len(made) <= 1


def test_an_address_where_nobody_is_made_nothing(sandbox: Sandbox) -> None:
    """A connection that was refused carried no order: it may be made again."""
    url = sandbox.url
    sandbox.stop()
    (told,) = send(sandbox, CreateOrder(BODY), url=url)
    assert (told.code, told.unconfirmed) == ("unavailable", False)


@pytest.mark.parametrize("key", ["title", "name"])
def test_an_order_s_whole_life(sandbox: Sandbox, key: Any) -> None:
    """Found by its sku, made, read, listed, moved, deleted: each answer says what the CRM has."""
    sandbox.order_status_key = key
    variation = sandbox.add_variation("SUKNYA-M", price="1299.50", title="Сукня")
    chat = sandbox.add_chat("olena.example")
    body = BODY | {"offers": [{"itemId": variation, "price": 1299.5, "quantity": 2}], "chatId": chat}
    (found, statuses, made) = send(sandbox, ListVariations("SUKNYA-M"), ListOrderStatuses(), CreateOrder(body))
    assert [(one.id, one.sku, one.active) for one in found.items] == [(variation, "SUKNYA-M", True)]
    assert [one.title for one in statuses] == list(sandbox.order_statuses.values())
    assert (made.external_id, made.chat_id, made.status) == ("e1", chat, "Новий")
    sandbox.person_sets_order(int(made.id), waybill="20450000000001")
    today, day = sandbox.account.clock.date(), timedelta(days=1)
    asked = ListOrders(today - day, today + day), ListOrders(today - 2 * day, today - day)
    (read, listed, empty, moved) = send(sandbox, GetOrder(made.id), *asked, SetOrderStatus(made.id, 2))
    assert (read.waybill, read.external_id, read.lines) == ("20450000000001", None, made.lines)
    assert ([one.id for one in listed.items], listed.total) == ([made.id], 1)
    assert (empty.items, moved.status, moved.status_id) == ((), "Очікуємо оплату", 2)
    sandbox.person_sets_order(int(made.id), deleted=True)
    (gone,) = send(sandbox, GetOrder(made.id))
    assert (type(gone), gone.code) == (NotFound, "order_not_found")


def test_an_external_id_is_read_where_the_account_shows_it(sandbox: Sandbox) -> None:
    """By it alone an order can be told for certain; where it is not shown it is None, never another's."""
    sandbox.order_shows = "all"
    (made,) = send(sandbox, CreateOrder(BODY))
    assert send(sandbox, GetOrder(made.id))[0].external_id == "e1"
    sandbox.order_shows = "never"
    assert [one.external_id for one in send(sandbox, GetOrder(made.id), CreateOrder(BODY))] == [None, None]
