"""The contract of chats and managers: what each request means to the account and what it is answered."""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from .account import Account
from .clock import iso
from .request import Answer, Query, Refused, Request, as_json, bad, json_body, refusal, refuse
from .world import Chat, World

MAX_PAGE = 50
MAX_MANAGERS = 100
BY = "api"


def chat_of(account: Account, path: str) -> Chat | None:
    """The chat that a path is about, None when it is about none that the API shows."""
    match = re.match("/open-api/chats/([^/]+)", path)
    wanted = _id(unquote(match[1])) if match else None
    return next((chat for chat in account.world.visible() if _id(chat.id) == wanted), None)


def _id(text: str) -> str:
    """An id to compare by: the letters of a hexadecimal one may be large."""
    return text.lower() if re.fullmatch("[0-9a-fA-F]{24}", text) else text


def check_right(account: Account, request: Request, kind: str) -> None:
    """Refuse a request of a kind that the account may not make."""
    status = account.habits.refuses.get(kind, 200)
    if status != 200:
        raise Refused(refuse(request, status))


def _chat(account: Account, request: Request) -> Chat:
    chat = chat_of(account, request.path)
    if chat is None:
        raise Refused(refusal(404, "Chat not found"))
    return chat


def _open_chat(account: Account, request: Request) -> Chat:
    chat = _chat(account, request)
    if chat.closed:
        raise Refused(refusal(account.habits.closed_chat, "chat is closed"))
    return chat


# Showing


def show_chat(account: Account, chat: Chat) -> dict[str, Any]:
    """The chat as the API shows it: the captured chat's keys in their order."""
    habits = account.habits
    shown: dict[str, Any] = {"id": chat.id}
    if chat.manager_id is not None:
        shown["assignedManagerName"] = account.world.managers.get(chat.manager_id)
    if habits.show_manager_id:
        shown["assignedManagerId"] = chat.manager_id
    shown |= {
        "initialSource": chat.source,
        "ownerId": chat.owner_id,
        "ownerName": chat.owner_name,
        "status": chat.status if habits.status_shape == "text" else {"title": chat.status},
        "tags": list(chat.tags),
        "userId": chat.user_id,
        "userName": chat.user_name,
        "userNickName": chat.nickname,
        "lastMessageCreatedAt": iso(chat.last_message),
        "createdAt": iso(chat.created),
        "updatedAt": iso(chat.updated),
    }
    return shown | ({"padding": "x" * habits.padding} if habits.padding else {})


def page(account: Account, query: Query, most: int, found: list[Any]) -> Answer:
    """The part of a list that is asked for, `most` at once."""
    part = found[query.page(most, account.habits.page_size)]
    shown = account.habits.shown_count
    count = {"total": len(found), "page": len(part)}.get(str(shown), shown)
    return as_json(200, {"data": part, "count": count})


# Writing

_SETTERS: Mapping[str, Callable[[World, Chat, Any, str], None]] = {
    "status": World.set_status,
    "assign": World.set_manager,
    "tags": World.set_tags,
}


def fields_of(chat: Chat) -> dict[str, Any]:
    """All that writes can change of a chat, by the kind of the write."""
    return {"status": chat.status, "assign": chat.manager_id, "tags": list(chat.tags)}


def _save(account: Account, request: Request, chat: Chat, wanted: Mapping[str, Any]) -> Answer:
    taken = {} if request.ignored else {one: wanted[one] for one in wanted if not account.habits.ignores(one)}
    before = show_chat(account, chat)
    for one, value in {**request.read, **taken}.items():
        _SETTERS[one](account.world, chat, value, BY)
    return written(account, request, len(taken) == len(wanted), before, show_chat(account, chat))


def written(
    account: Account, request: Request, taken: bool, before: object, after: object, status: int = 200
) -> Answer:
    """The answer to a write, which shows what the fault that met it, or else the account's habit, lets it show."""
    shows = request.shows or account.habits.write_body
    if shows == "empty":
        return Answer(status)
    if shows == "success":
        return as_json(status, {"success": taken})
    return as_json(status, before if shows == "before" else after)


# The endpoints


