"""The shared scan: who reads the CRM's list of chats, and what a page of it means to those who wait for a chat."""

from dataclasses import replace

from mirt_sitniks.core.backoff import search_delay
from mirt_sitniks.core.chats import AMBIGUOUS, FRESH, Contact, choose, finished, next_scan
from mirt_sitniks.core.ownership import NOT_FOUND, assign, audit, lasting
from mirt_sitniks.core.record import Error, Record, Scan
from mirt_sitniks.core.rows import Transaction
from mirt_sitniks.core.stages import priority_of
from mirt_sitniks.core.store import KeyState, ScanPage

SEVERAL = Error("chat_ambiguous", "several people in Sitniks have this user name: merge or rename them there")


def open_scan(tx: Transaction, key: KeyState) -> Scan | None:
    """The scan to work on: the one under way if its holder is gone, else a new one for those who wait; else None."""
    if tx.now < key.scan_until or tx.now < key.scan_due:
        return None
    if key.scan and key.scan.started > tx.now - FRESH:
        return replace(key.scan, token=key.scans + 1, failures=key.scan_failures)
    scan = next_scan(
        tx.rows.waiting(tx.now).due,
        token=key.scans + 1,
        windows_read=key.windows_read,
        now=tx.now,
        wall=tx.wall,
        lookback=tx.options.lookback,
    )
    return replace(scan, failures=key.scan_failures) if scan else None


def hold_scan(tx: Transaction, key: KeyState, scan: Scan) -> KeyState:
    """The scan's lease."""
    return replace(key, scan=scan, scans=scan.token, scan_until=tx.now + tx.options.lease)


def is_held(key: KeyState, page: ScanPage) -> bool:
    """Whether the page is of the scan that is under way: a stale holder's goes into the directory only."""
    return key.scan is not None and key.scans == page.scan.token


def is_last(page: ScanPage) -> bool:
    """Whether the scan ends with this page."""
    return page.pause is None and not page.unsent and finished(page.scan.skip + page.raw, page.raw, page.total)


def fold_page(tx: Transaction, key: KeyState, page: ScanPage) -> tuple[KeyState, Scan | None]:
    """Put a page into the directory; after the last one, give the waiting sessions their chats."""
    tx.rows.add_contacts(page.contacts)
    if not is_held(key, page):
        return key, None
    if page.pause is not None:
        failures = key.scan_failures + 1 if page.pause > 0 else key.scan_failures
        return replace(key, scan_until=0.0, scan_due=tx.now + page.pause, scan_failures=failures), None
    key = replace(key, scan_failures=0)
    if not is_last(page):
        scan = replace(page.scan, skip=page.scan.skip + page.raw)
        return hold_scan(tx, key, scan), scan
    fold_waiting(tx, page)
    first, second = (
        page.scan.started if page.scan.window >= window else at for window, at in enumerate(key.windows_read, start=1)
    )
    return replace(key, scan=None, scan_until=0.0, scan_due=0.0, windows_read=(first, second)), None


def fold_part(tx: Transaction, page: ScanPage) -> bool:
    """When more wait than one transaction tells of a finished scan: tell those it shows, and say that more are left."""
    if not (tx.rows.unfolded and is_last(page) and is_held(tx.rows.key(tx.options.key), page)):
        return False
    tx.rows.add_contacts(page.contacts)
    fold_waiting(tx, page)
    return True


def fold_waiting(tx: Transaction, page: ScanPage) -> None:
    """Tell those who wait what the whole scan has come to."""
    for record in list(tx.rows.unfound()):
        after = _look_up(tx, record, page.scan)
        audit(tx, record, after)
        if after != record:
            tx.rows.put(after)


def _look_up(tx: Transaction, record: Record, scan: Scan) -> Record:
    """A waiting record after a whole scan: found, ambiguous, or to be looked for again later."""
    names = {"instagram": record.instagram, "telegram": record.telegram}
    found = choose(tx.rows.contacts(**names), **names)
    if isinstance(found, Contact):
        return assign(tx, record, found, listed_at=tx.now)
    seen, generation = record.observed, record.desired.generation
    if found == AMBIGUOUS:
        return replace(record, observed=replace(seen, error=SEVERAL, given_up=generation))
    if seen.due_at > scan.started:
        return record
    attempt = record.search_attempt + 1
    delay = search_delay(attempt)
    if delay is None:
        return replace(record, observed=replace(seen, error=NOT_FOUND, given_up=generation))
    due = tx.now + delay
    paused = replace(seen, due_at=due, error=lasting(seen.error))
    urgent_at = due - priority_of(record.desired.stage)
    return replace(record, observed=paused, search_attempt=attempt, urgent_at=urgent_at)
