"""How late things are, told by comparison: a store's answers, and calls on their way to the CRM."""

import math
from collections.abc import Callable

# How far two clocks go apart in a second, at most.
DRIFT = 0.001
# How much of the time that passes the CRM's usual way of answering may have become slower by.
SLOWER = 0.01
# So many of the first answers are compared with nothing: a process may begin while all is slow.
COLD = 8


class Lateness:
    """What this process has seen of both ways at their best; `clock` is monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._answers, self._offset, self._offset_at = 0, math.inf, 0.0
        self._usual, self._usual_at = 0.0, math.inf

    def grant_age(self, granted: float, received: float, asked: float) -> float:
        """How much later the store's answer came than it comes at best: so old are its grants already.

        `granted` is on the store's clock, `received` and `asked` on ours. A slow answer must not use a slot that others
        have been given meanwhile, nor a frozen process a lease that it has lost; and a store that is always slow must
        not stop the work. The difference of the two clocks is at its least when the answer came quickest.
        """
        offset = received - granted
        self._offset = min(self._offset + DRIFT * (received - self._offset_at), offset)
        self._offset_at, self._answers = received, self._answers + 1
        # Nothing to compare with yet, or a clock that was set back: no answer is later than what it took in all.
        took = received - asked
        return took if self._answers <= COLD else min(offset - self._offset, took)

    def delay(self, took: float) -> float:
        """How much longer than usual a round took: so late its calls may have reached the CRM.

        A network that stalls keeps calls back and delivers them together, long after their grants. A CRM that is always
        slow must not count twice.
        """
        now = self._clock()
        self._usual = min(took, self._usual + SLOWER * max(0.0, now - self._usual_at))
        self._usual_at = now
        return took - self._usual
