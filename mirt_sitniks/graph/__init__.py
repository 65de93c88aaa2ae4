"""The door into LangGraph, the only folder that imports it."""

from mirt_sitniks.graph.routes import human_has_chat
from mirt_sitniks.graph.state import SitniksState, SitniksValue
from mirt_sitniks.graph.subgraph import add_subgraph, build_subgraph

__all__ = ["SitniksState", "SitniksValue", "add_subgraph", "build_subgraph", "human_has_chat"]
