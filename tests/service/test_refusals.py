"""A refusal stops what it is about and nothing else: over real HTTP, with one kind of call, one chat, or a page."""

import asyncio
from typing import Any

import pytest

from mirt_sitniks.core.result import Outcome, SyncResult
from tests.service.shop import Shop, synced, touch, wait_until


def code(result: SyncResult) -> str | None:
    """The code of a result's error."""
    return result.error["code"] if result.error else None


def lock(shop: Shop) -> str | None:
    """Why the key rests."""
    (key,) = shop.store.rows.keys.values()
    return key.budget.lock


def asked(shop: Shop) -> int:
    """How many calls were made for the key alone."""
    return sum(1 for call in shop.sandbox.calls if call.query.get("limit") == "1")


def first_touches(shop: Shop, count: int) -> list[SyncResult]:
    """So many customers at once, each with a chat."""
    names = [f"guest{number}" for number in range(count)]
    for name in names:
        shop.sandbox.add_chat(name)
    service = shop.service()

    async def all_at_once() -> list[SyncResult]:
        touches = (service.sync("first_touch", session=name, instagram_username=name) for name in names)
        return await asyncio.gather(*touches)

    return asyncio.run(all_at_once())


def test_a_key_that_may_not_assign_sets_twelve_statuses(shop: Shop) -> None:
    """Each customer has his status at once and is told why nobody is assigned; the key stays in use, and is asked for
    once at most, for the statuses are let in."""
    shop.sandbox.fault("forbidden", method="PUT", times=None)
    shop.options["rate_limit"] = "10/0.5"
    results = first_touches(shop, 12)
    assert [(one.outcome, code(one), one.status) for one in results] == [
        (Outcome.PARTIAL, "forbidden", "Взято в роботу")
    ] * 12
    assert not any(results)
    assert "assign" in (results[0].error or {})["message"]
    assert lock(shop) is None
    assert shop.sandbox.count("PATCH") == 12
    assert 3 <= shop.sandbox.count("PUT") <= 9
    assert asked(shop) <= 1


def test_what_is_refused_is_tried_again_in_ten_minutes(shop: Shop) -> None:
    """As a setting that a person has to put right, while the chat's next stage is synced at once."""
    shop.sandbox.fault("forbidden", method="PUT")
    service = shop.service()
    assert code(touch(service)) == "forbidden"
    assert 590.0 < shop.record().observed.due_at - shop.store.clock() < 670.0
    synced(touch(service, "escalation"))
    shop.shows("AI Увага", 102)


@pytest.mark.parametrize("ids", [{}, {"ai_manager_id": 101, "human_manager_id": 102}], ids=["by name", "by id"])
def test_a_list_of_managers_that_is_refused_costs_the_manager_only(shop: Shop, ids: dict[str, Any]) -> None:
    """The status is set and the message names the settings that do without the list; with them nobody asks for it."""
    shop.sandbox.fault("forbidden", path="/managers", times=None)
    service = shop.service(**ids)
    result = touch(service)
    if ids:
        synced(result)
    else:
        assert (result.outcome, code(result), result.status) == (Outcome.PARTIAL, "forbidden", "Взято в роботу")
        assert "SITNIKS_AI_MANAGER_ID" in (result.error or {})["message"]
        other = touch(service, "escalation")
        assert (other.outcome, other.status, lock(shop)) == (Outcome.PARTIAL, "AI Увага", None)
        assert shop.sandbox.count("GET", "/managers") == 1


def test_one_chat_that_is_refused_stops_that_chat_only(shop: Shop) -> None:
    """Its status is tried once, one call shows that the key is good, and the next customer is synced."""
    service = shop.service()
    synced(touch(service))
    shop.sandbox.fault("forbidden", method="PATCH", path=shop.chat, times=None)
    result = touch(service, "give_requisites")
    assert (result.outcome, code(result)) == (Outcome.FAILED, "forbidden")
    assert "status of this chat" in (result.error or {})["message"]
    assert (shop.sandbox.count("PATCH"), asked(shop)) == (2, 1)
    shop.sandbox.add_chat("bohdan")
    synced(touch(service, "give_requisites", session="t", instagram_username="bohdan"))
    assert lock(shop) is None


def test_the_other_field_of_a_refused_chat_is_confirmed(shop: Shop) -> None:
    """The status is refused, the manager comes all the same."""
    shop.sandbox.fault("forbidden", method="PATCH", times=None)
    result = touch(shop.service(), "escalation")
    assert (result.outcome, code(result), result.manager_id) == (Outcome.FAILED, "forbidden", 102)


def test_a_chat_that_may_not_be_read_is_written_again_instead(shop: Shop) -> None:
    """The invoice's answer is lost and nobody may look: it is written once more, and the stage is there."""
    service = shop.service(timeout=0.3)
    synced(touch(service))
    shop.sandbox.fault("reset", method="PATCH")
    shop.sandbox.fault("forbidden", method="GET", path=shop.chat, times=None)
    touch(service, "give_requisites")
    shop.shows("Виставлено рахунок", 101)
    wait_until(lambda: shop.record().observed.status.gen == 2)
    assert lock(shop) is None


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("path", ["/chats$", "/managers", "/status$"])
def test_a_page_that_refuses_is_trouble_and_no_refusal(shop: Shop, status: int, path: str) -> None:
    """A challenge of something in between: the stage is there moments later, and nobody else had to wait."""
    shop.sandbox.fault("html", status=status, path=path)
    service = shop.service()
    result = touch(service)
    assert code(result) in ("unavailable", None)
    assert lock(shop) is None
    shop.shows("Взято в роботу", 101)


def test_row08_a_plan_that_ended_is_the_keys_affair_with_a_known_chat_too(shop: Shop) -> None:
    """Three calls tell; then the key rests, for everybody, and what waited is synced once the plan is there again."""
    service = shop.service()
    synced(touch(service))
    shop.sandbox.trial = True
    calls = shop.sandbox.count()
    result = touch(service, "escalation")
    assert (result.outcome, code(result)) == (Outcome.FAILED, "plan_required")
    assert shop.sandbox.count() - calls == 3
    assert touch(service, session="t", instagram_username="bohdan").outcome is Outcome.FAILED
    assert shop.sandbox.count() - calls == 3
    shop.sandbox.trial = False
    asyncio.run(service.aclose())
    shop.options["api_key"] = shop.sandbox.key = "a-new-key"
    asyncio.run(shop.service().reconcile())
    shop.shows("AI Увага", 102)


@pytest.mark.parametrize(("method", "done"), [("assign_manager", True), ("update_chat_status", False)])
def test_a_hosts_own_call_that_is_refused_locks_nobody_out(shop: Shop, method: str, done: bool) -> None:
    """The verb says no, and every sync goes on."""
    shop.sandbox.fault("forbidden", method="PATCH", times=1)
    service = shop.service()
    value: Any = 101 if method == "assign_manager" else "ОПЛАЧЕНО"
    assert asyncio.run(getattr(service, method)(shop.chat, value)) is done
    assert lock(shop) is None
    shop.sandbox.clear_faults()
    synced(touch(service))
