"""Bodies as Sitniks posts them."""

import json
from typing import Any

NEW, OLD = "new-secret-Kd83hQx7", "old-secret-of-last-year"
SECRETS = f"{NEW}, {OLD}"
CHAT: dict[str, Any] = {
    "id": "6a22cc8ee056c3833dba0c2e",
    "assignedManagerName": "Олена",
    "initialSource": "instagram",
    "ownerId": "5873099069479273",
    "ownerName": "shop.example",
    "status": "Новый",
    "tags": [],
    "userId": "1361346066050066",
    "userName": "Ірина К.",
    "userNickName": "Iryna.example",
    "lastMessageCreatedAt": "2026-06-05T13:19:12.872Z",
    "createdAt": "2026-06-05T13:18:06.940Z",
    "updatedAt": "2026-06-05T13:19:13.061Z",
}
MESSAGE: dict[str, Any] = {
    "id": "6a22cc8ee056c3833dba0c2f",
    "sentBy": CHAT["userId"],
    "text": "Добрий день",
    "messageType": "text",
    "attachments": [],
    "createdAt": "2026-06-05T13:19:12.872Z",
}


def event(**changes: Any) -> bytes:
    """A message of the customer's, with other keys at the top, or without those that are None."""
    told = {"chat": CHAT, "message": MESSAGE, **changes}
    return json.dumps({name: value for name, value in told.items() if value is not None}, ensure_ascii=False).encode()


def numbered(number: int) -> bytes:
    """A message with a text of its own."""
    return event(message={**MESSAGE, "text": str(number)})
