"""The order's node in hosts of every kind: one order for an event, whatever is run again, and nothing raised."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from langchain_core.messages import AnyMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, RetryPolicy, interrupt
from pydantic import BaseModel

from mirt_sitniks.errors import ConfigError
from mirt_sitniks.graph import SitniksValue, add_subgraph
from mirt_sitniks.graph.reading import Reading
from mirt_sitniks.orders.models import Client, Item, Order
from mirt_sitniks.orders.node import external_id_of
from mirt_sitniks.orders.subgraph import SitniksOrderState, SitniksOrderValue, add_order_subgraph
from tests.graph.fakes import FakeService, by_ainvoke, by_invoke

THREAD: Any = {"configurable": {"thread_id": "olena"}}
DOORS = [by_invoke, by_ainvoke]
SAID = {"outcome", "order_id", "order_number", "external_id", "error", "at", "event"}


@dataclass(frozen=True)
class Made:
    """What the service answers."""

    order_id: str
    external_id: str

    def to_state(self) -> dict[str, Any]:
        return {
            "outcome": "created",
            "order_id": self.order_id,
            "order_number": f"№{self.order_id}",
            "external_id": self.external_id,
            "error": None,
        }


class FakeOrders:
    """Makes one order an id, as the service does; `calls` are what it was asked, `raises` what it does instead."""

    account = "main"

    def __init__(self, raises: BaseException | None = None) -> None:
        self.calls: list[dict[str, Any]] = []
        self.made: dict[str, Order] = {}
        self.raises = raises

    async def create_order(
        self, order: Order, *, external_id: str, session: str, chat_id: str | None, event: str
    ) -> Made:
        await asyncio.sleep(0)
        self.calls.append({"order": order, "external_id": external_id, "session": session, "chat_id": chat_id})
        if self.raises:
            raise self.raises
        self.made.setdefault(external_id, order)
        return Made(str(list(self.made).index(external_id) + 1), external_id)


class State(MessagesState, SitniksOrderState, total=False):
    session_id: str
    metadata: dict[str, Any]
    sitniks: SitniksValue
    bought: bool
    approved: bool


def dress(state: Any = None) -> Order:
    return Order.model_validate(
        {"client": {"fullname": "Олена", "phone": "0671234567"}, "items": [{"sku": "DRESS", "price": 980}]}
    )


async def dress_async(state: Any) -> Order:
    await asyncio.sleep(0)
    return dress()


def host(service: Any, order: Any = dress, saver: Any = None, schema: Any = State, **more: Any) -> Any:
    builder = StateGraph(schema)
    builder.add_node("paid", lambda state: {})
    builder.add_edge(START, "paid")
    add_order_subgraph(builder, **{"service": service, "after": "paid", "order": order, "then": END, **more})
    return builder.compile(checkpointer=saver)


def says(text: str = "Беру!", message_id: str | None = None, **more: Any) -> dict[str, Any]:
    return {"messages": [HumanMessage(text, id=message_id)], "session_id": "olena", **more}


@pytest.mark.parametrize("order", [dress, dress_async])
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("door", DOORS)
def test_an_order_is_made_by_every_door(door: Any, durability: Any, order: Any) -> None:
    """A plain or an async function, by `invoke` or `ainvoke`, under every durability: one order, told in the state."""
    service, saver = FakeOrders(), InMemorySaver()
    state = door(host(service, order, saver), says(sitniks={"chat_id": "c1", "at": "1"}), THREAD, durability=durability)
    (call,) = service.calls
    assert call == {
        "order": dress(),
        "external_id": state["sitniks_order"]["external_id"],
        "session": "olena",
        "chat_id": "c1",
    }
    assert set(state["sitniks_order"]) == SAID
    assert state["sitniks_order"]["order_number"] == "№1"
    assert "olena" not in call["external_id"]
    assert int(call["external_id"], 16)


@pytest.mark.parametrize("door", DOORS)
def test_the_same_goods_bought_again_are_a_new_order(door: Any) -> None:
    """The same words and the same goods one turn later are another event."""
    service = FakeOrders()
    graph = host(service, saver=InMemorySaver())
    for _ in range(3):
        door(graph, says(), THREAD)
    assert len(service.made) == 3


@dataclass
class Last:
    """A host that keeps the last message only."""

    messages: list[AnyMessage] = field(default_factory=list)
    session_id: str = "olena"


@pytest.mark.parametrize("door", DOORS)
def test_a_host_that_forgets_what_was_said_has_new_orders_too(door: Any) -> None:
    """Where the state holds one message, the order before tells the same words apart."""
    service = FakeOrders()
    graph = host(service, saver=InMemorySaver(), schema=Last)
    for _ in range(2):
        door(graph, says(), THREAD)
    assert len(service.made) == 2


@pytest.mark.parametrize("door", DOORS)
def test_a_re_run_of_a_turn_is_the_same_order(door: Any) -> None:
    """A host that gives its messages no ids and keeps no state makes one order of one turn, however it words it."""
    service, words = FakeOrders(), iter("abc")

    def order(state: Any) -> Order:
        return dress().model_copy(update={"comment": next(words)})

    for _ in range(3):
        door(host(service, order), says())
    assert len(service.calls) == 3
    assert len(service.made) == 1


@pytest.mark.parametrize("door", DOORS)
def test_row02_resume_and_replay_make_no_second_order(door: Any) -> None:
    """Row 2: an interrupt before, a resume, and a replay of it all: one order. A fork with other words is a new one."""
    service, saver = FakeOrders(), InMemorySaver()
    builder = StateGraph(State)
    builder.add_node("approval", lambda state: {"approved": interrupt("?")})
    builder.add_edge(START, "approval")
    add_order_subgraph(builder, service=service, after="approval", order=dress, then="thanks")
    builder.add_node("thanks", lambda state: {"bought": interrupt("!")})
    graph = builder.compile(checkpointer=saver)

    door(graph, says(), THREAD)
    assert service.calls == []
    door(graph, Command(resume=True), THREAD)
    door(graph, Command(resume=True), THREAD)
    assert len(service.calls) == 1
    *_, first = [one for one in graph.get_state_history(THREAD) if one.next == ("sitniks_order_approval",)]
    door(graph, None, first.config)
    assert len(service.calls) == 2
    assert len(service.made) == 1
    forked = graph.update_state(first.config, {"messages": [HumanMessage("І ще одну")]}, as_node="approval")
    door(graph, None, forked)
    assert len(service.made) == 2


class Died(BaseException):
    """What a process that is going down raises."""


@pytest.mark.parametrize("durability", ["sync", "async"])
@pytest.mark.parametrize("door", DOORS)
def test_row01_a_process_that_dies_behind_the_order_makes_no_second_one(door: Any, durability: Any) -> None:
    """Row 1: the thread goes on where it was left, whether or not the order's own step was saved."""
    service, saver, lives = FakeOrders(), InMemorySaver(), iter([Died(), Died(), None])

    def order(state: Any) -> Order:
        if lost := next(lives):
            raise lost
        return dress()

    def thanks(state: Any) -> dict[str, Any]:
        if len(service.calls) < 2 and not state["bought"]:
            raise Died
        return {}

    builder = StateGraph(State)
    builder.add_node("paid", lambda state: {"bought": False})
    builder.add_edge(START, "paid")
    add_order_subgraph(builder, service=service, after="paid", order=order, then="thanks")
    builder.add_node("thanks", thanks)
    graph = builder.compile(checkpointer=saver)
    value: Any = says()
    for _ in range(3):
        with pytest.raises(Died):
            door(graph, value, THREAD, durability=durability)
        value = None
    *_, before = [one for one in graph.get_state_history(THREAD) if one.next == ("sitniks_order_paid",)]
    lives = iter([None])
    door(graph, None, before.config, durability=durability)
    assert len(service.calls) == 2
    assert len(service.made) == 1


