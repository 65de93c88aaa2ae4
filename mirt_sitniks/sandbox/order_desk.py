"""The CRM's orders and catalogue as tests, demos and the controls hold them."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from .account import Account
from .clock import ago
from .order_api import read_order, show_order, show_variation
from .order_book import Order
from .request import Refused


class OrderDesk:
    """What a person does with orders in the CRM's own interface: no key, no limit, no call."""

    account: Account

    @property
    def order_statuses(self) -> dict[int, str]:
        """The names of the orders' statuses by id, the first one of a new order; settable."""
        with self.account.changes:
            return dict(self.account.world.orders.statuses)

    @order_statuses.setter
    def order_statuses(self, statuses: Mapping[int, str]) -> None:
        with self.account.changes:
            strange = {order.status_id for order in self.account.world.orders.orders.values()} - set(statuses)
            if strange or not statuses:
                raise ValueError(f"orders have the statuses {strange or 'of the account'}: keep them")
            self.account.world.orders.statuses = dict(statuses)
            self.account.changes.notify()

    def add_variation(
        self,
        sku: str | None,
        *,
        price: float | str = 0,
        title: str = "Товар",
        active: bool = True,
        variation_id: int | None = None,
    ) -> int:
        """Put an item into the catalogue; returns its id. Several may have one sku."""
        if not 0 <= float(price) < 10**12:
            raise ValueError(f"price must be a number not less than 0, not {price!r}")
        return self.account.world.orders.add_variation(
            sku, variation_id=variation_id, title=title, price=Decimal(str(price)), active=active
        )

    @property
    def variations(self) -> list[dict[str, Any]]:
        """The catalogue as the API shows it."""
        with self.account.changes:
            return [show_variation(one) for one in self.account.world.orders.variations.values()]

    def orders(self) -> list[dict[str, Any]]:
        """All orders as the API shows them, with their external ids, the oldest first."""
        with self.account.changes:
            self.account.world.catch_up()
            return [show_order(self.account, order) for order in self.account.world.orders.orders.values()]

    def order_history(self, order_id: int) -> list[dict[str, Any]]:
        """Every change of the order's status: {at, field, before, after, by}, the oldest first."""
        with self.account.changes:
            return [dict(change) for change in self._order(order_id).history]

    def add_order(self, body: Mapping[str, Any], *, created_ago: float = 0.0) -> int:
        """A person makes an order by hand, of a body like the API's; returns its id."""
        with self.account.changes:
            try:
                wanted = read_order(self.account, body)
            except Refused as refused:
                raise ValueError(refused.answer.body.decode()) from None
            world = self.account.world
            return world.orders.add(wanted, created=ago(world.date(), created_ago)).id

    def person_sets_order(
        self, order_id: int, *, status: int | None = None, waybill: str | None = None, deleted: bool = False
    ) -> None:
        """A person changes an order: its status by id, the number of its waybill, or away with it."""
        with self.account.changes:
            order, book = self._order(order_id), self.account.world.orders
            if status is not None:
                book.set_status(order, status, "person")
            if waybill is not None:
                order.waybill, order.delivery = waybill, order.delivery or {}
            if deleted:
                del book.orders[order_id]
            self.account.changes.notify()

    def _order(self, order_id: int) -> Order:
        self.account.world.catch_up()
        return self.account.world.orders.orders[order_id]
