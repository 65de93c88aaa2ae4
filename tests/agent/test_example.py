"""The example of an agent says what it promises, over real HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from examples.agent import CONVERSATION, build_agent, rehearsed
from mirt_sitniks.sandbox import Sandbox
from tests.graph.fakes import Run, by_ainvoke, by_invoke
from tests.service.shop import Shop

SHOWN = ["Взято в роботу", "Виставлено рахунок", "AI Увага"]


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A shop in a sandbox that keeps every rule but the limit, and holds no reply short."""
    with Sandbox(limit=False) as sandbox:
        made = Shop(sandbox, {"rate_limit": "10/0.1", "reply_budget": 60.0})
        yield made
        made.close()


@pytest.mark.parametrize("run", [by_invoke, by_ainvoke], ids=["invoke", "ainvoke"])
def test_the_conversation(run: Run, shop: Shop) -> None:
    """Each of its turns has its stage, and the chat shows it when the agent has answered; the reason is kept."""
    service = shop.service()
    agent = build_agent(service, rehearsed(), checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "example"}}
    told = []
    for text, lines in CONVERSATION:
        state = run(agent, {"messages": [HumanMessage(text)], "instagram_username": "anna.shop"}, config)
        assert state["messages"][-1].text == lines[-1].text
        told.append((state["sitniks"]["outcome"], shop.sandbox.chat(shop.chat)["status"]))
    assert told == [("synced", status) for status in SHOWN]
    assert shop.sandbox.chat(shop.chat)["assignedManagerId"] != 101
