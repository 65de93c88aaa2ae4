"""Rows 2, 28 and 43: a host whose messages have no lasting ids, over real HTTP and with a real store."""

from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph

from mirt_sitniks import SitniksState, add_subgraph
from tests.service.shop import Shop

THREAD: Any = {"configurable": {"thread_id": "s"}}


class State(MessagesState, SitniksState):
    session_id: str
    instagram_username: str


@pytest.mark.parametrize("node", ["__start__", "payment", "sitniks_sync_payment"])
def test_a_replay_writes_no_invoice_over_what_a_person_set(shop: Shop, tmp_path: Path, node: str) -> None:
    """Dicts without ids get other ones when the thread runs again from its input: the invoice is written once."""
    service = shop.service(database=str(tmp_path / "s.sqlite3"), rate_limit="10/0.5")
    builder = StateGraph(State)
    builder.add_node("payment", lambda state: {})
    builder.add_edge(START, "payment")
    add_subgraph(builder, service=service, after="payment", stage="give_requisites", then=END)
    graph = builder.compile(checkpointer=InMemorySaver())
    value: Any = {
        "session_id": "s",
        "instagram_username": "anna.shop",
        "messages": [{"role": "user", "content": "Беру"}],
    }
    assert graph.invoke(value, THREAD)["sitniks"]["outcome"] == "synced"
    shop.sandbox.person_sets(shop.chat, status="ОПЛАЧЕНО")
    old = next(one for one in graph.get_state_history(THREAD) if node in one.next)
    graph.invoke(None, old.config)
    assert shop.sandbox.chat(shop.chat)["status"] == "ОПЛАЧЕНО"
    assert sum(call.path.endswith("/status") for call in shop.sandbox.calls) == 1
