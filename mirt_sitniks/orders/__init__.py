"""Orders: what a host says (`models`), and the service that makes them, each once (`service`)."""

from mirt_sitniks.core.order_result import OrderOutcome, OrderResult
from mirt_sitniks.core.orders import Candidate, CrmOrder, Line, OrderStatus
from mirt_sitniks.orders.models import Client, Item, NovaPoshta, Order
from mirt_sitniks.orders.service import SitniksOrderService, StatusResult

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
    "StatusResult",
]
