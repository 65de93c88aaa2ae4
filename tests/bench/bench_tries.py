"""What the lines of calls in the ledger cost: bytes of the store, and time of the reply; with and without, in turns."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import TypeAlias

from mirt_sitniks import SitniksChatService
from mirt_sitniks.core.store import Report, Settled, StoreOptions
from mirt_sitniks.stores.sqlite import SqliteStore
from tests.bench.bench_side_by_side import LATENCY
from tests.bench.crm import Crm
from tests.bench.ours import Shift, settings
from tests.bench.report import Book, Spread

TALKS, AT_ONCE_TALKS, WARM = 40, 200, 4
STAGES = ("first touch", "invoice", "escalation")
WAYS = ("without", "with")
# Seconds by way and stage.
Times: TypeAlias = dict[str, dict[str, list[float]]]


class Silent(SqliteStore):
    """A store that is told of no calls."""

    async def settle(self, options: StoreOptions, report: Report) -> Settled:
        """All but those."""
        return await super().settle(options, replace(report, tries=()))


def measure(book: Book, folder: Path) -> None:
    """Conversations of three stages: at a CRM like the real one, and at one that answers at once."""
    for name, latency, talks in (("50 ms", LATENCY, TALKS), ("at once", 0.0, AT_ONCE_TALKS)):
        files = {way: folder / f"{name} {way}.sqlite3" for way in WAYS}
        with Crm(latency=latency, limit=False) as crm:
            times = asyncio.run(_talks(crm, files, talks))
        _replies(book, name, times)
        if latency == 0.0:
            _bytes(book, files, talks + WARM)


async def _talks(crm: Crm, files: dict[str, Path], talks: int) -> Times:
    clock, numbers = Shift(), count()
    stores = {way: (Silent if way == "without" else SqliteStore)(files[way], clock=clock) for way in WAYS}
    hosts = {way: SitniksChatService(settings(crm.url), store=stores[way]) for way in WAYS}
    times: Times = {way: {stage: [] for stage in STAGES} for way in WAYS}
    for number in range(talks + WARM):
        if number % 8 == 0:
            # The sandbox lists what is newest first; a long list would slow both down.
            crm.reset()
        for way in WAYS if number % 2 else reversed(WAYS):
            name = f"customer.{next(numbers)}"
            crm.add(name)
            clock.skip()
            for stage, seconds in zip(STAGES, [one async for one in _stages(hosts[way], name)], strict=True):
                if number >= WARM:
                    times[way][stage].append(seconds)
    for way in WAYS:
        await hosts[way].aclose()
        await stores[way].aclose()
    return times


async def _stages(host: SitniksChatService, name: str) -> AsyncIterator[float]:
    works = (
        partial(host.handle_first_touch, name, instagram_username=name),
        partial(host.handle_invoice_sent, name),
        partial(host.handle_escalation, name, "скарга"),
    )
    for work in works:
        began = time.perf_counter()
        assert await work()
        yield time.perf_counter() - began


def _replies(book: Book, name: str, times: Times) -> None:
    for stages in times.values():
        stages["all three"] = [sum(talk) for talk in zip(*stages.values(), strict=True)]
    rows, ratio = [], 0.0
    for stage, without in times["without"].items():
        told = times["with"][stage]
        ratio = Spread.of(told).median / Spread.of(without).median
        pairs = Spread.of(a / b for a, b in zip(told, without, strict=True))
        rows.append(
            (stage, Spread.of(without).show(1, 1e3), Spread.of(told).show(1, 1e3), f"{ratio:.3f}", pairs.show(3))
        )
        book.keep("tries", f"{stage}, CRM {name}", {"ratio": ratio, "pairs": pairs.plain()})
    book.table(
        f"The reply with a line for each call, and without it: a CRM that answers in {name}".replace("in at", "at"),
        ("stage", "without, ms (min/med/max)", "with, ms", "ratio of medians", "ratios of pairs"),
        rows,
    )
    if name != "at once":
        book.goal("a line for each call: reply of a conversation, ratio to none", 1.05, ratio)


def _bytes(book: Book, files: dict[str, Path], talks: int) -> None:
    sizes, rows = dict(zip(WAYS, _sizes(files), strict=True)), []
    for way, (size, lines, tries) in sizes.items():
        rows.append((way, f"{size / talks:.0f}", f"{lines / talks:.2f}", f"{tries / talks:.2f}"))
        book.keep("tries", f"bytes a conversation, {way}", size / talks)
    added, tries = sizes["with"][0] - sizes["without"][0], sizes["with"][2]
    note = f"{added / talks:.0f} bytes more, {added / tries:.0f} a call"
    book.table("A conversation of three stages in SQLite", ("ledger", "bytes", "lines", "of calls"), rows, note)


def _sizes(files: dict[str, Path]) -> Iterator[tuple[int, int, int]]:
    """Bytes in use, lines, and lines of calls."""
    for way in WAYS:
        with closing(sqlite3.connect(files[way])) as file:
            file.execute("vacuum")
            (size,) = file.execute("select page_count * page_size from pragma_page_count, pragma_page_size").fetchone()
            lines, tries = file.execute("select count(*), sum(kind = 'try') from sitniks_ledger").fetchone()
            yield size, lines, tries
