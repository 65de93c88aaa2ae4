"""Where a sync's time goes once the network is left out: the I/O thread's own work and the store's, by part."""

import asyncio
import cProfile
import pstats
import sqlite3
import time
from collections import Counter, defaultdict
from pathlib import Path

from tests.bench.crm import Crm
from tests.bench.ours import Shift, service
from tests.bench.report import Book, Spread

CONVERSATIONS = 60
PARTS = (
    ("httpx, httpcore, h11, anyio", ("/httpx/", "/httpcore/", "/h11/", "/anyio/", "/sniffio/")),
    ("asyncio and threads", ("/asyncio/", "/concurrent/", "threading.py", "selectors.py")),
    ("our client", ("mirt_sitniks/crm/",)),
    ("our store", ("mirt_sitniks/stores/",)),
    ("our core", ("mirt_sitniks/",)),
    ("json, dataclasses, copy", ("/json/", "dataclasses.py", "copy.py")),
)
WAITING = ("poll", "acquire", "select")


def measure(book: Book, folder: Path) -> None:
    """Whole conversations against a sandbox without latency, the two threads profiled one after the other."""
    with Crm(limit=False) as crm:
        asyncio.run(_measured(book, crm, folder))


async def _measured(book: Book, crm: Crm, folder: Path) -> None:
    clock = Shift()
    host, store = service(crm.url, folder, clock)
    times: list[float] = []

    async def conversations(first: int) -> None:
        crm.reset()
        for number in range(first, first + CONVERSATIONS):
            name = f"profile.{number}"
            crm.add(name)
            clock.skip()
            began = time.perf_counter()
            await host.handle_first_touch(name, instagram_username=name)
            await host.handle_invoice_sent(name)
            await host.handle_escalation(name)
            times.append(time.perf_counter() - began)

    await conversations(0)
    plain = Spread.of(times[5:])
    thread = cProfile.Profile()

    async def begin() -> None:
        thread.enable()

    async def end() -> None:
        thread.disable()

    await asyncio.wrap_future(host._thread.submit(begin))
    await conversations(1000)
    await asyncio.wrap_future(host._thread.submit(end))

    assert store._owner is not None
    connection = store._owner.connection
    assert connection is not None
    kinds = await _statements(connection, lambda: conversations(2000))
    await host.aclose()
    await store.aclose()

    shares = _shares(pstats.Stats(thread))
    whole = sum(shares.values())
    rows = [
        (part, f"{seconds / CONVERSATIONS * 1e3:.2f}", f"{seconds / whole:.0%}") for part, seconds in shares.items()
    ]
    columns = ("part of the I/O thread's work (under the profiler)", "ms a conversation", "share")
    book.table(
        "Where the time goes after the network", columns, rows, f"a conversation of six calls: {plain.show(1, 1e3)} ms"
    )
    made = [(kind, f"{many / CONVERSATIONS:.1f}") for kind, many in kinds.most_common(8)]
    book.table("SQLite", ("statements", "a conversation"), made)
    book.keep("profile", "conversation", plain)
    book.keep("profile", "shares", {part: seconds / whole for part, seconds in shares.items()})


async def _statements(connection: sqlite3.Connection, work: object) -> Counter[str]:
    kinds: Counter[str] = Counter()

    def note(text: str) -> None:
        words = text.split()
        table = next((word for word in words if word.startswith("sitniks_")), "")
        kinds[f"{words[0]} {table}".strip()] += 1

    connection.set_trace_callback(note)
    await work()  # type: ignore[operator]
    connection.set_trace_callback(None)
    return kinds


def _shares(stats: pstats.Stats) -> dict[str, float]:
    """Own time by part; built-in functions go to whoever calls them, waiting is left out."""
    found: defaultdict[str, float] = defaultdict(float)
    entries: dict[tuple[str, int, str], tuple[int, int, float, float, dict[tuple[str, int, str], tuple[float, ...]]]]
    entries = stats.stats  # type: ignore[attr-defined]
    for (path, _, name), (_, _, own, _, callers) in entries.items():
        if any(word in name for word in WAITING):
            continue
        if path == "~" and callers:
            for (caller, _, _), numbers in callers.items():
                found[_part(caller)] += numbers[2]
        else:
            found[_part(path)] += own
    return dict(sorted(found.items(), key=lambda one: -one[1]))


def _part(path: str) -> str:
    return next((part for part, marks in PARTS if any(mark in path for mark in marks)), "other")
