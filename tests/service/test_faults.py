"""Each fault of the CRM over real HTTP: what the caller is told at once, and what the chat shows in the end."""

import asyncio
import socket
import sqlite3
import threading
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from mirt_sitniks.core.result import Outcome
from mirt_sitniks.stores.memory import MemoryStore
from mirt_sitniks.stores.sqlite import SqliteStore
from tests.service.shop import Shop, synced, touch, wait_until

SHAPES: tuple[Any, ...] = ([1, 2], {"data": "none"}, {"chats": []}, 17, None, {"data": {}})


class TestRow04:
    """Lost answers and late writes."""

    @pytest.mark.parametrize("kind", ["answer_lost", "reset_body", "hang", "reset"])
    def test_row04_a_write_without_an_answer_is_looked_at_once(self, shop: Shop, kind: str) -> None:
        """Applied or not: one read tells, and the write is repeated only when it had not come through."""
        service = shop.service(timeout=0.3)
        synced(touch(service))
        shop.sandbox.fault(kind, method="PATCH")
        touch(service, "give_requisites")
        shop.shows("Виставлено рахунок", 101)
        wait_until(lambda: shop.record().observed.status.gen == 2)
        assert shop.sandbox.count("GET", f"{shop.chat}$") == 1
        applied = kind in ("answer_lost", "reset_body")
        assert shop.sandbox.count("PATCH") == (2 if applied else 3)

    def test_row04_a_write_that_the_crm_applies_late_does_not_stay_on_top(self, shop: Shop) -> None:
        """The invoice hangs and lands after the escalation: it is found and put right."""
        service = shop.service(timeout=0.3, reply_budget=0.0)
        synced_once = touch(service)
        shop.shows("Взято в роботу", 101)
        assert synced_once.outcome is Outcome.QUEUED
        shop.sandbox.fault("applied_late", method="PATCH", seconds=0.5)
        touch(service, "give_requisites")
        shop.sandbox.wait(lambda: shop.sandbox.count("PATCH") == 2)
        touch(service, "escalation")
        wait_until(lambda: any(one["after"] == "Виставлено рахунок" for one in shop.sandbox.history(shop.chat)))
        shop.shows("AI Увага", 102)


