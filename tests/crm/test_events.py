"""What a webhook's body tells, and a chat's messages: read as tolerantly as answers, and nothing is made up."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.events import Author, Event, Message, author_of
from mirt_sitniks.crm import answers, calls
from mirt_sitniks.crm.events import ListMessages, UnreadableEvent, read_event
from mirt_sitniks.errors import BadResponse, NotFound
from tests.crm.reading import ID, READ
from tests.webhook.events import CHAT, MESSAGE, event

SAID = Message(MESSAGE["id"], "1361346066050066", None, "Добрий день", "2026-06-05T13:19:12.872Z")


def read(**changes: Any) -> Event:
    """What an event tells with these changes."""
    found = read_event(event(**changes))
    assert found
    return found


def test_an_event_is_a_chat_and_a_message() -> None:
    """Both as answers show them; the event happened when the message was written."""
    assert read() == Event(READ, SAID, SAID.at)
    assert author_of(READ, SAID) is Author.CUSTOMER


@pytest.mark.parametrize(
    ("top", "chat"),
    [
        ({"chat": None, "chatId": ID}, Chat(ID)),
        ({"chat": None, "chatId": f" {ID} "}, Chat(ID)),
        ({"chat": {**CHAT, "id": None}, "chatId": ID}, READ),
        ({"chat": {}, "chatId": ID}, Chat(ID)),
        ({"chat": "?", "chatId": ID}, Chat(ID)),
        ({"chat": {"id": 17}, "chatId": ID}, Chat("17")),
    ],
)
def test_the_older_shape_has_the_chats_id_at_the_top(top: dict[str, Any], chat: Chat) -> None:
    """With a chat or without one; a chat that has an id of its own is that one."""
    assert read(**top) == Event(chat, SAID, SAID.at)


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"message": {**MESSAGE, "createdAt": "2026-06-05T16:20:00+03:00"}}, "2026-06-05T13:20:00.000Z"),
        ({"message": {**MESSAGE, "createdAt": "soon"}}, CHAT["updatedAt"]),
        ({"message": None}, CHAT["updatedAt"]),
        ({"message": None, "chat": {**CHAT, "updatedAt": 5}}, CHAT["lastMessageCreatedAt"]),
        ({"message": None, "chat": {"id": ID}}, None),
    ],
)
def test_when_it_happened_is_the_messages_word_before_the_chats(changes: dict[str, Any], at: str | None) -> None:
    """In UTC; a time that is none is not said."""
    assert read(**changes).at == at


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ({}, Message()),
        ({"id": 5, "sentBy": 7, "managerName": " ", "text": None}, Message("5", "7")),
        ({"id": [], "sentBy": {}, "managerName": 1, "text": ["x"], "createdAt": {}}, Message()),
        ({"commentId": "", "text": " a\0b "}, Message(text="ab")),
        ({"commentId": "17"}, Message(comment=True)),
        ({"commentId": 17, "managerName": "Олена"}, Message(comment=True, manager_name="Олена")),
        ({"text": "ї" * 5000}, Message(text="ї" * 4096)),
    ],
)
def test_a_message_is_read_as_far_as_it_can_be(shown: dict[str, Any], said: Message) -> None:
    """What is not there, or of another type, is not known; no more of a text is kept than a channel takes at once."""
    assert read(message=shown).message == said


@pytest.mark.parametrize("message", ["hello", 1, [], [MESSAGE]])
def test_what_is_no_message_is_none(message: object) -> None:
    """The chat is told all the same."""
    assert read(message=message) == Event(READ, None, CHAT["updatedAt"])


def test_what_cannot_be_read_is_one_error() -> None:
    """Its words show nothing of what came."""
    for body in (b"{", b"[]", b"1", b'{"chat": {"id": "planted\\u0007x"}}', b'{"chatId": []}'):
        with pytest.raises(UnreadableEvent) as caught:
            read_event(body)
        assert "planted" not in str(caught.value)


def test_messages_are_asked_for_by_page() -> None:
    """`GET /chats/{id}/messages`; an id that is none is refused before it becomes a path."""
    asked = calls.request(ListMessages("a/b", skip=50))
    assert (asked.method, asked.path, asked.params) == (
        "GET",
        "/chats/a%2Fb/messages",
        (("limit", "50"), ("skip", "50")),
    )
    assert calls.kind_of(ListMessages(ID)) == "messages"
    assert not calls.is_write(ListMessages(ID))
    with pytest.raises(NotFound):
        calls.request(ListMessages(".."))


def answered(body: object) -> Any:
    """The page that an answer of 200 brings."""
    return answers.decode(ListMessages(ID), 200, {}, json.dumps(body).encode(), datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("wrap", [lambda page: {"data": page}, lambda page: page])
def test_a_page_of_messages_is_read(wrap: Any) -> None:
    """In the vendor's shape or bare; one that cannot be read costs itself alone, and is counted."""
    page = answered(wrap([MESSAGE, None, {"text": "?"}]))
    assert (page.items, page.total, page.raw) == ((SAID, Message(text="?")), None, 3)


def test_a_page_of_another_shape_is_a_bad_response() -> None:
    """As with any read."""
    with pytest.raises(BadResponse):
        answered({"messages": []})
