"""A person takes a conversation over, the graph keeps silent, gets it back and answers: the example, over real HTTP."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

from examples.main_graph import STAGES, MainState, build_main_graph
from mirt_sitniks import SitniksChatService, add_subgraph, human_has_chat
from tests.graph.fakes import by_ainvoke, by_invoke
from tests.service.shop import Shop, touch, wait_until

THREAD: Any = {"configurable": {"thread_id": "s"}}
COMPLAINT = "Прийшов не той колір, покличте менеджера"
SILENCE = None


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is asked who has the conversation, however busy this machine is."""
    monkeypatch.setattr("mirt_sitniks.service.LOOKING", 30.0)


class Talk:
    """The customer at the shop's chat and at the graph of `build`, whose service Sitniks tells of each message."""

    def __init__(self, shop: Shop, hosted: Callable[..., SitniksChatService], build: Any, run: Any = by_invoke) -> None:
        shop.options["stages"] = str(STAGES)
        self.shop, self.service, self.run = shop, hosted(shop), run
        self.graph = build(self.service, checkpointer=InMemorySaver())

    def says(self, text: str, number: int) -> str | None:
        """The answer to a message, None when nobody answers."""
        self.shop.sandbox.customer_writes(self.shop.chat, text)
        self.heard()
        who = {"session_id": "s", "metadata": {"instagram_username": "anna.shop"}}
        state = self.run(self.graph, {"messages": [HumanMessage(text, id=f"m{number}")], **who}, THREAD)
        last = state["messages"][-1]
        return last.text if isinstance(last, AIMessage) else SILENCE

    def heard(self) -> None:
        """Wait until the service was told of every message."""
        crm = self.shop.sandbox
        wait_until(lambda: len(crm.deliveries) == len(crm.messages(self.shop.chat)))

    def escalates(self) -> None:
        """First touch and escalation: a live manager has the chat, and writes."""
        assert "Вітаю" in str(self.says("Добрий день", 1))
        assert "Передаю розмову" in str(self.says(COMPLAINT, 2))
        self.shop.shows("AI Увага", 102)
        self.shop.sandbox.person_writes(self.shop.chat, "Вітаю, я Олена!", manager=102)
        self.heard()

    def gives_back(self, way: str) -> None:
        """By a click on the board, or by the host's own."""
        if way == "board":
            self.shop.sandbox.person_sets(self.shop.chat, manager="Павло")
            return
        released = asyncio.run(self.service.release("s"))
        assert released is not None
        assert released.owner == "ai"
        self.shop.shows("AI Увага", 101)

    def writes(self) -> int:
        """How often the graph has written to the CRM."""
        return sum(call.method != "GET" for call in self.shop.sandbox.calls)

    def stays(self) -> None:
        """Nobody has escalated again: Павло is responsible, and the last status is the one from before."""
        moves = [one["after"] for one in self.shop.sandbox.history(self.shop.chat) if one["field"] == "status"]
        assert moves == ["Взято в роботу", "AI Увага"]
        self.shop.shows("AI Увага", 101)
        assert not asyncio.run(self.service.is_held("s"))


@pytest.mark.parametrize("run", [by_invoke, by_ainvoke], ids=["invoke", "ainvoke"])
@pytest.mark.parametrize("way", ["board", "release"])
def test_a_person_takes_over_and_hands_back(
    shop: Shop, hosted: Callable[..., SitniksChatService], way: str, run: Any
) -> None:
    """From the escalation on the graph says nothing; the first message after the hand-back is answered, for the webhook
    that brings it tells who is responsible."""
    talk = Talk(shop, hosted, build_main_graph, run)
    talk.escalates()
    assert talk.says("Дякую, Олено!", 3) is SILENCE
    talk.gives_back(way)
    assert "Новою поштою" in str(talk.says("А яка доставка?", 4))
    talk.stays()


@pytest.mark.parametrize("way", ["board", "release"])
def test_what_has_escalated_does_not_again(shop: Shop, hosted: Callable[..., SitniksChatService], way: str) -> None:
    """Row 1: neither the same message, told to the graph again after the hand-back, nor a replay of the checkpoint
    before the escalation, whose state still asks for it."""
    talk = Talk(shop, hosted, build_main_graph)
    talk.escalates()
    talk.gives_back(way)
    assert talk.says("Дякую", 3)
    states = list(talk.graph.get_state_history(THREAD))
    again = next(one for one in states if one.values["should_escalate"] and "escalation" in one.next)
    before = talk.writes()
    talk.graph.invoke(None, again.config)
    talk.says(COMPLAINT, 2)
    assert talk.writes() == before
    talk.stays()


class Flagged(MainState):
    """A host that keeps for itself that it has escalated."""

    escalated: bool


