"""Services that share a store: one records and another one works, or both do all at the same time."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mirt_sitniks.core.result import Outcome
from mirt_sitniks.stores.sqlite import SqliteStore
from tests.service.shop import Shop, touch, wait_until


def test_a_process_that_only_records_calls_nobody(shop: Shop) -> None:
    """With a reply budget of 0 and no worker, all calls are left to whoever works."""
    recorder = shop.service(reply_budget=0.0, worker=False)
    assert touch(recorder).outcome is Outcome.QUEUED
    wait_until(lambda: "s" in shop.store.rows.records)
    assert asyncio.run(shop.service(worker=False).reconcile()) == 1
    shop.shows("Взято в роботу", 101)
    assert shop.record().token == 1


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
