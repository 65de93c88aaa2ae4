"""What every store shows to who only looks: an overview, the sessions that fit, the ledger's lines."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.clock import Clock
from mirt_sitniks.core.events import Event
from mirt_sitniks.core.overview import fits, kind_of, outcome_of
from mirt_sitniks.core.record import (
    Desired,
    DesiredValue,
    Error,
    Intent,
    Observed,
    ObservedValue,
    Record,
    Try,
    Unconfirmed,
    pending,
)
from mirt_sitniks.core.result import Outcome
from mirt_sitniks.core.rows import Transaction
from mirt_sitniks.core.stages import Role, Stage
from mirt_sitniks.core.store import Report, StoreOptions, row_of
from mirt_sitniks.core.survey import OverviewAsked, SessionsAsked
from mirt_sitniks.stores.local import LocalStore
from mirt_sitniks.stores.supabase import SupabaseStore
from mirt_sitniks.stores.supabase_request import request_of
from tests.stores.contract import settlement
from tests.stores.worlds import OPTIONS, START, World

# One stage of a shop's own, and one that its settings do not know any more.
STATUSES = {"first_touch": "Взято", "give_requisites": "Рахунок", "escalation": "Увага", "it's paid": "ОПЛАЧЕНО"}
STAGES = (*STATUSES, "gone")
CODES = ("timeout", "unauthorized", "not_applied", "chat_not_found")
# One that runs, one that has found nobody, and one that has ended.
CLOCKS = (Clock(1, START, START + 900.0), Clock(1, START, 0.0, (7, 8)), Clock(2, START, 0.0, (7, 8), START + 5.0))
SHOP = replace(OPTIONS, account="shop")


def some_records(count: int, seed: int = 1) -> list[Record]:
    """Records of every kind, the same ones each time; in what no life of a session has as well."""
    random = Random(seed)
    return [_some_record(random, number) for number in range(count)]


def _some_record(random: Random, number: int) -> Record:
    generation = random.randrange(4)
    stage = random.choice(STAGES) if generation else None
    wanted = random.choice((stage, *STAGES)) if generation else None
    code = random.choice((None, None, *CODES))
    asked_at = START - random.randrange(5000)
    waits = random.random() < 0.2
    return Record(
        f"s{number:04}",
        random.choice((None, f"ig{number % 50}.example")),
        random.choice((None, f"tg{number % 30}")),
        random.choice((None, f"c{number}")),
        Desired(
            generation,
            stage,
            asked_at=asked_at,
            status=DesiredValue(wanted, generation and random.randrange(1, generation + 1), asked_at, 1),
            manager=random.choice((DesiredValue(), DesiredValue(Role.HUMAN, generation, asked_at, 1))),
        ),
        Observed(
            ObservedValue(random.choice((None, "Новий", *STATUSES.values())), random.randrange(4)),
            ObservedValue(random.choice((None, 7)), random.randrange(4)),
            Unconfirmed(generation - 1, START) if random.random() < 0.1 else None,
            given_up=random.randrange(4),
            error=Error(code, "because") if code else None,
        ),
        search_since=START if waits else None,
        search_attempt=random.randrange(2),
        closed=random.choice((None, None, None, None, "superseded")),
        clock=CLOCKS[number % 7] if number % 7 < len(CLOCKS) else None,
    )


def put(world: World, records: Iterable[Record], options: StoreOptions = OPTIONS) -> None:
    """Keep records as they are."""
    listed = list(records)

    def work(tx: Transaction) -> bool:
        for one in listed:
            tx.rows.put(one)
        return True

    store: Any = world.store
    if isinstance(store, LocalStore):
        world.run(store._run(options, work))
    else:
        assert isinstance(store, SupabaseStore)
        world.run(store._converge("record", options, request_of(options), work))


def names(records: Iterable[Record]) -> list[str]:
    return [one.session for one in records]


class ReadContract:
    """`world` is the store's."""

    def sessions(self, world: World, **asked: Any) -> list[str]:
        return names(world.run(world.store.sessions(SessionsAsked(**asked))))

    @pytest.fixture
    def filled(self, world: World) -> list[Record]:
        records = some_records(250)
        put(world, records)
        put(world, [replace(records[5], session="shop/s0005", chat_id="other")], SHOP)
        return records

    def test_an_overview_has_each_kind_once(self, world: World, filled: list[Record]) -> None:
        """Its groups are what Python groups; none is of another account."""
        seen = world.run(world.store.overview(OverviewAsked(statuses=STATUSES)))
        groups: dict[object, list[float]] = {}
        for one in filled:
            groups.setdefault(kind_of(one, STATUSES), []).append(one.desired.asked_at)
        found = {kind_of(one.example, STATUSES): (one.count, one.oldest) for one in seen.groups}
        assert found == {kind: (len(times), min(times)) for kind, times in groups.items()}
        assert len(seen.groups) == len(groups) > 60
        (other,) = world.run(world.store.overview(OverviewAsked("shop", STATUSES))).groups
        assert (other.example.session, other.count) == ("shop/s0005", 1)

    def test_sessions_are_those_that_fit(self, world: World, filled: list[Record]) -> None:
        """Whatever is asked for in whichever company, as `fits` says it of each record."""
        found = set()
        states: tuple[Any, ...] = (None, "waiting", "failed", "held", "unanswered")
        for state, codes, before, charted, who in product(
            states,
            ((), ("timeout", "chat_not_found")),
            (None, START - 2500),
            (False, True),
            (None, "ig7.example"),
        ):
            asked = SessionsAsked(
                who=who, state=state, statuses=STATUSES, codes=codes, asked_before=before, charted=charted, limit=1000
            )
            expected = names(one for one in filled if fits(one, asked))
            assert names(world.run(world.store.sessions(asked))) == expected, asked
            found.add(tuple(expected))
        assert len(found) > 25

    def test_they_come_page_by_page(self, world: World, filled: list[Record]) -> None:
        """Each page begins behind the last session of the one before; together they are all."""
        pages, after = [], ""
        while page := self.sessions(world, charted=True, after=after, limit=40):
            pages.append(page)
            after = page[-1]
        assert [one for page in pages for one in page] == names(one for one in filled if one.chat_id)
        assert [len(page) for page in pages[:-1]] == [40] * (len(pages) - 1)

    def test_who_is_a_session_a_user_name_or_a_chat(self, world: World) -> None:
        """A user name as people write it, a session as its host names it in whichever account; `%` and `_` are
        letters."""
        put(world, [Record("a/b%", instagram="ira_1"), Record("axb", telegram="ira_1", chat_id="c1"), Record("irax1")])
        put(world, [Record(row_of("shop", "a/b%"), instagram="ira_1"), Record(row_of("shop", "x"))], SHOP)
        for who, found in (
            ("ira_1", ["a/b%", "axb"]),
            ("@Ira_1", ["a/b%", "axb"]),
            ("c1", ["axb"]),
            ("a/b%", ["a/b%"]),
            ("irax1", ["irax1"]),
            ("x", []),
            ("nobody", []),
            ("", []),
        ):
            assert self.sessions(world, who=who) == found, who
        for who, found in (
            ("a/b%", ["shop/a/b%"]),
            ("shop/a/b%", ["shop/a/b%"]),
            ("x", ["shop/x"]),
            ("@ira_1", ["shop/a/b%"]),
            ("axb", []),
            ("c1", []),
        ):
            assert self.sessions(world, account="shop", who=who) == found, who

    def test_lines_are_those_of_an_account(self, world: World) -> None:
        """By whose the session is, whatever its name looks like; behind a number, or the newest, oldest first."""
        for options, session in ((OPTIONS, "s1"), (OPTIONS, "shop_/1"), (SHOP, "shop/s1"), (OPTIONS, "shopping/1")):
            intent = Intent(session, Stage.FIRST_TOUCH, "first_touch", instagram="ira.example")
            world.run(world.store.record(options, intent, calls=0))

        def lines(account: str, after: int, limit: int = 9) -> tuple[Any, ...]:
            return world.run(world.store.lines(account, after=after, limit=limit))

        mine = lines("main", 0)
        assert [one.session for one in mine] == ["s1", "shop_/1", "shopping/1"]
        assert [one.session for one in lines("shop", 0)] == [one.session for one in lines("shop", -1)] == ["shop/s1"]
        assert lines("main", -1, 2) == mine[1:]
        assert lines("main", 0, 2) == mine[:2]
        assert lines("main", mine[0].id) == mine[1:]
        assert lines("main", mine[-1].id) == ()

    def test_an_overview_that_counts_nothing_has_clocks_and_keys(self, world: World, filled: list[Record]) -> None:
        """Whatever the number of sessions, it tells what time it is and how the key is."""
        seen = world.run(world.store.overview(OverviewAsked(statuses=STATUSES, counted=False)))
        every = world.run(world.store.overview(OverviewAsked(statuses=STATUSES)))
        assert (seen.groups, seen.active, seen.lines) == ((), {}, 0)
        assert (seen.keys, seen.schema) == (every.keys, every.schema)
        assert seen.now == pytest.approx(every.now, abs=60)

    def test_an_overview_tells_of_keys_and_of_who_works(self, world: World) -> None:
        """The keys of the account, who wrote to the ledger lately, how many lines there are, and the clock."""
        for options, session, age in ((OPTIONS, "old", 0.0), (OPTIONS, "new", 900.0), (SHOP, "shop/s", 0.0)):
            world.clock.now += age
            told = replace(options, who=f"who {session}", key=f"key {options.account}")
            intent = Intent(session, Stage.FIRST_TOUCH, "first_touch", instagram="ira.example")
            world.run(world.store.record(told, intent))
            # By its managers a key is known to be an account's.
            world.run(world.store.settle(told, Report(managers=(1, 2))))
        seen = world.run(world.store.overview(OverviewAsked(statuses=STATUSES)))
        assert dict(seen.active) == {"who new": START + 900}
        assert {name: key.account for name, key in seen.keys.items()} == {"key main": "main"}
        assert seen.keys["key main"].scan is not None
        assert (seen.now, seen.wall, seen.schema) == (START + 900, START + 900, 2)
        other = world.run(world.store.overview(OverviewAsked("shop", STATUSES)))
        assert (list(other.keys), dict(other.active)) == (["key shop"], {"who shop/s": START + 900})

    def test_an_overview_tells_which_statuses_chats_have_shown(self, world: World) -> None:
        """Those of the account's directory, each once, to who asks for them."""
        for options, names in ((OPTIONS, ("a", "b", "c")), (SHOP, ("d",))):
            chats = [Chat(name, name, "instagram", status=f"S {name in 'bc'}") for name in names]
            world.run(world.store.hear(options, tuple(map(Event, chats))))
        for account, shown in (("main", {"S True", "S False"}), ("shop", {"S False"})):
            assert world.run(world.store.overview(OverviewAsked(account, STATUSES, listed=True))).shown == shown
            assert world.run(world.store.overview(OverviewAsked(account, STATUSES))).shown == frozenset()

    def test_of_an_empty_store_there_is_nothing(self, world: World) -> None:
        """Nobody, no line, no key; and it stays so."""
        for _ in range(2):
            seen = world.run(world.store.overview(OverviewAsked(statuses=STATUSES)))
            assert (seen.groups, dict(seen.keys), dict(seen.active), seen.lines) == ((), {}, {}, 0)
            assert self.sessions(world) == []
            assert world.run(world.store.lines("main", after=-1)) == ()


