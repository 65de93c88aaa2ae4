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
from importlib.resources import files
from logging import ERROR
from typing import Literal, TypeVar

from mirt_sitniks.core import rules
from mirt_sitniks.core.record import Intent, Record
from mirt_sitniks.core.rows import Transaction
from mirt_sitniks.core.store import OVERDUE, Claimed, Entry, Recorded, Report, Settled, StoreOptions
from mirt_sitniks.core.text import clean
from mirt_sitniks.errors import StoreError
from mirt_sitniks.log import log
from mirt_sitniks.process.forks import at_fork, held_off
from mirt_sitniks.process.off_loop import off_loop
from mirt_sitniks.stores.sqlite_memory import SqliteMemory
from mirt_sitniks.stores.sqlite_orders import SqliteOrders
from mirt_sitniks.stores.sqlite_rows import SqliteRows

T = TypeVar("T")
# How long a call waits for a locked file, and how long it sleeps between two tries.
BUSY = 5.0
SHORTEST, LONGEST = 0.001, 0.05
VERSION = 2


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


class SqliteStore(SqliteOrders):
    """Sync and care stores in one file; `:memory:` lives as long as the store and works from every thread.

    `path` is the database file; its folder must exist. `clock` is a monotonic clock that all processes of the machine
    share, `wall` gives Unix time. The store's own clock never goes back: neither a changed wall clock nor a reboot
    harms leases and budget. All SQL runs on one thread. No connection is open in a fork: it waits for a transaction
    under way, which takes milliseconds, but not for a locked file; then parent and child open connections of their own.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = "sitniks.sqlite3",
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        given = os.fspath(path)
        # A process may change its folder, and must not begin another file there.
        self._path = given if given == ":memory:" else off_loop(lambda: os.path.abspath(given))
        self._clock, self._wall = clock, wall
        self._reset()
        _ALL.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._owner: _ConnectionThread | None = None
        # Which file was opened, and what is known of it.
        self._file: tuple[int, int] | None = None
        self._memory = SqliteMemory()

    async def record(self, options: StoreOptions, intent: Intent, *, calls: int = 2) -> Recorded:
        """Log an intent."""
        event = clean(intent)
        return await self._write(lambda rows, now: rules.record(self._begin_rules(rows, options, now), event, calls))

    async def claim(self, options: StoreOptions, *, limit: int = 9) -> Claimed:
        """Take due work."""
        return await self._write(lambda rows, now: rules.claim(self._begin_rules(rows, options, now), limit))

    async def settle(self, options: StoreOptions, report: Report) -> Settled:
        """Fold a round in."""
        news = clean(report)
        return await self._write(lambda rows, now: rules.settle(self._begin_rules(rows, options, now), news))

    async def reopen(self, options: StoreOptions, session: str, *, calls: int = 2) -> Recorded:
        """Take up again."""
        name = clean(session)
        return await self._write(lambda rows, now: rules.reopen(self._begin_rules(rows, options, now), name, calls))

    async def observe(self, chat_id: str, *, status: str | None = None, manager_id: int | None = None) -> None:
        """Note an own write."""
        chat, seen = clean((chat_id, status))
        await self._write(
            lambda rows, now: rules.observe(self._begin_rules(rows, StoreOptions(""), now), chat, seen, manager_id)
        )

    async def get(self, session: str) -> Record | None:
        """The record of a session."""
        return await self._write(lambda rows, now: rows.get(clean(session)))

    async def ledger(self, session: str, *, limit: int = 100) -> tuple[Entry, ...]:
        """The newest entries of a session."""
        return await self._write(lambda rows, now: rows.ledger(clean(session), limit))

    async def forget(self, session: str) -> int:
        """Erase one customer."""
        return await self._write(lambda rows, now: rows.forget(clean(session)))

    async def prune(self, older_than: float, *, records: bool = True) -> int:
        """Delete what is converged and old."""
        return await self._write(lambda rows, now: rows.prune(self._wall() - older_than, now - older_than, records))

    async def counts(self) -> dict[str, int]:
        """How much is there."""
        return await self._write(lambda rows, now: rows.counts(now - OVERDUE))

    async def troubled(self, *, limit: int = 100) -> tuple[Record, ...]:
        """Those a person should look at."""
        return await self._write(lambda rows, now: rows.troubled(limit))

    async def check(self) -> None:
        """Raise unless the file can be written."""
        await self._write(lambda rows, now: None)

    async def aclose(self) -> None:
        """Close the connection; the next call opens it again."""
        with self._lock:
            owner, self._owner = self._owner, None
            # What becomes of the file of a closed store is its owner's affair.
            self._file, self._memory = None, SqliteMemory()
        if owner:
            closed = owner.thread.submit(owner.disconnect)
            owner.thread.shutdown(wait=False)
            # Whoever has no time to wait for a file that is locked does not keep it from being closed.
            await asyncio.shield(asyncio.wrap_future(closed))

    def _begin_rules(self, rows: SqliteRows, options: StoreOptions, now: float) -> Transaction:
        rows.account = options.account
        return Transaction(rows, options, now, rows.wall)

    async def _write(self, work: Callable[[SqliteRows, float], T]) -> T:
        try:
            return await asyncio.wrap_future(self._begin(work))
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {_cure(error)}", kind=_kind(error)) from None
        except OverflowError:
            message = f"{self._path}: a number from the CRM is larger than any id"
            raise StoreError(message, kind="refused") from None
        except RuntimeError as error:
            # The interpreter is shutting down and takes no new work.
            raise StoreError(f"{self._path}: {error}") from None

    def _begin(self, work: Callable[[SqliteRows, float], T]) -> "Future[T]":
        with self._lock:
            owner = self._owner = self._owner or _ConnectionThread()
            return owner.thread.submit(self._transaction, owner, work, time.monotonic())

    def _transaction(self, owner: _ConnectionThread, work: Callable[[SqliteRows, float], T], since: float) -> T:
        began, pause = time.monotonic(), SHORTEST
        if began - since > BUSY:
            # The one before has waited for a locked file as long as a call may; with all of them a process never ends.
            raise StoreError(f"{self._path}: {_CURES['SQLITE_BUSY']}")
        while True:
            try:
                with held_off():
                    return self._attempt(owner, work)
            except sqlite3.DatabaseError as error:
                if not _held(error) or time.monotonic() - began > BUSY:
                    raise
            # Not by SQLite's own waiting, during which nobody could fork, and which it leaves out for a new file.
            time.sleep(pause)
            pause = min(2 * pause, LONGEST)

    def _attempt(self, owner: _ConnectionThread, work: Callable[[SqliteRows, float], T]) -> T:
        connection = self._connect(owner)
        try:
            with _immediate(connection):
                rows = SqliteRows(connection, self._wall())
                now = rows.tick(self._clock())
                answer = work(rows, now)
            self._memory.keep(rows, now)
            return answer
        except sqlite3.DatabaseError as error:
            if self._path != ":memory:" and not _held(error):
                # Once the file was mended or moved away, it is opened anew.
                owner.disconnect()
            raise

    def _connect(self, owner: _ConnectionThread) -> sqlite3.Connection:
        if self._path == ":memory:":
            owner.connection = owner.connection or self._open()
            return owner.connection
        found = self._identity()
        lost = self._file is not None and found != self._file
        if lost:
            owner.disconnect()
        if owner.connection is None:
            owner.connection = self._begin_anew() if lost else self._open()
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

    def _begin_anew(self) -> sqlite3.Connection:
        """Open a new file with what this process still knows of the one that is gone."""
        with contextlib.suppress(OSError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL, 0o600))
            # Whoever makes the new one takes away what is left beside the old one: it belongs to no other.
            for end in ("-wal", "-shm"):
                with contextlib.suppress(OSError):
                    os.unlink(self._path + end)
        connection = self._open()
        try:
            with _immediate(connection):
                self._memory.restore(SqliteRows(connection, self._wall()), self._clock())
        except BaseException:
            connection.close()
            raise
        left = len(self._memory.records)
        log(ERROR, "%s was removed or replaced while it was in use: %s", self._path, _ANEW.format(left))
        return connection

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = normal")
            connection.executescript((files("mirt_sitniks") / "stores" / "sqlite.sql").read_text("utf-8"))
            with _immediate(connection):
                _upgrade(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def _before_fork() -> None:
    """No connection may be open in a fork: to SQLite the child's locks would be the parent's, and hold nobody."""
    for owner in list(_OPEN):
        owner.disconnect()


def _in_child() -> None:
    """The parent's threads are not there, and a database in memory was the parent's alone."""
    for store in _ALL:
        store._reset()


at_fork(before=_before_fork, in_child=_in_child)


def _upgrade(connection: sqlite3.Connection) -> None:
    """Bring a file of an earlier version to this one's columns; it stays readable for that version."""
    if connection.execute("pragma user_version").fetchone()[0] >= VERSION:
        return
    for table, column, kind in _ADDED:
        if not any(row[1] == column for row in connection.execute(f"pragma table_info({table})")):
            connection.execute(f"alter table {table} add column {column} {kind}")
    for statement in _INDEXES:
        connection.execute(statement)
    connection.execute(f"pragma user_version = {VERSION}")


