"""The CRM's list of orders, as far back as is needed."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise

from mirt_sitniks.core.chats import finished
from mirt_sitniks.core.orders import CrmOrder
from mirt_sitniks.crm.calls import Page
from mirt_sitniks.crm.orders import ListOrders
from mirt_sitniks.engine import direct
from mirt_sitniks.engine.driver import Driver

PAGES = 40


async def listed(driver: Driver, since: float, until: float, needed: float, *, ahead: float = 0.0) -> list[CrmOrder]:
    """The orders between two moments, all pages (Unix time); those older than `needed` may be missing.

    A list that begins with the newest ends there, also where the CRM does not know the dates.
    """
    found: dict[str, CrmOrder] = {}
    skip = 0
    while True:
        call = ListOrders(_date(since), _date(until), skip=skip)
        page: Page[CrmOrder] = await direct.call(driver, call, ahead=ahead)
        fresh = [one for one in page.items if one.id not in found]
        found |= {one.id: one for one in fresh}
        skip += page.raw
        if not fresh or finished(skip, page.raw, page.total, PAGES) or _is_past(page.items, needed):
            return list(found.values())


def _is_past(orders: tuple[CrmOrder, ...], needed: float) -> bool:
    made = [one.created_at for one in orders if one.created_at is not None]
    falls: Callable[[tuple[float, float]], bool] = lambda two: two[0] >= two[1]  # noqa: E731
    return len(made) == len(orders) and made[-1] < needed and all(map(falls, pairwise(made)))


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
