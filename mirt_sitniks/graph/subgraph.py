"""The door into a host's graph: one node, put behind another, that keeps the CRM in step with the conversation."""

import inspect
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from langchain_core.runnables import RunnableConfig, ensure_config
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import CachePolicy
from typing_extensions import TypedDict

from mirt_sitniks.core.stages import BUILT_IN, Stages
from mirt_sitniks.graph.node import Choose, Host, SyncNode, SyncService, Values, chooser, renaming
from mirt_sitniks.graph.reading import READ_KEYS
from mirt_sitniks.graph.state import SitniksState, SitniksValue
from mirt_sitniks.graph.wiring import (
    UNSAID,
    StageChoice,
    check_builder,
    check_event,
    check_overlap,
    check_service,
    check_then,
    checked_name,
    checked_reads,
    checked_sources,
    checked_stage,
    returned,
    stages_of,
)

Route = Callable[[Any], Any]
Event = Callable[[Any], object]
BuilderT = TypeVar("BuilderT", bound=StateGraph[Any, Any, Any, Any])

# `TypedDict` as a function, for keys that are known only when a host's graph is built.
typed_dict: Any = TypedDict


class NoCache(CachePolicy[Any]):
    """Keeps a host's default cache policy off our node: not None, so no default applies, and false, so nothing caches.

    A version that would use it all the same finds a key that never comes again.
    """

    def __init__(self) -> None:
        super().__init__(key_func=lambda *_, **__: uuid.uuid4().hex, ttl=1)

    def __bool__(self) -> bool:
        return False