@pytest.mark.parametrize("door", DOORS)
def test_row01_a_retry_and_a_second_visit_are_the_same_order(door: Any) -> None:
    """Row 1: a node behind the order fails and runs again, a loop comes by it twice: one order of a turn."""
    service, tries = FakeOrders(), []

    def twice(state: Any) -> dict[str, Any]:
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError
        return {}

    builder = StateGraph(State)
    builder.add_node("loop", twice, retry_policy=RetryPolicy(initial_interval=0.0, jitter=False))
    builder.add_edge(START, "sitniks_order")
    add_order_subgraph(
        builder,
        service=service,
        after=None,
        order=dress,
        then="loop",
        name="sitniks_order",
    )
    builder.add_conditional_edges("loop", lambda state: END if len(tries) > 2 else "sitniks_order")
    state = door(builder.compile(), says())
    assert len(service.calls) == 2
    assert len(service.made) == 1
    assert state["sitniks_order"]["order_id"] == "1"


@pytest.mark.parametrize(
    ("event", "value"),
    [
        (lambda state: "cart 7", {}),
        (None, {"metadata": {"message_id": "m7"}}),
        (None, {"message_id": "mid.7"}),
    ],
)
def test_a_named_event_is_one_order(event: Any, value: dict[str, Any]) -> None:
    """The host's word, the channel's message: each names one order, over threads and runs."""
    service = FakeOrders()
    graph = host(service, saver=InMemorySaver(), event=event)
    for thread in "ab":
        by_invoke(graph, says(**value), {"configurable": {"thread_id": thread}})
        by_invoke(graph, says(**value), {"configurable": {"thread_id": thread}})
    assert len(service.made) == 1


