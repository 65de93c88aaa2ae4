"""Giving a conversation back to the graph at a host's word: the AI manager is to be responsible again."""

from dataclasses import replace

from mirt_sitniks.core.calling import answered
from mirt_sitniks.core.leases import claimed
from mirt_sitniks.core.ownership import audit, audit_talk
from mirt_sitniks.core.record import DesiredValue, Record
from mirt_sitniks.core.rows import Transaction
from mirt_sitniks.core.stages import PRIORITIES, Role
from mirt_sitniks.core.store import Recorded, Verdict
from mirt_sitniks.core.talk import HUMAN, Sign, after
from mirt_sitniks.core.turns import outlook


def release(tx: Transaction, session: str, calls: int) -> Recorded:
    """End a person's hold of a session's chat, and want the AI manager there; the status stays as it is.

    Of a chat that no person has is only noted that it was given back: what he did before may be told yet. A session
    without one is left as it is. What escalated it is known from before: the same event does not do so again.
    """
    old = tx.rows.get(session) or Record(session)
    talk = after(old.talk, Sign("released", tx.now))
    if old.closed or not old.chat_id or old.talk.owner != HUMAN:
        if old.talk.owner:
            tx.rows.put(replace(old, talk=talk))
        return Recorded(Verdict.KNOWN, old, None, outlook(tx))
    generation = old.desired.generation + 1
    manager = DesiredValue(Role.AI.value, generation, tx.now, 1)
    fresh = replace(
        old,
        desired=replace(old.desired, generation=generation, manager=manager),
        observed=replace(old.observed, attempt=0, due_at=tx.now, error=None),
        urgent_at=min(old.urgent_at, tx.now - PRIORITIES["normal"]),
        talk=talk,
    )
    fresh = answered(tx, fresh)
    audit(tx, old, fresh)
    audit_talk(tx, old, fresh)
    tx.rows.put(fresh)
    return claimed(tx, Verdict.KNOWN, fresh, tx.rows.key(tx.options.key), calls)
