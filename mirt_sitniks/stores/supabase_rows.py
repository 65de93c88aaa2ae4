"""Rows as a Supabase project showed them, and what a verb has changed of them: pure, so that the store only sends.

Times are seconds since 1970 here and ISO 8601 there, both to the microsecond, so that a grant is known again.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from math import inf
from typing import Any

from mirt_sitniks.core.backoff import ACCOUNT_CODES
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.key_state import KeyState
from mirt_sitniks.core.record import Record
from mirt_sitniks.core.rows import Waiting
from mirt_sitniks.core.store import Entry
from mirt_sitniks.stores.columns import (
    contact_from,
    contact_to,
    from_row,
    key_from,
    key_to,
    to_row,
)
from mirt_sitniks.stores.memory import MemoryRows

Json = dict[str, Any]

_TIMES = ("first_touch_at", "asked_at", "doubt_until", "due_at", "search_since", "urgent_at", "lease_until")

_KEY_TIMES = ("grants", "locked_until", "scan_until", "scan_due", "wide", "lookout_at")


@dataclass(frozen=True, slots=True)
class View:
    """What the project showed in one snapshot, `received` on this process's clock.

    A row's version is what it is compared by when it is written; a key or record that is not there has none.
    `waiting` are the sums of those who wait for a chat and are not among `records`. `last` is the last session of the
    page of them that was asked for; `unfolded`: there are more behind it. `unlisted` are sessions that the watch has
    not seen.
    """

    now: float
    received: float
    key_name: str
    key: KeyState
    records: tuple[Record, ...]
    versions: Mapping[str, str]
    contacts: tuple[Chat, ...]
    waiting: Waiting
    key_version: str | None = None
    unfolded: bool = False
    last: str | None = None
    known: int | None = None
    order: int | None = None
    managers: tuple[int, ...] = ()
    unlisted: tuple[str, ...] = ()


def view_of(answer: Json, key_name: str, received: float) -> View:
    """An answer of `sitniks_view`."""
    key, waiting = answer["key"], answer["waiting"]
    return View(
        now=seconds(answer["now"]),
        received=received,
        key_name=key_name,
        key=key_of(key) if key else KeyState(),
        key_version=key["version"] if key else None,
        records=tuple(map(record_of, answer["records"])),
        versions={row["user_id"]: row["version"] for row in answer["records"]},
        contacts=tuple(contact_from({**row, "seen_at": seconds(row["seen_at"])}) for row in answer["contacts"]),
        waiting=Waiting(
            tuple((attempt, seconds(since)) for attempt, since in waiting["due"]),
            *(seconds(waiting[name] or "infinity") for name in ("urgent_at", "first_at", "ready_at")),
        ),
        unfolded=waiting["left"] > 0,
        last=waiting["last"],
        known=answer["known"],
        order=answer["order"],
        managers=tuple(answer["managers"] or ()),
        unlisted=tuple(answer["unlisted"]),
    )


class ViewedRows(MemoryRows):
    """The `Rows` of one try: what was viewed, and what is to be committed."""

    def __init__(self, view: View) -> None:
        super().__init__()
        for record in view.records:
            super().put(record)
        super().add_contacts(view.contacts)
        self._view, self._key = view, view.key
        self._records: dict[str, Record] = {}
        self._contacts: dict[str, Chat] = {}
        self._dropped: set[str] = set()
        self._woken: tuple[str, ...] = ()
        self.unfolded = view.unfolded

    @property
    def keyed(self) -> bool:
        """Whether the key is to be written: by who has seen it last, so that one of two at once is in vain."""
        return self._key != self._view.key

    def put(self, record: Record) -> None:
        super().put(record)
        self._records[record.session] = record

    def add_contacts(self, chats: Iterable[Chat]) -> None:
        listed = tuple(chats)
        super().add_contacts(listed)
        self._contacts |= {one.id: one for one in listed}

    def drop_contact(self, chat_id: str) -> None:
        super().drop_contact(chat_id)
        self._contacts.pop(chat_id, None)
        self._dropped.add(chat_id)

    def known(self, session: str, keys: Iterable[str]) -> int | None:
        return self._view.known

    def log(self, line: Entry) -> int:
        number = (self._view.order or 0) if line.kind == "intent" else 0
        self.entries.append(replace(line, id=number))
        return number

    def waiting(self, now: float) -> Waiting:
        return self._view.waiting + super().waiting(now)

    def key(self, key: str) -> KeyState:
        return self._key

    def unlisted(self, now: float, since: float, hold: float) -> Iterable[Record]:
        return [self.records[name] for name in self._view.unlisted]

    def managers(self) -> tuple[int, ...]:
        return self._view.managers

    def put_key(self, key: str, state: KeyState) -> None:
        self._key = state

    def wake(self, now: float) -> None:
        self._woken = ACCOUNT_CODES

    def changes(self, *, told: bool = False) -> Json | None:
        """What `sitniks_commit` shall write, None when there is nothing.

        Whoever makes a session wait for a chat, or gives its search up, writes the key as well, and so does who has
        `told` a part of those who wait: so neither of the two overlooks the other. The first minds only a scan that
        ends or begins meanwhile; customers who come all at once are not in each other's way.
        """
        view = self._view
        key: Json = {"key": view.key_name, "version": view.key_version}
        waits = any(one.search_since is not None and not one.closed for one in self._records.values())
        if told or self._key != view.key:
            key |= _with(iso, key_to(self._key), _KEY_TIMES)
        elif waits:
            key |= {"scans": view.key.scans, "scanning": view.key.scan is not None}
        keyed = len(key) > 2
        if not (keyed or self._records or self.entries or self._contacts or self._dropped):
            return None
        return {
            "key": key if keyed else None,
            "records": [
                _with(iso, to_row(one), _TIMES) | {"version": view.versions.get(one.session)}
                for one in self._records.values()
            ],
            "lines": [{**asdict(line), "id": line.id or None, "at": iso(line.at)} for line in self.entries],
            "dropped": sorted(self._dropped),
            "woken": self._woken,
            "contacts": [{**contact_to(one), "seen_at": iso(one.seen_at)} for one in self._contacts.values()],
        }


def seconds(text: str) -> float:
    """ISO 8601 as seconds since 1970."""
    return inf if text == "infinity" else datetime.fromisoformat(text).timestamp()


def iso(at: float) -> str:
    """Seconds since 1970 as the database reads them."""
    return datetime.fromtimestamp(at, UTC).isoformat()


def _with(convert: Callable[[Any], Any], row: Json, names: Iterable[str]) -> Json:
    """A row with its times converted, those in lists as well."""

    def converted(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [convert(one) for one in value]
        return None if value is None else convert(value)

    return {**row, **{name: converted(row[name]) for name in names}}


def record_of(row: Json) -> Record:
    """A row of `sitniks_chat_mappings`."""
    return from_row(_with(seconds, row, _TIMES))


def key_of(row: Json) -> KeyState:
    """A row of `sitniks_keys`."""
    return key_from(_with(seconds, row, _KEY_TIMES))


def entry_of(row: Json) -> Entry:
    """A line of the ledger."""
    return Entry(**{**row, "at": seconds(row["at"])})
