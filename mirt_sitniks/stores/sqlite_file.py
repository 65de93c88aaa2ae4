"""A file of the embedded store: how it is opened, upgraded, and what is unfinished in it."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from mirt_sitniks.errors import StoreError
from mirt_sitniks.stores.columns import SCHEMA
from mirt_sitniks.stores.sqlite_views import VIEWS


def open_file(path: str) -> sqlite3.Connection:
    """A connection to a file that has all tables and columns of this version."""
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
        connection.executescript((files("mirt_sitniks") / "stores" / "sqlite.sql").read_text("utf-8"))
        with immediate(connection):
            _upgrade(connection)
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def opened_to_read(path: str) -> Iterator[sqlite3.Connection]:
    """A connection that writes nothing, neither to the file nor beside it; the file must be of this version.

    Without a log of writes beside it nobody has the file open, and it is read as it stands. Raises `SQLITE_BUSY` when
    somebody has written to it meanwhile: then what was read may be of two times.
    """
    before = _stamp(path)
    if before is None:
        raise StoreError(f"{path}: there is no such file; set SITNIKS_DATABASE to the file of the host", kind="setup")
    shared = os.path.exists(f"{path}-wal") and os.path.getsize(f"{path}-wal") > 0
    mode = "mode=ro" if shared else "mode=ro&immutable=1"
    uri = f"{Path(path).as_uri()}?{mode}"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None)) as connection:
        try:
            _require_version(connection, path)
            yield connection
        finally:
            if not shared and _stamp(path) != before:
                # Also in place of what half a file looks like: broken, or none of ours.
                error = sqlite3.OperationalError("the file was written to while it was read")
                error.sqlite_errorname = "SQLITE_BUSY"
                raise error


def _stamp(path: str) -> tuple[int, ...] | None:
    """By what a file is known to be as it was."""
    with contextlib.suppress(OSError):
        found = os.stat(path)
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
    return None


def _require_version(connection: sqlite3.Connection, path: str) -> None:
    if not connection.execute("select 1 from sqlite_master where name = 'sitniks_chat_mappings'").fetchone():
        raise StoreError(f"{path}: this is no file of ours; set SITNIKS_DATABASE to the file of the host", kind="setup")
    if connection.execute("pragma user_version").fetchone()[0] < SCHEMA:
        cure = "start the host or `mirt-sitniks worker` of this version once, which upgrades it"
        raise StoreError(f"{path}: the file is of an earlier version; {cure}", kind="setup")


@contextlib.contextmanager
def immediate(connection: sqlite3.Connection) -> Iterator[None]:
    """One write transaction: all of it or nothing."""
    with _transaction(connection, "begin immediate"):
        yield


@contextlib.contextmanager
def reading(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction that reads: all of it sees the same, and waits for no writer."""
    with _transaction(connection, "begin"):
        yield


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


def _upgrade(connection: sqlite3.Connection) -> None:
    """Bring a file of an earlier version to this one's columns; it stays readable for that version."""
    if connection.execute("pragma user_version").fetchone()[0] >= SCHEMA:
        return
    for table, column, kind in _ADDED:
        if not any(row[1] == column for row in connection.execute(f"pragma table_info({table})")):
            connection.execute(f"alter table {table} add column {column} {kind}")
    for statement in (*_INDEXES, *VIEWS):
        connection.execute(statement)
    connection.execute(f"pragma user_version = {SCHEMA}")


_ADDED = (
    ("sitniks_keys", "lookout_at", "real not null default 0"),
    ("sitniks_keys", "lookout_by", "text not null default ''"),
    *(
        (f"sitniks_{table}", "details", "text not null default '{}'")
        for table in ("chat_mappings", "directory", "keys")
    ),
    ("sitniks_chat_mappings", "aside", "integer not null default 0"),
    *((f"sitniks_{table}", "account", "text not null default 'main'") for table in ("chat_mappings", "directory")),
)
# Here and not with the tables, because the columns of earlier files come first.
_WORK = "where (pending = 1 or aside = 1) and search_since is null"
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


def unfinished(connection: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    """What a connection still shows of a file that is gone, by how it is put into another one: records last."""
    found = {}
    for table, where in _UNFINISHED.items():
        # Another process may have begun a new file over what this one needs to read the old: then it has it all.
        with contextlib.suppress(sqlite3.Error):
            rows = connection.execute(f"select * from {table} where {where}")
            names = [column[0] for column in rows.description]
            insert = f"insert or ignore into {table} ({', '.join(names)}) values ({', '.join('?' * len(names))})"
            found[insert] = rows.fetchall()
    return found


# The ledger's lines keep their numbers, by which records are compared.
_UNFINISHED = {
    "sitniks_clock": "true",
    "sitniks_keys": "true",
    # Also those that were made, for they would be made again.
    "sitniks_orders": "true",
    "sitniks_ledger": "session in (select user_id from sitniks_chat_mappings where pending = 1)",
    "sitniks_chat_mappings": "pending = 1",
}
