"""Stages that the store hears of in another order than they were asked for: which one stands in the end."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from mirt_sitniks.core.record import Intent
from mirt_sitniks.core.store import Claimed, Recorded, Store, StoreOptions
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.stores.sqlite import SqliteStore
from mirt_sitniks.stores.supabase import SupabaseStore
from tests.bench.ours import settings
from tests.bench.report import Book
from tests.postgres.stack import Missing, Stack, chosen
from tests.stores.worlds import migrate

SESSIONS, STAGES = 1_000, ("first_touch", "give_requisites", "escalation")
DELAY = (0.02, 0.6)
# Seconds: how long the stages of all sessions are asked for, and how close two of them may be and tell no order.
SPAN, AT_ONCE = 30.0, 0.01
# What a process has heard of the store's clock before: its worker's claims of some minutes.
HEARD = 40


class Far:
    """A store that is long away, at random: of its verbs those whose answer tells the time."""

    def __init__(self, store: Store, random: Random) -> None:
        self._store, self._random = store, random

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def record(self, options: StoreOptions, intent: Intent, *, calls: int = 2) -> Recorded:
        """The store's verb."""
        there, back = self._way()
        await asyncio.sleep(there)
        answer = await self._store.record(options, intent, calls=calls)
        await asyncio.sleep(back)
        return answer

    async def claim(self, options: StoreOptions, *, limit: int = 9) -> Claimed:
        """The store's verb."""
        there, back = self._way()
        await asyncio.sleep(there)
        answer = await self._store.claim(options, limit=limit)
        await asyncio.sleep(back)
        return answer

    def _way(self) -> tuple[float, float]:
        delay = self._random.uniform(*DELAY)
        there = delay * self._random.random()
        return there, delay - there


def measure(book: Book, folder: Path) -> None:
    """SQLite, then Supabase where this machine has a Postgres; then more in a minute than a day brings."""
    rows = []
    for processes in (1, 3):
        rows.append(_delayed(book, "SQLite", processes, partial(SqliteStore, folder / f"order-{processes}.sqlite3")))
    with contextlib.ExitStack() as closing:
        try:
            stack = closing.enter_context(contextlib.closing(Stack(chosen()[0])))
        except Missing as missing:
            book.say(f"(no Postgres: {missing})")
        else:
            for processes in (1, 3):
                migrate(stack)
                make = partial(SupabaseStore, stack.url, stack.keys.service_role)
                rows.append(_delayed(book, "Supabase", processes, make))
    rows.append(_many(book, folder))
    columns = ("store", "processes", "syncs", "asked in, s", "recorded in, s", "an older stage stands")
    book.table("What stands in the end", columns, rows, f"each record takes {DELAY[0]:g} to {DELAY[1]:g} s more")


def _delayed(book: Book, name: str, processes: int, make: Callable[[], Any]) -> tuple[object, ...]:
    random = Random(processes)
    stores = [make() for _ in range(processes)]
    services = [
        SitniksChatService(settings("http://127.0.0.1:9", reply_budget=0), store=Far(one, Random(n)), worker=False)
        for n, one in enumerate(stores)
    ]
    asked: dict[str, list[tuple[float, str]]] = {}

    async def talk(session: str) -> None:
        await asyncio.sleep(random.uniform(0.0, SPAN))
        for stage in STAGES:
            service = random.choice(services)
            asked.setdefault(session, []).append((time.monotonic(), stage))
            await service.sync(stage, session=session, instagram_username=session, intent=stage)
            await asyncio.sleep(random.uniform(0.0, 1.0))

    async def everything() -> float:
        for service in services:
            await asyncio.gather(*(service.reconcile(1) for _ in range(HEARD)))
        began = time.monotonic()
        await asyncio.gather(*(talk(f"s{number}") for number in range(SESSIONS)))
        return time.monotonic() - began

    took = asyncio.run(everything())
    return _outcome(book, f"{name}, {processes}", (name, processes), stores, services, asked, took)


def _many(book: Book, folder: Path) -> tuple[object, ...]:
    """20,000 syncs in a minute: a store that cannot keep up would record what it has when it has time for it."""
    store = SqliteStore(folder / "order-many.sqlite3")
    service = SitniksChatService(settings("http://127.0.0.1:9", reply_budget=0), store=store, worker=False)
    asked: dict[str, list[tuple[float, str]]] = {}
    count, sessions = 20_000, 500

    async def everything() -> float:
        began, syncs = time.monotonic(), []
        for number in range(count):
            session, stage = f"s{number % sessions}", STAGES[1 + number % 7 % 2]
            asked.setdefault(session, []).append((time.monotonic(), stage))
            sync = service.sync(stage, session=session, instagram_username=session, intent=f"{number}")
            syncs.append(asyncio.create_task(sync))
            await asyncio.sleep(max(0.0, began + 60.0 * number / count - time.monotonic()))
        took = time.monotonic() - began
        await asyncio.gather(*syncs)
        return took

    took = asyncio.run(everything())
    return _outcome(book, "20,000 in a minute", ("SQLite", 1), [store], [service], asked, took)


def _outcome(
    book: Book, name: str, head: tuple[object, ...], stores: list[Any], services: list[SitniksChatService],
    asked: dict[str, list[tuple[float, str]]], took: float,
) -> tuple[object, ...]:  # fmt: skip
    syncs, began = sum(map(len, asked.values())), min(moments[0][0] for moments in asked.values())

    async def older() -> int:
        found = 0
        for session, moments in asked.items():
            newest = max(at for at, _ in moments)
            may = {stage for at, stage in moments if at > newest - AT_ONCE}
            record = await stores[0].get(session)
            found += record.desired.status.value not in may
        return found

    while asyncio.run(stores[0].counts())["ledger"] < syncs:
        time.sleep(0.2)
    done, wrong = time.monotonic() - began, asyncio.run(older())
    for service in services:
        service.close()
    for store in stores:
        asyncio.run(store.aclose())
    book.keep("order", name, {"syncs": syncs, "wrong": wrong, "seconds": done})
    book.goal(f"an older stage stands: {name}", 0, wrong)
    return (*head, syncs, f"{took:.0f}", f"{done:.0f}", wrong)
