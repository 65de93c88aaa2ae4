"""`service.status()`: how syncing is, as plain JSON, whatever happens."""

import asyncio
import json
from typing import Any

import pytest

from mirt_sitniks.core.survey import Overview
from mirt_sitniks.engine import runtime
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.stores.memory import MemoryStore
from tests.service.shop import Shop, synced, touch
from tests.service.test_store_away import AWAY, Away


def status(service: SitniksChatService) -> dict[str, Any]:
    """What it says, which is plain JSON."""
    told = asyncio.run(service.status())
    json.dumps(told, allow_nan=False)
    return told


def test_it_counts_what_came_out(shop: Shop) -> None:
    """All keys that a probe reads, and what a person has to do."""
    service = shop.service()
    synced(touch(service))
    shop.sandbox.add_chat("twins")
    shop.sandbox.add_chat("twins")
    assert service.sync_blocking("first_touch", session="t", instagram_username="twins").error
    told = status(service)
    assert (told["ok"], told["enabled"], told["in_memory"], told["held"]) == (True, True, 0, 0)
    assert (told["sessions"]["synced"], told["sessions"]["failed"]) == (1, 1)
    assert (told["errors"], told["lock"], told["refused"]) == ({"chat_ambiguous": 1}, None, [])
    assert told["store"] == {"kind": "sqlite", "account": "main"}
    assert {"schema", "oldest_waiting_seconds", "budget", "workers"} <= set(told)
    assert [one["what"] for one in told["troubles"]] == ["failed"]


def test_a_refused_key_is_not_ok(shop: Shop) -> None:
    """Until it is let in again."""
    shop.sandbox.fault("refuse_key", times=None)
    service = shop.service()
    touch(service)
    told = status(service)
    assert (told["ok"], told["lock"]["code"]) == (False, "unauthorized")


class _Blind(Away):
    async def overview(self, *args: Any) -> Any:
        return await self._ask(super().overview(*args))


def test_row30_a_store_that_is_away_is_not_ok_and_what_waits_for_it_is_counted(shop: Shop) -> None:
    """With code and message, instead of an exception."""
    store = _Blind(shop, AWAY)
    service = shop.service(store=store, reply_budget=0.05)
    touch(service)
    told = status(service)
    assert told["error"] == {"code": "store_unavailable", "message": "out of reach"}
    assert (told["ok"], told["in_memory"]) == (False, 1)
    store.error = None
    assert status(service)["ok"]


def test_a_store_that_hangs_is_waited_for_no_longer_than_a_probe_waits(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is as good as away."""

    class Hanging(MemoryStore):
        async def overview(self, *args: Any) -> Overview:
            await asyncio.Event().wait()
            raise AssertionError

    monkeypatch.setattr(runtime, "ANSWERING", 0.02)
    told = status(shop.service(store=Hanging(shop.store.clock, shop.store.wall, shop.store.rows)))
    assert (told["ok"], told["error"]["code"]) == (False, "store_unavailable")


def test_it_never_raises(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for a bug of ours, nor when nothing is configured: then no store is opened."""
    monkeypatch.setattr(runtime, "health", lambda *args: 1 / 0)
    told = status(shop.service())
    assert (told["ok"], told["error"]["code"]) == (False, "unavailable")
    assert status(shop.service(api_url="", rate_limit="9/10.5")) == {"ok": True, "enabled": False}
