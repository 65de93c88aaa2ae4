"""The stages of one session are recorded in the order in which they were asked for, whatever the store does."""

import asyncio
import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mirt_sitniks.core.record import Intent
from mirt_sitniks.core.result import Outcome
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import Recorded, StoreOptions
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.errors import StoreError
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.stores.memory import MemoryStore
from mirt_sitniks.stores.sqlite import SqliteStore
from tests.service.shop import Shop, synced, touch, wait_until
from tests.stores.test_sqlite_faults import held

STAGES = ("first_touch", "give_requisites", "escalation")


class Gated(MemoryStore):
    """A store whose record verb does first what a test wants it to; `tried` are the intents it was asked for."""

    def __init__(self, shop: Shop, before: Callable[[Intent], Any]) -> None:
        super().__init__(shop.store.clock, shop.store.wall, shop.store.rows)
        self.before, self.tried = before, list[str]()

    async def record(self, options: StoreOptions, intent: Intent, *, calls: int = 2) -> Recorded:
        self.tried.append(str(intent.stage))
        await self.before(intent)
        return await super().record(options, intent, calls=calls)


async def passes(gate: threading.Event) -> None:
    """Wait for an event of another thread, but not longer than a test may take."""
    await asyncio.get_running_loop().run_in_executor(None, gate.wait, 10.0)


def recorded(shop: Shop, session: str = "s") -> list[str]:
    """The stages of a session in the order in which they were recorded."""
    lines = [line for line in shop.store.rows.entries if line.session == session and line.kind == "intent"]
    return [str(line.stage) for line in lines]


def stalling(shop: Shop, go: threading.Event, session: str = "s") -> Gated:
    """A store that keeps a session's first touch on its way until the event."""

    async def stall(intent: Intent) -> None:
        if (intent.session, intent.stage) == (session, Stage.FIRST_TOUCH):
            await passes(go)

    return Gated(shop, stall)


def test_a_later_stage_waits_for_an_earlier_one_that_stalls(shop: Shop) -> None:
    """First touch on its way to the store, an invoice and an escalation are asked for: told `queued`, then in order."""
    go = threading.Event()
    service = shop.service(store=stalling(shop, go), reply_budget=0.1)
    for stage in STAGES:
        # Each from a thread of its own.
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(touch, service, stage).result().outcome is Outcome.QUEUED
    go.set()
    shop.shows("AI Увага", 102)
    assert recorded(shop) == list(STAGES)


def test_another_session_does_not_wait(shop: Shop) -> None:
    """While one session's first touch stalls, another one's escalation is synced."""
    go = threading.Event()
    store = stalling(shop, go)
    service = shop.service(store=store)
    chat = shop.sandbox.add_chat("olha")
    stuck = threading.Thread(target=touch, args=(service,))
    stuck.start()
    wait_until(lambda: store.tried)
    synced(touch(service, "escalation", session="o", instagram_username="olha"))
    shop.shows("AI Увага", 102, chat)
    assert not recorded(shop)
    go.set()
    stuck.join()
    shop.shows("Взято в роботу", 101)


def test_closing_waits_for_who_has_not_had_his_turn(shop: Shop, closings: list[Runtime]) -> None:
    """Two stages that were told `queued`, the second behind the first, are recorded before the service is closed."""
    go = threading.Event()
    service = shop.service(store=stalling(shop, go), reply_budget=0.0)
    for stage in ("first_touch", "escalation"):
        assert touch(service, stage).outcome is Outcome.QUEUED
    closing = threading.Thread(target=service.close)
    closing.start()
    wait_until(lambda: closings)
    go.set()
    closing.join()
    assert recorded(shop) == ["first_touch", "escalation"]


def test_row30_a_later_stage_waits_until_the_store_refuses_an_earlier_one(shop: Shop) -> None:
    """Not only while it is on its way; and then it is recorded without it."""
    go = threading.Event()

    async def refused(intent: Intent) -> None:
        if intent.stage is Stage.FIRST_TOUCH:
            await passes(go)
            raise StoreError("no", kind="refused")

    store = Gated(shop, refused)
    service = shop.service(store=store, reply_budget=0.0)
    for stage in ("first_touch", "escalation"):
        assert touch(service, stage).outcome is Outcome.QUEUED
    go.set()
    shop.shows("AI Увага", 102)
    assert store.tried == ["first_touch", "escalation"]


