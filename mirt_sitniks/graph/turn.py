"""Which event of a conversation a sync stands for: the same over retry, replay and fork, new with every turn."""

import hashlib
from collections.abc import Iterable
from uuid import UUID

_LONGEST = 200


def name_of(known: str) -> str:
    """An id as a key: itself, or a digest when it has more than 200 characters."""
    return known if len(known) <= _LONGEST else _digest(known)


def keys_of_message(message_id: str | None, text: str, chain: str) -> tuple[str, ...]:
    """The keys of a customer's message: its id with its text, and the chain unless the id is the channel's own.

    An edit under one id is a new event. LangGraph gives a message without an id another uuid4 at every run.
    """
    keys = (f"{name_of(message_id)}/{_digest(text)[:16]}",) if message_id else ()
    return keys if keys and not _is_made_up(message_id) else (*keys, chain)


def chain_of(last: str | None, messages: Iterable[tuple[str, str]]) -> str:
    """The next link of the thread's chain, over who said what: of the customer's words alone once there is a `last`.

    It is kept in graph state, so it goes back when the thread does, and goes on with every sync, however few messages
    the host keeps.
    """
    said = [f"{who}:{text}" for who, text in messages if last is None or who == "human"]
    return _digest("\0".join([last or "", *said]))


def _is_made_up(message_id: str | None) -> bool:
    try:
        return UUID(message_id).version == 4
    except (ValueError, TypeError):
        return False


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
