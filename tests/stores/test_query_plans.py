"""What a verb of the embedded store costs does not depend on how many customers the store has seen."""

import asyncio
import re
import sqlite3
from collections import Counter
from dataclasses import replace
from pathlib import Path

from mirt_sitniks.core.orders import OrderRecord, OrdersAsked
from mirt_sitniks.core.store import Report, StoreOptions
from mirt_sitniks.core.survey import SessionsAsked
from mirt_sitniks.stores.sqlite import SqliteStore
from tests.bench.filled import OPTIONS, SQLITE, known_sessions, life
from tests.stores.connections import opened

TABLES = (
    "sitniks_chat_mappings",
    "sitniks_ledger",
    "sitniks_directory",
    "sitniks_keys",
    "sitniks_clock",
    "sitniks_orders",
)


# Made, each of a session of its own, but for the few that are sent and not due yet.
ORDERS = """
with recursive n(i) as (select 1 union all select i + 1 from n where i < {orders})
insert into sitniks_orders (account, external_id, digest, body, session, chat_id, state, order_id, asked_at, due_at,
    attempt, candidates, lease_by, lease_until, version, updated_at)
select 'main', 'o' || i, 'd' || i, '{{}}', 's' || i, 'c' || i, case when i < 9 then 'sent' else 'created' end, i, i,
    case when i < 9 then 9e9 end, 0, '[]', '', 0, 1, i from n;
"""


class Clock:
    """A clock that is set on by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def skip(self) -> None:
        """The budget's window passes."""
        self.now += 11.0


def filled(folder: Path, sessions: int) -> tuple[SqliteStore, sqlite3.Connection, Clock]:
    """A store that has seen so many sessions, and its own connection."""
    clock = Clock()
    store = SqliteStore(folder / f"{sessions}.sqlite3", clock=clock, wall=lambda: 1_790_000_000.0 + clock.now)
    connection = opened(store)
    connection.executescript(SQLITE.format(sessions=sessions) + ORDERS.format(orders=sessions))
    return store, connection, clock


async def verbs(store: SqliteStore, clock: Clock, sessions: int) -> None:
    """Every verb of syncing, with another key's claim and a call outside any record; and those of orders."""
    known = next(known_sessions(sessions))
    await life(store, 1, known, clock.skip)
    await store.observe("c1", status="ОПЛАЧЕНО")
    await store.get(known)
    claimed = await store.claim(StoreOptions("other"))
    assert not claimed.claims
    await store.settle(OPTIONS, Report(calls=1))
    made = OrderRecord("o", "d", {}, session=known, chat_id="c1")
    for version in range(2):
        await store.commit_order(replace(made, version=version))
    await store.orders(OrdersAsked("main", ("o", "o5"), ("5",), "d", due=9))
    for who in (known, "name.5", "@Name.5", "000000000000000000000001"):
        await store.sessions(SessionsAsked(who=who, statuses={"first_touch": "x"}, state="held"))
    await store.sessions(SessionsAsked(charted=True, limit=10))
    for after in (-1, 5):
        await store.lines("main", after=after, limit=10)


def test_every_statement_uses_an_index(tmp_path: Path) -> None:
    """No statement of record, claim, settle, observe and get reads a table from end to end, or a foreign index; nor
    does one of those who look for a session, or at the ledger."""
    store, connection, clock = filled(tmp_path, 100)
    seen: list[str] = []
    connection.set_trace_callback(seen.append)
    asyncio.run(verbs(store, clock, 100))
    connection.set_trace_callback(None)
    statements = [text.replace("-Inf", "-9e999") for text in seen if re.match("(select|insert|update|delete)", text)]
    assert len(statements) > 40
    for statement in statements:
        for _, _, _, plan in connection.execute(f"explain query plan {statement}"):
            if any(table in plan for table in TABLES):
                assert re.search("USING (COVERING )?INDEX|USING (INTEGER )?PRIMARY KEY", plan), f"{plan}: {statement}"
            # The chats' unique index holds a null for every session that never had one.
            assert "sitniks_chat_id=?" not in plan or "sitniks_chat_id = '" in statement, f"{plan}: {statement}"
    asyncio.run(store.aclose())


def test_the_work_does_not_grow(tmp_path: Path) -> None:
    """The same verbs take SQLite as many steps in a store of 5,000 sessions as in one of 100."""
    steps: Counter[int] = Counter()
    for sessions in (100, 5000):
        store, connection, clock = filled(tmp_path, sessions)

        def count(size: int = sessions) -> None:
            steps[size] += 1

        connection.set_progress_handler(count, 1)
        asyncio.run(verbs(store, clock, sessions))
        connection.set_progress_handler(None, 1)
        asyncio.run(store.aclose())
    assert steps[100] > 1000
    assert steps[5000] <= 1.05 * steps[100]
