"""The account's orders, what they can be of, and the statuses that they can have."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import count
from typing import Any

from .notifier import ChangeNotifier

DEFAULT_STATUSES: Mapping[int, tuple[str, str]] = {
    1: ("Новий", "new"),
    2: ("Очікуємо оплату", "waiting_for_payment"),
    3: ("В роботі", "in_progress"),
    4: ("ТТН сформовано", "waybill_created"),
    5: ("Виконано", "completed"),
    6: ("Відмінено", "cancelled"),
}
_CODES = dict(DEFAULT_STATUSES.values())


@dataclass(frozen=True, slots=True)
class Variation:
    """One item of the catalogue as it is sold."""

    id: int
    sku: str | None
    title: str
    price: Decimal
    active: bool


@dataclass(frozen=True, slots=True)
class Item:
    """One line of an order; a suit is of no variation."""

    title: str
    price: Decimal
    quantity: int
    variation: Variation | None


@dataclass(slots=True)
class Order:
    """One order. `total` is before the discount, `to_pay` after it; `history`: changes of its status."""

    id: int
    number: int
    created: datetime
    updated: datetime
    status_id: int
    client: Mapping[str, str | None]
    items: tuple[Item, ...]
    total: Decimal
    to_pay: Decimal
    external_id: str | None = None
    chat_id: str | None = None
    delivery: Mapping[str, Any] | None = None
    waybill: str | None = None
    client_comment: str | None = None
    manager_comment: str | None = None
    history: list[dict[str, Any]] = field(default_factory=list)


class OrderBook:
    """Orders by id, in the order in which they came; guarded by the notifier's lock. Numbers are given in turn."""

    def __init__(self, changes: ChangeNotifier, now: Callable[[], float], date: Callable[[], datetime]) -> None:
        self._changes, self._now, self._date = changes, now, date
        self._next = count(1)
        self.statuses: dict[int, str] = {number: title for number, (title, _) in DEFAULT_STATUSES.items()}
        self.variations: dict[int, Variation] = {}
        self.orders: dict[int, Order] = {}

    def code_of(self, status_id: int) -> str:
        """The word by which programs know a status."""
        return _CODES.get(self.statuses[status_id], "custom")

    def add_variation(
        self, sku: str | None, *, variation_id: int | None, title: str, price: Decimal, active: bool
    ) -> int:
        """Add an item to the catalogue; several may have one sku. Returns its id."""
        with self._changes:
            number = max(self.variations, default=7000) + 1 if variation_id is None else variation_id
            if number in self.variations:
                raise ValueError(f"there is a variation {number} already")
            self.variations[number] = Variation(number, sku, title, price, active)
            self._changes.notify()
            return number

    def add(self, order: Mapping[str, Any], *, created: datetime | None = None) -> Order:
        """Make an order of these fields."""
        with self._changes:
            date, number = created or self._date(), next(self._next)
            made = Order(id=480_000 + number, number=1000 + number, created=date, updated=date, **order)
            self.orders[made.id] = made
            self._changes.notify()
            return made

    def set_status(self, order: Order, status_id: int, by: str) -> None:
        """Give an order another status; the same again is no change."""
        with self._changes:
            if status_id not in self.statuses:
                raise ValueError(f"the account has no order status {status_id}; it has: {self.statuses}")
            if order.status_id != status_id:
                change = {"field": "status", "before": order.status_id, "after": status_id, "by": by}
                order.history.append({"at": self._now(), **change})
                order.status_id, order.updated = status_id, self._date()
            self._changes.notify()

    def of_chat(self, chat_id: str) -> list[Order]:
        """The chat's orders, the newest first."""
        found = [order for order in self.orders.values() if order.chat_id == chat_id]
        return sorted(reversed(found), key=lambda order: order.created, reverse=True)
