"""The store is away, over real HTTP: what callers are told, what the CRM shows, and what comes of it in the end."""

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from mirt_sitniks.core.record import Intent
from mirt_sitniks.core.result import Outcome, SyncResult
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.errors import StoreError
from mirt_sitniks.stores.memory import MemoryStore
from tests.service.shop import Shop, synced, touch, wait_until


class Away(MemoryStore):
    """The shop's store behind a way that is cut while `error` is set."""

    def __init__(self, shop: Shop, error: StoreError | None = None) -> None:
        super().__init__(shop.store.clock, shop.store.wall, shop.store.rows)
        self.error = error

    async def record(self, *args: Any, **more: Any) -> Any:
        return await self._ask(super().record(*args, **more))

    async def claim(self, *args: Any, **more: Any) -> Any:
        return await self._ask(super().claim(*args, **more))

    async def settle(self, *args: Any, **more: Any) -> Any:
        return await self._ask(super().settle(*args, **more))

    async def _ask(self, work: Any) -> Any:
        if self.error:
            work.close()
            raise StoreError(self.error.message, kind=self.error.kind)
        return await work


AWAY = StoreError("out of reach")
BROKEN = StoreError("run mirt-sitniks migrations", kind="setup")


def test_row05_row30_what_was_called_queued_is_recorded_in_the_end(shop: Shop) -> None:
    """The reply is held for its budget, then the store comes back."""
    store = Away(shop, AWAY)
    service = shop.service(store=store, reply_budget=0.2)
    began = time.monotonic()
    told = touch(service)
    assert time.monotonic() - began >= 0.2
    assert told.outcome is Outcome.QUEUED
    assert told.error == {"code": "store_unavailable", "message": "out of reach"}
    store.error = None
    shop.shows("Взято в роботу", 101)


def test_row30_a_moment_without_a_store_is_not_noticed(shop: Shop) -> None:
    """It fails until it was asked three times: `synced`, no word of it."""
    tries = []

    class Hiccup(MemoryStore):
        async def record(self, *args: Any, **more: Any) -> Any:
            tries.append(1)
            if len(tries) <= 3:
                raise StoreError("reset")
            return await super().record(*args, **more)

    assert synced(touch(shop.service(store=Hiccup(shop.store.clock, shop.store.wall, shop.store.rows)))).error is None


def test_row20_what_a_person_has_to_mend_is_failed_at_once_and_kept(shop: Shop) -> None:
    """With the command that cures it, and no call to the CRM; once it was run the stage arrives."""
    store = Away(shop, BROKEN)
    told = touch(shop.service(store=store))
    assert told.outcome is Outcome.FAILED
    assert told.error == {"code": "store_unavailable", "message": "run mirt-sitniks migrations"}
    assert shop.sandbox.calls == ()
    store.error = None
    shop.shows("Взято в роботу", 101)


def test_row20_an_escalations_status_is_written_directly(shop: Shop) -> None:
    """Where its chat is known: one call, told as what it is; the manager comes when the store does."""
    store = Away(shop, AWAY)
    told = touch(shop.service(store=store), "escalation", chat_id=shop.chat)
    assert (told.outcome, told.status, told.manager_id) == (Outcome.SYNCED, "AI Увага", None)
    assert told.error
    assert told.error["code"] == "store_unavailable"
    shop.shows("AI Увага", None)
    assert len(shop.sandbox.calls) == 1
    store.error = None
    shop.shows("AI Увага", 102)
    assert shop.sandbox.count("PATCH") == 1


@pytest.mark.parametrize("way", ["aclose", "close"])
def test_row30_who_waits_while_it_closes_is_told_queued(shop: Shop, way: str) -> None:
    """Fifty syncs are under way, the CRM hangs: all are recorded, and each is told `queued`."""
    service = shop.service(reply_budget=30.0, timeout=20.0)
    shop.sandbox.fault("hang", times=None)

    async def host() -> list[Outcome]:
        syncs = [asyncio.ensure_future(service.sync("escalation", session=f"s{n}", chat_id=f"{n}")) for n in range(50)]
        await asyncio.sleep(0.05)
        await (service.aclose() if way == "aclose" else asyncio.get_running_loop().run_in_executor(None, service.close))
        return [one.outcome for one in await asyncio.gather(*syncs)]

    assert asyncio.run(host()) == [Outcome.QUEUED] * 50
    assert len(shop.store.rows.records) == 50


@pytest.mark.parametrize("kind", ["async with", "with", "start"])
def test_row31_what_a_dead_process_left_is_driven_though_nobody_writes(shop: Shop, kind: str) -> None:
    """An escalation was recorded only; another process enters the service, and that is all it does."""
    left = shop.service(reply_budget=0.0, worker=False)
    assert touch(left, "escalation").outcome is Outcome.QUEUED
    service = shop.service()

    async def entered() -> None:
        async with service:
            await asyncio.get_running_loop().run_in_executor(None, shop.shows, "AI Увага", 102)

    if kind == "async with":
        asyncio.run(entered())
    elif kind == "with":
        with service:
            shop.shows("AI Увага", 102)
    else:
        service.start()
        shop.shows("AI Увага", 102)


def test_row32_two_syncs_of_a_turn_have_one_reply_budget(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """First touch and escalation of one message, and the CRM takes its time: the second is told at once."""
    budgets, sync = list[float | None](), Runtime.sync

    async def noted(runtime: Runtime, intent: Intent, budget: float | None = None) -> SyncResult:
        budgets.append(budget)
        return await sync(runtime, intent, budget)

    monkeypatch.setattr(Runtime, "sync", noted)
    service = shop.service(reply_budget=0.5)
    shop.sandbox.fault("hang", times=None)
    for stage, event in (("first_touch", ("message 7", "its link")), ("escalation", ("message 7",))):
        assert touch(service, stage, intent=event).outcome is Outcome.QUEUED
    first, second = budgets
    assert first == 0.5
    assert second == pytest.approx(0.0, abs=0.1)
    shop.sandbox.clear_faults()
    shop.shows("AI Увага", 102)


def test_row05_row30_a_locked_file_loses_nothing_however_long(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process holds the SQLite file for many times as long as a call waits for it."""
    monkeypatch.setattr("mirt_sitniks.stores.sqlite.BUSY", 0.02)
    service = shop.service(database=str(tmp_path / "s.sqlite3"), reply_budget=0.1)
    synced_once = touch(service)
    assert synced_once.outcome in (Outcome.SYNCED, Outcome.QUEUED)
    shop.shows("Взято в роботу", 101)
    other = sqlite3.connect(tmp_path / "s.sqlite3", isolation_level=None)
    other.execute("begin immediate")
    for number in range(3):
        told = touch(service, "give_requisites", intent=f"{number}")
        assert told.outcome is Outcome.QUEUED
    wait_until(lambda: touch(service, "escalation", intent="last").error)
    time.sleep(0.5)
    other.execute("rollback")
    other.close()
    shop.shows("AI Увага", 102)
    service.close()


def test_row30_a_service_that_closes_says_what_it_could_not_save(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fresh process with a reply budget of 0 enters, syncs and leaves while the store is away."""
    monkeypatch.setattr("mirt_sitniks.engine.runtime.DRAIN", 0.2)

    async def host() -> None:
        async with shop.service(store=Away(shop, AWAY), reply_budget=0.0) as service:
            assert (await service.handle_escalation("olena")).outcome is Outcome.QUEUED

    asyncio.run(host())
    assert "stage escalation of session olena is lost" in caplog.text
