"""Wiring that cannot work is refused when the graph is built, with the value and the cure in one line."""

import operator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.managed import RemainingSteps
from langgraph.types import Command
from pydantic import BaseModel

from mirt_sitniks.errors import ConfigError, SitniksError
from mirt_sitniks.graph import SitniksValue, add_subgraph, build_subgraph
from mirt_sitniks.graph.wiring import UNSAID
from tests.graph.fakes import FakeService


class State(TypedDict, total=False):
    session_id: str


def plain(state: State) -> State:
    return {}


def commanding(state: State) -> Command[Literal["other"]]:
    return Command(goto="other")


def half_commanding(state: State) -> State | Command[Literal["other"]]:
    return {}


def vaguely_commanding(state: State) -> Command:  # type: ignore[type-arg]
    return Command(goto="other")


async def asynchronously_commanding(state: State) -> "Command[Any]":
    return Command(goto="other")


def configured(answer: str, state: State) -> Command[Literal["other"]]:
    return Command(goto="other")


class Commanding:
    def __call__(self, state: State) -> Command[Literal["other"]]:
        return Command(goto="other")


def builder() -> Any:
    graph = StateGraph(State)
    for name in ("one", "other", "wired", "waited", "branching"):
        graph.add_node(name, plain)
    graph.add_edge(START, "one")
    graph.add_edge("wired", "other")
    graph.add_edge(["waited", "wired"], "other")
    graph.add_conditional_edges("branching", lambda state: "other")
    graph.add_node("commanding", commanding)
    graph.add_node("half_commanding", half_commanding)
    graph.add_node("vaguely_commanding", vaguely_commanding)
    graph.add_node("asynchronously_commanding", asynchronously_commanding)
    graph.add_node("object_commanding", Commanding())
    graph.add_node("partly_commanding", partial(configured, "so"))
    graph.add_node("destined", lambda state: Command(goto="other"), destinations=("other",))
    return graph


class AnyCallable:
    async def sync(self) -> None: ...


REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"stage": "refund"},
        r"stage='refund' is unknown: use one of first_touch, give_requisites, escalation, paid, order_placed, or add",
    ),
    ({"stage": ""}, r"stage='' is unknown: use one of"),
    ({"stage": 7}, r"stage is 7: use one of"),
    ({"stage": State}, r"stage is .*State.*: use one of"),
    ({"stage": asynchronously_commanding}, r"stage is an async function.*: use a plain function"),
    ({"stage": lambda: "escalation"}, r"stage gets the state alone: give .* one parameter"),
    ({"stage": lambda state, config: "escalation"}, r"stage gets the state alone"),
    ({"event": "h1"}, r"event is 'h1': use a function of the state that returns an id, or None"),
    ({"event": State}, r"event is .*State.*: use a function"),
    ({"event": asynchronously_commanding}, r"event is an async function.*: use a plain function"),
    ({"event": lambda: "h1"}, r"event gets the state alone: give .* one parameter"),
    ({"reads": ["session_id"]}, r"reads is \['session_id'\]: use a dict like"),
    (
        {"reads": {"username": "session_id"}},
        r"reads names 'username', which no sync reads: use one of session_id, inst",
    ),
    ({"reads": {"sitniks": "session_id"}}, r"reads names 'sitniks'"),
    ({"reads": {"session_id": "id"}}, r"reads\['session_id'\] is 'id', which is no key of the state: use one of sess"),
    ({"reads": {"session_id": 7}}, r"reads\['session_id'\] is 7, which is no key"),
    ({"then": UNSAID}, r"then is missing: name the node that follows 'sitniks_sync_one', or END; or say then=None"),
    ({"then": UNSAID, "after": None, "name": "crm"}, r"then is missing: name the node that follows 'crm'"),
    ({"then": lambda: END}, r"then gets the state alone"),
    ({"then": 7}, r"then is 7: use a node's name, END"),
    ({"then": State}, r"then is .*State.*: use"),
    ({"then": ""}, r"then='' leads nowhere: name the node"),
    ({"then": START}, r"then='__start__' leads nowhere"),
    ({"then": "sitniks_sync_one"}, r"then='sitniks_sync_one' leads nowhere"),
    ({"after": "nowhere"}, r"after='nowhere' is not among the builder's nodes \(one, other, .*\): add it first"),
    ({"after": ["one", "nowhere"], "name": "crm"}, r"after='nowhere' is not among"),
    ({"after": START}, r"after is START: pass after=None with a name, and add_edge\(START, name\)"),
    ({"after": []}, r"after is empty: name at least one node"),
    ({"after": ["one", "one"], "name": "crm"}, r"after names 'one' twice"),
    ({"after": ["one", "other"]}, r"name is missing: with several nodes"),
    ({"after": None}, r"name is missing"),
    ({"after": "wired"}, r"after='wired' already has an edge and would route twice: remove it"),
    ({"after": "waited"}, r"after='waited' already has an edge"),
    ({"after": "branching"}, r"after='branching' already has an edge"),
    ({"after": "commanding"}, r"after='commanding' routes by Command .*: pass after=None with a name, and goto that"),
    ({"after": "half_commanding"}, r"routes by Command"),
    ({"after": "vaguely_commanding"}, r"routes by Command"),
    ({"after": "asynchronously_commanding"}, r"routes by Command"),
    ({"after": "object_commanding"}, r"routes by Command"),
    ({"after": "partly_commanding"}, r"routes by Command"),
    ({"after": "destined"}, r"routes by Command"),
    ({"after": plain}, r"after is <function plain.*>: name a node of the builder, a list of them, or pass None"),
    ({"overlap": 1, "then": "other"}, r"overlap is 1: use True or False"),
    ({"overlap": True}, r"overlap=True with then='__end__' has nothing to run beside: name a node, or leave it out"),
    ({"overlap": True, "then": None}, r"overlap=True with then=None has nothing to run beside"),
    ({"overlap": True, "then": "other", "after": None, "name": "crm"}, r"overlap=True needs a node in `after`"),
    ({"name": "other"}, r"name='other' is already a node of the builder: give this sync another name"),
    ({"name": ""}, r"name='' cannot name a node"),
    ({"name": "a:b"}, r"name='a:b' cannot name a node: use text without '\|' and ':'"),
    ({"name": "a|b"}, r"cannot name a node"),
    ({"name": END}, r"cannot name a node"),
    ({"name": 7}, r"name=7 cannot name a node"),
    ({"service": None}, r"service is a NoneType: pass get_sitniks_chat_service\(\)"),
    ({"service": AnyCallable()}, r"service is a AnyCallable: pass"),
    ({"service": FakeService}, r"service is the class FakeService: pass get_sitniks_chat_service\(\) or"),
]


@pytest.mark.parametrize(("wrong", "message"), REFUSED, ids=[str(index) for index in range(len(REFUSED))])
def test_refused(wrong: dict[str, Any], message: str) -> None:
    """Each mistake has one line that names it, and the builder is left as it was."""
    graph = builder()
    before = set(graph.nodes), set(graph.edges), {source: set(found) for source, found in graph.branches.items()}
    arguments = {"service": FakeService(), "after": "one", "stage": "escalation", "then": END, **wrong}
    with pytest.raises(ConfigError, match=message) as caught:
        add_subgraph(graph, **arguments)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, SitniksError)
    assert isinstance(caught.value, ValueError)
    assert (set(graph.nodes), set(graph.edges), {source: set(f) for source, f in graph.branches.items()}) == before


def test_the_same_place_twice_is_refused() -> None:
    """A second sync behind the same node would route twice."""
    graph = builder()
    add_subgraph(graph, service=FakeService(), after="one", stage="escalation", then=END)
    with pytest.raises(ConfigError, match=r"after='one' already has an edge .* \(a node has one sync; its stage may"):
        add_subgraph(graph, service=FakeService(), after="one", stage="first_touch", then=END, name="again")


