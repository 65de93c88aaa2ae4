"""What is stored of a conversation goes by itself after the days that the settings name."""

import asyncio
import time

import pytest

from mirt_sitniks.stores.memory import MemoryStore
from tests.service.shop import Shop, synced, touch, wait_until


def test_old_lines_go_and_records_stay(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker deletes what is older, from the ledger and the directory; the session itself is still known."""
    monkeypatch.setattr("mirt_sitniks.engine.worker.TIDY_FIRST", 0.0)
    days = [0.0]
    shop.store = MemoryStore(lambda: time.monotonic() + 86_400 * days[0], lambda: time.time() + 86_400 * days[0])
    synced(touch(shop.service(retain_days=2)))
    assert shop.store.rows.entries
    assert shop.store.rows.directory
    days[0] = 1.9
    asyncio.run(shop.store.prune(2 * 86_400.0, records=False))
    assert shop.store.rows.entries
    days[0] = 2.1
    service = shop.service(retain_days=2)
    asyncio.run(service.reconcile(0))
    wait_until(lambda: not shop.store.rows.entries)
    assert not shop.store.rows.directory
    assert touch(service).reason == "already_touched"