def test_accounts_and_sessions_have_orders_of_their_own() -> None:
    """One event's name in two sessions, or two accounts, is two orders."""
    ids = {external_id_of(account, session, Reading(keys=("m1",)), {}) for account in "ab" for session in "cd"}
    assert len(ids) == 4


@pytest.mark.parametrize("order", [lambda state: None, lambda state: asyncio.sleep(0)])
@pytest.mark.parametrize("door", DOORS)
def test_none_is_no_order(door: Any, order: Any) -> None:
    """Where the function returns None nothing is asked, and what the state says of the last order stays."""
    service = FakeOrders()
    before = {"outcome": "created", "order_id": "1", "at": "2026-01-01T00:00:00.000Z"}
    state = door(host(service, order), says(sitniks_order=before))
    assert state["sitniks_order"] == before
    assert service.calls == []


def test_none_is_no_key_of_a_host_that_knows_none() -> None:
    """An undeclared key is kept in the thread, and the host's own output is as before."""
    service = FakeOrders()
    graph = host(service, saver=InMemorySaver(), schema=MessagesState)
    assert set(by_invoke(graph, {"messages": [HumanMessage("Беру")]}, THREAD)) == {"messages"}
    assert graph.get_state(THREAD).values["sitniks_order"]["outcome"] == "created"
    assert service.calls[0]["session"] == "olena", "the thread's id, for want of another"


class Model(BaseModel):
    messages: Annotated[list[AnyMessage], add_messages] = []
    session_id: str = ""
    sitniks_order: SitniksOrderValue = {}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("schema", [Model, Last])
def test_row25_the_function_gets_the_state_as_the_host_declared_it(door: Any, schema: Any) -> None:
    """Row 25: a dataclass or a Pydantic model is what the order function, the event function and the route get."""
    seen: list[Any] = []

    def order(state: Any) -> Order:
        seen.append(state)
        return dress()

    def then(state: Any) -> str:
        seen.append(state)
        return END

    service = FakeOrders()
    door(host(service, order, schema=schema, then=then, event=lambda state: state.session_id), says())
    assert [type(state) for state in seen] == [schema, schema]
    assert service.calls[0]["external_id"] == external_id_of("main", "olena", Reading(keys=("olena",)), {})


def broken(state: Any) -> Order:
    return Order(client=Client(fullname="Олена", phone="0671234567"), items=[Item(price=state["таємне"])])


def wrong_type(state: Any) -> Order:
    return Order.model_validate({"client": {"phone": ["таємне"]}, "items": [{"price": "таємне"}]})


