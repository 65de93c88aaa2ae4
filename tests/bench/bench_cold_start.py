"""What a host's first sync pays in a fresh process: from the graph's call to the CRM's first request."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.report import Book, Spread
from tests.postgres.stack import Missing, Stack, chosen
from tests.stores.worlds import EMPTY, migrate

RUNS = 5
# Milliseconds at most: after `start()`, and without.
GOALS = {"SQLite": (30.0, 100.0), "Supabase": (60.0, 250.0)}


def measure(book: Book, folder: Path) -> None:
    """Both stores, started and not."""
    rows = []
    with _project() as project:
        for store, goals in GOALS.items():
            for started, goal in zip((True, False), goals, strict=True):
                found = [_first(folder, started, project if store == "Supabase" else None) for _ in range(RUNS)]
                if store == "Supabase" and project is None:
                    continue
                first, lag = (Spread.of(one[name] for one in found) for name in ("first", "lag"))
                how = "after start()" if started else "without start()"
                rows.append((f"{store}, {how}", first.show(0, 1e3), lag.show(0, 1e3)))
                book.goal(f"first sync on {store}, {how}, ms", goal, first.median * 1e3)
                book.goal(f"host's loop lag on {store}, {how}, ms", 20.0, lag.median * 1e3)
                book.keep("cold_start", f"{store}, {how}", first)
    columns = ("in a fresh process", "to the CRM's first request, ms (min/med/max)", "loop's lag, ms (min/med/max)")
    book.table("A first sync", columns, rows)


@contextmanager
def _project() -> Iterator[Stack | None]:
    try:
        stack = Stack(chosen()[0])
    except (Missing, IndexError):
        yield None
        return
    try:
        migrate(stack)
        yield stack
    finally:
        stack.close()


def _first(folder: Path, started: bool, project: Stack | None) -> dict[str, float]:
    values = {"database": str(folder / f"{len(os.listdir(folder))}.sqlite3")}
    if project:
        # What the process before has left is not this one's to wait for.
        project.sql(EMPTY)
        values = {"supabase_url": project.url, "supabase_key": project.keys.service_role, "store": "supabase"}
    command = [sys.executable, "-W", "ignore", "-m", "tests.bench.cold", "started" if started else "cold"]
    done = subprocess.run(
        [*command, *(f"{name}={value}" for name, value in values.items())], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found
