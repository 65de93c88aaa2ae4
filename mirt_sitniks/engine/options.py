"""What the settings mean for what runs: the store, what it is told, and what an answer of the CRM means by them."""

import hashlib
import itertools
import os
import socket

from mirt_sitniks.core.people import FoldContext
from mirt_sitniks.core.store import Store, StoreOptions
from mirt_sitniks.process.forks import held_off
from mirt_sitniks.process.off_loop import load_early, off_loop
from mirt_sitniks.settings import SitniksSettings

# Services of one process are told apart, as processes are.
_NUMBERS = itertools.count(1)


def options_of(settings: SitniksSettings, worker: bool) -> StoreOptions:
    """What the store is told with each verb; a lease lasts three call timeouts."""
    return StoreOptions(
        key=hashlib.sha256(settings.api_key.get_secret_value().encode()).hexdigest()[:16],
        limit=settings.rate_limit,
        lease=3 * max(settings.timeout, settings.rate_limit.grace),
        lookback=60.0 * settings.lookback_minutes,
        owner=settings.owner or None,
        account=settings.account,
        stages=settings.rules,
        ai_manager=settings.ai_manager_name,
        ai_id=settings.ai_manager_id,
        # Whoever has no worker makes no call that nobody waits for.
        watch=settings.watch if worker else 0.0,
        watch_share=settings.watch_share,
        hold=3600.0 * settings.hold_hours,
        live_managers=settings.human_manager_ids,
        answer_within=60.0 * (settings.answer_within or 0),
        hours=settings.hours,
        who=f"{socket.gethostname()}:{os.getpid()}/{next(_NUMBERS)}",
    )


def context_of(settings: SitniksSettings) -> FoldContext:
    """What answers are judged by; a write without one can land for two call timeouts."""
    return FoldContext(
        settings.rules,
        landing_time=2 * settings.timeout,
        look_again=settings.look_again,
        hold=3600.0 * settings.hold_hours,
        status_new=settings.status_new,
        ai_manager=settings.ai_manager_name,
        ai_id=settings.ai_manager_id,
    )


def begin_loading(settings: SitniksSettings) -> None:
    """Load early what a first sync needs: a tenth of a second and more of modules that are imported on use."""
    stores = {"sqlite": ("mirt_sitniks.stores.sqlite",), "supabase": ("mirt_sitniks.stores.supabase", "postgrest")}
    load_early("httpcore", "anyio._backends._asyncio", *stores[settings.store_kind])


def open_store(settings: SitniksSettings, *, readonly: bool = False) -> Store:
    """The store that the settings name; nothing is opened before its first use. `readonly`: a file is never written."""

    def make() -> Store:
        # A child that is forked while a module is loaded waits for that module for ever.
        with held_off():
            if settings.store_kind == "supabase":
                from mirt_sitniks.stores.supabase import SupabaseStore

                return SupabaseStore(settings.supabase_url, settings.supabase_key)
            from mirt_sitniks.stores.sqlite import SqliteStore

            return SqliteStore(settings.database, readonly=readonly)

    return off_loop(make)
