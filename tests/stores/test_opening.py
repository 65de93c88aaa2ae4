"""Many processes that open a new SQLite file at the same moment."""

import asyncio
import sqlite3
import threading
from pathlib import Path

from mirt_sitniks.stores.sqlite import SqliteStore


def test_a_file_that_another_process_is_making_is_waited_for(tmp_path: Path) -> None:
    """To who wants WAL while another one writes SQLite says "locked" without a busy wait: that is tried again."""
    path = tmp_path / "new.sqlite3"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("create table theirs (x)")
    other.execute("begin immediate")
    done = threading.Timer(0.2, other.execute, ["commit"])
    done.start()

    async def use() -> None:
        store = SqliteStore(path)
        await store.check()
        await store.aclose()

    asyncio.run(use())
    done.join()
    other.close()
