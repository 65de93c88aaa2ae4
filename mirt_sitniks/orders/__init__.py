"""Orders: what a host says (`models`), the service that makes them, each once (`service`), and its door into a graph
(`subgraph`)."""

from typing import TYPE_CHECKING, Any

from mirt_sitniks.core.order_result import OrderOutcome, OrderResult
from mirt_sitniks.core.orders import Candidate, CrmOrder, Line, OrderStatus
from mirt_sitniks.orders.models import Client, Item, NovaPoshta, Order
from mirt_sitniks.orders.service import SitniksOrderService, StatusResult

if TYPE_CHECKING:
    from mirt_sitniks.orders.subgraph import SitniksOrderState, SitniksOrderValue, add_order_subgraph

__all__ = [
    "Candidate",
    "Client",
    "CrmOrder",
    "Item",
    "Line",
    "NovaPoshta",
    "Order",
    "OrderOutcome",
    "OrderResult",
    "OrderStatus",
    "SitniksOrderService",
    "SitniksOrderState",
    "SitniksOrderValue",
    "StatusResult",
    "add_order_subgraph",
]


def __getattr__(name: str) -> Any:
    """The door into a graph on first use: the service does without LangGraph."""
    if name in ("SitniksOrderState", "SitniksOrderValue", "add_order_subgraph"):
        from mirt_sitniks.orders import subgraph

        return getattr(subgraph, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