Query = Callable[[str], list[tuple[Any, ...]]]

SESSIONS_VIEW = (
    *("session", "account", "instagram", "telegram", "chat_id", "stage", "state", "asked_status", "asked_manager"),
    *("shown_status", "shown_manager", "error_code", "error_message", "asked_at", "first_touch_at", "next_try_at"),
    *("failures", "updated_at"),
)
STORY_VIEW = (
    *("id", "at", "session", "account", "stage", "what", "call", "code", "http_status", "seconds", "chat_before"),
    *("chat_after", "status_before", "status_after", "manager_before", "manager_after", "reason", "who"),
)
EXAMPLES = re.findall(r"```sql\n(.*?)```", (Path(__file__).parents[2] / "ARCHITECTURE.md").read_text("utf-8"), re.S)


def check_views(world: World, query: Query) -> None:
    """Each session and each line as it is told in words, whatever the database; the examples of the page run."""
    told = replace(OPTIONS, who="me")
    intent = Intent("olena", Stage.ESCALATION, "k", "olena.example", chat_id="hers", reason="angry")
    held = world.run(world.store.record(told, intent)).claim
    assert held is not None
    assert held.record is not None
    world.clock.now += 1
    shown = replace(settlement(held.record), observed=Observed(ObservedValue("Увага", 1), ObservedValue(7, 1)))
    tries = (Try("status", 0.5), Try("assign", 0.25, 502, "unavailable"), Try("list", 0.1, for_all=True))
    world.run(world.store.settle(told, Report(shown, tries=tries, basis=held.basis)))
    columns = "session, account, what, call, code, http_status, seconds, status_after, manager_after, reason, who"
    of, rest = ("olena", "main"), (None,) * 4
    assert query(f"select {columns} from sitniks_story order by id") == [
        (*of, "asked for", *rest, None, None, "angry", "me"),
        (*of, "call", "status", None, None, 0.5, None, None, None, "me"),
        (*of, "call", "assign", "unavailable", 502, 0.25, None, None, None, "me"),
        (None, None, "call", "list", None, None, 0.1, None, None, None, "me"),
        (*of, "outcome", *rest, "Увага", 7, None, "me"),
    ]
    records = some_records(150)
    put(world, records)
    seen = {one[0]: one[1:] for one in query("select session, state, error_code from sitniks_sessions")}
    assert seen == {one.session: standing(one) for one in records} | {"olena": ("done", None)}
    for view, names in (("sitniks_sessions", SESSIONS_VIEW), ("sitniks_story", STORY_VIEW)):
        assert len(query(f"select {', '.join(names)} from {view} limit 1")) == 1
    story, counts, calls = (query(example) for example in (EXAMPLES[1], EXAMPLES[0], EXAMPLES[2]))
    assert [one[1] for one in story] == ["asked for", "call", "call", "outcome"]
    assert sum(one[3] for one in counts) == len(records) + 1
    assert {one[0] for one in calls} == {"status", "assign", "list"}


def standing(record: Record) -> tuple[str, str | None]:
    """What the view of sessions says of a record."""
    outcome, code = outcome_of(record, STATUSES)
    if outcome is Outcome.SKIPPED:
        return "superseded", None
    state = "waiting" if pending(record) else "done"
    return ("given up" if state == "done" and code else state), code
