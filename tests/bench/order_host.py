"""A host that makes orders, as a process that may be killed: it asks again for all whose result it has not written.

`python -m tests.bench.order_host`: the first line of its input is JSON, its output file has a line for each result, and
one for each order that was found by a look. The long pauses are a hundredth of what they are.
"""

import asyncio
import json
import logging
import sys
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from mirt_sitniks.core import backoff, order_match, order_steps
from mirt_sitniks.engine import direct
from mirt_sitniks.log import logger
from mirt_sitniks.orders import Client, Item, Order, SitniksOrderService
from mirt_sitniks.service import SitniksChatService
from tests.bench.ours import settings

SHORTER = 100.0
AT_ONCE = 8


def order(number: int, customers: int) -> Order:
    """Order number `number`: of few customers, each of whom buys one of two things."""
    luck = Random(number)
    phone = f"067{luck.randrange(customers):07}"
    sku = luck.choice(("DRESS-S", "COAT-L"))
    price = Decimal(1_000 if sku == "DRESS-S" else 3_000)
    return Order(client=Client(fullname="Олена Приклад", phone=phone), items=(Item(sku=sku, price=price),))


def shorten() -> None:
    """Nobody waits for half an hour."""
    for module, names in {
        backoff: ("SEARCH_FIRST", "SEARCH_LIMIT", "FIRST", "CAP"),
        order_steps: ("REST", "LOOK_AGAIN", "LOOKED_FOR"),
        order_match: ("SLACK",),
    }.items():
        for name in names:
            setattr(module, name, getattr(module, name) / SHORTER)
    direct.PATIENCE = 10.0


class Lines(logging.Handler):
    """What this host writes down; each order that a look has found among it."""

    def __init__(self, path: Path) -> None:
        super().__init__(logging.INFO)
        self._path = path
        self.told = {line.split()[1] for line in path.read_text().splitlines() if line.startswith("told")}

    def write(self, *words: str) -> None:
        """A line."""
        with self._path.open("a") as out:
            out.write(" ".join(words) + "\n")

    def emit(self, record: logging.LogRecord) -> None:
        """A line for an order that was found."""
        if "order found" in record.getMessage():
            self.write("found", getattr(record, "sitniks_order", ""))


async def serve(task: dict[str, Any], lines: Lines) -> None:
    """Make all orders, and stay until input ends: what is in doubt is looked for meanwhile."""
    service = SitniksChatService(
        settings(task["url"], timeout=0.5, rate_limit=task["rate"], reply_budget=1.5, **task["store"]), sweep=1.0
    )
    orders, room = SitniksOrderService(service), asyncio.Semaphore(AT_ONCE)

    async def make(number: int) -> None:
        async with room:
            name = f"order-{number}"
            result = await orders.create_order(order(number, task["customers"]), external_id=name, session=name)
            lines.write("told", name, result.outcome.value)

    async with service:
        left = [number for number in task["numbers"] if f"order-{number}" not in lines.told]
        await asyncio.gather(*(make(number) for number in left))
        lines.write("done")
        await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Read what to do, and do it."""
    shorten()
    task = json.loads(sys.stdin.readline())
    lines = Lines(Path(task["out"]))
    logger.setLevel(logging.INFO)
    logger.addHandler(lines)
    asyncio.run(serve(task, lines))


if __name__ == "__main__":
    main()