async def broken_async(state: Any) -> Order:
    raise RuntimeError("таємне")


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (broken, "making the order raised KeyError: see the log"),
        (broken_async, "making the order raised RuntimeError: see the log"),
        (lambda state: {"items": []}, "the order function returned dict: return an Order, or None"),
        (
            wrong_type,
            "client.phone: Input should be a valid string; items.0.price: Input should be a valid decimal",
        ),
    ],
)
@pytest.mark.parametrize("door", DOORS)
def test_a_function_that_fails_is_told_and_not_raised(
    door: Any, order: Any, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The dialogue goes on; the state says what is wrong, and neither it nor the log holds a customer's words."""
    service = FakeOrders()
    said = door(host(service, order), says())["sitniks_order"]
    assert said["outcome"] == "failed"
    assert said["error"]["code"] == "order_invalid"
    assert said["error"]["message"].startswith(message)
    assert set(said) == SAID
    assert "таємне" not in str(said) + caplog.text
    assert service.calls == []


@pytest.mark.parametrize("raises", [RuntimeError("x"), asyncio.CancelledError()])
@pytest.mark.parametrize("door", DOORS)
def test_a_service_that_raises_is_told_and_not_raised(door: Any, raises: BaseException) -> None:
    """Whatever the service does, the dialogue goes on."""
    said = door(host(FakeOrders(raises)), says())["sitniks_order"]
    assert (said["outcome"], said["error"]["code"]) == ("failed", "order_invalid")


@pytest.mark.parametrize(
    ("value", "missing"), [({"messages": []}, "session"), ({"messages": [], "session_id": "s"}, None)]
)
def test_without_a_session_there_is_no_order(value: Any, missing: str | None) -> None:
    """Nobody's order is not made; without messages the run of the node names the event."""
    service = FakeOrders()
    said = by_invoke(host(service), value)["sitniks_order"]
    assert len(service.calls) == (0 if missing else 1)
    if missing:
        assert said["error"]["message"] == "there is no session: set session_id in the state"


def test_listeners_hear_what_the_state_says() -> None:
    """One custom event an order, with what the state will hold, by both doors; none where there is no order."""

    async def astream() -> list[Any]:
        return [event async for event in host(FakeOrders()).astream(says(), stream_mode="custom")]

    for told in (list(host(FakeOrders()).stream(says(), stream_mode="custom")), asyncio.run(astream())):
        assert [set(event["sitniks_order"]) for event in told] == [SAID]
    assert list(host(FakeOrders(), lambda state: None).stream(says(), stream_mode="custom")) == []


@pytest.mark.blocks
def test_row23_invoke_where_an_event_loop_runs() -> None:
    """Row 23: a notebook's `invoke` makes its order, and the host's function sees the caller's context."""
    who: ContextVar[str] = ContextVar("who", default="nobody")

    async def order(state: Any) -> Order:
        return dress().model_copy(update={"comment": who.get()})

    async def within() -> None:
        who.set("anna")
        host(service, order).invoke(says())

    service = FakeOrders()
    asyncio.run(within())
    assert [call["order"].comment for call in service.calls] == ["anna"]


def test_a_cancelled_reply_is_cancelled() -> None:
    """Who stops waiting for the graph is not told of a failed order."""

    class Slow(FakeOrders):
        async def create_order(self, *_: Any, **__: Any) -> Any:
            begun.set()
            await asyncio.Event().wait()

    async def run() -> None:
        task = asyncio.ensure_future(host(Slow()).ainvoke(says()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    begun = asyncio.Event()
    asyncio.run(run())


def test_an_older_value_does_not_win() -> None:
    """A clock that was set back, or a neighbour that echoes what it read, leaves the newer outcome."""
    future = "2999-01-01T00:00:00.000Z"
    said = by_invoke(host(FakeOrders()), says(sitniks_order={"outcome": "queued", "at": future}))["sitniks_order"]
    assert (said["outcome"], said["at"]) == ("created", future)


def test_syncs_and_orders_live_side_by_side() -> None:
    """A sync behind or before the order takes nothing from it; both keys are written."""
    service, syncs = FakeOrders(), FakeService()
    builder = StateGraph(State)
    builder.add_node("paid", lambda state: {})
    builder.add_edge(START, "paid")
    add_subgraph(builder, service=syncs, after="paid", stage="give_requisites", then="sitniks_order")
    add_order_subgraph(builder, service=service, after=None, name="sitniks_order", order=dress, then="thanks")
    builder.add_node("thanks", lambda state: {})
    add_subgraph(builder, service=syncs, after="thanks", stage="escalation", then=END)
    state = by_invoke(builder.compile(checkpointer=InMemorySaver()), says(), THREAD)
    assert state["sitniks"]["stage"] == "escalation"
    assert state["sitniks_order"]["outcome"] == "created"
    assert service.calls[0]["chat_id"] == "chat of olena"


def foreign() -> Any:
    class Foreign(MessagesState):
        sitniks_order: str

    return StateGraph(Foreign)


Wiring = Callable[[], Any]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"service": FakeService()}, "service is a FakeService: pass SitniksOrderService(get_sitniks_chat_service())"),
        ({"service": FakeOrders}, "service is the class FakeOrders"),
        ({"order": None}, "order is None: use a function of the state"),
        ({"order": dress()}, "order is Order("),
        ({"order": lambda: None}, "order gets the state alone"),
        ({"event": dress_async}, "event is an async function"),
        ({"after": "nowhere"}, "after='nowhere' is not among the builder's nodes"),
        ({"after": None}, "name is missing"),
        ({"name": "paid"}, "name='paid' is already a node"),
        ({"reads": {"phone": "x"}}, "reads names 'phone'"),
        ({"builder": foreign}, "The state's key `sitniks_order` is not what an order writes"),
    ],
)
def test_wiring_that_cannot_work_is_refused(wrong: dict[str, Any], message: str) -> None:
    """Each mistake is told when the graph is built, with its cure."""
    builder = wrong.pop("builder", lambda: StateGraph(State))()
    builder.add_node("paid", lambda state: {})
    given = {"service": FakeOrders(), "after": "paid", "order": dress, "then": END, **wrong}
    with pytest.raises(ConfigError) as refused:
        add_order_subgraph(builder, **given)
    assert str(refused.value).startswith(message)
    assert list(builder.nodes) == ["paid"], "nothing is left half wired"


