"""What would hold up an event loop is done on a thread of its own."""

import asyncio
import os
import threading

import pytest

from mirt_sitniks.process.off_loop import off_loop


def test_only_a_running_loop_takes_a_thread_and_none_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Off a loop the caller does the work itself, and so it does when there are no more threads; errors arrive."""
    here = threading.current_thread()

    async def worker() -> threading.Thread:
        return off_loop(threading.current_thread)

    async def failure() -> object:
        return off_loop(lambda: os.environ["NO SUCH KEY"])

    assert off_loop(threading.current_thread) is here
    assert asyncio.run(worker()) is not here
    with pytest.raises(KeyError, match="NO SUCH KEY"):
        asyncio.run(failure())

    def exhausted(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", exhausted)
    assert asyncio.run(worker()) is here
