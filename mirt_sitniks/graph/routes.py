"""A route for the host: the graph keeps silent while a person has the conversation."""

from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from logging import ERROR
from typing import Any, Protocol

from langchain_core.runnables import Runnable, RunnableConfig

from mirt_sitniks.core.text import unix
from mirt_sitniks.graph.node import origin_of
from mirt_sitniks.graph.reading import READ_KEYS, read, value_of, who_of
from mirt_sitniks.log import log
from mirt_sitniks.process.off_loop import Wait, awaited, blocked, without_loop


class HoldService(Protocol):
    """The part of `SitniksChatService` that the route needs."""

    def holds(self, *args: Any, **who: Any) -> Awaitable[bool | None]:
        """Whether a person has the conversation; None when the store does not say."""
        ...


def human_has_chat(service: HoldService, *, reads: Mapping[str, str] | None = None) -> "HumanHasChat":
    """A route function, plain and async: True while a person has the customer's conversation.

    It costs one read of the store, and a second one where the session is new, or has lost its chat to a later one: then
    the chat's id or the user names tell. It waits no longer than 50 ms (a thirtieth of a longer reply budget); then the
    state's own `sitniks` tells, with `held_until` against the clock, so that nobody is locked out for ever. `reads` as
    in `add_subgraph`. It never raises. Without Sitniks' webhooks or `SITNIKS_WATCH` a person's doing is seen only
    when a stage is synced.

    >>> from langgraph.graph import END, START, StateGraph
    >>> from mirt_sitniks import SitniksChatService, SitniksSettings, SitniksState, human_has_chat
    >>> service = SitniksChatService(SitniksSettings(api_url="", api_key=""))  # no CRM: nobody has anything
    >>> builder = StateGraph(SitniksState).add_node("memory", lambda state: {}).add_node("agent", lambda state: {})
    >>> builder = builder.add_edge(START, "memory").add_edge("agent", END)
    >>> builder = builder.add_conditional_edges("memory", human_has_chat(service), {True: END, False: "agent"})
    >>> builder.compile().invoke({"sitniks": {"stage": "first_touch"}})
    {'sitniks': {'stage': 'first_touch'}}
    """
    return HumanHasChat(service, reads or {})


class HumanHasChat(Runnable[Any, bool]):
    """What `human_has_chat` makes."""

    def __init__(self, service: HoldService, reads: Mapping[str, str]) -> None:
        self.name = "human_has_chat"
        self._service = service
        self._keys = {**{name: name for name in READ_KEYS if name != "messages"}, **reads}

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> bool:
        """For `graph.invoke`: the calling thread waits."""
        return without_loop(self._ask(blocked, input, config))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> bool:
        """For `graph.ainvoke`."""
        return await self._ask(awaited, input, config)

    async def _ask(self, wait: Wait, state: Any, config: RunnableConfig | None) -> bool:
        try:
            seen = {ours: value_of(state, theirs) for ours, theirs in self._keys.items()}
            reading = read(seen, thread_id=((config or {}).get("configurable") or {}).get("thread_id"))
            told = await self._service.holds(wait, reading.session, **who_of(reading)) if reading.session else None
        except Exception as exc:
            log(ERROR, "who has the chat is not known: %s at %s", *origin_of(exc))
            told = None
        return told if told is not None else _held_in(state)


def _held_in(state: Any) -> bool:
    """What the thread's last sync says, while that is not over."""
    last = value_of(state, "sitniks")
    owner, until = value_of(last, "owner"), value_of(last, "held_until")
    ends = unix(until) if isinstance(until, str) else None
    return isinstance(owner, str) and owner == "human" and ends is not None and datetime.now(UTC).timestamp() < ends
