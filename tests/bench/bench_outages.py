"""What a store that fails does to stages and replies: servers killed under traffic, and how long a turn is held."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from mirt_sitniks.errors import StoreError
from mirt_sitniks.sandbox import Sandbox
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.settings import SitniksSettings
from mirt_sitniks.stores.memory import MemoryStore
from tests.bench.report import Book
from tests.postgres.outage import under_fire
from tests.postgres.stack import Missing, Stack, chosen
from tests.stores.worlds import EMPTY, migrate

KILLS, STAGES, TURNS, BUDGET = 20, 2000, 40, 1.5
CRM_FAULTS: dict[str, dict[str, Any]] = {
    "none": {},
    "hangs": {"kind": "hang"},
    "answers after 3 s": {"kind": "slow", "seconds": 3.0},
    "503": {"kind": "status", "status": 503},
    "drips a byte a second": {"kind": "drip", "every": 1.0},
    "resets": {"kind": "reset"},
}


def measure(book: Book, folder: Path) -> None:
    """Turns under faults, then servers under fire."""
    _held(book)
    with suppress(Missing):
        _killed(book)


def _held(book: Book) -> None:
    rows, most = [], 0.0
    for crm_fault, options in CRM_FAULTS.items():
        for store_fault in ("none", "away", "hangs", "takes 1 s"):
            if crm_fault != "none" and store_fault not in ("none", "takes 1 s"):
                continue
            held = sorted(asyncio.run(_turns(options, store_fault)))
            most = max(most, held[-1])
            shown = [f"{held[int(len(held) * part)]:.2f}" for part in (0.5, 0.99)]
            rows.append((f"CRM: {crm_fault}; store: {store_fault}", *shown, f"{held[-1]:.2f}"))
            book.keep("outages", f"held, CRM {crm_fault}, store {store_fault}", held[-1])
    columns = ("first touch and escalation in one turn, s", "p50", "p99", "max")
    book.table(f"How long a turn's reply is held, budget {BUDGET} s, {TURNS} turns at once", columns, rows)
    book.goal("a turn of two syncs is held at most (s)", BUDGET + 0.1, most)


async def _turns(crm_fault: dict[str, Any], store_fault: str) -> list[float]:
    """Seconds that each of the turns was held, all syncs together."""
    with Sandbox(limit=False) as crm:
        settings = SitniksSettings(api_url=crm.url, api_key=crm.key, reply_budget=BUDGET, timeout=5.0, _env_file=None)
        store = _Faulty(store_fault)
        async with SitniksChatService(settings, store=store) as host:
            if crm_fault:
                crm.fault(times=None, **crm_fault)
            held = await asyncio.gather(*(_turn(host, number) for number in range(TURNS)))
            crm.clear_faults()
            store.fault = "none"
    return list(held)


async def _turn(host: SitniksChatService, number: int) -> float:
    session, held = f"s{number}", 0.0
    # Not all in one moment: a turn is a customer's.
    await asyncio.sleep(number * 0.02)
    for stage in ("first_touch", "escalation"):
        began = time.perf_counter()
        await host.sync(stage, session=session, instagram_username=session, intent=f"message {number}")
        held += time.perf_counter() - began
        await asyncio.sleep(0.3)
    return held


class _Faulty(MemoryStore):
    """A store in memory whose verbs fail, hang or take their time."""

    def __init__(self, fault: str) -> None:
        super().__init__(time.monotonic, time.time)
        self.fault = fault

    async def record(self, *args: Any, **more: Any) -> Any:
        return await self._late(super().record, *args, **more)

    async def claim(self, *args: Any, **more: Any) -> Any:
        return await self._late(super().claim, *args, **more)

    async def settle(self, *args: Any, **more: Any) -> Any:
        return await self._late(super().settle, *args, **more)

    async def _late(self, verb: Callable[..., Any], *args: Any, **more: Any) -> Any:
        await asyncio.sleep({"hangs": 5.0, "takes 1 s": 1.0}.get(self.fault, 0.0))
        if self.fault in ("away", "hangs"):
            raise StoreError("away")
        return await verb(*args, **more)


def _killed(book: Book) -> None:
    stack, rows = Stack(chosen()[0]), []
    try:
        for what, name in (("rest", "PostgREST"), ("database", "PostgreSQL")):
            migrate(stack)
            stack.sql(EMPTY)
            found = under_fire(stack, what, kills=KILLS, stages=STAGES)
            rows.append((name, *(found[one] for one in ("kills", "stages", "lost", "refused", "429s", "held"))))
            book.keep("outages", name, found)
            for one in ("lost", "refused", "429s"):
                book.goal(f"{name} killed {KILLS} times: {one}", 0, found[one])
    finally:
        stack.close()
    columns = ("killed under traffic", "times", "stages", "lost", "refused", "429s", "reply held at most, s")
    book.table("Servers under fire", columns, rows)
