"""Looking at a file changes nothing: neither the file, nor what is beside it, nor how long others wait."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from mirt_sitniks.core.orders import OrdersAsked
from mirt_sitniks.core.record import Intent
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import Store
from mirt_sitniks.core.survey import OverviewAsked, SessionsAsked
from mirt_sitniks.errors import StoreError
from mirt_sitniks.stores.sqlite import SqliteStore
from tests.stores.connections import opened
from tests.stores.test_earlier_files import earlier_file
from tests.stores.worlds import OPTIONS, Clock

READS: tuple[Callable[[SqliteStore], Awaitable[Any]], ...] = (
    lambda store: store.overview(OverviewAsked()),
    lambda store: store.sessions(SessionsAsked()),
    lambda store: store.lines("main", after=-1),
    lambda store: store.get("s"),
    lambda store: store.ledger("s"),
    lambda store: store.counts(),
    lambda store: store.troubled(),
    lambda store: store.orders(OrdersAsked(due=9)),
)
WRITES: tuple[Callable[[SqliteStore], Awaitable[Any]], ...] = (
    lambda store: store.record(OPTIONS, Intent("t", Stage.FIRST_TOUCH, "k", instagram="ira.example")),
    lambda store: store.claim(OPTIONS),
    lambda store: store.forget("s"),
    lambda store: store.prune(1.0),
    lambda store: store.check(),
)


def store_at(path: Path, *, readonly: bool = False) -> SqliteStore:
    return SqliteStore(path, clock=Clock(), wall=Clock(), readonly=readonly)


async def one_session(store: Store) -> None:
    await store.record(OPTIONS, Intent("s", Stage.FIRST_TOUCH, "k", instagram="ira.example"))


def folder(path: Path) -> dict[str, bytes]:
    """All files beside the database, but for the memory that its users share."""
    return {one.name: one.read_bytes() for one in path.parent.iterdir() if not one.name.endswith("-shm")}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Somebody else is about to delete all sessions, and thinks better of it."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other:
        other.execute("begin immediate")
        other.execute("delete from sitniks_chat_mappings")
        yield
        other.execute("rollback")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one session, which nobody has open."""
    file = tmp_path / "store.sqlite3"

    async def begin() -> None:
        store = store_at(file)
        await one_session(store)
        await store.aclose()

    asyncio.run(begin())
    return file


async def read_all(store: SqliteStore) -> list[Any]:
    found = [await read(store) for read in READS]
    await store.aclose()
    return found


def test_a_file_that_nobody_has_open_is_read_as_it_stands(path: Path) -> None:
    """All verbs that read see the session; not a byte is changed and no file is made, also if none could be."""
    before = folder(path)
    assert list(before) == ["store.sqlite3"]
    overview, sessions, lines, record, *_ = asyncio.run(read_all(store_at(path, readonly=True)))
    assert (overview.groups[0].count, sessions, lines[0].session) == (1, (record,), "s")
    assert folder(path) == before
    assert [one.name for one in path.parent.iterdir()] == ["store.sqlite3"]


def test_what_a_host_has_written_is_seen_and_nothing_is_changed(path: Path) -> None:
    """While it has the file open, and somebody holds it locked for a write; neither waits."""
    host = store_at(path)
    with asyncio.Runner() as runner:
        new = Intent("new", Stage.FIRST_TOUCH, "k", instagram="olena.example")
        runner.run(host.record(OPTIONS, new))
        with writing(path):
            before = folder(path)
            _, sessions, lines, *_ = runner.run(read_all(store_at(path, readonly=True)))
            assert folder(path) == before
        runner.run(host.aclose())
    assert [one.session for one in sessions] == ["new", "s"]
    assert [one.session for one in lines] == ["s", "new"]


def test_a_host_reads_without_writing_too(path: Path) -> None:
    """Its own looks neither wait for a writer nor move the store's clock."""
    host = store_at(path)
    with asyncio.Runner() as runner:
        runner.run(host.check())
        with writing(path):
            before = folder(path)
            sessions = runner.run(read_all(host))[1]
            assert folder(path) == before
    assert [one.session for one in sessions] == ["s"]


@pytest.mark.parametrize("torn", [False, True])
def test_a_file_that_is_written_to_meanwhile_is_read_again(path: Path, torn: bool) -> None:
    """It was read as one that nobody has open: what was seen of it may be of two times, or look like a broken file."""
    reader = store_at(path, readonly=True)
    seen: list[int] = []

    def look(rows: Any, now: float) -> int:
        seen.append(rows.counts(now)["ledger"])
        if len(seen) == 1:
            host = sqlite3.connect(path)
            host.execute("delete from sitniks_ledger")
            host.commit()
            host.close()
            if torn:
                raise sqlite3.DatabaseError("database disk image is malformed")
        return seen[-1]

    async def read() -> int:
        found = await reader._read(look)
        await reader.aclose()
        return found

    assert (asyncio.run(read()), seen) == (0, [1, 0])


@pytest.mark.parametrize("write", WRITES)
def test_nothing_that_writes_can_be_asked(path: Path, write: Callable[[SqliteStore], Awaitable[Any]]) -> None:
    """Such a verb is refused before the file is touched."""
    before = folder(path)
    with pytest.raises(StoreError, match="read only"):
        asyncio.run(write(store_at(path, readonly=True)))
    assert folder(path) == before


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """Nor is an empty one, or another program's, made one of ours: the error names the setting."""
    foreign = tmp_path / "foreign"
    with sqlite3.connect(foreign) as file:
        file.execute("create table t (a)")
    file.close()
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("no database " * 100)
    before = folder(foreign)
    for name in ("nothing", "foreign", "empty", "text"):
        with pytest.raises(StoreError, match="SITNIKS_DATABASE"):
            asyncio.run(read_all(store_at(tmp_path / name, readonly=True)))
    assert folder(foreign) == before


def test_a_file_of_an_earlier_version_is_not_upgraded(tmp_path: Path) -> None:
    """The error says who upgrades it; once that has happened, it is read."""
    path = earlier_file(tmp_path)
    before = folder(path)
    with pytest.raises(StoreError, match="`mirt-sitniks worker` of this version once"):
        asyncio.run(read_all(store_at(path, readonly=True)))
    assert folder(path) == before
    host = store_at(path)
    opened(host)
    asyncio.run(host.aclose())
    assert [one.session for one in asyncio.run(read_all(store_at(path, readonly=True)))[1]] == ["s"]
