"""What a process still knows of its file, for the case that somebody removes it under the process."""

from dataclasses import dataclass, field, replace

from mirt_sitniks.core.record import Record, pending
from mirt_sitniks.core.store import Entry, KeyState
from mirt_sitniks.stores.sqlite_rows import SqliteRows


@dataclass
class SqliteMemory:
    """The unfinished records that this process has written, the budgets of its keys, and the store's clock."""

    records: dict[str, Record] = field(default_factory=dict)
    keys: dict[str, KeyState] = field(default_factory=dict)
    now: float = 0.0

    def keep(self, rows: SqliteRows, now: float) -> None:
        """Take in what a transaction has committed."""
        self.keys |= rows.keys_put
        self.now = now
        for session, record in rows.records_put.items():
            if record and pending(record):
                self.records[session] = record
            else:
                self.records.pop(session, None)

    def restore(self, rows: SqliteRows, monotonic: float) -> None:
        """Write it to a new file, but for what another process has written there before; the clock goes on."""
        rows.start(self.now - monotonic)
        for key, state in self.keys.items():
            if rows.key(key) == KeyState():
                rows.put_key(key, state)
        for record in self.records.values():
            desired = record.desired
            if rows.get(record.session) is None and not (record.chat_id and rows.by_chat(record.chat_id)):
                # Known again, so that a replay is told from a new event.
                line = Entry(
                    0, record.session, "intent", desired.intent, desired.stage, desired.generation, "", rows.wall
                )
                rows.put(replace(record, desired=replace(desired, order=rows.log(line))))
