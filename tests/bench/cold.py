"""A host's first sync in a fresh process: prints when the CRM saw it, and how late the host's own loop was.

`python -m tests.bench.cold <started|cold> name=value ...`, settings behind the way.
"""

import asyncio
import json
import os
import socket
import sys
import threading
import time
from typing import Any, TypedDict

import httpx  # noqa: F401
import pydantic_settings  # noqa: F401
from langgraph.graph import END, START, StateGraph

from mirt_sitniks import SitniksChatService, SitniksSettings, add_subgraph


class State(TypedDict, total=False):
    """A host's state."""

    session_id: str
    instagram_username: str


class Crm:
    """Answers every request with an empty list, and notes when the first one came."""

    def __init__(self) -> None:
        self.server, self.first, self.seen = socket.create_server(("127.0.0.1", 0)), 0.0, threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        body = b'{"data":[],"count":0}'
        answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        while True:
            connection = self.server.accept()[0]
            if connection.recv(65_536):
                self.first = self.first or time.perf_counter()
                self.seen.set()
                connection.sendall(answer)


async def main(started: bool, **values: Any) -> None:
    """One turn of a graph."""
    crm, lag = Crm(), [0.0]

    async def tick() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            lag[0] = max(lag[0], time.perf_counter() - began - 0.001)

    address = f"http://127.0.0.1:{crm.server.getsockname()[1]}"
    service = await asyncio.get_running_loop().run_in_executor(
        None, lambda: SitniksChatService(SitniksSettings(api_url=address, api_key="key", _env_file=None, **values))
    )
    builder = StateGraph(State)
    builder.add_node("memory", lambda state: {"session_id": f"s{os.getpid()}-{time.time()}"})
    builder.add_node("agent", lambda state: {"session_id": state["session_id"]})
    builder.add_edge(START, "memory")
    add_subgraph(builder, service=service, after="memory", stage="first_touch", then="agent")
    builder.add_edge("agent", END)
    graph = builder.compile()
    warm = StateGraph(State)
    warm.add_node("memory", lambda state: {"session_id": "s"})
    warm.add_edge(START, "memory")
    await warm.compile().ainvoke({"instagram_username": "nobody"})
    asyncio.get_running_loop().create_task(tick())
    await asyncio.sleep(0.05)
    lag[0] = 0.0
    if started:
        await service.__aenter__()
    began = time.perf_counter()
    await graph.ainvoke({"instagram_username": "olena.example"})
    await asyncio.get_running_loop().run_in_executor(None, crm.seen.wait)
    print(json.dumps({"first": crm.first - began, "lag": lag[0]}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] == "started", **dict(one.split("=", 1) for one in sys.argv[2:])))
