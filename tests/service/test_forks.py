"""Processes that fork while they sync: from any thread, several at once, by any of Python's ways."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import mirt_sitniks
from mirt_sitniks.stores.sqlite import SqliteStore
from tests.service.shop import Shop, wait_until
from tests.stores.test_sqlite_faults import held

pytestmark = pytest.mark.slow

PATIENCE = 30.0

AT_ONCE = """
import multiprocessing, os, subprocess, sys, threading, traceback
from mirt_sitniks import SitniksChatService
from mirt_sitniks.settings import SitniksSettings

HOW, URL, KEY, FILE, NAMES = *sys.argv[1:5], sys.argv[5].split()
service = SitniksChatService(
    SitniksSettings(api_url=URL, api_key=KEY, database=FILE, reply_budget=20, rate_limit="10/0.1", _env_file=None),
    worker=False,
)

def sync(name):
    result = service.sync_blocking("first_touch", session=name, instagram_username=name)
    assert result.outcome in ("synced", "queued"), result

def child(name):
    try:
        sync(name)
        service.close()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)

def fork(name):
    if HOW == "fork":
        pid = os.fork()
        if pid == 0:
            child(name)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    elif HOW == "multiprocessing":
        process = multiprocessing.get_context("fork").Process(target=child, args=(name,))
        process.start()
        process.join()
        assert process.exitcode == 0
    else:
        subprocess.run(["true"], preexec_fn=lambda: None, check=True)
        sync(name)

def thread(number):
    try:
        for turn in range(TURNS):
            together.wait()
            fork(NAMES[1 + number * TURNS + turn])
    except BaseException:
        traceback.print_exc()
        together.abort()

THREADS, TURNS = 4, (len(NAMES) - 2) // 4
together = threading.Barrier(THREADS)
sync(NAMES[0])
threads = [threading.Thread(target=thread, args=(number,)) for number in range(THREADS)]
for one in threads:
    one.start()
while any(one.is_alive() for one in threads):
    # Known already, so only the store is kept busy.
    service.sync_blocking("first_touch", session=NAMES[0])
sync(NAMES[-1])
assert not together.broken
"""


@pytest.mark.parametrize("how", ["fork", "preexec_fn", "multiprocessing"])
def test_threads_that_fork_at_once_go_on_with_all_their_children(shop: Shop, tmp_path: Path, how: str) -> None:
    """Four threads fork at the same moment, again and again, while others sync: every process syncs, none hangs."""
    names = [f"n{number}" for number in range(2 + 4 * 3)]
    chats = {name: shop.sandbox.add_chat(name) for name in names}
    words = (how, shop.sandbox.url, shop.sandbox.key, str(tmp_path / "s.sqlite3"), " ".join(names))
    with Program(AT_ONCE, tmp_path, *words) as program:
        program.ends_well()
    store = SqliteStore(tmp_path / "s.sqlite3")
    with shop.service(store=store, sweep=0.05, rate_limit="10/0.1") as service:
        asyncio.run(service.reconcile())
        for chat in chats.values():
            shop.shows("Взято в роботу", 101, chat)
    asyncio.run(store.aclose())


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
service = SitniksChatService(
    SitniksSettings(api_url="http://127.0.0.1:9", api_key="k", database="s.sqlite3", reply_budget=10, _env_file=None),
    worker=False,
)

def sync(session):
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
    """The first sync loads the store's module on another thread: the child of a fork meanwhile records all the same."""
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
immediate, tried = sqlite._immediate, threading.Event()

def begin(connection):
    tried.set()
    return immediate(connection)

sqlite._immediate = begin
waiting = threading.Thread(target=lambda: asyncio.run(record(store, "parent")))
waiting.start()
tried.wait()
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


class Program:
    """A process that runs `code` in a folder; killed with all its children at the end of a `with` if it still runs."""

    def __init__(self, code: str, folder: Path, *words: str) -> None:
        self._folder = folder
        path = os.pathsep.join([str(Path(mirt_sitniks.__file__).parents[1]), *sys.path])
        with (folder / "said").open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", code, *words],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def until(self, name: str) -> None:
        """Wait until it has made a file of that name."""
        wait_until(lambda: (self._folder / name).exists() or self._process.poll() is not None, PATIENCE)

    def ends_well(self) -> None:
        """Wait for the end; fails with what it said, and when it hangs."""
        try:
            code: object = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            code = "it hangs"
        assert code == 0, (self._folder / "said").read_text()
