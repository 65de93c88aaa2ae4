"""A process that has everything imported and forks children: a start costs milliseconds instead of a second.

Run as `python -m tests.crash.fork_server`. Reads JSON lines from stdin: `{"fork": job}` is answered `{"forked": pid}`,
`{"reap": pid}` waits for a child's end and answers `{"reaped": pid, "status": waitstatus}`. Children write their own
lines to the same stdout, each with their `pid`. At the end of stdin it kills the children that it still has.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
import traceback
from typing import Any

import httpx

from mirt_sitniks.errors import SitniksError
from mirt_sitniks.stores.supabase import SupabaseStore
from tests.crash import child


def main() -> None:
    """Serve until stdin ends."""
    asyncio.run(_warm_up())
    children: set[int] = set()
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        if "reap" in order:
            _, status = os.waitpid(order["reap"], 0)
            children.discard(order["reap"])
            child.log(reaped=order["reap"], status=status)
            continue
        pid = os.fork()
        if pid == 0:
            _live(order["fork"])
        children.add(pid)
        child.log(forked=pid)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


async def _warm_up() -> None:
    """Have imported what is imported at a first use only: that of the HTTP client takes longer than all the rest."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        async with httpx.AsyncClient(transport=child.Tapped(child.Stop(None)), timeout=0.01) as client:
            with contextlib.suppress(httpx.TimeoutException):
                await client.get(url)
        store = SupabaseStore(url, "sb_secret_warm_up", timeout=0.01)
        with contextlib.suppress(SitniksError):
            await store.get("nobody")
        await store.aclose()


def _live(job: dict[str, Any]) -> None:
    """The child's whole life; never returns."""
    code = 1
    try:
        if sys.platform == "linux":
            # A child stopped for good must not outlive the test run: PR_SET_PDEATHSIG.
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        os.close(0)
        child.live(job)
        code = 0
    except BaseException:
        child.log(broke=traceback.format_exc())
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
