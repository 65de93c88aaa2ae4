"""Fault rows 24 and 25: hosts of every kind of state, and states that are not what they should be."""

import json
import logging
import operator
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AnyMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.managed import RemainingSteps
from pydantic import BaseModel, ConfigDict

from mirt_sitniks.core.stages import Stage
from mirt_sitniks.graph import SitniksState, SitniksValue, add_subgraph, build_subgraph
from mirt_sitniks.graph.state import keep_newest
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.settings import SitniksSettings
from tests.graph.fakes import FakeService, Run, by_ainvoke, by_invoke

DISABLED = SitniksChatService(SitniksSettings(_env_file=None))


def merge(left: dict[str, Any] | None, right: dict[str, Any] | None) -> dict[str, Any]:
    return {**(left or {}), **(right or {})}


class AsTypedDict(TypedDict, total=False):
    session_id: str
    messages: list[AnyMessage]
    metadata: dict[str, Any]
    escalation_reason: str | None
    seen: list[str]


class WithReducers(TypedDict, total=False):
    session_id: Annotated[str, lambda left, right: right]
    messages: Annotated[list[AnyMessage], add_messages]
    metadata: Annotated[dict[str, Any], merge]
    escalation_reason: Annotated[str, lambda left, right: right]
    seen: Annotated[list[str], operator.add]


class WithMixin(MessagesState, SitniksState, total=False):
    session_id: str
    metadata: dict[str, Any]
    escalation_reason: str | None
    seen: list[str]


@dataclass
class AsDataclass:
    session_id: str
    messages: Annotated[list[AnyMessage], add_messages] = field(default_factory=list)
    metadata: Annotated[dict[str, Any], merge] = field(default_factory=dict)
    escalation_reason: str | None = None
    seen: Annotated[list[str], operator.add] = field(default_factory=list)


@dataclass
class DeclaringDataclass(AsDataclass):
    sitniks: SitniksValue = field(default_factory=dict)


class AsModel(BaseModel):
    session_id: str
    messages: Annotated[list[AnyMessage], add_messages] = []
    metadata: Annotated[dict[str, Any], merge] = {}
    escalation_reason: str | None = None
    seen: Annotated[list[str], operator.add] = []


class Strict(AsModel):
    model_config = ConfigDict(extra="forbid")


class DeclaringModel(Strict):
    sitniks: SitniksValue = {}


class Managed(TypedDict, total=False):
    session_id: str
    messages: list[AnyMessage]
    metadata: dict[str, Any]
    escalation_reason: str
    seen: Annotated[list[str], operator.add]
    remaining_steps: RemainingSteps


HOSTS = [
    AsTypedDict,
    WithReducers,
    WithMixin,
    AsDataclass,
    DeclaringDataclass,
    AsModel,
    Strict,
    DeclaringModel,
    Managed,
]
VALUE = {
    "session_id": "s1",
    "messages": [HumanMessage("Хочу повернути", id="h1")],
    "metadata": {"instagram_username": "iryna.example"},
    "escalation_reason": "повернення",
    "seen": ["in"],
}


def host(schema: Any, service: Any, stage: Any = "escalation", then: Any = "after") -> Any:
    builder = StateGraph(schema)
    builder.add_node("before", lambda state: {"metadata": {"instagram_username": "iryna.example"}})
    builder.add_node("after", lambda state: {"escalation_reason": "повернення"})
    builder.add_edge(START, "before")
    builder.add_edge("after", END)
    add_subgraph(builder, service=service, after="before", stage=stage, then=then)
    return builder


@pytest.fixture(params=[by_invoke, by_ainvoke], ids=["invoke", "ainvoke"])
def run(request: pytest.FixtureRequest) -> Run:
    found: Run = request.param
    return found


@pytest.mark.parametrize("schema", HOSTS)
def test_every_host_syncs_alike_and_keeps_its_values(schema: Any, run: Run) -> None:
    """The service hears the same of every kind of state, the state tells the outcome, and the host keeps its values."""
    service = FakeService()
    graph = host(schema, service).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    run(graph, dict(VALUE), config)
    values = graph.get_state(config).values
    door = "async" if run is by_ainvoke else "blocking"
    assert service.calls == [
        {
            "door": door,
            "stage": Stage.ESCALATION,
            "session": "s1",
            "instagram_username": "iryna.example",
            "telegram_username": None,
            "reason": "повернення",
            "words": "Хочу повернути",
            "chat_id": None,
            "intent": service.calls[0]["intent"],
        }
    ]
    assert service.intents == ["escalation:h1"]
    assert {key: values[key] for key in VALUE} == VALUE
    assert set(values) == {*VALUE, "sitniks"}
    assert values["sitniks"]["outcome"] == "synced"
    assert json.loads(json.dumps(values["sitniks"])) == values["sitniks"]


