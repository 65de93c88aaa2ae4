"""Orders on the real Postgres: written once whatever is lost, by one of many, and within one trip a verb."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from mirt_sitniks.core.orders import OrderRecord, OrdersAsked, OrderState
from mirt_sitniks.errors import StoreError
from mirt_sitniks.stores.supabase import SupabaseStore
from tests.postgres.stack import Stack
from tests.stores.order_contract import BODY, add, commit, show
from tests.stores.worlds import World, migrate

CROWD = 6


def test_a_verb_is_one_trip(migrated: Stack, world: World) -> None:
    """Neither reads what the caller has seen, nor asks for a lease or a budget."""
    asked = migrated.gateway.requests
    before = len(asked)
    add(world, "a")
    show(world, "a", order_ids=("17",), alike="d", due=9, troubled=9)
    assert asked[before:] == ["POST /rpc/sitniks_commit_order", "POST /rpc/sitniks_orders"]


@pytest.mark.parametrize("version", [0, 1])
def test_who_lost_an_answer_is_told_that_he_wrote(migrated: Stack, world: World, version: int) -> None:
    """Row 3: the connection is cut behind the commit: asked again it is his, once, and of that version; nobody else
    who would write the very same is told so."""
    record = OrderRecord("a", "d", BODY, version=0) if version == 0 else add(world, "a")
    with migrated.gateway.fault("sitniks_commit_order", drop="answer", times=1) as lost:
        assert commit(world, replace(record, state=OrderState.SENT))
    assert lost.hits == 1
    assert not commit(world, replace(record, state=OrderState.SENT))
    assert [(one.state, one.version) for one in show(world, "a").records] == [(OrderState.SENT, version + 1)]


def test_a_commit_that_postgrest_took_with_it_is_there_or_not(migrated: Stack, world: World) -> None:
    """Row 3: PostgREST dies behind the commit: the store is away, and the row says whose it is."""
    record = add(world, "a")
    sent = replace(record, state=OrderState.SENT, lease_by="me")
    killed = migrated.gateway.fault("sitniks_commit_order", drop="answer", times=1, then=migrated.kill)
    with killed, pytest.raises(StoreError) as caught:
        commit(world, sent)
    assert caught.value.kind == "away"
    assert migrated.restart()
    assert show(world, "a").records == (replace(sent, version=2),)


def test_of_many_at_once_one_writes(migrated: Stack, world: World) -> None:
    """Row 17: the same order from all processes, then its next version, then one tie for six orders: one each."""

    async def alone(number: int) -> list[bool]:
        store = SupabaseStore(migrated.url, migrated.keys.service_role, timeout=60.0, client_factory=world.client)
        mine = OrderRecord(f"order {number}", "d", BODY)
        try:
            return [
                await store.commit_order(OrderRecord("a", "d", BODY)),
                await store.commit_order(OrderRecord("a", "d", BODY, state=OrderState.SENT, version=1)),
                await store.commit_order(mine) and await store.commit_order(replace(mine, version=1, order_id="17")),
            ]
        finally:
            await store.aclose()

    with ThreadPoolExecutor(CROWD) as pool:
        wrote = list(pool.map(lambda number: asyncio.run(alone(number)), range(CROWD)))
    assert [sum(column) for column in zip(*wrote, strict=True)] == [1, 1, 1]


def test_a_project_without_the_table_is_told_what_to_run(supabase_stack: Stack, migrated: Stack) -> None:
    """Row 20: `check` names what is missing, a verb names the command, and neither says anything of the order."""
    supabase_stack.sql("drop table public.sitniks_orders; drop function public.sitniks_commit_order(jsonb)")
    supabase_stack.reload()

    async def told() -> None:
        store = SupabaseStore(supabase_stack.url, supabase_stack.keys.service_role)
        with pytest.raises(StoreError, match=r"missing: sitniks_commit_order, sitniks_orders; .*migrations --print"):
            await store.check()
        for verb in (store.orders(OrdersAsked()), store.commit_order(OrderRecord("a", "d", BODY))):
            with pytest.raises(StoreError, match=r"table or function is missing; .*migrations --print") as caught:
                await verb
            assert caught.value.kind == "setup"
        await store.aclose()

    try:
        asyncio.run(told())
    finally:
        migrate(supabase_stack)
