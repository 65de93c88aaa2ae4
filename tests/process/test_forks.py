"""A fork waits until no module is half loaded, and does not wait for a locked file."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.process.program import Program
from tests.stores.test_sqlite_faults import held

pytestmark = pytest.mark.slow

WHILE_LOADING = """
import os, sys, threading
from mirt_sitniks import SitniksChatService
from mirt_sitniks.settings import SitniksSettings

loading, forking = threading.Event(), threading.Event()

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "mirt_sitniks.stores.sqlite" and not loading.is_set():
            loading.set()
            forking.wait()

sys.meta_path.insert(0, Slow())
os.register_at_fork(before=forking.set)

def sync(session):
    settings = SitniksSettings(
        api_url="http://127.0.0.1:9", api_key="k", database="s.sqlite3", reply_budget=10, _env_file=None
    )
    service = SitniksChatService(settings, worker=False)
    return service.sync_blocking("first_touch", session=session, instagram_username=session)

first = threading.Thread(target=sync, args=("parent",))
first.start()
loading.wait()
child = os.fork()
if child == 0:
    os._exit(not sync("child").first_touch)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
first.join()
"""


def test_a_fork_meets_no_module_that_is_being_loaded(tmp_path: Path) -> None:
    """A service loads its store's module on another thread: the child of a fork meanwhile records all the same."""
    with Program(WHILE_LOADING, tmp_path) as program:
        program.ends_well()


WHILE_LOCKED = """
import asyncio, os, pathlib, threading, time
from mirt_sitniks.stores import sqlite
from tests.stores.test_sqlite_faults import record

store = sqlite.SqliteStore("store.sqlite3")
asyncio.run(store.check())
pathlib.Path("made").touch()
while not pathlib.Path("locked").exists():
    time.sleep(0.005)
sqlite.BUSY = 3600.0
sleep, waits = time.sleep, threading.Event()

def pause(seconds):
    waits.set()
    sleep(seconds)

time.sleep = pause
waiting = threading.Thread(target=lambda: asyncio.run(record(store, "parent")))
waiting.start()
waits.wait()
child = os.fork()
if child == 0:
    asyncio.run(record(store, "child"))
    os._exit(0)
pathlib.Path("forked").touch()
waiting.join()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
asyncio.run(record(store, "parent again"))
"""


def test_a_fork_does_not_wait_for_a_locked_file(tmp_path: Path) -> None:
    """While the store waits for another process's lock, without end here, the process forks; then both go on."""
    with Program(WHILE_LOCKED, tmp_path) as program:
        program.until("made")
        with held(tmp_path) as other:
            (tmp_path / "locked").touch()
            program.until("forked")
            other.execute("rollback")
        program.ends_well()
    with closing(sqlite3.connect(tmp_path / "store.sqlite3")) as file:
        sessions = {row[0] for row in file.execute("select session from sitniks_ledger")}
    assert sessions == {"parent", "child", "parent again"}
