"""The file of the embedded store, which no command makes: in a wrong folder it would be an empty one."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from mirt_sitniks.core.store import Store
from mirt_sitniks.engine.options import open_store
from mirt_sitniks.errors import ConfigError
from mirt_sitniks.settings import SitniksSettings

T = TypeVar("T")


def is_missing(settings: SitniksSettings) -> bool:
    """Whether the store is a file that is not there."""
    path = settings.database
    return settings.store_kind == "sqlite" and path != ":memory:" and not Path(path).exists()


def is_file(settings: SitniksSettings) -> bool:
    """Whether the store is a file that is there."""
    return settings.store_kind == "sqlite" and Path(settings.database).is_file()


def place(settings: SitniksSettings) -> str:
    """Where the store is."""
    return settings.supabase_url if settings.store_kind == "supabase" else settings.database


def require_file(settings: SitniksSettings) -> None:
    """Raise `ConfigError` unless the host's store can be seen from here: a file that is there, or Supabase."""
    if settings.store_kind == "sqlite" and settings.database == ":memory:":
        raise ConfigError("SITNIKS_DATABASE is :memory:, which no other process sees: set it to the file of the host")
    if is_missing(settings):
        raise ConfigError(f"there is no database {settings.database}: set SITNIKS_DATABASE to the file of the host")


def require_key(settings: SitniksSettings) -> None:
    """Raise `ConfigError` unless the CRM can be called, from a process that shares the host's store."""
    if not settings.enabled:
        missing = "SNITKIX_API_KEY" if settings.api_url else "SNITKIX_API_URL"
        raise ConfigError(f"{missing} is not set, so there is nothing to do: set SNITKIX_API_URL and SNITKIX_API_KEY")
    require_file(settings)


def where(settings: SitniksSettings) -> dict[str, str]:
    """Which store is looked at, and whose records in it."""
    return {"kind": settings.store_kind, "place": place(settings), "account": settings.account}


def with_store(settings: SitniksSettings, work: Callable[[Store], Awaitable[T]], *, readonly: bool = False) -> T:
    """What `work` brings of the store that the settings name; one that does not exist is not made."""
    require_file(settings)

    async def go() -> T:
        store = open_store(settings, readonly=readonly)
        try:
            return await work(store)
        finally:
            await store.aclose()

    return asyncio.run(go())