def flagged(*, clears: bool) -> Callable[..., Any]:
    """A host's graph that goes by its flag; it `clears` that behind the route, as the README says, or never does."""

    def build(service: SitniksChatService, checkpointer: Any) -> Any:
        def memory(state: Flagged) -> dict[str, Any]:
            wants = "менеджер" in state["messages"][-1].text
            return {"escalated": wants or (state.get("escalated", False) and not clears)}

        builder = StateGraph(Flagged).add_node("memory", memory).add_node("triage", lambda state: {})
        builder.add_node("agent", lambda state: {"messages": [AIMessage("Вітаю!")]})
        builder.add_node("escalation", lambda state: {"messages": [AIMessage("Передаю розмову")]})
        builder.add_conditional_edges(START, human_has_chat(service), {True: END, False: "memory"})
        builder.add_conditional_edges("triage", lambda state: "escalation" if state["escalated"] else "agent")
        builder.add_edge("agent", END)
        add_subgraph(builder, service=service, after="memory", stage="first_touch", then="triage")
        add_subgraph(builder, service=service, after="escalation", stage="escalation", then=END)
        return builder.compile(checkpointer=checkpointer)

    return build


@pytest.mark.parametrize("way", ["board", "release"])
def test_a_flag_that_is_still_true_escalates_no_event_twice(
    shop: Shop, hosted: Callable[..., SitniksChatService], way: str
) -> None:
    """The host's flag is true for ever, and the message that raised it comes again: nobody is called twice for it."""
    talk = Talk(shop, hosted, flagged(clears=False))
    talk.escalates()
    talk.gives_back(way)
    talk.shop.sandbox.customer_writes(talk.shop.chat, "Дякую")
    talk.heard()
    before = talk.writes()
    assert talk.says(COMPLAINT, 2) == "Передаю розмову"
    assert talk.writes() == before
    talk.stays()


@pytest.mark.parametrize("way", ["board", "release"])
def test_a_flag_is_cleared_behind_the_route(shop: Shop, hosted: Callable[..., SitniksChatService], way: str) -> None:
    """A new message is a new event, so an old flag would call a person again; who clears it in the first node that
    comes only when nobody has the conversation answers instead."""
    talk = Talk(shop, hosted, flagged(clears=True))
    talk.escalates()
    talk.gives_back(way)
    assert talk.says("А яка доставка?", 3) == "Вітаю!"
    talk.stays()


def test_an_old_flag_calls_a_person_for_each_new_message(shop: Shop, hosted: Callable[..., SitniksChatService]) -> None:
    """What comes of a flag that is never cleared: the host has asked for it, with an event of its own."""
    talk = Talk(shop, hosted, flagged(clears=False))
    talk.escalates()
    talk.gives_back("board")
    assert talk.says("А яка доставка?", 3) == "Передаю розмову"
    shop.shows("AI Увага", 102)


def test_a_customer_who_comes_back_finds_the_person_there(
    shop: Shop, hosted: Callable[..., SitniksChatService]
) -> None:
    """In a session of which nothing is recorded: neither its first message is answered over him, nor one of the session
    that has lost the chat; of another customer, or by another page's name, nothing is held."""
    talk = Talk(shop, hosted, build_main_graph)
    talk.escalates()
    later: Any = {"configurable": {"thread_id": "later"}}
    who = {"session_id": "later", "metadata": {"instagram_username": "Anna.Shop"}}
    state = talk.graph.invoke({"messages": [HumanMessage("Ще питання", id="m3")], **who}, later)
    assert [one.text for one in state["messages"]] == ["Ще питання"]
    service = talk.service
    touch(service, session="later")
    assert asyncio.run(service.is_held("s"))
    assert asyncio.run(service.is_held("new", chat_id=shop.chat))
    assert not asyncio.run(service.is_held("new", telegram_username="anna.shop"))
    assert not asyncio.run(service.is_held("new", instagram_username="olena.example"))
    page = shop.service(owner="another.page", worker=False)
    assert not asyncio.run(page.is_held("new", instagram_username="anna.shop"))
    talk.gives_back("board")
    shop.sandbox.customer_writes(shop.chat, "А доставка?")
    talk.heard()
    state = talk.graph.invoke({"messages": [HumanMessage("А доставка?", id="m4")], **who}, later)
    assert isinstance(state["messages"][-1], AIMessage)
    assert not asyncio.run(service.is_held("s"))


def test_whoever_is_released_is_known_by_his_name_as_well(
    shop: Shop, hosted: Callable[..., SitniksChatService]
) -> None:
    """The host's session of now may be one of which nothing is recorded, for the graph keeps silent in it."""
    talk = Talk(shop, hosted, build_main_graph)
    talk.escalates()
    service = talk.service
    assert asyncio.run(service.release("later")) is None
    assert asyncio.run(service.release("later", instagram_username="olena.example")) is None
    assert asyncio.run(service.is_held("s"))
    given = asyncio.run(service.release("later", instagram_username="Anna.Shop"))
    assert given
    assert (given.chat_id, given.manager_id) == (shop.chat, 101)
    assert not asyncio.run(service.is_held("later", instagram_username="anna.shop"))


def test_a_customer_whose_chat_cannot_be_read_yet_finds_the_person_there(shop: Shop) -> None:
    """His new session is recorded, and waits for the CRM to show whose the chat is: by his name it is held already."""
    service = shop.service(reply_budget=0.2)
    touch(service, "escalation")
    shop.shows("AI Увага", 102)
    wait_until(lambda: asyncio.run(service.is_held("s")))
    shop.sandbox.fault("hang", method="GET")
    touch(service, session="later")
    wait_until(lambda: asyncio.run(service.is_held("later")))
    assert shop.record("later").chat_id is None
    shop.sandbox.clear_faults()
