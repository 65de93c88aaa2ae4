"""Finding the customer's chat and the managers over real HTTP: late, many, old, doubled, nameless."""

import time
from typing import Any

import pytest

from mirt_sitniks.core.result import Outcome
from mirt_sitniks.stores.memory import MemoryStore
from tests.service.shop import Shop, synced, touch, wait_until


def test_row11_a_chat_that_shows_late_gets_the_newest_stage(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked for again and again; the stage that came meanwhile waited for it."""
    monkeypatch.setattr("mirt_sitniks.core.scanning.search_delay", lambda attempt: 0.1)
    late = shop.sandbox.add_chat("vira", appears_in=3600.0)
    service = shop.service(reply_budget=0.05)
    first = touch(service, instagram_username="vira")
    assert (first.outcome, first.chat_id) == (Outcome.QUEUED, None)
    touch(service, "escalation", instagram_username="vira")
    shop.sandbox.account.world.chat(late).shows_at = 0.0
    shop.shows("AI Увага", 102, late)


def test_row11_a_chat_that_never_shows_is_given_up(shop: Shop) -> None:
    """Failed with the cure, and nothing is asked any more."""
    service = shop.service(reply_budget=0.05, rate_limit="10/0.5")
    touch(service, instagram_username="nobody")
    wait_until(lambda: shop.record().observed.given_up)
    calls = len(shop.sandbox.calls)
    result = touch(service, instagram_username="nobody")
    assert result.outcome is Outcome.FAILED
    assert result.error
    assert result.error["code"] == "chat_not_found"
    assert len(shop.sandbox.calls) == calls


@pytest.mark.parametrize("date", ["created", "last_message"])
def test_row12_more_than_fifty_chats_in_the_window(shop: Shop, date: Any) -> None:
    """The customer's chat is on the second page."""
    shop.sandbox.date_filter = date
    for number in range(60):
        shop.sandbox.add_chat(f"guest{number}")
    synced(touch(shop.service()))
    assert shop.sandbox.count("GET", "/chats$") == 2


@pytest.mark.parametrize(
    ("date", "created", "last"), [("created", 20, 20), ("last_message", 300, 2), ("created", 0.5, 0.5)]
)
def test_row12_a_returning_customers_old_chat(shop: Shop, date: Any, created: float, last: float) -> None:
    """Whichever date the API filters on: the windows of a day and of 30 days find it."""
    shop.sandbox.date_filter = date
    day = 86_400.0
    old = shop.sandbox.add_chat("vira", created_ago=created * day, last_message_ago=last * day)
    touch(shop.service(), instagram_username="vira")
    shop.shows("Взято в роботу", 101, old)


@pytest.mark.parametrize("name", ["@ANNA.SHOP", " anna.shop ", "@Anna.Shop"])
def test_row12_letter_case_and_at_signs(shop: Shop, name: str) -> None:
    """User names are compared in one form."""
    assert synced(touch(shop.service(), instagram_username=name)).chat_id == shop.chat


def test_row13_row27_the_channel_must_fit(shop: Shop) -> None:
    """A Telegram customer of the same name is another person."""
    other = shop.sandbox.add_chat("anna.shop", source="telegram_bot")
    service = shop.service()
    assert synced(touch(service)).chat_id == shop.chat
    assert synced(touch(service, session="t", telegram_username="anna.shop")).chat_id == other


def test_row13_two_chats_of_one_person_mean_the_newest(shop: Shop) -> None:
    """The one with the newest message is written to, the other is left alone."""
    shop.sandbox.add_chat("vira", user_id="77", created_ago=200.0, last_message_ago=200.0)
    new = shop.sandbox.add_chat("vira", user_id="77")
    assert synced(touch(shop.service(), instagram_username="vira")).chat_id == new


def test_row13_two_people_of_one_name_are_nobody(shop: Shop) -> None:
    """Ambiguous, told with the cure, and nothing is written to either."""
    shop.sandbox.add_chat("vira")
    shop.sandbox.add_chat("vira")
    result = touch(shop.service(), instagram_username="vira")
    assert result.outcome is Outcome.FAILED
    assert result.error
    assert result.error["code"] == "chat_ambiguous"
    assert shop.sandbox.count("PATCH") == shop.sandbox.count("PUT") == 0


@pytest.mark.parametrize("name", [None, "", "  ", "@", "@@ "])
def test_row14_no_name_is_skipped_without_a_call(shop: Shop, name: Any) -> None:
    """There is nobody to look for."""
    result = touch(shop.service(), instagram_username=name)
    assert (result.outcome, result.reason) == (Outcome.SKIPPED, "no_username")
    assert shop.sandbox.calls == ()


@pytest.mark.parametrize(
    ("staff", "stage", "words"),
    [
        ([(2, "Олена")], "first_touch", "SITNIKS_AI_MANAGER_NAME"),
        ([(1, "Павло")], "escalation", "SITNIKS_HUMAN_MANAGER_ID"),
        ([(1, "Павло"), (7, "павло"), (2, "Олена")], "first_touch", "1, 7"),
        ([(2, "Олена"), (3, "Марко")], "escalation", "SITNIKS_AI_MANAGER_ID"),
        ([], "escalation", "SITNIKS_AI_MANAGER_ID"),
    ],
    ids=["no AI", "no human", "two of one name", "human while the AI is unknown", "nobody at all"],
)
def test_row15_without_the_manager_the_status_is_still_set(shop: Shop, staff: Any, stage: str, words: str) -> None:
    """Partial: nobody is assigned, and the message names setting or ids."""
    shop.sandbox.managers = staff
    result = touch(shop.service(), stage)
    assert result.outcome is Outcome.PARTIAL
    assert not result
    assert result.status
    assert result.error
    assert result.error["code"] == "manager_not_found"
    assert words in result.error["message"]
    assert shop.sandbox.count("PUT") == 0
    assert shop.sandbox.chat(shop.chat)["assignedManagerId"] is None


def test_row15_ids_in_the_settings_need_no_list(shop: Shop) -> None:
    """Both ids set: `/managers` is never asked, whatever the names there are."""
    shop.sandbox.managers = [(5, "Renamed"), (6, "Also")]
    service = shop.service(ai_manager_id=5, human_manager_id=6)
    assert synced(touch(service)).manager_id == 5
    assert synced(touch(service, "escalation")).manager_id == 6
    assert shop.sandbox.count("GET", "/managers") == 0


def test_row16_an_escalation_comes_while_the_first_touch_is_slow(shop: Shop) -> None:
    """Its writes are held by the CRM until the escalation is recorded; in the end that one stands."""
    shop.sandbox.fault("hang", method="PATCH")
    shop.sandbox.fault("hang", method="PUT")
    service = shop.service(reply_budget=0.1)
    touch(service)
    shop.sandbox.wait(lambda: shop.sandbox.count("PATCH") == 1 and shop.sandbox.count("PUT") == 1)
    touch(service, "escalation")
    shop.sandbox.clear_faults()
    shop.shows("AI Увага", 102)
    assert [one["after"] for one in shop.sandbox.history(shop.chat) if one["field"] == "status"] == ["AI Увага"]


def test_row19_row27_a_customers_second_session_takes_the_chat(shop: Shop) -> None:
    """Both sessions have unfinished stages when it happens: the old one closes, the new one's stand."""
    service = shop.service(reply_budget=0.0)
    synced_first = touch(service, session="old")
    assert synced_first.outcome is Outcome.QUEUED
    shop.shows("Взято в роботу", 101)
    shop.sandbox.fault("hang", method="PATCH")
    touch(service, "give_requisites", session="old", intent="turn-1")
    touch(service, "escalation", session="new")
    shop.sandbox.clear_faults()
    shop.shows("AI Увага", 102)
    result = touch(shop.service(), "give_requisites", session="old", intent="turn-1")
    assert (result.outcome, result.reason) == (Outcome.SKIPPED, "superseded")
    assert shop.record("new").chat_id == shop.chat


def test_row28_what_a_manager_set_by_hand_stays_when_the_graph_resumes(shop: Shop) -> None:
    """The same event again: known, the newest, done; not one call is made."""
    service = shop.service()
    synced(touch(service, "give_requisites", intent="turn-1"))
    shop.sandbox.person_sets(shop.chat, status="ОПЛАЧЕНО")
    calls = len(shop.sandbox.calls)
    touch(service, "give_requisites", intent="turn-1")
    assert len(shop.sandbox.calls) == calls
    assert shop.sandbox.chat(shop.chat)["status"] == "ОПЛАЧЕНО"


@pytest.mark.parametrize("hours", [-1.0, 1.0])
def test_row22_a_clock_that_is_an_hour_off(shop: Shop, hours: float) -> None:
    """The chat is found all the same: by the window's slack, or by the window of a day."""
    store = MemoryStore(time.monotonic, lambda: time.time() + 3600.0 * hours)
    touch(shop.service(store=store))
    shop.shows("Взято в роботу", 101)
