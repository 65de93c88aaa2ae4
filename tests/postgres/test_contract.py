"""A store on Postgres does what the model does, whichever view its settlements start from."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from tests.postgres.stack import Stack
from tests.stores.commands import live, lives
from tests.stores.contract import Contract
from tests.stores.order_contract import OrderContract, live_orders, order_lives
from tests.stores.reading_contract import ReadContract
from tests.stores.worlds import World, memory_world, supabase_world


@pytest.fixture(params=["fresh", "reused"])
def world(migrated: Stack, request: pytest.FixtureRequest) -> Iterator[World]:
    """With a view of its own for every settlement, and with those that came with the claims."""
    with supabase_world(migrated, fresh=request.param == "fresh") as world:
        yield world


@pytest.fixture
def model() -> Iterator[World]:
    with memory_world() as world:
        yield world


class TestSupabase(Contract):
    """`world` is the module's."""


class TestOthers(OrderContract, ReadContract):
    """Nothing of these is kept between two verbs."""

    @pytest.fixture
    def world(self, migrated: Stack) -> Iterator[World]:
        with supabase_world(migrated) as world:
            yield world


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(commands=lives)
def test_supabase_lives_as_the_model_does(commands: list[object], model: World, world: World) -> None:
    """Every answer, record, ledger line and count is the model's, over random lives with stale holders and rests."""
    live(commands, model, world)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(commands=order_lives)
def test_orders_on_supabase_live_as_in_the_model(commands: list[object], model: World, migrated: Stack) -> None:
    """Every answer and all that is stored is the model's, over random lives with stale writers and second ties."""
    with supabase_world(migrated) as world:
        live_orders(commands, model, world)
