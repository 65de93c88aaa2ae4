"""Every durability, by every door, for a sync that is added, embedded by hand, or called from a host's node."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.channels import UntrackedValue
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from mirt_sitniks.graph import SitniksState, add_subgraph, build_subgraph
from tests.graph.fakes import FakeService, by_ainvoke, by_invoke

THREAD: Any = {"configurable": {"thread_id": "t1"}}
VALUE: Any = {"session_id": "s1", "messages": []}
SECRET = "planted-by-a-node-of-the-host"

Door = Callable[..., Any]
Way = Callable[[Any, Any], None]


class State(MessagesState, SitniksState, total=False):
    session_id: str
    metadata: dict[str, Any]
    token: Annotated[str, UntrackedValue]


class Died(BaseException):
    """What a process that is going down raises."""


def by_stream(graph: Any, value: Any, config: Any = None, **kwargs: Any) -> Any:
    return list(graph.stream(value, config, **kwargs))


def by_astream(graph: Any, value: Any, config: Any = None, **kwargs: Any) -> Any:
    async def collect() -> Any:
        return [chunk async for chunk in graph.astream(value, config, **kwargs)]

    return asyncio.run(collect())


def added(builder: Any, service: Any) -> None:
    add_subgraph(builder, service=service, after="memory", stage="escalation", then="approval", name="sync")


def embedded(builder: Any, service: Any) -> None:
    builder.add_node("sync", build_subgraph(service, stage="escalation"))
    builder.add_edge("memory", "sync")
    builder.add_edge("sync", "approval")


def called(builder: Any, service: Any) -> None:
    subgraph = build_subgraph(service, stage="escalation").with_config(tags=["crm"])

    def sync(state: Any) -> Any:
        return subgraph.invoke(state)

    async def async_sync(state: Any) -> Any:
        return await subgraph.ainvoke(state)

    builder.add_node("sync", RunnableLambda(sync, async_sync))
    builder.add_edge("memory", "sync")
    builder.add_edge("sync", "approval")


@pytest.fixture(params=[by_invoke, by_ainvoke, by_stream, by_astream], ids=lambda door: door.__name__[3:])
def door(request: pytest.FixtureRequest) -> Door:
    found: Door = request.param
    return found


@pytest.fixture(params=[added, embedded, called], ids=lambda way: way.__name__)
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    return found


@pytest.fixture(params=["sync", "async", "exit"])
def durability(request: pytest.FixtureRequest) -> Any:
    return request.param


def host(way: Way, service: Any) -> Any:
    """A node that plants a secret, the sync, a node that interrupts."""
    builder = StateGraph(State)
    builder.add_node("memory", lambda state: {"token": SECRET, "metadata": {"instagram_username": "iryna.example"}})
    builder.add_node("approval", lambda state: {"metadata": {"approved": interrupt("?")}})
    builder.add_edge(START, "memory")
    builder.add_edge("approval", END)
    way(builder, service)
    return builder


def check_saved(saver: InMemorySaver, namespaces: int = 1) -> None:
    """No secret is saved, and nothing in a namespace of the sync's own."""
    assert SECRET not in str((saver.storage, saver.blobs, saver.writes))
    found = {saved.config["configurable"]["checkpoint_ns"] for saved in saver.list(None)}
    assert len(found) == namespaces
    assert not any("sync" in namespace for namespace in found)


def test_interrupt_and_resume(way: Way, door: Door, durability: Any) -> None:
    """The sync takes place once before the interrupt, the resume ends the turn, and no checkpoint is its own."""
    service, saver = FakeService(), InMemorySaver()
    graph = host(way, service).compile(checkpointer=saver)
    door(graph, VALUE, THREAD, durability=durability)
    assert graph.get_state(THREAD, subgraphs=True).next == ("approval",)
    check_saved(saver)
    door(graph, Command(resume=True), THREAD, durability=durability)
    state = graph.get_state(THREAD)
    assert state.next == ()
    assert state.values["metadata"] == {"approved": True}
    assert state.values["sitniks"]["outcome"] == "synced"
    assert service.effects == [("s1", "escalation")]
    assert len(service.calls) == 1
    check_saved(saver)


