"""An agent of LangChain with the middleware: each stage when it is reached, once, and what the model is told."""

import asyncio
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from langchain.agents import AgentState
from langchain.agents.middleware import AgentMiddleware, HumanInTheLoopMiddleware, ToolRetryMiddleware
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from mirt_sitniks.agent import SitniksMiddleware
from mirt_sitniks.agent.escalation import words
from mirt_sitniks.agent.results import has_failed, joined
from mirt_sitniks.core.result import Outcome, SyncResult
from mirt_sitniks.core.stages import BUILT_IN, StageRule
from mirt_sitniks.errors import ConfigError
from tests.agent.fakes import DONE, agent, answer_of, calls, escalates
from tests.cli.process import environment
from tests.graph.fakes import AT, FakeService, Run, by_ainvoke, by_invoke

THREAD: Any = {"configurable": {"thread_id": "t1"}}
TOUCHED, SHOWN, CALLED = (("s1", stage) for stage in ("first_touch", "give_requisites", "escalation"))

SIDE_BY_SIDE = pytest.mark.requires("langchain>=1.2.10")


@pytest.fixture(params=[by_invoke, by_ainvoke], ids=["invoke", "ainvoke"])
def run(request: pytest.FixtureRequest) -> Run:
    found: Run = request.param
    return found


def said(text: str = "Доброго дня", number: int = 1, **more: Any) -> dict[str, Any]:
    who = {"session_id": "s1", "instagram_username": "olena.example"}
    return {"messages": [HumanMessage(text, id=f"h{number}")], **who, **more}


