"""The fork server, the stores to crash on, and where the accounts are written."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.crash_run import Account, CrashRun, ForkServer, crash_run
from tests.crash.midway import Midway
from tests.postgres.stack import Stack
from tests.stores.worlds import migrate


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """A process that forks children, once a session."""
    one = ForkServer()
    yield one
    one.close()


@pytest.fixture
def on_sqlite(fork_server: ForkServer, tmp_path: Path) -> Iterator[CrashRun]:
    """Children that share a SQLite file."""
    with crash_run({"path": str(tmp_path / "crash.sqlite3")}, fork_server) as one:
        yield one


@pytest.fixture
def on_postgres(fork_server: ForkServer, supabase_stack: Stack) -> Iterator[CrashRun]:
    """Children that share a Supabase project."""
    migrate(supabase_stack)
    where = {"url": supabase_stack.url, "key": supabase_stack.keys.service_role}
    with Midway(supabase_stack) as midway, crash_run(where, fork_server, midway) as one:
        yield one


@pytest.fixture
def write_down(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[Account], None]:
    """Prints an account, and keeps it for those who quote it: in the cache folder, else in the test's own."""

    def write(account: Account) -> None:
        text = json.dumps(account.shown(), ensure_ascii=False, indent=1)
        folder = Path(os.environ.get("MIRT_SITNIKS_CACHE") or tmp_path)
        (folder / f"crash-{request.node.name}.json").write_text(text)
        print(text)

    return write
