"""Our stores, each in a world of its own."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mirt_sitniks.core.store import Report, Settled, StoreOptions
from mirt_sitniks.stores.memory import MemoryStore
from mirt_sitniks.stores.migrations import migrations
from mirt_sitniks.stores.sqlite import SqliteStore
from mirt_sitniks.stores.supabase import SupabaseStore
from mirt_sitniks.stores.supabase_project import opener
from mirt_sitniks.testing.store_world import OPTIONS, START, Clock, World, world_of
from tests.postgres.stack import Stack

__all__ = [
    "CLOCK",
    "EMPTY",
    "OPTIONS",
    "START",
    "Clock",
    "World",
    "memory_world",
    "migrate",
    "sqlite_world",
    "supabase_world",
]


@contextmanager
def memory_world() -> Iterator[World]:
    """The pure model."""
    with world_of(lambda clock: MemoryStore(clock, clock)) as world:
        store: Any = world.store

        def clear() -> None:
            store.rows = type(store.rows)()

        world.clear = clear
        yield world


@contextmanager
def sqlite_world(folder: Path) -> Iterator[World]:
    """A file of its own."""
    with world_of(lambda clock: SqliteStore(folder / "store.sqlite3", clock=clock, wall=clock)) as world:

        def clear() -> None:
            world.run(world.store.aclose())
            for file in folder.glob("store.sqlite3*"):
                file.unlink()

        world.clear = clear
        yield world


# The database's clock stands where the request says.
CLOCK = """
create or replace function public.sitniks_now() returns timestamptz
language sql volatile security invoker set search_path = '' as $$
    select to_timestamp((current_setting('request.headers')::json ->> 'x-test-now')::double precision);
$$;
"""
EMPTY = """
do $$ begin
    execute (
        select 'truncate ' || string_agg(format('public.%I', tablename), ', ') || ' restart identity'
        from pg_catalog.pg_tables where schemaname = 'public' and tablename like 'sitniks%'
    );
end $$;
"""


def migrate(stack: Stack, *, legacy_grants: bool = False) -> None:
    """Empties the project, runs all migrations, and waits until they are served."""
    stack.reset(legacy_grants=legacy_grants)
    stack.sql("\n".join(one.sql for one in migrations()))
    stack.reload()


class FreshStore(SupabaseStore):
    """Views anew for each settlement, so that its answers are the model's to the letter."""

    async def settle(self, options: StoreOptions, report: Report) -> Settled:
        return await super().settle(options, replace(report, basis=None))


@contextmanager
def supabase_world(stack: Stack, *, fresh: bool = False) -> Iterator[World]:
    """A project that was migrated, with a clock that is told; `fresh`: no settlement starts from an earlier view."""
    clock = Clock()
    stack.sql(CLOCK)
    stack.sql(EMPTY)

    async def factory() -> Any:
        client = await opener(stack.url, stack.keys.service_role, 30.0)()

        async def log(request: Any) -> None:
            request.headers["x-test-now"] = repr(clock.now)

        session = client.session
        session.event_hooks = {**session.event_hooks, "request": [log]}
        return client

    with asyncio.Runner() as runner:
        kind = FreshStore if fresh else SupabaseStore
        store = kind(stack.url, "unused", timeout=30.0, clock=clock, client_factory=factory)

        def clear() -> None:
            stack.sql(EMPTY)
            # What it has seen of the life before is gone, and the clock begins anew.
            store._last = None

        try:
            yield World(store, runner.run, clock, clear, factory)
        finally:
            runner.run(store.aclose())
