"""Orders of a graph over real HTTP: the example up to the number that is told, and bad input that reaches nobody."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command

from examples.main_graph import STAGES, build_main_graph
from mirt_sitniks.orders import Client, Item, Order, SitniksOrderService, SitniksOrderState, add_order_subgraph
from mirt_sitniks.sandbox import Sandbox
from tests.graph.fakes import by_ainvoke, by_invoke
from tests.service.shop import Shop, wait_until

THREAD: Any = {"configurable": {"thread_id": "anna"}}
WHO = {"instagram_username": "anna.shop", "client": {"fullname": "Анна Приклад", "phone": "8 067 123 45 67"}}


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A shop that sells one dress."""
    with Sandbox(limit=False) as sandbox:
        sandbox.add_variation("VOLOSHKA", price=980)
        made = Shop(sandbox)
        yield made
        made.close()


def buys(graph: Any, door: Any) -> dict[str, Any]:
    """The customer asks for the requisites, and a person confirms the payment."""
    value = {"messages": [HumanMessage("Беру!")], "session_id": "anna", "metadata": WHO}
    door(graph, value, THREAD)
    state: dict[str, Any] = door(graph, Command(resume=True), THREAD)
    return state


@pytest.mark.parametrize("door", [by_invoke, by_ainvoke])
def test_who_has_paid_hears_his_number(shop: Shop, door: Any) -> None:
    """The order is in the CRM, the chat says so, the customer hears the number; a replay of all of it adds none."""
    graph = build_main_graph(shop.service(stages=str(STAGES)), checkpointer=InMemorySaver())
    state = buys(graph, door)
    (made,) = shop.sandbox.orders()
    assert f"Ваше замовлення №{made['orderNumber']}" in state["messages"][-1].text
    assert made["client"]["phone"] == "380671234567"
    assert made["chatId"] == shop.chat
    assert made["externalId"] == state["sitniks_order"]["external_id"]
    shop.shows("Оформлено замовлення", shop.sandbox.chat(shop.chat)["assignedManagerId"])
    *_, first = [one for one in graph.get_state_history(THREAD) if one.next == ("sitniks_order",)]
    door(graph, None, first.config)
    assert len(shop.sandbox.orders()) == 1
    buys(graph, door)
    assert len(shop.sandbox.orders()) == 2, "the same dress bought again is a new order"


def test_while_the_crm_is_away_the_number_follows(shop: Shop) -> None:
    """The reply goes out all the same; the order is made by itself when the CRM is back, once."""
    service = shop.service(reply_budget=0.3, stages=str(STAGES))
    graph = build_main_graph(service, checkpointer=InMemorySaver())
    by_invoke(graph, {"messages": [HumanMessage("Беру!")], "session_id": "anna", "metadata": WHO}, THREAD)
    shop.sandbox.stop()
    state = by_invoke(graph, Command(resume=True), THREAD)
    assert state["sitniks_order"]["outcome"] == "queued"
    assert "Номер замовлення надішлемо згодом" in state["messages"][-1].text
    shop.sandbox.start()
    wait_until(shop.sandbox.orders)
    found = asyncio.run(SitniksOrderService(service).find(state["sitniks_order"]["external_id"]))
    assert found is not None
    wait_until(lambda: len(shop.sandbox.orders()) == 1)


class State(SitniksOrderState):
    session_id: str


def made_of(shop: Shop, door: Any, order: Any, event: str) -> tuple[dict[str, Any], Any]:
    """What the state says of an order, and what the store knows of it."""
    service = SitniksOrderService(shop.service())
    builder = StateGraph(State)
    add_order_subgraph(
        builder, service=service, after=None, name="order", order=order, event=lambda state: event, then=END
    )
    builder.add_edge(START, "order")
    said = door(builder.compile(), {"session_id": "anna"})["sitniks_order"]
    known = asyncio.run(service.find(said["external_id"])) if said["external_id"] else None
    return said, known


def order_of(item: dict[str, Any], client: dict[str, Any], **more: Any) -> Any:
    """A function of the state that gives an order that is right but for these."""
    goods = {"sku": "VOLOSHKA", "price": Decimal(980), **item}
    count = more.pop("lines", 1)
    who = {"fullname": "Анна Приклад", "phone": "0671234567", **client}
    return lambda state: Order(client=Client(**who), items=[Item(**goods)] * count, **more)


BAD: list[tuple[Any, str]] = [
    (order_of({}, {"fullname": ""}), "client.fullname is missing"),
    (order_of({}, {"fullname": "Лі"}), "client.fullname has 2 letters"),
    (order_of({}, {"fullname": "💛💛💛"}), "client.fullname has 0 letters"),
    (order_of({}, {"phone": None}), "client.phone is missing"),
    (order_of({"price": Decimal(-5)}, {}), "has a price that is not above 0"),
    (order_of({"price": Decimal(0)}, {}), "has a price that is not above 0"),
    (order_of({"quantity": 0}, {}), "has a quantity that is not 1 to 999"),
    (order_of({}, {}, lines=200), "items has 200 lines"),
    (order_of({}, {}, comment="ї" * 1_000_000), "comment has more than 5,000 characters"),
    (order_of({}, {}, total=Decimal(979)), "total is 979.00, but the items, less the discount, come to 980.00"),
]


@pytest.mark.parametrize(("order", "line"), BAD, ids=[line[:24] for _, line in BAD])
def test_bad_input_reaches_nobody(shop: Shop, order: Any, line: str) -> None:
    """Each is told in the state; no call is made, and nothing is recorded."""
    said, known = made_of(shop, by_invoke, order, "bad")
    assert (said["outcome"], said["error"]["code"]) == ("failed", "order_invalid")
    assert line in said["error"]["message"]
    assert known is None
    assert list(shop.sandbox.calls) == []


@pytest.mark.parametrize("door", [by_invoke, by_ainvoke])
def test_all_of_it_is_one_error(shop: Shop, door: Any) -> None:
    """What is wrong together is told together, by both doors."""
    order = order_of({"price": Decimal(0), "quantity": 0}, {"fullname": "", "phone": "12"}, comment="x" * 9_999)
    said, known = made_of(shop, door, order, "all")
    lines = said["error"]["message"].split("; ")
    assert len(lines) == 5
    assert known is None
    assert list(shop.sandbox.calls) == []


def test_a_sku_that_is_not_there_records_nothing(shop: Shop) -> None:
    """The catalogue is asked, no order is."""
    said, known = made_of(shop, by_invoke, order_of({"sku": "NO-1"}, {}), "sku")
    assert (said["outcome"], said["error"]["code"]) == ("failed", "unknown_sku")
    assert known is None
    assert {call.method for call in shop.sandbox.calls} == {"GET"}


def test_emoji_are_words_like_any_other(shop: Shop) -> None:
    """A heart beside a name and in a comment arrives as it is."""
    said, _ = made_of(shop, by_invoke, order_of({}, {"fullname": "Анна 💛"}, comment="🎁 подарунок"), "emoji")
    assert said["outcome"] == "created"
    (made,) = shop.sandbox.orders()
    assert (made["client"]["fullname"], made["clientComment"]) == ("Анна 💛", "🎁 подарунок")
