"""The embedded store: SQLite in WAL mode, several processes on one machine.

It survives `kill -9` at any point. A power cut can take the last transactions with it, but never leaves half of one.
"""

import asyncio
import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from logging import ERROR
from typing import Literal, TypeVar

from mirt_sitniks.core.key_state import MAIN
from mirt_sitniks.core.store import StoreOptions
from mirt_sitniks.errors import StoreError
from mirt_sitniks.log import log
from mirt_sitniks.process.forks import at_fork, held_off
from mirt_sitniks.process.off_loop import off_loop
from mirt_sitniks.stores.local import LocalRows, LocalStore
from mirt_sitniks.stores.sqlite_file import immediate, open_file, opened_to_read, reading, unfinished
from mirt_sitniks.stores.sqlite_rows import SqliteRows

T = TypeVar("T")
# How long a call waits for a locked file, and how long it sleeps between two tries.
BUSY = 5.0
SHORTEST, LONGEST = 0.001, 0.05


class _ConnectionThread:
    """One thread and the connection that it uses, within `held_off()`: whoever closes one never meets a call."""

    def __init__(self) -> None:
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="sitniks-store")
        self.connection: sqlite3.Connection | None = None

    def disconnect(self) -> None:
        """Close the connection."""
        with held_off():
            _OPEN.discard(self)
            connection, self.connection = self.connection, None
            if connection is not None:
                connection.close()


_ALL: "weakref.WeakSet[SqliteStore]" = weakref.WeakSet()
# Whose connection to a file is open; changed only where no fork is.
_OPEN: "weakref.WeakSet[_ConnectionThread]" = weakref.WeakSet()


