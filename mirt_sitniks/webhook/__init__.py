"""The door for Sitniks' own webhooks: it answers at once, and what was told is kept after that."""

from typing import Any

from mirt_sitniks.core.events import Author, Event, Message, author_of
from mirt_sitniks.webhook.door import MAX_BODY, handle

__all__ = ["MAX_BODY", "Author", "Event", "Message", "author_of", "handle", "webhook_routes"]


def __getattr__(name: str) -> Any:
    """The routes on first use: who calls `handle` from another framework needs no extra."""
    if name == "webhook_routes":
        from mirt_sitniks.webhook.routes import webhook_routes

        return webhook_routes
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
