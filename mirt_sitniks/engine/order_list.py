"""The CRM's list of orders, as far back as is needed, from whichever end it begins."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from math import inf

from mirt_sitniks.core.chats import PAGE, finished
from mirt_sitniks.core.orders import CrmOrder
from mirt_sitniks.crm.calls import Page
from mirt_sitniks.crm.orders import ListOrders
from mirt_sitniks.engine import direct
from mirt_sitniks.engine.driver import Driver
from mirt_sitniks.errors import TooLarge

# So many pages are read, and of so many orders where those of a whole page have too many lines for one answer.
PAGES, SMALL = 40, 10
ENDLESS = "Sitniks lists more orders of that time than can be looked through: ask for a shorter one"


async def listed(driver: Driver, since: float, until: float, needed: float, *, ahead: float = 0.0) -> list[CrmOrder]:
    """The orders between two moments, all pages (Unix time); those older than `needed` may be missing.

    A list that begins with the newest ends there, also where the CRM does not know the dates; one that begins with
    older ones than are needed is read from its end. `TooLarge`: there are more than can be read.
    """
    ask = partial(ListOrders, _date(since), _date(until))
    try:
        found = await _read(driver, ask, PAGE, needed, ahead)
    except TooLarge:
        found = await _read(driver, ask, SMALL, needed, ahead)
    if found is None:
        raise TooLarge(ENDLESS)
    return found


async def _read(
    driver: Driver, ask: "partial[ListOrders]", size: int, needed: float, ahead: float
) -> list[CrmOrder] | None:
    """By pages of `size`; None when there are too many of them."""
    found: dict[str, CrmOrder] = {}
    # Where the next page begins, and, on the way back from the list's end, where the first ones ended.
    skip, back = 0, 0
    for _ in range(PAGES):
        page: Page[CrmOrder] = await direct.call(driver, ask(skip=skip, limit=size), ahead=ahead)
        fresh = [one for one in page.items if one.id not in found]
        found |= {one.id: one for one in fresh}
        first, last = _span(page.items)
        if back:
            if skip <= back or first < min(needed, last):
                return list(found.values())
            skip = max(back, skip - size)
            continue
        skip += page.raw
        if not fresh or finished(skip, page.raw, page.total, 10**6) or last < min(needed, first):
            return list(found.values())
        if first < last < needed and (page.total or 0) > skip + size:
            skip, back = (page.total or 0) - size, skip
    return None


def _span(orders: Sequence[CrmOrder]) -> tuple[float, float]:
    """When the first and the last of a page were made, if it is in order of time; else nothing is before or behind."""
    made = [one.created_at for one in orders if one.created_at is not None]
    sorted_ = made and len(made) == len(orders) and made in (sorted(made), sorted(made, reverse=True))
    return (made[0], made[-1]) if sorted_ else (inf, inf)


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
