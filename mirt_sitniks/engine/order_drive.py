"""One order: sent once, behind a row that says so, or looked for; what came of it is told to the store."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from logging import ERROR

from mirt_sitniks.core import order_steps as steps
from mirt_sitniks.core.backoff import PROBE
from mirt_sitniks.core.order_match import WIDER, fitting, since
from mirt_sitniks.core.orders import WHOSE, CrmOrder, OrderRecord, OrderState
from mirt_sitniks.core.stages import PRIORITIES
from mirt_sitniks.crm.orders import CreateOrder
from mirt_sitniks.engine import direct
from mirt_sitniks.engine.catalogue import Catalogue
from mirt_sitniks.engine.driver import Driver
from mirt_sitniks.engine.order_list import listed
from mirt_sitniks.engine.order_rows import OrderRows, is_same
from mirt_sitniks.errors import CrmError, Forbidden, StoreError
from mirt_sitniks.log import log

Fold = Callable[[OrderRecord], OrderRecord]

TAKEN = StoreError("another process has taken this order up")


@dataclass(frozen=True, slots=True)
class Listing:
    """The orders since a moment, as they were shown from `at` on."""

    at: float
    since: float
    orders: tuple[CrmOrder, ...]


class OrderDriver:
    """Drives rows that are in this process's hands. Within `landing` seconds a call that is sent lands or never does.

    A row is committed as sent before the call goes out; whoever finds such a row looks for the order and never sends.
    `sending` are the external ids of those for which this has begun, and whose end the store does not know yet.
    """

    def __init__(self, driver: Driver, rows: OrderRows, catalogue: Catalogue, landing: float) -> None:
        self._driver, self._rows, self._catalogue, self._landing = driver, rows, catalogue, landing
        self._listing, self._listing_lock = Listing(float("-inf"), float("inf"), ()), asyncio.Lock()
        self._trouble: tuple[float, CrmError] | None = None
        self._forbidden, self._forbidden_until = "", float("-inf")
        self.sending: set[str] = set()

    async def drive(self, row: OrderRecord) -> OrderRecord | None:
        """The row after one step; None when it is another's by now."""
        try:
            return await (self._send(row) if row.state is OrderState.NEW else self._look(row))
        finally:
            self.sending.discard(row.external_id)

    async def _send(self, row: OrderRecord) -> OrderRecord | None:
        """Make the order: by a call that goes out only while the store says that it is ours and sent."""
        held, order = row, None

        async def ready() -> bool:
            nonlocal held
            self.sending.add(row.external_id)
            sent = steps.sending(held, self._rows.now(), self._landing)
            written = await self._rows.commit(self._rows.leased(sent, self._driver.options.lease))
            held = written or held
            return written is not None

        try:
            self._may_send()
            body = await self._catalogue.filled(row.body)
            order = await direct.call(self._driver, CreateOrder(body), ready=ready, ahead=self._ahead(row))
        except CrmError as error:
            self._forbidden = error.message if error.code == "forbidden" else self._forbidden
            return await self._fold(held, self._failed(row, error))
        except StoreError as error:
            return await self._fold(held, self._failed(row, _unsent(error)))
        if order is None:
            return None if held is row else await self._fold(held, self._failed(row, _unsent(TAKEN)))
        self._forbidden = ""
        done = await self._fold(held, lambda one: steps.made(one, order))
        if done is None or (done.order_id != order.id and done.state is not OrderState.SENT):
            log(ERROR, "order %s of the CRM was made for one that has ended otherwise", order.id, order=row.external_id)
        return done

    async def _look(self, row: OrderRecord) -> OrderRecord | None:
        """Look for an order that may have been made, and take it over when it is told from all others."""
        try:
            listing = await self._list(row)
        except (CrmError, StoreError) as error:
            failure = error if isinstance(error, CrmError) else _unsent(error)
            return await self._rows.commit(steps.unseen(row, failure, self._rows.now(), self._driver.random()))
        fit = fitting(row, listing.orders)
        while True:
            ids = tuple(one.id for one in fit)
            seen = await self._rows.see(order_ids=ids, alike=row.digest[:WHOSE])
            others = [one for one in seen.records if one.external_id != row.external_id]
            taken = {one.order_id for one in others if one.order_id}
            # Those that an order of the list may be of; a person may still give one to who has it as a candidate.
            rivals = [one for one in others if one.state is OrderState.SENT and (one.sent_at or 0.0) <= listing.at]
            alike = 1 + sum(one.digest == row.digest for one in rivals)
            contested = {order.id for one in rivals if one.digest != row.digest for order in fitting(one, fit)}
            contested |= {order.id for one in others if one.digest != row.digest for order in one.candidates}
            fresh = steps.looked(row, fit, taken, alike, self._rows.now(), contested)
            if done := await self._rows.commit(fresh):
                return done
            newest = await self._rows.get(row.external_id)
            # Another one has taken that order since; there may be one more.
            if newest is None or newest.version != row.version:
                return newest

    async def _list(self, row: OrderRecord) -> Listing:
        """The orders since this one was sent; one list serves all that are looked for at a time, and so does one that
        could not be had."""
        async with self._listing_lock:
            first, have = since(row), self._listing
            if have.since <= first and have.at >= (row.due_at or 0.0):
                return have
            at = self._rows.now()
            if self._trouble and at < self._trouble[0] + steps.LOOK_AGAIN / 2:
                raise self._trouble[1].with_traceback(None)
            try:
                found = await listed(self._driver, first - WIDER, at + WIDER, first, ahead=self._ahead(row))
            except CrmError as error:
                self._trouble = self._rows.now(), error
                raise
            self._listing, self._trouble = Listing(at, first, tuple(found)), None
            return self._listing

    async def _fold(self, row: OrderRecord, fold: Fold) -> OrderRecord | None:
        """Tell the store what a call brought, also when others have looked for the order meanwhile."""
        base = row
        while True:
            if done := await self._rows.commit(fold(base)):
                return done
            newest = await self._rows.get(row.external_id)
            if newest and newest.version == base.version:
                # One that says the same has taken the order that was made for this one.
                return await self._rows.commit(steps.crossed(base, self._rows.now()))
            open_ = newest and newest.state in (OrderState.NEW, OrderState.SENT, OrderState.UNKNOWN)
            if not newest or not open_ or newest.sent_at is None or not is_same(newest.sent_at, row.sent_at):
                return newest
            base = newest

    def _may_send(self) -> None:
        """That orders may not be made concerns them all: one of them tries again, in ten minutes."""
        if self._forbidden and self._rows.now() < self._forbidden_until:
            raise Forbidden(self._forbidden)
        self._forbidden_until = self._rows.now() + PROBE - 1.0

    def _ahead(self, row: OrderRecord) -> float:
        """For how long a call counts as having waited: as an invoice that could be written since the order was due."""
        return max(0.0, self._rows.now() - (row.due_at or 0.0)) + PRIORITIES["normal"]

    def _failed(self, before: OrderRecord, error: CrmError) -> Fold:
        random = self._driver.random()
        return lambda row: steps.failed(row, before, error, self._rows.now(), random)


def _unsent(error: StoreError) -> CrmError:
    return CrmError(error.message, code=error.code, retryable=True)