_ADDED = (
    ("sitniks_keys", "lookout_at", "real not null default 0"),
    ("sitniks_keys", "lookout_by", "text not null default ''"),
    *(
        (f"sitniks_{table}", "details", "text not null default '{}'")
        for table in ("chat_mappings", "directory", "keys")
    ),
    *((f"sitniks_{table}", "account", "text not null default 'main'") for table in ("chat_mappings", "directory")),
)
# Here and not with the tables, because the columns of earlier files come first.
_WORK = "where pending = 1 and search_since is null"
_INDEXES = (
    "drop index if exists sitniks_mappings_pending",
    "drop index if exists sitniks_mappings_ready",
    "create index if not exists sitniks_mappings_turns "
    f"on sitniks_chat_mappings (account, urgent_at, intent_order) {_WORK}",
    "create index if not exists sitniks_mappings_work "
    f"on sitniks_chat_mappings (account, max(due_at, lease_until)) {_WORK}",
    "create index if not exists sitniks_mappings_waiting on sitniks_chat_mappings (account, urgent_at, intent_order) "
    "where pending = 1 and search_since is not null",
)


@contextlib.contextmanager
def _immediate(connection: sqlite3.Connection) -> Iterator[None]:
    """One write transaction: all of it or nothing."""
    connection.execute("begin immediate")
    try:
        yield
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


_ANEW = (
    "{} unfinished sessions of this process are in a new one, all else is gone; stop all processes before you move it"
)


def _cure(error: sqlite3.Error) -> str:
    name = _name(error)
    for prefix, cure in _CURES.items():
        if name.startswith(prefix):
            return cure
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
