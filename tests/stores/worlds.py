"""A store in a world of its own: a clock that stands until it is moved, and a loop to run its verbs on."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from mirt_sitniks.core.budget import Limit
from mirt_sitniks.core.store import Report, Settled, Store, StoreOptions
from mirt_sitniks.stores.memory import MemoryStore
from mirt_sitniks.stores.migrations import migrations
from mirt_sitniks.stores.sqlite import SqliteStore
from mirt_sitniks.stores.supabase import SupabaseStore
from mirt_sitniks.stores.supabase_project import opener
from tests.postgres.stack import Stack

T = TypeVar("T")

# A date, because stores keep dates; and one that a float holds exactly.
START = 1_800_000_000.0
OPTIONS = StoreOptions("key", limit=Limit(3, 10.5), lease=30.0, lookback=300.0, who="test")


@dataclass
class Clock:
    """The store's clock and the wall's in one, in seconds since 1970."""

    now: float = START

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """`run` runs a verb to its end; `clear` empties the store; `client` makes one more that has its clock."""

    store: Store
    run: Callable[[Coroutine[Any, Any, T]], T]
    clock: Clock = field(default_factory=Clock)
    clear: Callable[[], object] = lambda: None
    client: Callable[[], Awaitable[Any]] | None = None


@contextmanager
def memory_world() -> Iterator[World]:
    """The pure model."""
    clock = Clock()
    store = MemoryStore(clock, clock)

    def clear() -> None:
        store.rows = type(store.rows)()

    with asyncio.Runner() as runner:
        yield World(store, runner.run, clock, clear)


@contextmanager
def sqlite_world(folder: Path) -> Iterator[World]:
    """A file of its own."""
    clock = Clock()
    with asyncio.Runner() as runner:
        path = folder / "store.sqlite3"
        store = SqliteStore(path, clock=clock, wall=clock)

        def clear() -> None:
            runner.run(store.aclose())
            for file in folder.glob("store.sqlite3*"):
                file.unlink()

        try:
            yield World(store, runner.run, clock, clear)
        finally:
            runner.run(store.aclose())


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
