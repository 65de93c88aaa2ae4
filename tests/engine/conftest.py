"""What the tests of orders share."""

from collections.abc import Iterator

import pytest

from tests.engine.counter import OrderCounter


@pytest.fixture
def counter() -> Iterator[OrderCounter]:
    """A counter whose loop is closed afterwards."""
    made = OrderCounter()
    yield made
    made.close()
