"""A service with secrets, what it has heard, and a CRM that counts who comes."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from mirt_sitniks.core.events import Event
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.settings import SitniksSettings
from mirt_sitniks.stores.memory import MemoryStore
from tests.webhook.events import SECRETS


@dataclass
class Heard:
    """What came to the store's door. Nothing gets through while it is not `open`; `trouble` is raised instead."""

    batches: list[tuple[Event, ...]] = field(default_factory=list)
    open: threading.Event = field(default_factory=threading.Event)
    trouble: Exception | None = None

    def events(self) -> list[Event]:
        """All of them, in the order in which they came."""
        return [event for batch in self.batches for event in batch]

    async def hear(self, runtime: Runtime, events: tuple[Event, ...]) -> None:
        """In the place of `Runtime.hear`."""
        if not self.open.is_set():
            await asyncio.to_thread(self.open.wait)
        if trouble := self.trouble:
            raise trouble
        self.batches.append(events)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    """What is told, instead of a store."""
    made = Heard()
    made.open.set()
    monkeypatch.setattr(Runtime, "hear", lambda runtime, events: made.hear(runtime, events))
    yield made
    made.open.set()


@pytest.fixture
def asked() -> list[httpx.Request]:
    """What was asked of the CRM."""
    return []


@pytest.fixture
def service_of(asked: list[httpx.Request]) -> Iterator[Callable[..., SitniksChatService]]:
    """Makes services; closes them at the end."""
    made: list[SitniksChatService] = []

    def crm(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(500)

    def make(**values: Any) -> SitniksChatService:
        plain = {"api_url": "http://127.0.0.1:1", "api_key": "key", "webhook_secrets": SECRETS}
        made.append(
            SitniksChatService(
                SitniksSettings(**{**plain, **values}, _env_file=None),
                store=MemoryStore(time.monotonic, time.time),
                client_factory=lambda: httpx.AsyncClient(transport=httpx.MockTransport(crm)),
                worker=False,
            )
        )
        return made[-1]

    yield make
    for service in made:
        service.close()


@pytest.fixture
def service(service_of: Callable[..., SitniksChatService], heard: Heard) -> SitniksChatService:
    """One with two secrets, whose store only notes what it hears."""
    return service_of()
