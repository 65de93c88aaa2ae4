"""What the objects of Sitniks mean, as answers and webhooks bring them: pure.

Read tolerantly, for any object may lack any key but its id: what it lacks is None.
"""

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from mirt_sitniks.core.chats import Chat, normalise_username
from mirt_sitniks.core.events import Message
from mirt_sitniks.core.managers import Manager
from mirt_sitniks.core.text import clean_text
from mirt_sitniks.crm.calls import UNREADABLE, Page, format_time, id_of

T = TypeVar("T")
# What the longest of the channels takes at once; nobody has to keep more of what a stranger sends.
LONGEST_TEXT = 4096


def page_of(document: object, read: Callable[[object], T | None]) -> object:
    """The page of a list whose objects `read` reads, or `UNREADABLE`."""
    data = document.get("data") if isinstance(document, dict) else document
    if not isinstance(data, list):
        return UNREADABLE
    total = int_of(document.get("count")) if isinstance(document, dict) else None
    items = tuple(item for item in map(read, data) if item is not None)
    return Page(items=items, total=total, raw=len(data))


def chat_of(value: object) -> Chat | None:
    """A chat; None for what has no id."""
    if not isinstance(value, dict) or (chat_id := id_of(value.get("id"))) is None:
        return None
    status = value.get("status")
    named = text_of(status.get("title")) or text_of(status.get("name")) if isinstance(status, dict) else text_of(status)
    shown = int_of(value.get("assignedManagerId"), least=1), text_of(value.get("assignedManagerName"))
    told = any(name in value for name in ("assignedManagerId", "assignedManagerName"))
    return Chat(
        id=chat_id,
        nickname=normalise_username(value.get("userNickName")),
        source=text_of(value.get("initialSource")),
        user_id=id_of(value.get("userId")),
        status=named,
        manager_id=shown[0],
        manager_name=shown[1],
        owner_id=id_of(value.get("ownerId")),
        owner_name=text_of(value.get("ownerName")),
        last_message_at=time_of(value.get("lastMessageCreatedAt")),
        created_at=time_of(value.get("createdAt")),
        unassigned=told and shown == (None, None),
    )


def manager_of(value: object) -> Manager | None:
    """One of the account's people; None for what has no id."""
    if not isinstance(value, dict) or (manager_id := int_of(value.get("id"), least=1)) is None:
        return None
    user = value.get("user")
    name = text_of(user.get("fullname")) if isinstance(user, dict) else text_of(user)
    return Manager(manager_id, name or text_of(value.get("fullname")) or text_of(value.get("name")) or "")


def message_of(value: object) -> Message | None:
    """A message, of its text the first 4,096 characters; None for what is no object."""
    if not isinstance(value, dict):
        return None
    return Message(
        id=id_of(value.get("id")),
        sent_by=id_of(value.get("sentBy")),
        manager_name=text_of(value.get("managerName")),
        text=(text_of(value.get("text")) or "")[:LONGEST_TEXT],
        at=time_of(value.get("createdAt")),
        comment=bool(value.get("commentId")),
    )


def parse(body: bytes) -> object:
    """The JSON in `body`, or `UNREADABLE`: bad bytes and syntax, nesting bombs, numbers too long for Python."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return UNREADABLE


def text_of(value: object) -> str | None:
    """Text that says something and that any database holds; else None."""
    return clean_text(value).strip() or None if isinstance(value, str) else None


def int_of(value: object, least: int = 0) -> int | None:
    """A number from `least` to what a bigint holds, also as digits in text or as 17.0; else None."""
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,19}\s*", value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**63:
        return value
    return None


def time_of(value: object) -> str | None:
    """A time as the API writes it; None for what is none."""
    if not isinstance(value, str):
        return None
    try:
        return format_time(datetime.fromisoformat(value.strip()))
    except (ValueError, OverflowError):
        return None
