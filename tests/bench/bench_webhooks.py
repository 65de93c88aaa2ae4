"""A first touch whose chat a webhook has just told: how long the reply is held, and how many calls it takes."""

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path

from mirt_sitniks.webhook import handle
from tests.bench.crm import Crm
from tests.bench.ours import Shift, service
from tests.bench.report import Book, Spread

LATENCY = 0.05
ROUNDS = 24
SECRET = "a-secret-of-the-benchmark"


def measure(book: Book, folder: Path) -> None:
    """The event is handed in, and the first touch asked for right behind it."""
    with Crm(latency=LATENCY, limit=False) as crm:
        asyncio.run(_told(book, crm, folder))


async def _told(book: Book, crm: Crm, folder: Path) -> None:
    clock = Shift()
    host, store = service(crm.url, folder, clock, webhook_secrets=SECRET)
    held: list[float] = []
    handed: list[float] = []
    calls = 0
    for number in range(ROUNDS + 2):
        name = f"told.{number}"
        crm.add(name)
        clock.skip()
        before = len(crm.calls())
        body = _event(crm.chats()[name])
        began = time.perf_counter()
        assert handle(host, body, {}, SECRET) == 200
        answered = time.perf_counter()
        result = await host.handle_first_touch(name, instagram_username=name)
        assert result, f"not synced within the reply budget: {result}"
        if number >= 2:
            handed.append(answered - began)
            held.append(time.perf_counter() - answered)
            calls += len(crm.calls()) - before
    await host.aclose()
    await store.aclose()
    spread = Spread.of(held)
    book.table(
        "First touch behind its own webhook, 50 ms latency",
        ("what", "ms (min/med/max)"),
        [("the webhook's answer", Spread.of(handed).show(2, 1e3)), ("the reply is held", spread.show(1, 1e3))],
        f"{ROUNDS} customers; calls each: {calls / ROUNDS:.2f}",
    )
    book.goal("first touch with webhooks: calls", 2.0, calls / ROUNDS)
    book.goal("first touch with webhooks: ms beyond 1 round trip of 50 ms", 10.0, (spread.median - LATENCY) * 1e3)
    book.keep("webhooks", "first_touch", {"held": spread.plain(), "calls": calls / ROUNDS})


def _event(chat: dict[str, object]) -> bytes:
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    told = {"id": "m1", "sentBy": chat["userId"], "text": "Добрий день!", "createdAt": at}
    return json.dumps({"chat": chat, "message": told}).encode()
