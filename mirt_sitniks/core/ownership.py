"""Whose a chat is: a session gets it, loses it, or hears that somebody may have written to it; and the ledger lines."""

from collections.abc import Iterable
from dataclasses import replace
from operator import attrgetter

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.noting import inherited
from mirt_sitniks.core.people import FoldContext, is_persons
from mirt_sitniks.core.record import (
    DesiredValue,
    Error,
    Observed,
    ObservedValue,
    Record,
    Try,
    Unconfirmed,
    known_at,
    pending,
    stale,
)
from mirt_sitniks.core.rows import Transaction
from mirt_sitniks.core.signs import assignee_of, by_status, is_another, signs_of, talk_after
from mirt_sitniks.core.stages import priority_of, rule_of
from mirt_sitniks.core.store import Entry
from mirt_sitniks.core.talk import Sign, Talk
from mirt_sitniks.core.voices import Voices, joined

NOT_FOUND = Error("chat_not_found", "no chat in Sitniks has this user name: check that the channel is connected there")


def assign(tx: Transaction, record: Record, chat: Chat) -> Record:
    """Give the chat to the session with the newer intent; the other one loses it and closes, and what it still owes
    passes on: order belongs to the chat."""
    record = replace(record, candidate=None, said=False, prove_since=0.0)
    holder = tx.rows.by_chat(chat.id)
    if holder and holder.session == record.session:
        holder = None
    if holder and holder.desired.order > record.desired.order:
        inherited = _inherit(holder, record)
        if inherited != holder:
            # Whoever drives it knows nothing of this, so what he answers must not count for it.
            seen = _raised(tx, replace(inherited.observed, due_at=tx.now), holder.lease_until)
            tx.rows.put(replace(inherited, observed=seen, token=holder.token + 1, lease_until=0.0))
        return _close(record)
    before = record.observed
    status = ObservedValue(chat.status, 0) if chat.status and not before.status.gen else before.status
    manager = ObservedValue(chat.manager_id, 0) if chat.manager_id and not before.manager.gen else before.manager
    seen = replace(before, status=status, manager=manager, due_at=tx.now, error=lasting(before.error))
    # What was told is no look.
    seen = replace(seen, seen_at=max(seen.seen_at, chat.seen_at)) if chat.status and not chat.told else seen
    urgent_at = min(record.urgent_at, tx.now - priority_of(tx.options.stages, record.desired.stage))
    mine = replace(record, chat_id=chat.id, observed=seen, search_since=None, search_attempt=0, urgent_at=urgent_at)
    if holder is None:
        return mine
    closed = _close(holder)
    tx.rows.put(closed)
    # Who has the conversation is the chat's affair, and so is what was told of it.
    hints = {name: getattr(holder, name) for name in ("hinted_at", "moved_at", "heard_at")}
    clock = holder.clock and replace(holder.clock, gen=0)
    voices = joined(holder.voices, mine.voices)
    talk = talk_after(holder.talk, _told(tx, holder, chat))
    seen = replace(seen, foreign_since=_persons_since(tx, holder, chat))
    mine = replace(mine, talk=talk, clock=clock, voices=voices, alike_at=known_at(holder), **hints)
    if is_another(mine.talk, assignee_of(chat, tx.options.ai_manager, tx.options.ai_id)):
        # Since when, a look decides.
        mine = replace(mine, hinted_at=tx.now)
    audit(tx, holder, closed)
    # What the other session wrote is ours as well, and may still be there.
    there = holder.observed.manager.value
    seen = seen if seen.manager.value else replace(seen, manager=ObservedValue(there))
    stages = dict.fromkeys((*holder.desired.stages, *mine.desired.stages))
    # Whoever drives the other session may have a write under way, and may die before it can say so.
    times = [one.unconfirmed.until for one in (before, holder.observed) if one.unconfirmed]
    seen = _raised(tx, seen, holder.lease_until, *times)
    return _inherit(replace(mine, desired=replace(mine.desired, stages=tuple(stages)), observed=seen), holder)


def _told(tx: Transaction, holder: Record, chat: Chat) -> tuple[Sign, ...]:
    """What a chat that goes from one session to another tells of who has it, that its holder has not seen yet: since
    when it may be so, nobody knows better than he."""
    at, since = chat.seen_at, known_at(holder)
    if at <= since:
        return ()
    context, seen = _context(tx), holder.observed
    # What it shows may be older than whom we have made responsible.
    under_way = seen.unconfirmed or seen.contradicted or "manager" in stale(holder) or at <= holder.talk.put_at
    who = () if under_way else signs_of(chat, at, context, since)
    return (*who, *by_status(holder, chat, at, context, tx.rows.key(tx.options.key).known))


def _persons_since(tx: Transaction, holder: Record, chat: Chat) -> float:
    """Since when a chat shows what a person has set, by what its holder knew; 0: it does not."""
    if chat.status == holder.observed.status.value:
        return holder.observed.foreign_since
    persons = chat.seen_at > known_at(holder) and is_persons(holder, chat, chat.seen_at, _context(tx))
    return known_at(holder) if persons else 0.0


