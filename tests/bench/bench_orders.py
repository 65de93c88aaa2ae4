"""Orders under all faults and with killed processes: made twice, lost, unknown, found by a look, and what they cost."""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from mirt_sitniks.core.orders import OrderRecord, OrdersAsked, OrderState
from mirt_sitniks.stores.sqlite import SqliteStore
from mirt_sitniks.stores.supabase import SupabaseStore
from tests.bench.crm import Crm
from tests.bench.report import Book
from tests.postgres.stack import Missing, Stack, chosen
from tests.stores.worlds import migrate

ORDERS, CUSTOMERS, KILLS, RATE = 1_000, 150, 10, "10/0.25"
PATIENCE = 900.0
# Kind, method, chance, options: each by itself, so that about every third creation meets one.
FAULTS: tuple[tuple[str, str, float, dict[str, Any]], ...] = (
    ("answer_lost", "POST", 0.05, {}),
    ("reset", "POST", 0.03, {}),
    ("reset_body", "POST", 0.02, {}),
    ("hang", "POST", 0.02, {}),
    ("applied_late", "POST", 0.04, {"seconds": 0.4}),
    ("status", "POST", 0.04, {"status": 500}),
    ("status", "POST", 0.04, {"status": 500, "applied": True}),
    ("status", "POST", 0.02, {"status": 502, "applied": True}),
    ("html", "POST", 0.02, {"applied": True}),
    ("empty", "POST", 0.02, {"applied": True}),
    ("rate_limited", "POST", 0.01, {"retry_after": "1"}),
    ("status", "GET", 0.05, {"status": 503}),
    ("reset", "GET", 0.02, {}),
)


def measure(book: Book, folder: Path) -> None:
    """SQLite, then Supabase where this machine has a Postgres, from one process and from four."""
    rows = []
    for processes in (1, 4):
        path = folder / f"orders-{processes}.sqlite3"
        store = {"store": "sqlite", "database": str(path)}
        rows.append(_day(book, "SQLite", processes, folder, store, partial(SqliteStore, path)))
    with contextlib.ExitStack() as closing:
        try:
            stack = closing.enter_context(contextlib.closing(Stack(chosen()[0])))
        except Missing as missing:
            book.say(f"(no Postgres: {missing})")
        else:
            for processes in (1, 4):
                migrate(stack)
                key = stack.keys.service_role
                store = {"store": "supabase", "supabase_url": stack.url, "supabase_key": key}
                rows.append(_day(book, "Supabase", processes, folder, store, partial(SupabaseStore, stack.url, key)))
    columns = (
        "store", "processes", "orders", "killed", "made twice", "lost", "in doubt", "found by a look", "unknown",
        "of them made", "calls an order", "lists", "seconds",
    )  # fmt: skip
    note = f"of {CUSTOMERS} customers who buy one of two things; the list shows no external ids; pauses a hundredth"
    book.table("Orders under faults and kills", columns, rows, note)


