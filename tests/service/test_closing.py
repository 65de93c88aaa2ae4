"""How a service ends: in seconds, whatever hangs, and with everything closed that it opened."""

import asyncio
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from mirt_sitniks.core.result import Outcome
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.stores.sqlite import SqliteStore
from tests.service.shop import Shop, synced, touch, wait_until


def test_row23_closing_does_not_wait_for_a_crm_that_hangs(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives running work its time, here a twentieth of a second, and goes while the call still hangs."""
    monkeypatch.setattr("mirt_sitniks.engine.runtime.DRAIN", 0.05)
    service = shop.service(reply_budget=0.1, timeout=20.0)
    shop.sandbox.fault("hang")
    touch(service)
    shop.sandbox.wait(lambda: shop.sandbox.calls)
    asyncio.run(service.aclose())
    assert shop.sandbox.calls[0].status is None
    asyncio.run(service.aclose())


def test_row23_closing_does_not_wait_for_a_locked_file(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten syncs that wait for a file are let go, not waited for one after the other."""
    monkeypatch.setattr("mirt_sitniks.engine.life.CLOSING", 0.3)
    path = tmp_path / "s.sqlite3"
    service = shop.service(database=str(path), reply_budget=0.1)
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


def test_row03_row23_what_a_closed_service_left_another_one_finishes(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease of the one that is gone runs out, and a sweep finds the work."""
    monkeypatch.setattr("mirt_sitniks.engine.runtime.DRAIN", 0.05)
    service = shop.service(reply_budget=0.1, timeout=0.2)
    shop.sandbox.fault("hang", method="PATCH")
    touch(service)
    shop.sandbox.wait(lambda: shop.sandbox.count("PATCH"))
    asyncio.run(service.aclose())
    other = shop.service(sweep=0.05)
    asyncio.run(other.reconcile())
    shop.shows("Взято в роботу", 101)


def test_row23_a_closed_service_opens_again(shop: Shop) -> None:
    """What is used after `aclose` works."""
    service = shop.service()
    synced(touch(service))
    asyncio.run(service.aclose())
    synced(touch(service, "escalation"))


def test_row23_who_comes_while_it_closes_is_served(shop: Shop, closings: list[Runtime]) -> None:
    """A sync during `aclose` begins a new life, whose worker goes on; the old one ends as it would have."""
    service = shop.service(reply_budget=0.1)
    other = shop.sandbox.add_chat("olha")
    shop.sandbox.fault("hang", path=f"{shop.chat}/status$")
    touch(service)
    shop.sandbox.wait(lambda: shop.sandbox.count("PATCH") == 1)
    closing = threading.Thread(target=service.close)
    closing.start()
    wait_until(lambda: closings)
    shop.sandbox.fault("status", status=500, path=f"{other}/status$")
    touch(service, session="o", instagram_username="olha")
    shop.sandbox.clear_faults()
    closing.join()
    shop.shows("Взято в роботу", 101, other)


def test_row23_closing_twice_at_once(shop: Shop, closings: list[Runtime]) -> None:
    """The second one finds nothing to close, and neither raises."""
    service = shop.service(reply_budget=0.1)
    shop.sandbox.fault("slow", seconds=0.3)
    touch(service)

    async def both() -> None:
        await asyncio.gather(service.aclose(), service.aclose())

    asyncio.run(both())
    assert len(closings) == 1


class Noting(httpx.AsyncClient):
    """Notes the loops on which it is used and closed."""

    def __init__(self) -> None:
        super().__init__(trust_env=False)
        self.used_on: set[asyncio.AbstractEventLoop] = set()
        self.closed_on: set[asyncio.AbstractEventLoop] = set()

    async def send(self, *args: Any, **more: Any) -> httpx.Response:
        self.used_on.add(asyncio.get_running_loop())
        return await super().send(*args, **more)

    async def aclose(self) -> None:
        await super().aclose()
        self.closed_on.add(asyncio.get_running_loop())


def test_row23_closing_on_a_foreign_loop(shop: Shop) -> None:
    """Whatever loop closes it, the connections are closed on the loop that uses them, before `aclose` returns."""
    client = Noting()

    async def visit() -> None:
        async with shop.service(client_factory=lambda: client) as service:
            assert await service.handle_first_touch("s", instagram_username="anna.shop")

    asyncio.run(visit())
    assert client.used_on
    assert client.closed_on == client.used_on


@pytest.mark.blocks
@pytest.mark.parametrize("in_a_loop", [False, True])
def test_row23_closing_on_the_callers_thread(shop: Shop, in_a_loop: bool) -> None:
    """`with` and `close()` need no event loop, and one that runs does not hinder them: all is closed on return."""
    client = Noting()

    def visit() -> None:
        with shop.service(client_factory=lambda: client) as service:
            synced(touch(service))
        assert client.closed_on == client.used_on

    async def host() -> None:
        visit()

    asyncio.run(host()) if in_a_loop else visit()
    assert client.used_on


def test_row23_an_own_store_is_closed_and_a_borrowed_one_is_not(shop: Shop, tmp_path: Path) -> None:
    """SQLite's log file is there as long as the database is open."""
    with shop.service(database=str(tmp_path / "own.sqlite3")) as service:
        synced(touch(service))
        assert (tmp_path / "own.sqlite3-wal").exists()
    assert not (tmp_path / "own.sqlite3-wal").exists()
    store = SqliteStore(tmp_path / "borrowed.sqlite3")
    with shop.service(store=store) as service:
        synced(touch(service))
    assert (tmp_path / "borrowed.sqlite3-wal").exists()
    asyncio.run(store.aclose())


def test_row23_a_host_client_that_does_not_close_stops_nothing(
    shop: Shop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`aclose` raises nothing and closes the rest: the store that was opened here."""

    class Stuck(httpx.AsyncClient):
        async def aclose(self) -> None:
            await super().aclose()
            raise httpx.ReadError("no")

    service = shop.service(database=str(tmp_path / "own.sqlite3"), client_factory=Stuck)
    synced(touch(service))
    asyncio.run(service.aclose())
    assert "the HTTP client did not close: ReadError" in caplog.text
    assert not (tmp_path / "own.sqlite3-wal").exists()
