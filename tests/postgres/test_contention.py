"""Many at once on the real Postgres, also of two versions: one holder each, one budget for all, and no deadlock."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

import pytest

from mirt_sitniks.core.budget import Limit
from mirt_sitniks.core.orders import OrderRecord, OrdersAsked
from mirt_sitniks.core.record import Intent, ObservedValue
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import Report, Verdict
from mirt_sitniks.stores.migrations import migrations, script
from mirt_sitniks.stores.supabase import SupabaseStore
from tests.postgres.earlier import store as earlier
from tests.postgres.earlier.store import EarlierStore
from tests.postgres.stack import Stack
from tests.stores.contract import settlement
from tests.stores.worlds import EMPTY, OPTIONS

T = TypeVar("T")
Kinds: TypeAlias = list[type[SupabaseStore]]
WIDE = replace(OPTIONS, limit=Limit(10_000, 10.5))
CROWD = 6


@pytest.fixture(scope="module")
def migrated(supabase_stack: Stack) -> Stack:
    """A project of the released version that was upgraded in place."""
    supabase_stack.reset()
    supabase_stack.sql(earlier.script())
    supabase_stack.sql(script())
    supabase_stack.reload()
    return supabase_stack


@pytest.fixture(params=[[SupabaseStore], [SupabaseStore, EarlierStore]], ids=["one version", "two versions"])
def kinds(request: pytest.FixtureRequest) -> Kinds:
    """Who shares the project: processes of this version, or old ones among them."""
    return request.param


@pytest.fixture
def project(migrated: Stack) -> Stack:
    migrated.sql(EMPTY)
    return migrated


def crowd(project: Stack, kinds: Kinds, work: Callable[[int, SupabaseStore], Coroutine[Any, Any, T]]) -> list[T]:
    """`work` on as many threads, each with a store and a loop of its own; begun together, raised if one fails."""

    async def alone(number: int) -> T:
        store = kinds[number % len(kinds)](project.url, project.keys.service_role, timeout=60.0)
        try:
            return await work(number, store)
        finally:
            await store.aclose()

    with ThreadPoolExecutor(CROWD) as pool:
        return list(pool.map(lambda number: asyncio.run(alone(number)), range(CROWD)))


def intent(session: str, stage: Stage = Stage.FIRST_TOUCH, key: str = "k", **more: str) -> Intent:
    return Intent(session, stage, key, **{"chat_id": f"chat of {session}", **more})


def test_each_record_is_claimed_once(project: Stack, kinds: Kinds) -> None:
    """Row 17: claimers at once take 120 records, every one of them exactly once, also under several keys."""

    async def fill(number: int, store: SupabaseStore) -> None:
        for place in range(20):
            await store.record(WIDE, intent(f"s{number}-{place}"), calls=0)

    async def claim(number: int, store: SupabaseStore) -> list[str]:
        mine: list[str] = []
        options = replace(WIDE, key=f"key {number % 3}")
        while claims := (await store.claim(options, limit=7)).claims:
            mine += [claim.record.session for claim in claims if claim.record]
        return mine

    crowd(project, kinds, fill)
    taken = Counter(session for mine in crowd(project, kinds, claim) for session in mine)
    assert len(taken) == 20 * CROWD
    assert set(taken.values()) == {1}


def test_one_budget_for_all(project: Stack, kinds: Kinds) -> None:
    """Row 18: whoever asks, and by whichever verb, no more calls are granted than the window has."""

    async def ask(number: int, store: SupabaseStore) -> int:
        options = replace(OPTIONS, limit=Limit(9, 1000.0))
        grants = 0
        for place in range(6):
            answer = await store.record(options, intent(f"s{number}-{place}"))
            grants += len(answer.claim.grants) if answer.claim else 0
            settled = await store.settle(options, Report(calls=1))
            grants += len(settled.claim.grants) if settled.claim else 0
            grants += sum(len(claim.grants) for claim in (await store.claim(options)).claims)
        return grants

    assert sum(crowd(project, kinds, ask)) == 9


def test_who_waits_takes_nobodys_calls_back(project: Stack, kinds: Kinds) -> None:
    """Sessions that begin to wait write the key without minding its calls: those that are granted meanwhile stay."""

    async def ask(number: int, store: SupabaseStore) -> int:
        options, grants = replace(OPTIONS, limit=Limit(1000, 1000.0)), 0
        for place in range(15):
            if number % 3:
                waits = Intent(f"s{number}-{place}", Stage.FIRST_TOUCH, "k", instagram=f"n{number}-{place}")
                await store.record(options, waits, calls=0)
            else:
                settled = await store.settle(options, Report(calls=1))
                grants += len(settled.claim.grants) if settled.claim else 0
        return grants

    assert sum(crowd(project, kinds, ask)) == 2 * 15
    assert project.sql("select cardinality(grants) from public.sitniks_keys") == [(str(2 * 15),)]


def test_an_intent_recorded_by_all_at_once_is_new_once(project: Stack, kinds: Kinds) -> None:
    """Row 1: the same intent from all processes: one is new, the others know it, and one has the claim."""

    async def same(number: int, store: SupabaseStore) -> tuple[Verdict, bool]:
        answer = await store.record(WIDE, intent("s"))
        return answer.verdict, answer.claim is not None

    answers = crowd(project, kinds, same)
    assert sorted(verdict.value for verdict, _ in answers) == ["known"] * (CROWD - 1) + ["new"]
    assert sum(claimed for _, claimed in answers) == 1


@pytest.mark.parametrize("calls", [0, 2], ids=["only recorded", "with calls"])
def test_no_turn_is_given_twice(project: Stack, calls: int) -> None:
    """Escalations from all processes at once: each live manager gets as many, whether or not the key is written for its
    calls as well."""
    options = replace(WIDE, live_managers=(5, 6, 7, 8))

    async def escalate(number: int, store: SupabaseStore) -> list[int | None]:
        given = []
        for place in range(6):
            made = intent(f"s{number}-{place}", Stage.ESCALATION)
            given.append((await store.record(options, made, calls=calls)).record.desired.manager.who)
        return given

    given = Counter(one for mine in crowd(project, [SupabaseStore], escalate) for one in mine)
    assert given == dict.fromkeys(options.live_managers, 6 * CROWD // 4)


def test_takeovers_cross_without_a_deadlock(project: Stack, kinds: Kinds) -> None:
    """Row 19: sessions that take one another's chats, under two keys whose rows do not order them, all end well."""

    async def take(number: int, store: SupabaseStore) -> None:
        options = replace(WIDE, key=f"key {number % 2}")
        for turn in range(12):
            session = f"s{(number + turn) % 4}"
            chat = f"c{(number * 3 + turn) % 3}"
            answer = await store.record(
                options, intent(session, Stage.ESCALATION, f"{number} {turn}", chat_id=chat, instagram=f"name {chat}")
            )
            if answer.claim and answer.claim.record:
                mine = settlement(answer.claim.record, status=ObservedValue("x", answer.record.desired.generation))
                await store.settle(options, Report(mine, calls=2))

    crowd(project, kinds, take)
    rows = project.sql(
        "select count(sitniks_chat_id), count(distinct sitniks_chat_id), sum(generation) "
        "from public.sitniks_chat_mappings"
    )
    assert rows[0][0] == rows[0][1]
    assert rows[0][2] == str(12 * CROWD)


