"""The Open API's contract: what each request means to the account and what it is answered."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

from .account import Account
from .clock import iso, read_iso
from .world import OWNER_ID, Chat

OWNER_NAME = "shop.example"
MAX_PAGE = 50
DEFAULT_PAGE = 10
BY = "api"
_REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came: `path` percent-encoded and without the query, header names in lower case."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the request is answered."""

    status: int
    body: bytes = b""
    content_type: str = "application/json; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


def as_json(status: int, value: object) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, json.dumps(value, ensure_ascii=False).encode())


def refusal(status: int, message: str) -> Answer:
    """An error as the service words it."""
    return as_json(status, {"statusCode": status, "message": message, "error": _REASONS[status]})


class _Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.answer = refusal(status, message)


def key_of(headers: Mapping[str, str]) -> str | None:
    """The key that the request shows, or None."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key if scheme == "Bearer" and key else None


def answer(account: Account, request: Request) -> Answer:
    """Do what the request asks, as far as the contract has it, and answer; the caller holds the account's lock.

    The key, the trial plan, the limit and the faults are looked after before.
    """
    allowed = []
    for method, pattern, handle in _ROUTES:
        match = pattern.fullmatch(request.path)
        if match and method == request.method:
            try:
                return handle(account, request, *map(unquote, match.groups()))
            except _Refused as refused:
                return refused.answer
        if match:
            allowed.append(method)
    # PATCH on a chat is the guess of an older integration; the service does not know the route at all.
    if not allowed or (request.method == "PATCH" and "PUT" in allowed):
        return refusal(404, f"Cannot {request.method} {request.path}")
    return refusal(405, f"{request.method} is not allowed here; allowed: {', '.join(allowed)}")


# Reading what was sent


def _query(request: Request, *known: str) -> dict[str, str]:
    pairs = parse_qsl(request.query, keep_blank_values=True)
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused(400, "a query parameter comes twice")
    strange = sorted(set(found) - set(known))
    if strange:
        raise _Refused(400, f"property {strange[0]} should not exist")
    return found


def _number(query: Mapping[str, str], name: str, default: int, lowest: int, highest: int | None = None) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < lowest:
        raise _Refused(400, f"{name} must be an integer not less than {lowest}")
    if highest is not None and int(text) > highest:
        raise _Refused(400, f"{name} must not be greater than {highest}")
    return int(text)


def _page(query: Mapping[str, str]) -> slice:
    skip = _number(query, "skip", 0, 0)
    return slice(skip, skip + _number(query, "limit", DEFAULT_PAGE, 1, MAX_PAGE))


def _range(query: Mapping[str, str], start: str, end: str) -> tuple[datetime, datetime] | None:
    if start not in query and end not in query:
        return None
    dates = [read_iso(query.get(name, "")) for name in (start, end)]
    if dates[0] is None or dates[1] is None:
        raise _Refused(400, f"{start} and {end} must both be ISO 8601 dates with milliseconds and Z")
    return dates[0], dates[1]


def _json_body(request: Request, **known: type) -> dict[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _Refused(400, "the body must be application/json")
    try:
        body = json.loads(request.body.decode("utf-8"))
    except ValueError:
        raise _Refused(400, "the body is not JSON") from None
    if not isinstance(body, dict):
        raise _Refused(400, "the body must be an object")
    for name, value in body.items():
        if name not in known:
            raise _Refused(400, f"property {name} should not exist")
        if not isinstance(value, known[name]) or isinstance(value, bool):
            raise _Refused(400, f"{name} must be of type {known[name].__name__}")
        if isinstance(value, list) and not all(isinstance(one, str) for one in value):
            raise _Refused(400, f"each value in {name} must be a string")
    return body


def _chat(account: Account, chat_id: str) -> Chat:
    for chat in account.world.visible():
        if chat.id == chat_id:
            return chat
    raise _Refused(404, "Chat not found")


def _text(body: Mapping[str, Any]) -> str:
    text: str = body.get("text", "")
    if not text.strip():
        raise _Refused(400, "text should not be empty")
    return text


# Showing


def show_chat(account: Account, chat: Chat) -> dict[str, Any]:
    """The chat as the API shows it: the captured chat's keys in their order."""
    shown: dict[str, Any] = {"id": chat.id}
    if chat.manager_id is not None:
        shown["assignedManagerName"] = account.world.managers.get(chat.manager_id)
    if account.habits.show_manager_id:
        shown["assignedManagerId"] = chat.manager_id
    return shown | {
        "initialSource": chat.source,
        "ownerId": OWNER_ID,
        "ownerName": OWNER_NAME,
        "status": chat.status if account.habits.status_shape == "text" else {"title": chat.status},
        "tags": list(chat.tags),
        "userId": chat.user_id,
        "userName": chat.user_name,
        "userNickName": chat.nickname,
        "lastMessageCreatedAt": iso(chat.last_message),
        "createdAt": iso(chat.created),
        "updatedAt": iso(chat.updated),
    }


