"""The door into an agent of LangChain's `create_agent`: a middleware, with an extra."""

from mirt_sitniks.agent.middleware import SitniksAgentState, SitniksMiddleware

__all__ = ["SitniksAgentState", "SitniksMiddleware"]
