"""A file of the version before goes on where it was, and stays readable for processes of that version."""

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from mirt_sitniks.core.orders import OrderRecord, OrdersAsked
from mirt_sitniks.core.record import Intent, pending
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import Outlook, Verdict
from mirt_sitniks.stores.sqlite import SqliteStore
from tests.stores.worlds import OPTIONS, START, Clock

T = TypeVar("T")

EARLIER = (Path(__file__).parent / "earlier" / "sqlite.sql").read_text("utf-8")
# What that version has stored of a key: a call granted, a scan under way, nothing of a lookout.
STATE = {
    "budget": {"grants": [START], "lock": None, "locked_until": 0.0},
    "scan": {
        "token": 4, "since": START - 300, "until": START + 86400, "skip": 50, "reach": 1, "started": START,
        "failures": 0,
    },
    "scan_until": START + 30, "scan_due": 0.0, "scan_failures": 0, "scans": 4, "wide": [START - 60, -1e9],
    "aged_at": -1e9,
}  # fmt: skip
MAPPING = """
insert into sitniks_chat_mappings (user_id, instagram_username, sitniks_chat_id, current_status, created_at, updated_at,
    generation, stage, intent, intent_order, want_status, want_status_gen, want_manager, want_manager_gen, status_gen,
    doubt_gen, doubt_until, doubt_looked, due_at, urgent_at, lease_token, lease_until, pending)
values ('s', 'olena', 'c1', 'Взято в роботу', 1, 1, 2, 'escalation', 'escalation:k', 7, 'escalation', 2, 'human', 2, 1,
    2, :later, 0, :now, 0, 3, :now, 1)
"""


def earlier_file(folder: Path) -> Path:
    path = folder / "earlier.sqlite3"
    with sqlite3.connect(path) as file:
        file.executescript(EARLIER)
        file.execute("insert into sitniks_keys (key, state) values (?, ?)", (OPTIONS.key, json.dumps(STATE)))
        file.execute(MAPPING, {"now": START, "later": START + 20})
    file.close()
    return path


def open_store(path: Path, clock: Clock) -> SqliteStore:
    return SqliteStore(path, clock=clock, wall=clock)


def test_an_unfinished_stage_of_the_version_before_is_driven_on(tmp_path: Path) -> None:
    """Its desired and unconfirmed values, its scan and its budget are what they were."""
    clock = Clock(START + 1)
    store = open_store(earlier_file(tmp_path), clock)

    async def go_on() -> None:
        (held,) = (await store.claim(OPTIONS)).claims
        assert held.record
        mine = held.record
        assert (mine.session, mine.chat_id, mine.token, pending(mine)) == ("s", "c1", 4, True)
        assert (mine.desired.generation, mine.desired.status.value) == (2, "escalation")
        assert mine.observed.unconfirmed
        assert (mine.observed.unconfirmed.gen, mine.observed.unconfirmed.until) == (2, START + 20)
        # Two of three calls a window were left: the scan is another's until its lease ends.
        recorded = await store.record(OPTIONS, Intent("t", Stage.FIRST_TOUCH, "k", instagram="ira"))
        assert recorded.claim is None
        clock.now = START + 40
        claims = (await store.claim(OPTIONS)).claims
        (scan,) = [one.scan for one in claims if one.scan]
        assert (scan.token, scan.skip, scan.window) == (5, 50, 0)
        await store.aclose()

    asyncio.run(go_on())


def test_orders_are_kept_in_a_file_of_the_version_before(tmp_path: Path) -> None:
    """Its table is made when the file is opened, and a process of that version beside it, which knows none, breaks
    nothing."""
    path, clock = earlier_file(tmp_path), Clock(START + 1)
    made = OrderRecord("a", "d", {"client": {"fullname": "Олена"}}, session="s", asked_at=START)

    async def on_store(verb: Callable[[SqliteStore], Awaitable[T]]) -> T:
        store = open_store(path, clock)
        try:
            return await verb(store)
        finally:
            await store.aclose()

    assert asyncio.run(on_store(lambda store: store.commit_order(made)))
    with sqlite3.connect(path) as file:
        file.executescript(EARLIER)
        file.execute("update sitniks_chat_mappings set generation = generation + 1")
    file.close()
    seen = asyncio.run(on_store(lambda store: store.orders(OrdersAsked(due=9))))
    assert seen.records == (replace(made, version=1),)


def test_a_process_of_the_version_before_reads_and_writes_the_file(tmp_path: Path) -> None:
    """Its statements work, and it finds the names that it knows and no others; what it then writes is read here."""
    path, clock = earlier_file(tmp_path), Clock(START + 1)
    store = open_store(path, clock)
    asyncio.run(_claim_and_close(store))
    with sqlite3.connect(path) as file:
        (text,) = file.execute("select state from sitniks_keys where key = ?", (OPTIONS.key,)).fetchone()
        state = json.loads(text)
        # What is left out has a default there.
        assert set(state) == set(STATE) - {"aged_at"}
        assert set(state["scan"]) == set(STATE["scan"])  # type: ignore[arg-type]
        state["scans"] = 9
        query = "insert or replace into sitniks_keys (key, state) values (?, ?)"
        file.execute(query, (OPTIONS.key, json.dumps(state)))
        file.executescript(EARLIER)
    file.close()
    clock.now += 60
    outlook = asyncio.run(_claim_and_close(store))
    assert outlook.lookout_by == "test"


def test_what_the_version_before_has_recorded_has_its_time(tmp_path: Path) -> None:
    """Row 29: it writes the row and leaves the details as they are: they tell of another generation, and its own time
    stands; a time that the wall's clock has ahead of the store's holds nobody up."""
    path, clock = earlier_file(tmp_path), Clock(START)

    def asked(stage: Stage, at: float, mapping: str = "want_status_gen = 2") -> Verdict:
        with sqlite3.connect(path) as file:
            file.execute(f"update sitniks_chat_mappings set {mapping}")
        file.close()

        async def record() -> Verdict:
            store = open_store(path, clock)
            key = f"{stage} {mapping} {at}"
            recorded = await store.record(OPTIONS, Intent("s", stage, key, asked_at=at))
            await store.aclose()
            return recorded.verdict

        return asyncio.run(record())

    clock.now = START + 100
    assert asked(Stage.GIVE_REQUISITES, START + 50) is Verdict.NEW
    theirs = f"generation = 4, want_status_gen = 4, want_status = 'escalation', asked_at = {START + 90}"
    assert asked(Stage.GIVE_REQUISITES, START + 80, theirs) is Verdict.SUPERSEDED
    assert asked(Stage.FIRST_TOUCH, START + 95, f"{theirs}, want_manager_gen = 4") is Verdict.SUPERSEDED
    ahead = f"generation = 6, want_status_gen = 6, want_status = 'escalation', asked_at = {START + 3600}"
    assert asked(Stage.GIVE_REQUISITES, START + 80, ahead) is Verdict.NEW


async def _claim_and_close(store: SqliteStore) -> Outlook:
    outlook = (await store.claim(OPTIONS)).outlook
    await store.aclose()
    return outlook