class Host:
    """One process that makes orders; killed, it is started again."""

    def __init__(self, task: dict[str, Any]) -> None:
        self.task, self.path = task, Path(task["out"])
        self.path.touch()
        self._start()

    def _start(self) -> None:
        command = [sys.executable, "-m", "tests.bench.order_host"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
        assert self._process.stdin
        self._process.stdin.write(json.dumps(self.task) + "\n")
        self._process.stdin.flush()

    @property
    def lines(self) -> list[list[str]]:
        """What it has written."""
        return [line.split() for line in self.path.read_text().splitlines()]

    @property
    def done(self) -> bool:
        """Whether it was told of all."""
        return ["done"] in self.lines

    def kill(self) -> None:
        """SIGKILL, and a new process."""
        self._process.kill()
        self._process.wait()
        self._start()

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(20)


def _day(
    book: Book, name: str, processes: int, folder: Path, store: dict[str, Any], open_store: Callable[[], Any]
) -> tuple[object, ...]:
    with Crm(limit=False, quiet=True) as crm:
        for sku in ("DRESS-S", "COAT-L"):
            crm.add_variation(sku)
        crm.set(order_shows="creation")
        for kind, method, chance, options in FAULTS:
            crm.fault(kind, method=method, path="/orders$", chance=chance, **options)
        began, luck = time.monotonic(), Random(processes)
        plan = {"url": crm.url, "rate": RATE, "store": store, "customers": CUSTOMERS}
        hosts = [
            Host({**plan, "numbers": list(range(n, ORDERS, processes)), "out": str(folder / f"{name}-{processes}-{n}")})
            for n in range(processes)
        ]
        killed = _kill(hosts, luck)
        rows = asyncio.run(_ended(open_store))
        for host in hosts:
            host.close()
        took = time.monotonic() - began
        return _count(book, name, processes, crm, hosts, rows, killed, took)


def _kill(hosts: list[Host], luck: Random) -> int:
    """Kill one now and then until all have been told of all their orders."""
    killed, end = 0, time.monotonic() + PATIENCE
    while not all(host.done for host in hosts):
        assert time.monotonic() < end, "the hosts were not told in time"
        time.sleep(luck.uniform(1.5, 3.5))
        left = [host for host in hosts if not host.done]
        if left and killed < KILLS:
            luck.choice(left).kill()
            killed += 1
    return killed


async def _ended(open_store: Callable[[], Any]) -> list[OrderRecord]:
    """All rows, when nothing is left to be done."""
    store, end = open_store(), time.monotonic() + PATIENCE
    names = tuple(f"order-{number}" for number in range(ORDERS))
    try:
        while True:
            rows = list((await store.orders(OrdersAsked(external_ids=names))).records)
            if all(row.due_at is None for row in rows):
                return rows
            assert time.monotonic() < end, f"not ended: {[row for row in rows if row.due_at is not None][:3]}"
            await asyncio.sleep(1.0)
    finally:
        await store.aclose()


def _count(
    book: Book,
    name: str,
    processes: int,
    crm: Crm,
    hosts: list[Host],
    rows: list[OrderRecord],
    killed: int,
    took: float,
) -> tuple[object, ...]:
    made, calls = crm.orders(), crm.calls()
    twice = sum(count - 1 for count in Counter(one["externalId"] for one in made).values())
    states = Counter(row.state for row in rows)
    found = sum(line[0] == "found" for host in hosts for line in host.lines)
    posts = [call for call in calls if call["method"] == "POST"]
    lists = [call for call in calls if call["method"] == "GET" and call["path"].endswith("/orders")]
    lost, found_none = _lost(made, rows)
    unknown, doubted = states[OrderState.UNKNOWN], states[OrderState.UNKNOWN] + found
    what = f"{name}, {processes}"
    book.keep(
        "orders", what, {"twice": twice, "lost": lost, "unknown": unknown, "found": found, "made_unknown": found_none}
    )
    book.goal(f"orders made twice: {what}", 0, twice)
    book.goal(f"orders lost: {what}", 0, lost)
    cost = f"{(len(posts) + sum('/variations' in call['path'] for call in calls)) / ORDERS:.2f}"
    return (
        name,
        processes,
        ORDERS,
        killed,
        twice,
        lost,
        doubted,
        found,
        unknown,
        found_none,
        cost,
        len(lists),
        f"{took:.0f}",
    )


def _lost(made: list[dict[str, Any]], rows: list[OrderRecord]) -> tuple[int, int]:
    """Orders that nobody knows of: not recorded, tied to another's content, or there, free, and no person's to settle;
    and how many are there and a person's."""
    by_id = {str(one["id"]): one for one in made}
    ties = [row for row in rows if row.order_id]
    wrong = sum(_content(by_id[row.order_id or ""]) != _said(row) for row in ties)
    tied = {row.order_id for row in ties}
    free = Counter(_content(one) for number, one in by_id.items() if number not in tied)
    unknown = Counter(_said(row) for row in rows if row.state is OrderState.UNKNOWN)
    return ORDERS - len(rows) + wrong + sum((free - unknown).values()), sum((free & unknown).values())


def _content(order: dict[str, Any]) -> tuple[str, Decimal]:
    return order["client"]["phone"], Decimal(str(order["totalPrice"]))


def _said(row: OrderRecord) -> tuple[str, Decimal]:
    return row.body["client"]["phone"], Decimal(str(row.body["offers"][0]["price"]))