class TestStages:
    @pytest.mark.parametrize("saver", [None, InMemorySaver], ids=["without", "with"])
    def test_a_conversation(self, saver: Any, run: Run) -> None:
        """First touch before the model, the tool's stage behind the tool, an escalation by the model's own tool: a
        host says no more than `middleware=[SitniksMiddleware(service, stages=...)]`."""
        service = FakeService()

        def touched(messages: Any) -> Any:
            assert service.effects == [TOUCHED]
            return calls("send_payment_details")

        graph = agent(service, touched, escalates("Не той розмір"), DONE, checkpointer=saver and saver())
        state = run(graph, said(), THREAD)
        assert service.effects == [TOUCHED, SHOWN, CALLED]
        assert {call["instagram_username"] for call in service.calls} == {"olena.example"}
        assert service.calls[-1]["reason"] == "Не той розмір"
        assert (state["sitniks"]["stage"], state["sitniks"]["outcome"]) == ("escalation", "synced")
        assert answer_of(state, "send_payment_details") == "IBAN UA00"
        assert answer_of(state, "escalate_to_manager") == words(state["sitniks"])

    @pytest.mark.parametrize("overlap", [False, pytest.param(True, marks=SIDE_BY_SIDE)])
    def test_what_the_model_tells_is_said(self, overlap: bool, run: Run) -> None:
        """All that it says to the customer, before a tool and at the end, is the graph's own when it comes back."""
        service = FakeService()
        wish = calls("send_payment_details")
        first = wish.model_copy(update={"content": "Хвилинку, надсилаю реквізити"})
        run(agent(service, first, DONE, overlap=overlap), said(), THREAD)
        assert service.told == [("s1", ["Хвилинку, надсилаю реквізити"]), ("s1", ["Готово"])]

    def test_a_thread_is_touched_once(self, run: Run) -> None:
        """The second turn asks for no first touch, and its escalation is an event of its own."""
        service = FakeService()
        graph = agent(service, escalates(), DONE, escalates(), DONE, checkpointer=InMemorySaver())
        run(graph, said(number=1), THREAD)
        run(graph, {"messages": [HumanMessage("ще", id="h2")]}, THREAD)
        assert service.effects == [TOUCHED, CALLED, CALLED]

    def test_the_thread_is_the_session_of_who_has_none(self, run: Run) -> None:
        """A host that gives a thread alone has a session."""
        service = FakeService()
        run(agent(service, DONE), {"messages": [HumanMessage("х")]}, THREAD)
        assert service.effects == [("t1", "first_touch")]

    def test_tools_side_by_side(self, run: Run) -> None:
        """Two mapped tools and an escalation in one answer of the model are three stages' events."""
        service = FakeService()
        graph = agent(service, calls("send_payment_details", "escalate_to_manager", reason="х"), DONE)
        assert len(run(graph, said())["messages"]) == 5
        assert sorted(service.effects) == sorted([TOUCHED, SHOWN, CALLED])

    def test_a_tool_that_fails_reaches_no_stage(self, run: Run) -> None:
        """An error that the model is told of, as a message or a command, and one that ends the turn."""

        @tool
        def told(call: Annotated[str, InjectedToolCallId]) -> Command[Any]:
            """Say that it failed."""
            return Command(update={"messages": [ToolMessage("no", tool_call_id=call, status="error")]})

        def kept() -> str:
            """Raise."""
            raise ToolException("no")

        kept_tool = tool(kept)
        kept_tool.handle_tool_error = True
        service = FakeService()
        stages = dict.fromkeys(("told", "kept"), "give_requisites")
        run(agent(service, calls("told", "kept"), DONE, tools=[told, kept_tool], stages=stages), said())
        assert service.effects == [TOUCHED]
        with pytest.raises(ToolException):
            run(agent(service, calls("kept"), tools=[tool(kept)], stages=stages), said())
        assert service.effects == [TOUCHED]

    def test_a_tool_that_writes_the_state(self, run: Run) -> None:
        """What a tool's command writes stays, with the sync's outcome beside it."""

        class State(AgentState[Any]):
            invoice: str

        @tool
        def send_payment_details(call: Annotated[str, InjectedToolCallId]) -> Command[Any]:
            """Send the payment details."""
            return Command(update={"messages": [ToolMessage("ok", tool_call_id=call)], "invoice": "7"})

        state = run(
            agent(FakeService(), calls("send_payment_details"), DONE, tools=[send_payment_details], state_schema=State),
            said(),
        )
        assert (state["invoice"], state["sitniks"]["stage"]) == ("7", "give_requisites")

    def test_a_rule_is_asked_when_the_agent_has_answered(self, run: Run) -> None:
        """A function of the state sees the whole turn, and is asked once."""
        asked: list[int] = []

        def rule(state: Any) -> str | None:
            asked.append(len(state["messages"]))
            return "give_requisites" if "IBAN" in str(state["messages"]) else None

        service = FakeService()
        graph = agent(service, DONE, calls("send_payment_details"), DONE, stages=rule, checkpointer=InMemorySaver())
        run(graph, said(), THREAD)
        assert service.effects == [TOUCHED]
        run(graph, said("Беру", 2), THREAD)
        assert (service.effects, asked) == ([TOUCHED, SHOWN], [2, 6])

    def test_a_hosts_own_state(self, run: Run) -> None:
        """Its keys keep their reducers, and those that `reads` and `event` name are read."""

        class State(AgentState[Any]):
            login: str
            why: str
            metadata: Annotated[dict[str, Any], lambda left, right: {**(left or {}), **right}]

        service = FakeService()
        reads = {"instagram_username": "login", "escalation_reason": "why"}
        options: Any = {"reads": reads, "event": lambda state: "cart 7", "state_schema": State}
        graph = agent(service, escalates("Бо так"), DONE, DONE, checkpointer=InMemorySaver(), **options)
        value = {"messages": [HumanMessage("х")], "login": "iryna.example", "metadata": {"session_id": "s1"}}
        run(graph, value, THREAD)
        state = run(graph, {"messages": [HumanMessage("у")], "metadata": {"more": 1}}, THREAD)
        assert state["metadata"] == {"session_id": "s1", "more": 1}
        call = service.calls[-1]
        assert (call["session"], call["instagram_username"], call["reason"]) == ("s1", "iryna.example", "Бо так")
        assert call["intent"] == ("escalation:cart 7",)

    def test_events_are_told(self) -> None:
        """Who streams `custom` hears of each sync."""
        graph = agent(FakeService(), calls("send_payment_details"), escalates(), DONE)
        told = [event["sitniks"]["stage"] for event in graph.stream(said(), stream_mode="custom")]
        assert told == ["first_touch", "give_requisites", "escalation"]


