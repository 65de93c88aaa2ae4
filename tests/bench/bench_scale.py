"""Small tables beside large ones: what each verb costs, and what a worker's memory does."""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from mirt_sitniks.core.store import SyncStore
from mirt_sitniks.stores.migrations import migrations
from mirt_sitniks.stores.sqlite import SqliteStore
from mirt_sitniks.stores.supabase import SupabaseStore
from tests.bench.filled import POSTGRES, SQLITE, known_sessions, life
from tests.bench.ours import Shift
from tests.bench.report import Book, Spread
from tests.postgres.stack import Missing, Stack, chosen
from tests.stores.connections import opened

SIZES = (1_000, 1_000_000)
POSTGRES_SIZES = (1_000, 200_000)
LIVES, POSTGRES_LIVES = 150, 60
BACKLOG = 8_000
Skip = Callable[[], Awaitable[object]]
VERBS = ("record, new", "settle a page", "settle writes", "record, known", "claim")


def measure(book: Book, folder: Path) -> None:
    """SQLite, then Postgres where this machine has it."""
    began = time.perf_counter()
    stores = {size: _sqlite(folder, size) for size in SIZES}
    book.say(f"(filled SQLite with {SIZES[1]:,} sessions in {time.perf_counter() - began:.0f} s)")
    skips = {size: clock.wait for size, (_, clock) in stores.items()}
    _compare(book, "SQLite", {size: store for size, (store, _) in stores.items()}, skips)
    _backlog(book, *stores[SIZES[0]])
    for store, _ in stores.values():
        asyncio.run(store.aclose())
    _memory(book, folder)
    _postgres(book)


def _sqlite(folder: Path, size: int) -> tuple[SqliteStore, Shift]:
    clock = Shift()
    store = SqliteStore(folder / f"sessions-{size}.sqlite3", clock=clock)
    connection = opened(store)
    connection.executescript(
        "pragma synchronous = off;" + SQLITE.format(sessions=size) + "pragma synchronous = normal;"
    )
    # What was written just now must not be written back into the file while the verbs are measured.
    connection.execute("pragma wal_checkpoint(truncate)")
    return store, clock


def _compare(
    book: Book, name: str, stores: Mapping[int, SyncStore], skips: Mapping[int, Skip], count: int = LIVES
) -> None:
    async def lives() -> dict[int, list[dict[str, float]]]:
        known = {size: known_sessions(size) for size in stores}
        found: dict[int, list[dict[str, float]]] = {size: [] for size in stores}
        for number in range(count + 10):
            for size, store in stores.items():
                times = await life(store, number, next(known[size]), skips[size])
                if number >= 10:
                    found[size].append(times)
        return found

    found = asyncio.run(lives())
    small, large = sorted(stores)
    rows = []
    ratios = {}
    for verb in VERBS:
        spreads = {size: Spread.of(one[verb] for one in found[size]) for size in stores}
        ratios[verb] = spreads[large].median / spreads[small].median
        rows.append((verb, spreads[small].show(0, 1e6), spreads[large].show(0, 1e6), f"{ratios[verb]:.2f}"))
        book.keep("scale", f"{name}: {verb}", {str(size): spreads[size].plain() for size in stores})
    columns = ("verb", f"{small:,} sessions, us (min/med/max)", f"{large:,} sessions, us", "ratio of medians")
    book.table(f"{name}: small table beside large, in turns", columns, rows, f"{count} lives in each")
    book.goal(f"{name}, {large:,} sessions to {small:,}: worst verb", 1.5, max(ratios.values()))


RESTING = """
with recursive n(i) as (select 1 union all select i + 1 from n where i < {sessions})
insert into sitniks_chat_mappings (
    user_id, sitniks_chat_id, created_at, updated_at, generation, stage, intent_order, want_status, want_status_gen,
    due_at, urgent_at, pending)
select 'resting-' || i, 'resting-' || i, 1, 1, 1, 'first_touch', i, 'first_touch', 1, 1e12, 1e12 + i, 1 from n;
"""


