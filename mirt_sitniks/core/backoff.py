"""When to try again: pure, with randomness as an argument."""

from mirt_sitniks.core.capabilities import PROBE as PROBE
from mirt_sitniks.core.record import Error

FIRST, CAP = 2.0, 600.0
# With their pauses a day and a bit.
REFUSED_TRIES = 8
SEARCH_FIRST, SEARCH_LIMIT = 5.0, 1800.0

# Trying these again soon cannot help: a person has to change a setting or the CRM first.
SETTINGS_CODES = frozenset({"unknown_status", "manager_not_found", "forbidden", "not_applied", "chat_refused"})
# What an account does not let us do, whichever chat it is.
ACCOUNT_CODES = ("forbidden", "not_applied")
KEY_CODES = frozenset({"unauthorized", "plan_required", "account_mismatch"})
# A refusal of which nobody knows yet whether it is the key's: the next call asks.
SUSPECTED = "suspected"


def retry_delay(attempt: int, random: float) -> float:
    """Seconds before try number `attempt` + 1: full jitter below 2 s doubling to ten minutes; `random` is in [0, 1)."""
    return random * min(CAP, FIRST * 2.0 ** min(attempt - 1, 30))


def refused_delay(attempt: int, random: float) -> float:
    """Seconds before a refused call is made again: from ten minutes, doubling; the jitter only adds."""
    return CAP * 2.0 ** min(attempt - 1, 30) * (1.0 + 0.1 * random)


def search_delay(attempt: int) -> float | None:
    """Seconds until a chat that `attempt` scans did not show is looked for again, or None when it is given up.

    5, 10, 20 s and so on; the last scan comes 30 minutes after the first. Counted, not clocked: a clock that jumps
    neither ends a search nor makes it endless.
    """
    done = SEARCH_FIRST * (2.0 ** (attempt - 1) - 1.0)
    return min(SEARCH_FIRST * 2.0 ** (attempt - 1), SEARCH_LIMIT - done) if done < SEARCH_LIMIT else None


def next_try(error: Error, attempt: int, random: float) -> float | None:
    """Seconds to wait after failure number `attempt` in a row with `error`; None: give this generation up."""
    if error.code in SETTINGS_CODES:
        return refused_delay(attempt, random) if attempt < REFUSED_TRIES else None
    return retry_delay(attempt, random)
