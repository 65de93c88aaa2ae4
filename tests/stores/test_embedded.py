"""The model and SQLite keep the contract, and SQLite does what the model does whatever is asked of it."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from mirt_sitniks.core.capabilities import Capabilities, Heard, learn
from mirt_sitniks.stores.columns import known_from
from tests.stores.commands import live, lives
from tests.stores.contract import Contract
from tests.stores.order_contract import OrderContract, live_orders, order_lives
from tests.stores.reading_contract import ReadContract
from tests.stores.worlds import World, memory_world, sqlite_world


@pytest.fixture
def model() -> Iterator[World]:
    with memory_world() as world:
        yield world


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[World]:
    with sqlite_world(tmp_path) as world:
        yield world


class TestMemory(Contract, OrderContract, ReadContract):
    @pytest.fixture
    def world(self, model: World) -> World:
        return model


class TestSqlite(Contract, OrderContract, ReadContract):
    @pytest.fixture
    def world(self, sqlite: World) -> World:
        return sqlite


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(commands=lives)
def test_sqlite_lives_as_the_model_does(commands: list[object], model: World, sqlite: World) -> None:
    """Every answer, record, ledger line and count is the model's, over random lives with stale holders and rests."""
    live(commands, model, sqlite)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(commands=order_lives)
def test_orders_on_sqlite_live_as_in_the_model(commands: list[object], model: World, sqlite: World) -> None:
    """Every answer and all that is stored is the model's, over random lives with stale writers and second ties."""
    live_orders(commands, model, sqlite)


def test_what_a_later_version_knows_of_an_account_is_passed_over() -> None:
    """Fields that are new there stop no process of this version; its own come back as they were kept."""
    known = learn(Capabilities(), [Heard("assign", "missing", "c", "forbidden", "no"), Heard("list", "vouched")], 5.0)
    stored = asdict(known) | {"a new field": 1}
    stored["refused"]["assign"]["another"] = 2
    assert known_from(json.loads(json.dumps(stored))) == known
