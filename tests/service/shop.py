"""A service, its store and a sandbox CRM over real HTTP, as tests hold them."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from mirt_sitniks.core.record import Record
from mirt_sitniks.core.result import Outcome, SyncResult
from mirt_sitniks.sandbox import Sandbox
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.settings import SitniksSettings
from mirt_sitniks.stores.memory import MemoryStore

DEADLINE = 30.0


def wait_until(condition: Callable[[], object], seconds: float = DEADLINE) -> None:
    """Return when the condition holds; fails when it does not within so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("it did not come to pass")
        time.sleep(0.005)


@dataclass
class Shop:
    """One customer, `anna`, one CRM, one store in memory, and as many services as a test makes."""

    sandbox: Sandbox
    options: dict[str, Any] = field(default_factory=dict)
    services: list[SitniksChatService] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = MemoryStore(time.monotonic, time.time)
        self.chat = self.sandbox.add_chat("Anna.Shop")

    def settings(self, **values: Any) -> SitniksSettings:
        """Settings for the sandbox, with room for some more calls than the vendor gives in a second."""
        plain = {"api_url": self.sandbox.url, "api_key": self.sandbox.key, "rate_limit": "10/2", "reply_budget": 5.0}
        # No reply waits for a note: whoever counts calls says that there shall be some.
        plain["notes"] = False
        return SitniksSettings(**{**plain, **self.options, **values}, _env_file=None)

    def service(
        self,
        *,
        store: Any = None,
        client_factory: Callable[[], httpx.AsyncClient] | None = None,
        worker: bool = True,
        sweep: float = 60.0,
        **values: Any,
    ) -> SitniksChatService:
        """A service over `store`: the shop's unless told otherwise, and its own when a `database` is named."""
        made = SitniksChatService(
            self.settings(**values),
            store=None if "database" in values else self.store if store is None else store,
            client_factory=client_factory,
            worker=worker,
            sweep=sweep,
        )
        self.services.append(made)
        return made

    def record(self, session: str = "s") -> Record:
        """What the store knows of a session."""
        return self.store.rows.records[session]

    def shows(self, status: str, manager: int | None = None, chat: str | None = None) -> None:
        """Wait until the CRM shows these."""
        wait_until(lambda: self._shown(chat) == (status, manager))

    def _shown(self, chat: str | None) -> tuple[str, int | None]:
        shown = self.sandbox.chat(chat or self.chat)
        return shown["status"], shown["assignedManagerId"]

    def close(self) -> None:
        """End all services."""
        self.sandbox.clear_faults()
        for service in self.services:
            asyncio.run(service.aclose())


def touch(service: SitniksChatService, stage: str = "first_touch", *, session: str = "s", **more: Any) -> SyncResult:
    """One sync of anna's conversation, from plain code."""
    names = {"instagram_username": "@anna.shop"} if "telegram_username" not in more else {}
    return service.sync_blocking(stage, session=session, **{**names, **more})


def synced(result: SyncResult) -> SyncResult:
    """The result itself, which is to be synced."""
    assert result.outcome is Outcome.SYNCED, result
    return result
