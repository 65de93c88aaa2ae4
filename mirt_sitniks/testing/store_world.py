"""A store in a world of its own: a clock that stands until it is moved, and a loop to run its verbs on."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mirt_sitniks.core.budget import Limit
from mirt_sitniks.core.store import Store, StoreOptions

T = TypeVar("T")

# A date, because stores keep dates; and one that a float holds exactly.
START = 1_800_000_000.0
OPTIONS = StoreOptions("key", limit=Limit(3, 10.5), lease=30.0, lookback=300.0, who="test")


@dataclass
class Clock:
    """The store's clock and the wall's in one, in seconds since 1970."""

    now: float = START

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """`run` runs a verb to its end; `clear` empties the store; `client` makes one more that has its clock."""

    store: Store
    run: Callable[[Coroutine[Any, Any, T]], T]
    clock: Clock = field(default_factory=Clock)
    clear: Callable[[], object] = lambda: None
    client: Callable[[], Awaitable[Any]] | None = None


@contextmanager
def world_of(make: Callable[[Clock], Store]) -> Iterator[World]:
    """The world of an empty store that `make` makes, on a clock that it is given."""
    clock = Clock()
    with asyncio.Runner() as runner:
        store = make(clock)
        try:
            yield World(store, runner.run, clock)
        finally:
            runner.run(store.aclose())
