"""Whose a chat is: a session gets it, loses it, or hears that somebody may have written to it; and the ledger lines."""

from dataclasses import replace

from mirt_sitniks.core.chats import Contact
from mirt_sitniks.core.record import Error, Observed, ObservedValue, Record, Unconfirmed, pending
from mirt_sitniks.core.rows import Transaction
from mirt_sitniks.core.store import Entry

NOT_FOUND = Error("chat_not_found", "no chat in Sitniks has this user name: check that the channel is connected there")


def assign(tx: Transaction, record: Record, contact: Contact, *, listed_at: float = 0.0) -> Record:
    """Give the chat to the session with the newer intent; the other one loses it and closes.

    `listed_at` is when the list has shown the chat, 0 when that was long ago.
    """
    holder = tx.rows.by_chat(contact.chat_id)
    if holder and holder.session == record.session:
        holder = None
    if holder:
        if holder.desired.order > record.desired.order:
            return _close(record)
        closed = _close(holder)
        tx.rows.put(closed)
        audit(tx, holder, closed)
    before = record.observed
    status = ObservedValue(contact.status, 0) if contact.status and not before.status.gen else before.status
    manager = ObservedValue(contact.manager_id, 0) if contact.manager_id and not before.manager.gen else before.manager
    seen = replace(before, status=status, manager=manager, due_at=tx.now, error=lasting(before.error))
    seen = replace(seen, seen_at=max(seen.seen_at, listed_at)) if contact.status else seen
    desired = record.desired
    if holder:
        # What the other session wrote is ours as well, and may still be there.
        there = holder.observed.manager.value
        seen = seen if seen.manager.value else replace(seen, manager=ObservedValue(there))
        stages = dict.fromkeys((*holder.desired.stages, *desired.stages))
        desired = replace(desired, stages=tuple(stages))
        # Whoever drives the other session may have a write under way, and may die before it can say so.
        times = [one.unconfirmed.until for one in (before, holder.observed) if one.unconfirmed]
        until = max(holder.lease_until, *times, 0.0)
        seen = replace(seen, unconfirmed=Unconfirmed(0, until)) if until > tx.now else seen
    return replace(record, chat_id=contact.chat_id, desired=desired, observed=seen, search_since=None, search_attempt=0)


def lasting(error: Error | None) -> Error | None:
    """What is not forgotten when a chat is looked for: that it was gone once, for then it is looked for once only."""
    return error if error and error.code == NOT_FOUND.code else None


def _close(record: Record) -> Record:
    """A record that lost its chat: nothing is done for it any more, and whoever drives it is stale.

    What it knew of the chat goes with it: should the session get a chat again, nothing counts as confirmed.
    """
    seen = forgotten(record.observed)
    return replace(record, chat_id=None, closed="superseded", token=record.token + 1, lease_until=0.0, observed=seen)


def forgotten(seen: Observed) -> Observed:
    """The same without anything that was known of a chat."""
    nothing = Observed()
    return replace(nothing, given_up=seen.given_up, attempt=seen.attempt, due_at=seen.due_at, error=seen.error)


def raise_unconfirmed(tx: Transaction, chat_id: str, until: float) -> None:
    """A holder that lost its lease had sent a write: whoever has the chat now looks once that it did not stick."""
    record = tx.rows.by_chat(chat_id)
    if record is None or record.closed:
        return
    seen = record.observed
    until = max(until, seen.unconfirmed.until if seen.unconfirmed else until)
    due_at = seen.due_at if pending(record) else max(until, tx.now)
    tx.rows.put(replace(record, observed=replace(seen, unconfirmed=Unconfirmed(0, until), due_at=due_at)))


def audit(tx: Transaction, before: Record, after: Record) -> None:
    """Give the ledger a line of what came out, if anything did."""
    if _audited(before) != _audited(after):
        desired, shown = after.desired, (_shown(before), _shown(after))
        line = Entry(
            0, after.session, "outcome", None, desired.stage, desired.generation, tx.options.who, tx.wall, *shown
        )
        tx.rows.log(line)
    if after.observed.given_up > before.observed.given_up:
        tx.ended.append(after)


def _audited(record: Record) -> tuple[object, ...]:
    """What of a record is worth a line in the ledger when it changes."""
    seen = record.observed
    return record.chat_id, seen.status, seen.manager, seen.unconfirmed is None, seen.given_up, seen.error, record.closed


def _shown(record: Record) -> dict[str, object]:
    """What the ledger says of a record before and after an outcome."""
    seen = record.observed
    return {
        "chat_id": record.chat_id,
        "status": seen.status.value if seen.status.gen else None,
        "manager_id": seen.manager.value if seen.manager.gen else None,
        "error": record.closed or (seen.error.code if seen.error else None),
    }
