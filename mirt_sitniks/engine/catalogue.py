"""The ids behind an account's names: variations by sku, statuses of orders by title; asked for once for all orders."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from mirt_sitniks.core.chats import finished
from mirt_sitniks.core.order_body import filled, unfilled
from mirt_sitniks.core.orders import OrderStatus, Variation
from mirt_sitniks.crm.calls import Page
from mirt_sitniks.crm.orders import ListOrderStatuses, ListVariations
from mirt_sitniks.engine import direct
from mirt_sitniks.engine.driver import Driver
from mirt_sitniks.errors import CrmError

# Seconds for which what was listed holds, and how many names an error lists at most.
KEPT, NEAR, SHOWN = 3600.0, 3, 30


@dataclass
class Catalogue:
    """What one process has read of the catalogue and of the statuses."""

    driver: Driver
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _ids: dict[str, tuple[int, float]] = field(default_factory=dict)
    _statuses: tuple[OrderStatus, ...] = ()
    _listed_at: float = float("-inf")

    async def filled(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body with ids in the place of names. Raises a `CrmError` that names all that are not there."""
        skus, status = unfilled(body)
        ids: dict[str, int] = {}
        unknown: list[str] = []
        for sku in skus:
            found = await self._variation(sku)
            if found is None:
                unknown.append(sku)
            else:
                ids[sku] = found
        if unknown:
            raise CrmError(await self._told(unknown), code="unknown_sku")
        return filled(body, ids, None if status is None else await self.status_id(status))

    async def statuses(self) -> tuple[OrderStatus, ...]:
        """The statuses that orders of this account can have."""
        async with self._lock:
            if self.driver.clock() >= self._listed_at + KEPT:
                self._statuses = await direct.call(self.driver, ListOrderStatuses())
                self._listed_at = self.driver.clock()
            return self._statuses

    async def status_id(self, status: str | int) -> int:
        """The id of a status by its title, code or id; a `CrmError` that lists what there is."""
        listed = await self.statuses()
        name = str(status).strip().casefold()
        for one in listed:
            if name in (str(one.id), one.title.casefold(), (one.code or "").casefold()):
                return one.id
        there = _listing(f"{one.title} ({one.id})" for one in listed)
        raise CrmError(f"the account has no order status {status!r}: name one of {there}", code="unknown_status")

    async def _variation(self, sku: str) -> int | None:
        async with self._lock:
            found, at = self._ids.get(sku.casefold(), (None, 0.0))
            return found if found and self.driver.clock() < at + KEPT else await self._search(sku)

    async def _search(self, sku: str) -> int | None:
        """Read pages of the filtered list until the sku is there: the filter may be ignored."""
        skip = 0
        while True:
            page: Page[Variation] = await direct.call(self.driver, ListVariations(sku, skip=skip))
            self._learn(page.items)
            known = self._ids.get(sku.casefold())
            skip += page.raw
            if known or finished(skip, page.raw, page.total):
                return known[0] if known else None

    def _learn(self, variations: Iterable[Variation]) -> None:
        now = self.driver.clock()
        # What is not sold any more gives way to what is of the same name, and of several the oldest stands.
        for one in sorted(variations, key=lambda one: (one.active, -one.id)):
            if one.sku:
                self._ids[one.sku.casefold()] = one.id, now

    async def _told(self, unknown: list[str]) -> str:
        """Which skus are not there, and what is near them."""
        with suppress(CrmError):
            self._learn((await direct.call(self.driver, ListVariations(""))).items)
        near = {sku: get_close_matches(sku.casefold(), self._ids, NEAR, 0.5) for sku in unknown}
        told = (f"{sku!r} (near it: {', '.join(found)})" if found else repr(sku) for sku, found in near.items())
        return f"the catalogue has no sku {_listing(told)}; correct it, or add it in Sitniks"


def _listing(names: Iterable[str]) -> str:
    shown = list(names)
    more = f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    return ", ".join(shown[:SHOWN]) + more
