"""Row 43: what a host does with its messages makes no event of a replay, and loses none of the customer's."""

from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, messages_to_dict
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph, add_messages
from pydantic import BaseModel
from typing_extensions import TypedDict

from mirt_sitniks.graph import SitniksState, add_subgraph, build_subgraph
from tests.graph.fakes import FakeService, Run, by_ainvoke, by_invoke

THREAD: Any = {"configurable": {"thread_id": "s1"}}
ONCE = [("s1", "give_requisites")]


class State(MessagesState, SitniksState, total=False):
    session_id: str
    order_id: str


class Forgetful(InMemorySaver):
    """Keeps messages as a saver does that writes them down by hand: without their ids."""

    def get_tuple(self, config: Any) -> CheckpointTuple | None:
        saved = super().get_tuple(config)
        for message in saved.checkpoint["channel_values"].get("messages", ()) if saved else ():
            message.id = None
        return saved


@pytest.fixture(params=[by_invoke, by_ainvoke], ids=["invoke", "ainvoke"])
def run(request: pytest.FixtureRequest) -> Run:
    found: Run = request.param
    return found


def shop(service: Any, **more: Any) -> Any:
    """An agent that speaks as a human, as CrewAI-like hosts do, and answers otherwise each time; then the invoice."""
    answers = iter(range(100))

    def agent(state: State) -> Any:
        return {"messages": [HumanMessage(f"нотатка {next(answers)}", name="agent")]}

    builder = StateGraph(State)
    builder.add_node("memory", lambda state: {})
    builder.add_node("agent", agent)
    builder.add_node("payment", lambda state: {"messages": [AIMessage("IBAN")]})
    builder.add_edge(START, "memory")
    builder.add_edge("memory", "agent")
    add_subgraph(builder, service=service, after="agent", stage="give_requisites", then="payment", **more)
    builder.add_edge("payment", END)
    return builder


def said(text: str) -> dict[str, Any]:
    """A host that feeds plain dicts without ids."""
    return {"messages": [{"role": "user", "content": text}], "session_id": "s1"}


@pytest.mark.parametrize("saver", [InMemorySaver, Forgetful])
@pytest.mark.parametrize("node", ["__start__", "memory", "agent", "sitniks_sync_agent"])
def test_a_replay_from_anywhere_is_the_event_that_it_was(node: str, saver: Any, run: Run) -> None:
    """From before the input, where messages get other ids, or from any node, of the first turn: nothing is repeated."""
    service = FakeService()
    graph = shop(service).compile(checkpointer=saver())
    run(graph, said("Беру, надішліть реквізити"), THREAD)
    service.crm["s1"] = "ОПЛАЧЕНО"
    old = next(snapshot for snapshot in graph.get_state_history(THREAD) if node in snapshot.next)
    run(graph, None, old.config)
    assert len(service.calls) == 2
    assert service.effects == ONCE
    assert service.crm["s1"] == "ОПЛАЧЕНО"


@pytest.mark.parametrize("saver", [InMemorySaver, Forgetful])
def test_every_turn_of_the_customer_is_an_event(saver: Any, run: Run) -> None:
    """The same words in a later turn are another order; a replay of that turn is not."""
    service = FakeService()
    graph = shop(service).compile(checkpointer=saver())
    for _ in range(3):
        run(graph, said("Беру"), THREAD)
    assert service.effects == ONCE * 3
    run(graph, None, next(one for one in graph.get_state_history(THREAD) if "agent" in one.next).config)
    assert service.effects == ONCE * 3


def test_a_fork_in_which_the_customer_says_something_else_is_an_event(run: Run) -> None:
    """Edited under its own id, or said anew: other words are another event."""
    service = FakeService()
    graph = shop(service).compile(checkpointer=InMemorySaver())
    run(graph, said("Беру"), THREAD)
    old = next(one for one in graph.get_state_history(THREAD) if "memory" in one.next)
    mine = old.values["messages"][0]
    fork = graph.update_state(old.config, {"messages": [HumanMessage("Беру два", id=mine.id)]}, as_node="__start__")
    run(graph, None, fork)
    run(graph, said("І ще один"), old.config)
    assert service.effects == ONCE * 3


def test_a_node_that_is_tried_again_has_the_event_it_had(run: Run) -> None:
    """A crash in the sync, in a thread whose messages have no ids: one effect."""

    class Died(BaseException):
        pass

    service = FakeService(raises=Died())
    graph = shop(service).compile(checkpointer=Forgetful())
    with pytest.raises(Died):
        run(graph, said("Беру"), THREAD)
    service.raises = None
    run(graph, None, THREAD)
    assert len(service.calls) == 2
    assert service.effects == ONCE


def test_a_window_of_packed_messages_loses_no_order(run: Run) -> None:
    """A host that keeps the last three messages as dicts: its second and its third order are events of their own."""

    class Packed(SitniksState, total=False):
        session_id: str
        messages: list[dict[str, Any]]

    service = FakeService()
    builder = StateGraph(Packed)
    builder.add_node("memory", lambda state: {})
    builder.add_edge(START, "memory")
    add_subgraph(builder, service=service, after="memory", stage="give_requisites", then=END)
    graph = builder.compile(checkpointer=InMemorySaver())
    history: list[AnyMessage] = []
    for text in ("Беру сукню", "Беру сумку", "Беру сукню", "Беру сукню"):
        history += [HumanMessage(text), AIMessage("IBAN")]
        value = {"session_id": "s1", "messages": messages_to_dict(history[-4:-1][-3:])}
        run(graph, value, THREAD)
    assert service.effects == ONCE * 4


