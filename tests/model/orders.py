"""The model CRM with orders: made by every call that reaches it, listed newest first, with or without external ids."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mirt_sitniks.core.order_body import lines_of, total_of
from mirt_sitniks.core.orders import CrmOrder, OrderStatus, Variation
from mirt_sitniks.crm.calls import Call, Page
from mirt_sitniks.crm.orders import (
    CreateOrder,
    GetOrder,
    ListOrders,
    ListOrderStatuses,
    ListVariations,
    SetOrderStatus,
)
from mirt_sitniks.errors import NotFound
from tests.model.crm import WALL, ModelCrm

SKUS = {"DRESS-S": 11, "DRESS-M": 12, "COAT-L": 13}
STATUSES = (OrderStatus(1, "Новий", "new"), OrderStatus(2, "Оплачено", "paid"))


@dataclass
class OrderCrm(ModelCrm):
    """`orders` are all that were ever made, by id; `shows` says whether lists show external ids; `ahead`: its clock."""

    orders: dict[str, CrmOrder] = field(default_factory=dict)
    tells_ids: bool = True
    ahead: float = 0.0

    def made(self) -> Counter[str]:
        """How many orders were made of each external id."""
        return Counter(one.external_id or "" for one in self.orders.values())

    def make(self, body: Mapping[str, Any]) -> CrmOrder:
        """A new order; also by hand."""
        number = len(self.orders) + 1
        order = CrmOrder(
            id=f"{number:06}",
            number=f"{number}",
            external_id=body.get("externalId"),
            phone=body["client"].get("phone"),
            total=total_of(body),
            lines=tuple(replace(one, sku=None) for one in lines_of(body)),
            created_at=WALL + self.clock() + self.ahead,
        )
        self.orders[order.id] = order
        return order

    def _do(self, call: Call, before: Any = None) -> Any:
        match call:
            case CreateOrder(body):
                assert all("sku" not in one for one in body["offers"]), "a sku is not what the CRM takes"
                return self.make(body)
            case ListOrders(since, until, skip, limit):
                made = [one for one in self.orders.values() if since.timestamp() <= _at(one) <= until.timestamp()]
                shown = [self._shown(one) for one in reversed(made)][skip : skip + limit]
                return Page(tuple(shown), len(made), len(shown))
            case GetOrder(order_id):
                order = self.orders.get(order_id)
                return self._shown(order) if order else NotFound("gone", status=404, code="order_not_found")
            case ListVariations(sku):
                found = tuple(Variation(one, name) for name, one in SKUS.items() if sku in ("", name))
                return Page(found, len(found), len(found))
            case ListOrderStatuses():
                return STATUSES
            case SetOrderStatus(order_id, status_id):
                self.orders[order_id] = replace(self.orders[order_id], status_id=status_id)
                return None
        return super()._do(call, before)

    def _shown(self, order: CrmOrder) -> CrmOrder:
        return order if self.tells_ids else replace(order, external_id=None)


def _at(order: CrmOrder) -> float:
    return order.created_at or 0.0
