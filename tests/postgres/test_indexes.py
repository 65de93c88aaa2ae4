"""Every verb finds its rows by an index, however many sessions there are and however Postgres plans it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from mirt_sitniks.core.budget import Limit
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.orders import OrdersAsked
from mirt_sitniks.core.record import Intent
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import Report
from mirt_sitniks.core.survey import SessionsAsked
from mirt_sitniks.stores.supabase import SupabaseStore
from tests.postgres.stack import Stack
from tests.stores.contract import scan_page, settlement
from tests.stores.worlds import OPTIONS, migrate

WIDE = replace(OPTIONS, limit=Limit(100, 10.5))
MANY = """
insert into public.sitniks_chat_mappings (user_id, instagram_username, telegram_username, sitniks_chat_id, generation,
    want_status_gen, status_gen, urgent_at, due_at, pending, intent_order)
select 's' || n, 'ig' || n, 'tg' || n, case when n % 1000 < 998 then 'c' || n end, 1, 1, (n % 1000 < 990)::int,
    now() - make_interval(secs => n), now() + make_interval(secs => n % 7 * 100), n % 1000 >= 990, n
from generate_series(1, 20000) n;
insert into public.sitniks_chat_mappings (user_id, instagram_username, generation, want_status_gen, search_since,
    urgent_at, due_at, pending, intent_order)
select 'waits' || n, 'waits' || n, 1, 1, now(), now(), now(), true, 20000 + n from generate_series(1, 3000) n;
insert into public.sitniks_ledger (session, kind, key, generation, who, at, before, after)
select 's' || n % 20000, 'intent', 'k' || n, 1, 'test', now(), '{}', '{}' from generate_series(1, 40000) n;
insert into public.sitniks_directory (chat_id, nickname, source, seen_at)
select 'c' || n, 'ig' || n, 'instagram', now() from generate_series(1, 20000) n;
insert into public.sitniks_orders (account, external_id, digest, body, session, chat_id, state, order_id, asked_at,
    due_at, attempt, candidates, lease_by, lease_until, version, updated_at, written_by)
select 'main', 'o' || n, 'd' || n, '{}', 's' || n, 'c' || n, 'created', n, now(),
    case when n % 1000 = 0 then now() - make_interval(secs => n) end, 0, '[]', '', now() - make_interval(secs => 5), 1,
    now(), '' from generate_series(1, 20000) n;
analyze public.sitniks_chat_mappings, public.sitniks_ledger, public.sitniks_directory, public.sitniks_orders;
"""
READ = """
select pg_stat_force_next_flush();
select sum(seq_scan), sum(seq_tup_read + idx_tup_fetch) from pg_stat_user_tables
where relname in ('sitniks_chat_mappings', 'sitniks_ledger', 'sitniks_directory', 'sitniks_orders');
"""


class Psql:
    """What a store needs of a client; every call is a session of its own, whose statistics are there when it ends."""

    def __init__(self, stack: Stack, plans: str) -> None:
        self._stack, self._begin = stack, f"set plan_cache_mode = {plans}; set role service_role; "

    def rpc(self, function: str, arguments: dict[str, Any]) -> "Psql":
        request = json.dumps(arguments["request"]).replace("'", "''")
        self._call = f"select public.{function}('{request}');"
        return self

    async def execute(self) -> "Psql":
        ((answer,), *_) = self._stack.sql(self._begin + self._call + "reset role; select pg_stat_force_next_flush();")
        self.data = json.loads(answer or "null")
        return self


@pytest.mark.parametrize("plans", ["force_custom_plan", "force_generic_plan"])
def test_no_verb_reads_more_than_it_needs(supabase_stack: Stack, plans: str) -> None:
    """Counted by Postgres itself: no verb scans a table, and none walks an index for rows that it leaves away."""
    migrate(supabase_stack)
    supabase_stack.sql(MANY)

    async def client() -> Psql:
        return Psql(supabase_stack, plans)

    async def verbs() -> None:
        store = SupabaseStore("", "", timeout=60.0, client_factory=client)

        async def cheap(verb: Callable[[], Awaitable[Any]], most: int = 12_000) -> Any:
            before = supabase_stack.sql(READ)[1]
            answer = await verb()
            after = supabase_stack.sql(READ)[1]
            assert after[0] == before[0], "a table was scanned"
            assert int(after[1] or 0) - int(before[1] or 0) < most, "an index was walked"
            return answer

        async def record(session: str, stage: Stage, *names: str) -> Any:
            return await cheap(lambda: store.record(WIDE, Intent(session, stage, "new", *names)))

        await record("s7", Stage.ESCALATION, "ig7", "tg8")
        scanning = await record("unknown", Stage.ESCALATION, "nobody")
        await record("fresh", Stage.FIRST_TOUCH, "ig9", "tg10", "c11")
        (held,) = (await cheap(lambda: store.claim(WIDE, limit=1))).claims
        news = Report(settlement(held.record), basis=held.basis, calls=2)
        await cheap(lambda: store.settle(WIDE, news))
        page = Report(page=scan_page(scanning.claim, Chat("c1", "ig1")), calls=2)
        # Told page by page, each of which comes with the sums of all who are left.
        await cheap(lambda: store.settle(WIDE, page), most=50_000)
        await cheap(lambda: store.observe("c5", status="x"))
        await cheap(lambda: store.get("s5"))
        seen = await cheap(lambda: store.orders(OrdersAsked("main", ("o5", "o6"), ("7",), "d8", due=9)), most=200)
        assert len(seen.records) == 12
        await cheap(lambda: store.commit_order(replace(seen.records[-1], attempt=7)), most=50)
        for who in ("s20", "@IG20", "tg20", "c20"):
            (found,) = await cheap(lambda who=who: store.sessions(SessionsAsked(who=who)), most=50)  # type: ignore[misc]
            assert found.session == "s20"
        assert len(await cheap(lambda: store.sessions(SessionsAsked(after="s5", limit=50)), most=200)) == 50
        assert len(await cheap(lambda: store.lines("main", after=-1, limit=50), most=200)) == 50
        assert len(await cheap(lambda: store.lines("main", after=20_000, limit=50), most=200)) == 50
        await cheap(lambda: store.forget("s6"))
        await cheap(lambda: store.prune(90 * 86_400.0))

    asyncio.run(verbs())
    plan = supabase_stack.sql(
        "explain select * from public.sitniks_ledger where session = 's5' order by id desc limit 9"
    )
    assert any("sitniks_ledger_sessions" in row[0] for row in plan)
