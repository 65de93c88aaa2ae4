"""Who speaks in a session's chat, within a transaction: what the graph has said, and whose a message is.

What is known too late, that a text was the graph's or an auto-reply, gives back what it has taken.
"""

from collections.abc import Iterable
from dataclasses import replace

from mirt_sitniks.core.calling import resumed
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.events import Event, Message
from mirt_sitniks.core.keys import key_of
from mirt_sitniks.core.managers import fold_name
from mirt_sitniks.core.marks import SHORT, Marks, Words, heard_of, name_of, words_of
from mirt_sitniks.core.ownership import audit_talk
from mirt_sitniks.core.record import Record
from mirt_sitniks.core.repeats import AT_ONCE, Repeat, watch
from mirt_sitniks.core.rows import Transaction
from mirt_sitniks.core.speakers import Speaker, speaker_of
from mirt_sitniks.core.talk import PHONE, Sign, after, without
from mirt_sitniks.core.voices import Spoken, Voices, after_heard, after_said, is_explained

# Of a chat without a session nobody knows what was said in it; its auto-replies are ones all the same.
_UNKNOWN = Voices(since=1e-9)


def said(tx: Transaction, spoken: tuple[Spoken, ...]) -> tuple[str, ...]:
    """Remember what the graph has told the customers; returns the sessions that are not recorded yet."""
    unknown: list[str] = []
    for one in spoken:
        if record := tx.rows.get(one.session):
            marks = tuple(replace(each, at=tx.now - each.at) for each in one.marks)
            fresh = replace(record, voices=after_said(record.voices, marks, tx.now))
            wrong = [each for each in record.voices.heard if is_explained(each, marks)]
            tx.rows.put(_given_back(tx, fresh, wrong, "own_text"))
        else:
            unknown.append(one.session)
    return tuple(unknown)


def spoke(tx: Transaction, record: Record | None, chat: Chat, message: Message, at: float) -> Record | None:
    """The record after a message: who has the conversation by it, and what it teaches of voices."""
    if message.comment:
        return record
    words, salt, time = words_of(message.text), tx.options.account, at or tx.now
    voices = record.voices if record else _UNKNOWN
    whose = {"at": time, "now": tx.now, "ai_manager": tx.options.ai_manager, "salt": salt}
    speaker = speaker_of(chat, message, words, voices, **whose)  # type: ignore[arg-type]
    if speaker is Speaker.PHONE and _is_repeated(tx, chat, words, time):
        speaker = Speaker.NOBODY
    record = tx.rows.by_chat(chat.id) if speaker is Speaker.NOBODY else record
    if record is None:
        return None
    if speaker is Speaker.GRAPH and message.manager_name:
        return replace(record, voices=replace(record.voices, name=fold_name(message.manager_name)))
    if speaker is Speaker.MANAGER:
        return replace(record, talk=after(record.talk, Sign("message", at)))
    if speaker is Speaker.PHONE:
        heard = after_heard(record.voices, heard_of(words, at, salt), tx.now)
        return replace(record, voices=heard, talk=after(record.talk, Sign("message", at, PHONE)))
    return record


def repeated(tx: Transaction, events: Iterable[Event]) -> set[str]:
    """The chats in which the texts of these events were seen before."""
    names = {name_of(words_of(one.message.text), tx.options.account) for one in events if one.message}
    return {chat for one in key_of(tx).repeats if one.name in names for chat, _ in one.chats}


def _is_repeated(tx: Transaction, chat: Chat, words: Words, at: float) -> bool:
    """Whether a text is an auto-reply; what it has taken before that was known is given back."""
    key, name, contact = key_of(tx), name_of(words, tx.options.account), tx.rows.contact(chat.id)
    at_once = contact is not None and 0 <= at - contact.wrote_at <= AT_ONCE
    repeats, known, chats = watch(
        key.repeats, Repeat(name, at, ((chat.id, at),)), now=tx.now, sure=at_once or len(words.whole) >= SHORT
    )
    if repeats != key.repeats:
        tx.rows.put_key(tx.options.key, replace(key, repeats=repeats))
    for record in filter(None, map(tx.rows.by_chat, chats)):
        wrong = [one for one in record.voices.heard if one.exact.startswith(name)]
        tx.rows.put(_given_back(tx, record, wrong, "auto_reply"))
    return known


def _given_back(tx: Transaction, record: Record, wrong: list[Marks], why: str) -> Record:
    """The record as if these texts had not been taken for a person's."""
    if not wrong:
        return record
    heard = tuple(one for one in record.voices.heard if one not in wrong)
    talk = without(record.talk, [one.at for one in heard])
    fresh = replace(record, voices=replace(record.voices, heard=heard), talk=talk)
    audit_talk(tx, record, fresh, why)
    return resumed(fresh)