class TestRunsAgain:
    @pytest.mark.parametrize("name", ["send_payment_details", "escalate_to_manager"])
    @pytest.mark.parametrize(
        ("decision", "reached"),
        [
            ({"type": "approve"}, True),
            ({"type": "reject"}, False),
            pytest.param({"type": "respond", "message": "я сама"}, False, marks=pytest.mark.requires("langchain>=1.3")),
        ],
        ids=["approve", "reject", "respond"],
    )
    def test_a_person_in_the_loop(self, name: str, decision: Any, reached: bool, run: Run) -> None:
        """Row 1: a stage waits for the person who has to approve its tool; a call that he takes away, or answers
        himself, reaches none."""
        service = FakeService()
        allowed: Any = {"allowed_decisions": [decision["type"]]}
        graph = agent(
            service,
            calls(name, **({"reason": "х"} if name == "escalate_to_manager" else {})),
            DONE,
            beside=[HumanInTheLoopMiddleware({name: allowed})],
            checkpointer=InMemorySaver(),
        )
        assert "__interrupt__" in run(graph, said(), THREAD)
        assert service.effects == [TOUCHED]
        run(graph, Command(resume={"decisions": [decision]}), THREAD)
        stage = SHOWN if name == "send_payment_details" else CALLED
        assert service.effects == [TOUCHED, *([stage] if reached else [])]
        assert len(service.calls) == len(service.effects)

    def test_a_tool_that_waits_beside_an_escalation(self, run: Run) -> None:
        """Row 1: a tool that interrupts reaches its stage when resumed; the escalation beside it is asked for once."""

        @tool
        def send_payment_details() -> str:
            """Send the payment details."""
            return str(interrupt("Надіслати?"))

        service = FakeService()
        wish = calls("send_payment_details", "escalate_to_manager", reason="х")
        graph = agent(service, wish, DONE, tools=[send_payment_details], checkpointer=InMemorySaver())
        run(graph, said(), THREAD)
        assert service.effects == [TOUCHED, CALLED]
        run(graph, Command(resume="так"), THREAD)
        assert service.effects == [TOUCHED, CALLED, SHOWN]

    @pytest.mark.parametrize("name", ["send_payment_details", "escalate_to_manager"])
    def test_a_model_that_fails_behind_the_tool(self, name: str, run: Run) -> None:
        """Row 1: taken up again behind the tool, or asked again by the customer's repeated message, it is one event."""
        service = FakeService()
        wish = calls(name, **({"reason": "х"} if name == "escalate_to_manager" else {}))
        graph = agent(service, wish, RuntimeError("down"), DONE, wish, DONE, checkpointer=InMemorySaver())
        with pytest.raises(RuntimeError):
            run(graph, said(), THREAD)
        run(graph, None, THREAD)
        assert len(service.calls) == 2
        run(graph, said(), THREAD)
        assert len(service.effects) == 2

    def test_a_tool_that_is_tried_again(self, run: Run) -> None:
        """What fails and is tried again within the call reaches its stage once, when it has succeeded."""
        tries: list[int] = []

        @tool
        def send_payment_details() -> str:
            """Send the payment details."""
            tries.append(1)
            if len(tries) < 3:
                raise OSError
            return "IBAN"

        service = FakeService()
        again = ToolRetryMiddleware(max_retries=3, initial_delay=0.0, backoff_factor=0.0, jitter=False)
        run(agent(service, calls("send_payment_details"), DONE, tools=[send_payment_details], beside=[again]), said())
        assert (len(tries), service.effects) == (3, [TOUCHED, SHOWN])

    @pytest.mark.parametrize("name", ["send_payment_details", "escalate_to_manager"])
    def test_a_replay_and_a_fork(self, name: str, run: Run) -> None:
        """Row 2: replayed from before the tool, however the model calls it then, it is one event; other words are a new
        one."""
        service = FakeService()
        args = {"reason": "х"} if name == "escalate_to_manager" else {}
        graph = agent(
            service, calls(name, **args), DONE, *[calls("x", name, **args), DONE] * 2, checkpointer=InMemorySaver()
        )
        run(graph, said(), THREAD)
        before = next(
            one
            for one in graph.get_state_history(THREAD)
            if one.next == ("model",) and len(one.values["messages"]) == 1
        )
        run(graph, None, before.config)
        assert len(service.effects) == 2
        fork = graph.update_state(before.config, {"messages": [HumanMessage("Інше", id="h1")]})
        run(graph, None, fork)
        assert len(service.effects) == 3