@pytest.mark.parametrize("schema", HOSTS)
def test_functions_get_the_state_as_the_host_declared_it(schema: Any, run: Run) -> None:
    """`stage` and `then` see a dict, a dataclass or a model, as the host's own nodes do, with the latest values."""
    seen: list[Any] = []

    def stage(state: Any) -> str:
        seen.append(state)
        return "escalation"

    def then(state: Any) -> str:
        seen.append(state)
        return "after"

    run(host(schema, FakeService(), stage, then).compile(), dict(VALUE))
    assert len(seen) >= 3
    for state in seen:
        if issubclass(schema, dict):
            assert {key: state[key] for key in VALUE} == VALUE
        else:
            assert type(state) is schema
            assert {key: getattr(state, key) for key in VALUE} == VALUE


def test_functions_see_managed_values(run: Run) -> None:
    """What LangGraph counts for the host, as `remaining_steps`, is there for its functions too."""
    seen: list[int] = []

    def stage(state: Any) -> str:
        seen.append(state["remaining_steps"])
        return "escalation"

    def then(state: Any) -> str:
        seen.append(state["remaining_steps"])
        return "after"

    run(host(Managed, FakeService(), stage, then).compile(), dict(VALUE))
    assert len(seen) == 3
    assert all(steps > 0 for steps in seen)


def test_a_reason_belongs_to_its_escalation(run: Run) -> None:
    """A reason that stays in the state is not told with other stages."""
    service = FakeService()
    for stage in Stage:
        run(host(AsTypedDict, service, stage).compile(), dict(VALUE))
    assert [call["reason"] for call in service.calls] == [None, None, "повернення"]


@pytest.mark.parametrize("empty", [None, {}, "text", []], ids=repr)
def test_an_empty_update_leaves_the_key_alone(empty: Any) -> None:
    """The key's reducer takes dicts that say something; before the first there is an empty one."""
    last = {"chat_id": "c", "first_touch": True}
    assert keep_newest(last, empty) is last
    assert keep_newest(None, empty) == {}
    assert keep_newest(last, {"chat_id": "d", "first_touch": False}) == {"chat_id": "d", "first_touch": True}


def test_a_neighbour_that_echoes_the_old_value_does_not_win() -> None:
    """What is older by `at` changes nothing, in whichever order the two come; of equals the later stands."""
    old, new = {"at": "2026-11-22T10:00:00.000Z", "event": "a"}, {"at": "2026-11-22T10:00:00.001Z", "event": "b"}
    assert keep_newest(old, new) is keep_newest(new, old) is keep_newest(new, {"event": "a"}) is new
    assert keep_newest(old, {**old, "event": "c"})["event"] == "c"


def test_a_clock_that_was_set_back_keeps_no_news_away(run: Run) -> None:
    """A result that says it is older than the thread's last one stands all the same."""
    last = {"at": "2030-01-01T00:00:00.000Z", "first_touch": True}
    builder = host(WithMixin, FakeService(), "escalation")
    told = run(builder.compile(), {**VALUE, "sitniks": last})["sitniks"]
    assert (told["at"], told["stage"], told["first_touch"]) == (last["at"], "escalation", True)


def test_only_declared_keys_show_in_the_output(run: Run) -> None:
    """The graph's answer has `sitniks` when the host asked for it with the mixin, and not else."""
    shown = run(host(WithMixin, FakeService()).compile(), dict(VALUE))
    hidden = run(host(AsTypedDict, FakeService()).compile(), dict(VALUE))
    assert shown["sitniks"]["stage"] == "escalation"
    assert set(hidden) == set(VALUE)


