"""Answers of the CRM, and what reading them brings."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.crm import answers
from mirt_sitniks.errors import CrmError

NOW = datetime(2026, 6, 5, 13, 0, tzinfo=UTC)
ID = "6a22cc8ee056c3833dba0c2e"
CAPTURED = {
    "id": ID,
    "assignedManagerName": "Олена",
    "initialSource": "instagram",
    "ownerId": "5873099069479273",
    "ownerName": "shop.example",
    "status": "Новый",
    "tags": ["120253775599570059"],
    "userId": "1361346066050066",
    "userName": "Ірина К.",
    "userNickName": "iryna.example",
    "lastMessageCreatedAt": "2026-06-05T13:19:12.872Z",
    "createdAt": "2026-06-05T13:18:06.940Z",
    "updatedAt": "2026-06-05T13:19:13.061Z",
}
READ = Chat(
    id=ID,
    nickname="iryna.example",
    source="instagram",
    user_id="1361346066050066",
    status="Новый",
    manager_name="Олена",
    owner_id="5873099069479273",
    owner_name="shop.example",
    last_message_at="2026-06-05T13:19:12.872Z",
    created_at="2026-06-05T13:18:06.940Z",
)


def decode(call: Any, body: Any = b"", status: int = 200, headers: Mapping[str, str] | None = None) -> Any:
    """The answer read at `NOW`; what is not bytes is made JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return answers.decode(call, status, headers or {}, raw, NOW)


def failure(call: Any, body: Any = b"", status: int = 200, headers: Mapping[str, str] | None = None) -> CrmError:
    """The error that reading the answer raises."""
    with pytest.raises(CrmError) as caught:
        decode(call, body, status, headers)
    return caught.value


def outcome(call: Any, status: int, headers: Mapping[str, str], body: bytes, now: datetime = NOW) -> Any:
    """What reading an answer brings, be it a value or an error of ours."""
    try:
        return answers.decode(call, status, headers, body, now)
    except CrmError as error:
        return error


def named(call: object) -> str:
    """A short name for a parametrised call."""
    return type(call).__name__
