"""The shared scan: who reads the CRM's list of chats, and what a page of it means to those who wait for a chat."""

from dataclasses import replace
from itertools import count

from mirt_sitniks.core.backoff import search_delay
from mirt_sitniks.core.chats import FRESH, OVERLAP, PAGES, WIDE, WIDE_PAGES, finished, next_scan, window_of
from mirt_sitniks.core.key_state import KeyState
from mirt_sitniks.core.ownership import NOT_FOUND, audit, lasting
from mirt_sitniks.core.proof import bring_back, give_up, match, note
from mirt_sitniks.core.record import Error, Record, Scan
from mirt_sitniks.core.rows import Transaction
from mirt_sitniks.core.stages import LAST_OF_ALL, priority_of
from mirt_sitniks.core.store import ScanPage
from mirt_sitniks.core.watch import fold_list, is_watch

# The search after which none follows: the look-back, once 30 days were read.
LAST_SEARCH = next(number for number in count() if window_of(number)) + 1
# Seconds between two pages of a wide scan, which goes behind all other work, and for how long its pages are one scan.
PACE, LASTS = 2.0, 3600.0


def open_scan(tx: Transaction, key: KeyState) -> Scan | None:
    """The scan to work on: the one under way if its holder is gone, else a new one for those who wait; else None.

    A wide one makes room for whoever waits for the look-back.
    """
    needed = next_scan(
        tx.rows.waiting(tx.now).due, token=key.scans + 1, now=tx.now, wall=tx.wall, lookback=tx.options.lookback
    )
    # Between two wide pages, or behind one that failed, nobody who waits for the look-back waits as well.
    rests = key.scan is None and key.resting is not None and needed is not None and not needed.window
    if tx.now < key.scan_until or (tx.now < key.scan_due and not rests):
        return None
    for begun in (key.scan, key.resting):
        # An earlier version's scan of a day serves whoever a look-back does.
        window = WIDE if begun and begun.window == WIDE else 0
        lasts = LASTS if window else FRESH
        if begun and begun.started > tx.now - lasts and (needed is None or window <= needed.window):
            return replace(begun, window=window, token=key.scans + 1, failures=key.scan_failures)
    return replace(needed, failures=key.scan_failures) if needed else None


def hold_scan(tx: Transaction, key: KeyState, scan: Scan) -> KeyState:
    """The scan's lease."""
    before = key.scan if key.scan and key.scan.window > scan.window else key.resting
    resting = None if scan.window else before
    return replace(key, scan=scan, resting=resting, scans=scan.token, scan_until=tx.now + tx.options.lease)


def is_held(key: KeyState, page: ScanPage) -> bool:
    """Whether the page is of the scan that is under way: a stale holder's goes into the directory only."""
    return key.scan is not None and key.scans == page.scan.token and not is_watch(page.scan)


def is_last(page: ScanPage) -> bool:
    """Whether the scan ends with this page."""
    read, pages = page.scan.skip + page.raw, WIDE_PAGES if page.scan.window else PAGES
    return page.pause is None and not page.unsent and finished(read, page.raw, page.total, pages)


def fold_page(tx: Transaction, key: KeyState, page: ScanPage) -> tuple[KeyState, Scan | None]:
    """Put a page into the directory; after the last one, give the waiting sessions their chats.

    What it shows brings back who was given up.
    """
    if is_watch(page.scan):
        return fold_list(tx, key, page), None
    names = note(tx, page.chats)
    if not is_held(key, page):
        return key, None
    scan = page.scan
    if page.pause is not None:
        failures = key.scan_failures + 1 if page.pause > 0 else key.scan_failures
        key = replace(key, scan_until=0.0, scan_due=tx.now + page.pause, scan_failures=failures)
        return (replace(key, scan=None, resting=scan) if scan.window else key), None
    key = replace(key, scan_failures=0)
    if not is_last(page):
        bring_back(tx, names)
        ahead = max(page.raw - OVERLAP, 1) if scan.window and page.raw else page.raw
        scan = replace(scan, skip=scan.skip + ahead)
        if scan.window:
            return replace(key, scan=None, resting=scan, scan_until=0.0, scan_due=tx.now + PACE), None
        return hold_scan(tx, key, scan), scan
    if scan.window:
        key = replace(key, chats_read=scan.skip + page.raw, wide_read_at=scan.started)
    fold_waiting(tx, key, page)
    bring_back(tx, names)
    return replace(key, scan=None, scan_until=0.0, scan_due=0.0), None


def fold_part(tx: Transaction, page: ScanPage) -> bool:
    """When more wait than one transaction tells of a finished scan: tell those it shows, and say that more are left."""
    key = tx.rows.key(tx.options.key)
    if not (tx.rows.unfolded and is_last(page) and is_held(key, page)):
        return False
    note(tx, page.chats)
    fold_waiting(tx, key, page)
    return True


def fold_waiting(tx: Transaction, key: KeyState, page: ScanPage) -> None:
    """Tell those who wait what the whole scan has come to."""
    for record in list(tx.rows.unfound()):
        after = _look_up(tx, key, record, page.scan)
        audit(tx, record, after)
        if after != record:
            tx.rows.put(after)


def _look_up(tx: Transaction, key: KeyState, record: Record, scan: Scan) -> Record:
    """A waiting record after a whole scan: found, ambiguous, to be looked for again later, or given up."""
    after = match(tx, record, listed=True)
    if after is not record:
        return after
    seen, attempt = record.observed, record.search_attempt + 1
    if seen.due_at > scan.started or window_of(record.search_attempt) != scan.window:
        return record
    delay = search_delay(attempt)
    wide = delay is None and window_of(attempt) == WIDE
    if wide and key.wide_read_at > tx.now - FRESH:
        # Read for others just now, and it is in the directory: nobody of this name is there.
        wide, attempt = False, LAST_SEARCH
    if delay is None and not wide and not (scan.window and attempt == LAST_SEARCH):
        return give_up(replace(record, observed=replace(seen, due_at=tx.now)), _not_found(key))
    due = tx.now + (delay or 0.0)
    urgent_at = due + LAST_OF_ALL if wide else due - priority_of(tx.options.stages, record.desired.stage)
    paused = replace(seen, due_at=due, error=lasting(seen.error))
    return replace(record, observed=paused, search_attempt=attempt, urgent_at=urgent_at)


def _not_found(key: KeyState) -> Error:
    read = f"{key.chats_read} chats of the last 30 days were read"
    older = "a webhook, `watch` or `sitniks_chat_id` finds older ones where the account filters on the creation"
    return Error(
        NOT_FOUND.code,
        f"no chat in Sitniks has this user name: {read}; {older}; check that the channel is connected there",
    )