@pytest.mark.parametrize("number", range(len(migrations())), ids=[one.name[:14] for one in migrations()])
def test_one_migration_run_again_under_traffic(project: Stack, number: int) -> None:
    """Each in a transaction of its own: none waits for a verb that waits for it."""
    again_and_again(project, [SupabaseStore], migrations()[number].sql)


def test_migrations_run_again_under_traffic(project: Stack, kinds: Kinds) -> None:
    """They take their locks in the order of the verbs, so that neither ends the other, nor a reader, as a deadlock."""
    again_and_again(project, kinds, script())


def again_and_again(project: Stack, kinds: Kinds, sql: str) -> None:
    """Runs the SQL while a crowd records, observes and reads."""
    over, turned = threading.Event(), threading.Semaphore(0)

    async def work(number: int, store: SupabaseStore) -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            answer = await store.record(replace(WIDE, key=f"key {number % 3}"), intent(f"s{number}", key=str(turn)))
            await store.observe(f"chat of s{number}", status=str(turn))
            assert answer.record.chat_id == (await store.get(f"s{number}")).chat_id
            # An old process knows no orders, and theirs has the functions of today.
            assert await store.commit_order(OrderRecord(f"{number} {turn}", "", {}))
            assert len((await store.orders(OrdersAsked(external_ids=(f"{number} {turn}",)))).records) == 1
            turned.release()

    def migrate() -> None:
        try:
            for _ in range(8):
                for _ in range(2 * CROWD):
                    assert turned.acquire(timeout=60)
                project.sql(f"begin; {sql}; commit")
        finally:
            over.set()

    with ThreadPoolExecutor(1) as pool:
        migrating = pool.submit(migrate)
        crowd(project, kinds, work)
        migrating.result()
