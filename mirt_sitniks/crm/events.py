"""A message in a chat, as a webhook tells of it and as the list of a chat's messages has it: pure."""

from dataclasses import dataclass

from mirt_sitniks.core.events import Event, Message
from mirt_sitniks.crm.calls import OwnCall, Page, Request, _chat_path, _paging
from mirt_sitniks.crm.objects import chat_of, message_of, page_of, parse, time_of
from mirt_sitniks.errors import SitniksError


class UnreadableEvent(SitniksError):
    """What came to the webhook is no JSON, or not of the shape that Sitniks sends."""

    code = "bad_response"


@dataclass(frozen=True, slots=True)
class ListMessages(OwnCall[Page[Message]]):
    """A page of a chat's messages, the newest first; `limit` is at most 50, and no total is told."""

    chat_id: str
    skip: int = 0
    limit: int = 50

    kind, right = "messages", "read the messages of this chat"

    def request(self) -> Request:
        """`GET /chats/{id}/messages`."""
        return Request("GET", _chat_path(self.chat_id, "/messages"), _paging(self.skip, self.limit))

    def read(self, document: object) -> object:
        """The page."""
        return page_of(document, message_of)


def read_event(body: bytes) -> Event | None:
    """What one webhook tells; None for what tells nothing of a chat: a ping, an empty body, another kind of event.

    The older shape has the chat's id at the top, with or without a chat. Raises `UnreadableEvent`, and nothing else,
    for bytes that are no JSON object, and for a chat without an id.
    """
    if not body.strip():
        return None
    document = parse(body)
    if not isinstance(document, dict):
        raise UnreadableEvent("the webhook was sent something else than a JSON object")
    about, chat_id = document.get("chat"), document.get("chatId")
    if about is None and chat_id is None:
        return None
    shown = about if isinstance(about, dict) else {}
    chat = chat_of(shown) or chat_of({**shown, "id": chat_id})
    if chat is None:
        raise UnreadableEvent("the webhook was sent a chat that has no id")
    message = message_of(document.get("message"))
    times = (message and message.at, time_of(shown.get("updatedAt")), chat.last_message_at)
    return Event(chat, message, next((one for one in times if one), None))
