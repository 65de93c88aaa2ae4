"""The shared state of one API key, as a store keeps it."""

from dataclasses import dataclass, field

from mirt_sitniks.core.budget import Budget
from mirt_sitniks.core.capabilities import Capabilities
from mirt_sitniks.core.record import Scan
from mirt_sitniks.core.repeats import Repeat

# The account that was there before there were several.
MAIN = "main"


@dataclass(frozen=True, slots=True)
class Watch:
    """How far the one watch over a key has come (`core/watch`).

    `recent` and `sweep` are its two lists, of which a page is read until `held_until` by whoever has `token`; one of
    them began last at `began_at`. All chats that moved before `told_to` (wall clock) were told of. Who was not listed
    since `unlisted_since` is looked at in turn (0: nobody). `next_at` is its next call; `is_short`: there was more to
    be looked at than calls for it. `took` is how many seconds went by until all chats were seen once, which began
    `every` so many seconds. `was_recent`: the last turn was that of `recent`.
    """

    recent: Scan | None = None
    sweep: Scan | None = None
    token: int = 0
    held_until: float = 0.0
    next_at: float = 0.0
    began_at: float = -1e9
    told_to: float = 0.0
    unlisted_since: float = 0.0
    took: float = 0.0
    every: float = 0.0
    is_short: bool = False
    was_recent: bool = False


@dataclass(frozen=True, slots=True)
class KeyState:
    """The shared state of one API key: its budget, the one scan, the lookout: who has promised to look for work next,
    so that not every process wakes for each slot, and what its answers have taught.

    `resting` is a wide scan that lets others go first, `chats_read` how many chats the last one read, that began at
    `wide_read_at`. `managers` are
    the ids of the people of its account when they were last listed, `listed_at`, on the store's clock; none: not yet.
    `repeats` are texts of the shop's page that may be auto-replies, or are.
    `turn` is the live manager whose turn was last, `absent` who of them was found missing: his id, the chat that it
    concerns (empty: all), and until when he is passed over.
    """

    budget: Budget = field(default_factory=Budget)
    scan: Scan | None = None
    scan_until: float = 0.0
    scan_due: float = 0.0
    scan_failures: int = 0
    scans: int = 0
    wide_read_at: float = -1e9
    lookout_at: float = 0.0
    lookout_by: str = ""
    known: Capabilities = field(default_factory=Capabilities)
    resting: Scan | None = None
    chats_read: int = 0
    account: str = MAIN
    managers: tuple[int, ...] = ()
    listed_at: float = 0.0
    watch: Watch = field(default_factory=Watch)
    repeats: tuple[Repeat, ...] = ()
    turn: int = 0
    absent: tuple[tuple[int, str, float], ...] = ()