@pytest.mark.parametrize("schema", [WithMixin, SitniksState, DeclaringDataclass, DeclaringModel])
def test_a_host_can_be_described_as_json_schema(schema: Any) -> None:
    """Studio and API servers ask a graph for the schemas of its input and output: `sitniks` is an object there."""
    builder = StateGraph(schema)
    builder.add_node("one", lambda state: {})
    builder.add_edge(START, "one")
    add_subgraph(builder, service=FakeService(), after="one", stage="escalation", then=END)
    graph = builder.compile()
    subgraph = build_subgraph(FakeService())
    for found in (graph.get_input_jsonschema(), graph.get_output_jsonschema(), subgraph.get_output_jsonschema()):
        assert found["properties"]["sitniks"]["type"] == "object"


def test_input_and_output_schemas_of_the_host_stay_as_they_are(run: Run) -> None:
    """A host with its own input and output schemas takes and gives exactly those keys."""

    class Input(TypedDict):
        session_id: str

    class Output(TypedDict):
        reply: str

    class Whole(TypedDict, total=False):
        session_id: str
        reply: str

    service = FakeService()
    builder = StateGraph(Whole, input_schema=Input, output_schema=Output)
    builder.add_node("answer", lambda state: {"reply": "так"})
    builder.add_edge(START, "answer")
    add_subgraph(builder, service=service, after="answer", stage="escalation", then=END)
    assert run(builder.compile(), {"session_id": "s1"}) == {"reply": "так"}
    assert service.stages == ["escalation"]


def test_later_syncs_know_the_chat_and_the_touch_of_earlier_ones(run: Run) -> None:
    """Chat id and first touch travel in the state from sync to sync, also over turns."""
    service = FakeService()
    graph = StateGraph(WithReducers)
    graph.add_node("memory", lambda state: {})
    graph.add_node("agent", lambda state: {})
    graph.add_edge(START, "memory")
    add_subgraph(graph, service=service, after="memory", stage="first_touch", then="agent")
    add_subgraph(graph, service=service, after="agent", stage="escalation", then=END)
    compiled = graph.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    for number in (1, 2):
        run(compiled, {"session_id": "s1", "messages": [HumanMessage("х", id=f"h{number}")]}, config)
    assert service.stages == ["first_touch", "escalation", "escalation"]
    assert [call["chat_id"] for call in service.calls] == [None, "chat of s1", "chat of s1"]
    assert compiled.get_state(config).values["sitniks"]["first_touch"] is True


