"""A host's first sync in a process of its own, guarded as under LangGraph's dev server: prints what held up a loop.

Run as `python cold.py <folder of the tested package>` in a folder with `shop.py` and `.env`. Imports and certificates,
which blockbuster does not see, are noted here, and how long each loop's thread computed without letting others run.
"""

import asyncio
import json
import ssl
import sys
import threading
import time
from typing import Any

# What a host has loaded before its graph runs, and blocks while it loads.
import httpx  # noqa: F401
import langgraph.graph  # noqa: F401
import pydantic_settings  # noqa: F401
from blockbuster import BlockBuster, BlockingError

PACKAGE = sys.argv[1]
EVENTS = ("import", "open", "os.listdir", "os.scandir", "socket.getaddrinfo", "sqlite3.connect")

held_up: list[str] = []
noting = over = False


def note(event: str, args: tuple[Any, ...]) -> None:
    """Audit hook: what waits for a disk or a network on an event loop, if it is ours and not LangGraph's."""
    if noting and event in EVENTS and on_a_loop() and is_ours():
        held_up.append(f"{event} {args[0]} in {threading.current_thread().name}")


def on_a_loop() -> bool:
    try:
        return bool(asyncio.get_running_loop())
    except RuntimeError:
        return False


def is_ours() -> bool:
    frame = sys._getframe(1)
    while frame.f_back and not frame.f_code.co_filename.startswith(PACKAGE):
        if "langgraph" in frame.f_code.co_filename or "langchain_core" in frame.f_code.co_filename:
            return False
        frame = frame.f_back
    return frame.f_back is not None


def refuse(self: BlockingError, function: str) -> None:
    """Noted, because code may swallow the refusal."""
    Exception.__init__(self, function)
    held_up.append(f"{function} in {threading.current_thread().name}")


def trust(self: ssl.SSLContext, *args: Any, **kwargs: Any) -> None:
    note("open", ("certificates",))
    load_certificates(self, *args, **kwargs)


async def longest_step() -> float:
    """How long this thread computed at most between two turns of its loop; the machine's other work does not count."""
    longest, before = 0.0, time.thread_time()
    while not over:
        await asyncio.sleep(0.001)
        longest, before = max(longest, time.thread_time() - before), time.thread_time()
    return longest


async def main() -> None:
    global noting, over
    import shop  # type: ignore[import-not-found]

    from mirt_sitniks.engine.io_thread import IoThread

    submit, ours = IoThread.submit, []

    def watched(thread: IoThread, work: Any) -> Any:
        """Its steps count from before its first work on."""
        IoThread.submit = submit  # type: ignore[method-assign]
        ours.append(submit(thread, longest_step))
        return submit(thread, work)

    IoThread.submit = watched  # type: ignore[method-assign, assignment]
    noting = True
    host = asyncio.ensure_future(longest_step())
    await asyncio.sleep(0)
    service = shop.get_sitniks_chat_service()
    state = await shop.build_graph(service).ainvoke(shop.HELLO)
    over = True
    steps = {"host": await host, "ours": await asyncio.wrap_future(ours[0])}
    await service.aclose()
    noting = False
    print(json.dumps({"sitniks": state["sitniks"], "held up": held_up, "steps": steps}))


load_certificates, ssl.SSLContext.load_verify_locations = ssl.SSLContext.load_verify_locations, trust  # type: ignore
BlockingError.__init__ = refuse  # type: ignore[assignment, method-assign]
sys.addaudithook(note)
guard = BlockBuster()
# LangGraph 1.0.4 reads the source of a host's nodes when a graph is built.
guard.functions["os.stat"].can_block_in("langgraph/pregel/_utils.py", "get_function_nonlocals")
guard.activate()
sys.path[:0] = ["", PACKAGE + "/.."]
asyncio.run(main())
