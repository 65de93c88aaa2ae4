"""Processes that make orders, on one virtual clock, over one store that can be away or lose its answers."""

from dataclasses import dataclass
from typing import Any

from mirt_sitniks.core.orders import OrderRecord, OrdersAsked, OrdersSeen
from mirt_sitniks.engine.orders import Orders
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.errors import StoreError
from tests.engine.away import Counter, Way
from tests.model.crm import Trouble
from tests.model.orders import OrderCrm


@dataclass
class OrderWay(Way):
    """The orders' verbs as well; of the next commits so many are done, and their answers lost: `deaf`."""

    deaf: int = 0

    async def orders(self, asked: OrdersAsked) -> OrdersSeen:
        """Show orders."""
        seen: OrdersSeen = await self._ask(lambda: self.model.orders(asked))
        return seen

    async def commit_order(self, record: OrderRecord) -> bool:
        """Write one."""
        done: bool = await self._ask(lambda: self.model.commit_order(record))
        if self.deaf:
            self.deaf -= 1
            raise StoreError("the answer was lost")
        return done


def body(external_id: str = "e1", *, sku: str = "DRESS-S", price: int = 1200) -> dict[str, Any]:
    """What Olena buys."""
    line = {"sku": sku, "itemType": "variation", "price": price, "quantity": 1}
    return {
        "client": {"fullname": "Олена Приклад", "phone": "380671234567"},
        "offers": [line],
        "externalId": external_id,
    }


def draft(external_id: str = "e1", **more: Any) -> OrderRecord:
    """Her order; what says the same has one digest."""
    said = body(external_id, **more)
    return OrderRecord(external_id, str([said["client"], said["offers"]]), said, session="s")


@dataclass
class OrderCounter(Counter):
    """A counter whose CRM takes orders."""

    way: type[Way] = OrderWay

    def __post_init__(self) -> None:
        super().__post_init__()
        self.crm: OrderCrm = OrderCrm(self.loop.time)

    def create(self, runtime: Runtime, seconds: float = 1.5, **more: Any) -> OrderRecord:
        """An order, as the caller hears of it."""
        made: OrderRecord = self.loop.run(orders(runtime).create(draft(**more), seconds))
        return made

    def row(self, external_id: str = "e1") -> OrderRecord:
        """What the store has."""
        return self.store.made.written["main", external_id][0]

    def befalls(self, *kinds: str, after: float = 0.05) -> None:
        """The next calls that make an order meet these; all others go well."""
        left = list(kinds)

        def usually(call: Any) -> Trouble:
            makes = getattr(call, "makes", False)
            return Trouble(left.pop(0), after) if makes and left else Trouble()

        self.crm.usually = usually

    def made(self) -> int:
        """How many orders the CRM has."""
        return len(self.crm.orders)


def orders(runtime: Runtime) -> Orders:
    """Those of a runtime."""
    assert runtime.orders
    return runtime.orders