class TestEscalation:
    def test_the_model_gives_a_reason_and_nothing_else(self) -> None:
        """It has one tool of ours, with one argument: no status, no chat, no stage is its to choose."""
        only: Any = SitniksMiddleware(FakeService()).tools[0]
        assert (only.name, list(only.tool_call_schema.model_json_schema()["properties"])) == (
            "escalate_to_manager",
            ["reason"],
        )
        assert SitniksMiddleware(FakeService(), escalate_when=None).tools == []
        (own,) = SitniksMiddleware(FakeService(), escalate_when="Лише скарги").tools
        assert own.description == "Лише скарги"

    def test_every_outcome_has_its_words(self) -> None:
        """Each is told, and none but the two that a person's doing stands behind claims more than a record."""
        told = {outcome: words({"outcome": outcome.value, "reason": None}) for outcome in Outcome}
        assert len(set(told.values())) == len(Outcome)
        promised = {outcome for outcome, text in told.items() if "shows" in text or "has this" in text}
        assert promised == {Outcome.SYNCED, Outcome.PARTIAL, Outcome.HELD}
        refused = {outcome for outcome, text in told.items() if text.startswith("No manager was asked")}
        assert refused == {Outcome.DISABLED, Outcome.FAILED, Outcome.SKIPPED}
        assert "before" in words({"outcome": "skipped", "reason": "replay"})

    def test_it_never_raises(self, run: Run) -> None:
        """A service that breaks its promise costs the model an honest answer, and the customer nothing."""
        state = run(agent(FakeService(raises=RuntimeError("secret")), escalates(), DONE), said())
        assert state["messages"][-1].text == "Готово"
        assert answer_of(state, "escalate_to_manager").startswith("No manager was asked")
        assert state["sitniks"]["outcome"] == "failed"


@SIDE_BY_SIDE
class TestOverlap:
    def test_the_model_does_not_wait(self) -> None:
        """Each goes on only when the other has begun; the state has the outcome, and it is asked for once."""
        both, service = asyncio.Barrier(2), FakeService()

        class Meeting(FakeService):
            async def sync(self, *args: Any, **about: Any) -> Any:
                await both.wait()
                return await service.sync(*args, **about)

        class Waiting(AgentMiddleware[Any, Any]):
            async def awrap_model_call(self, request: Any, handler: Any) -> Any:
                await both.wait()
                return await handler(request)

        async def turn() -> Any:
            graph = agent(Meeting(), DONE, overlap=True, inside=[Waiting()])
            async with asyncio.timeout(30.0):
                return await graph.ainvoke(said())

        state = asyncio.run(turn())
        assert (state["sitniks"]["outcome"], service.effects) == ("synced", [TOUCHED])

    def test_the_model_does_not_wait_without_a_loop(self) -> None:
        """The same with threads."""
        both = threading.Barrier(2, timeout=30.0)

        class Meeting(FakeService):
            def sync_blocking(self, *args: Any, **about: Any) -> Any:
                both.wait()
                return super().sync_blocking(*args, **about)

        def meeting(messages: Any) -> Any:
            both.wait()
            return DONE

        state = agent(Meeting(), meeting, overlap=True).invoke(said())
        assert state["sitniks"]["outcome"] == "synced"

    def test_a_model_that_fails_loses_nothing(self, run: Run) -> None:
        """The turn fails as it would; taken up again, the first touch is there, once."""
        service = FakeService()
        graph = agent(service, RuntimeError("down"), DONE, overlap=True, checkpointer=InMemorySaver())
        with pytest.raises(RuntimeError, match="down"):
            run(graph, said(), THREAD)
        assert run(graph, None, THREAD)["sitniks"]["outcome"] == "synced"
        assert service.effects == [TOUCHED]


