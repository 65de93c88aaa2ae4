"""What the directory says is a hint: what proves that a chat is a session's, and what ends a search that found none."""

from collections.abc import Iterable
from dataclasses import replace

from mirt_sitniks.core.chats import DAY, Chat, choose
from mirt_sitniks.core.ownership import NOT_FOUND, assign, audit, forgotten, lasting
from mirt_sitniks.core.record import Error, Record, Unconfirmed, pending, searching
from mirt_sitniks.core.rows import Transaction
from mirt_sitniks.core.stages import priority_of
from mirt_sitniks.core.store import Settlement
from mirt_sitniks.core.talk import Talk
from mirt_sitniks.core.text import iso

SEVERAL = Error(
    "chat_ambiguous",
    "several people in Sitniks have this user name: merge or rename them there, or set SITNIKS_OWNER if they wrote to "
    "different pages",
)
# For how long what the CRM shows brings back a session whose chat was not found.
COMES_BACK = 7 * DAY
# Seconds by which two readings of one clock can differ without meaning it.
ROUNDING = 0.001
# Whose stage is asked for has just written, or is about to show in the CRM.
SILENT = JUST = 60.0
# How long after a search was given up the same event looks once more.
LOOKED = 60.0


def begin(tx: Transaction, record: Record, said: str | None, *, afresh: bool, asked_at: float | None = None) -> Record:
    """A record without a chat: with the one that is to be read first, or else as one that waits.

    `said` is the chat by the host's word, which alone is enough where no user name is known and nobody else has it.
    `afresh`: what was known of its search is over. `asked_at` is when it was asked for (None: now): what waited for the
    store was asked for long before.
    """
    if record.candidate and not afresh:
        return record
    if afresh or record.search_since is None:
        ago = 0.0 if asked_at is None else min(max(0.0, tx.now - asked_at), DAY)
        record = replace(record, candidate=None, search_attempt=0, search_since=tx.wall - ago, prove_since=tx.now - ago)
    if said and not (record.instagram or record.telegram) and tx.rows.by_chat(said) is None:
        return assign(tx, record, Chat(said))
    if not said:
        return match(tx, record, own=True)
    # The host's word, and the CRM's own of a moment ago, are enough.
    known = tx.rows.contacts(instagram=record.instagram, telegram=record.telegram)
    told = (one for one in known if one.id == said and not one.own and _is_proven(one, record.prove_since))
    here = next(told, None)
    return assign(tx, record, here) if here else _read_first(tx, record, said, said=True)


def match(tx: Transaction, record: Record, *, own: bool = False, listed: bool = False) -> Record:
    """The record with what the directory says of its names: its chat, one to be read first, or several people's.

    It comes back as it is when nobody has the names, or when the one who has is silent: the CRM may show an old name
    of his, so what is written to now is listed first. `listed`: it was. `own`: what other sessions of these
    names have counts as well.
    """
    names = {"instagram": record.instagram, "telegram": record.telegram}
    known = (one for one in tx.rows.contacts(**names) if own or not one.own)
    found = choose(known, **names, owner=tx.options.owner)
    rivals = (found,) if isinstance(found, Chat) else found
    # Not being listed says nothing: only who was read since does not have the name any more.
    if unseen := [one for one in rivals if not _is_proven(one, record.prove_since)]:
        return _read_first(tx, record, min(unseen, key=lambda one: (one.seen_at, one.id)).id)
    if isinstance(found, Chat):
        return record if not listed and _is_silent(tx, record, found) else assign(tx, record, found)
    return give_up(record, SEVERAL) if found else record


def prove(tx: Transaction, record: Record, settlement: Settlement) -> Record:
    """A record whose candidate was read: it is the customer's, or the search goes on without it."""
    chat, candidate = settlement.shown, record.candidate
    if chat is None and not settlement.gone:
        return record
    if chat is None and candidate:
        tx.rows.drop_contact(candidate)
    names = {record.instagram, record.telegram} - {None}
    if chat and record.said and (not names or chat.nickname in {None, *names}):
        # The host's word stands where no user name contradicts it: some channels have none.
        return _as_read(assign(tx, record, chat), record, settlement)
    record = replace(record, candidate=None, said=False, search_since=tx.wall, search_attempt=0)
    return _as_read(match(tx, record), record, settlement) if names else give_up(record, NOT_FOUND)


