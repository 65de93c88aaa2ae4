"""What a sync asks of the database: two trips before the CRM's first call, one for each round of calls."""

import asyncio

from mirt_sitniks import SitniksChatService, SitniksSettings
from mirt_sitniks.sandbox import Sandbox
from tests.postgres.stack import Stack
from tests.stores.worlds import migrate


def test_a_stage_costs_three_round_trips_and_a_first_touch_four(supabase_stack: Stack) -> None:
    """One look, then one commit before the first call and after each round: each brings what the next starts from."""
    migrate(supabase_stack)
    asked = supabase_stack.gateway.requests

    async def talk() -> list[list[str]]:
        project = {"supabase_url": supabase_stack.url, "supabase_key": supabase_stack.keys.service_role}
        # Of so wide a window a grant is good for minutes: a busy machine would cost a trip more.
        settings = SitniksSettings(api_url=crm.url, api_key=crm.key, reply_budget=30.0, rate_limit="9/3600", **project)
        trips = []
        async with SitniksChatService(settings, worker=False) as service:
            # The first use of a process loads the client of Supabase: no stage shall pay for it here.
            await service.reconcile(1)
            for stage in ("first_touch", "give_requisites", "escalation"):
                before = len(asked)
                result = await service.sync(stage, session="s", instagram_username="iryna.example", intent=stage)
                assert result.success, result
                trips.append([line.split("/rpc/")[1] for line in asked[before:]])
        return trips

    with Sandbox() as crm:
        crm.add_chat("iryna.example")
        first, invoice, escalation = asyncio.run(talk())
    assert first == ["sitniks_view", *["sitniks_commit"] * 3]
    assert invoice == escalation == ["sitniks_view", *["sitniks_commit"] * 2]


def test_a_slow_answer_of_the_database_costs_one_more_round_trip_and_no_stage(supabase_stack: Stack) -> None:
    """Row 5: the calls it granted are too old by then; new ones are asked for, and the first touch is synced."""
    migrate(supabase_stack)

    async def talk() -> bool:
        project = {"supabase_url": supabase_stack.url, "supabase_key": supabase_stack.keys.service_role}
        settings = SitniksSettings(api_url=crm.url, api_key=crm.key, reply_budget=30.0, **project)
        async with SitniksChatService(settings, worker=False) as service:
            with supabase_stack.gateway.fault("sitniks_commit", delay=0.8, times=1) as slow:
                result = await service.sync("first_touch", session="s", instagram_username="iryna.example")
            assert slow.hits == 1
            return result.success

    with Sandbox() as crm:
        crm.add_chat("iryna.example")
        assert asyncio.run(talk())
        assert crm.count() == 4
