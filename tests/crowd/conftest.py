"""The fork server for real processes."""

from collections.abc import Iterator

import pytest

from tests.crash.crash_run import ForkServer
from tests.crowd.town import Town


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """A process that forks children, once a session."""
    one = ForkServer()
    yield one
    one.close()


@pytest.fixture(autouse=True)
def _close_towns() -> Iterator[None]:
    """No simulated town outlives its test."""
    yield
    Town.close_all()