class TestSilent:
    @pytest.mark.parametrize(
        "options",
        [{}, pytest.param({"overlap": True}, marks=SIDE_BY_SIDE), {"stages": lambda state: "give_requisites"}],
    )
    def test_no_model_is_asked_while_a_person_has_the_conversation(self, options: dict[str, Any], run: Run) -> None:
        """Nothing is answered or synced then, the host's own rule is not asked either, and the customer's message stays
        for when the graph has the conversation back."""
        service = FakeService()
        graph = agent(service, DONE, DONE, silent=True, checkpointer=InMemorySaver(), **options)
        run(graph, said(number=1), THREAD)
        before = list(service.effects)
        service.held = True
        state = run(graph, said("Ви тут?", 2), THREAD)
        assert (state["messages"][-1].text, service.effects) == ("Ви тут?", before)
        service.held = False
        state = run(graph, said("Дякую", 3), THREAD)
        assert [one.text for one in state["messages"]] == ["Доброго дня", "Готово", "Ви тут?", "Дякую", "Готово"]

    def test_who_does_not_ask_for_it_answers(self, run: Run) -> None:
        """Without `silent` the store is not asked, and the model answers as before."""
        service = FakeService()
        service.held = True
        assert run(agent(service, DONE), said())["messages"][-1].text == "Готово"

    def test_a_host_has_its_own_names(self, run: Run) -> None:
        """The session is found where `reads` says."""
        asked: list[str] = []

        class Service(FakeService):
            async def holds(self, wait: Any, session: str, **who: Any) -> bool:
                asked.append(session)
                return True

        class State(AgentState[Any]):
            customer: str

        graph = agent(Service(), silent=True, reads={"session_id": "customer"}, state_schema=State)
        run(graph, {**said(), "customer": "s7"})
        assert asked == ["s7"]


class TestWiring:
    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ({"service": FakeService}, "the class FakeService"),
            ({"stages": {"pay": "refund"}}, "stage='refund' is unknown: use one of first_touch"),
            ({"stages": "give_requisites"}, "stages is 'give_requisites': use a dict"),
            ({"stages": {"": "escalation"}}, "use a dict"),
            ({"stages": {"escalate_to_manager": "escalation"}}, "leave it out"),
            ({"stages": lambda: None}, "one parameter"),
            ({"event": "id"}, "event is 'id'"),
            ({"reads": {"username": "login"}}, "no sync reads"),
            ({"overlap": 1}, "overlap is 1"),
            ({"silent": None}, "silent is None"),
        ],
    )
    def test_what_cannot_work_is_refused(self, options: dict[str, Any], named: str) -> None:
        """Where it is made, with the value and the cure."""
        with pytest.raises(ConfigError, match=named):
            SitniksMiddleware(**{"service": FakeService(), **options})

    def test_a_shops_own_stage(self, run: Run) -> None:
        """A tool reaches any stage of the service's settings, spelt as people spell it."""

        class Shop(FakeService):
            settings: Any = SimpleNamespace(rules={**BUILT_IN, "paid": StageRule("ОПЛАЧЕНО")})

            def answer(self, door: str, stage: Any, session: str, arguments: Any) -> SyncResult:
                self.effects.append((session, stage))
                return SyncResult(stage, AT, Outcome.SYNCED)

        service = Shop()
        run(agent(service, calls("send_payment_details"), DONE, stages={"send_payment_details": "Paid"}), said())
        assert service.effects == [TOUCHED, ("s1", "paid")]

    @pytest.mark.requires("langchain<1.2")
    def test_overlap_says_what_it_needs(self) -> None:
        """An older version is refused with the one that can."""
        with pytest.raises(ConfigError, match="langchain>="):
            SitniksMiddleware(FakeService(), overlap=True)

    def test_a_subclass_keeps_its_own(self, run: Run) -> None:
        """A host's subclass overrides what it wants, and has its name in the graph."""

        class Mine(SitniksMiddleware):
            def wrap_tool_call(self, request: Any, handler: Any) -> Any:
                return handler(request)

            async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
                return await handler(request)

        assert isinstance(Mine(FakeService()), Mine)
        assert Mine(FakeService()).name == "Mine"

    def test_results_of_all_forms(self) -> None:
        """A tool's result keeps its form where it can; one bound for another graph stays as it is."""
        update, message = {"sitniks": {"at": "x"}}, ToolMessage("ok", tool_call_id="1")
        bad = ToolMessage("no", tool_call_id="1", status="error")
        assert joined(message, {"sitniks": {}}) is message
        assert joined([message], update) == [message, Command(update=update)]
        away: Any = Command(graph=Command.PARENT, update={"messages": [message]})
        assert joined(away, update) is away
        assert joined(Command(update={"a": 1}), update).update == {"a": 1, **update}
        assert [has_failed(one) for one in (message, [message], away, bad, [message, bad])] == [False] * 3 + [True] * 2


def test_who_has_no_agent_does_without_langchain() -> None:
    """The package, its graph and its orders are used where LangChain is not installed."""
    code = "import sys; sys.modules['langchain'] = None; import mirt_sitniks, mirt_sitniks.orders as o"
    code += "; mirt_sitniks.add_subgraph, o.add_order_subgraph"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment(), check=True)
