"""Where the graph goes on: every form of `after` and `then`, with a sync and past it."""

import asyncio
import operator
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send
from pydantic import BaseModel

from mirt_sitniks.graph import SitniksState, add_subgraph, build_subgraph
from tests.graph.fakes import AT, FakeService, Run, by_ainvoke, by_invoke


class State(SitniksState, total=False):
    session_id: str
    wanted: str | None
    goal: str
    path: Annotated[list[str], operator.add]


def wanted(state: State) -> str | None:
    return state.get("wanted")


def passing(name: str) -> Any:
    return lambda state: {"path": [name]}


def nodes(*names: str, schema: Any = State) -> Any:
    builder = StateGraph(schema)
    for name in names:
        builder.add_node(name, passing(name))
    builder.add_edge(START, names[0])
    return builder


@pytest.fixture(params=[by_invoke, by_ainvoke], ids=["invoke", "ainvoke"])
def run(request: pytest.FixtureRequest) -> Run:
    found: Run = request.param
    return found


@pytest.fixture(params=["escalation", None], ids=["sync", "past"])
def value(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"session_id": "s1", "wanted": request.param, "goal": "right", "path": []}


def check(service: FakeService, value: dict[str, Any], result: dict[str, Any], path: list[str]) -> None:
    assert result["path"] == path
    assert service.stages == ([value["wanted"]] if value["wanted"] else [])
    assert bool(result["sitniks"]) is bool(value["wanted"])


class TestThen:
    def test_a_node(self, value: dict[str, Any], run: Run) -> None:
        """Both ways lead to the node, which may be added later."""
        service = FakeService()
        builder = nodes("one")
        assert add_subgraph(builder, service=service, after="one", stage=wanted, then="two") is builder
        builder.add_node("two", passing("two"))
        check(service, value, run(builder.compile(), value), ["one", "two"])

    def test_end(self, value: dict[str, Any], run: Run) -> None:
        """Both ways end the run."""
        service = FakeService()
        builder = nodes("one")
        add_subgraph(builder, service=service, after="one", stage=wanted, then=END)
        check(service, value, run(builder.compile(), value), ["one"])

    @pytest.mark.parametrize("goal", ["left", "right", END])
    def test_a_function(self, goal: str, value: dict[str, Any], run: Run) -> None:
        """Both ways ask the function, which sees the host's whole state."""
        service = FakeService()
        builder = nodes("one", "left", "right")
        add_subgraph(builder, service=service, after="one", stage=wanted, then=lambda state: state["goal"])
        result = run(builder.compile(), {**value, "goal": goal})
        check(service, value, result, ["one"] if goal == END else ["one", goal])

    def test_a_function_that_says_where_it_may_lead(self, value: dict[str, Any], run: Run) -> None:
        """With `-> Literal[...]` the drawing shows these goals and no others; it runs the same."""

        def then(state: State) -> Literal["right", "__end__"]:
            return "right" if state["goal"] == "right" else "__end__"

        service = FakeService()
        builder = nodes("one", "left", "right")
        builder.add_edge(START, "left")
        add_subgraph(builder, service=service, after="one", stage=wanted, then=then)
        graph = builder.compile()
        goals = {edge.target for edge in graph.get_graph().edges if edge.source in ("one", "sitniks_sync_one")}
        assert goals == {"sitniks_sync_one", "right", END}
        assert sorted(run(graph, value)["path"]) == ["left", "one", "right"]

    def test_an_async_function(self, value: dict[str, Any]) -> None:
        """A host that runs async may decide async."""

        async def then(state: State) -> str:
            await asyncio.sleep(0)
            return state["goal"]

        service = FakeService()
        builder = nodes("one", "left", "right")
        add_subgraph(builder, service=service, after="one", stage=wanted, then=then)
        check(service, value, by_ainvoke(builder.compile(), value), ["one", "right"])

    def test_a_function_may_fan_out(self, value: dict[str, Any], run: Run) -> None:
        """What LangGraph takes from a route function it takes from `then`: lists and Send, also with goals declared."""

        def then(state: State) -> Literal["left", "right"]:
            return ["left", Send("right", {"path": []})]  # type: ignore[return-value]

        service = FakeService()
        builder = nodes("one", "left", "right")
        add_subgraph(builder, service=service, after="one", stage=wanted, then=then)
        result = run(builder.compile(), value)
        assert sorted(result["path"]) == ["left", "one", "right"]

    def test_a_function_sees_the_sync(self, run: Run) -> None:
        """Behind the sync the function can look at its outcome."""
        seen: list[Any] = []
        builder = nodes("one")
        add_subgraph(
            builder,
            service=FakeService(),
            after="one",
            stage="escalation",
            then=lambda state: seen.append(state["sitniks"]["outcome"]) or END,
        )
        run(builder.compile(), {"session_id": "s1"})
        assert seen == ["synced"]

    def test_none_leaves_it_to_the_host(self, value: dict[str, Any], run: Run) -> None:
        """The node itself does the going past; a past turn leaves what the last sync told."""
        service = FakeService()
        builder = nodes("one", "two")
        add_subgraph(builder, service=service, after="one", stage=wanted, then=None)
        builder.add_edge("sitniks_sync_one", "two")
        graph = builder.compile()
        check(service, value, run(graph, value), ["one", "two"])
        told = {"chat_id": "c", "first_touch": True}
        if not value["wanted"]:
            assert run(graph, {**value, "sitniks": told})["sitniks"] == told


