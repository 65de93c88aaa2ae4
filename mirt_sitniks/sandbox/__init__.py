"""A local Sitniks CRM over real HTTP, for tests, demos and hosts; needs the extra `sandbox`."""

from .calls import Call
from .sandbox import Sandbox
from .server import serve
from .webhooks import Delivery

__all__ = ["Call", "Delivery", "Sandbox", "serve"]