def test_a_locked_file_changes_no_order(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody locks the SQLite file for longer than a call waits: first touch is tried until it is recorded."""
    tried: list[str] = []

    class Watched(SqliteStore):
        async def record(self, options: StoreOptions, intent: Intent, *, calls: int = 2) -> Recorded:
            tried.append(str(intent.stage))
            return await super().record(options, intent, calls=calls)

    store = Watched(tmp_path / "store.sqlite3")
    asyncio.run(store.check())
    monkeypatch.setattr("mirt_sitniks.stores.sqlite.BUSY", 0.01)
    service = shop.service(store=store, reply_budget=0.0)
    monkeypatch.setattr("mirt_sitniks.stores.sqlite.BUSY", 0.01)
    with held(tmp_path) as other:
        for stage in ("first_touch", "escalation"):
            assert touch(service, stage).outcome is Outcome.QUEUED
        so_far = len(tried)
        wait_until(lambda: len(tried) > so_far + 1)
        assert set(tried) == {"first_touch"}
        other.execute("rollback")
    shop.shows("AI Увага", 102)
    service.close()
    asyncio.run(store.aclose())


def test_an_escalation_stands_whatever_is_asked_for_after_it(shop: Shop) -> None:
    """Row 29: a first touch outside a graph, later than the escalation, is told that it was too late and what stands;
    a later session of the process knows it is the first no more."""
    service = shop.service()
    synced(touch(service, "escalation"))
    late = touch(service, "first_touch")
    assert (late.outcome, late.reason, late.error) == (Outcome.SKIPPED, "superseded", None)
    assert (late.status, late.manager_id, late.first_touch) == ("AI Увага", 102, True)
    assert touch(service, "first_touch").reason == "replay"
    shop.shows("AI Увага", 102)


def test_two_processes_that_a_file_keeps_waiting_are_recorded_as_they_asked(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 29: the file is locked while one asks for the invoice and then the other for the escalation: whoever comes
    first when it is free, the escalation stands."""
    path, go = tmp_path / "store.sqlite3", threading.Event()

    class Late(SqliteStore):
        async def record(self, options: StoreOptions, intent: Intent, *, calls: int = 2) -> Recorded:
            if intent.stage is Stage.GIVE_REQUISITES:
                await passes(go)
            return await super().record(options, intent, calls=calls)

    stores = [Late(path), Late(path)]
    first, second = (shop.service(store=one, reply_budget=0.0) for one in stores)
    for one in (first, second):
        touch(one, session=f"warm {id(one)}", instagram_username="nobody")
        wait_until(lambda one=one: asyncio.run(stores[0].get(f"warm {id(one)}")))  # type: ignore[misc]
    with held(tmp_path) as other, monkeypatch.context() as patch:
        patch.setattr("mirt_sitniks.stores.sqlite.BUSY", 0.01)
        assert touch(first, "give_requisites").outcome is Outcome.QUEUED
        assert touch(second, "escalation").outcome is Outcome.QUEUED
        other.execute("rollback")
    shop.shows("AI Увага", 102)
    go.set()

    def intents() -> list[str | None]:
        return [line.stage for line in asyncio.run(stores[0].ledger("s")) if line.kind == "intent"]

    wait_until(lambda: intents() == ["escalation", "give_requisites"])
    record = asyncio.run(stores[0].get("s"))
    assert record
    assert record.desired.status.value == "escalation"
    for one in (first, second):
        one.close()
    for store in stores:
        asyncio.run(store.aclose())


async def all_at_once(service: SitniksChatService, asked: list[tuple[str, str, str]]) -> None:
    """Ask for (stage, session, intent) in this order, without waiting for any answer."""
    await asyncio.gather(
        *(
            service.sync(stage, session=session, instagram_username=session, intent=intent)
            for stage, session, intent in asked
        )
    )


def test_a_store_that_answers_in_any_order_changes_none(shop: Shop) -> None:
    """Sixty sessions, three stages each, all at once: each record takes its own time, no session ends wrong."""
    random = Random(7)

    async def dawdle(intent: Intent) -> None:
        for _ in range(random.randrange(30)):
            await asyncio.sleep(0)

    service = shop.service(store=Gated(shop, dawdle), worker=False, reply_budget=0.0)
    sessions = [f"s{number}" for number in range(60)]
    asyncio.run(all_at_once(service, [(stage, session, "1") for stage in STAGES for session in sessions]))
    wait_until(lambda: len(shop.store.rows.intents) == 180)
    assert [recorded(shop, session) for session in sessions] == [list(STAGES)] * 60


def test_a_store_that_cannot_keep_up_changes_no_order(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand syncs from four threads, every other one refused and tried again: each session in its order."""
    monkeypatch.setattr("mirt_sitniks.engine.gate.CAP", 0.0)
    random, turns = Random(7), range(25)

    async def refuse(intent: Intent) -> None:
        if random.random() < 0.5:
            raise StoreError("too much")

    service = shop.service(store=Gated(shop, refuse), worker=False, reply_budget=0.0)

    def thread(number: int) -> None:
        sessions = [f"s{number}-{one}" for one in range(10)]
        asyncio.run(
            all_at_once(service, [("escalation", session, f"{turn:02}") for turn in turns for session in sessions])
        )

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(thread, range(4)))
    wait_until(lambda: len(shop.store.rows.intents) == 1000)
    for session in shop.store.rows.records:
        keys = [line.key for line in shop.store.rows.entries if line.session == session and line.kind == "intent"]
        assert keys == [f"escalation:{turn:02}" for turn in turns]


def test_a_session_that_nobody_syncs_leaves_no_lock_behind(shop: Shop) -> None:
    """A process that has served a hundred sessions holds no more than one that has served one."""

    def locks() -> int:
        gc.collect()
        return sum(isinstance(one, asyncio.Lock) for one in gc.get_objects())

    service = shop.service(worker=False, reply_budget=0.0)
    asyncio.run(all_at_once(service, [("escalation", "first", "1")]))
    wait_until(lambda: len(shop.store.rows.intents) == 1)
    before = locks()
    asyncio.run(all_at_once(service, [("escalation", f"s{number}", "1") for number in range(100)]))
    wait_until(lambda: len(shop.store.rows.intents) == 101)
    wait_until(lambda: locks() <= before)
