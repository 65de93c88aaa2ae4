"""What was asked for last stands, though the request that brought something older to Supabase came after it."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from mirt_sitniks.core.result import Outcome
from mirt_sitniks.sandbox import Sandbox
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.settings import SitniksSettings
from tests.postgres.stack import Stack
from tests.service.shop import wait_until
from tests.stores.worlds import migrate


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(limit=False) as running:
        yield running


def process(stack: Stack, sandbox: Sandbox) -> SitniksChatService:
    """A service as a process of its own has it, which has heard of the store's clock and has nothing to do just now."""
    settings = SitniksSettings(
        api_url=sandbox.url, api_key=sandbox.key, store="supabase", supabase_url=stack.url,
        supabase_key=stack.keys.service_role, reply_budget=0.2, _env_file=None,
    )  # fmt: skip
    made = SitniksChatService(settings)
    warm = f"warm {id(made)}"
    made.sync_blocking("first_touch", session=warm, instagram_username="nobody")
    looked = f"select search_attempt > 0 from public.sitniks_chat_mappings where user_id = '{warm}'"
    wait_until(lambda: stack.sql(looked) == [("t",)])
    return made


@pytest.mark.blocks
@pytest.mark.parametrize("stalled", ["first_touch", "give_requisites"])
@pytest.mark.parametrize("way", ["sitniks_view", "sitniks_commit"])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_record_that_stalls_is_no_newer_than_it_was_asked_for(
    supabase_stack: Stack, sandbox: Sandbox, stalled: str, way: str, processes: int
) -> None:
    """Row 29: told `queued`, on its way for a second; the escalation that was asked for meanwhile stands."""
    migrate(supabase_stack)
    chat = sandbox.add_chat("olena.example")
    with closing(process(supabase_stack, sandbox)) as first, closing(process(supabase_stack, sandbox)) as second:
        names = {"session": "s", "instagram_username": "olena.example"}
        fault = supabase_stack.gateway.fault(way, delay=1.0, times=1)
        with fault as stall:
            assert first.sync_blocking(stalled, **names).outcome is Outcome.QUEUED
            wait_until(lambda: stall.hits)
            later = second if processes == 2 else first
            later.sync_blocking("escalation", **names)
            lines = "select count(*) from public.sitniks_ledger where session = 's' and kind = 'intent'"
            wait_until(lambda: supabase_stack.sql(lines) == [("2",)])
        wait_until(lambda: (sandbox.chat(chat)["status"], sandbox.chat(chat)["assignedManagerId"]) == ("AI Увага", 102))
        wanted = "select want_status, want_manager from public.sitniks_chat_mappings where user_id = 's'"
        assert supabase_stack.sql(wanted) == [("escalation", "human")]
