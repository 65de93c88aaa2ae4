"""A store with sessions of each kind, whose clocks stand still, for commands that look at it."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from mirt_sitniks.core.budget import Budget
from mirt_sitniks.core.capabilities import Capabilities, Refusal
from mirt_sitniks.core.key_state import KeyState
from mirt_sitniks.core.record import Error, Record
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import Entry
from mirt_sitniks.settings import SitniksSettings
from mirt_sitniks.stores.sqlite import SqliteStore
from tests.core.records import NAMES, record_at

# A new file's clock begins with the wall's.
NOW = WALL = 1_800_000_000.0
FIRST, INVOICE, ESCALATION = Stage.FIRST_TOUCH, Stage.GIVE_REQUISITES, Stage.ESCALATION
NO_STATUS = Error(
    "unknown_status", "Sitniks has no status “AI Увага”: create it there or set SITNIKS_STATUS_ESCALATION"
)
TWO = Error("chat_ambiguous", "several people in Sitniks have this user name: merge or rename them there")
EMPTY = {"chat_id": None, "status": None, "manager_id": None, "error": None}


def opened(settings: SitniksSettings, *, readonly: bool = False) -> SqliteStore:
    """The store that settings name, at the moment at which all is looked at."""
    return SqliteStore(settings.database, clock=lambda: NOW, wall=lambda: WALL, readonly=readonly)


def named(record: Record, session: str, age: float, user: str, chat: str | None = None) -> Record:
    """A record as that of a session which was asked for so many seconds ago."""
    desired = replace(record.desired, asked_at=WALL - age, began_at=WALL - age)
    seen = replace(record.observed, seen_at=record.observed.seen_at and NOW - age)
    return replace(record, session=session, instagram=user, chat_id=chat, desired=desired, observed=seen)


def held(record: Record, status: str) -> Record:
    """The same with a person's status."""
    seen = record.observed
    return replace(record, observed=replace(seen, status=replace(seen.status, value=status)))


RECORDS = (
    named(record_at(FIRST, INVOICE, confirmed=2), "s-synced", 259_200, "iryna.example", "65f1"),
    held(named(record_at(FIRST, INVOICE, confirmed=2), "s-held", 7200, "olena.example", "65f2"), "ОПЛАЧЕНО"),
    named(record_at(FIRST, ESCALATION, confirmed=1, due_at=NOW + 480, attempt=2, error=NO_STATUS), "example-2", 900,
          "marko.example", "65f3"),
    named(record_at(FIRST, given_up=1, error=TWO), "s-twins", 3600, "anna.shop"),
    replace(named(record_at(FIRST, due_at=NOW + 4), "s-search", 26, "petro.example"), search_attempt=2,
            search_since=WALL - 26),
    named(record_at(FIRST, INVOICE, confirmed=1, due_at=NOW), "s-soon", 3, "iryna.example", "65f4"),
)  # fmt: skip
TOUCHED = {**EMPTY, "chat_id": "65f3", "status": NAMES[FIRST], "manager_id": 101}
STORY = (
    Entry(0, "example-2", "intent", "first_touch", FIRST, 1, "host:1/1", WALL - 90_000),
    Entry(0, "example-2", "try", "status", FIRST, 1, "host:1/1", WALL - 89_999.6, {}, {"seconds": 0.21}),
    Entry(0, "example-2", "outcome", None, FIRST, 1, "host:1/1", WALL - 89_999.5, EMPTY, TOUCHED),
    Entry(0, "example-2", "intent", "escalation:m2", ESCALATION, 2, "host:1/1", WALL - 900, {}, {"reason": "angry"}),
    Entry(0, "example-2", "also", "escalation:m2b", ESCALATION, 2, "host:1/1", WALL - 900),
    Entry(0, "example-2", "try", "status", ESCALATION, 2, "host:1/1", WALL - 899.7, {},
          {"seconds": 0.3, "status": 400, "code": "unknown_status"}),
    Entry(0, "example-2", "outcome", None, ESCALATION, 2, "host:1/1", WALL - 899.7, TOUCHED,
          {**TOUCHED, "error": "unknown_status"}),
    Entry(0, "", "try", "list", None, 0, "host:1/1", WALL - 20, {}, {"seconds": 1.5}),
    Entry(0, "s-search", "intent", "first_touch", FIRST, 1, "host:1/1", WALL - 26),
)  # fmt: skip
REFUSAL = Refusal(
    "forbidden", "this key may not assign a manager: give it this right in Sitniks", ("65f1",), True, NOW + 60
)
KEY = KeyState(
    Budget((NOW - 1, NOW - 2)), lookout_at=NOW + 4, lookout_by="host:1/1", known=Capabilities({"assign": REFUSAL})
)


def fill(
    path: Path, records: Iterable[Record] = RECORDS, lines: Iterable[Entry] = STORY, key: KeyState | None = KEY
) -> None:
    """Make the file."""

    async def go() -> None:
        store = SqliteStore(path, clock=lambda: NOW, wall=lambda: WALL)

        def work(rows, now):  # type: ignore[no-untyped-def]
            for one in records:
                rows.put(one)
            for line in lines:
                rows.log(line)
            if key:
                rows.put_key("a-key", key)

        await store._write(work)
        await store.aclose()

    asyncio.run(go())
