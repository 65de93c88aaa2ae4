"""What the CRM tells by itself, in a webhook: into the directory, and for the session whose chat it is.

The body of one transaction. An event can be late, come twice, or after one that happened later: its own time decides.
"""

from collections.abc import Iterable
from dataclasses import replace
from operator import itemgetter

from mirt_sitniks.core.calling import answered
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.events import Author, Event, Message, author_of
from mirt_sitniks.core.ownership import audit, audit_talk
from mirt_sitniks.core.proof import ROUNDING, bring_back, match
from mirt_sitniks.core.record import Record, has_work, owes_look, searching
from mirt_sitniks.core.rows import Transaction
from mirt_sitniks.core.signs import assignee_of
from mirt_sitniks.core.stages import LAST_OF_ALL
from mirt_sitniks.core.store import Outlook
from mirt_sitniks.core.talk import AI, NOBODY, OURS, Sign, after
from mirt_sitniks.core.text import unix
from mirt_sitniks.core.turns import promise


def hear(tx: Transaction, events: tuple[Event, ...]) -> Outlook:
    """Take in what was told. Whoever waits for a chat that is told of now has it; a session whose chat may have changed
    owes it a look."""
    names: set[str] = set()
    for event in events:
        at = when(tx, event.at)
        names |= _note(tx, event, at)
        if record := tx.rows.by_chat(event.chat.id):
            _tell(tx, record, event, at)
    find(tx, names)
    return promise(tx, busy=False)


def when(tx: Transaction, told: str | None) -> float:
    """When something happened, on the store's clock; what does not say so is older than all that is known."""
    at = unix(told)
    return 0.0 if at is None else tx.now - max(0.0, tx.wall - at)


def _note(tx: Transaction, event: Event, at: float) -> set[str]:
    """Put the chat into the directory; returns the names that have a chat more or less since."""
    chat, before = event.chat, tx.rows.contact(event.chat.id)
    if before and (chat.nickname is None or at < before.seen_at - ROUNDING):
        # What it does not tell, or told too late, others know better; but that the customer wrote stays true.
        if _wrote(event) and before.nickname == chat.nickname:
            tx.rows.add_contacts([replace(before, wrote_at=max(before.wrote_at, at))])
        return set()
    same = before is not None and before.nickname == chat.nickname
    wrote_at = max(before.wrote_at if before and same else 0.0, at if _wrote(event) else 0.0)
    times = (chat.last_message_at, event.message.at if event.message else None, before and before.last_message_at)
    last = max((one for one in times if one), default=None)
    heard = replace(_filled(chat, before), seen_at=at, told=True, wrote_at=wrote_at, last_message_at=last)
    tx.rows.add_contacts([heard])
    return {name for name in (chat.nickname, before.nickname if before else None) if name}


def _filled(chat: Chat, before: Chat | None) -> Chat:
    """What an event leaves out of a chat is as it was."""
    if before is None:
        return chat
    kept = ("source", "user_id", "created_at", "owner_id", "owner_name")
    return replace(chat, **{name: getattr(before, name) for name in kept if getattr(chat, name) is None})


def _wrote(event: Event) -> bool:
    """Whether the customer himself wrote, and not for all to read."""
    told = event.message
    return told is not None and not told.comment and author_of(event.chat, told) is Author.CUSTOMER


def _tell(tx: Transaction, record: Record, event: Event, at: float) -> None:
    fresh = hinted(tx, record, event, at)
    if owes_look(fresh) and not has_work(record):
        fresh = aside(fresh, tx.now)
    if fresh != record:
        audit(tx, record, fresh)
        audit_talk(tx, record, fresh)
        tx.rows.put(fresh)


def aside(record: Record, at: float) -> Record:
    """A record whose work is due at `at`, behind all else; what paused before has nothing to do with it."""
    return replace(record, urgent_at=at + LAST_OF_ALL, observed=replace(record.observed, due_at=at, attempt=0))


def listened(tx: Transaction, record: Record, messages: Iterable[Message], until: float) -> Record:
    """A session that was read its chat's messages, all `until` then: who has written since it was read them last."""
    since = max(record.heard_at, tx.now - tx.wall + record.desired.began_at)
    known = tx.rows.contact(record.chat_id or "")
    chat = Chat(record.chat_id or "", user_id=known.user_id if known else None)
    for at, message in sorted(((when(tx, one.at), one) for one in messages), key=itemgetter(0)):
        record = hinted(tx, record, Event(chat, message, message.at), at) if at > since + ROUNDING else record
        until = max(until, at)
    return replace(record, heard_at=until)


def hinted(tx: Transaction, record: Record, event: Event, at: float) -> Record:
    """A session that was told of its chat: who has written, and that it may not be any more as it is known."""
    chat, told, fresh = event.chat, event.message, record
    if told and not told.comment and author_of(chat, told) is Author.MANAGER:
        fresh = replace(fresh, talk=after(fresh.talk, Sign("message", at)))
    who = assignee_of(chat, tx.options.ai_manager, tx.options.ai_id)
    if who == AI:
        # That he was there at all may be told late as well.
        fresh = replace(fresh, talk=replace(fresh.talk, met_ai=True))
    if _differs(fresh, chat, who) and at > max(fresh.observed.seen_at, fresh.observed.looked_at):
        fresh = replace(fresh, hinted_at=max(at, fresh.hinted_at))
    return answered(tx, fresh)


def _differs(record: Record, chat: Chat, who: str | None) -> bool:
    """Whether a chat is told to be other than it is known: its status, or who is responsible."""
    known = record.talk.assignee
    another = who is not None and known not in (None, who) and not (known == OURS and who not in (AI, NOBODY))
    return another or chat.status not in (None, record.observed.status.value)


def find(tx: Transaction, names: set[str]) -> None:
    """Give those who wait for one of these names their chat, and take up again who was given up for lack of one."""
    bring_back(tx, names)
    for record in list(tx.rows.awaiting(names)):
        found = match(tx, record, listed=True)
        if not searching(found) or found.closed:
            audit(tx, record, found)
            tx.rows.put(found)