def _written(account: Account, chat: Chat) -> Answer:
    return Answer(200) if account.habits.write_body == "empty" else as_json(200, show_chat(account, chat))


# The endpoints


def _list_chats(account: Account, request: Request) -> Answer:
    names = ("startDate", "endDate", "firstMessageStartDate", "firstMessageEndDate", "status", "initialSource")
    query = _query(request, *names, "limit", "skip")
    page = _page(query)
    dates = _range(query, *names[:2])
    first = _range(query, *names[2:4])
    if dates and first:
        raise _Refused(400, "firstMessageStartDate stands instead of startDate, not beside it")
    by_creation = first is not None or account.habits.date_filter == "created"
    since, until = first or dates or (None, None)
    found = []
    for chat in account.world.visible():
        date = chat.created if by_creation else chat.last_message
        if since and until and not since <= date <= until:
            continue
        if query.get("status", chat.status) == chat.status and query.get("initialSource", chat.source) == chat.source:
            found.append(show_chat(account, chat))
    return as_json(200, {"data": found[page], "count": len(found)})


def _get_chat(account: Account, request: Request, chat_id: str) -> Answer:
    _query(request)
    return as_json(200, show_chat(account, _chat(account, chat_id)))


def _set_status(account: Account, request: Request, chat_id: str) -> Answer:
    _query(request)
    status = _json_body(request, status=str).get("status")
    if status is None:
        raise _Refused(400, "status should not be empty")
    chat = _chat(account, chat_id)
    if status not in account.world.statuses:
        raise _Refused(account.habits.unknown_status, "Status not found")
    account.world.set_status(chat, status, BY)
    return _written(account, chat)


def _update_chat(account: Account, request: Request, chat_id: str) -> Answer:
    _query(request)
    body = _json_body(request, assignedManagerId=int, tags=list)
    chat = _chat(account, chat_id)
    manager_id = body.get("assignedManagerId")
    if manager_id is not None and not account.habits.managers_refuse:
        if manager_id not in account.world.managers:
            raise _Refused(400, "Manager not found")
        account.world.set_manager(chat, manager_id, BY)
    if "tags" in body:
        account.world.set_tags(chat, body["tags"], BY)
    return _written(account, chat)


def _list_messages(account: Account, request: Request, chat_id: str) -> Answer:
    query = _query(request, "limit", "skip", "isComment")
    page = _page(query)
    comment = query.get("isComment")
    if comment not in (None, "true", "false"):
        raise _Refused(400, "isComment must be true or false")
    messages = list(reversed(_chat(account, chat_id).messages))
    if comment is not None:
        messages = [message for message in messages if (message["commentId"] is not None) is (comment == "true")]
    return as_json(200, {"data": messages[page]})


def _add_message(account: Account, request: Request, chat_id: str) -> Answer:
    _query(request)
    body = _json_body(request, text=str, attachments=list)
    chat = _chat(account, chat_id)
    return as_json(201, account.world.add_message(chat, _text(body), by="api", attachments=body.get("attachments", ())))


def _add_note(account: Account, request: Request, chat_id: str) -> Answer:
    _query(request)
    body = _json_body(request, text=str)
    chat = _chat(account, chat_id)
    return as_json(201, account.world.add_note(chat, _text(body), "Open API"))


def _list_managers(account: Account, request: Request) -> Answer:
    page = _page(_query(request, "limit", "skip"))
    managers = [{"id": number, "user": {"fullname": name}} for number, name in account.world.managers.items()]
    return as_json(200, {"data": managers[page], "count": len(managers)})


_Handler = Callable[..., Answer]

_ROUTES: tuple[tuple[str, re.Pattern[str], _Handler], ...] = (
    ("GET", re.compile("/open-api/chats"), _list_chats),
    ("GET", re.compile("/open-api/chats/([^/]+)"), _get_chat),
    ("PUT", re.compile("/open-api/chats/([^/]+)"), _update_chat),
    ("PATCH", re.compile("/open-api/chats/([^/]+)/status"), _set_status),
    ("GET", re.compile("/open-api/chats/([^/]+)/messages"), _list_messages),
    ("POST", re.compile("/open-api/chats/([^/]+)/messages"), _add_message),
    ("POST", re.compile("/open-api/chats/([^/]+)/notes"), _add_note),
    ("GET", re.compile("/open-api/managers"), _list_managers),
)
