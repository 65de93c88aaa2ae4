"""What people and machines ask of a store that has seen 200,000 customers."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from mirt_sitniks.core.store import Store
from mirt_sitniks.core.survey import OverviewAsked, SessionsAsked
from mirt_sitniks.stores.migrations import migrations
from mirt_sitniks.stores.sqlite import SqliteStore
from mirt_sitniks.stores.supabase import SupabaseStore
from tests.bench.filled import POSTGRES, SQLITE
from tests.bench.report import Book, Spread
from tests.postgres.stack import Missing, Stack, chosen
from tests.stores.connections import opened

SESSIONS, ROUNDS, GOAL = 200_000, 7, 0.3
NAMED = {"first_touch": "Взято в роботу", "give_requisites": "Виставлено рахунок", "escalation": "AI Увага"}
DETAILS = """{"stages": ["first_touch"], "began_at": 1790000000.5, "status": [1, 0, 1790000000.5], "manager": [1, 0,
1790000000.5], "seen_at": 1790000001.25, "confirmed": ["first_touch"], "looked_gen": 1, "looked_at": 1790000001.25}"""
# Failed, held and waiting ones among them, and a line in the ledger for each of four calls.
LIVED = """
update sitniks_chat_mappings set details = '{details}', asked_at = {asked_at},
    error_code = case when parked = 1 then 'chat_not_found' when id {mod} 200 = 0 then 'timeout' end,
    current_status = case when id {mod} 7 = 0 then 'ОПЛАЧЕНО' else current_status end,
    pending = {pending}, status_gen = case when id {mod} 200 = 0 then 0 else status_gen end;
insert into sitniks_ledger (session, kind, key, stage, generation, who, at, before, after)
select user_id, 'try', 'status', 'first_touch', 1, 'bench', asked_at, '{{}}', '{{"seconds": 0.123}}'
from sitniks_chat_mappings, {four} as four;
"""
ASKED: dict[str, Callable[[Store], Awaitable[Any]]] = {
    "overview": lambda store: store.overview(OverviewAsked(statuses=NAMED)),
    "sessions, a session": lambda store: store.sessions(SessionsAsked(who="user-777")),
    "sessions, a user name": lambda store: store.sessions(SessionsAsked(who="@name.777")),
    "sessions, failed": lambda store: store.sessions(SessionsAsked(state="failed")),
    "sessions, held": lambda store: store.sessions(SessionsAsked(state="held", statuses=NAMED)),
    "sessions, waiting": lambda store: store.sessions(SessionsAsked(state="waiting")),
    "sessions, by code": lambda store: store.sessions(SessionsAsked(codes=("timeout",))),
    "sessions, a code nobody has": lambda store: store.sessions(SessionsAsked(codes=("unauthorized",))),
    "sessions, asked before": lambda store: store.sessions(SessionsAsked(asked_before=1.0)),
    "sessions, 1,000 with a chat": lambda store: store.sessions(SessionsAsked(charted=True, limit=1000)),
    "lines, the newest": lambda store: store.lines("main", after=-1, limit=100),
    "lines, all behind one": lambda store: store.lines("main", after=1_000),
    "counts": lambda store: store.counts(),
}


def measure(book: Book, folder: Path) -> None:
    """SQLite, then Postgres where this machine has it."""
    path = folder / "sessions.sqlite3"
    store = SqliteStore(path)
    connection = opened(store)
    connection.executescript("pragma synchronous = off;" + SQLITE.format(sessions=SESSIONS))
    four = "(select 1 union all select 2 union all select 3 union all select 4)"
    lived = {"details": DETAILS, "asked_at": "1.79e9 + id", "mod": "%", "pending": "id % 200 = 0", "four": four}
    connection.executescript(LIVED.format(**lived))
    connection.execute("pragma wal_checkpoint(truncate)")
    asyncio.run(store.aclose())
    _compare(book, "SQLite", SqliteStore(path, readonly=True))
    _postgres(book)


def _compare(book: Book, name: str, store: Store) -> None:
    async def ask() -> dict[str, Spread]:
        found = {}
        for what, verb in ASKED.items():
            times = []
            for _ in range(ROUNDS):
                began = time.perf_counter()
                await verb(store)
                times.append(time.perf_counter() - began)
            found[what] = Spread.of(times)
        await store.aclose()
        return found

    spreads = asyncio.run(ask())
    for what, spread in spreads.items():
        book.keep("reading", f"{name}: {what}", spread.plain())
    rows = [(what, spread.show(0, 1e3)) for what, spread in spreads.items()]
    book.table(f"{name}: reading beside {SESSIONS:,} sessions", ("asked", "ms (min/med/max)"), rows, f"{ROUNDS} times")
    worst = max(spread.median for spread in spreads.values())
    book.goal(f"{name}, {SESSIONS:,} sessions: the slowest thing to read, s", GOAL, worst)


def _postgres(book: Book) -> None:
    with contextlib.ExitStack() as closing:
        try:
            stack = Stack(chosen()[0])
        except (Missing, IndexError) as missing:
            book.say(f"left out: Postgres ({missing})")
            return
        closing.callback(stack.close)
        stack.reset()
        stack.sql("\n".join(one.sql for one in migrations()))
        at, four = "to_timestamp(1.79e9 + intent_order)", "generate_series(1, 4)"
        lived = {"details": DETAILS, "asked_at": at, "mod": "%", "pending": "intent_order % 200 = 0", "four": four}
        stack.sql(POSTGRES.format(sessions=SESSIONS) + LIVED.replace("id {mod}", "intent_order {mod}").format(**lived))
        # Of the last ten minutes as many as a busy key writes.
        stack.sql("update public.sitniks_ledger set at = at - interval '1 day' where id < 398000; vacuum analyze")
        stack.reload()
        _compare(book, f"Postgres {stack.major}", SupabaseStore(stack.url, stack.keys.service_role, timeout=60.0))
