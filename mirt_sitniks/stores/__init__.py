"""Stores: where what is desired and what was confirmed is kept."""

from mirt_sitniks.settings import SitniksSettings
from mirt_sitniks.stores.protocol import Store


def open_store(settings: SitniksSettings) -> Store:
    """The store that the settings name; nothing is opened before its first use."""
    if settings.store_kind == "supabase":
        from mirt_sitniks.stores.supabase import SupabaseStore

        return SupabaseStore(settings.supabase_url, settings.supabase_key)
    from mirt_sitniks.stores.sqlite import SqliteStore

    return SqliteStore(settings.database)
