"""The graph keeps silent while a person has the conversation, by what the store says, else by what the state does."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command
from pydantic import BaseModel

from examples.main_graph import build_main_graph
from examples.payment_loop import build_payment_loop
from mirt_sitniks import SitniksChatService, SitniksSettings, SitniksState, human_has_chat
from mirt_sitniks.core.record import Record
from mirt_sitniks.core.text import iso
from mirt_sitniks.errors import StoreError
from mirt_sitniks.stores.memory import MemoryStore
from tests.graph.fakes import FakeService, Run, by_ainvoke, by_invoke

THREAD: Any = {"configurable": {"thread_id": "t1"}}


class Asked(FakeService):
    """Answers `held`, or raises it, and keeps which sessions it was asked for."""

    def __init__(self, held: object) -> None:
        super().__init__()
        self.answer_of: object = held
        self.sessions: list[str] = []

    async def holds(self, wait: Any, session: str, **who: Any) -> bool | None:
        self.sessions.append(session)
        if isinstance(self.answer_of, Exception):
            raise self.answer_of
        return self.answer_of  # type: ignore[return-value]


class Typed(SitniksState):
    session_id: str
    answered: bool


@dataclass
class Data:
    session_id: str = ""
    sitniks: dict[str, Any] = field(default_factory=dict)
    answered: bool = False


class Model(BaseModel):
    session_id: str = ""
    sitniks: dict[str, Any] = {}
    answered: bool = False


def graph_of(schema: Any, service: Any, **options: Any) -> Any:
    """A graph that answers unless a person has the conversation."""
    builder = StateGraph(schema).add_node("agent", lambda state: {"answered": True})
    builder.add_conditional_edges(START, human_has_chat(service, **options), {True: END, False: "agent"})
    return builder.add_edge("agent", END).compile()


def held_until(hours: float, owner: str = "human") -> dict[str, Any]:
    """What the last sync left in the state."""
    return {"owner": owner, "held_until": iso((datetime.now(UTC) + timedelta(hours=hours)).timestamp())}


@pytest.fixture(params=[by_invoke, by_ainvoke], ids=["invoke", "ainvoke"])
def run(request: pytest.FixtureRequest) -> Run:
    found: Run = request.param
    return found


@pytest.mark.parametrize("schema", [Typed, Data, Model])
@pytest.mark.parametrize("held", [True, False])
def test_the_store_decides(schema: Any, held: bool, run: Run) -> None:
    """Of whichever shape the state is, by both doors, and whatever the state says of it."""
    service = Asked(held)
    state = run(graph_of(schema, service), {"session_id": "s1", "sitniks": held_until(1 if not held else -1)}, THREAD)
    assert bool(state.get("answered")) is not held
    assert service.sessions == ["s1"]


@pytest.mark.parametrize("schema", [Typed, Data, Model])
@pytest.mark.parametrize("silence", [None, RuntimeError("a bug")], ids=["unknown", "raises"])
@pytest.mark.parametrize(
    ("last", "answered"),
    [
        (held_until(1), False),
        (held_until(-1), True),
        (held_until(1, "ai"), True),
        ({"owner": "human", "held_until": None}, True),
        ({"owner": "human", "held_until": "soon"}, True),
        ({}, True),
    ],
    ids=["held", "over", "the graph's", "no end", "no time", "nothing"],
)
def test_the_state_decides_when_the_store_does_not(
    schema: Any, silence: object, last: dict[str, Any], answered: bool, run: Run
) -> None:
    """A session that the store does not know, a store that is away and a bug: the last sync's word counts, and only
    until its time is over, so that nobody is locked out."""
    state = run(graph_of(schema, Asked(silence)), {"session_id": "s1", "sitniks": last}, THREAD)
    assert bool(state.get("answered")) is answered


class Raises:
    """What a host's own value may be: anything that it is asked raises."""

    def _raise(self, *args: object) -> bool:
        raise ValueError

    __bool__ = __eq__ = _raise  # type: ignore[assignment]
    __str__ = _raise  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("key", ["owner", "held_until"])