def test_the_hosts_word_for_an_event_stands(run: Run) -> None:
    """With `event=` it is the order that counts, whatever is said; where it names none, the messages tell."""
    service = FakeService()
    graph = shop(service, event=lambda state: state.get("order_id")).compile(checkpointer=InMemorySaver())
    for order, text in (("o1", "Беру"), ("o1", "Де реквізити?"), ("o2", "Де реквізити?"), ("", "Ще")):
        run(graph, {**said(text), "order_id": order}, THREAD)
    assert service.intents[:3] == [f"give_requisites:{order}" for order in ("o1", "o1", "o2")]
    assert service.effects == ONCE * 3


def test_an_event_function_that_raises_is_no_end(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """The messages name the event then; the log says so, without a word of the customer."""
    service = FakeService()
    graph = shop(service, event=lambda state: state["messages"][0].content["id"]).compile()
    run(graph, said("Беру"))
    assert service.effects == ONCE
    assert "the event function raised TypeError" in caplog.text
    assert "Беру" not in caplog.text


def test_the_chain_is_written_at_every_visit(run: Run) -> None:
    """It goes on with each sync, also one that is skipped, and goes back with the thread."""
    service = FakeService()
    graph = shop(service, reads={"session_id": "order_id"}).compile(checkpointer=InMemorySaver())
    links = []
    for _ in range(2):
        run(graph, said("Беру"), {"configurable": {"thread_id": "t1"}})
        links.append(graph.get_state({"configurable": {"thread_id": "t1"}}).values["sitniks"]["event"])
    assert all(links)
    assert links[0] != links[1]
    assert service.calls[0]["session"] == "t1"


class AsTypedDict(TypedDict, total=False):
    username: str
    dialog: Annotated[list[AnyMessage], add_messages]
    chat: str


@dataclass
class AsDataclass:
    username: str = ""
    dialog: Annotated[list[AnyMessage], add_messages] = field(default_factory=list)
    chat: str = ""


class AsModel(BaseModel):
    username: str = ""
    dialog: Annotated[list[AnyMessage], add_messages] = []
    chat: str = ""


@pytest.mark.parametrize("schema", [AsTypedDict, AsDataclass, AsModel])
def test_a_host_keeps_what_is_read_under_its_own_keys(schema: Any, run: Run) -> None:
    """Row 25: `reads=` maps them, alike for every kind of state, for the edge and for the node; no value changes."""
    service = FakeService()
    builder = StateGraph(schema)
    builder.add_node("memory", lambda state: {})
    builder.add_edge(START, "memory")
    reads = {"instagram_username": "username", "messages": "dialog", "sitniks_chat_id": "chat"}
    add_subgraph(builder, service=service, after="memory", stage="first_touch", then=END, reads=reads)
    graph = builder.compile(checkpointer=InMemorySaver())
    mine = {"username": "iryna.example", "dialog": [HumanMessage("Привіт", id="h1")], "chat": "77"}
    run(graph, mine, THREAD)
    run(graph, {"dialog": [AIMessage("Вітаю", id="a1"), HumanMessage("Є?", id="h2")]}, THREAD)
    (call,) = service.calls
    assert (call["instagram_username"], call["chat_id"], call["session"]) == ("iryna.example", "77", "s1")
    values = graph.get_state(THREAD).values
    assert [message.id for message in values["dialog"]] == ["h1", "a1", "h2"]


def test_a_subgraph_by_hand_takes_an_event_too(run: Run) -> None:
    """`build_subgraph(event=...)` gets the keys that a sync reads, as a dict."""
    service = FakeService()
    subgraph = build_subgraph(service, stage="escalation", event=lambda state: state["metadata"]["order"])
    run(subgraph, {"session_id": "s1", "metadata": {"order": 5}})
    assert service.intents == ["escalation:5"]


def test_a_greeting_is_no_conversation(run: Run) -> None:
    """The bot greets first: the customer's first message is a first touch, his next one is none."""
    service = FakeService()
    builder = StateGraph(State)
    builder.add_node("memory", lambda state: {})
    builder.add_edge(START, "memory")
    add_subgraph(builder, service=service, after="memory", stage="first_touch", then=END)
    messages = [AIMessage("Вітаю!"), HumanMessage("Добрий день")]
    run(builder.compile(), {"session_id": "s1", "messages": messages})
    assert service.stages == ["first_touch"]
    run(builder.compile(), {"session_id": "s1", "messages": [*messages, AIMessage("Так?"), HumanMessage("Ціна?")]})
    assert service.stages == ["first_touch"]


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "gone"])
def test_a_node_that_is_removed_leaves_its_name_behind(kept: bool, run: Run) -> None:
    """In a host with `interrupt_before` an old thread passes its pause while the name is there, and only then."""

    def host(removed: bool) -> Any:
        builder = StateGraph(State)
        for name in ("memory", "payment"):
            builder.add_node(name, lambda state: {})
        builder.add_edge(START, "memory")
        builder.add_edge("payment", END)
        if removed:
            builder.add_edge("memory", "payment")
            if kept:
                builder.add_node("sitniks_sync_memory", lambda state: {})
        else:
            add_subgraph(builder, service=FakeService(), after="memory", stage="escalation", then="payment")
        return builder

    saver: Any = InMemorySaver()
    run(host(removed=False).compile(checkpointer=saver, interrupt_before=["payment"]), said("Беру"), THREAD)
    graph = host(removed=True).compile(checkpointer=saver, interrupt_before=["payment"])
    run(graph, None, THREAD)
    assert graph.get_state(THREAD).next == (() if kept else ("payment",))
