"""Keeps Sitniks CRM in step with a conversation that a LangGraph graph leads."""

from mirt_sitniks.errors import SitniksError
from mirt_sitniks.graph import SitniksState, add_subgraph, build_subgraph
from mirt_sitniks.result import SyncResult
from mirt_sitniks.service import SitniksChatService, get_sitniks_chat_service
from mirt_sitniks.settings import SitniksSettings
from mirt_sitniks.stages import Stage

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
