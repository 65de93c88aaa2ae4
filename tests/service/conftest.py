"""A running sandbox with a shop around it; retries that do not keep tests waiting."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from mirt_sitniks.core import backoff, fold, scanning
from mirt_sitniks.core.record import Error
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.sandbox import Sandbox
from mirt_sitniks.sandbox.notifier import ChangeNotifier
from mirt_sitniks.sandbox.thread import ServerThread
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.webhook import webhook_routes
from tests.service.shop import Shop
from tests.webhook.events import NEW


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox that keeps every rule but the limit."""
    with Sandbox(limit=False) as running:
        yield running


@pytest.fixture
def shop(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A shop whose services try again after hundredths of a second where they would after seconds."""

    def hasty(error: Error, attempt: int, random: float) -> float | None:
        delay = backoff.next_try(error, attempt, random)
        return delay if delay is None or error.code in backoff.SETTINGS_CODES else 0.03

    def search(attempt: int) -> float | None:
        return None if backoff.search_delay(attempt) is None else 0.03

    monkeypatch.setattr(fold, "next_try", hasty)
    monkeypatch.setattr(scanning, "search_delay", search)
    monkeypatch.setattr("mirt_sitniks.engine.jobs.retry_delay", lambda attempt, random: 0.03)
    monkeypatch.setattr("mirt_sitniks.engine.gate.CAP", 0.03)
    made = Shop(sandbox)
    yield made
    made.close()


@pytest.fixture
def hosted() -> Iterator[Callable[..., SitniksChatService]]:
    """Has a shop's account tell a service of its own, which is there until the end of the test."""
    with ExitStack() as stack:

        def host(shop: Shop, on_event: Any = None, make_app: Any = None) -> SitniksChatService:
            service = shop.service(webhook_secrets=NEW, ai_manager_id=101, human_manager_id=102)
            mounted = Starlette(routes=[Mount("/sitniks", webhook_routes(service, on_event))])
            app = make_app(service) if make_app else mounted
            server = ServerThread(lambda transport_of: app, ChangeNotifier())
            server.start()
            stack.callback(server.stop)
            shop.sandbox.webhook = f"http://127.0.0.1:{server.port}/sitniks/{NEW}"
            return service

        yield host


@pytest.fixture
def closings(monkeypatch: pytest.MonkeyPatch) -> list[Runtime]:
    """The runtimes that have begun to end."""
    begun: list[Runtime] = []
    aclose = Runtime.aclose

    async def noted(runtime: Runtime) -> None:
        begun.append(runtime)
        await aclose(runtime)

    monkeypatch.setattr(Runtime, "aclose", noted)
    return begun
