"""Row 30: the project's servers are killed under traffic, or are not there when a process closes."""

import asyncio

import pytest

from mirt_sitniks.core.result import Outcome
from mirt_sitniks.sandbox import Sandbox
from tests.postgres.outage import recorded, service, under_fire
from tests.postgres.stack import Stack
from tests.stores.worlds import EMPTY, migrate


@pytest.fixture
def project(supabase_stack: Stack) -> Stack:
    migrate(supabase_stack)
    supabase_stack.sql(EMPTY)
    return supabase_stack


@pytest.mark.slow
@pytest.mark.parametrize("what", ["rest", "database"])
def test_killed_servers_lose_nothing(project: Stack, what: str) -> None:
    """Three kills under traffic of two processes: all that was promised is in the ledger, nothing was refused."""
    found = under_fire(project, what, kills=3, stages=150)
    assert (found["lost"], found["refused"], found["429s"]) == (0, 0, 0), found
    assert found["stages"] >= 150


def test_a_fresh_process_that_only_visits_has_recorded_when_it_leaves(project: Stack) -> None:
    """With a reply budget of 0 nobody waits for the store, until the service is closed: three of three."""

    async def visit(number: int) -> None:
        async with service(project, crm, reply_budget=0.0) as host:
            told = await host.sync("escalation", session=f"s{number}", instagram_username="olena.example", intent="1")
            assert told.outcome is Outcome.QUEUED

    with Sandbox() as crm:
        for number in range(3):
            asyncio.run(visit(number))
    assert recorded(project) == {(f"s{number}", "escalation:1") for number in range(3)}


def test_closing_without_a_project_says_what_is_lost(project: Stack, caplog: pytest.LogCaptureFixture) -> None:
    """PostgREST is gone and stays so: in five seconds the process has ended, and named session and stage."""

    async def visit() -> None:
        async with service(project, crm, reply_budget=0.0) as host:
            project.kill()
            await host.sync("escalation", session="olena", instagram_username="olena.example")

    with Sandbox() as crm:
        asyncio.run(visit())
    project.restart()
    assert "stage escalation of session olena is lost" in caplog.text
    assert not recorded(project)
