"""The board page, and the state that it shows."""

from importlib.resources import files
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from .account import Account
from .calls import Call
from .clock import iso
from .order_api import order_of
from .world import Chat

LOG_LENGTH = 40
# The page is one file and talks to nobody but its own server.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


async def board(request: Request) -> Response:
    """The page itself; everything in it comes later as events."""
    page = files(__package__).joinpath("board.html").read_text(encoding="utf-8")
    return HTMLResponse(page, headers={"content-security-policy": _POLICY, "cache-control": "no-store"})


def view(account: Account) -> dict[str, Any]:
    """All that the page shows, as plain JSON; the caller holds the account's lock.

    `speed` says how fast the ages and waits, which are in sandbox seconds, run on until the next view.
    """
    world = account.world
    chats = world.visible()
    now = account.clock.now()
    names = {chat.id: chat.nickname or chat.user_name for chat in chats}
    recent = list(account.calls)[-LOG_LENGTH:]
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
        "faults": [
            {"kind": one.kind, "method": one.method, "path": one.path.pattern if one.path else None, "times": one.times}
            for one in account.faults.armed
        ],
        "calls": [_line(account, call, names) for call in recent],
        "calls_total": len(list(account.calls)),
    }


def _card(account: Account, chat: Chat) -> dict[str, Any]:
    world = account.world
    moves = [change for change in chat.history if change["field"] == "status"]
    return {
        "id": chat.id,
        "name": chat.user_name,
        "nickname": chat.nickname,
        "source": chat.source,
        "status": chat.status,
        "manager": world.managers.get(chat.manager_id) if chat.manager_id is not None else None,
        "changed": iso(chat.status_changed),
        "by": moves[-1]["by"] if moves else None,
        "notes": len(chat.notes),
        "orders": [
            {
                "number": order.number,
                "total": str(order.to_pay),
                "status": world.orders.statuses[order.status_id],
            }
            for order in world.orders.of_chat(chat.id)
        ],
    }


def _line(account: Account, call: Call, names: dict[str, str]) -> dict[str, Any]:
    parts = call.path.split("/")
    chat_id = unquote(parts[3]) if len(parts) > 3 and parts[2] == "chats" else None
    body = call.body if isinstance(call.body, dict) else None
    if len(parts) > 2 and parts[2] == "orders":
        order = order_of(account, call.path)
        chat_id = order.chat_id if order else str((body or {}).get("chatId") or "")
    return {
        "method": call.method,
        "path": call.path.removeprefix("/open-api"),
        "chat": names.get(chat_id, chat_id) if chat_id else None,
        "body": body,
        "status": call.status,
        "fault": call.fault,
        "date": iso(account.clock.date(call.at)),
    }