def test_whatever_the_state_holds_nothing_raises(key: str) -> None:
    """A value that raises when it is compared or read is no person's hold."""
    route = human_has_chat(Asked(None))
    assert route.invoke({"session_id": "s1", "sitniks": {**held_until(1), key: Raises()}}) is False


def test_a_bug_is_logged_without_words_of_the_customer(caplog: pytest.LogCaptureFixture) -> None:
    """What raised is named by its type and place."""
    caplog.set_level(logging.ERROR, "mirt_sitniks")
    by_invoke(graph_of(Typed, Asked(RuntimeError("secret"))), {"session_id": "s1"})
    assert "RuntimeError at" in caplog.text
    assert "secret" not in caplog.text


class Renamed(BaseModel):
    who: dict[str, str] = {}
    answered: bool = False


@dataclass
class RenamedData:
    who: dict[str, str] = field(default_factory=dict)
    answered: bool = False


@pytest.mark.parametrize("schema", [Renamed, RenamedData])
def test_a_host_has_its_own_names(schema: Any, run: Run) -> None:
    """`reads` finds the session under the host's keys, in a state of any shape; without any, the thread is it."""
    service = Asked(True)
    run(graph_of(schema, service, reads={"metadata": "who"}), {"who": {"session_id": "s7"}}, THREAD)
    run(graph_of(schema, service), {"who": {"session_id": "s7"}}, THREAD)
    assert service.sessions == ["s7", "t1"]


@pytest.mark.parametrize("broken", ["slow", "away"])
def test_a_store_that_is_away_holds_up_nobody(broken: str, run: Run) -> None:
    """One that does not answer is waited for 50 ms, one that refuses not at all: then the state tells."""
    released = threading.Event()

    class Away(MemoryStore):
        async def get(self, session: str) -> Record | None:
            if broken == "away":
                raise StoreError("away")
            await asyncio.get_running_loop().run_in_executor(None, released.wait)
            return None

    settings = SitniksSettings(api_url="http://127.0.0.1:9", api_key="k", _env_file=None)
    with SitniksChatService(settings, store=Away(time.monotonic, time.time), worker=False) as service:
        graph = graph_of(Typed, service)
        silent = run(graph, {"session_id": "s1", "sitniks": held_until(1)}, THREAD)
        answered = run(graph, {"session_id": "s1", "sitniks": held_until(-1)}, THREAD)
        released.set()
    assert (silent.get("answered"), answered["answered"]) == (None, True)


@pytest.mark.parametrize("build", [build_main_graph, build_payment_loop])
def test_the_examples_keep_silent(build: Callable[..., Any], run: Run) -> None:
    """Nothing is answered and nothing synced while a person has the conversation; what the customer writes stays in the
    state for when the graph has it back."""
    service = FakeService()
    graph = build(service, checkpointer=InMemorySaver())

    def says(text: str) -> dict[str, Any]:
        state: dict[str, Any] = run(graph, {"messages": [HumanMessage(text)], "session_id": "s1"}, THREAD)
        return state

    says("Добрий день")
    before = list(service.stages)
    service.held = True
    state = says("Покличте менеджера, беру")
    assert isinstance(state["messages"][-1], HumanMessage)
    assert service.stages == before
    service.held = False
    state = says("Дякую")
    assert isinstance(state["messages"][-1], AIMessage)
    assert [one.text for one in state["messages"] if isinstance(one, HumanMessage)][1] == "Покличте менеджера, беру"


def test_a_pause_that_a_person_ends_goes_on(run: Run) -> None:
    """Whoever has the conversation may confirm a payment: a resume passes no door."""
    service = FakeService()
    graph = build_main_graph(service, checkpointer=InMemorySaver())
    run(graph, {"messages": [HumanMessage("Беру! Реквізити?")], "session_id": "s1"}, THREAD)
    service.held = True
    state = run(graph, Command(resume=True), THREAD)
    assert state["current_state"] == "paid"
