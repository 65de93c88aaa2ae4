"""The board's page, and the state that it shows."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any
from urllib.parse import unquote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from .account import Account
from .calls import Call
from .clock import iso
from .faults import KINDS
from .order_api import order_of
from .webhooks import Delivery, Webhooks
from .world import Chat

LOG_LENGTH = 60
SNIPPET = 120
# What the log says of a body.
_TOLD = ("status", "assignedManagerId", "statusId")
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
# The page is a few files and talks to nobody but its own server.
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page(request: Request) -> Response:
    """A file of the page; everything in it comes later as events. Not a coroutine: files are read off the loop."""
    name = request.path_params.get("name", "index.html")
    found = next((one for one in files(__package__).joinpath("page").iterdir() if one.name == name), None)
    kind = _TYPES.get(name.rpartition(".")[2])
    if found is None or kind is None:
        raise HTTPException(404)
    return Response(
        found.read_bytes(),
        media_type=kind,
        headers={
            "content-security-policy": _POLICY,
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
        },
    )


def view(account: Account, webhooks: Webhooks) -> dict[str, Any]:
    """All that the board shows, as plain JSON; the caller holds the account's lock.

    `speed` says how fast the ages and waits, which are in sandbox seconds, run on until the next view.
    """
    world = account.world
    chats = world.visible()
    now = account.clock.now()
    calls = list(account.calls)
    return {
        "speed": account.clock.speed,
        "date": iso(account.clock.date()),
        "statuses": list(world.statuses),
        "managers": {str(number): name for number, name in world.managers.items()},
        "chats": [_card(account, chat) for chat in sorted(chats, key=lambda chat: chat.status_changed, reverse=True)],
        "limit": {
            "on": account.habits.limit,
            "calls": account.limit.calls,
            "seconds": account.limit.seconds,
            "ages": [round(now - at, 3) for at in account.limit.used(now)],
            "locked_for": round(account.limit.locked_for(now), 3),
        },
        "trial": account.habits.trial,
        "order_statuses": {str(number): title for number, title in world.orders.statuses.items()},
        "orders_total": len(world.orders.orders),
        "fault_kinds": list(KINDS),
        "faults": [
            {"kind": one.kind, "method": one.method, "path": one.path.pattern if one.path else None, "times": one.times}
            for one in account.faults.armed
        ],
        "webhook": webhooks.address is not None,
        "log": _log(account, calls, webhooks.deliveries, {chat.id: chat.nickname or chat.user_name for chat in chats}),
        "log_total": len(calls) + len(webhooks.deliveries),
    }


def panel(account: Account, chat_id: str) -> dict[str, Any]:
    """What an open chat shows: messages, notes and history, the oldest first; the caller holds the account's lock."""
    chat = account.world.chat(chat_id)
    names = account.world.managers
    history = []
    for change in chat.history:
        shown = change | {"date": iso(account.clock.date(change["at"]))}
        if change["field"] == "manager":
            shown |= {side: names.get(change[side], change[side]) for side in ("before", "after")}
        history.append(shown)
    messages = [message | {"customer": message["sentBy"] == chat.user_id} for message in chat.messages]
    return {"messages": messages, "notes": list(chat.notes), "history": history}


def _card(account: Account, chat: Chat) -> dict[str, Any]:
    world = account.world
    moves = [change for change in chat.history if change["field"] == "status"]
    last = chat.messages[-1] if chat.messages else None
    return {
        "id": chat.id,
        "name": chat.user_name,
        "nickname": chat.nickname,
        "source": chat.source,
        "status": chat.status,
        "manager": world.managers.get(chat.manager_id) if chat.manager_id is not None else None,
        "manager_id": chat.manager_id,
        "changed": iso(chat.status_changed),
        "by": moves[-1]["by"] if moves else None,
        "messages": len(chat.messages),
        "notes": len(chat.notes),
        "changes": len(chat.history),
        "last": {"text": last["text"][:SNIPPET], "customer": last["sentBy"] == chat.user_id} if last else None,
        "orders": [
            {
                "number": order.number,
                "total": str(order.to_pay),
                "status": world.orders.statuses[order.status_id],
            }
            for order in world.orders.of_chat(chat.id)
        ],
    }


def _log(
    account: Account, calls: list[Call], deliveries: Sequence[Delivery], names: dict[str, str]
) -> list[dict[str, Any]]:
    """The last lines of both logs as one, in their order; `id` stays a line's own."""
    recent, told = list(enumerate(calls))[-LOG_LENGTH:], list(enumerate(deliveries))[-LOG_LENGTH:]
    lines = [(call.at, _call(account, call, f"c{number}")) for number, call in recent]
    lines += [(one.at, _delivery(one, f"w{number}")) for number, one in told]
    lines.sort(key=lambda line: line[0])
    return [
        line | {"date": iso(account.clock.date(at)), "chat": names.get(line["chat_id"] or "", line["chat_id"])}
        for at, line in lines[-LOG_LENGTH:]
    ]


def _call(account: Account, call: Call, number: str) -> dict[str, Any]:
    parts = call.path.split("/")
    chat_id = unquote(parts[3]) if len(parts) > 3 and parts[2] == "chats" else None
    body = call.body if isinstance(call.body, dict) else None
    if len(parts) > 2 and parts[2] == "orders":
        order = order_of(account, call.path)
        chat_id = order.chat_id if order else str((body or {}).get("chatId") or "") or None
    return {
        "id": number,
        "method": call.method,
        "path": call.path.removeprefix("/open-api"),
        "chat_id": chat_id,
        # A note of 100 KB must not come with each change again.
        "body": {name: str(body[name])[:SNIPPET] for name in _TOLD if name in body} if body else None,
        "status": call.status,
        "fault": call.fault,
    }


def _delivery(one: Delivery, number: str) -> dict[str, Any]:
    about = one.chat or (one.body.decode("utf-8", "replace")[:SNIPPET])
    return {"id": number, "webhook": about, "chat_id": one.chat, "status": one.status, "error": one.error}
