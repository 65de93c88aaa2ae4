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
from mirt_sitniks.core.record import Record, has_work, owes_look, pending, searching
from mirt_sitniks.core.rows import Transaction
from mirt_sitniks.core.signs import assignee_of, is_another
from mirt_sitniks.core.speaking import spoke
from mirt_sitniks.core.stages import LAST_OF_ALL
from mirt_sitniks.core.store import Outlook
from mirt_sitniks.core.talk import AI, NOBODY, Sign, Talk, after, named, told
from mirt_sitniks.core.text import unix
from mirt_sitniks.core.turns import promise

# Once in so many seconds it is kept that a chat is told to be as it is known.
ALIKE = 60.0
# What tells nothing of a chat but that somebody wrote in it is a reason to read it once in so many seconds.
UNTOLD = 60.0


def hear(tx: Transaction, events: tuple[Event, ...]) -> Outlook:
    """Take in what was told. Whoever waits for a chat that is told of now has it; a session whose chat may have changed
    owes it a look."""
    names: set[str] = set()
    for event in events:
        at = when(tx, event.at)
        names |= _note(tx, event, at)
        heard = _voiced(tx, event, at)
        if record := tx.rows.by_chat(event.chat.id):
            _tell(tx, record, heard or record, event, at)
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


def _voiced(tx: Transaction, event: Event, at: float) -> Record | None:
    """The record of a chat after what somebody wrote there."""
    record, chat = tx.rows.by_chat(event.chat.id), _filled(event.chat, tx.rows.contact(event.chat.id))
    return spoke(tx, record, chat, event.message, at) if event.message else record


def _tell(tx: Transaction, record: Record, fresh: Record, event: Event, at: float) -> None:
    """Tell a session of its chat: what came of who has written, and that it may not be any more as it is known."""
    known_at = max(record.observed.seen_at, record.observed.looked_at)
    who = named(record.talk, assignee_of(event.chat, tx.options.ai_manager, tx.options.ai_id))
    fresh = hinted(tx, fresh, event.chat, at)
    talk = _shown(fresh.talk, Sign("assigned", at, who), known_at, waits=pending(record))
    fresh = replace(fresh, talk=told(talk, Sign("assigned", at, who), known_at, tx.options.hold))
    put(tx, record, aside(fresh, tx.now) if owes_look(fresh) and not has_work(record) else fresh)


def _shown(talk: Talk, sign: Sign, known_at: float, *, waits: bool) -> Talk:
    """Who has a chat that an event shows. The AI manager has it back at once, unless a stage `waits` to be written: a
    customer who has just written waits for an answer, not for a look."""
    if sign.at <= max(known_at, talk.put_at):
        return talk
    if sign.who == AI and sign.at > talk.signed_at and not waits:
        return after(talk, sign)
    # Who writes in a chat that the AI manager has takes it; and by whom nobody has read yet the next one is another.
    taken = sign.who == AI and (talk.why, talk.signed_at) == ("message", sign.at)
    return replace(talk, assignee=sign.who) if taken or (talk.assignee is None and sign.who != NOBODY) else talk


def aside(record: Record, at: float) -> Record:
    """A record whose work is due at `at`, behind all else; what paused before has nothing to do with it."""
    return replace(record, urgent_at=at + LAST_OF_ALL, observed=replace(record.observed, due_at=at, attempt=0))


def put(tx: Transaction, record: Record, fresh: Record) -> None:
    """Write down what was told of a session's chat."""
    fresh = answered(tx, fresh)
    if fresh != record:
        audit(tx, record, fresh)
        audit_talk(tx, record, fresh)
        tx.rows.put(fresh)


def listen(tx: Transaction, session: str, chat_id: str, messages: Iterable[Message], until: float) -> None:
    """Take in a chat's messages, all `until` then: who has written since they were read last, in this session."""
    if not (record := tx.rows.get(session)) or record.chat_id != chat_id:
        return
    since = max(record.heard_at, tx.now - tx.wall + record.desired.began_at) + ROUNDING
    for at, message in sorted(((when(tx, one.at), one) for one in messages), key=itemgetter(0)):
        before = tx.rows.get(session) or record
        if at > since and (fresh := _voiced(tx, Event(Chat(chat_id), message, message.at), at)):
            put(tx, before, fresh)
        until = max(until, at)
    newest = tx.rows.get(session) or record
    tx.rows.put(replace(newest, heard_at=max(until, newest.heard_at)))


def hinted(tx: Transaction, record: Record, chat: Chat, at: float) -> Record:
    """A session that was told of its chat, which may not be any more as it is known."""
    fresh = record
    who = named(record.talk, assignee_of(chat, tx.options.ai_manager, tx.options.ai_id))
    if who == AI:
        # That he was there at all may be told late as well.
        fresh = replace(fresh, talk=replace(fresh.talk, met_ai=True))
    known_at = max(fresh.observed.seen_at, fresh.observed.looked_at)
    if chat.status is None and who is None:
        # An older account tells the chat's id alone.
        due = tx.options.hold > 0 and at > known_at + UNTOLD
        fresh = replace(fresh, hinted_at=max(at, fresh.hinted_at)) if due else fresh
    elif not _differs(fresh, chat, who):
        fresh = replace(fresh, alike_at=at) if chat.status and at > fresh.alike_at + ALIKE else fresh
    elif at > known_at:
        fresh = replace(fresh, hinted_at=max(at, fresh.hinted_at))
    if owes_look(fresh) and not owes_look(record) and has_work(record):
        # What pauses after a refusal is no reason not to look.
        fresh = replace(fresh, observed=replace(fresh.observed, due_at=min(fresh.observed.due_at, tx.now)))
    return fresh


def _differs(record: Record, chat: Chat, who: str | None) -> bool:
    """Whether a chat is told to be other than it is known: its status, or who is responsible."""
    return is_another(record.talk, who) or chat.status not in (None, record.observed.status.value)


def find(tx: Transaction, names: set[str]) -> None:
    """Give those who wait for one of these names their chat, and take up again who was given up for lack of one."""
    bring_back(tx, names)
    for record in list(tx.rows.awaiting(names)):
        found = match(tx, record, listed=True)
        if not searching(found) or found.closed:
            audit(tx, record, found)
            tx.rows.put(found)
