"""The lease of a record: whether there is work for one, who takes it with how many calls, and how long he keeps it."""

from dataclasses import replace

from mirt_sitniks.core import noting
from mirt_sitniks.core.calling import made_due
from mirt_sitniks.core.key_state import KeyState
from mirt_sitniks.core.keys import claim_with, grant
from mirt_sitniks.core.plan import listens
from mirt_sitniks.core.record import Claim, Record, Scan, has_work, searching, stale
from mirt_sitniks.core.rota import in_turn
from mirt_sitniks.core.rows import Transaction
from mirt_sitniks.core.scanning import hold_scan, open_scan
from mirt_sitniks.core.store import Recorded, Settlement, Verdict
from mirt_sitniks.core.turns import outlook
from mirt_sitniks.core.watch import hold_list, is_watch


def claimed(tx: Transaction, verdict: Verdict, record: Record, key: KeyState, calls: int) -> Recorded:
    """The answer for a record, with its lease if it is due, free, and there is a call for it."""
    claim = None
    if is_due(tx, record) and record.lease_until <= tx.now:
        scan = open_scan(tx, key) if searching(record) else None
        if scan or not searching(record):
            # Beside the page or the candidate that is read there may be managers to list.
            need = need_of(record) if record.chat_id else 2
            key, grants = grant(tx, key, record.urgent_at, min(calls, need))
            if grants:
                key, claim = take(tx, key, record, scan, grants)
                record = claim.record or record
    tx.rows.put_key(tx.options.key, key)
    return Recorded(verdict, record, claim, outlook(tx))


def is_due(tx: Transaction, record: Record) -> bool:
    """Whether there is anything to do for a record now."""
    return has_work(record) and record.observed.due_at <= tx.now


def goes_on(tx: Transaction, record: Record, settlement: Settlement | None) -> bool:
    """Whether a holder goes on: while anything is due, and until a note that can go out was tried once."""
    untried = settlement is None or settlement.note is None or not settlement.noted
    return is_due(tx, record) or (untried and noting.is_ready(record)) or listens(record, tx.now)


def need_of(record: Record) -> int:
    """How many calls the next round of a record that does not wait for a scan sends side by side."""
    return max(1, len(stale(record))) if record.chat_id else 1


def take(
    tx: Transaction, key: KeyState, record: Record | None, scan: Scan | None, grants: tuple[float, ...]
) -> tuple[KeyState, Claim]:
    """A claim, with the leases of what it is for."""
    if record:
        key, record = in_turn(tx, key, made_due(tx, record))
        record = replace(record, token=record.token + 1, lease_until=tx.now + tx.options.lease)
        tx.rows.put(record)
    if scan:
        key = hold_list(tx, key, scan) if is_watch(scan) else hold_scan(tx, key, scan)
    return claim_with(tx, key, record, scan, grants)


def release(tx: Transaction, record: Record) -> None:
    """Leave a record to whoever comes next."""
    tx.rows.put(replace(record, lease_until=0.0))
