"""Live managers in turn and working hours, over HTTP."""

import logging
from collections import Counter
from datetime import datetime
from typing import Any

import pytest

from mirt_sitniks.core.result import Outcome
from tests.service.shop import Shop, synced, touch, wait_until

WORK = "Mon-Fri 09:00-19:00 Europe/Kyiv"


def customers(shop: Shop, count: int) -> list[str]:
    """So many chats; each one's session is its id."""
    return [shop.sandbox.add_chat(f"client.{number}") for number in range(count)]


def escalate(shop: Shop, service: Any, chat: str, intent: str = "e") -> Any:
    """An escalation in a chat that the host knows."""
    name = shop.sandbox.chat(chat)["userNickName"]
    return touch(service, "escalation", session=chat, chat_id=chat, instagram_username=name, intent=intent)


def assigned(shop: Shop, chat: str) -> int:
    """Who is responsible."""
    return int(shop.sandbox.chat(chat)["assignedManagerId"])


def test_two_services_give_their_chats_in_turn(shop: Shop) -> None:
    """Both over one store: whoever escalates, each of them gets as many; the result, the record and the CRM name the
    same person, and a customer who escalates again stays with him."""
    shop.sandbox.managers = {101: "Павло", 102: "Олена", 103: "Марко", 104: "Ірина"}
    services = [shop.service(human_manager_id="104, 102,103", rate_limit="10/0.2") for _ in range(2)]
    chats = customers(shop, 6)
    results = [synced(escalate(shop, services[number % 2], chat)) for number, chat in enumerate(chats)]
    assert [one.manager_id for one in results] == [104, 102, 103] * 2
    assert [assigned(shop, chat) for chat in chats] == [one.manager_id for one in results]
    synced(touch(services[0], "give_requisites", session=chats[1], instagram_username="client.1"))
    assert synced(escalate(shop, services[0], chats[1], "again")).manager_id == 102
    assert [shop.record(chat).desired.manager.who for chat in chats] == [104, 102, 103] * 2


def test_row15_one_who_was_deleted_is_passed_over(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """Sitniks refuses him: the chat goes to the next at once; he is named once, with setting and cure, and costs no
    other chat a call."""
    caplog.set_level(logging.WARNING, "mirt_sitniks")
    service = shop.service(ai_manager_id=101, human_manager_id=[103, 102], rate_limit="10/0.2")
    shop.sandbox.managers = {101: "Павло", 102: "Олена"}
    chats = customers(shop, 3)
    assert [synced(escalate(shop, service, chat)).manager_id for chat in chats] == [102] * 3
    told = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert told == [
        "sitniks: Sitniks has no manager 103, the others get his chats in turn: correct SITNIKS_HUMAN_MANAGER_ID or "
        "take the id out manager=103 code=manager_not_found"
    ]
    puts = Counter(
        call.path for call in shop.sandbox.calls if call.method in ("PATCH", "PUT") and "status" not in call.path
    )
    assert sum(puts.values()) == 4


def test_row15_a_list_without_him_passes_him_over(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """The list was read to find the AI by name: he is not even tried."""
    service = shop.service(human_manager_id=[103, 102])
    shop.sandbox.managers = {101: "Павло", 102: "Олена"}
    synced(touch(service))
    assert synced(touch(service, "escalation")).manager_id == 102
    wait_until(lambda: any("no manager 103," in one.getMessage() for one in caplog.records))
    assert all(call.status != 400 for call in shop.sandbox.calls)


def test_row15_when_none_of_them_is_there_it_is_said(shop: Shop) -> None:
    """As with one: the status stands, the manager is missing, and the message names the setting."""
    service = shop.service(ai_manager_id=101, human_manager_id=[8, 9])
    result = touch(service, "escalation")
    assert result.outcome is Outcome.PARTIAL
    assert result.error
    assert result.error["code"] == "manager_not_found"
    assert "SITNIKS_HUMAN_MANAGER_ID" in result.error["message"]


def test_working_hours_are_told_and_keep_nothing_back(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """An escalation at night is written like any other; `people` says that nobody is there, and
    the service when somebody will be."""
    service, plain = shop.service(hours=WORK), shop.service()
    for now, people, back in (
        ("2026-11-28T12:00+02:00", "closed", "2026-11-30T07:00:00.000Z"),
        ("2026-11-30T12:00+02:00", "open", None),
    ):
        monkeypatch.setattr("mirt_sitniks.service.time.time", lambda now=now: datetime.fromisoformat(now).timestamp())
        assert (service.people(), service.people_back_at()) == (people, back)
        result = touch(service, "escalation", intent=now)
        monkeypatch.undo()
        assert (result.outcome, result.people, result.to_state()["people"]) == (Outcome.SYNCED, people, people)
    shop.shows("AI Увага", 102)
    assert (plain.people(), plain.people_back_at(), touch(plain, "escalation").people) == (None, None, None)


def test_what_is_not_synced_tells_the_hours_as_well(shop: Shop) -> None:
    """Skipped, or disabled."""
    always = "0-24 Europe/Kyiv"
    assert touch(shop.service(hours=always), "no such stage").people == "open"
    assert touch(shop.service(hours=always, api_key=""), "escalation").people == "open"
