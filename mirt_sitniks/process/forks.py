"""The package's only at-fork hooks: any number of threads may fork at once, each in its turn.

A fork copies all memory, but no thread except the one that forks: what others hold at that moment stays held in the
child for ever. What must not be met by a fork is done within `held_off()`; what a child cannot use it begins anew.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Hook = Callable[[], object]

# Re-entrant, because a signal's handler may fork in the thread that is just forking.
_turn = threading.RLock()
_before: list[Hook] = []
_in_child: list[Hook] = []


def at_fork(*, before: Hook | None = None, in_child: Hook) -> None:
    """From now on call `before` in the thread that forks, within `held_off()`, and `in_child` as the child begins."""
    _before.extend([before] if before else [])
    _in_child.append(in_child)


@contextmanager
def held_off() -> Iterator[None]:
    """A block that no fork meets, and that one thread at a time is in: every fork waits for its end."""
    with _turn:
        yield


def _prepare() -> None:
    _turn.acquire()
    for hook in _before:
        hook()


def _go_on() -> None:
    # A fork whose preparation was interrupted holds nothing.
    with suppress(RuntimeError):
        _turn.release()


def _begin_anew() -> None:
    global _turn
    _turn = threading.RLock()
    for hook in _in_child:
        hook()


os.register_at_fork(before=_prepare, after_in_parent=_go_on, after_in_child=_begin_anew)
