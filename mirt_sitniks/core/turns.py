"""Whose turn it is: who goes first, when there can be work, and who has promised to look for it next."""

from dataclasses import replace
from math import inf
from operator import itemgetter

from mirt_sitniks.core import budget as budgets
from mirt_sitniks.core.backoff import SUSPECTED
from mirt_sitniks.core.key_state import Watch
from mirt_sitniks.core.record import Record, Scan
from mirt_sitniks.core.rows import Transaction, Waiting
from mirt_sitniks.core.store import Outlook, StoreOptions

# Seconds: how soon after a look the next one is promised at the soonest, and how late one may be without being too
# late.
LOOKOUT_LEAST, LOOKOUT_SLACK = 0.1, 0.5


# How urgent a piece of work is, and the record it is for; None is the scan.
Turn = tuple[float, Record | None]


def turns_of(tx: Transaction, limit: int, waiting: Waiting) -> list[Turn]:
    """Who is due, the most urgent first; the scan with those who wait for it."""
    turns: list[Turn] = [(one.urgent_at, one) for one in tx.rows.due(tx.now, limit)]
    if waiting.due:
        turns.append((waiting.urgent_at, None))
    return sorted(turns, key=itemgetter(0))[:limit]


def outlook(tx: Transaction) -> Outlook:
    """When there can be work: the next due record or scan, and a call for it."""
    key = tx.rows.key(tx.options.key)
    slot_in = budgets.slot_in(key.budget, tx.options.limit, tx.now)
    searches = max(tx.rows.waiting(tx.now).ready_at, key.scan_until, key.scan_due)
    due = min(tx.rows.next_due(), searches, ready_at(tx.options, key.watch))
    work_in = max(0.0, due - tx.now, slot_in) if due < inf else None
    lock = budgets.locked(key.budget, tx.now)
    # A suspicion is over in a moment, and nobody's business.
    lock = None if lock and lock[0] == SUSPECTED else lock
    lookout_in, lag = max(0.0, key.lookout_at - tx.now), lag_of(key.watch, tx.now) if tx.options.watch else None
    return Outlook(tx.now, slot_in, work_in, lock, lookout_in, key.lookout_by, lag)


def ready_at(options: StoreOptions, watch: Watch) -> float:
    """When the watch has its next call to make, on the store's clock."""
    if not options.watch:
        return inf
    under_way = watch.recent or watch.sweep or watch.unlisted_since or (watch.is_short and options.hold)
    begins = -inf if under_way else watch.began_at + options.watch
    return max(watch.held_until, watch.next_at, begins)


def lag_of(watch: Watch, now: float) -> float | None:
    """How many seconds after a change it is seen at the latest; None: not known yet."""
    since = watch.sweep.started if watch.sweep else watch.unlisted_since
    running = now - since if since else 0.0
    took = max(watch.took, running)
    return took + watch.every if took else None


def is_unwatched(seen: Outlook) -> bool:
    """Whether there is work that nobody has promised to look for in time."""
    return seen.work_in is not None and not 0 < seen.lookout_in <= seen.work_in + LOOKOUT_SLACK


def promise(tx: Transaction, busy: bool) -> Outlook:
    """Promise to look for work again when there can be some, unless somebody else looks in time: whoever takes work, or
    finds that nobody looks, is the lookout.
    """
    seen = outlook(tx)
    if seen.work_in is None or not (busy or is_unwatched(seen)):
        return seen
    key = tx.rows.key(tx.options.key)
    at = tx.now + max(seen.work_in, LOOKOUT_LEAST)
    tx.rows.put_key(tx.options.key, replace(key, lookout_at=at, lookout_by=tx.options.who))
    return outlook(tx)


def urgency(tx: Transaction, record: Record | None, scan: Scan | None) -> float:
    """A scan is as urgent as the first who waits for it; a call outside any record as a first touch of now."""
    if record:
        return record.urgent_at
    first_at = tx.rows.waiting(tx.now).first_at
    return first_at if scan and first_at < inf else tx.now
