"""`synced` means that nothing the CRM said contradicts it, and a person's change stays: over real HTTP."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from mirt_sitniks.core.result import Outcome, SyncResult
from tests.service.shop import Shop, synced, touch, wait_until


def code(result: SyncResult) -> str | None:
    """The code of a result's error."""
    return result.error["code"] if result.error else None


def calls(shop: Shop) -> Counter[str]:
    """How many calls of each kind were made."""
    kinds = {"PATCH": "status", "PUT": "assign", "chats": "list", "managers": "managers"}
    asked = ((one.method, one.path.rpartition("/")[2]) for one in shop.sandbox.calls)
    return Counter(kinds.get(method, kinds.get(last, "read")) for method, last in asked)


def many(shop: Shop, count: int, stage: str = "first_touch", **settings: Any) -> list[SyncResult]:
    """So many customers, each with a chat, one after another."""
    service = shop.service(**{"rate_limit": "10/0.2", **settings})
    names = [f"guest{number}" for number in range(count)]
    for name in names:
        shop.sandbox.add_chat(name)
    return [touch(service, stage, session=name, instagram_username=name) for name in names]


class TestRow38:
    """A 2xx that does not do what it says."""

    def test_row38_a_status_that_is_not_taken_is_not_synced(self, shop: Shop) -> None:
        """200 with the old status: one look, `not_applied`, and the chat is not said to show it."""
        shop.sandbox.refuses = {"status": 200}
        result = touch(shop.service(), "escalation")
        assert (result.outcome, code(result), result.status) == (Outcome.FAILED, "not_applied", None)
        assert calls(shop)["read"] == 1

    def test_row38_a_manager_who_is_not_taken_leaves_it_partial(self, shop: Shop) -> None:
        """200 with another manager, or none; also where the account shows names alone."""
        shop.sandbox.refuses = {"assign": 200}
        shop.sandbox.person_sets(shop.chat, manager=103)
        service = shop.service()
        result = touch(service)
        assert (result.outcome, code(result), result.manager_id) == (Outcome.PARTIAL, "not_applied", None)
        shop.sandbox.show_manager_id = False
        shop.sandbox.add_chat("bohdan")
        other = touch(service, session="b", instagram_username="bohdan")
        assert (other.outcome, code(other)) == (Outcome.PARTIAL, "not_applied")

    def test_row38_an_account_that_cannot_assign_costs_few_calls(self, shop: Shop) -> None:
        """Three chats tell; after them each customer costs his status and the list, and is told `partial` at once."""
        shop.sandbox.refuses = {"assign": 200}
        results = many(shop, 8)
        assert {(one.outcome, code(one), one.status) for one in results} == {
            (Outcome.PARTIAL, "not_applied", "Взято в роботу")
        }
        # Seven were listed before their stage was asked for: whose their chats are is read first.
        assert (calls(shop)["status"], calls(shop)["assign"], calls(shop)["read"]) == (8, 3, 3 + 7)

    def test_row38_a_write_that_says_that_it_failed_is_looked_at(self, shop: Shop) -> None:
        """`success: false` confirms nothing."""
        shop.sandbox.refuses, shop.sandbox.write_body = {"status": 200}, "success"
        assert code(touch(shop.service(), "escalation")) == "not_applied"

    @pytest.mark.parametrize(("body", "reads"), [("chat", 0), ("empty", 0), ("success", 0), ("before", 1)])
    def test_row38_whatever_a_good_write_shows_it_is_synced(self, shop: Shop, body: Any, reads: int) -> None:
        """Answers that show the state before cost one look, and none once that is known."""
        shop.sandbox.write_body = body
        service = shop.service()
        synced(touch(service))
        synced(touch(service, "escalation"))
        shop.shows("AI Увага", 102)
        assert calls(shop)["read"] == reads


