"""Keeps Sitniks CRM in step with a conversation that a LangGraph graph leads.

>>> from langgraph.graph import END, START, StateGraph
>>> from mirt_sitniks import SitniksChatService, SitniksSettings, SitniksState, add_subgraph
>>> class State(SitniksState):
...     session_id: str
...     instagram_username: str
>>> builder = StateGraph(State).add_node("memory", lambda state: {}).add_edge(START, "memory")
>>> service = SitniksChatService(SitniksSettings(api_url="", api_key=""))  # no CRM: it only logs
>>> builder = add_subgraph(builder, service=service, after="memory", stage="first_touch", then=END)
>>> state = builder.compile().invoke({"session_id": "example-1", "instagram_username": "iryna.example"})
>>> state["sitniks"]["outcome"]
'disabled'
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mirt_sitniks.core.result import Outcome, SyncResult
    from mirt_sitniks.core.stages import Stage, StageRule
    from mirt_sitniks.errors import ConfigError, SitniksError
    from mirt_sitniks.graph import SitniksState, add_subgraph, build_subgraph, human_has_chat
    from mirt_sitniks.service import SitniksChatService, get_sitniks_chat_service
    from mirt_sitniks.settings import SitniksSettings

__all__ = [
    "ConfigError",
    "Outcome",
    "SitniksChatService",
    "SitniksError",
    "SitniksSettings",
    "SitniksState",
    "Stage",
    "StageRule",
    "SyncResult",
    "add_subgraph",
    "build_subgraph",
    "get_sitniks_chat_service",
    "human_has_chat",
]
_HOMES = {
    "core.result": ("Outcome", "SyncResult"),
    "core.stages": ("Stage", "StageRule"),
    "errors": ("ConfigError", "SitniksError"),
    "graph": ("SitniksState", "add_subgraph", "build_subgraph", "human_has_chat"),
    "service": ("SitniksChatService", "get_sitniks_chat_service"),
    "settings": ("SitniksSettings",),
}


def __getattr__(name: str) -> Any:
    """Each name on first use: the worker and the doctor do without LangGraph, pytest's plugin without anything."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"mirt_sitniks.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
