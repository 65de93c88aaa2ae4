"""Orders in memory: the oracle of the contract."""

from dataclasses import dataclass, field, replace

from mirt_sitniks.core.orders import OrderRecord, OrdersAsked, OrdersSeen, OrderState
from mirt_sitniks.core.store import WAITING
from mirt_sitniks.stores.order_columns import in_turn

# What is left of an order that was forgotten.
KEPT = ("account", "external_id", "state", "order_id", "order_number", "asked_at")


@dataclass
class MemoryOrders:
    """All orders of a store, by account and external id, each with when it was written (Unix time)."""

    written: dict[tuple[str, str], tuple[OrderRecord, float]] = field(default_factory=dict)

    def show(self, asked: OrdersAsked, now: float) -> OrdersSeen:
        """Show orders."""
        mine = [one for one, _ in self.written.values() if one.account == asked.account]
        open_ = in_turn(one for one in mine if one.due_at is not None)
        late = [one for one in mine if _is_troubled(one, now)]
        found = [
            *(one for one in mine if one.external_id in asked.external_ids or one.order_id in asked.order_ids),
            *(one for one in mine if one.session in asked.sessions),
            *(one for one in mine if _is_alike(one, asked.alike)),
            *[one for one in open_ if _ready_at(one) <= now][: asked.due],
            *sorted(late, key=lambda one: (-one.asked_at, one.external_id))[: asked.troubled],
        ]
        return OrdersSeen(now, in_turn(found), _ready_at(open_[0]) if open_ else None)

    def commit(self, record: OrderRecord, wall: float) -> bool:
        """Write a row if it is what was seen."""
        key = record.account, record.external_id
        known = self.written[key][0].version if key in self.written else 0
        others = (one for (account, name), (one, _) in self.written.items() if account == key[0] and name != key[1])
        if known != record.version or (record.order_id and record.order_id in {one.order_id for one in others}):
            return False
        self.written[key] = replace(record, version=known + 1), wall
        return True

    def forget(self, session: str, chat_id: str | None, wall: float) -> int:
        """Leave of a customer's orders what keeps them from being made again; returns how many these are."""
        mine = (one for one, _ in self.written.values())
        found = [one for one in mine if one.session == session or (chat_id and one.chat_id == chat_id)]
        for one in found:
            kept = {name: getattr(one, name) for name in KEPT}
            left = OrderRecord(**kept, digest="", body={}, due_at=None, version=one.version + 1)
            self.written[one.account, one.external_id] = left, wall
        return len(found)

    def prune(self, before: float) -> int:
        """Delete what ended and was last written before; returns how many these are."""
        gone = [key for key, (one, at) in self.written.items() if one.due_at is None and at < before]
        for key in gone:
            del self.written[key]
        return len(gone)


def _is_alike(record: OrderRecord, alike: str | None) -> bool:
    in_doubt = record.state in (OrderState.SENT, OrderState.UNKNOWN)
    return in_doubt and alike is not None and record.digest.startswith(alike)


def _ready_at(record: OrderRecord) -> float:
    assert record.due_at is not None
    return max(record.due_at, record.lease_until)


def _is_troubled(record: OrderRecord, now: float) -> bool:
    late = record.due_at is not None and record.asked_at < now - WAITING
    return late or (record.state is OrderState.UNKNOWN and record.digest != "")
