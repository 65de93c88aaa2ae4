"""The connection that a SQLite store uses, seen from outside."""

import asyncio
import sqlite3
from typing import Any
from unittest.mock import patch

from mirt_sitniks.stores.sqlite import SqliteStore


def opened(store: SqliteStore) -> sqlite3.Connection:
    """Open a store that is closed, and return its connection."""
    made: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def noted(*args: Any, **more: Any) -> sqlite3.Connection:
        made.append(connect(*args, **more))
        return made[-1]

    with patch.object(sqlite3, "connect", noted):
        asyncio.run(store.check())
    (connection,) = made
    return connection
