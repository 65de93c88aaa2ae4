"""With `overlap` the sync and the node after it run side by side, and nothing else is different."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Literal

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, RetryPolicy, Send, interrupt
from syrupy.assertion import SnapshotAssertion

from mirt_sitniks.graph import SitniksState, add_subgraph
from tests.graph.fakes import FakeService, by_ainvoke, by_invoke

THREAD: Any = {"configurable": {"thread_id": "t1"}}
VALUE: Any = {"session_id": "s1", "messages": [HumanMessage("х", id="h1")]}

Door = Callable[..., Any]


class State(MessagesState, SitniksState, total=False):
    session_id: str
    done: str
    seen: str | None
    tries: int


def answer(state: State) -> Any:
    """The node that the customer waits for."""
    return {"done": "answered", "seen": state.get("sitniks", {}).get("outcome")}


def asking(state: State) -> Any:
    """One that a person has to resume."""
    return {"done": interrupt("?")}


def commanding(state: State) -> Command[Literal["last"]]:
    """One that routes by itself."""
    return Command(goto="last", update={"done": "answered"})


def inside(node: Callable[[State], Any]) -> Any:
    """The same in a subgraph, which echoes `sitniks` as it was given."""
    inner = StateGraph(State)
    inner.add_node("node", node)
    inner.add_edge(START, "node")
    return inner.compile()


def route(state: State) -> str:
    """A host's route function."""
    return "support"


async def async_route(state: State) -> str:
    """The same, async."""
    return "support"


def fan_out(state: State) -> list[Any]:
    """One that sends a state of its own."""
    return [Send("support", {**state})]


def host(service: Any, node: Any = answer, then: Any = "support", **options: Any) -> Any:
    """A node, the sync beside the one that answers, and a last one."""
    builder = StateGraph(State)
    builder.add_node("memory", lambda state: {})
    builder.add_node("support", node, **options)
    builder.add_node("last", lambda state: {"seen": state["sitniks"].get("outcome")})
    builder.add_edge(START, "memory")
    if node is not commanding:
        builder.add_edge("support", "last")
    builder.add_edge("last", END)
    add_subgraph(builder, service=service, after="memory", stage="escalation", then=then, name="sync", overlap=True)
    return builder


@pytest.fixture(params=[by_invoke, by_ainvoke], ids=["invoke", "ainvoke"])
def door(request: pytest.FixtureRequest) -> Door:
    found: Door = request.param
    return found


@pytest.fixture(params=["sync", "async", "exit"])
def durability(request: pytest.FixtureRequest) -> Any:
    return request.param


NODES = {"a node": answer, "a subgraph": inside(answer), "a command": commanding}
ASKING = {"a node": asking, "a subgraph": inside(asking)}


@pytest.mark.parametrize("node", NODES.values(), ids=NODES)
@pytest.mark.parametrize("then", ["support", route], ids=["named", "route"])
def test_a_turn(node: Any, then: Any, door: Door, durability: Any) -> None:
    """Both are done in one step, once; what follows them sees the outcome, also beside one that echoes the old one."""
    service = FakeService()
    graph = host(service, node, then).compile(checkpointer=InMemorySaver())
    state = door(graph, VALUE, THREAD, durability=durability)
    assert (state["done"], state["seen"], state["sitniks"]["outcome"]) == ("answered", "synced", "synced")
    assert service.effects == [("s1", "escalation")]
    assert len(service.calls) == 1


@pytest.mark.parametrize("node", ASKING.values(), ids=ASKING)
def test_a_node_that_interrupts(node: Any, door: Door, durability: Any) -> None:
    """What the sync wrote is kept over the interrupt, and the resume does not run it again."""
    service = FakeService()
    graph = host(service, node).compile(checkpointer=InMemorySaver())
    door(graph, VALUE, THREAD, durability=durability)
    assert graph.get_state(THREAD).next == ("support",)
    state = door(graph, Command(resume="approved"), THREAD, durability=durability)
    assert (state["done"], state["sitniks"]["outcome"]) == ("approved", "synced")
    assert len(service.calls) == 1


def test_an_async_route(durability: Any) -> None:
    """A host's async route function leads to both."""
    graph = host(FakeService(), then=async_route).compile(checkpointer=InMemorySaver())
    assert by_ainvoke(graph, VALUE, THREAD, durability=durability)["seen"] == "synced"


def test_a_route_that_sends(door: Door) -> None:
    """What a route function sends stays what it is."""
    state = door(host(FakeService(), then=fan_out).compile(), VALUE)
    assert (state["done"], state["sitniks"]["outcome"]) == ("answered", "synced")


def test_the_customer_waits_for_the_slower_one_only() -> None:
    """Each of the two goes on only when the other has begun: one after the other they would never end."""
    both = asyncio.Barrier(2)

    class Meeting(FakeService):
        async def sync(self, *args: Any, **about: Any) -> Any:
            await both.wait()
            return await super().sync(*args, **about)

    async def meeting(state: State) -> Any:
        await both.wait()
        return answer(state)

    async def turn() -> Any:
        async with asyncio.timeout(30.0):
            return await host(Meeting(), meeting).compile().ainvoke(VALUE)

    assert asyncio.run(turn())["done"] == "answered"


