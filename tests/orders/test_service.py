"""The order service over real HTTP against the sandbox: each order is made once, and every verb answers."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from mirt_sitniks.errors import ConfigError
from mirt_sitniks.orders import Client, Item, Order, OrderOutcome, OrderResult, SitniksOrderService
from mirt_sitniks.orders.service import NO_ID
from mirt_sitniks.sandbox import Sandbox
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.settings import SitniksSettings
from tests.service.shop import Shop, wait_until

# A call that is not answered is given up after that; its order is looked for after three times as long.
TIMEOUT = 0.2


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A shop that sells dresses."""
    with Sandbox(limit=False) as sandbox:
        sandbox.add_variation("DRESS-S")
        sandbox.add_variation("DRESS-M")
        made = Shop(sandbox, {"timeout": TIMEOUT})
        yield made
        made.close()


def order(price: int = 1200, **more: Any) -> Order:
    """What Olena buys."""
    client = Client(fullname="Олена Приклад", phone="067 123 45 67")
    return Order(client=client, items=(Item(sku="DRESS-S", price=Decimal(price)),), **more)


Ask = Callable[[SitniksOrderService], Any]


def ask(service: SitniksChatService, verb: Ask) -> Any:
    """One verb, to its end."""
    return asyncio.run(verb(SitniksOrderService(service)))


def create(service: SitniksChatService, external_id: str = "e1", said: Any = None) -> OrderResult:
    """One order."""
    made: OrderResult = ask(service, lambda orders: orders.create_order(said or order(), external_id=external_id))
    return made


def test_an_order_is_made_with_its_ids_and_told_with_its_number(shop: Shop) -> None:
    """Sku and status go out as ids, the phone as the CRM writes it; the caller hears id and number."""
    result = create(shop.service(), said=order(status="В роботі", comment="подарунок"))
    (shown,) = shop.sandbox.orders()
    assert (result.outcome, result.order_id, result.order_number) == (
        OrderOutcome.CREATED,
        str(shown["id"]),
        str(shown["orderNumber"]),
    )
    assert (shown["externalId"], shown["client"]["phone"], shown["status"]["id"]) == ("e1", "380671234567", 3)
    assert shown["products"][0]["productVariation"]["sku"] == "DRESS-S"
    assert result.to_state() == {
        "outcome": "created",
        "order_id": result.order_id,
        "order_number": result.order_number,
        "external_id": "e1",
        "error": None,
    }


def test_the_same_id_gives_the_first_result_and_other_content_is_a_conflict(shop: Shop) -> None:
    """Words of the comment do not matter; another price under the id is refused, and nothing is sent."""
    service = shop.service()
    first, again = create(service), create(service, said=order(comment="інші слова"))
    conflict = create(service, said=order(price=900))
    assert (first, again.error) == (again, None)
    assert conflict.outcome is OrderOutcome.FAILED
    assert conflict.error
    assert conflict.error["code"] == "order_conflict"
    assert len(shop.sandbox.orders()) == 1


@pytest.mark.parametrize("kind", ["answer_lost", "reset_body", "applied_late", "html", "empty", "status"])
@pytest.mark.parametrize("shows", ["all", "never"])
def test_row04_an_order_in_doubt_is_found_by_a_look(shop: Shop, kind: str, shows: Any) -> None:
    """Row 4: it was made and the answer says nothing: it is found in the list, and made once."""
    options: dict[str, Any] = {"applied_late": {"seconds": 0.3}, "html": {"applied": True}, "status": {"applied": True}}
    shop.sandbox.order_shows = shows
    shop.sandbox.fault(kind, method="POST", path="/orders$", **options.get(kind, {}))
    service = shop.service()
    assert create(service).outcome in (OrderOutcome.QUEUED, OrderOutcome.CREATED)
    wait_until(lambda: create(service).outcome is OrderOutcome.CREATED)
    assert [str(one["id"]) for one in shop.sandbox.orders()] == [create(service).order_id]


