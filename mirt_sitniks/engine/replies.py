"""How long replies are held: one budget for a turn, however many syncs it has."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

Turn = tuple[str, str]

# A turn that nothing was heard of for so long is over; so many are remembered.
OVER, MOST = 600.0, 10_000


def turn_of(session: str, event: str | Sequence[str] | None) -> Turn | None:
    """What all syncs of a turn have in common: the first name of its event, for stages differ in the others; None when
    there is no event."""
    first = event[0] if isinstance(event, list | tuple) and event else event
    return (session, str(first)) if first else None


class ReplyBudget:
    """Counts what each turn's syncs have already held its reply; for use from any thread.

    `clock` is monotonic. Two syncs of one turn at the same moment hold it together, and count both.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        # Turn -> (seconds held, when last). Each step is one that threads cannot break up.
        self._held: dict[Turn, tuple[float, float]] = {}

    @contextmanager
    def holding(self, turn: Turn | None) -> Iterator[float]:
        """Hold a reply within this block; gives the seconds that are left for it, less than none when it was late.

        None is a turn of its own.
        """
        began = self._clock()
        held, last = self._held.get(turn, (0.0, began)) if turn else (0.0, began)
        held = held if began - last < OVER else 0.0
        try:
            yield self._seconds - held
        finally:
            if turn:
                now = self._clock()
                self._held.pop(turn, None)
                self._held[turn] = held + now - began, now
                while len(self._held) > MOST:
                    self._held.pop(next(iter(self._held)), None)