class TestRow05:
    """What takes long does not hold the reply."""

    @pytest.mark.parametrize(
        ("kind", "options"), [("hang", {}), ("drip", {"every": 3600.0}), ("slow", {"seconds": 3600.0})]
    )
    def test_row05_the_reply_goes_out_while_the_crm_hangs(self, shop: Shop, kind: str, options: dict[str, Any]) -> None:
        """The caller is back while the call is still unanswered; the stage arrives after it heals."""
        service = shop.service(reply_budget=0.2, timeout=20.0)
        shop.sandbox.fault(kind, path="chats", **options)
        result = touch(service)
        assert result.outcome is Outcome.QUEUED
        assert result.first_touch
        assert shop.record().lease_until > shop.store.clock(), "the work goes on"
        shop.sandbox.clear_faults()
        shop.shows("Взято в роботу", 101)

    @pytest.mark.parametrize(
        "address", ["http://127.0.0.1:{free}", "https://sitniks.invalid", "https://127.0.0.1:{busy}"]
    )
    def test_row05_no_connection_no_name_no_tls(self, shop: Shop, address: str, request: pytest.FixtureRequest) -> None:
        """Queued with the reason; once the address answers, another service finishes the work."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            free = taken.getsockname()[1]
        url = address.format(free=free, busy=shop.sandbox.url.rpartition(":")[2])
        broken = shop.service(api_url=url, rate_limit="9/10.5", reply_budget=2.0)
        result = touch(broken)
        assert result.outcome is Outcome.QUEUED
        assert result.error
        assert result.error["code"] == "unavailable"
        assert "SNITKIX_API_URL" in result.error["message"]
        asyncio.run(broken.aclose())
        asyncio.run(shop.service(sweep=0.05).reconcile())
        shop.shows("Взято в роботу", 101)
        # One of the addresses is a name that nobody has.
        request.getfixturevalue("_no_strangers").clear()

    def test_row05_a_slow_store_holds_the_reply_no_longer(self, shop: Shop) -> None:
        """The caller is back while the store has not answered; what it asked for is recorded later."""
        go = threading.Event()

        class Slow(MemoryStore):
            async def record(self, *args: Any, **more: Any) -> Any:
                await asyncio.get_running_loop().run_in_executor(None, go.wait, 10.0)
                return await super().record(*args, **more)

        slow = Slow(shop.store.clock, shop.store.wall, shop.store.rows)
        result = touch(shop.service(store=slow, reply_budget=0.1))
        assert result.outcome is Outcome.QUEUED
        assert not shop.store.rows.records
        go.set()
        shop.shows("Взято в роботу", 101)

    def test_row05_a_locked_file_holds_the_reply_no_longer(self, shop: Shop, tmp_path: Path) -> None:
        """Somebody else writes to the SQLite file for a while: queued, and synced when the lock is gone."""
        store = SqliteStore(tmp_path / "s.sqlite3")
        service = shop.service(store=store, reply_budget=0.1)
        asyncio.run(store.check())
        other = sqlite3.connect(tmp_path / "s.sqlite3", isolation_level=None)
        other.execute("begin immediate")
        assert touch(service).outcome is Outcome.QUEUED
        other.execute("rollback")
        other.close()
        shop.shows("Взято в роботу", 101)
        service.close()
        asyncio.run(store.aclose())


@pytest.mark.parametrize(
    ("kind", "options"),
    [("status", {"status": 500}), ("html", {"status": 502}), ("status", {"status": 503}), ("status", {"status": 504})],
)
def test_row06_trouble_in_the_crm_is_queued_and_healed(shop: Shop, kind: str, options: dict[str, Any]) -> None:
    """Told as what it is, never an exception; afterwards the newest stage stands."""
    service = shop.service()
    synced(touch(service))
    shop.sandbox.fault(kind, method="PATCH", times=3, **options)
    result = touch(service, "escalation")
    assert result.outcome is Outcome.QUEUED
    assert result.error
    assert result.error["code"] == "unavailable"
    shop.shows("AI Увага", 102)


class TestRow07:
    """Too many calls."""

    @pytest.mark.parametrize(
        ("kind", "options", "least", "most"),
        [
            ("rate_limited", {}, 59, 60),
            ("rate_limited", {"retry_after": 7}, 6, 7),
            ("rate_limited", {"retry_after": formatdate(4e9, usegmt=True)}, 599, 600),
            ("rate_limited", {"retry_after": "-3"}, 0, 1),
            ("rate_limited", {"retry_after": "1000000000"}, 599, 600),
            ("rate_limited", {"retry_after": "soon"}, 59, 60),
            ("too_fast_503", {}, 59, 60),
            ("too_fast_503", {"headers": {"retry-after": "9"}}, 8, 9),
        ],
    )
    def test_row07_the_key_rests_as_long_as_it_says(
        self, shop: Shop, kind: str, options: dict[str, Any], least: float, most: float
    ) -> None:
        """Held to 1 to 600 s, 60 s when it says nothing readable; for everybody, and without a failed attempt."""
        service = shop.service()
        synced(touch(service))
        shop.sandbox.fault(kind, method="PATCH", **options)
        result = touch(service, "give_requisites")
        assert result.outcome is Outcome.QUEUED
        assert result.error
        assert result.error["code"] == "rate_limited"
        (key,) = shop.store.rows.keys.values()
        assert least - 2.0 <= key.budget.locked_until - shop.store.clock() <= most
        assert shop.record().observed.attempt == 0
        if least > 2:
            calls = len(shop.sandbox.calls)
            again = touch(shop.service(), session="t", instagram_username="@bohdan")
            assert (again.outcome, len(shop.sandbox.calls)) == (Outcome.QUEUED, calls)

    def test_row07_what_waited_is_synced_after_the_rest(self, shop: Shop) -> None:
        """A second's rest, then the stage arrives by itself."""
        service = shop.service()
        synced(touch(service))
        shop.sandbox.fault("rate_limited", retry_after=1)
        touch(service, "escalation")
        shop.shows("AI Увага", 102)


class TestRow08:
    """The key's own troubles."""

    def test_row08_a_wrong_key_is_told_with_its_cure_and_not_tried_again(self, shop: Shop) -> None:
        """The second session's sync makes no call: one probe in ten minutes is enough."""
        service = shop.service(api_key="not-the-key")
        first = touch(service)
        assert first.outcome is Outcome.FAILED
        assert first.error
        assert first.error["code"] == "unauthorized"
        assert "SNITKIX_API_KEY" in first.error["message"]
        calls = len(shop.sandbox.calls)
        assert touch(service, session="t", instagram_username="bohdan").outcome is Outcome.FAILED
        assert len(shop.sandbox.calls) == calls

    def test_row08_a_new_key_syncs_what_the_old_one_left(self, shop: Shop) -> None:
        """The records stayed due; nobody has to repeat anything."""
        touch(shop.service(api_key="not-the-key"))
        service = shop.service()
        assert asyncio.run(service.reconcile()) == 1
        shop.shows("Взято в роботу", 101)

    def test_row08_the_trial_plan_is_told_with_its_cure(self, shop: Shop) -> None:
        """403 is the plan's, not the key's."""
        shop.sandbox.trial = True
        result = touch(shop.service())
        assert result.outcome is Outcome.FAILED
        assert result.error
        assert result.error["code"] == "plan_required"
        assert "plan" in result.error["message"]


