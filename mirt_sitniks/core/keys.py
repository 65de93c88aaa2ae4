"""The shared state of a key: what a round says of it, whose it is, and the calls that it grants."""

from dataclasses import replace

from mirt_sitniks.core import budget as budgets
from mirt_sitniks.core import noting
from mirt_sitniks.core.backoff import PROBE
from mirt_sitniks.core.capabilities import learn, lend
from mirt_sitniks.core.key_state import KeyState
from mirt_sitniks.core.record import Claim, Note, Record, Scan, owes_words, stale
from mirt_sitniks.core.rota import fold_absent
from mirt_sitniks.core.rows import Transaction
from mirt_sitniks.core.store import Report


def fold_key(tx: Transaction, report: Report) -> KeyState:
    """The key with what the round said of it: grants that come back or count later, a lock, that it was accepted,
    and what its kinds of call do."""
    key, verdict = key_of(tx), report.key_verdict
    budget = budgets.move(budgets.give_back(key.budget, report.unused), report.delayed, tx.now)
    if verdict and verdict.code:
        budget = budgets.lock(budget, tx.now, verdict.code, verdict.seconds)
    elif verdict:
        budget = budgets.welcome(budget)
    key = fold_absent(tx, replace(key, budget=budget, known=learn(key.known, report.heard, tx.now)), report)
    if not report.managers:
        return key
    if unverified(tx, key) and not set(report.managers) & set(tx.rows.managers()):
        locked = budgets.lock(budget, tx.now, code="account_mismatch", seconds=PROBE)
        return replace(key, account=tx.options.account, budget=locked)
    return replace(key, account=tx.options.account, managers=report.managers, listed_at=tx.now)


def key_of(tx: Transaction) -> KeyState:
    """The state of our key; that it was another account's key is over once it has an account of its own."""
    key = tx.rows.key(tx.options.key)
    if key.budget.lock == "account_mismatch" and key.account != tx.options.account:
        return replace(key, budget=budgets.welcome(key.budget))
    return key


def unverified(tx: Transaction, key: KeyState) -> bool:
    """Whether a key is new to an account that others had before, so that it may be another one's."""
    return not (key.managers and key.account == tx.options.account) and bool(tx.rows.managers())


def claim_with(
    tx: Transaction, key: KeyState, record: Record | None, scan: Scan | None, grants: tuple[float, ...]
) -> tuple[KeyState, Claim]:
    """A claim, with what is known of the account; what is to be probed is so for the first who needs it."""
    kinds: tuple[str, ...] = ()
    note: Note | None = None
    if noted := noting.is_next(record, tx.now):
        kinds = ("note",)
    elif record and (record.chat_id or record.candidate):
        fields = stale(record)
        kinds = ("read", *(("status",) if "status" in fields else ()))
        kinds = (*kinds, "assign", "managers") if "manager" in fields else kinds
        kinds = (*kinds, "messages") if owes_words(record) else kinds
    known, shown = lend(key.known, kinds, record.session if record else "", tx.now, tx.options.lease)
    if record and noted:
        record, note = noting.hand_out(tx, record, shown)
    ask = budgets.is_asked_for(key.budget)
    return replace(key, known=known), Claim(record, scan, grants, tx.now, ask, shown, unverified(tx, key), note)


def grant(tx: Transaction, key: KeyState, urgent_at: float, calls: int) -> tuple[KeyState, tuple[float, ...]]:
    """Calls for now, after setting aside as many as more urgent work that is due can use."""
    room = budgets.free(key.budget, tx.options.limit, tx.now)
    if room > 0 and calls > 0:
        room -= tx.rows.ahead(urgent_at, tx.now, tx.options.limit.calls)
    budget, grants = budgets.take(key.budget, tx.options.limit, tx.now, min(calls, room))
    return replace(key, budget=budget), grants