class SqliteStore(LocalStore):
    """All stores in one file; `:memory:` lives as long as the store and works from every thread.

    `path` is the database file; its folder must exist. `clock` is a monotonic clock that all processes of the machine
    share, `wall` gives Unix time. The store's own clock never goes back: neither a changed wall clock nor a reboot
    harms leases and budget. `readonly`: only what reads can be asked of a file that is there and of this version; it is
    neither written nor upgraded, and nothing is made beside it.

    All SQL runs on one thread. No connection is open in a fork: it waits for a transaction under way, which takes
    milliseconds, but not for a locked file; then parent and child open connections of their own.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = "sitniks.sqlite3",
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        readonly: bool = False,
    ) -> None:
        given = os.fspath(path)
        # A process may change its folder, and must not begin another file there.
        self._path = given if given == ":memory:" else off_loop(lambda: os.path.abspath(given))
        self._clock, self._wall, self._readonly = clock, wall, readonly
        self._reset()
        _ALL.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._owner: _ConnectionThread | None = None
        # Which file was opened.
        self._file: tuple[int, int] | None = None

    async def aclose(self) -> None:
        """Close the connection; the next call opens it again."""
        with self._lock:
            owner, self._owner = self._owner, None
            # What becomes of the file of a closed store is its owner's affair.
            self._file = None
        if owner:
            closed = owner.thread.submit(owner.disconnect)
            owner.thread.shutdown(wait=False)
            # Whoever has no time to wait for a file that is locked does not keep it from being closed.
            await asyncio.shield(asyncio.wrap_future(closed))

    async def _write(self, work: Callable[[LocalRows, float], T], home: StoreOptions | str = "") -> T:
        if self._readonly:
            raise StoreError(f"{self._path}: it was opened to be read only", kind="setup")
        return await self._run_homed(work, home, self._attempt)

    async def _read(self, work: Callable[[LocalRows, float], T], home: StoreOptions | str = "") -> T:
        return await self._run_homed(work, home, self._snapshot if self._readonly else self._look)

    async def _run_homed(
        self,
        work: Callable[[LocalRows, float], T],
        home: StoreOptions | str,
        attempt: Callable[[_ConnectionThread, Callable[[SqliteRows, float], T]], T],
    ) -> T:
        def homed(rows: SqliteRows, now: float) -> T:
            rows.account = home.account if isinstance(home, StoreOptions) else MAIN
            return work(rows, now)

        try:
            return await asyncio.wrap_future(self._begin(lambda owner: attempt(owner, homed)))
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {_cure(error)}", kind=_kind(error)) from None
        except OverflowError:
            message = f"{self._path}: a number from the CRM is larger than any id"
            raise StoreError(message, kind="refused") from None
        except RuntimeError as error:
            # The interpreter is shutting down and takes no new work.
            raise StoreError(f"{self._path}: {error}") from None

    def _begin(self, attempt: Callable[[_ConnectionThread], T]) -> "Future[T]":
        with self._lock:
            owner = self._owner = self._owner or _ConnectionThread()
            return owner.thread.submit(self._transaction, owner, attempt, time.monotonic())

    def _transaction(self, owner: _ConnectionThread, attempt: Callable[[_ConnectionThread], T], since: float) -> T:
        began, pause = time.monotonic(), SHORTEST
        if began - since > BUSY:
            # The one before has waited for a locked file as long as a call may; with all of them a process never ends.
            raise StoreError(f"{self._path}: {_CURES['SQLITE_BUSY']}")
        while True:
            try:
                with held_off():
                    return attempt(owner)
            except sqlite3.DatabaseError as error:
                if not _held(error) or time.monotonic() - began > BUSY:
                    raise
            # Not by SQLite's own waiting, during which nobody could fork, and which it leaves out for a new file.
            time.sleep(pause)
            pause = min(2 * pause, LONGEST)

    def _attempt(self, owner: _ConnectionThread, work: Callable[[SqliteRows, float], T]) -> T:
        with self._connected(owner) as connection, immediate(connection):
            rows = SqliteRows(connection, self._wall())
            return work(rows, rows.tick(self._clock()))

    def _look(self, owner: _ConnectionThread, work: Callable[[SqliteRows, float], T]) -> T:
        with self._connected(owner) as connection, reading(connection):
            rows = SqliteRows(connection, self._wall())
            return work(rows, rows.clock(self._clock())[0])

    def _snapshot(self, owner: _ConnectionThread, work: Callable[[SqliteRows, float], T]) -> T:
        with opened_to_read(self._path) as connection, reading(connection):
            rows = SqliteRows(connection, self._wall())
            return work(rows, rows.clock(self._clock())[0])

    @contextlib.contextmanager
    def _connected(self, owner: _ConnectionThread) -> Iterator[sqlite3.Connection]:
        connection = self._connect(owner)
        try:
            yield connection
        except sqlite3.DatabaseError as error:
            if self._path != ":memory:" and not _held(error):
                # Once the file was mended or moved away, it is opened anew.
                owner.disconnect()
            raise

    def _connect(self, owner: _ConnectionThread) -> sqlite3.Connection:
        if self._path == ":memory:":
            owner.connection = owner.connection or open_file(self._path)
            return owner.connection
        if self._file not in (None, self._identity()):
            left = unfinished(owner.connection) if owner.connection else {}
            owner.disconnect()
            self._bring(left)
        if owner.connection is None:
            owner.connection = open_file(self._path)
            self._file = self._identity()
            _OPEN.add(owner)
        return owner.connection

    def _identity(self) -> tuple[int, int] | None:
        """Which file has the name now."""
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _bring(self, left: dict[str, list[tuple[object, ...]]]) -> None:
        """Put what a file that is gone still had for us into the one that has its name now."""
        with contextlib.suppress(OSError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL, 0o600))
            # Whoever makes the new one takes away what is left beside the old one: it belongs to no other.
            for end in ("-wal", "-shm"):
                with contextlib.suppress(OSError):
                    os.unlink(self._path + end)
        brought = 0
        with contextlib.closing(open_file(self._path)) as connection, immediate(connection):
            for insert, rows in left.items():
                brought = connection.executemany(insert, rows).rowcount
        log(ERROR, "%s was removed or replaced while it was in use: %s", self._path, _ANEW.format(brought))


def _before_fork() -> None:
    """No connection may be open in a fork: to SQLite the child's locks would be the parent's, and hold nobody."""
    for owner in list(_OPEN):
        owner.disconnect()


def _in_child() -> None:
    """The parent's threads are not there, and a database in memory was the parent's alone."""
    for store in _ALL:
        store._reset()


at_fork(before=_before_fork, in_child=_in_child)


_ANEW = "{} unfinished sessions are in a new one, all else is gone; stop all processes before you move it"


def _cure(error: sqlite3.Error) -> str:
    name = _name(error)
    for prefix, cure in _CURES.items():
        if name.startswith(prefix):
            return cure
    if str(error).startswith(("no such table", "no such column")):
        return f"{error}: start the host or `mirt-sitniks worker` once, which makes it, or set SITNIKS_DATABASE"
    return f"{error}: set SITNIKS_DATABASE to a file that this process may write"


def _kind(error: sqlite3.Error) -> Literal["away", "setup", "refused"]:
    if isinstance(error, sqlite3.DataError | sqlite3.IntegrityError | sqlite3.InterfaceError):
        return "refused"
    return "setup" if _name(error).startswith(_SETUP) else "away"


def _held(error: sqlite3.Error) -> bool:
    return _name(error).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def _name(error: sqlite3.Error) -> str:
    return getattr(error, "sqlite_errorname", "") or ""


_SETUP = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR")
_CURES = {
    "SQLITE_BUSY": "another process has held the file locked for 5 s: end that process",
    "SQLITE_LOCKED": "another process has held the file locked for 5 s: end that process",
    "SQLITE_READONLY": "the file is read-only: give this process the right to write it and its folder",
    "SQLITE_CANTOPEN": "the file cannot be opened: create its folder or set SITNIKS_DATABASE",
    "SQLITE_FULL": "the disk is full: make room",
    "SQLITE_CORRUPT": "the file is damaged: move it away, a new one is made",
    "SQLITE_NOTADB": "the file is no SQLite database: set SITNIKS_DATABASE to another file",
}
