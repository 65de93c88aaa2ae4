"""The watch: without webhooks, the CRM's list of chats is read in turn for what it would have told.

All of it goes behind all other work and takes its share of the budget: each call has a slot, `watch_pace` seconds after
the one before. So what a list gives to do, a look at a chat or at its messages, waits for its slot in the record.
"""

from collections.abc import Iterator
from dataclasses import replace

from mirt_sitniks.core.chats import CLOCK_SLACK, DAY, OVERLAP, finished
from mirt_sitniks.core.hearing import aside, find, hinted, put, when
from mirt_sitniks.core.key_state import KeyState, Watch
from mirt_sitniks.core.proof import ROUNDING, note
from mirt_sitniks.core.record import Record, Scan, has_work, owes_look, owes_words, searching
from mirt_sitniks.core.rows import Transaction
from mirt_sitniks.core.store import ScanPage
from mirt_sitniks.core.turns import ready_at

# The two lists, as the windows of a scan: what has moved since the last one, and all chats in which somebody may be
# at work. An account may list chats by their creation: whom neither shows is looked at one by one.
RECENT, SWEEP = -1, -2
# Of those so many have a slot at a time, and so many pages has a list.
AT_A_TIME, PAGES = 2, 200


def is_watch(scan: Scan | None) -> bool:
    """Whether a scan is one of the watch's: nobody waits for it."""
    return scan is not None and scan.window < 0


def next_list(tx: Transaction, watch: Watch) -> Scan | None:
    """The list of which a page is to be read now; None: it is not the watch's turn."""
    options = tx.options
    if tx.now < ready_at(options, watch):
        return None
    if options.hold and not (watch.recent or watch.sweep or watch.unlisted_since):
        # It shows what has moved as well.
        begun: Scan | None = _begun(tx, SWEEP, tx.wall - max(options.hold, options.lookback))
    elif _is_recents_turn(tx, watch):
        # The slack is for a chat that shows late, and for clocks.
        told = max(watch.told_to or tx.wall, tx.wall - max(options.hold, DAY)) - options.lookback
        begun = watch.recent or _begun(tx, RECENT, told)
    else:
        begun = watch.sweep
    return begun and replace(begun, token=watch.token + 1)


def _is_recents_turn(tx: Transaction, watch: Watch) -> bool:
    """Whether the list of what has moved goes first; where the share is short, the others have every second turn."""
    due = watch.recent is not None or tx.now >= watch.began_at + tx.options.watch
    return due and not (watch.was_recent and (watch.sweep or watch.unlisted_since))


def _begun(tx: Transaction, window: int, since: float) -> Scan:
    return Scan(0, since, tx.wall + CLOCK_SLACK, window=window, started=tx.now)


def hold_list(tx: Transaction, key: KeyState, scan: Scan) -> KeyState:
    """The lease of a list's next page, which takes a slot."""
    watch = _slot(tx, replace(key.watch, token=scan.token, held_until=tx.now + tx.options.lease))[1]
    watch = replace(watch, every=tx.options.watch, was_recent=scan.window == RECENT)
    if scan.window == SWEEP and not scan.skip:
        watch = replace(watch, is_short=False)
    return replace(key, watch=_with(watch, scan, scan))


def _with(watch: Watch, of: Scan, scan: Scan | None) -> Watch:
    watch = replace(watch, began_at=max(watch.began_at, of.started))
    return replace(watch, sweep=scan) if of.window == SWEEP else replace(watch, recent=scan)


def _slot(tx: Transaction, watch: Watch) -> tuple[float, Watch]:
    """The next moment at which the share has a call, and the watch without it."""
    at = max(tx.now, watch.next_at)
    return at, replace(watch, next_at=at + tx.options.watch_pace)


# --------------------------------------------------------------------------------------------------------------- pages


