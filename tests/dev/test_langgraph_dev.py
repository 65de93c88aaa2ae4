"""Row 43: the example runs under `langgraph dev`, which refuses what would block an event loop, and the CRM follows."""

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mirt_sitniks.sandbox import Sandbox
from tests.dev.server import DevServer
from tests.service.shop import wait_until

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
BLOCKING = """
import time

from langgraph.graph import END, START, MessagesState, StateGraph


async def block(state: MessagesState):
    time.sleep(0.01)


graph = StateGraph(MessagesState).add_node(block).add_edge(START, "block").add_edge("block", END).compile()
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A CRM that counts no calls: there are more conversations than a minute has room for."""
    with Sandbox(limit=False) as running:
        yield running


@pytest.fixture(scope="module")
def server(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    """The server with the example's own `langgraph.json`, and beside its graph one that blocks."""
    folder = tmp_path_factory.mktemp("dev")
    for name in ("main_graph.py", "stages.toml"):
        shutil.copy(EXAMPLES / name, folder)
    config = json.loads((EXAMPLES / "langgraph.json").read_text())
    config["graphs"]["blocking"] = "./blocking.py:graph"
    (folder / "langgraph.json").write_text(json.dumps(config))
    (folder / "blocking.py").write_text(BLOCKING)
    crm = {"SNITKIX_API_URL": sandbox.url, "SNITKIX_API_KEY": sandbox.key, "SITNIKS_RATE_LIMIT": "10/0.1"}
    with DevServer(
        folder, SITNIKS_REPLY_BUDGET="60", SITNIKS_DATABASE=str(folder / "sitniks.sqlite3"), **crm
    ) as running:
        yield running


def test_the_example_is_served(server: DevServer, sandbox: Sandbox) -> None:
    """All turns run and are synced, one conversation after the other and many at once, and nothing of ours blocks: not
    the graph, the service's own thread, nor the worker, while what does block is refused there.

    One test, for the server takes longer to start than all of it.
    """
    a_conversation(server, sandbox)
    many_conversations_at_once(server, sandbox)
    assert "BlockingError" not in server.log
    what_blocks_is_refused(server)


def said(text: str, session: str) -> dict[str, Any]:
    """The input of a turn, as a client in another language sends it."""
    client = {"fullname": "Олена Приклад", "phone": "0671234567"}
    who = {"instagram_username": f"{session}.example", "client": client}
    return {"messages": [{"role": "user", "content": text}], "session_id": session, "metadata": who}


def a_conversation(server: DevServer, sandbox: Sandbox) -> None:
    """Thread, run, custom stream, interrupt and resume over the HTTP API: each turn is synced, the chat shows each
    stage, the order is made once, and nothing is said while a person has the conversation."""
    chat, thread = sandbox.add_chat("olena.example"), server.thread()
    sandbox.add_variation("VOLOSHKA", price=980, title="Сукня «Волошка»")

    def status() -> str:
        return str(sandbox.chat(chat)["status"])

    state = server.run(thread, input=said("Є лляна сукня?", "olena"))
    assert (state["sitniks"]["stage"], state["sitniks"]["outcome"]) == ("first_touch", "synced")
    assert status() == "Взято в роботу"

    (event,) = server.stream(thread, "custom", input=said("Беру! Надішліть реквізити", "olena"))
    assert (event["sitniks"]["stage"], event["sitniks"]["outcome"]) == ("give_requisites", "synced")
    assert status() == "Виставлено рахунок"
    assert [one["question"] for one in server.waits_for(thread)] == ["Чи надійшла оплата?"]

    state = server.run(thread, command={"resume": True})
    assert state["sitniks_order"]["outcome"] == "created"
    assert len(sandbox.orders()) == 1
    assert status() == "Оформлено замовлення"

    state = server.run(thread, input=said("Прийшов не той колір, покличте менеджера", "olena"))
    assert (state["sitniks"]["stage"], state["sitniks"]["outcome"]) == ("escalation", "synced")
    assert status() == "AI Увага"

    state = server.run(thread, input=said("Ви тут?", "olena"))
    assert (state["messages"][-1]["type"], state["messages"][-1]["content"]) == ("human", "Ви тут?")
    assert server.statuses(thread) == {"success"}


def many_conversations_at_once(server: DevServer, sandbox: Sandbox) -> None:
    """Twelve customers write at once, two turns each: all runs succeed, and all chats show where they are."""
    names = [f"customer{number}" for number in range(12)]
    chats = [sandbox.add_chat(f"{name}.example") for name in names]

    def talk(name: str) -> list[Any]:
        thread = server.thread()
        first = server.run(thread, input=said("Який розмір на 110?", name))
        last = server.run(thread, input=said("Покличте людину", name))
        return [first["sitniks"]["outcome"], last["sitniks"]["outcome"], *server.statuses(thread)]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(talk, names)) == [["synced", "synced", "success"]] * 12
    wait_until(lambda: {sandbox.chat(chat)["status"] for chat in chats} == {"AI Увага"})


def what_blocks_is_refused(server: DevServer) -> None:
    """The server does watch its event loops: a node that sleeps in one fails."""
    ended = server.run(server.thread(), "blocking", input={"messages": []})
    assert ended["__error__"]["error"] == "BlockingError"