@pytest.mark.parametrize("kind", ["rate_limited", "too_fast_503"])
def test_row07_a_key_that_must_rest_costs_no_order(shop: Shop, kind: str) -> None:
    """Row 7: refused for now, it is sent again when the key may be used."""
    options: dict[str, Any] = {"headers": {"Retry-After": "1"}} if kind == "too_fast_503" else {"retry_after": "1"}
    shop.sandbox.fault(kind, method="POST", **options)
    service = shop.service()
    assert create(service).outcome is OrderOutcome.QUEUED
    wait_until(lambda: create(service).outcome is OrderOutcome.CREATED)
    assert len(shop.sandbox.orders()) == 1


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_sent(shop: Shop) -> None:
    """One error names all problems; an order that is no order at all, and an empty id, are told as well."""
    service = shop.service()
    bad = Order(client=Client(fullname="Ол"), items=(Item(sku="DRESS-S", price=Decimal(-1), quantity=0),))
    for said, external_id, words in (
        (bad, "", ("external_id", "fullname", "phone", "price", "quantity")),
        ({"client": {"surname": "Олена"}, "items": "x"}, "e1", ("surname", "items")),
    ):
        result = create(service, external_id, said)
        assert result.outcome is OrderOutcome.FAILED
        assert result.error
        assert result.error["code"] == "order_invalid"
        assert all(word in result.error["message"] for word in words), result.error
    assert (shop.sandbox.calls, shop.sandbox.orders()) == ((), [])


def test_an_unknown_sku_or_status_is_told_with_what_there_is(shop: Shop) -> None:
    """Near skus and all statuses are listed; nothing is sent or recorded."""
    service = shop.service()
    wrong = Order(client=order().client, items=(Item(sku="DRESS-X", price=Decimal(1)),))
    for said, code, word in ((wrong, "unknown_sku", "dress-s"), (order(status="Немає"), "unknown_status", "Виконано")):
        result = create(service, said=said)
        assert result.error
        assert (result.outcome, result.error["code"]) == (OrderOutcome.FAILED, code)
        assert word in result.error["message"]
    assert (shop.sandbox.orders(), shop.store.made.written) == ([], {})


def test_orders_are_read_listed_and_moved(shop: Shop) -> None:
    """By id, by time, by the status's name or id; what is not there is None, empty or told."""
    service = shop.service()
    made = create(service)

    async def verbs(orders: SitniksOrderService) -> tuple[Any, ...]:
        now = datetime.now(UTC)
        hour = timedelta(hours=1)
        return (
            await orders.update_order_status(made.order_id or "", "виконано"),
            await orders.get_order(made.order_id or ""),
            await orders.list_orders((now - hour).replace(tzinfo=None), now + hour),
            await orders.list_orders(now - 3 * hour, now - hour),
            await orders.get_order("999"),
            await orders.get_statuses(),
            await orders.update_order_status(made.order_id or "", "Немає"),
            await orders.find("e1"),
            await orders.find("e2"),
        )

    moved, read, listed, none, gone, statuses, wrong, known, unknown = ask(service, verbs)
    assert moved
    assert (read.status, [one.id for one in listed], none, gone) == ("Виконано", [made.order_id], [], None)
    assert statuses[0].title == "Новий"
    assert (wrong.success, wrong.error["code"], "Виконано" in wrong.error["message"]) == (False, "unknown_status", True)
    assert (known, unknown) == (made, None)


def test_a_person_settles_what_nobody_knows(shop: Shop) -> None:
    """An id that the CRM does not have is refused; the right one is taken over with its number."""
    service = shop.service()
    shop.sandbox.fault("hang", method="POST", path="/orders$")
    assert create(service).outcome is OrderOutcome.QUEUED
    wait_until(lambda: shop.store.made.written["main", "e1"][0].lease_until == 0.0)
    by_hand = shop.sandbox.add_order({"client": {"fullname": "Олена", "phone": "380671234567"}})
    wrong = ask(service, lambda orders: orders.settle("e1", 999))
    assert wrong.error
    assert (wrong.outcome, wrong.error["code"]) == (OrderOutcome.FAILED, "order_not_found")
    right = ask(service, lambda orders: orders.settle("e1", by_hand))
    assert (right.outcome, right.order_id) == (OrderOutcome.CREATED, str(by_hand))
    assert right.order_number
    nobody = ask(service, lambda orders: orders.settle("e9", by_hand))
    assert nobody.error
    assert nobody.error["code"] == "order_unknown"


@pytest.mark.parametrize(
    ("service", "form", "said"),
    [
        (None, "offers", "service is a NoneType: pass get_sitniks_chat_service() or a SitniksChatService()."),
        (SitniksChatService, "offers", "service is a type: pass"),
        (SitniksChatService(SitniksSettings(api_url="", api_key="")), "goods", "form='goods' is unknown: use one of"),
    ],
)
def test_what_cannot_serve_is_refused_at_once(service: Any, form: Any, said: str) -> None:
    """Where the service is made, with the cure: not at the first order."""
    with pytest.raises(ConfigError, match=re.escape(said)):
        SitniksOrderService(service, form=form)


