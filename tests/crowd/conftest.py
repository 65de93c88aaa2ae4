"""The fork server for real processes."""

from collections.abc import Iterator

import pytest

from tests.crash.ordeal import Nursery
from tests.crowd.town import Town


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """A process that forks children, once a session."""
    one = Nursery()
    yield one
    one.close()


@pytest.fixture(autouse=True)
def _close_towns() -> Iterator[None]:
    """No simulated town outlives its test."""
    yield
    Town.close_all()
