"""Keeps Sitniks CRM in step with a conversation that a LangGraph graph leads."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mirt_sitniks.errors import SitniksError
from mirt_sitniks.graph import SitniksState, add_subgraph, build_subgraph
from mirt_sitniks.result import SyncResult
from mirt_sitniks.stages import Stage

if TYPE_CHECKING:
    from mirt_sitniks.service import SitniksChatService, get_sitniks_chat_service
    from mirt_sitniks.settings import SitniksSettings

__all__ = [
    "SitniksChatService",
    "SitniksError",
    "SitniksSettings",
    "SitniksState",
    "Stage",
    "SyncResult",
    "add_subgraph",
    "build_subgraph",
    "get_sitniks_chat_service",
]

_LATER = {"SitniksChatService": "service", "get_sitniks_chat_service": "service", "SitniksSettings": "settings"}


def __getattr__(name: str) -> Any:
    """The service's half, with the HTTP client and the stores, is loaded by the first who asks for it."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    globals()[name] = value
    return value
