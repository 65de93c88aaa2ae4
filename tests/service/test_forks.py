"""Services that are used while their process forks: from any thread, several at once, by any of Python's ways."""

import asyncio
from pathlib import Path

import pytest

from mirt_sitniks.stores.sqlite import SqliteStore
from tests.process.program import Program
from tests.service.shop import Shop

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


@pytest.mark.slow
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


BEFORE_AND_AFTER = """
import os, sys
from mirt_sitniks import SitniksChatService
from mirt_sitniks.settings import SitniksSettings

URL, KEY, FILE = sys.argv[1:]
service = SitniksChatService(
    SitniksSettings(api_url=URL, api_key=KEY, database=FILE, reply_budget=10, _env_file=None)
)

def sync(stage):
    return service.sync_blocking(stage, session="s", instagram_username="anna.shop").outcome

assert sync("first_touch") == "synced"
child = os.fork()
if child == 0:
    os._exit(sync("give_requisites") != "synced")
assert os.waitpid(child, 0)[1] == 0
assert sync("escalation") == "synced"
"""


def test_row23_a_fork_makes_its_own_thread_and_client(shop: Shop, tmp_path: Path) -> None:
    """Parent and child sync through one service object made before the fork, one after the other."""
    words = (shop.sandbox.url, shop.sandbox.key, str(tmp_path / "s.sqlite3"))
    with Program(BEFORE_AND_AFTER, tmp_path, *words) as program:
        program.ends_well()
    assert shop.sandbox.chat(shop.chat)["status"] == "AI Увага"