def test_then_has_to_be_said() -> None:
    """A forgotten `then` is no end of the graph."""
    builder = StateGraph(State)
    builder.add_node("paid", lambda state: {})
    with pytest.raises(ConfigError, match="then is missing"):
        add_order_subgraph(builder, service=FakeOrders(), after="paid", order=dress)


@pytest.mark.parametrize("door", DOORS)
def test_an_order_that_failed_makes_the_next_one_no_older_one(door: Any) -> None:
    """Where the state holds one message: the same words after a turn that failed are not the first turn's order."""
    service, failing = FakeOrders(), iter([False, True, False])

    def order(state: Any) -> Order:
        if next(failing):
            raise ValueError
        return dress()

    graph = host(service, order, saver=InMemorySaver(), schema=Last)
    said = [door(graph, says(), THREAD) and graph.get_state(THREAD).values["sitniks_order"] for _ in range(3)]
    assert [one["outcome"] for one in said] == ["created", "failed", "created"]
    assert [one["order_id"] for one in said] == ["1", None, "2"]


@pytest.mark.parametrize("door", DOORS)
def test_what_a_service_that_raised_may_have_recorded_is_asked_for_by_its_id_again(door: Any) -> None:
    """The service fails behind a thread's earlier order: the same event comes by again under the same id."""
    service = FakeOrders()
    graph = host(service, saver=InMemorySaver())
    door(graph, says(), THREAD)
    service.raises = RuntimeError("the service ends")
    door(graph, says("Ще одну!"), THREAD)
    failed = graph.get_state(THREAD).values["sitniks_order"]
    assert (failed["outcome"], failed["external_id"]) == ("failed", service.calls[-1]["external_id"])
    service.raises = None
    door(graph, {}, THREAD)
    assert [one["external_id"] for one in service.calls[1:]] == [failed["external_id"]] * 2
