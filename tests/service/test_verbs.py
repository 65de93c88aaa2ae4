"""What a host calls: the three handlers, an event by its id, and the original's verbs."""

import asyncio
from typing import Any

import pytest

from mirt_sitniks.errors import StoreError
from tests.service.shop import Shop, synced, touch


def test_the_three_handlers(shop: Shop) -> None:
    """Names are needed once only; the results work like the original's dicts."""
    service = shop.service()

    async def conversation() -> Any:
        first = await service.handle_first_touch("s", instagram_username="anna.shop")
        invoice = await service.handle_invoice_sent("s")
        return first, invoice, await service.handle_escalation("s", "скарга")

    first, invoice, alarm = asyncio.run(conversation())
    assert first.get("success")
    assert first["chat_id"] == shop.chat
    assert first["manager_assigned"]
    assert invoice.status == "Виставлено рахунок"
    assert (alarm.status, alarm.manager_id) == ("AI Увага", 102)


def test_a_message_id_names_one_event_of_each_stage(shop: Shop) -> None:
    """A host that passes its message's id as `intent` for two stages has told of two events; each of them once."""
    service = shop.service()
    for stage in ("give_requisites", "escalation", "escalation"):
        synced(touch(service, stage, intent="message-1"))
    shop.shows("AI Увага", 102)
    assert [line.key for line in asyncio.run(shop.store.ledger("s")) if line.kind == "intent"] == [
        "give_requisites:message-1",
        "escalation:message-1",
    ]


def test_managers_come_as_the_api_shows_them(shop: Shop) -> None:
    """All pages of them; none when the CRM fails."""
    shop.sandbox.managers = [(number, f"Менеджер {number}") for number in range(1, 61)]
    service = shop.service()
    managers = asyncio.run(service.get_managers())
    assert managers[59] == {"id": 60, "user": {"fullname": "Менеджер 60"}}
    shop.sandbox.fault("status", status=500)
    assert asyncio.run(service.get_managers()) == []


def test_a_chat_is_found_by_user_name(shop: Shop) -> None:
    """Within the minutes asked for; None for a stranger, and for nobody."""
    service = shop.service()
    assert asyncio.run(service.find_chat_by_username(instagram_username="@Anna.shop")) == shop.chat
    assert asyncio.run(service.find_chat_by_username(telegram_username="anna.shop")) is None
    assert asyncio.run(service.find_chat_by_username()) is None


def test_plain_writes_tell_whether_they_were_confirmed(shop: Shop) -> None:
    """True, or False with a line in the log; and a known chat's record hears of them."""
    service = shop.service()
    synced(touch(service))
    assert asyncio.run(service.update_chat_status(shop.chat, "ОПЛАЧЕНО")) is True
    assert asyncio.run(service.assign_manager(shop.chat, 103)) is True
    shop.shows("ОПЛАЧЕНО", 103)
    assert (shop.record().observed.status.value, shop.record().observed.manager.value) == ("ОПЛАЧЕНО", 103)
    assert asyncio.run(service.update_chat_status("0" * 24, "ОПЛАЧЕНО")) is False
    assert asyncio.run(service.assign_manager("", 103)) is False


def test_a_confirmed_write_is_true_whatever_the_store_says(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CRM has confirmed it; that nobody could note it is no failure of the write."""

    async def observe(*_: object, **__: object) -> None:
        raise StoreError("away")

    monkeypatch.setattr(shop.store, "observe", observe)
    service = shop.service()
    assert asyncio.run(service.update_chat_status(shop.chat, "ОПЛАЧЕНО")) is True
    assert asyncio.run(service.assign_manager(shop.chat, 103)) is True
    shop.shows("ОПЛАЧЕНО", 103)
