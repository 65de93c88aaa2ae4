"""However it is called: loops, threads, forks, wrong arguments, no settings; and how it ends."""

import asyncio
import logging
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import httpx
import pytest

import mirt_sitniks
from mirt_sitniks.core.result import Outcome
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import StoreOptions
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.errors import ConfigError, StoreError
from mirt_sitniks.service import SitniksChatService, get_sitniks_chat_service
from mirt_sitniks.stores.memory import MemoryStore
from mirt_sitniks.stores.sqlite import SqliteStore
from tests.service.shop import Shop, synced, touch, wait_until

STAGES = ("first_touch", "give_requisites", "escalation")


class TestRow23:
    """Loops, threads, forks and ends."""

    def test_row23_asyncio_run_several_times(self, shop: Shop) -> None:
        """Each with a loop of its own, over one service; nobody meets a closed loop."""
        service = shop.service()
        for stage in STAGES:
            synced(asyncio.run(service.sync(stage, session="s", instagram_username="anna.shop")))
        assert shop.sandbox.chat(shop.chat)["status"] == "AI Увага"

    def test_row23_a_loop_that_ends_before_the_work_does(self, shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
        """The caller's loop is closed while the CRM hangs: the work goes on, and nobody complains."""
        service = shop.service(reply_budget=0.0)
        shop.sandbox.fault("hang")
        result = asyncio.run(service.sync("first_touch", session="s", instagram_username="anna.shop"))
        assert result.outcome is Outcome.QUEUED
        shop.sandbox.clear_faults()
        shop.shows("Взято в роботу", 101)
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]

    def test_row23_a_caller_who_is_cancelled_does_not_cancel_the_work(self, shop: Shop) -> None:
        """A host's timeout around the node ends the waiting only."""
        service = shop.service()
        shop.sandbox.fault("hang")

        async def impatient() -> None:
            async with asyncio.timeout(0.05):
                await service.sync("first_touch", session="s", instagram_username="anna.shop")

        with pytest.raises(TimeoutError):
            asyncio.run(impatient())
        shop.sandbox.clear_faults()
        shop.shows("Взято в роботу", 101)

    @pytest.mark.blocks
    def test_row23_blocking_inside_a_running_loop(self, shop: Shop) -> None:
        """A synchronous node that a running loop calls: the work is on another thread, so nothing locks up."""

        async def node() -> Any:
            return touch(shop.service())

        synced(asyncio.run(node()))

    def test_row23_many_threads(self, shop: Shop) -> None:
        """Twelve conversations from twelve threads, one service."""
        chats = {f"n{number}": shop.sandbox.add_chat(f"n{number}") for number in range(12)}
        service = shop.service(rate_limit="10/0.5", human_manager_id=102)
        with ThreadPoolExecutor(12) as threads:
            list(threads.map(lambda name: touch(service, "escalation", session=name, instagram_username=name), chats))
        for chat in chats.values():
            shop.shows("AI Увага", 102, chat)

    def test_row23_a_fork_makes_its_own_thread_and_client(self, shop: Shop, tmp_path: Path) -> None:
        """Parent and child sync through one service object made before the fork, one after the other."""
        code = f"""
import os, sys
from mirt_sitniks import SitniksChatService
from mirt_sitniks.settings import SitniksSettings
service = SitniksChatService(SitniksSettings(api_url={shop.sandbox.url!r}, api_key={shop.sandbox.key!r},
    database={str(tmp_path / "s.sqlite3")!r}, reply_budget=10, _env_file=None))
first = service.sync_blocking("first_touch", session="s", instagram_username="anna.shop")
assert first.outcome == "synced", first
child = os.fork()
if child == 0:
    second = service.sync_blocking("give_requisites", session="s")
    print(second)
    sys.stdout.flush()
    os._exit(0 if second.outcome == "synced" else 1)
assert os.waitpid(child, 0)[1] == 0
third = service.sync_blocking("escalation", session="s")
assert third.outcome == "synced", third
"""
        root = Path(mirt_sitniks.__file__).parents[1]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert shop.sandbox.chat(shop.chat)["status"] == "AI Увага"

    def test_row23_closing_does_not_wait_for_a_crm_that_hangs(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It gives running work its time, here a twentieth of a second, and goes while the call still hangs."""
        monkeypatch.setattr("mirt_sitniks.engine.runtime.DRAIN", 0.05)
        service = shop.service(reply_budget=0.1, timeout=20.0)
        shop.sandbox.fault("hang")
        touch(service)
        asyncio.run(service.aclose())
        assert shop.sandbox.calls[0].status is None
        asyncio.run(service.aclose())

    def test_row03_row23_what_a_closed_service_left_another_one_finishes(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The lease of the one that is gone runs out, and a sweep finds the work."""
        monkeypatch.setattr("mirt_sitniks.engine.runtime.DRAIN", 0.05)
        service = shop.service(reply_budget=0.1, timeout=0.2)
        shop.sandbox.fault("hang", method="PATCH")
        touch(service)
        asyncio.run(service.aclose())
        other = shop.service(sweep=0.05)
        asyncio.run(other.reconcile())
        shop.shows("Взято в роботу", 101)

    def test_row23_a_closed_service_opens_again(self, shop: Shop) -> None:
        """What is used after `aclose` works."""
        service = shop.service()
        synced(touch(service))
        asyncio.run(service.aclose())
        synced(touch(service, "escalation"))

    def test_row23_a_host_client_that_does_not_close_stops_nothing(
        self, shop: Shop, caplog: pytest.LogCaptureFixture
    ) -> None:
        """`aclose` raises nothing and closes the rest: the store that was opened here opens again."""

        class Stuck(httpx.AsyncClient):
            async def aclose(self) -> None:
                await super().aclose()
                raise httpx.ReadError("no")

        closed: list[object] = []
        service = SitniksChatService(shop.settings(database=":memory:"), client_factory=Stuck)
        synced(touch(service))
        runtime = service._life.runtime
        assert runtime
        close = runtime.store.aclose

        async def aclose() -> None:
            closed.append(None)
            await close()

        runtime.store.aclose = aclose  # type: ignore[method-assign]
        asyncio.run(service.aclose())
        assert closed == [None]
        assert "the HTTP client did not close: ReadError" in caplog.text

    def test_row23_who_comes_while_it_closes_is_served(self, shop: Shop) -> None:
        """A sync during `aclose` begins a new life, whose worker goes on; the old one ends as it would have."""
        service = shop.service(reply_budget=0.1)
        other = shop.sandbox.add_chat("olha")
        shop.sandbox.fault("hang", path=f"{shop.chat}/status$")
        touch(service)
        shop.sandbox.wait(lambda: shop.sandbox.count("PATCH") == 1)
        closing = threading.Thread(target=service.close)
        closing.start()
        wait_until(lambda: service._life.runtime is None)
        shop.sandbox.fault("status", status=500, path=f"{other}/status$")
        touch(service, session="o", instagram_username="olha")
        shop.sandbox.clear_faults()
        closing.join()
        shop.shows("Взято в роботу", 101, other)
        assert service._life.runtime

    def test_row23_closing_twice_at_once(self, shop: Shop) -> None:
        """The second one finds nothing to close, and neither raises."""
        service = shop.service(reply_budget=0.1)
        shop.sandbox.fault("slow", seconds=0.3)
        touch(service)

        async def both() -> None:
            await asyncio.gather(service.aclose(), service.aclose())

        asyncio.run(both())

    def test_row23_closing_does_not_wait_for_a_locked_file(
        self, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Ten syncs that wait for a file are let go, not waited for one after the other."""
        monkeypatch.setattr("mirt_sitniks.service.CLOSING", 0.3)
        path = tmp_path / "s.sqlite3"
        service = shop.service(store=None, database=str(path), reply_budget=0.1)
        service._store, service._own_store = None, True
        touch(service)
        shop.shows("Взято в роботу", 101)
        lock = sqlite3.connect(path, isolation_level=None)
        lock.execute("begin immediate")
        for number in range(10):
            assert touch(service, "escalation", intent=f"{number}").outcome is Outcome.QUEUED
        began = time.monotonic()
        service.close()
        assert time.monotonic() - began < 4
        lock.execute("rollback")
        lock.close()

    def test_row23_the_work_is_in_no_callers_context(self, shop: Shop) -> None:
        """What the first caller keeps in context variables, a tracing span or a run's config, is not kept for ever."""
        seen: list[object] = []
        variable: ContextVar[object] = ContextVar("request", default=None)

        class Watching(httpx.AsyncClient):
            def build_request(self, *args: Any, **more: Any) -> httpx.Request:
                seen.append(variable.get())
                return super().build_request(*args, **more)

        service = SitniksChatService(
            shop.settings(database=":memory:"), client_factory=lambda: Watching(trust_env=False)
        )
        variable.set("the first request")
        synced(touch(service))
        service.close()
        assert seen
        assert set(seen) == {None}

    @pytest.mark.blocks
    def test_row23_as_a_plain_context_manager(self, shop: Shop) -> None:
        """Code without an event loop closes it in the same words."""
        with shop.service() as service:
            synced(touch(service))
        assert service._life.runtime is None

        async def within_a_loop() -> None:
            with shop.service() as other:
                assert await other.handle_invoice_sent("s")

        asyncio.run(within_a_loop())

    def test_row23_as_a_context_manager(self, shop: Shop) -> None:
        """Opened by the first use, closed at the end; an own store is closed, a borrowed one is not."""

        async def visit() -> None:
            async with SitniksChatService(shop.settings(database=":memory:")) as service:
                assert await service.handle_first_touch("s", instagram_username="anna.shop")

        asyncio.run(visit())
        assert shop.sandbox.chat(shop.chat)["status"] == "Взято в роботу"


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


def test_a_process_that_only_records_calls_nobody(shop: Shop) -> None:
    """With a reply budget of 0 and no worker, all calls are left to whoever works."""
    recorder = shop.service(reply_budget=0.0, worker=False)
    assert touch(recorder).outcome is Outcome.QUEUED
    wait_until(lambda: "s" in shop.store.rows.records)
    assert asyncio.run(shop.service(worker=False).reconcile()) == 1
    shop.shows("Взято в роботу", 101)
    assert shop.record().token == 1


@pytest.mark.parametrize(("timeout", "rate_limit"), [(0.1, "9/10.5"), (10.0, "9/10.5"), (0.1, "9/600")])
def test_a_lease_outlasts_a_call_and_its_grant(shop: Shop, timeout: float, rate_limit: str) -> None:
    """However short the timeout: who may still send has the lease, and the default is half a minute."""

    async def options() -> StoreOptions:
        runtime = Runtime(
            shop.settings(timeout=timeout, rate_limit=rate_limit), shop.store, own_store=False, worker=False
        )
        return runtime.driver.options

    made = asyncio.run(options())
    assert made.lease > timeout + made.limit.grace
    assert timeout != 10.0 or made.lease == 30.0


def test_row17_two_services_sync_one_session(shop: Shop, tmp_path: Path) -> None:
    """At the same time, over one SQLite file: each event once, the newest stands."""
    stores = [SqliteStore(tmp_path / "s.sqlite3") for _ in range(2)]
    services = [shop.service(store=store, sweep=0.05, reply_budget=0.2) for store in stores]
    start = threading.Barrier(2)

    def conversation(number: int) -> None:
        start.wait()
        for turn in range(3):
            touch(services[number], "give_requisites", intent=f"turn-{turn}")

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(conversation, range(2)))
    touch(services[0], "escalation")
    shop.shows("AI Увага", 102)
    entries = asyncio.run(stores[0].ledger("s"))
    keys = [entry.key for entry in entries if entry.kind == "intent"]
    assert len(keys) == len(set(keys)) == 4
    for service, store in zip(services, stores, strict=True):
        service.close()
        asyncio.run(store.aclose())


@pytest.mark.parametrize("hours", [-1.0, 1.0])
def test_row22_a_clock_that_is_an_hour_off(shop: Shop, hours: float) -> None:
    """The chat is found all the same: by the window's slack, or by the window of a day."""
    store = MemoryStore(time.monotonic, lambda: time.time() + 3600.0 * hours)
    touch(shop.service(store=store))
    shop.shows("Взято в роботу", 101)


class TestRow24:
    """Nothing to do, or nothing to do it with."""

    @pytest.mark.parametrize("missing", [{"api_url": ""}, {"api_key": ""}, {"api_key": "  \n"}])
    def test_row24_without_address_or_key_it_only_says_what_it_would_do(
        self, shop: Shop, caplog: pytest.LogCaptureFixture, missing: Any
    ) -> None:
        """Disabled: one line at INFO with status and role, no network, no file."""
        caplog.set_level(logging.INFO, "mirt_sitniks")
        service = shop.service(rate_limit="9/10.5", **missing)
        assert not service.enabled
        assert touch(service, "escalation").outcome is Outcome.DISABLED
        assert "AI Увага" in caplog.text
        assert asyncio.run(service.get_managers()) == []
        assert asyncio.run(service.find_chat_by_username(instagram_username="anna.shop")) is None
        assert asyncio.run(service.update_chat_status(shop.chat, "ОПЛАЧЕНО")) is False
        assert asyncio.run(service.assign_manager(shop.chat, 101)) is False
        assert asyncio.run(service.reconcile()) == 0
        assert shop.sandbox.calls == ()
        assert list(Path().iterdir()) == []

    @pytest.mark.parametrize(
        ("missing", "named"),
        [
            ({"api_url": ""}, ["SNITKIX_API_URL"]),
            ({"api_key": ""}, ["SNITKIX_API_KEY"]),
            ({"api_url": "", "api_key": ""}, []),
        ],
    )
    def test_row24_half_a_configuration_is_said_loudly(
        self, shop: Shop, caplog: pytest.LogCaptureFixture, missing: Any, named: list[str]
    ) -> None:
        """An address without a key, or a key without an address, is a mistake; neither of them is a choice."""
        shop.service(rate_limit="9/10.5", **missing)
        warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert warnings == [f"sitniks: disabled, nothing will reach the CRM: {name} is not set" for name in named]

    def test_row24_a_hosts_logging_breaks_nothing(self, shop: Shop) -> None:
        """A record factory that writes `stage` and `session` itself, and a filter that raises: synced all the same."""
        before, logger = logging.getLogRecordFactory(), logging.getLogger("mirt_sitniks")

        def factory(*args: Any, **more: Any) -> logging.LogRecord:
            record = before(*args, **more)
            record.stage = record.session = record.code = "the host's own"
            return record

        def refuse(record: logging.LogRecord) -> bool:
            raise RuntimeError("a filter of the host")

        logging.setLogRecordFactory(factory)
        logger.addFilter(refuse)
        try:
            synced(touch(shop.service()))
            assert touch(shop.service(api_key="", rate_limit="9/10.5")).outcome is Outcome.DISABLED
        finally:
            logging.setLogRecordFactory(before)
            logger.removeFilter(refuse)

    def test_row24_a_missing_user_name_is_said_with_where_to_put_it(
        self, shop: Shop, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The likeliest first mistake: skipped, and a warning that names the keys."""
        result = touch(shop.service(), telegram_username=None)
        assert (result.outcome, result.reason) == (Outcome.SKIPPED, "no_username")
        assert "instagram_username, telegram_username or user_nickname" in caplog.text

    @pytest.mark.parametrize(
        ("stage", "session", "reason"),
        [
            ("no such stage", "s", "unknown_stage"),
            (None, "s", "unknown_stage"),
            (17, "s", "unknown_stage"),
            ("escalation", "", "no_session"),
            ("escalation", "   ", "no_session"),
            ("escalation", None, "no_session"),
        ],
    )
    def test_row24_what_makes_no_sense_is_skipped(self, shop: Shop, stage: Any, session: Any, reason: str) -> None:
        """With the reason, and never an exception."""
        result = touch(shop.service(), stage, session=session)
        assert (result.outcome, result.reason) == (Outcome.SKIPPED, reason)
        assert shop.sandbox.calls == ()

    @pytest.mark.parametrize(
        "odd",
        [
            {"session": "сесія/../ї?#%00\x00\ud800"},
            {"session": "s" * 5000},
            {"chat_id": "../managers"},
            {"chat_id": "a/b?c=d#e"},
            {"chat_id": 17},
            {"reason": "x" * 100_000},
            {"reason": {"not": "text"}},
            {"intent": "\x00'; drop table sitniks_ledger; --"},
            {"instagram_username": 5},
            {"instagram_username": "\x00\ud800"},
        ],
        ids=lambda odd: next(iter(odd)),
    )
    def test_row24_odd_values_never_raise(self, shop: Shop, tmp_path: Path, odd: dict[str, Any]) -> None:
        """Any outcome but an exception; an id from outside never becomes part of a path unencoded."""
        store = SqliteStore(tmp_path / "s.sqlite3")
        service = shop.service(store=store, worker=False, reply_budget=0.3)
        result = touch(service, "escalation", **odd)
        assert result.outcome in Outcome
        assert shop.sandbox.count(None, r"/\.\./|chats/.*/.*/") == 0
        service.close()
        asyncio.run(store.aclose())

    @pytest.mark.parametrize("session", [0, "сесія\ud800\x00"])
    def test_row24_odd_sessions_are_answered_at_once(self, shop: Shop, session: Any) -> None:
        """A number, zero too, and text that no database holds: the caller hears of what became of it."""
        synced(touch(shop.service(), session=session))

    @pytest.mark.parametrize("stage", ["First-Touch", "GIVE_REQUISITS", " escalation ", Stage.ESCALATION])
    def test_row24_stages_as_people_write_them(self, shop: Shop, stage: Any) -> None:
        """Letter case, dashes, spaces and the original's spelling."""
        synced(touch(shop.service(), stage))


class TestRow26:
    """Keys with something in them that no header can carry."""

    @pytest.mark.parametrize("around", ["{}\n", "  {}\t", "\r\n{}\r\n"])
    def test_row26_white_space_around_the_key_is_stripped(self, shop: Shop, around: str) -> None:
        """As a file or a shell leaves it."""
        synced(touch(shop.service(api_key=around.format(shop.sandbox.key))))

    @pytest.mark.parametrize("wrong", ["{}\n{}", "{} x", "ключ{}", "{}\x00"])
    def test_row26_what_is_in_the_middle_is_refused_without_printing_it(
        self, shop: Shop, planted: Any, wrong: str
    ) -> None:
        """At start, with the variable's name."""
        with pytest.raises(ConfigError, match="SNITKIX_API_KEY") as caught:
            shop.settings(api_key=wrong.format(planted.crm_key, planted.crm_key))
        planted.assert_absent(caught.value)


def test_row24_wrong_settings_disable_the_default_service_loudly(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The process's one service never raises; it is made anew after it was closed."""
    monkeypatch.setenv("SNITKIX_API_URL", "ftp://crm")
    monkeypatch.setenv("SNITKIX_API_KEY", "key")
    service = get_sitniks_chat_service()
    assert not service.enabled
    assert "SNITKIX_API_URL" in caplog.text
    assert get_sitniks_chat_service() is service
    asyncio.run(service.aclose())
    monkeypatch.setenv("SNITKIX_API_URL", "http://127.0.0.1:9")
    again = get_sitniks_chat_service()
    assert again.enabled
    asyncio.run(again.aclose())


class TestVerbs:
    """The original's verbs."""

    def test_managers_come_as_the_api_shows_them(self, shop: Shop) -> None:
        """All pages of them; none when the CRM fails."""
        shop.sandbox.managers = [(number, f"Менеджер {number}") for number in range(1, 61)]
        service = shop.service()
        managers = asyncio.run(service.get_managers())
        assert managers[59] == {"id": 60, "user": {"fullname": "Менеджер 60"}}
        shop.sandbox.fault("status", status=500)
        assert asyncio.run(service.get_managers()) == []

    def test_a_chat_is_found_by_user_name(self, shop: Shop) -> None:
        """Within the minutes asked for; None for a stranger, and for nobody."""
        service = shop.service()
        assert asyncio.run(service.find_chat_by_username(instagram_username="@Anna.shop")) == shop.chat
        assert asyncio.run(service.find_chat_by_username(telegram_username="anna.shop")) is None
        assert asyncio.run(service.find_chat_by_username()) is None

    def test_plain_writes_tell_whether_they_were_confirmed(self, shop: Shop) -> None:
        """True, or False with a line in the log; and a known chat's record hears of them."""
        service = shop.service()
        synced(touch(service))
        assert asyncio.run(service.update_chat_status(shop.chat, "ОПЛАЧЕНО")) is True
        assert asyncio.run(service.assign_manager(shop.chat, 103)) is True
        shop.shows("ОПЛАЧЕНО", 103)
        assert (shop.record().observed.status.value, shop.record().observed.manager.value) == ("ОПЛАЧЕНО", 103)
        assert asyncio.run(service.update_chat_status("0" * 24, "ОПЛАЧЕНО")) is False
        assert asyncio.run(service.assign_manager("", 103)) is False

    def test_a_confirmed_write_is_true_whatever_the_store_says(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The CRM has confirmed it; that nobody could note it is no failure of the write."""

        async def observe(*_: object, **__: object) -> None:
            raise StoreError("away")

        monkeypatch.setattr(shop.store, "observe", observe)
        service = shop.service()
        assert asyncio.run(service.update_chat_status(shop.chat, "ОПЛАЧЕНО")) is True
        assert asyncio.run(service.assign_manager(shop.chat, 103)) is True
        shop.shows("ОПЛАЧЕНО", 103)

    def test_the_three_handlers(self, shop: Shop) -> None:
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