def build_subgraph(
    service: SyncService, *, stage: StageChoice = None, name: str = "sitniks_sync", event: Event | None = None
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the sync as a graph of its own, for a host that puts it into its graph by hand.

    It reads the keys that a sync knows (`session_id`, `metadata`, `messages` ...) and writes `sitniks` alone. A `stage`
    function and an `event` function (see `add_subgraph`) get those keys as a dict. In a host whose state does not
    declare `sitniks` (see `SitniksState`) what it writes is dropped: `add_subgraph` has no such condition. It keeps no
    checkpoints of its own, alone or embedded, and runs under every `durability`.
    """
    check_service(service)
    check_event(event)
    host = Host(stages=stages_of(service))
    choose = chooser(checked_stage(stage, host.stages), host)

    def due(values: Values) -> str:
        return END if choose(values) is None else "sync"

    reads = typed_dict("SitniksReads", {**dict.fromkeys(READ_KEYS, Any), "sitniks": SitniksValue}, total=False)
    # A subgraph returns every key of its output schema, also those that it only read, and a host's reducer would count
    # them twice: ours names our own key alone.
    graph = StateGraph[Any, Any, Any, Any](reads, output_schema=SitniksState)
    graph.add_node("sync", SyncNode(service, choose, host, event))
    graph.add_conditional_edges(START, due, ["sync", END])
    graph.add_edge("sync", END)
    compiled = graph.compile(checkpointer=False, name=name)
    compiled.__class__ = _Unsaved
    return compiled


class _Unsaved(CompiledStateGraph[Any, Any, Any, Any]):
    """A graph without checkpoints that runs under every `durability`; all doors of a graph lead through these two.

    Under "sync" LangGraph waits for a checkpoint, which here is none, and fails; said to the graph itself, any mode is
    warned about. Neither means anything to it.
    """

    def stream(self, input: Any, config: RunnableConfig | None = None, **more: Any) -> Iterator[Any]:
        more.pop("durability", None)
        return super().stream(input, _not_waiting(config), **more)

    def astream(self, input: Any, config: RunnableConfig | None = None, **more: Any) -> AsyncIterator[Any]:
        more.pop("durability", None)
        return super().astream(input, _not_waiting(config), **more)


def _not_waiting(config: RunnableConfig | None) -> RunnableConfig | None:
    """The config of a run with its host's durability set to "async"; all else is as it was.

    The host's own reaches it in the config, or, when a node calls it without one, in the context; under a key of
    LangGraph's, known by how it ends.
    """
    inherited = ensure_config()["configurable"]
    given = (config or {}).get("configurable") or inherited
    modes = {key: "async" for key in (*inherited, *given) if key.endswith("durability")}
    return {**(config or {}), "configurable": {**given, **modes}} if modes else config


def add_subgraph(
    builder: BuilderT,
    *,
    service: SyncService,
    after: str | Iterable[str] | None,
    then: str | Route | None = UNSAID,
    stage: StageChoice = None,
    name: str | None = None,
    event: Event | None = None,
    reads: Mapping[str, str] | None = None,
    overlap: bool = False,
) -> BuilderT:
    """Put a sync, one node, behind the node `after` of a host's graph, and return the builder.

    `after` is a node's name, several names, or None for a host that routes to `name` itself. Of several names each goes
    on by itself, as separate edges do: in a graph where both run, the sync and what follows run once for each, or once
    if both end in one step. To join them, give them one successor and put the sync behind that:
    `builder.add_edge(["short", "long"], "joined")`, then `after="joined"`.

    `then` has to be said. It is where the graph goes on, from the sync and past it: a node's name (it may be added
    later), END, a function of the host's state that returns either, or None: the host wires what follows `name` (a
    route function that it puts there has to annotate its state). `stage` is a stage, a function of the host's state
    that returns one (None: go past), or None: the state's own `stage` or `metadata.stage`. `name` is
    `sitniks_sync_<after>` unless given; several names in `after`, or none, need it.

    `event` is a function of the host's state that names what happened, such as the id of the message or the order: a
    stage with one name is one event. Without it, or where it returns None, `metadata.message_id` and the customer's
    last message tell. `reads` says under which key the host keeps what a sync reads:
    `{"instagram_username": "username"}`.

    With `overlap` the sync and the node `then` run side by side, and the customer waits for the slower of the two, not
    for both: for a node that asks a model. It sees under `sitniks` what was there before this sync (and so does a
    function `then`), what follows it sees the new one; the turn ends when both have ended. `interrupt_before=[then]`
    holds the sync back as well, and a host that is itself embedded syncs again on resume under LangGraph 1.0.4, which
    is then one event more only where no `event` tells. Needs a node in `after`, and a `then` that is one.

    All functions get the state as the host declared it. What became of the sync is under `sitniks` in the state, also
    of a host that never declared the key; the graph's output shows it when it did (`SitniksState`). What goes wrong
    inside is told there and logged, never raised. Wiring that cannot work raises `ConfigError`, here.
    """
    check_service(service)
    host, schema = host_of(builder, checked_reads(builder, reads), stages_of(service))
    check_event(event)
    sources = checked_sources(builder, after)
    name = checked_name(builder, name, after)
    check_then(then, name)
    check_overlap(overlap, sources, then)
    choose = chooser(checked_stage(stage, host.stages), host)

    # The node itself: a graph in its place would cost three times as much, and hide its events from most listeners.
    builder.add_node(name, SyncNode(service, choose, host, event), input_schema=schema, cache_policy=NoCache())
    past, onward = routes(name, choose, then, host.view, schema, overlap=overlap)
    goals = goals_of(then)
    for source in sources:
        if then is None:
            builder.add_edge(source, name)
        else:
            builder.add_conditional_edges(source, past, [name, *goals] if goals else None)
    if overlap:
        return builder
    if isinstance(then, str):
        builder.add_edge(name, then)
    elif then is not None:
        builder.add_conditional_edges(name, onward, goals or None)
    return builder


def host_of(
    builder: StateGraph[Any, Any, Any, Any], renamed: Mapping[str, str], stages: Stages = BUILT_IN
) -> tuple[Host, Any]:
    """What a sync needs to know of a host's state; and the schema of what it reads there: every key that the builder
    knows, typed Any so that no reducer differs, and `sitniks`.

    `renamed` says under which keys the host keeps what a sync reads, `stages` what the service has.
    """
    check_builder(builder, StateGraph(SitniksState).channels["sitniks"])
    schema: Any = builder.state_schema
    declared = get_type_hints(schema, include_extras=True)
    plain = {**dict.fromkeys(builder.channels, Any), "sitniks": SitniksValue}
    managed = {key: declared[key] for key in builder.managed if key in declared}

    def view(values: Values) -> Any:
        return schema(**{key: value for key, value in values.items() if key in declared})

    host = Host(builder.nodes.keys(), dict if issubclass(schema, dict) else view, renaming(renamed), stages)
    return host, typed_dict("SitniksReads", plain | managed, total=False)


def routes(
    name: str, choose: Choose, then: str | Route | None, view: Route, schema: Any, *, overlap: bool = False
) -> tuple[Route, Route]:
    """The edge that leads to the sync or past it (with `overlap` to both at once), and the edge behind the sync.

    Both are annotated with the host's keys: without it LangGraph shows them what their source node reads.
    """
    past: Route
    onward: Route
    if inspect.iscoroutinefunction(then):
        follow: Callable[[Any], Awaitable[Any]] = then

        async def onward_async(values: Values) -> Any:
            return await follow(view(values))

        async def past_async(values: Values) -> Any:
            if choose(values) is None:
                return await onward_async(values)
            return _both(name, await onward_async(values)) if overlap else name

        past, onward = past_async, onward_async
    else:

        def onward_sync(values: Values) -> Any:
            return then(view(values)) if callable(then) else then

        def past_sync(values: Values) -> Any:
            if choose(values) is None:
                return onward_sync(values)
            return _both(name, onward_sync(values)) if overlap else name

        past, onward = past_sync, onward_sync
    for route, title in ((past, f"{name}_due"), (onward, f"{name}_then")):
        route.__name__ = title
        route.__annotations__ = {"values": schema}
    return past, onward


def _both(name: str, goal: Any) -> list[Any]:
    """The sync, and whatever a route function has returned: a goal, or several."""
    return [name, *goal] if isinstance(goal, list | tuple) else [name, goal]


def goals_of(then: str | Route | None) -> list[str]:
    """Where `then` may lead, for drawings: itself, or what a function's `-> Literal[...]` promises; else empty."""
    if isinstance(then, str):
        return [then]
    promised = returned(then) if then is not None else None
    return list(get_args(promised)) if get_origin(promised) is Literal else []
