"""Fault rows 1, 2 and 28 at the graph: what runs again is recorded once."""

import asyncio
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, RetryPolicy, interrupt

from examples.main_graph import build_main_graph
from examples.payment_loop import build_payment_loop
from mirt_sitniks.graph import add_subgraph
from tests.graph.fakes import FakeService, Run, by_ainvoke, by_invoke

THREAD: Any = {"configurable": {"thread_id": "s1"}}


@pytest.fixture(params=[by_invoke, by_ainvoke], ids=["invoke", "ainvoke"])
def run(request: pytest.FixtureRequest) -> Run:
    found: Run = request.param
    return found


def said(text: str, number: int) -> dict[str, Any]:
    return {
        "messages": [HumanMessage(text, id=f"h{number}")],
        "session_id": "s1",
        "metadata": {"instagram_username": "iryna.example"},
    }


class State(MessagesState, total=False):
    session_id: str
    metadata: dict[str, Any]


def flaky_host(service: Any, failing: Any, **node: Any) -> Any:
    builder = StateGraph(State)
    builder.add_node("before", lambda state: {})
    builder.add_node("failing", failing, **node)
    builder.add_edge(START, "before")
    add_subgraph(builder, service=service, after="before", stage="escalation", then="failing")
    builder.add_edge("failing", END)
    return builder.compile(checkpointer=InMemorySaver())


class TestResume:
    def test_a_resume_syncs_nothing_again(self, run: Run) -> None:
        """The sync stands in a node of its own before the interrupt: a resume does not come by it."""
        service = FakeService()
        graph = build_main_graph(service, checkpointer=InMemorySaver())
        run(graph, said("Надішліть реквізити", 1), THREAD)
        assert service.stages == ["first_touch", "give_requisites"]
        run(graph, Command(resume=True), THREAD)
        assert service.stages == ["first_touch", "give_requisites", "paid"]
        assert graph.get_state(THREAD).values["dialog_phase"] == "order_confirmed"

    def test_what_a_manager_sets_meanwhile_stays(self, run: Run) -> None:
        """Row 28: a manager marks the chat as paid while the graph waits; the resume leaves it so."""
        service = FakeService()
        graph = build_main_graph(service, checkpointer=InMemorySaver())
        run(graph, said("Надішліть реквізити", 1), THREAD)
        service.crm["s1"] = "ОПЛАЧЕНО"
        run(graph, Command(resume=True), THREAD)
        assert service.crm["s1"] == "ОПЛАЧЕНО"

    def test_a_node_that_loops_to_itself_syncs_once(self, run: Run) -> None:
        """The original's form of payment: neither its resumes nor its own loop enter the sync in front of it."""
        service = FakeService()
        graph = build_payment_loop(service, checkpointer=InMemorySaver())
        for number, text in enumerate(["Беру", "Ірина Приклад, Київ, відділення 1"], 1):
            state = run(graph, said(text, number), THREAD)
        assert "IBAN" in state["__interrupt__"][0].value["reply"]
        assert service.effects == [("s1", "give_requisites")]
        service.crm["s1"] = "ОПЛАЧЕНО"
        run(graph, Command(resume="Оплатила, ось квитанція"), THREAD)
        state = run(graph, Command(resume=True), THREAD)
        assert state["dialog_phase"] == "order_confirmed"
        assert len(service.calls) == 1
        assert service.crm["s1"] == "ОПЛАЧЕНО"

    @pytest.mark.parametrize("where", ["interrupt_before", "interrupt_after"])
    def test_a_pause_at_the_sync_itself(self, where: str, run: Run) -> None:
        """A host may pause at the sync; when it goes on, the sync has taken place once."""
        service = FakeService()
        builder = StateGraph(State)
        builder.add_node("before", lambda state: {})
        builder.add_edge(START, "before")
        add_subgraph(builder, service=service, after="before", stage="escalation", then=END)
        pause: Any = {where: ["sitniks_sync_before"]}
        graph = builder.compile(checkpointer=InMemorySaver(), **pause)
        run(graph, said("х", 1), THREAD)
        run(graph, None, THREAD)
        assert service.effects == [("s1", "escalation")]
        assert graph.get_state(THREAD).values["sitniks"]["outcome"] == "synced"


