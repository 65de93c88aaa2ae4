"""Where in an agent's turn a sync stands: each class has the hooks of one place."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from langchain.agents import middleware
from langchain.agents.middleware import AgentMiddleware, hook_config
from langgraph.config import get_config
from langgraph.types import Command

from mirt_sitniks.agent.results import texts_of
from mirt_sitniks.errors import ConfigError
from mirt_sitniks.graph.node import Choose, SyncNode
from mirt_sitniks.graph.routes import HumanHasChat

Update = dict[str, Any]
# Only newer versions let a model's answer come with an update of the state.
_Extended: Any = getattr(middleware, "ExtendedModelResponse", None)


class Hooks(AgentMiddleware[Any, Any]):
    """What the hooks call."""

    first_touch: SyncNode
    first_touch_due: Choose
    at_the_end: SyncNode
    human_has_chat: HumanHasChat | None

    def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """What the model tells the customer is remembered as the graph's own."""
        response = handler(request)
        self.first_touch.said(request.state, get_config(), texts_of(response))
        return response

    async def awrap_model_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        """The same on an event loop."""
        response = await handler(request)
        self.first_touch.said(request.state, get_config(), texts_of(response))
        return response


class BeforeTheAgent(Hooks):
    """The first touch in a node of its own."""

    def before_agent(self, state: Any, runtime: Any) -> Update:
        return self.first_touch.invoke(state, get_config())

    async def abefore_agent(self, state: Any, runtime: Any) -> Update:
        return await self.first_touch.ainvoke(state, get_config())


class Silent(Hooks):
    """In front of all else: the turn ends at once while a person has the conversation."""

    @hook_config(can_jump_to=["end"])
    def before_agent(self, state: Any, runtime: Any) -> Update | None:
        held = self.human_has_chat is not None and self.human_has_chat.invoke(state, get_config())
        return {"jump_to": "end"} if held else super().before_agent(state, runtime)

    @hook_config(can_jump_to=["end"])
    async def abefore_agent(self, state: Any, runtime: Any) -> Update | None:
        held = self.human_has_chat is not None and await self.human_has_chat.ainvoke(state, get_config())
        return {"jump_to": "end"} if held else await super().abefore_agent(state, runtime)


class BesideTheModel(Hooks):
    """The first touch while the model answers; a model that fails does not wait for it."""

    def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        if self.first_touch_due(request.state) is None:
            return super().wrap_model_call(request, handler)
        pool = ThreadPoolExecutor(1, "sitniks-first-touch")
        beside = pool.submit(copy_context().run, self.first_touch.invoke, request.state, get_config())
        pool.shutdown(wait=False)
        response = super().wrap_model_call(request, handler)
        return _Extended(response, Command(update=beside.result()))

    async def awrap_model_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        if self.first_touch_due(request.state) is None:
            return await super().awrap_model_call(request, handler)
        beside = asyncio.create_task(self.first_touch.ainvoke(request.state, get_config()))
        try:
            response = await super().awrap_model_call(request, handler)
            return _Extended(response, Command(update=await beside))
        finally:
            beside.cancel()


class AtTheEnd(Hooks):
    """The host's own rule, asked when the agent has answered."""

    def after_agent(self, state: Any, runtime: Any) -> Update | None:
        return None if self._was_silent(state) else self.at_the_end.invoke(state, get_config())

    async def aafter_agent(self, state: Any, runtime: Any) -> Update | None:
        return None if self._was_silent(state) else await self.at_the_end.ainvoke(state, get_config())

    def _was_silent(self, state: Any) -> bool:
        """Whether the turn has ended before the model was asked."""
        return self.human_has_chat is not None and all(one.type == "human" for one in state["messages"][-1:])


def hooks_of(*, overlap: object, at_the_end: bool, silent: object) -> tuple[type[Hooks], ...]:
    """The places of a middleware with these options."""
    for name, given in (("overlap", overlap), ("silent", silent)):
        if not isinstance(given, bool):
            raise ConfigError(f"{name} is {given!r}: use True or False.")
    if overlap and _Extended is None:
        raise ConfigError("overlap=True needs a newer langchain: install langchain>=1.2.10, or leave overlap out.")
    first = BesideTheModel if overlap else BeforeTheAgent
    return (*([Silent] if silent else []), first, *([AtTheEnd] if at_the_end else []))