class TestRow09:
    """Gone chats and unknown statuses."""

    def test_row09_known_chat_is_gone(self, shop: Shop) -> None:
        """404 once: looked up again by name, found, written."""
        service = shop.service()
        synced(touch(service))
        shop.sandbox.fault("status", status=404, method="PATCH")
        lists = shop.sandbox.count("GET", "/chats$")
        touch(service, "give_requisites")
        shop.shows("Виставлено рахунок", 101)
        assert shop.sandbox.count("GET", "/chats$") == lists + 1

    def test_row09_a_remembered_chat_that_is_gone_is_looked_up(self, shop: Shop) -> None:
        """The thread remembers an id that the CRM does not know any more."""
        touch(shop.service(), "escalation", chat_id="0" * 24)
        shop.shows("AI Увага", 102)

    @pytest.mark.parametrize("answer", [400, 422])
    def test_row09_an_unknown_status_is_named_with_its_setting(self, shop: Shop, answer: Any) -> None:
        """And the manager is assigned all the same."""
        shop.sandbox.unknown_status = answer
        result = touch(shop.service(status_escalation="Нема такого"), "escalation")
        assert result.outcome is Outcome.FAILED
        assert result.error
        assert result.error["code"] == "unknown_status"
        assert "Нема такого" in result.error["message"]
        assert "SITNIKS_STATUS_ESCALATION" in result.error["message"]
        assert result.manager_id == 102


class TestRow10:
    """Answers that are not what the contract says."""

    @pytest.mark.parametrize(
        ("kind", "options"),
        [
            ("empty", {}),
            ("html", {}),
            ("huge", {}),
            ("redirect", {}),
            *(("shape", {"json": json}) for json in SHAPES),
        ],
    )
    def test_row10_a_list_that_cannot_be_read_is_a_bad_response(
        self, shop: Shop, kind: str, options: dict[str, Any]
    ) -> None:
        """Told, and read again; the chat is found once the answer is right."""
        shop.sandbox.fault(kind, path="/chats$", times=2, **options)
        service = shop.service(reply_budget=0.02)
        touch(service)
        wait_until(lambda: shop.sandbox.count("GET", "/chats$") >= 1)
        shop.shows("Взято в роботу", 101)
        assert shop.sandbox.count("GET", "/chats$") in (1, 3)

    def test_row10_it_says_bad_response_while_it_lasts(self, shop: Shop) -> None:
        """The record keeps why its chat is not found yet; it is no failure."""
        shop.sandbox.fault("html", path="/chats$", times=None)
        service = shop.service()
        result = touch(service)
        assert result.outcome is Outcome.QUEUED
        assert result.error
        assert result.error["code"] == "bad_response"

    def test_row10_one_unreadable_chat_does_not_hide_the_others(self, shop: Shop) -> None:
        """Numbers as text, null status, unknown keys, an object without id: read for what can be read."""
        strange = {"id": shop.chat, "userNickName": " @ANNA.shop ", "status": None, "initialSource": None, "new": [1]}
        shop.sandbox.fault("shape", path="/chats$", json={"data": [None, {"x": 1}, 5, strange], "count": "4"})
        synced(touch(shop.service()))

    @pytest.mark.parametrize("habit", ["text", "object"])
    def test_row10_every_shape_that_the_contract_leaves_open(self, shop: Shop, habit: Any) -> None:
        """A write answered with nothing, a status as an object, no manager's id."""
        shop.sandbox.status_shape, shop.sandbox.write_body, shop.sandbox.show_manager_id = habit, "empty", False
        service = shop.service()
        done = synced(touch(service, "escalation"))
        assert (done.status, done.manager_id) == ("AI Увага", 102)

    def test_row10_a_write_answered_with_a_page_is_not_confirmed(self, shop: Shop) -> None:
        """A proxy's login page with a 200: read, and written again."""
        service = shop.service(timeout=0.3)
        synced(touch(service))
        shop.sandbox.fault("html", method="PATCH")
        touch(service, "give_requisites")
        shop.shows("Виставлено рахунок", 101)
        assert shop.sandbox.count("GET", f"{shop.chat}$") == 1
