"""The rows of orders, as one process reads and writes them: whatever is lost on the way, it knows what it wrote."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from math import isclose
from typing import TypeVar

from mirt_sitniks.core.order_steps import leased
from mirt_sitniks.core.orders import OrderRecord, OrdersAsked, OrdersSeen, OrderStore
from mirt_sitniks.engine.driver import Driver
from mirt_sitniks.engine.gate import RECORD, SETTLE, StoreGate
from mirt_sitniks.errors import StoreError

T = TypeVar("T")


class OrderRows:
    """The orders of the driver's account.

    Every verb but `shown` waits for a store that is away; what waiting does not mend is raised, as a `StoreError`.
    """

    def __init__(self, driver: Driver, store: OrderStore) -> None:
        self._driver, self._store = driver, store
        self.account = driver.options.account
        # Its own: a table of orders that is missing is no trouble of the chats'.
        self.gate = StoreGate(lambda: driver.clock(), lambda: driver.random(), driver.options.limit.seconds)
        self._offset = 0.0

    def now(self) -> float:
        """The store's time, as far as it is known."""
        return self._driver.clock() + self._offset

    def leased(self, row: OrderRecord, seconds: float) -> OrderRecord:
        """The row in our hands, for so long."""
        by = f"{self._driver.options.who}#{int(self._driver.random() * 2**40):x}"
        return leased(row, by, self.now() + seconds)

    async def shown(self, external_id: str) -> OrderRecord | None:
        """The row of an order, without waiting for a store that is away."""
        seen = await self.gate.once(self._store.orders(OrdersAsked(self.account, (external_id,))))
        self._offset = seen.now - self._driver.clock()
        return next(iter(seen.records), None)

    async def get(self, external_id: str) -> OrderRecord | None:
        """The row of an order."""
        seen = await self.see(external_ids=(external_id,), rank=RECORD)
        return next((one for one in seen.records if one.external_id == external_id), None)

    async def see(
        self,
        *,
        external_ids: tuple[str, ...] = (),
        order_ids: tuple[str, ...] = (),
        alike: str | None = None,
        due: int = 0,
        rank: int = SETTLE,
    ) -> OrdersSeen:
        """What the store shows, and with it what time it is there."""
        asked = OrdersAsked(self.account, external_ids, order_ids, alike, due)
        seen = await self._ask(lambda: self._store.orders(asked), rank)
        self._offset = seen.now - self._driver.clock()
        return seen

    async def commit(self, row: OrderRecord, rank: int = SETTLE) -> OrderRecord | None:
        """The row as it is written, also when the answer to that was lost; None when it is another's by now."""
        written, tries = replace(row, version=row.version + 1), 0

        async def attempt() -> bool:
            nonlocal tries
            tries += 1
            if await self._store.commit_order(row):
                return True
            if tries == 1:
                return False
            asked = OrdersAsked(self.account, external_ids=(row.external_id,))
            return any(_is(one, written) for one in (await self._store.orders(asked)).records)

        return written if await self._ask(attempt, rank) else None

    async def _ask(self, verb: Callable[[], Awaitable[T]], rank: int) -> T:
        """What the store answers, however long it is away; what only a person can mend is told at once."""

        async def attempt() -> T | StoreError:
            try:
                return await verb()
            except StoreError as error:
                if error.kind == "setup":
                    return error
                raise

        answer = await self.gate.run(attempt, rank)
        if isinstance(answer, StoreError):
            raise StoreError(answer.message, kind="setup", status=answer.status)
        return answer


def _is(one: OrderRecord, written: OrderRecord) -> bool:
    """Whether a row is the one that was written, as far as a store's columns keep it exactly."""
    names = ("state", "order_id", "lease_by", "attempt", "version")
    alike = all(getattr(one, name) == getattr(written, name) for name in names)
    return alike and is_same(one.sent_at, written.sent_at) and is_same(one.due_at, written.due_at)


def is_same(one: float | None, other: float | None) -> bool:
    """Whether two times are one, as far as a store keeps them."""
    return one == other if one is None or other is None else isclose(one, other, abs_tol=0.001, rel_tol=0.0)
