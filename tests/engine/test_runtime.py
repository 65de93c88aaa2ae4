"""What a runtime makes of the settings."""

import asyncio
import time

import pytest

from mirt_sitniks.core.store import StoreOptions
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.settings import SitniksSettings
from mirt_sitniks.stores.memory import MemoryStore
from tests.engine.away import Counter


@pytest.mark.parametrize(("timeout", "rate_limit"), [(0.1, "9/10.5"), (10.0, "9/10.5"), (0.1, "9/600")])
def test_a_lease_outlasts_a_call_and_its_grant(timeout: float, rate_limit: str) -> None:
    """However short the timeout: who may still send has the lease, and the default is half a minute."""
    settings = SitniksSettings(
        api_url="http://127.0.0.1:9", api_key="key", timeout=timeout, rate_limit=rate_limit, _env_file=None
    )

    async def options() -> StoreOptions:
        store = MemoryStore(time.monotonic, time.time)
        return Runtime(settings, store, own_store=False, worker=False).driver.options

    made = asyncio.run(options())
    assert made.lease > timeout + made.limit.grace
    assert timeout != 10.0 or made.lease == 30.0


def test_what_is_old_goes_within_ten_minutes_then_once_a_day() -> None:
    """By the worker's own clock, however long the machine has been running."""
    shop = Counter()
    shop.process()
    began = shop.loop.time()
    shop.loop.run_for(600.0 + 86_400.0)
    first, second = shop.ways[0].tidied
    assert began < first < began + 600.0
    assert 0.0 <= second - first - 86_400.0 < 90.0
    shop.close()