class TestOddStates:
    """Row 24: nothing that a state holds, or lacks, breaks the dialogue."""

    @pytest.mark.parametrize("value", [{}, {"metadata": {}}, {"session_id": "  "}], ids=repr)
    def test_no_session_is_told(self, value: Any, run: Run, caplog: pytest.LogCaptureFixture) -> None:
        """Without a session anywhere nothing is recorded, the state says why, the log says it once."""
        schema: Any = TypedDict("Loose", {"session_id": str, "metadata": dict, "sitniks": SitniksValue}, total=False)
        graph = StateGraph(schema)
        graph.add_node("before", lambda state: {})
        graph.add_edge(START, "before")
        add_subgraph(graph, service=DISABLED, after="before", stage="escalation", then=END)
        told = run(graph.compile(), value)["sitniks"]
        assert (told["stage"], told["outcome"], told["reason"]) == ("escalation", "skipped", "no_session")
        assert len(caplog.records) == 1

    def test_thread_is_the_last_session(self, run: Run) -> None:
        """A host that keeps no session is known by its thread."""
        service = FakeService()
        graph = host(AsTypedDict, service).compile(checkpointer=InMemorySaver())
        run(graph, {"seen": []}, {"configurable": {"thread_id": "t9"}})
        assert service.calls[0]["session"] == "t9"

    @pytest.mark.parametrize("asked", ["refund", 7, ["escalation"], {"a": 1}], ids=repr)
    def test_unknown_stage_is_told(self, asked: Any, run: Run, caplog: pytest.LogCaptureFixture) -> None:
        """A stage that does not exist is skipped with its reason; the log says it once."""
        told = run(host(WithMixin, DISABLED, stage=lambda state: asked).compile(), dict(VALUE))["sitniks"]
        assert (told["stage"], told["outcome"], told["reason"]) == (None, "skipped", "unknown_stage")
        assert [record.levelno for record in caplog.records] == [logging.WARNING]

    @pytest.mark.parametrize(
        "values",
        [
            {"messages": None, "metadata": None, "step_number": "x"},
            {"messages": 5, "metadata": [1], "escalation_reason": {"a": 1}},
            {"messages": [None, 3, [1, 2, 3]], "metadata": "text", "step_number": []},
        ],
        ids=["none", "other", "inside"],
    )
    @pytest.mark.parametrize("stage", list(Stage))
    def test_wrong_shapes_are_as_good_as_nothing(self, values: Any, stage: Stage, run: Run) -> None:
        """Values of a wrong shape are not read, and the sync takes place without them."""
        service = FakeService()
        schema: Any = TypedDict("Loose", dict.fromkeys(["session_id", *values], Any), total=False)
        graph = StateGraph(schema)
        graph.add_node("before", lambda state: {})
        graph.add_edge(START, "before")
        add_subgraph(graph, service=service, after="before", stage=stage, then=END)
        assert run(graph.compile(), {"session_id": "s1", **values}) == {"session_id": "s1", **values}
        assert service.stages == [stage]
        assert service.calls[0]["reason"] is None

    @pytest.mark.parametrize("last", [None, "text", 3, [], {"first_touch": "yes", "chat_id": []}], ids=repr)
    def test_a_broken_last_sync_is_no_obstacle(self, last: Any, run: Run) -> None:
        """Whatever stands under `sitniks`, the next sync takes place and replaces it."""
        service = FakeService()
        told = run(host(WithMixin, service).compile(), {**VALUE, "sitniks": last})["sitniks"]
        assert told["outcome"] == "synced"
        assert (service.calls[0]["chat_id"], told["first_touch"]) == (None, False)

    def test_a_stage_function_that_raises_is_passed(self, run: Run, caplog: pytest.LogCaptureFixture) -> None:
        """The graph goes on without a sync; the log names type and place once, and no word of the customer."""

        def stage(state: Any) -> str:
            raise ValueError(state["messages"][0].content)

        service = FakeService()
        result = run(host(WithMixin, service, stage=stage).compile(), dict(VALUE))
        assert result["escalation_reason"] == "повернення"
        assert result["sitniks"] == {}
        assert service.calls == []
        assert len(caplog.records) == 1
        assert "ValueError" in caplog.text
        assert "test_hosts.py:" in caplog.text
        assert "Хочу повернути" not in caplog.text

    @pytest.mark.parametrize("broken", ["sync", "answer"])
    def test_a_service_that_breaks_its_word_is_told(
        self, broken: str, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Even if the service raises or answers nonsense the reply goes out; message and log show no payload."""
        service: Any = FakeService(raises=RuntimeError("секрет"))
        value = dict(VALUE)
        if broken == "answer":
            service.answer = lambda *_: None
        graph = host(WithMixin, service).compile()
        told = run(graph, value)["sitniks"]
        assert told["outcome"] == "failed"
        assert told["error"]["code"] == "unavailable"
        assert "секрет" not in caplog.text + json.dumps(told, ensure_ascii=False)
        assert [record.levelno for record in caplog.records][-1] == logging.ERROR


class TestByHand:
    def test_subgraph_alone(self, run: Run) -> None:
        """`build_subgraph` runs by itself: state in, `sitniks` and nothing else out."""
        service = FakeService()
        subgraph = build_subgraph(service, stage="first-touch")
        told = run(subgraph, {"session_id": "s1", "messages": [HumanMessage("х", id="h1")], "metadata": {}})
        assert set(told) == {"sitniks"}
        assert told["sitniks"]["first_touch"] is True

    def test_stage_from_the_state(self, run: Run) -> None:
        """Without a stage of its own the subgraph does what the state asks for, and nothing when that is nothing."""
        service = FakeService()
        subgraph = build_subgraph(service)
        for value in ({"stage": "Escalation"}, {"metadata": {"stage": "give_requisits"}}, {"stage": None}, {}):
            run(subgraph, {"session_id": "s1", **value})
        assert service.stages == ["escalation", "give_requisites"]

    @pytest.mark.parametrize("schema", [WithMixin, DeclaringDataclass, DeclaringModel])
    def test_as_a_node_of_a_host(self, schema: Any, run: Run) -> None:
        """A host that declares `sitniks` may add the compiled subgraph as any node."""
        service = FakeService()
        builder = StateGraph(schema)
        builder.add_node("sync", build_subgraph(service, stage="escalation", name="crm"))
        builder.add_edge(START, "sync")
        builder.add_edge("sync", END)
        result = run(builder.compile(), dict(VALUE))
        assert result["sitniks"]["stage"] == "escalation"
        assert result["seen"] == ["in"]
