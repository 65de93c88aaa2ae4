"""The escalation clock of a chat: since when a person is waited for, who was called, and when the next one is. Pure."""

from dataclasses import dataclass

from mirt_sitniks.core.hours import Hours, working_until

# The kinds of the ledger's lines: somebody else was called, a person has come, nobody is left to be called.
PASSED, ANSWERED, UNANSWERED = "passed", "answered", "unanswered"


@dataclass(frozen=True, slots=True)
class Clock:
    """A person was called for a stage of generation `gen` at `began`; times are the store's.

    The next live manager is called at `due`; 0: nobody is left. `asked` are those who had the chat, in order. `ended`
    is when a person gave a sign or the graph got the chat back; 0: somebody is still waited for.
    """

    gen: int
    began: float
    due: float = 0.0
    asked: tuple[int, ...] = ()
    ended: float = 0.0

    @property
    def ticks(self) -> bool:
        """Whether there is a moment at which somebody else is to be called."""
        return self.due > 0 and not self.ended


def deadline(hours: Hours | None, within: float, now: float, wall: float) -> float:
    """When somebody else is called who has `within` seconds of working time from `now`: on the store's clock, which
    shows `now` when it is `wall` (Unix time)."""
    return now + (working_until(hours, wall, within) - wall if hours else within)