class TestAfter:
    def test_several_nodes(self, value: dict[str, Any], run: Run) -> None:
        """Each of the nodes leads to the sync by itself: no waiting for the others."""
        for first in ("left", "right"):
            service = FakeService()
            builder = nodes("one", "left", "right", "two")
            builder.add_conditional_edges("one", lambda state: state["goal"], ["left", "right"])
            add_subgraph(builder, service=service, after=["left", "right"], name="crm", stage=wanted, then="two")
            check(service, value, run(builder.compile(), {**value, "goal": first}), ["one", first, "two"])

    def test_several_nodes_that_are_to_be_joined(self, value: dict[str, Any], run: Run) -> None:
        """Where more than one of them runs, a node that waits for all goes before the sync: what follows runs once."""
        service = FakeService()
        builder = nodes("one", "short", "long", "slow", "joined", "reply")
        for start, end in (("one", "short"), ("one", "slow"), ("slow", "long")):
            builder.add_edge(start, end)
        builder.add_edge(["short", "long"], "joined")
        add_subgraph(builder, service=service, after="joined", stage=wanted, then="reply")
        assert run(builder.compile(), value)["path"][-2:] == ["joined", "reply"]
        assert len(service.calls) == bool(value["wanted"])

    def test_none_and_a_command(self, value: dict[str, Any], run: Run) -> None:
        """A host routes to the sync by `Command`; then it goes on once."""

        def one(state: State) -> Command[Literal["crm"]]:
            return Command(goto="crm", update={"path": ["one"]})

        service = FakeService()
        builder = StateGraph(State)
        builder.add_node("one", one)
        builder.add_node("two", passing("two"))
        builder.add_edge(START, "one")
        add_subgraph(builder, service=service, after=None, name="crm", stage=wanted, then="two")
        check(service, value, run(builder.compile(), value), ["one", "two"])

    def test_none_at_the_very_start(self, value: dict[str, Any], run: Run) -> None:
        """The sync may be the first node of a graph."""
        service = FakeService()
        builder = nodes("two")
        builder.edges.clear()
        add_subgraph(builder, service=service, after=None, name="crm", stage=wanted, then="two")
        builder.add_edge(START, "crm")
        check(service, value, run(builder.compile(), value), ["two"])

    def test_a_past_turn_gives_an_update_with_a_key(self, run: Run) -> None:
        """Entered and gone past, the node still gives a dict: hosts that read updates do not meet None."""
        builder = nodes("two")
        builder.edges.clear()
        add_subgraph(builder, service=FakeService(), after=None, name="crm", stage=wanted, then="two")
        builder.add_edge(START, "crm")
        updates = list(builder.compile().stream({"session_id": "s1"}, stream_mode="updates"))
        assert updates[0] == {"crm": {"sitniks": {}}}


