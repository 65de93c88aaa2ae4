"""Row 21: what goes wrong with the file is told in one line with its cure, and nothing is half written."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import mirt_sitniks
from mirt_sitniks.core.orders import OrderRecord, OrdersAsked, OrderState
from mirt_sitniks.core.record import Intent
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import Recorded, Report, Verdict
from mirt_sitniks.errors import StoreError
from mirt_sitniks.stores import sqlite
from mirt_sitniks.stores.sqlite import SqliteStore
from tests.stores.connections import opened
from tests.stores.contract import settlement
from tests.stores.worlds import OPTIONS

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
def store(tmp_path: Path, run: Run) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "store.sqlite3")
    yield store
    run(store.aclose())


def record(store: SqliteStore, session: str = "s") -> Coroutine[Any, Any, Recorded]:
    return store.record(
        OPTIONS, Intent(session, Stage.FIRST_TOUCH, "k", chat_id=f"chat of {session}", reason="r" * 2000)
    )


def fails(run: Run, verb: Coroutine[Any, Any, Any], cure: str) -> None:
    """The verb fails with our error, whose message has the cure and whose traceback has no frame of SQLite's."""
    with pytest.raises(StoreError, match=cure) as caught:
        run(verb)
    assert caught.value.code == "store_unavailable"
    assert caught.value.__suppress_context__


@contextmanager
def held(folder: Path) -> Iterator[sqlite3.Connection]:
    """The store's file locked by another connection, until that rolls back or the block ends."""
    other = sqlite3.connect(folder / "store.sqlite3", isolation_level=None, check_same_thread=False)
    other.execute("begin immediate")
    yield other
    other.close()


def test_a_file_that_another_holds_is_waited_for_and_told(
    store: SqliteStore, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locked: a clear error after the wait, and the next try works once the other lets go."""
    run(store.check())
    with held(tmp_path), monkeypatch.context() as patch:
        patch.setattr(sqlite, "BUSY", 0.01)
        fails(run, record(store), "locked for 5 s: end that process")
    assert run(record(store)).verdict is Verdict.NEW


def test_row23_a_fork_of_an_open_store_loses_nothing(tmp_path: Path) -> None:
    """Parent and children of a store in use: whoever closes, and whoever was forked in a transaction, all is there."""
    code = f"""
import asyncio, os, threading
from mirt_sitniks.stores.sqlite import SqliteStore
from tests.stores.test_sqlite_faults import record

store = SqliteStore({str(tmp_path / "store.sqlite3")!r})
asyncio.run(record(store, "parent"))
stop = threading.Event()

def busy():
    number = 0
    while not stop.is_set():
        asyncio.run(record(store, f"busy {{number}}"))
        number += 1

thread = threading.Thread(target=busy)
thread.start()
ends = []
for child in range(5):
    mine, yours = os.pipe()
    if os.fork() == 0:
        asyncio.run(record(store, f"child {{child}} early"))
        os.read(mine, 1)
        asyncio.run(record(store, f"child {{child}} late"))
        os._exit(0)
    ends.append(yours)
stop.set()
thread.join()
asyncio.run(store.aclose())
for yours in ends:
    os.write(yours, b"x")
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(mirt_sitniks.__file__).parents[1]), *sys.path])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with sqlite3.connect(tmp_path / "store.sqlite3") as file:
        sessions = {row[0] for row in file.execute("select distinct session from sitniks_ledger")}
    file.close()
    assert {f"child {child} {when}" for child in range(5) for when in ("early", "late")} <= sessions