def test_where_the_graph_goes_on_has_to_be_said() -> None:
    """Left out it is refused: a graph that ends at the sync by oversight would never answer."""
    arguments: Any = {"service": FakeService(), "after": "one", "stage": "escalation"}
    with pytest.raises(ConfigError, match="then is missing"):
        add_subgraph(builder(), **arguments)


@pytest.mark.parametrize("wrong", [{"stage": "refund"}, {"service": None}, {"stage": 7}, {"event": 7}])
def test_build_subgraph_refuses_too(wrong: dict[str, Any]) -> None:
    """The subgraph alone takes no unknown stage and no service without verbs."""
    with pytest.raises(ConfigError, match=r"use one of|use a function|pass get_sitniks_chat_service"):
        build_subgraph(**{"service": FakeService(), **wrong})


class LastValueKey(TypedDict, total=False):
    sitniks: dict[str, Any]


class OtherReducer(TypedDict, total=False):
    sitniks: Annotated[list[str], operator.add]


class LambdaReducer(TypedDict, total=False):
    sitniks: Annotated[dict[str, Any], lambda left, right: right]


@dataclass
class AsDataclass:
    sitniks: str = ""


class AsModel(BaseModel):
    sitniks: int = 0


class ManagedKey(TypedDict, total=False):
    session_id: str
    sitniks: RemainingSteps


@pytest.mark.parametrize("schema", [LastValueKey, OtherReducer, LambdaReducer, AsDataclass, AsModel, ManagedKey])
def test_a_host_key_of_another_type_is_refused(schema: Any) -> None:
    """A host's own `sitniks` without our reducer would make two syncs in one superstep raise: said at build."""
    graph = StateGraph(schema)
    graph.add_node("one", plain)
    with pytest.raises(ConfigError, match=r"inherit SitniksState, declare it as `sitniks: mirt_sitniks.graph"):
        add_subgraph(graph, service=FakeService(), after="one", stage="escalation", then=END)


def test_a_host_key_of_our_type_is_taken() -> None:
    """The type that the cure names works, and so does a second sync beside the first."""
    schema: Any = TypedDict("Host", {"sitniks": SitniksValue})
    graph = StateGraph(schema)
    for name in ("one", "two"):
        graph.add_node(name, plain)
    graph.add_edge(START, "one")
    add_subgraph(graph, service=FakeService(), after="one", stage="escalation", then="two")
    add_subgraph(graph, service=FakeService(), after="two", stage="escalation", then=END)
    graph.compile()


@pytest.mark.parametrize("schema", [dict, Annotated[list, operator.add]])
def test_a_state_without_keys_is_refused(schema: Any) -> None:
    """A graph whose state is one value has no place for a key."""
    graph = StateGraph(schema)
    graph.add_node("one", lambda state: state)
    with pytest.raises(ConfigError, match="has no keys: use a TypedDict, a dataclass or a Pydantic model"):
        add_subgraph(graph, service=FakeService(), after="one", stage="escalation", then=END)


def test_a_compiled_graph_is_refused() -> None:
    """What is compiled takes no more nodes."""
    graph = StateGraph(State)
    graph.add_node("one", plain)
    graph.add_edge(START, "one")
    compiled: Any = graph.compile()
    with pytest.raises(ConfigError, match=r"builder is a CompiledStateGraph: pass the StateGraph itself, before"):
        add_subgraph(compiled, service=FakeService(), after="one", stage="escalation", then=END)


def test_a_goal_that_never_comes_is_langgraphs_to_refuse() -> None:
    """`then` may name a node of the future; if it never comes, compiling says so."""
    graph = StateGraph(State)
    graph.add_node("one", plain)
    graph.add_edge(START, "one")
    add_subgraph(graph, service=FakeService(), after="one", stage="escalation", then="never")
    with pytest.raises(ValueError, match="never"):
        graph.compile()
