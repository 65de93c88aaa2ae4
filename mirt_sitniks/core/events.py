"""What the CRM tells by itself: a message in a chat, and what the chat was like then. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from mirt_sitniks.core.chats import Chat


class Author(StrEnum):
    """Who wrote a message, by the CRM's word; `PAGE` is the shop's account: the graph, an auto-reply, or a person in
    the phone's own app."""

    CUSTOMER = "customer"
    MANAGER = "manager"
    PAGE = "page"


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat. `at` is ISO 8601 UTC; `comment`: it is a public one, no direct message."""

    id: str | None = None
    sent_by: str | None = None
    manager_name: str | None = None
    text: str = ""
    at: str | None = None
    comment: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """What one webhook, or one line of a list, has told.

    `chat` is how it was when the event happened, at `at` (ISO 8601 UTC, None: not said): a hint, for an event can be
    late, come twice, or come after one that happened later.
    """

    chat: Chat
    message: Message | None = None
    at: str | None = None


def author_of(chat: Chat, message: Message) -> Author:
    """Who wrote a message: who is the chat's customer, else whoever has a manager's name, else the shop's page."""
    if message.sent_by is not None and message.sent_by == chat.user_id:
        return Author.CUSTOMER
    return Author.MANAGER if (message.manager_name or "").strip() else Author.PAGE
