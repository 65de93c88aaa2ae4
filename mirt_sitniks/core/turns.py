"""Whose turn it is: who goes first, when there can be work, and who has promised to look for it next."""

from dataclasses import replace
from math import inf
from operator import itemgetter

from mirt_sitniks.core import budget as budgets
from mirt_sitniks.core.backoff import SUSPECTED
from mirt_sitniks.core.record import Record, Scan
from mirt_sitniks.core.rows import Transaction, Waiting
from mirt_sitniks.core.store import Outlook

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
    due = min(tx.rows.next_due(), max(tx.rows.waiting(tx.now).ready_at, key.scan_until, key.scan_due))
    work_in = max(0.0, due - tx.now, slot_in) if due < inf else None
    lock = budgets.locked(key.budget, tx.now)
    # A suspicion is over in a moment, and nobody's business.
    lock = None if lock and lock[0] == SUSPECTED else lock
    return Outlook(tx.now, slot_in, work_in, lock, max(0.0, key.lookout_at - tx.now), key.lookout_by)


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