def _context(tx: Transaction) -> FoldContext:
    options = tx.options
    return FoldContext(options.stages, 0.0, hold=options.hold, ai_manager=options.ai_manager, ai_id=options.ai_id)


def _raised(tx: Transaction, seen: Observed, *times: float) -> Observed:
    """What is known of a chat, when somebody's write may land until the last of `times`."""
    until = max(times)
    return replace(seen, unconfirmed=Unconfirmed(0, until)) if until > tx.now else seen


def _inherit(heir: Record, owing: Record) -> Record:
    """`heir` with what another session still owes the chat, where that was asked for later; a first touch gives way."""
    heir = inherited(heir, owing)
    if not pending(owing):
        return heir
    desired, seen = heir.desired, heir.observed
    for name in stale(owing):
        mine, theirs = getattr(desired, name), getattr(owing.desired, name)
        if _order(theirs) > _order(mine):
            shown = getattr(seen, name)
            desired = replace(desired, **{name: replace(theirs, gen=desired.generation)})
            seen = replace(seen, **{name: replace(shown, gen=min(shown.gen, desired.generation - 1))})
    if desired == heir.desired:
        return heir
    # What is written for it is ours.
    desired = replace(desired, stages=tuple(dict.fromkeys((*desired.stages, *owing.desired.stages))))
    # What the chat was looked at for was not this: a person may have it by now.
    seen = replace(seen, looked_gen=0)
    return replace(heir, desired=desired, observed=seen, urgent_at=min(heir.urgent_at, owing.urgent_at))


def _order(asked: DesiredValue) -> tuple[int, float]:
    """What goes before what on one chat: a first touch before all others, else by when it was asked for."""
    return (asked.rank, asked.asked_at) if asked.value else (-1, 0.0)


def lasting(error: Error | None) -> Error | None:
    """What is not forgotten when a chat is looked for: that it was gone once, for then it is looked for once only."""
    return error if error and error.code == NOT_FOUND.code else None


def _close(record: Record) -> Record:
    """A record that lost its chat: nothing is done for it any more, and whoever drives it is stale.

    What it knew of the chat goes with it: should the session get a chat again, nothing counts as confirmed.
    """
    lost = replace(
        record,
        chat_id=None,
        candidate=None,
        closed="superseded",
        observed=forgotten(record.observed),
        talk=Talk(),
        clock=None,
        voices=Voices(),
        notes=(),
        hinted_at=0.0,
        alike_at=0.0,
    )
    return replace(lost, token=record.token + 1, lease_until=0.0)


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


def left_to_nobody(tx: Transaction, seen: Observed, wish: DesiredValue, *written: str) -> Observed:
    """What is known of a chat to which one of these stages may have been written: its status is no person's."""
    statuses = {rule_of(tx.options.stages, stage).status for stage in written}
    if seen.status.value not in statuses - {rule_of(tx.options.stages, wish.value).status}:
        return seen
    behind = replace(seen.status, gen=min(seen.status.gen, wish.gen - 1))
    return replace(seen, status=behind, foreign_since=0.0, due_at=tx.now)


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


def audit_talk(tx: Transaction, before: Record, after: Record, why: str = "") -> None:
    """Give the ledger a line when the conversation goes from the graph to a person or back, and by what."""
    old, new = before.talk, after.talk
    if old.owner != new.owner and old.owner is not None:
        stage, generation = after.desired.stage, after.desired.generation
        told = {"owner": new.owner, "why": why or new.why, "assignee": new.assignee}
        told |= {"by": new.by} if new.by and not why else {}
        line = Entry(
            0, after.session, "owner", None, stage, generation, tx.options.who, tx.wall, {"owner": old.owner}, told
        )
        tx.rows.log(line)


def log_tries(tx: Transaction, session: str | None, tries: Iterable[Try]) -> None:
    """Give the ledger a line of each call; nobody's is also that of a session that was forgotten meanwhile."""
    mine = tx.rows.get(session) if session else None
    for one in tries:
        of = Record("") if mine is None or one.for_all else mine
        told = {"seconds": round(one.seconds, 3), "status": one.status, "code": one.code}
        after = {name: value for name, value in told.items() if value is not None}
        stage, generation = of.desired.stage, of.desired.generation
        tx.rows.log(Entry(0, of.session, "try", one.kind, stage, generation, tx.options.who, tx.wall, {}, after))


# What of a record is worth a line in the ledger when it changes, beside that a write is unconfirmed.
_AUDITED = attrgetter(
    *("chat_id", "candidate", "closed"), *(f"observed.{name}" for name in ("status", "manager", "given_up", "error"))
)


def _audited(record: Record) -> tuple[object, ...]:
    return _AUDITED(record), record.observed.unconfirmed is None


def _shown(record: Record) -> dict[str, object]:
    """What the ledger says of a record before and after an outcome."""
    seen = record.observed
    return {
        "chat_id": record.chat_id,
        "status": seen.status.value if seen.status.gen else None,
        "manager_id": seen.manager.value if seen.manager.gen else None,
        "error": record.closed or (seen.error.code if seen.error else None),
    }
