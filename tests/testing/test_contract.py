"""The stores' contract, as who writes a store runs it."""

import pytest

from tests.testing.conftest import Run

OWN = """
import pytest

from mirt_sitniks.stores.memory import MemoryStore
from mirt_sitniks.testing.store_contract import StoreContract
from mirt_sitniks.testing.store_world import world_of

class TestMine(StoreContract):
    @pytest.fixture
    def world(self):
        with world_of(lambda clock: Store(clock, clock)) as world:
            yield world
"""


def test_a_store_that_forgets_is_found(run: Run) -> None:
    """Each promise is a test of its own: those that do not ask for what is missing pass."""
    mine = OWN + "\nclass Store(MemoryStore):\n    async def get(self, session): return None\n"
    result = run(mine, "-k", "test_a_new_intent")
    outcomes = result.parseoutcomes()
    assert outcomes["failed"] >= 1
    assert "passed" in run(OWN + "\nStore = MemoryStore\n", "-k", "test_a_new_intent").parseoutcomes()


def test_it_asks_for_a_world(run: Run) -> None:
    """Without the fixture the contract says what it misses."""
    result = run("from mirt_sitniks.testing.store_contract import StoreContract\nclass TestMine(StoreContract): pass")
    result.stdout.fnmatch_lines(["*fixture 'world' not found*"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