class TestTogether:
    def test_two_syncs_in_one_superstep(self, run: Run) -> None:
        """Syncs side by side do not raise; one outcome stands and a first touch is not forgotten by the other."""
        service = FakeService()
        builder = nodes("left", "right")
        builder.add_edge(START, "right")
        add_subgraph(builder, service=service, after="left", stage="first_touch", then=END)
        add_subgraph(builder, service=service, after="right", stage="escalation", then=END)
        told = run(builder.compile(), {"session_id": "s1", "path": []})["sitniks"]
        assert sorted(service.stages) == ["escalation", "first_touch"]
        assert told["stage"] in ("escalation", "first_touch")
        assert told["at"] == AT

    def test_a_touch_in_state_outlives_a_service_that_forgets_it(self, run: Run) -> None:
        """The node tells of it with every later sync, and the key's reducer keeps it."""
        builder = nodes("one")
        add_subgraph(builder, service=FakeService(), after="one", stage="escalation", then=END)
        told = run(builder.compile(), {"session_id": "s1", "sitniks": {"first_touch": True}})["sitniks"]
        assert told["first_touch"] is True

    def test_a_sync_beside_one_that_goes_past(self, run: Run) -> None:
        """Entered and gone past, a sync does not wipe out what its neighbour in the superstep tells."""
        builder = nodes("two")
        builder.edges.clear()
        for name, stage in (("a", "escalation"), ("b", wanted)):
            add_subgraph(builder, service=FakeService(), after=None, name=name, stage=stage, then=END)
            builder.add_edge(START, name)
        assert run(builder.compile(), {"session_id": "s1"})["sitniks"]["stage"] == "escalation"

    def test_a_function_that_changes_its_mind(self, run: Run) -> None:
        """Edge and node ask the same function; should they hear different things, the state is left as it was."""
        answers = iter(["escalation", None])
        service = FakeService()
        subgraph = build_subgraph(service, stage=lambda state: next(answers))
        assert run(subgraph, {"session_id": "s1", "sitniks": {"chat_id": "c"}}) == {"sitniks": {"chat_id": "c"}}
        answers = iter(["escalation", None])
        assert list(subgraph.stream({"session_id": "s1"}, stream_mode="updates")) == [{"sync": {"sitniks": {}}}]
        assert service.calls == []

    def test_a_route_that_the_host_puts_behind_it(self, run: Run) -> None:
        """A route function behind the sync that annotates its state gets that state."""

        class Model(BaseModel):
            session_id: str
            goal: str
            path: Annotated[list[str], operator.add] = []

        def route(state: Model) -> Literal["left", "right"]:
            return "right" if state.goal == "right" else "left"

        builder = nodes("one", "left", "right", schema=Model)
        add_subgraph(builder, service=FakeService(), after="one", stage="escalation", then=None)
        builder.add_conditional_edges("sitniks_sync_one", route)
        assert run(builder.compile(), {"session_id": "s1", "goal": "right"})["path"] == ["one", "right"]

    def test_a_host_inside_a_host(self, run: Run) -> None:
        """A graph with a sync can itself be a subgraph; its sync still finds what it needs."""

        class Outer(TypedDict, total=False):
            session_id: str

        service = FakeService()
        inner = nodes("one")
        add_subgraph(inner, service=service, after="one", stage="escalation", then=END)
        outer = StateGraph(Outer)
        outer.add_node("inner", inner.compile())
        outer.add_edge(START, "inner")
        run(outer.compile(), {"session_id": "s1"})
        assert service.calls[0]["session"] == "s1"
        assert str(service.intents[0]).startswith("escalation:inner:")
