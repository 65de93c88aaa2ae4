"""What a host sees of a conversation: drawings, updates, events; kept as snapshots that hold for both versions."""

import importlib.metadata
from typing import Any, TypedDict

from langchain_core.messages import BaseMessage, HumanMessage
from langgraph.cache.memory import InMemoryCache
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import CachePolicy, Command, Interrupt
from syrupy.assertion import SnapshotAssertion

from examples.main_graph import build_main_graph
from examples.payment_loop import build_payment_loop
from mirt_sitniks.graph import add_subgraph, build_subgraph
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.settings import SitniksSettings
from tests.graph.fakes import FakeService

THREAD: Any = {"configurable": {"thread_id": "s1"}}
TURNS: list[Any] = [
    "Добрий вечір! Є лляна сукня?",
    "Беру! Надішліть реквізити",
    Command(resume=True),
    "Прийшов не той колір, покличте менеджера",
]


def turn(value: Any, number: int) -> Any:
    if isinstance(value, Command):
        return value
    return {
        "messages": [HumanMessage(value, id=f"h{number}")],
        "session_id": "s1",
        "metadata": {"instagram_username": "iryna.example"},
    }


def shown(value: Any) -> Any:
    """Updates without what is new in every run: ids of messages and interrupts."""
    if isinstance(value, BaseMessage):
        return f"{value.type}: {value.text}"
    if isinstance(value, Interrupt):
        return {"interrupt": value.value}
    if isinstance(value, dict):
        return {key: shown(inner) for key, inner in value.items()}
    return [shown(inner) for inner in value] if isinstance(value, list | tuple) else value


def in_order(updates: list[Any]) -> list[Any]:
    """The updates of a turn; of the two that run side by side either may come first."""
    beside = ("intent", "sitniks_sync_memory")
    places = [place for place, one in enumerate(updates) if next(iter(one)) in beside]
    for place, one in zip(places, sorted((updates[at] for at in places), key=lambda one: next(iter(one))), strict=True):
        updates[place] = one
    return updates


class TestDrawings:
    def test_host_with_its_three_syncs(self, snapshot: SnapshotAssertion) -> None:
        """The example host, drawn: every sync has a way past it."""
        graph = build_main_graph(FakeService())
        assert graph.get_graph(xray=True).draw_mermaid() == snapshot

    def test_host_with_the_sync_in_front(self, snapshot: SnapshotAssertion) -> None:
        """The original's form of payment, drawn: its loop does not come by the sync."""
        graph = build_payment_loop(FakeService())
        assert graph.get_graph(xray=True).draw_mermaid() == snapshot

    def test_the_subgraph_itself(self, snapshot: SnapshotAssertion) -> None:
        """One node, and an edge past it."""
        assert build_subgraph(FakeService(), stage="escalation").get_graph(xray=True).draw_mermaid() == snapshot


def test_updates_of_a_conversation(snapshot: SnapshotAssertion) -> None:
    """Every update of a whole conversation: a sync gives `sitniks` and nothing else, all keys always there."""
    graph = build_main_graph(FakeService(), checkpointer=InMemorySaver())
    told = [
        in_order([shown(update) for update in graph.stream(turn(value, number), THREAD, stream_mode="updates")])
        for number, value in enumerate(TURNS, 1)
    ]
    assert told == snapshot


def test_events_of_a_conversation(snapshot: SnapshotAssertion) -> None:
    """One custom event a sync, to whoever listens, with what the state will say."""
    graph = build_main_graph(FakeService(), checkpointer=InMemorySaver())
    told = [
        event
        for number, value in enumerate(TURNS, 1)
        for event in graph.stream(turn(value, number), THREAD, stream_mode="custom")
    ]
    assert told == snapshot


class TestEvents:
    def test_the_async_door_tells_the_same(self) -> None:
        """`astream` and `stream` bring equal events, and the state says what the event said."""
        import asyncio

        async def collect(graph: Any) -> list[Any]:
            value = turn("Покличте менеджера", 1)
            return [event async for event in graph.astream(value, THREAD, stream_mode="custom")]

        graph = build_main_graph(FakeService(), checkpointer=InMemorySaver())
        events = asyncio.run(collect(graph))
        other = build_main_graph(FakeService())
        assert events == list(other.stream(turn("Покличте менеджера", 1), THREAD, stream_mode="custom"))
        assert [event["sitniks"]["stage"] for event in events] == ["first_touch", "escalation"]
        assert events[-1]["sitniks"] == graph.get_state(THREAD).values["sitniks"]

    def test_a_skipped_sync_is_told_and_a_past_one_is_not(self) -> None:
        """No session is an event; nothing to sync is none."""
        graph = build_subgraph(SitniksChatService(SitniksSettings(_env_file=None)))
        told = [list(graph.stream(value, stream_mode="custom")) for value in ({"stage": "escalation"}, {"stage": None})]
        assert [[event["sitniks"]["reason"] for event in events] for events in told] == [["no_session"], []]


def test_a_hosts_cache_does_not_swallow_syncs() -> None:
    """A host that caches all its nodes by default still syncs every turn."""

    class State(TypedDict, total=False):
        session_id: str

    runs: list[int] = []
    service = FakeService()
    builder: Any = StateGraph(State)
    builder.add_node("one", lambda state: runs.append(1) or {})
    builder.add_edge(START, "one")
    add_subgraph(builder, service=service, after="one", stage="escalation", then=END)
    has_defaults = hasattr(builder, "set_node_defaults")
    if has_defaults:
        builder.set_node_defaults(cache_policy=CachePolicy())
    graph = builder.compile(cache=InMemoryCache())
    for _ in range(3):
        graph.invoke({"session_id": "s1"})
    assert len(runs) == (1 if has_defaults else 3)
    assert len(service.calls) == 3


def test_both_version_sets_are_what_they_claim() -> None:
    """The suite runs on a LangGraph that the package says it supports."""
    version = tuple(int(part) for part in importlib.metadata.version("langgraph").split(".")[:3])
    assert (1, 0, 4) <= version < (2,)