def test_the_customer_waits_for_the_slower_one_only_without_a_loop() -> None:
    """The same with threads."""
    both = threading.Barrier(2, timeout=30.0)

    class Meeting(FakeService):
        def sync_blocking(self, *args: Any, **about: Any) -> Any:
            both.wait()
            return super().sync_blocking(*args, **about)

    def meeting(state: State) -> Any:
        both.wait()
        return answer(state)

    assert host(Meeting(), meeting).compile().invoke(VALUE)["done"] == "answered"


def test_what_runs_beside_it_sees_the_turn_before(door: Door) -> None:
    """The first time nothing, then the outcome of the sync before."""
    service, seen = FakeService(), []

    def looking(state: State) -> Any:
        seen.append(state["sitniks"].get("outcome"))
        return {}

    graph = host(service, looking).compile(checkpointer=InMemorySaver())
    door(graph, VALUE, THREAD)
    door(graph, {"messages": [HumanMessage("ще", id="h2")]}, THREAD)
    assert seen == [None, "synced"]


def test_nothing_to_sync_goes_past(door: Door) -> None:
    """The node runs alone."""
    service = FakeService()
    builder = StateGraph(State)
    builder.add_node("memory", lambda state: {})
    builder.add_node("support", answer)
    builder.add_edge(START, "memory")
    add_subgraph(builder, service=service, after="memory", stage=lambda state: None, then="support", overlap=True)
    assert door(builder.compile(), VALUE)["done"] == "answered"
    assert not service.calls


def test_a_node_that_fails_loses_no_stage(door: Door, durability: Any) -> None:
    """The turn fails with its error; run again, the stage is there, once, whether the sync was cancelled or not."""
    service, failing = FakeService(), [True]

    def broken(state: State) -> Any:
        if failing:
            raise ValueError("the model is away")
        return answer(state)

    graph = host(service, broken).compile(checkpointer=InMemorySaver())
    with pytest.raises(ValueError, match="the model is away"):
        door(graph, VALUE, THREAD, durability=durability)
    failing.clear()
    state = door(graph, None, THREAD, durability=durability)
    assert (state["done"], state["sitniks"]["outcome"]) == ("answered", "synced")
    assert service.effects == [("s1", "escalation")]


def test_a_node_that_is_tried_again_does_not_sync_again(door: Door) -> None:
    """A retry policy concerns the node alone."""
    service, tries = FakeService(), []

    def flaky(state: State) -> Any:
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("once")
        return answer(state)

    policy = RetryPolicy(initial_interval=0.001, jitter=False)
    assert door(host(service, flaky, retry_policy=policy).compile(), VALUE)["done"] == "answered"
    assert (len(tries), len(service.calls)) == (2, 1)


def test_a_turn_that_is_cancelled_loses_no_stage() -> None:
    """The customer writes again while the model thinks: the next run has the stage, once."""
    service, starts = FakeService(), []

    async def turns() -> Any:
        thinks = asyncio.Event()

        async def thinking(state: State) -> Any:
            starts.append(1)
            thinks.set()
            if len(starts) == 1:
                await asyncio.Event().wait()
            return answer(state)

        graph = host(service, thinking).compile(checkpointer=InMemorySaver())
        turn = asyncio.create_task(graph.ainvoke(VALUE, THREAD))
        await thinks.wait()
        turn.cancel()
        await asyncio.wait({turn})
        return await graph.ainvoke(None, THREAD)

    assert asyncio.run(turns())["sitniks"]["outcome"] == "synced"
    assert service.effects == [("s1", "escalation")]


def test_a_replay_and_a_fork(door: Door) -> None:
    """From the checkpoint before it the same event is the same; another message is another event."""
    service = FakeService()
    graph = host(service).compile(checkpointer=InMemorySaver())
    door(graph, VALUE, THREAD)
    before = next(one for one in graph.get_state_history(THREAD) if set(one.next) == {"sync", "support"})
    door(graph, None, before.config)
    assert service.effects == [("s1", "escalation")]
    fork = graph.update_state(before.config, {"messages": [HumanMessage("інше", id="h9")]}, as_node="memory")
    door(graph, None, fork)
    assert service.effects == [("s1", "escalation")] * 2


def test_an_interrupt_before_the_node_holds_the_sync_back(door: Door) -> None:
    """Both are one step: a host that wants the stage at once does without `overlap` there."""
    service = FakeService()
    graph = host(service).compile(checkpointer=InMemorySaver(), interrupt_before=["support"])
    door(graph, VALUE, THREAD)
    assert not service.calls
    door(graph, None, THREAD)
    assert service.effects == [("s1", "escalation")]


def test_the_drawing(snapshot: SnapshotAssertion) -> None:
    """Both goals stand on the edge, and the sync ends there."""
    assert host(FakeService()).compile().get_graph().draw_mermaid() == snapshot
