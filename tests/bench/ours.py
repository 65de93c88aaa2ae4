"""Our service as the benchmarks use it: SQLite, the default settings, and a store's clock that can be moved on."""

import time
from pathlib import Path
from typing import Any

from mirt_sitniks import SitniksChatService, SitniksSettings
from mirt_sitniks.stores.sqlite import SqliteStore
from tests.bench.crm import KEY

WINDOW = 11.0
"""Seconds after which the whole call budget is free again."""


class Shift:
    """A monotonic clock that can be set ahead: a budget is free again without waiting for it."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._ahead

    def skip(self, seconds: float = WINDOW) -> None:
        """Let so many seconds have passed."""
        self._ahead += seconds

    async def wait(self) -> None:
        """The same for those who await it."""
        self.skip()


def settings(url: str, **changes: Any) -> SitniksSettings:
    """The default settings for a sandbox; nothing is read from the environment's `.env`."""
    return SitniksSettings(**{"api_url": url, "api_key": KEY, "_env_file": None, **changes})


def service(
    url: str, folder: Path, clock: Shift | None = None, **changes: Any
) -> tuple[SitniksChatService, SqliteStore]:
    """A service on a fresh SQLite file in `folder`, and its store, which the caller closes."""
    number = sum(1 for _ in folder.glob("*.sqlite3"))
    store = SqliteStore(folder / f"bench-{number}.sqlite3", clock=clock or time.monotonic)
    return SitniksChatService(settings(url, **changes), store=store), store
