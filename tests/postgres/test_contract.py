"""The Postgres functions do what the model does."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from tests.postgres.stack import Stack
from tests.stores.commands import live, lives
from tests.stores.contract import Contract
from tests.stores.worlds import World, memory_world, migrate, supabase_world


@pytest.fixture(scope="module")
def migrated(supabase_stack: Stack) -> Stack:
    migrate(supabase_stack)
    return supabase_stack


@pytest.fixture
def world(migrated: Stack) -> Iterator[World]:
    with supabase_world(migrated) as world:
        yield world


@pytest.fixture
def model() -> Iterator[World]:
    with memory_world() as world:
        yield world


class TestSupabase(Contract):
    """`world` is the module's."""


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(commands=lives)
def test_supabase_lives_as_the_model_does(commands: list[object], model: World, world: World) -> None:
    """Every answer, record, ledger line and count is the model's, over random lives with stale holders and rests."""
    live(commands, model, world)
