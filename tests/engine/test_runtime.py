"""What a runtime makes of the settings."""

import asyncio
import time

import pytest

from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import StoreOptions
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.settings import SitniksSettings
from mirt_sitniks.stores.memory import MemoryStore
from tests.engine.away import Counter
from tests.model.crm import Trouble


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


def test_a_conversation_leaves_a_line_of_each_call() -> None:
    """With how long it took; the chat's own are the session's, of the stage that they were made for, and what is read
    for all is nobody's. A drive that the CRM refuses says so."""
    shop = Counter()
    runtime = shop.process()
    shop.sync(runtime, Stage.FIRST_TOUCH)
    shop.loop.run_for(20.0)
    shop.crm.trouble = [Trouble("429")]
    shop.sync(runtime, Stage.GIVE_REQUISITES)
    tries = [one for one in shop.store.rows.entries if one.kind == "try"]
    quick = {"seconds": 0.05}
    assert [(one.session, one.key, one.stage, one.generation, one.after) for one in tries] == [
        ("", "list", None, 0, quick),
        ("", "managers", None, 0, quick),
        ("s", "status", "first_touch", 1, quick),
        ("s", "assign", "first_touch", 1, quick),
        ("s", "status", "give_requisites", 2, {"seconds": 0.05, "status": 429, "code": "rate_limited"}),
    ]
    assert {one.who for one in tries} == {runtime.driver.options.who}
    shop.close()