def _as_read(mine: Record, before: Record, settlement: Settlement) -> Record:
    """A record that got the chat which was read: a status that is there needs no call, as one that was written directly
    while the store was away."""
    desired, seen = mine.desired, mine.observed
    same = settlement.shown and settlement.shown.id == mine.chat_id and settlement.generation == desired.generation
    if not (same and settlement.agrees and desired.status == before.desired.status):
        return mine
    return replace(mine, observed=replace(seen, status=replace(seen.status, gen=desired.status.gen)))


def without_chat(tx: Transaction, record: Record) -> Record:
    """A record whose chat is not in the CRM any more: it waits for another one."""
    # A round that is settled twice, because its answer was lost, finds the chat gone already.
    if record.chat_id:
        tx.rows.drop_contact(record.chat_id)
    # The same chat can be found again, and a write that is in the air lands on it all the same.
    lost = record.observed.unconfirmed
    unconfirmed = Unconfirmed(0, lost.until) if lost else None
    seen = replace(forgotten(record.observed), unconfirmed=unconfirmed)
    waits = replace(record, chat_id=None, search_since=tx.wall, search_attempt=0, prove_since=tx.now, observed=seen)
    waits = replace(waits, talk=Talk(), clock=None, hinted_at=0.0, alike_at=0.0, moved_at=0.0, heard_at=0.0)
    if not (record.instagram or record.telegram):
        return give_up(waits, NOT_FOUND)
    return replace(waits, notes=()) if seen.given_up >= record.desired.generation else waits


def note(tx: Transaction, chats: Iterable[Chat]) -> set[str]:
    """Put what the CRM showed into the directory; returns the names that have a chat more or less since."""
    names: set[str | None] = set()
    newer = []
    for chat in chats:
        before = tx.rows.contact(chat.id)
        if before is None or before.seen_at <= chat.seen_at + ROUNDING:
            newer.append(chat)
            names |= {chat.nickname, before.nickname if before else None}
    tx.rows.add_contacts(newer)
    return {name for name in names if name}


def bring_back(tx: Transaction, names: set[str]) -> None:
    """What the CRM shows now ends what was given up for lack of a chat, or because of rivals."""
    for record in list(tx.rows.lost(names)):
        given_up = record.observed.given_up >= record.desired.generation
        if given_up and (record.search_since or 0.0) > tx.wall - COMES_BACK:
            after = match(tx, again(tx, record), listed=True)
            if not searching(after) or after.closed:
                audit(tx, record, after)
                tx.rows.put(after)


def look_again(tx: Transaction, record: Record, last: int) -> Record:
    """A session whose search was given up, when its newest event comes again: what the directory says, or one more
    search (number `last`)."""
    seen = record.observed
    if pending(record) or record.closed or record.search_since is None or not (record.instagram or record.telegram):
        return record
    after = match(tx, again(tx, record), own=True)
    if not searching(after) or after.closed:
        return after
    rested = seen.error is not None and seen.due_at < tx.now - LOOKED
    return replace(again(tx, record), search_attempt=last) if rested else record


def _is_proven(chat: Chat, since: float) -> bool:
    """Whether a chat was seen since then, or its customer has just written by the CRM's own word."""
    return chat.seen_at >= since - ROUNDING or chat.wrote_at >= since - JUST


def _is_silent(tx: Transaction, record: Record, chat: Chat) -> bool:
    """Whether nobody has written in a chat since a good while before the stage was asked for."""
    asked = record.prove_since - tx.now + tx.wall
    return chat.last_message_at is not None and chat.last_message_at[:19] < iso(asked - SILENT)[:19]


def give_up(record: Record, error: Error) -> Record:
    """Nothing more is tried for what the record wants now."""
    seen = replace(record.observed, error=error, given_up=record.desired.generation)
    # What a customer said is not kept for a chat that may never come.
    return replace(record, observed=seen, notes=record.notes if record.chat_id else ())


def again(tx: Transaction, record: Record) -> Record:
    """A given-up record as one that is due."""
    seen = replace(record.observed, given_up=0, attempt=0, due_at=tx.now, error=None)
    return replace(record, observed=seen, urgent_at=tx.now - priority_of(tx.options.stages, record.desired.stage))


def _read_first(tx: Transaction, record: Record, chat_id: str, *, said: bool = False) -> Record:
    seen = replace(record.observed, due_at=tx.now, error=lasting(record.observed.error))
    urgent_at = min(record.urgent_at, tx.now - priority_of(tx.options.stages, record.desired.stage))
    return replace(record, candidate=chat_id, said=said, search_since=None, observed=seen, urgent_at=urgent_at)