def _backlog(book: Book, store: SqliteStore, clock: Shift) -> None:
    """What an outage leaves: thousands of records that rest; the verbs of everybody else beside them."""
    asyncio.run(store.aclose())
    connection = opened(store)
    calm = asyncio.run(_lives(store, clock, 10_000))
    connection.executescript(RESTING.format(sessions=BACKLOG))
    late = asyncio.run(_lives(store, clock, 20_000))
    rows = [(verb, calm[verb].show(0, 1e6), late[verb].show(0, 1e6)) for verb in VERBS]
    columns = ("verb", "nothing waits, us (min/med/max)", f"{BACKLOG:,} records rest, us")
    book.table("SQLite after an outage", columns, rows)


async def _lives(store: SyncStore, clock: Shift, first: int) -> dict[str, Spread]:
    known = known_sessions(SIZES[0])
    found = [await life(store, first + number, next(known), clock.wait) for number in range(60)]
    return {verb: Spread.of(one[verb] for one in found) for verb in VERBS}


MEMORY = """
import asyncio, gc, resource, sys
from mirt_sitniks.stores.sqlite import SqliteStore
from mirt_sitniks.stores.supabase import SupabaseStore
from mirt_sitniks.stores.protocol import Terms

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

async def main():
    store = SqliteStore(sys.argv[1])
    await store.claim(Terms("key"))
    before = resident()
    for _ in range(3000):
        await store.claim(Terms("key"))
    gc.collect()
    print(resident() - before, resident())
    await store.aclose()

asyncio.run(main())
"""


def _memory(book: Book, folder: Path) -> None:
    """A worker's process after 3,000 claims."""
    rows = []
    for size in SIZES:
        path = folder / f"sessions-{size}.sqlite3"
        command = [sys.executable, "-c", MEMORY, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        grown, resident = map(int, done.stdout.split())
        rows.append((f"{size:,}", f"{resident / 2**20:.1f}", f"{grown / 2**10:.0f}"))
        book.keep("scale", f"memory, {size} sessions", {"resident": resident, "grown": grown})
    book.table("A worker's memory", ("sessions", "resident MB", "grown by KB in 3,000 claims"), rows)


READ = """
select sum(seq_tup_read), sum(idx_tup_fetch) from pg_stat_user_tables where relname like 'sitniks%'
"""


def _postgres(book: Book) -> None:
    """Two projects side by side, behind PostgREST; left out where this machine has none."""
    with contextlib.ExitStack() as closing:
        try:
            stacks = {size: Stack(chosen()[0]) for size in POSTGRES_SIZES}
        except (Missing, IndexError) as missing:
            book.say(f"left out: Postgres ({missing})")
            return
        for size, stack in stacks.items():
            closing.callback(stack.close)
            stack.reset()
            stack.sql("\n".join(one.sql for one in migrations()))
            stack.sql(POSTGRES.format(sessions=size) + "analyze;")
            stack.reload()
        stores = {size: SupabaseStore(stack.url, stack.keys.service_role) for size, stack in stacks.items()}
        skips = {size: _emptied(stack) for size, stack in stacks.items()}
        before = {size: _rows_read(stack) for size, stack in stacks.items()}
        _compare(book, f"Postgres {chosen()[0]}", stores, skips, POSTGRES_LIVES)
        # A connection that rests tells its counts after ten seconds.
        time.sleep(11.0)
        rows = []
        for size, stack in stacks.items():
            scanned, fetched = (b - a for a, b in zip(before[size], _rows_read(stack), strict=True))
            rows.append((f"{size:,}", f"{scanned / POSTGRES_LIVES:.1f}", f"{fetched / POSTGRES_LIVES:.1f}"))
            book.keep("scale", f"Postgres rows read, {size} sessions", {"scanned": scanned, "by index": fetched})
        book.table("Postgres: rows read in a life", ("sessions", "by sequential scans", "by indexes"), rows)


def _emptied(stack: Stack) -> Skip:
    async def skip() -> None:
        stack.sql("update public.sitniks_keys set grants = '{}'")

    return skip


def _rows_read(stack: Stack) -> tuple[int, int]:
    scanned, fetched = stack.sql(READ)[0]
    return int(scanned or 0), int(fetched or 0)