def test_a_crash_in_the_sync(way: Way, door: Door, durability: Any) -> None:
    """Run again it has the event it had, also where only the running task names it; nothing that it read is saved."""
    service, saver = FakeService(raises=Died()), InMemorySaver()
    graph = host(way, service).compile(checkpointer=saver)
    with pytest.raises(Died):
        door(graph, VALUE, THREAD, durability=durability)
    check_saved(saver)
    service.raises = None
    door(graph, None, THREAD, durability=durability)
    assert service.intents[0] == service.intents[1] is not None
    assert service.effects == [("s1", "escalation")]
    check_saved(saver)


def test_a_pause_at_the_sync_and_a_replay(way: Way, door: Door, durability: Any) -> None:
    """From the checkpoint before it the sync runs once, and run from there again it has the event it had."""
    service, saver = FakeService(), InMemorySaver()
    graph = host(way, service).compile(checkpointer=saver, interrupt_before=["sync"])
    door(graph, {**VALUE, "messages": [HumanMessage("х", id="h1")]}, THREAD, durability=durability)
    before = graph.get_state(THREAD)
    assert before.next == ("sync",)
    for calls in (1, 2):
        door(graph, None, before.config, durability=durability)
        assert len(service.calls) == calls
    assert service.intents == ["escalation:h1"] * 2
    assert service.effects == [("s1", "escalation")]
    check_saved(saver)


def test_a_host_inside_a_host(way: Way, door: Door, durability: Any) -> None:
    """The same two graphs further in: the host has a namespace of its own there, the sync has none."""
    service, saver = FakeService(), InMemorySaver()
    outer = StateGraph(State)
    outer.add_node("inner", host(way, service).compile())
    outer.add_edge(START, "inner")
    graph = outer.compile(checkpointer=saver)
    door(graph, VALUE, THREAD, durability=durability)
    door(graph, Command(resume=True), THREAD, durability=durability)
    assert graph.get_state(THREAD).values["sitniks"]["outcome"] == "synced"
    assert service.effects == [("s1", "escalation")]
    check_saved(saver, namespaces=2)


def test_events_reach_the_host(way: Way, durability: Any) -> None:
    """A sync tells of itself under every durability: one that was added to every listener, else to `subgraphs=True`."""
    graph = host(way, FakeService()).compile(checkpointer=InMemorySaver())
    more: Any = {"stream_mode": "custom", "durability": durability, "subgraphs": True}
    namespaces = [namespace for namespace, _ in by_stream(graph, VALUE, THREAD, **more)]
    assert len(namespaces) == 1
    assert (namespaces[0] == ()) is (way is added)


@pytest.mark.parametrize(
    "config",
    [{}, {"tags": ["crm"]}, {"configurable": {"purpose": "crm"}}, {"configurable": {"thread_id": "crm"}}],
    ids=["empty", "no configurable", "no thread", "own thread"],
)
def test_called_with_a_config(config: Any, durability: Any) -> None:
    """A node may call the subgraph with any config: what it leaves out LangGraph may take from the run around it."""
    saver = InMemorySaver()
    subgraph = build_subgraph(FakeService(), stage="escalation")
    builder = StateGraph(State)
    builder.add_node("sync", lambda state: subgraph.invoke(state, config))
    builder.add_edge(START, "sync")
    graph = builder.compile(checkpointer=saver)
    assert graph.invoke(VALUE, THREAD, durability=durability)["sitniks"]["outcome"] == "synced"
    check_saved(saver)


def test_called_from_a_thread_of_the_hosts_own(durability: Any) -> None:
    """The config that a node hands on is enough: no context of the run is needed."""
    saver = InMemorySaver()
    subgraph = build_subgraph(FakeService(), stage="escalation")

    def sync(state: State, config: RunnableConfig) -> Any:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(subgraph.invoke, state, config).result()

    builder = StateGraph(State)
    builder.add_node("sync", sync)
    builder.add_edge(START, "sync")
    graph = builder.compile(checkpointer=saver)
    assert graph.invoke(VALUE, THREAD, durability=durability)["sitniks"]["outcome"] == "synced"
    check_saved(saver)


def test_alone(door: Door, durability: Any) -> None:
    """The compiled subgraph takes any durability, and says nothing of it."""
    service = FakeService()
    subgraph = build_subgraph(service, stage="escalation")
    told = door(subgraph, VALUE, durability=durability)
    assert "synced" in str(told)
    assert service.stages == ["escalation"]
