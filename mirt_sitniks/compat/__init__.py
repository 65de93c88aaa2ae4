"""For hosts of the earlier order client: its names, verbs and answers over the order service; imports change, no more.

An order is the host's own model, read by its fields: `external_id`, `customer` (`full_name`, `phone`, `email`, `city`,
`nova_poshta_branch` or `nova_poshta_address`), `items` (`sku`, `product_name`, `size`, `color`, `price`, `quantity`),
`discount`, `delivery_cost`, `status`, `delivery_method`, `payment_method`, `customer_notes`, `internal_notes`,
`source`, `source_id`. What Sitniks has no field for is told to its people in the manager's comment: the delivery,
for the refs of Nova Poshta are not there, and items without a sku, for `product_id` is not Sitniks' own.
"""

from mirt_sitniks.compat.client import (
    CRMErrorType,
    CRMResponse,
    OrderStatusResult,
    SnitkixCRMClient,
    get_snitkix_client,
)
from mirt_sitniks.compat.host_order import STATUS_MAPPING

__all__ = [
    "STATUS_MAPPING",
    "CRMErrorType",
    "CRMResponse",
    "OrderStatusResult",
    "SnitkixCRMClient",
    "get_snitkix_client",
]
