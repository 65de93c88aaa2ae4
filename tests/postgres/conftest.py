"""A migrated project for a module's tests, and its store in a world of its own for each."""

from collections.abc import Iterator

import pytest

from tests.postgres.stack import Stack
from tests.stores.worlds import World, migrate, supabase_world


@pytest.fixture(scope="module")
def migrated(supabase_stack: Stack) -> Stack:
    migrate(supabase_stack)
    return supabase_stack


@pytest.fixture
def world(migrated: Stack) -> Iterator[World]:
    with supabase_world(migrated) as world:
        yield world