def _list_chats(account: Account, request: Request) -> Answer:
    names = ("startDate", "endDate", "firstMessageStartDate", "firstMessageEndDate")
    query = Query(request, *names, "status", "initialSource", "limit", "skip")
    since, until, first_since, first_until = map(query.date, names)
    found = []
    for chat in account.world.visible():
        date = chat.created if account.habits.date_filter == "created" else chat.last_message
        if (since and date < since) or (until and date > until):
            continue
        if (first_since and chat.created < first_since) or (first_until and chat.created > first_until):
            continue
        if query.get("status", chat.status) == chat.status and query.get("initialSource", chat.source) == chat.source:
            found.append(show_chat(account, chat))
    return page(account, query, MAX_PAGE, found)


def _get_chat(account: Account, request: Request) -> Answer:
    return as_json(200, show_chat(account, _chat(account, request)))


def _set_status(account: Account, request: Request) -> Answer:
    status = json_body(request, status=str).get("status")
    if status is None:
        raise bad("status should not be empty")
    chat = _open_chat(account, request)
    if status not in account.world.statuses:
        raise Refused(refusal(account.habits.unknown_status, "Status not found"))
    return _save(account, request, chat, {"status": status})


def _update_chat(account: Account, request: Request) -> Answer:
    body = json_body(request, assignedManagerId=int, tags=list)
    wanted = {kind: body[name] for kind, name in (("assign", "assignedManagerId"), ("tags", "tags")) if name in body}
    for kind in wanted:
        check_right(account, request, kind)
    chat = _open_chat(account, request)
    if "assign" in wanted and not account.habits.ignores("assign") and wanted["assign"] not in account.world.managers:
        raise bad("Manager not found")
    return _save(account, request, chat, wanted)


def _list_messages(account: Account, request: Request) -> Answer:
    query = Query(request, "limit", "skip", "isComment")
    page = query.page(MAX_PAGE, account.habits.page_size)
    comment = query.get("isComment", "" if account.habits.list_comments else "false")
    if comment not in ("", "true", "false"):
        raise bad("isComment must be true or false")
    messages = list(reversed(_chat(account, request).messages))
    if comment:
        messages = [message for message in messages if (message["commentId"] is not None) is (comment == "true")]
    return as_json(200, {"data": messages[page]})


def _add_message(account: Account, request: Request) -> Answer:
    body = json_body(request, text=str, attachments=list)
    chat, text = _open_chat(account, request), _text(body)
    if "attachments" not in body or chat.source == "tiktok":
        raise Refused(refusal(500))
    return as_json(201, account.world.add_message(chat, text, by="api", attachments=body["attachments"]))


def _add_note(account: Account, request: Request) -> Answer:
    body = json_body(request, text=str)
    chat = _open_chat(account, request)
    return as_json(201, account.world.add_note(chat, _text(body), "Open API"))


def _text(body: Mapping[str, Any]) -> str:
    text: str = body.get("text", "")
    if not text.strip():
        raise bad("text should not be empty")
    return text


def _list_managers(account: Account, request: Request) -> Answer:
    managers = [{"id": number, "user": {"fullname": name}} for number, name in account.world.managers.items()]
    return page(account, Query(request, "limit", "skip"), MAX_MANAGERS, managers)


Handler = Callable[[Account, Request], Answer]

# Each with the kind of call by which an account may refuse it; of PUT the body says what it is.
ROUTES: tuple[tuple[str, str, re.Pattern[str], Handler], ...] = (
    ("list", "GET", re.compile("/open-api/chats"), _list_chats),
    ("read", "GET", re.compile("/open-api/chats/[^/]+"), _get_chat),
    ("", "PUT", re.compile("/open-api/chats/[^/]+"), _update_chat),
    ("status", "PATCH", re.compile("/open-api/chats/[^/]+/status"), _set_status),
    ("messages", "GET", re.compile("/open-api/chats/[^/]+/messages"), _list_messages),
    ("message", "POST", re.compile("/open-api/chats/[^/]+/messages"), _add_message),
    ("note", "POST", re.compile("/open-api/chats/[^/]+/notes"), _add_note),
    ("managers", "GET", re.compile("/open-api/managers"), _list_managers),
)
