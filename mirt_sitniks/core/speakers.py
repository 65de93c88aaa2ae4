"""Who has written a message of a chat: the customer, the graph, a manager, a person in the phone's own app. Pure.

What the graph has said is known by its marks, for as long as it may still be on its way; whoever writes the same by
hand within that time is taken for the graph, and later for a person.
"""

from enum import StrEnum

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.events import Message
from mirt_sitniks.core.managers import fold_name
from mirt_sitniks.core.marks import Marks, Words, is_known
from mirt_sitniks.core.voices import DAY, SHORTLY, SLACK, Voices


class Speaker(StrEnum):
    """Who has written a message; `NOBODY`: that can't be told."""

    CUSTOMER = "customer"
    GRAPH = "graph"
    MANAGER = "manager"
    PHONE = "phone"
    NOBODY = "nobody"


def speaker_of(
    chat: Chat, message: Message, words: Words, voices: Voices, *, at: float, now: float, ai_manager: str, salt: str
) -> Speaker:
    """Who has written a message of `at`; an auto-reply counts as the phone's here."""
    if message.sent_by is not None and message.sent_by == chat.user_id:
        return Speaker.CUSTOMER
    if is_own(words, voices, at=at, now=now, salt=salt):
        return Speaker.GRAPH
    name, says = fold_name(message.manager_name or ""), bool(words.whole)
    if name:
        # Where the graph tells what it says, whatever else has words under its name is a person's.
        as_graph = name in (voices.name, fold_name(ai_manager))
        return Speaker.GRAPH if as_graph and not (says and voices.since) else Speaker.MANAGER
    by_page = message.sent_by is not None and message.sent_by == (chat.owner_id or message.sent_by)
    told = by_page and (chat.owner_id or chat.user_id) and says
    # The CRM's times have three digits.
    known = voices.since and at > max(voices.since, now - DAY) - 0.002
    return Speaker.PHONE if told and known else Speaker.NOBODY


def is_own(words: Words, voices: Voices, *, at: float, now: float, salt: str) -> bool:
    """Whether the graph has said this: shortly before it was written or, as that clock may be wrong, before it came."""

    def since(seconds: float, slack: float) -> list[Marks]:
        return [one for one in voices.said if any(-slack <= time - one.at <= seconds for time in (at, now))]

    return is_known(words, since(DAY, SLACK), since(SHORTLY, SHORTLY), salt)
