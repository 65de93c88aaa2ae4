"""How much longer a turn is for a first touch, beside a node that is a little slower than it, and in line with it."""

import asyncio
import time
from itertools import count
from pathlib import Path
from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph

from mirt_sitniks import SitniksChatService, add_subgraph
from tests.bench.bench_side_by_side import LATENCY
from tests.bench.crm import Crm
from tests.bench.ours import Shift, service
from tests.bench.report import Book, Spread

TURNS = 40
# A first touch is two round trips (the chats; the status and the manager) and what it takes itself: a model is slower.
MODEL = 3 * LATENCY
WAYS = ("the node alone", "overlap", "in line")


class State(TypedDict, total=False):
    """A host's state."""

    session_id: str
    instagram_username: str
    answer: str


def measure(book: Book, folder: Path) -> None:
    """Turns of fresh customers, one at a time, the ways in turns."""
    asyncio.run(_turns(book, folder))


async def _model(state: State) -> State:
    await asyncio.sleep(MODEL)
    return {"answer": "Вітаю!"}


def _host(way: str, host: SitniksChatService) -> Any:
    builder = StateGraph(State)
    builder.add_node("memory", lambda state: {})
    builder.add_node("model", _model)
    builder.add_edge(START, "memory")
    builder.add_edge("model", END)
    if way == WAYS[0]:
        builder.add_edge("memory", "model")
    else:
        overlap = way == WAYS[1]
        add_subgraph(builder, service=host, after="memory", stage="first_touch", then="model", overlap=overlap)
    return builder.compile()


async def _turns(book: Book, folder: Path) -> None:
    clock, number = Shift(), count()
    with Crm(latency=LATENCY, limit=False) as crm:
        host, store = service(crm.url, folder, clock)
        await asyncio.to_thread(host.start)
        graphs = {way: _host(way, host) for way in WAYS}
        times: dict[str, list[float]] = {way: [] for way in WAYS}
        for turn in range(TURNS + 3):
            for way in WAYS if turn % 2 else reversed(WAYS):
                name = f"overlap.{next(number)}"
                crm.reset()
                crm.add(name)
                clock.skip()
                began = time.perf_counter()
                await graphs[way].ainvoke({"session_id": name, "instagram_username": name})
                if turn >= 3:
                    times[way].append(time.perf_counter() - began)
        await host.aclose()
        await store.aclose()
    spreads = {way: Spread.of(several) for way, several in times.items()}
    alone = spreads[WAYS[0]].median
    rows = [(way, one.show(1, 1e3), f"{(one.median - alone) * 1e3:+.1f}") for way, one in spreads.items()]
    title = f"A first touch beside a node that takes {MODEL * 1e3:.0f} ms, the CRM {LATENCY * 1e3:.0f} ms a call"
    book.table(title, ("graph", "turn, ms (min/med/max)", "to the node alone"), rows)
    book.goal("overlap: ms longer than the node alone", 5.0, (spreads["overlap"].median - alone) * 1e3)
    for way, one in spreads.items():
        book.keep("overlap", way, one)
