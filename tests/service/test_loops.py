"""A service is used from any loop, any thread, and in no caller's context."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import httpx
import pytest

from mirt_sitniks.core.result import Outcome
from mirt_sitniks.service import SitniksChatService
from tests.service.shop import Shop, synced, touch

STAGES = ("first_touch", "give_requisites", "escalation")


def test_row23_asyncio_run_several_times(shop: Shop) -> None:
    """Each with a loop of its own, over one service; nobody meets a closed loop."""
    service = shop.service()
    for stage in STAGES:
        synced(asyncio.run(service.sync(stage, session="s", instagram_username="anna.shop")))
    assert shop.sandbox.chat(shop.chat)["status"] == "AI Увага"


def test_row23_a_loop_that_ends_before_the_work_does(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """The caller's loop is closed while the CRM hangs: the work goes on, and nobody complains."""
    service = shop.service(reply_budget=0.0)
    shop.sandbox.fault("hang")
    result = asyncio.run(service.sync("first_touch", session="s", instagram_username="anna.shop"))
    assert result.outcome is Outcome.QUEUED
    shop.sandbox.clear_faults()
    shop.shows("Взято в роботу", 101)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_row23_a_caller_who_is_cancelled_does_not_cancel_the_work(shop: Shop) -> None:
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
def test_row23_blocking_inside_a_running_loop(shop: Shop) -> None:
    """A synchronous node that a running loop calls: the work is on another thread, so nothing locks up."""

    async def node() -> Any:
        return touch(shop.service())

    synced(asyncio.run(node()))


def test_row23_many_threads(shop: Shop) -> None:
    """Twelve conversations from twelve threads, one service."""
    chats = {f"n{number}": shop.sandbox.add_chat(f"n{number}") for number in range(12)}
    service = shop.service(rate_limit="10/0.5", human_manager_id=102)
    with ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda name: touch(service, "escalation", session=name, instagram_username=name), chats))
    for chat in chats.values():
        shop.shows("AI Увага", 102, chat)


def test_row23_the_work_is_in_no_callers_context(shop: Shop) -> None:
    """What the first caller keeps in context variables, a tracing span or a run's config, is not kept for ever."""
    seen: list[object] = []
    variable: ContextVar[object] = ContextVar("request", default=None)

    class Watching(httpx.AsyncClient):
        def build_request(self, *args: Any, **more: Any) -> httpx.Request:
            seen.append(variable.get())
            return super().build_request(*args, **more)

    service = SitniksChatService(shop.settings(database=":memory:"), client_factory=lambda: Watching(trust_env=False))
    variable.set("the first request")
    synced(touch(service))
    service.close()
    assert seen
    assert set(seen) == {None}