def test_a_store_stays_where_it_is(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative file is the one of the folder that the process began in, whatever folder it goes to."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    store = SqliteStore("store.sqlite3")
    run(record(store))
    run(store.aclose())
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run(store.get("s")) is not None
    run(store.aclose())
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_who_waits_behind_a_locked_file_waits_no_longer_than_it(
    store: SqliteStore, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of twenty calls at once the first waits and fails, and the others with it: a process must be able to end."""
    run(store.check())
    monkeypatch.setattr(sqlite, "BUSY", 0.1)
    pauses: list[float] = []
    sleep = time.sleep

    def counting(seconds: float) -> None:
        pauses.append(seconds)
        sleep(seconds)

    monkeypatch.setattr("mirt_sitniks.stores.sqlite.time.sleep", counting)

    async def crowd() -> list[object]:
        calls = (record(store, f"{number}") for number in range(20))
        return list(await asyncio.gather(*calls, return_exceptions=True))

    with held(tmp_path):
        run(store.aclose())
        assert {type(one) for one in run(crowd())} == {StoreError}
    assert 1 <= len(pauses) < 20


def test_a_locked_file_does_not_hold_up_the_loop(
    store: SqliteStore, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 5: SQLite waits on a thread of its own; the loop goes on meanwhile, and the verb succeeds in the end."""
    run(store.check())

    async def both(other: sqlite3.Connection) -> Recorded:
        waiting = asyncio.ensure_future(record(store))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
        await asyncio.to_thread(other.execute, "rollback")
        return await waiting

    with held(tmp_path) as other:
        assert run(both(other)).verdict is Verdict.NEW


def test_a_read_only_file_is_told(store: SqliteStore, run: Run, tmp_path: Path) -> None:
    """Read-only: nothing is written, and a file that may be written again is."""
    path = tmp_path / "store.sqlite3"
    run(record(store, "before"))
    run(store.aclose())
    # The header's write version: one that SQLite does not know makes the file read-only, also for root.
    mark(path, 18, b"\x03")
    fails(run, record(store), "read-only: give this process the right to write")
    mark(path, 18, b"\x02")
    assert run(store.get("s")) is None
    assert run(store.get("before")) is not None


def test_a_table_that_is_missing_is_made_by_who_writes(store: SqliteStore, run: Run, tmp_path: Path) -> None:
    """Who only looks says so, and names who makes it."""
    path = tmp_path / "store.sqlite3"
    run(record(store, "before"))
    run(store.aclose())
    with closing(sqlite3.connect(path)) as other:
        other.execute("drop table sitniks_ledger")
    fails(run, SqliteStore(path, readonly=True).ledger("before"), "no such table: sitniks_ledger: start the host or")
    assert run(store.ledger("before")) == ()


def test_a_full_disk_is_told_and_leaves_nothing_half_written(store: SqliteStore, run: Run) -> None:
    """Full: the whole transaction is undone; with room again the same intent is new."""
    connection = opened(store)
    (size,) = connection.execute("pragma page_count").fetchone()
    connection.execute(f"pragma max_page_count = {size}")
    error, number = None, -1
    while error is None and number < 100:
        number += 1
        try:
            run(record(store, f"s{number}"))
        except StoreError as caught:
            error = caught
    assert "the disk is full: make room" in str(error)
    counts = run(store.counts())
    assert counts["records"] == counts["ledger"] == number
    assert run(record(store, f"s{number}")).verdict is Verdict.NEW


@pytest.mark.parametrize("left", [(), ("-wal",), ("-shm",), ("-wal", "-shm")])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_removed_under_a_process_is_made_anew(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture, left: tuple[str, ...], replaced: bool
) -> None:
    """It is said once; what was unfinished is in the new file with its lease, its budget and its key, and is found
    after a restart; what was finished is gone, but for orders: one that was made is not made again."""
    path, stores = tmp_path / "store.sqlite3", [SqliteStore(tmp_path / "store.sqlite3") for _ in range(2)]
    done = run(record(stores[0], "done")).claim
    assert done
    assert done.record
    run(stores[0].settle(OPTIONS, Report(settlement(done.record), calls=0)))
    held = run(record(stores[0])).claim
    assert held
    assert held.record
    run(record(stores[1], "t"))
    made = OrderRecord("o", "d", {}, state=OrderState.CREATED, order_id="17", due_at=None)
    assert run(stores[0].commit_order(made))
    for end in {"", "-wal", "-shm"} - set(left):
        (tmp_path / f"store.sqlite3{end}").unlink()
    if replaced:
        path.touch()
    assert run(stores[0].get("s")) == held.record
    assert run(stores[1].get("s"))
    assert run(stores[0].get("done")) is None
    assert run(stores[1].orders(OrdersAsked(external_ids=("o",)))).records == (replace(made, version=1),)
    assert run(record(stores[1], "t")).verdict is Verdict.KNOWN
    assert run(record(stores[0], "new")).claim is None, "the budget of 3 calls was forgotten"
    assert run(stores[0].settle(OPTIONS, Report(settlement(held.record)))).record.observed.status.gen == 1
    assert [line.levelname for line in caplog.records] == ["ERROR", "ERROR"]
    assert "2 unfinished sessions are in a new one" in caplog.text
    for store in stores:
        run(store.aclose())
    again = SqliteStore(path)
    assert run(again.counts())["pending"] == 2
    run(again.aclose())
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("pragma integrity_check").fetchone() == ("ok",)


def test_the_file_of_a_closed_store_may_go(
    store: SqliteStore, run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its owner has taken it away: the store begins with nothing, and says nothing."""
    run(record(store))
    run(store.aclose())
    for file in tmp_path.glob("store.sqlite3*"):
        file.unlink()
    assert run(store.get("s")) is None
    assert not caplog.records


def test_a_damaged_file_is_told_and_can_be_moved_away(store: SqliteStore, run: Run, tmp_path: Path) -> None:
    """Corrupt: a clear error; once the file is away a new one is made, by the same process."""
    path = tmp_path / "store.sqlite3"
    for number in range(40):
        run(record(store, f"s{number}"))
    run(store.aclose())
    mark(path, 4096, b"\xff" * (path.stat().st_size - 4096))
    fails(run, record(store), "damaged: move it away")
    path.rename(tmp_path / "damaged")
    assert run(record(store)).verdict is Verdict.NEW


def test_a_file_of_something_else_is_told(store: SqliteStore, run: Run, tmp_path: Path) -> None:
    """No database: it is left as it is."""
    path = tmp_path / "store.sqlite3"
    path.write_text("a shopping list, longer than the hundred bytes of a header " * 20)
    before = path.read_bytes()
    fails(run, record(store), "no SQLite database: set SITNIKS_DATABASE")
    assert path.read_bytes() == before


def test_a_missing_folder_is_told(tmp_path: Path, run: Run) -> None:
    """Missing folder: nothing is made in its place; once it is there the store works."""
    store = SqliteStore(tmp_path / "none" / "store.sqlite3")
    fails(run, record(store), "create its folder or set SITNIKS_DATABASE")
    (tmp_path / "none").mkdir()
    assert run(record(store)).verdict is Verdict.NEW
    run(store.aclose())


def test_a_number_beyond_all_ids_is_told(store: SqliteStore, run: Run) -> None:
    """A number that SQLite cannot hold is our error too."""
    run(record(store))
    fails(run, store.observe("chat of s", manager_id=2**70), "larger than any id")


def test_memory_is_shared_by_all_threads(run: Run) -> None:
    """`:memory:` lives as long as the store, and every thread's loop sees the same records."""
    store = SqliteStore(":memory:")
    run(record(store))
    seen: list[object] = []
    thread = threading.Thread(target=lambda: seen.append(asyncio.run(store.get("s"))))
    thread.start()
    thread.join()
    assert seen[0] is not None
    run(store.aclose())


def test_the_stores_clock_never_goes_back(tmp_path: Path, run: Run) -> None:
    """Row 22: a jump of the wall clock harms no lease, nor does a reboot, after which the monotonic one begins anew."""
    monotonic, wall = [5000.0], [1_800_000_000.0]
    store = SqliteStore(tmp_path / "store.sqlite3", clock=lambda: monotonic[0], wall=lambda: wall[0])
    first = run(record(store))
    wall[0] += 3600
    monotonic[0] += 1
    assert run(record(store)).outlook.now == first.outlook.now + 1
    run(store.aclose())
    monotonic[0] = 3.0
    wall[0] -= 7200
    again = run(record(store))
    assert again.outlook.now == first.outlook.now + 1
    assert (again.claim, again.record.lease_until) == (None, first.record.lease_until)
    monotonic[0] += OPTIONS.lease
    assert run(record(store)).claim is not None
    run(store.aclose())


def mark(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def test_closing_never_meets_a_transaction(tmp_path: Path) -> None:
    """A store that is closed while it is used opens anew for the next call, on a thread and connection of its own."""

    async def use() -> None:
        store = SqliteStore(tmp_path / "store.sqlite3")
        for _ in range(60):
            asked = [asyncio.ensure_future(store.check()) for _ in range(4)]
            await asyncio.sleep(0)
            await asyncio.gather(store.aclose(), *(asyncio.ensure_future(store.check()) for _ in range(4)), *asked)
        await store.aclose()

    asyncio.run(use())
