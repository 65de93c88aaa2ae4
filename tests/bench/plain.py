"""The plain client that ours is measured against: the original's calls in the original's order.

A fresh `httpx.AsyncClient` for each call, one call after another, no budget, no second try. Which chat a customer has
is kept in a dictionary, which costs nothing; the original asked a table.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

AI = "Павло"


class PlainClient:
    """`first_touch` makes four calls, `invoice` one, `escalation` three."""

    def __init__(self, url: str, key: str) -> None:
        self._url = f"{url}/open-api"
        self._headers = {"Authorization": f"Bearer {key}"}
        self._chats: dict[str, str] = {}

    async def first_touch(self, session: str, nickname: str) -> bool:
        """Find the chat, set its status, find the AI manager, assign it."""
        now = datetime.now(UTC)
        since = now - timedelta(minutes=5)
        window = {"startDate": _date(since), "endDate": _date(now + timedelta(minutes=5)), "limit": 50, "skip": 0}
        found = await self._call("GET", "/chats", params=window)
        chat = next((one for one in (found or {}).get("data", ()) if one["userNickName"] == nickname), None)
        if chat is None:
            return False
        self._chats[session] = chat["id"]
        status = await self._call("PATCH", f"/chats/{chat['id']}/status", json={"status": "Взято в роботу"})
        manager = await self._manager(ai=True)
        return status is not None and await self._assign(chat["id"], manager)

    async def invoice(self, session: str) -> bool:
        """Set the status."""
        chat = self._chats.get(session)
        return bool(chat) and await self._call("PATCH", f"/chats/{chat}/status", json={"status": "Виставлено рахунок"})

    async def escalation(self, session: str) -> bool:
        """Set the status, find a live manager, assign it."""
        chat = self._chats.get(session)
        if chat is None:
            return False
        status = await self._call("PATCH", f"/chats/{chat}/status", json={"status": "AI Увага"})
        return status is not None and await self._assign(chat, await self._manager(ai=False))

    async def _manager(self, *, ai: bool) -> int | None:
        found = await self._call("GET", "/managers")
        managers = (found or {}).get("data", ())
        return next((one["id"] for one in managers if (one["user"]["fullname"] == AI) is ai), None)

    async def _assign(self, chat: str, manager: int | None) -> bool:
        return bool(manager) and bool(await self._call("PUT", f"/chats/{chat}", json={"assignedManagerId": manager}))

    async def _call(self, method: str, path: str, **content: Any) -> Any:
        async with httpx.AsyncClient(timeout=30.0) as client:
            answer = await client.request(method, self._url + path, headers=self._headers, **content)
        return answer.json() if answer.is_success else None


def _date(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
