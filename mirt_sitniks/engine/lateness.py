"""How late a store's answer is, told by comparison."""

import math

# How far two clocks go apart in a second, at most.
DRIFT = 0.001
# So many of the first answers are compared with nothing: a process may begin while all is slow.
COLD = 8


class Lateness:
    """What this process has seen of the way to its store at its best."""

    def __init__(self) -> None:
        self._answers, self._offset, self._offset_at = 0, math.inf, 0.0

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