class TestAgain:
    def test_a_retry_policy_behind_the_sync(self, run: Run) -> None:
        """A later node that is retried does not take the sync with it."""
        tries: list[int] = []

        def failing(state: State) -> dict[str, Any]:
            tries.append(1)
            if len(tries) < 3:
                raise ConnectionError
            return {}

        service = FakeService()
        policy = RetryPolicy(initial_interval=0.001, max_interval=0.001, jitter=False, max_attempts=3)
        run(flaky_host(service, failing, retry_policy=policy), said("х", 1), THREAD)
        assert len(tries) == 3
        assert len(service.calls) == 1

    def test_a_crash_behind_the_sync_and_a_second_try(self, run: Run) -> None:
        """After a crash the thread goes on from its last checkpoint: the sync is not run again."""
        broken = [True]

        def failing(state: State) -> dict[str, Any]:
            if broken:
                raise RuntimeError
            return {}

        service = FakeService()
        graph = flaky_host(service, failing)
        with pytest.raises(RuntimeError):
            run(graph, said("х", 1), THREAD)
        broken.clear()
        run(graph, None, THREAD)
        assert len(service.calls) == 1

    @pytest.mark.parametrize("with_messages", [True, False])
    def test_a_crash_in_the_sync_before_its_checkpoint(self, with_messages: bool, run: Run) -> None:
        """The node runs again with the intent it had, with a message to name the turn and without: one effect."""

        class Died(BaseException):
            pass

        service = FakeService()
        graph = flaky_host(service, lambda state: {})
        value = said("х", 1) if with_messages else {"session_id": "s1", "messages": []}
        service.raises = Died()
        with pytest.raises(Died):
            run(graph, value, THREAD)
        service.raises = None
        run(graph, None, THREAD)
        assert len(service.calls) == 2
        assert service.intents[0] == service.intents[1] is not None
        assert service.effects == [("s1", "escalation")]

    def test_a_cancelled_reply_is_cancelled(self) -> None:
        """A cancellation passes through the waiting node; the next try has the same intent."""
        service: Any = FakeService()
        graph = flaky_host(service, lambda state: {})
        answer = service.sync

        async def cancelled() -> None:
            entered = asyncio.Event()

            async def endless(stage: Any, **arguments: Any) -> Any:
                service.calls.append({"stage": stage, **arguments, "intent": [f"{stage}:{arguments['intent'][0]}"]})
                entered.set()
                await asyncio.Event().wait()

            service.sync = endless
            reply = asyncio.create_task(graph.ainvoke(said("х", 1), THREAD))
            await entered.wait()
            reply.cancel()
            await reply

        with pytest.raises(asyncio.CancelledError):
            asyncio.run(cancelled())
        service.sync = answer
        asyncio.run(graph.ainvoke(None, THREAD))
        assert service.intents == ["escalation:h1"] * 2

    def test_a_cancellation_that_nobody_asked_for_is_a_failure_of_the_service(self, run: Run) -> None:
        """A service whose loop closes may raise CancelledError by itself: the reply goes out all the same."""
        service = FakeService(raises=asyncio.CancelledError())
        graph = flaky_host(service, lambda state: {})
        run(graph, said("х", 1), THREAD)
        assert graph.get_state(THREAD).values["sitniks"]["outcome"] == "failed"

    @pytest.mark.blocks
    def test_one_graph_on_many_event_loops(self) -> None:
        """The node keeps nothing of an event loop: `asyncio.run` again and again, `invoke` inside a running loop."""
        service = FakeService()
        graph = flaky_host(service, lambda state: {})

        async def inside() -> None:
            graph.invoke(said("х", 3), THREAD)

        for number in (1, 2):
            asyncio.run(graph.ainvoke(said("х", number), THREAD))
        asyncio.run(inside())
        assert service.intents == ["escalation:h1", "escalation:h2", "escalation:h3"]