def fold_list(tx: Transaction, key: KeyState, page: ScanPage) -> KeyState:
    """Put a page into the directory, and tell the sessions whose chats have changed since they were read."""
    names = note(tx, page.chats)
    find(tx, names)
    watch, scan = key.watch, page.scan
    if watch.token != scan.token or not watch.held_until:
        return key
    watch = replace(watch, held_until=0.0)
    if page.pause is not None:
        again = replace(scan, failures=scan.failures + (page.pause > 0))
        return replace(key, watch=_with(replace(watch, next_at=max(watch.next_at, tx.now + page.pause)), scan, again))
    shown = [(record, chat) for chat in page.chats if (record := tx.rows.by_chat(chat.id)) and is_live(tx, record)]
    # Where there is more to read than slots, those go first who wait longest.
    for record, chat in sorted(shown, key=lambda one: one[0].heard_at):
        watch, fresh = _give(tx, watch, record, hinted(tx, record, chat, chat.seen_at))
        watch, fresh = _listen(tx, watch, fresh, chat.last_message_at)
        put(tx, record, fresh)
    if page.unsent or not finished(scan.skip + page.raw, page.raw, page.total, PAGES):
        ahead = max(page.raw - OVERLAP, 1) if page.raw else 0
        return replace(key, watch=_with(watch, scan, replace(scan, skip=scan.skip + ahead, failures=0)))
    watch = replace(watch, told_to=max(watch.told_to, scan.until - CLOCK_SLACK))
    if scan.window == SWEEP:
        watch = replace(watch, unlisted_since=scan.started)
    return replace(key, watch=_with(watch, scan, None))


def moved(tx: Transaction, key: KeyState, record: Record, last_message_at: str | None) -> tuple[KeyState, Record]:
    """A record whose chat was read, and shows that somebody has written: its messages have a slot."""
    if not tx.options.watch or searching(record):
        return key, record
    watch, fresh = _listen(tx, key.watch, record, last_message_at)
    return replace(key, watch=watch), fresh


def _listen(tx: Transaction, watch: Watch, record: Record, last_message_at: str | None) -> tuple[Watch, Record]:
    """Have a chat's messages read in which somebody has written since they were, if there is a slot that is near."""
    written = when(tx, last_message_at)
    if not record.talk.wrote or written <= max(record.heard_at, record.moved_at) + ROUNDING:
        return watch, record
    if watch.next_at > tx.now + tx.options.watch:
        # It will be shown again.
        return replace(watch, is_short=True), record
    return _give(tx, watch, record, replace(record, moved_at=written))


def _give(tx: Transaction, watch: Watch, record: Record, fresh: Record) -> tuple[Watch, Record]:
    """The next slot for what a record has got to do beside its stages."""
    for owes in (owes_look, owes_words):
        if owes(fresh) and not owes(record):
            at, watch = _slot(tx, watch)
            fresh = fresh if has_work(record) else aside(fresh, at)
    return watch, fresh


def is_live(tx: Transaction, record: Record) -> bool:
    """Whether a session is at work, or a person in its chat."""
    since = tx.options.hold
    return record.desired.asked_at > tx.wall - since or record.talk.signed_at > tx.now - since


# ------------------------------------------------------------------------------------------------------------ unlisted


def look_at_unlisted(tx: Transaction, key: KeyState) -> KeyState:
    """Have chats looked at that no list has shown; when there is none any more, all have been seen once."""
    watch, since = key.watch, key.watch.unlisted_since
    if not since or _is_recents_turn(tx, watch) or tx.now < ready_at(tx.options, watch):
        return key
    # What the list has shown was seen since, but for the last digit of a clock.
    found, watch = list(_unlisted(tx, since - ROUNDING))[:AT_A_TIME], replace(watch, was_recent=False)
    for record in found:
        watch, fresh = _give(tx, watch, record, replace(record, hinted_at=since))
        put(tx, record, fresh)
    if not found:
        watch = replace(watch, unlisted_since=0.0, took=tx.now - since)
    return replace(key, watch=watch)


def _unlisted(tx: Transaction, since: float) -> Iterator[Record]:
    for record in tx.rows.unlisted(tx.now, since, tx.options.hold):
        seen = record.observed
        if is_live(tx, record) and max(seen.looked_at, seen.seen_at, record.hinted_at) < since:
            yield record
