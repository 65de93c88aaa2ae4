"""Services that are used while their process forks: from any thread, several at once, by any of Python's ways."""

import asyncio
from pathlib import Path

import pytest

from mirt_sitniks.stores.sqlite import SqliteStore
from tests.process.program import Program
from tests.service.shop import Shop

pytestmark = pytest.mark.slow

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