class TestReplay:
    """Row 2: an old checkpoint runs on, and what it syncs again is known."""

    def conversation(self, run: Run) -> tuple[FakeService, Any]:
        service = FakeService()
        graph = build_main_graph(service, checkpointer=InMemorySaver())
        run(graph, said("Надішліть реквізити", 1), THREAD)
        run(graph, Command(resume=True), THREAD)
        run(graph, said("Покличте менеджера", 2), THREAD)
        assert service.effects == [("s1", one) for one in ("first_touch", "give_requisites", "paid", "escalation")]
        return service, graph

    @pytest.mark.parametrize("node", ["sitniks_sync_memory", "sitniks_sync_payment"])
    def test_a_replay_has_the_intent_it_had(self, node: str, run: Run) -> None:
        """Run again from before a sync, the same intent comes; a newer one stands behind it: `skipped`, `replay`."""
        service, graph = self.conversation(run)
        before = len(service.calls)
        old = next(snapshot for snapshot in graph.get_state_history(THREAD) if node in snapshot.next)
        run(graph, None, old.config)
        assert set(service.intents[before:]) <= set(service.intents[:before])
        assert len(service.intents) > before
        assert len(service.effects) == 4
        assert service.crm["s1"] == "AI Увага"
        last = graph.get_state(THREAD).values["sitniks"]
        assert (last["outcome"], last["reason"]) == ("skipped", "replay")

    def test_a_replay_of_the_newest_is_driven_on(self, run: Run) -> None:
        """A known intent with nothing newer behind it reports as before."""
        service, graph = self.conversation(run)
        old = next(
            snapshot for snapshot in graph.get_state_history(THREAD) if "sitniks_sync_escalation" in snapshot.next
        )
        run(graph, None, old.config)
        assert len(service.effects) == 4
        assert graph.get_state(THREAD).values["sitniks"]["outcome"] == "synced"

    def test_a_fork_with_other_values_has_the_intent_it_had(self, run: Run) -> None:
        """A fork that changes anything but the customer's message is no new event."""
        service, graph = self.conversation(run)
        old = next(snapshot for snapshot in graph.get_state_history(THREAD) if "sitniks_sync_payment" in snapshot.next)
        fork = graph.update_state(old.config, {"dialog_phase": "forked"}, as_node="intent")
        run(graph, None, fork)
        assert service.intents[-1] == "give_requisites:h1"
        assert len(service.effects) == 4

    def test_a_fork_with_a_new_message_is_a_new_event(self, run: Run) -> None:
        """A fork in which the customer says something else is recorded, and the newest stage stands."""
        service, graph = self.conversation(run)
        old = next(snapshot for snapshot in graph.get_state_history(THREAD) if snapshot.next == ("intent",))
        run(graph, said("Беру! Надішліть реквізити", 9), old.config)
        assert service.effects[-1] == ("s1", "give_requisites")
        assert service.crm["s1"] == "Виставлено рахунок"

    def test_every_turn_is_a_new_event(self, run: Run) -> None:
        """The same words a turn later are a new intent; a first touch stays the one it was."""
        service = FakeService()
        graph = build_main_graph(service, checkpointer=InMemorySaver())
        for number in (1, 2, 3):
            run(graph, said("Покличте менеджера", number), THREAD)
        assert service.intents == ["first_touch", "escalation:h1", "escalation:h2", "escalation:h3"]


def test_interrupt_inside_the_stage_function_is_no_way_out(run: Run) -> None:
    """An edge cannot interrupt: such a function counts as one that raised."""
    service = FakeService()
    builder = StateGraph(State)
    builder.add_node("before", lambda state: {})
    builder.add_edge(START, "before")
    add_subgraph(builder, service=service, after="before", stage=lambda state: interrupt("?"), then=END)
    run(builder.compile(checkpointer=InMemorySaver()), said("х", 1), THREAD)
    assert service.calls == []
