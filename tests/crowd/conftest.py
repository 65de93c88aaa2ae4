"""The fork server for real processes."""

from collections.abc import Iterator

import pytest

from tests.crash.crash_run import ForkServer
from tests.crowd.simulation import Simulation


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """A process that forks children, once a session."""
    one = ForkServer()
    yield one
    one.close()


@pytest.fixture(autouse=True)
def _close_simulations() -> Iterator[None]:
    """No simulation outlives its test."""
    yield
    Simulation.close_all()