class TestRow39:
    """One kind of call that is refused."""

    @pytest.mark.parametrize("status", [403, 404, 405, 501])
    def test_row39_a_refused_assignment_is_known_soon(self, shop: Shop, status: int) -> None:
        """Every status comes; a missing route is known at once, a missing right after three chats."""
        shop.sandbox.refuses = {"assign": status}
        results = many(shop, 8)
        assert {(one.outcome, code(one), one.status) for one in results} == {
            (Outcome.PARTIAL, "forbidden", "Взято в роботу")
        }
        assert calls(shop)["assign"] == (3 if status == 403 else 1)
        assert calls(shop)["status"] == 8

    @pytest.mark.parametrize("kind", ["managers", "read"])
    def test_row39_statuses_come_without_the_other_calls(self, shop: Shop, kind: str) -> None:
        """The key may not list the managers, or not read a chat."""
        shop.sandbox.refuses = {kind: 403}
        results = many(shop, 5, look_again=0)
        assert {one.status for one in results} == {"Взято в роботу"}
        assert calls(shop)["managers"] <= 2
        service = shop.services[0]
        late = [touch(service, "give_requisites", session=f"guest{number}") for number in range(5)]
        assert {one.status for one in late} == {"Виставлено рахунок"}
        # Four were listed before their stage was asked for: whose their chats are is read first.
        assert calls(shop)["read"] <= 5 + 4

    def test_row39_what_came_back_is_used_again(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        """One probe; then everybody who waited gets his manager."""
        monkeypatch.setattr("mirt_sitniks.core.capabilities.PROBE", 0.3)
        shop.sandbox.refuses = {"assign": 404}
        many(shop, 4)
        shop.sandbox.refuses = {}
        asyncio.run(asyncio.sleep(0.4))
        shop.sandbox.add_chat("new")
        synced(touch(shop.services[0], session="new", instagram_username="new"))
        wait_until(
            lambda: all(one["assignedManagerId"] == 101 for one in shop.sandbox.chats() if one["id"] != shop.chat)
        )

    def test_row39_what_is_learned_is_everybodys(self, shop: Shop) -> None:
        """Another process makes no call of that kind, and says the same."""
        shop.sandbox.refuses = {"assign": 404}
        many(shop, 1)
        shop.sandbox.add_chat("other")
        result = touch(shop.service(), session="other", instagram_username="other")
        assert (result.outcome, code(result), calls(shop)["assign"]) == (Outcome.PARTIAL, "forbidden", 1)

    def test_row39_the_accounts_affair_is_said_once_a_day(self, shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
        """One line for eight customers."""
        shop.sandbox.refuses = {"assign": 405}
        many(shop, 8)
        assert sum("forbidden" in one.getMessage() for one in caplog.records) == 1


class TestRow40:
    """A chat that refuses writes."""

    @pytest.mark.parametrize("stage", ["first_touch", "give_requisites"])
    @pytest.mark.parametrize("status", [400, 422])
    def test_row40_a_closed_chat_is_refused_and_no_setting_blamed(self, shop: Shop, stage: str, status: Any) -> None:
        """The same status is taken by the next chat, and the closed one is told so."""
        shop.sandbox.closed_chat = status
        shop.sandbox.person_sets(shop.chat, closed=True)
        shop.sandbox.add_chat("bohdan")
        service = shop.service()
        synced(touch(service, stage, session="b", instagram_username="bohdan"))
        result = touch(service, stage)
        assert (result.outcome, code(result)) == (Outcome.FAILED, "chat_refused")

    def test_row40_a_status_that_nobody_takes_is_unknown(self, shop: Shop) -> None:
        """The message names it and its setting."""
        result = touch(shop.service(status_give_requisites="Рахунок"), "give_requisites")
        assert code(result) == "unknown_status"
        assert "SITNIKS_STATUS_GIVE_REQUISITES" in (result.error or {})["message"]


@pytest.mark.parametrize("slow", ["PUT", "PATCH"])
def test_row41_of_two_writes_that_cross_none_is_lost(shop: Shop, slow: str) -> None:
    """The account saves whole chats: both values are there in the end, and the next pair goes one after the other."""
    shop.sandbox.fault("whole", method=slow, seconds=0.15, times=None)
    service = shop.service()
    synced(touch(service))
    shop.shows("Взято в роботу", 101)
    before = calls(shop)
    synced(touch(service, "escalation"))
    shop.shows("AI Увага", 102)
    assert calls(shop) - before == Counter(status=1, assign=1)


class TestRow42:
    """A person changes the chat while our write waits."""

    def test_row42_the_chat_is_read_before_a_late_invoice(self, shop: Shop) -> None:
        """What a person set meanwhile stays: `held`, and nothing is written."""
        service = shop.service(look_again=0)
        synced(touch(service))
        shop.sandbox.person_sets(shop.chat, status="ОПЛАЧЕНО")
        result = touch(service, "give_requisites")
        assert (result.outcome, result.status) == (Outcome.HELD, "ОПЛАЧЕНО")
        assert (calls(shop)["read"], calls(shop)["status"]) == (1, 1)
        synced(touch(service, "escalation"))
        shop.shows("AI Увага", 102)

    def test_row42_a_crm_in_trouble_gives_a_person_time(self, shop: Shop) -> None:
        """The invoice meets a 500, a person moves the chat, the CRM recovers."""
        service = shop.service(look_again=0, reply_budget=0.2)
        synced(touch(shop.service()))
        shop.sandbox.fault("status", status=500, method="PATCH", times=None)
        assert touch(service, "give_requisites").outcome is Outcome.QUEUED
        shop.sandbox.person_sets(shop.chat, status="ОПЛАЧЕНО")
        shop.sandbox.clear_faults()
        wait_until(lambda: shop.record().observed.status.gen == 2)
        shop.shows("ОПЛАЧЕНО", 101)

    @pytest.mark.parametrize("stage", ["first_touch", "give_requisites"])
    def test_row42_a_chat_that_comes_late_and_was_moved_stays(self, shop: Shop, stage: str) -> None:
        """The session is older than its chat, and a person was faster."""
        service = shop.service(reply_budget=0.1)
        assert touch(service, stage, instagram_username="late").outcome is Outcome.QUEUED
        chat = shop.sandbox.add_chat("late", status="ОПЛАЧЕНО")
        wait_until(lambda: shop.record().observed.status.gen == 1, 20.0)
        assert shop.sandbox.chat(chat)["status"] == "ОПЛАЧЕНО"

    def test_row42_a_second_order_weeks_later_shows(self, shop: Shop) -> None:
        """What a person set in the first order is what was there before, once the hours are over."""
        service = shop.service(hold_hours=0.0001, look_again=0)
        synced(touch(service))
        synced(touch(service, "give_requisites", intent="first order"))
        shop.sandbox.person_sets(shop.chat, status="ОПЛАЧЕНО")
        asyncio.run(asyncio.sleep(0.5))
        synced(touch(service, "give_requisites", intent="second order"))
        shop.shows("Виставлено рахунок", 101)

    def test_row42_a_returning_customers_old_chat_is_taken_up(self, shop: Shop) -> None:
        """It is older than the session, so its status is of another time."""
        shop.sandbox.person_sets(shop.chat, status="ОПЛАЧЕНО")
        synced(touch(shop.service()))
        shop.shows("Взято в роботу", 101)


def test_row10_lists_that_lie_about_their_length_are_read_to_the_end(shop: Shop) -> None:
    """The count is 0, 1 or the page's own; pages have ten chats although fifty were asked for."""
    shop.sandbox.page_size = 10
    counts: tuple[Any, ...] = (0, 1, "page", "total")
    for number, shown in enumerate(counts):
        shop.sandbox.shown_count = shown
        early = shop.sandbox.add_chat(f"early{number}")
        for other in range(23):
            shop.sandbox.add_chat(f"guest{number}-{other}")
        synced(touch(shop.service(), session=f"s{number}", instagram_username=f"early{number}"))
        shop.shows("Взято в роботу", 101, early)


def test_row10_a_page_that_is_too_heavy_is_asked_for_in_smaller_ones(shop: Shop) -> None:
    """Fifty chats have more than a megabyte: a third of them is asked for, and so for a day."""
    shop.sandbox.padding = 25_000
    for number in range(60):
        shop.sandbox.add_chat(f"guest{number}")
    service = shop.service(rate_limit="10/0.2")
    synced(touch(service))
    lists = [one.query["limit"] for one in shop.sandbox.calls if one.path.endswith("/chats")]
    assert lists[0] == "50"
    assert set(lists[1:]) == {"16"}


def test_a_conversation_of_three_stages_takes_few_calls(shop: Shop) -> None:
    """Six and the list of managers within a minute; a later invoice is read for: two calls while the reply is held."""
    service = shop.service()
    for stage in ("first_touch", "give_requisites", "escalation"):
        synced(touch(service, stage))
    assert calls(shop) == Counter(list=1, managers=1, status=3, assign=2)
    late = shop.service(look_again=0)
    before = calls(shop)
    synced(touch(late, "give_requisites", intent="later"))
    assert calls(shop) - before == Counter(read=1, status=1)