def test_row24_without_address_or_key_nothing_happens() -> None:
    """Row 24: disabled, every verb says so or is empty, and none raises."""
    service = SitniksChatService(SitniksSettings(api_url="", api_key="", _env_file=None))

    async def verbs(orders: SitniksOrderService) -> tuple[Any, ...]:
        now = datetime.now(UTC)
        return (
            await orders.create_order(order(), external_id="e1"),
            await orders.settle("e1", "1"),
            await orders.get_order("1"),
            await orders.list_orders(now, now),
            await orders.get_statuses(),
        )

    made, settled, *rest = ask(service, verbs)
    assert (made.outcome, settled.outcome, rest) == (OrderOutcome.DISABLED, OrderOutcome.DISABLED, [None, [], []])


def test_row05_the_reply_is_held_no_longer_than_its_budget(shop: Shop) -> None:
    """Row 5: a CRM that hangs, from a thread and from a loop; both are told that it goes on by itself."""
    service = shop.service(reply_budget=0.3, timeout=5.0)
    shop.sandbox.fault("hang", method="POST", times=None)
    began = time.monotonic()
    first = create(service)
    second = SitniksOrderService(service).create_order_blocking(order(), external_id="e2")
    assert (first.outcome, second.outcome) == (OrderOutcome.QUEUED, OrderOutcome.QUEUED)
    assert time.monotonic() - began < 2 * (0.3 + 0.1) + 0.5


def test_row32_an_order_and_the_syncs_of_its_turn_share_one_budget(shop: Shop) -> None:
    """Row 32: what a sync has held of the turn's budget an order does not hold again."""
    service = shop.service(reply_budget=0.5, timeout=5.0)
    shop.sandbox.fault("hang", times=None)

    async def turn(orders: SitniksOrderService) -> float:
        await service.sync("first_touch", session="s", instagram_username="anna.shop", intent="m1")
        began = time.monotonic()
        await orders.create_order(order(), external_id="e1", session="s", event="m1")
        return time.monotonic() - began

    assert ask(service, turn) < 0.3


def test_row31_what_a_dead_process_left_is_made_by_another(shop: Shop) -> None:
    """Row 31: an order that was recorded and not sent is made within a sweep by a service that nobody asks."""
    dead = shop.service(worker=False, reply_budget=0.0)
    shop.sandbox.fault("refuse_key", times=None)
    create(dead)
    dead.close()
    shop.sandbox.clear_faults()
    rows = shop.store.made.written
    (row, at), key = rows["main", "e1"], ("main", "e1")
    rows[key] = replace(row, due_at=0.0, lease_until=0.0, version=row.version + 1), at
    shop.store.rows.keys.clear()
    with shop.service(sweep=0.1):
        wait_until(lambda: len(shop.sandbox.orders()) == 1)


def test_an_order_is_found_and_settled_by_the_id_that_it_was_made_by(shop: Shop) -> None:
    """A number, or a text with spaces around it, names the same order for every verb; a chat's id that cannot be one
    costs no order, and what is no id is told by each verb."""
    service = shop.service()
    no_chat: Any = {"a": object()}
    number: Any = 7
    made = ask(service, lambda orders: orders.create_order(order(), external_id=number, chat_id=no_chat))
    assert made.outcome is OrderOutcome.CREATED
    assert ask(service, lambda orders: orders.find(" 7 ")) == ask(service, lambda orders: orders.find(number)) == made
    assert ask(service, lambda orders: orders.settle(" 7", made.order_id)) == made

    async def refused(orders: SitniksOrderService, wrong: Any) -> None:
        told = await orders.create_order(order(), external_id=wrong)
        assert told.error == {"code": "order_invalid", "message": NO_ID}
        assert await orders.find(wrong) is None
        assert await orders.get_order(wrong) is None
        assert not await orders.settle(wrong, None)
        assert not await orders.settle("7", wrong)
        assert not await orders.update_order_status(wrong, 1)

    async def all_refused(orders: SitniksOrderService) -> None:
        for hostile in (10**5000, object(), "\ud800", {}, "x" * 10**6):
            await refused(orders, hostile)

    ask(service, all_refused)
