"""What the package costs a host when there is nothing to sync, and what it does to the host's event loop."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable
from itertools import count
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages

from mirt_sitniks import SitniksChatService, SitniksSettings, add_subgraph
from tests.bench.bench_side_by_side import LATENCY
from tests.bench.crm import KEY, Crm
from tests.bench.ours import service
from tests.bench.plain import PlainClient
from tests.bench.report import Book, Spread

TURNS = 400
IMPORTS = 7
CROWD = 100
EXTRAS = ("supabase", "starlette", "uvicorn")


class State(TypedDict, total=False):
    """A host's state."""

    messages: Annotated[list[AnyMessage], add_messages]
    session_id: str
    instagram_username: str


def measure(book: Book, folder: Path) -> None:
    """A turn, an import, the loop."""
    asyncio.run(_turns(book))
    _imports(book)
    _loop_lag(book, folder)


def _host(way: str, host: SitniksChatService) -> Any:
    builder = StateGraph(State)
    builder.add_node("memory", lambda state: {"session_id": "s"})
    builder.add_node("agent", lambda state: {"session_id": "s"})
    builder.add_edge(START, "memory")
    builder.add_edge("agent", END)
    if way == "plain edge":
        builder.add_edge("memory", "agent")
    elif way == "conditional edge":
        builder.add_conditional_edges("memory", lambda state: "agent", ["agent"])
    else:
        add_subgraph(builder, service=host, after="memory", stage="first_touch", then="agent")
    return builder.compile()


async def _turns(book: Book) -> None:
    """A later turn of a conversation: the assistant has spoken, so the first touch lies behind."""
    host = SitniksChatService(SitniksSettings(_env_file=None))
    ways = ("plain edge", "conditional edge", "ours, goes past")
    graphs = {way: _host(way, host) for way in ways}
    state = {"messages": [HumanMessage("Добрий день!"), AIMessage("Вітаю!"), HumanMessage("Ще є розмір 110?")]}
    times: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(TURNS + 20):
        for way in ways if number % 2 else reversed(ways):
            began = time.perf_counter()
            await graphs[way].ainvoke(state)
            if number >= 20:
                times[way].append(time.perf_counter() - began)
    spreads = {way: Spread.of(times[way]) for way in ways}
    base = spreads["conditional edge"].median
    rows = [(way, spreads[way].show(0, 1e6), f"{spreads[way].median / base:.2f}") for way in ways]
    book.table("A turn with nothing to sync", ("graph", "ainvoke, us (min/med/max)", "to a conditional edge"), rows)
    book.goal("turn with nothing to sync: ratio to a conditional edge", 1.5, spreads["ours, goes past"].median / base)
    for way in ways:
        book.keep("overhead", f"turn, {way}", spreads[way])
    await host.aclose()


PROBE = """
import json, resource, sys, time
began = time.process_time()
{imports}
seconds = time.process_time() - began
with open("/proc/self/statm") as file:
    resident = int(file.read().split()[1]) * resource.getpagesize()
print(json.dumps([seconds, resident, [name for name in {extras} if name in sys.modules]]))
"""


def _imports(book: Book) -> None:
    """Importing us beside importing what every host imports anyway, each in a fresh interpreter."""
    # The names are loaded when they are asked for: all of them are what a host needs.
    ways = ("import langgraph.graph, httpx, pydantic_settings", "from mirt_sitniks import *", "import mirt_sitniks")
    found: dict[str, list[tuple[float, int, list[str]]]] = {way: [] for way in ways}
    for _ in range(IMPORTS):
        for imports in found:
            script = PROBE.format(imports=imports, extras=EXTRAS)
            done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
            found[imports].append(json.loads(done.stdout))
    rows = []
    for imports, several in found.items():
        seconds, memory = Spread.of(one[0] for one in several), Spread.of(one[1] / 2**20 for one in several)
        loaded = sorted({name for one in several for name in one[2]})
        rows.append((imports, seconds.show(0, 1e3), memory.show(1), ", ".join(loaded) or "none of them"))
        book.keep("overhead", imports, {"seconds": seconds.plain(), "MB": memory.plain(), "extras": loaded})
    columns = ("in a fresh interpreter", "ms of CPU (min/med/max)", "resident MB", f"loads {', '.join(EXTRAS)}")
    book.table("Import", columns, rows)
    medians = [Spread.of(one[0] for one in several).median for several in found.values()]
    book.goal("import: ratio to langgraph.graph, httpx and pydantic_settings", 1.08, medians[1] / medians[0])


def _loop_lag(book: Book, folder: Path) -> None:
    """How late the host's own loop is while 100 syncs run at once."""
    lags: dict[str, list[float]] = {"ours": [], "plain": []}
    number = count()
    with Crm(latency=LATENCY, limit=False) as crm:
        for turn in range(5):
            crm.reset()
            names = [f"lag.{next(number)}" for _ in range(CROWD)]
            for name in names:
                crm.add(name)
            lags["ours"].append(asyncio.run(_ours(crm, folder, names)))
            if turn % 2:
                continue
            plain = PlainClient(crm.url, KEY)
            lags["plain"].append(asyncio.run(_lag(*(plain.first_touch(name, name) for name in names))))
    rows = [(who, Spread.of(several).show(1, 1e3)) for who, several in lags.items()]
    book.table(f"The loop's greatest lag with {CROWD} first touches at once", ("client", "ms (min/med/max)"), rows)
    book.goal(f"host's loop lag with {CROWD} syncs at once, ms", 20.0, Spread.of(lags["ours"]).median * 1e3)
    for who, several in lags.items():
        book.keep("overhead", f"loop lag, {who}", Spread.of(several))


async def _ours(crm: Crm, folder: Path, names: list[str]) -> float:
    host, store = service(crm.url, folder)
    # The thread and its client are made by the first sync of a process.
    await host.handle_invoice_sent("warm")
    lag = await _lag(*(host.handle_first_touch(name, instagram_username=name) for name in names))
    await host.aclose()
    await store.aclose()
    return lag


async def _lag(*works: Awaitable[object]) -> float:
    """The longest that a timer of a millisecond was late while all this ran."""
    worst = 0.0

    async def tick() -> None:
        nonlocal worst
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            worst = max(worst, time.perf_counter() - began - 0.001)

    ticking = asyncio.ensure_future(tick())
    await asyncio.sleep(0.05)
    worst = 0.0
    await asyncio.gather(*works)
    ticking.cancel()
    return worst
