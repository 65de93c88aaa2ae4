"""The examples say what they promise."""

from typing import Any, ClassVar

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from examples.main_graph import build_main_graph
from examples.payment_loop import build_payment_loop
from mirt_sitniks.core.order_result import OrderOutcome, OrderResult
from mirt_sitniks.orders.problems import problems
from tests.graph.fakes import FakeService, by_invoke

THREAD: Any = {"configurable": {"thread_id": "s1"}}


def ask(graph: Any, text: str) -> dict[str, Any]:
    state: dict[str, Any] = by_invoke(graph, {"messages": [HumanMessage(text)], "session_id": "s1"}, THREAD)
    return state


@pytest.fixture
def service() -> Any:
    return FakeService()


class TestMainGraph:
    @pytest.mark.parametrize(
        ("text", "answer"),
        [
            ("Добрий день", "Підкажіть, що шукаєте"),
            ("Який розмір на 110?", "110-116"),
            ("Скільки йде доставка Новою поштою?", "Новою поштою щодня"),
            ("Покажіть сукні", "Волошка"),
            ("А є костюми?", "Мандри"),
            ("Дякую!", "Дякуємо"),
        ],
    )
    def test_a_question_is_answered_and_touches_once(self, text: str, answer: str, service: Any) -> None:
        """The agent answers from its table; the first message takes the chat into work, the second does not."""
        graph = build_main_graph(service, checkpointer=InMemorySaver())
        assert answer in ask(graph, text)["messages"][-1].text
        state = ask(graph, text)
        assert service.stages == ["first_touch"]
        assert state["step_number"] == 2
        assert state["sitniks"]["stage"] == "first_touch"

    def test_what_it_tells_is_said(self, service: Any) -> None:
        """Each text of the graph is its own when it comes back: the answer, the requisites, the farewell."""
        graph = build_main_graph(service)
        replies = [ask(graph, text)["messages"][-1].text for text in ("А є костюми?", "Беру", "Покличте менеджера")]
        assert service.told == [("s1", [reply]) for reply in replies]

    @pytest.mark.parametrize("text", ["Хочу оформити повернення", "Покличте менеджера", "Прийшов не той розмір"])
    def test_a_complaint_goes_to_a_person(self, text: str, service: Any) -> None:
        """A complaint in the first message is a first touch and an escalation."""
        state = ask(build_main_graph(service), text)
        assert "менеджеру" in state["messages"][-1].text
        assert service.stages == ["first_touch", "escalation"]
        assert service.calls[-1]["reason"] == "Клієнт просить допомоги менеджера"

    def test_abuse_goes_to_a_person_at_once(self, service: Any) -> None:
        """Moderation escalates before the memory is asked: no first touch."""
        state = ask(build_main_graph(service), "Ви шахраї")
        assert service.stages == ["escalation"]
        assert state["escalation_reason"] == "Різкі слова від клієнта"

    @pytest.mark.parametrize(("confirmed", "stages"), [(True, ["paid"]), (False, ["escalation"])])
    def test_a_person_confirms_the_payment_or_not(self, confirmed: bool, stages: list[str], service: Any) -> None:
        """The requisites are shown and the graph waits; what is not confirmed goes to a person."""
        graph = build_main_graph(service, checkpointer=InMemorySaver())
        state = ask(graph, "Беру! Надішліть реквізити")
        assert "IBAN UA00" in state["messages"][-1].text
        assert state["__interrupt__"][0].value == {"question": "Чи надійшла оплата?", "session_id": "s1"}
        state = by_invoke(graph, Command(resume=confirmed), THREAD)
        assert service.stages == ["first_touch", "give_requisites", *stages]
        assert ("Оплату отримали" in state["messages"][-1].text) is confirmed

    @pytest.mark.parametrize(
        ("outcome", "answer", "last"),
        [
            ("created", "Ваше замовлення №7: зберемо його сьогодні", "order_placed"),
            ("queued", "Номер замовлення надішлемо згодом.", "order_placed"),
            ("disabled", "дякуємо! Зберемо замовлення сьогодні", "paid"),
            ("refused", "менеджеру", "escalation"),
            ("unknown", "менеджеру", "escalation"),
            ("failed", "менеджеру", "escalation"),
        ],
    )
    def test_the_number_of_the_order_is_told(self, outcome: str, answer: str, last: str, service: Any) -> None:
        """Who has paid hears the number, or that it follows, and the chat shows it; an order that is not made goes to
        a person."""

        class Orders:
            account = "main"
            asked: ClassVar[list[Any]] = []

            async def create_order(self, order: Any, *, external_id: str, **_: Any) -> OrderResult:
                self.asked.append(order)
                error = None if outcome == "created" else {"code": "x", "message": "y"}
                return OrderResult(OrderOutcome(outcome), external_id, "1", "7", error)

        graph: Any = build_main_graph(service, orders=Orders(), checkpointer=InMemorySaver())  # type: ignore[arg-type]
        client = {"fullname": "Ірина Приклад", "phone": "067 123 45 67"}
        value = {"messages": [HumanMessage("Беру!")], "session_id": "s1", "metadata": {"client": client}}
        by_invoke(graph, value, THREAD)
        state = by_invoke(graph, Command(resume=True), THREAD)
        assert answer in state["messages"][-1].text
        assert service.stages[-1] == last
        assert state["sitniks_order"]["outcome"] == outcome
        (order,) = Orders.asked
        assert (order.client.phone, order.total, problems(order)) == ("380671234567", 980, [])


class TestPaymentLoop:
    def test_a_proof_without_requisites_is_checked_all_the_same(self, service: Any) -> None:
        """The payment is entered for a proof too: nothing is synced, a person looks."""
        graph = build_payment_loop(service, checkpointer=InMemorySaver())
        state = ask(graph, "Ось квитанція")
        assert state["__interrupt__"][0].value == {"question": "Чи надійшла оплата?"}
        state = by_invoke(graph, Command(resume=False), THREAD)
        assert state["dialog_phase"] == "waiting_for_payment"
        assert service.calls == []

    def test_talk_passes_by(self, service: Any) -> None:
        """A question about the goods never comes near the payment."""
        assert "Волошка" in ask(build_payment_loop(service), "Є сукня?")["messages"][-1].text
        assert service.calls == []
