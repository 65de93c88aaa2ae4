"""A shop's chat graph with five syncs and an order in it: the shape to copy.

A customer writes to a shop of children's clothes; a person confirms the payment, and the order is made. Replies come
from a table of words instead of a language model, so a conversation runs the same every time. The `add_subgraph` calls
and the `add_order_subgraph` at the end are all that the CRM needs, but for the node that tells the number. Two of the
stages are the shop's own: `SITNIKS_STAGES` names the file beside this one, `stages.toml`.

Run as a file it knows no CRM, whatever the environment says: each sync is `disabled`, and only logged.
"""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, interrupt

from mirt_sitniks import (
    SitniksChatService,
    SitniksState,
    add_subgraph,
    get_sitniks_chat_service,
    human_has_chat,
)
from mirt_sitniks.orders import (
    Client,
    Item,
    Order,
    SitniksOrderService,
    SitniksOrderState,
    add_order_subgraph,
)

STAGES = Path(__file__).with_name("stages.toml")

REQUISITES = (
    "Оплатити можна на рахунок (приклад, не для справжніх платежів):\n"
    "ФОП Приклад П. П., IBAN UA000000000000000000000000000\n"
    "Сума: 980 грн, призначення: «за дитячий одяг».\n"
    "Щойно оплата надійде, ми підтвердимо замовлення 🌿"
)

# The first line whose words occur in the message answers it.
ANSWERS: list[tuple[tuple[str, ...], str]] = [
    (
        ("доставк", "пошт", "надсила", "відправ"),
        "Відправляємо Новою поштою щодня до 16:00: до відділення, поштомата або кур'єром. "
        "Зазвичай посилка їде 1-2 дні, доставка від 70 грн за тарифами перевізника.",
    ),
    (
        ("розмір", "зріст", "рочк", "рок"),
        "Найточніше підбирати за зростом: 98-104 на 3-4 роки, 110-116 на 5-6 років, 122-128 на 7-8 років. "
        "Якщо дитина між двома розмірами, радимо більший.",
    ),
    (
        ("сукн", "платт"),
        "Є сукня «Волошка» з м'якого льону: молочна, блакитна та оливкова, 980 грн. На який зріст шукаєте?",
    ),
    (
        ("костюм", "комбінезон", "штан", "світшот"),
        "Є трикотажний костюм «Мандри»: світшот і штани, 1 150 грн, розміри від 98 до 140. Який колір вам до душі?",
    ),
    (("дяку",), "Дякуємо, що ви з нами! Якщо будуть питання, пишіть 🌿"),
]
GREETING = "Вітаю! Я Павло з магазину дитячого одягу. Підкажіть, що шукаєте і на який зріст?"

DRESS = Item(sku="VOLOSHKA", price=Decimal(980), title="Сукня «Волошка»")
THANKS = "Оплату отримали, дякуємо! {order} сьогодні й надішлемо номер накладної Нової пошти 📦"

COMPLAINT = ("скарг", "бракова", "поверн", "обмін", "не той", "жахлив", "менеджер", "людин")
PAYMENT = ("реквізит", "оплат", "беру", "замовля", "оформ")
ABUSE = ("шахра", "дурн")


def merge(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    """Reducer: later keys win, the others stay."""
    return {**(left or {}), **(right or {})}


class MainState(SitniksState, SitniksOrderState):
    """What the graph remembers of one conversation; `metadata.client` is who buys, once the shop knows it."""

    messages: Annotated[list[AnyMessage], add_messages]
    session_id: str
    metadata: Annotated[dict[str, Any], merge]
    current_state: str
    dialog_phase: str
    step_number: int
    should_escalate: bool
    escalation_reason: str | None


class Update(TypedDict, total=False):
    """What a node gives back: only what it changes."""

    messages: list[AnyMessage]
    current_state: str
    dialog_phase: str
    step_number: int
    should_escalate: bool
    escalation_reason: str | None


def moderation(state: MainState) -> Update:
    """Send abuse to a person, and forget what was decided about the message before."""
    if _mentions(state, ABUSE):
        return {"should_escalate": True, "escalation_reason": "Різкі слова від клієнта"}
    return {"should_escalate": False, "escalation_reason": None}


def memory(state: MainState) -> Update:
    """Count the turn."""
    return {"step_number": state.get("step_number", 0) + 1}


def intent(state: MainState) -> Update:
    """Say what the customer wants."""
    if _mentions(state, COMPLAINT):
        return {
            "current_state": "complaint",
            "should_escalate": True,
            "escalation_reason": "Клієнт просить допомоги менеджера",
        }
    return {"current_state": "payment" if _mentions(state, PAYMENT) else "consultation"}


def agent(state: MainState) -> Update:
    """Answer a question about the goods."""
    reply = next((reply for words, reply in ANSWERS if _mentions(state, words)), GREETING)
    return {"messages": [AIMessage(reply)], "dialog_phase": "consultation"}


def payment(state: MainState) -> Update:
    """Show the payment details."""
    return {"messages": [AIMessage(REQUISITES)], "dialog_phase": "waiting_for_payment"}


def payment_approval(state: MainState) -> Update:
    """Wait until a person says whether the money has come: resume with True or False."""
    if interrupt({"question": "Чи надійшла оплата?", "session_id": state.get("session_id")}):
        return {"current_state": "paid"}
    return {"should_escalate": True, "escalation_reason": "Оплату не підтверджено"}


def paid_order(state: MainState) -> Order | None:
    """What the customer has paid for; None when nobody knows who he is: who confirmed the payment makes that one."""
    client = state.get("metadata", {}).get("client")
    return Order(client=Client(**client), items=[DRESS], total=Decimal(980)) if client else None


def order_stage(state: MainState) -> str | None:
    """What the order is to the CRM: placed once it is there, or on its way by itself."""
    return "order_placed" if state.get("sitniks_order", {}).get("outcome") in ("created", "queued") else None


def tell_order(state: MainState) -> Update:
    """Tell the customer the number of the order."""
    made = state.get("sitniks_order", {})
    outcome, order = made.get("outcome"), "Зберемо замовлення"
    if outcome in ("failed", "refused", "unknown"):
        return {"should_escalate": True, "escalation_reason": f"Оплачене замовлення: {made['error']['code']}"}
    if outcome == "created":
        order = f"Ваше замовлення №{made['order_number']}: зберемо його"
    elif outcome == "queued":
        order = "Номер замовлення надішлемо згодом. Зберемо його"
    return {"messages": [AIMessage(THANKS.format(order=order))], "dialog_phase": "order_confirmed"}


def escalation(state: MainState) -> Update:
    """Hand the conversation over to a person."""
    reply = "Розумію вас і перепрошую за клопіт. Передаю розмову менеджеру: він напише вам найближчим часом."
    return {"messages": [AIMessage(reply)], "dialog_phase": "escalated"}


def telling(service: SitniksChatService, node: Callable[[MainState], Update]) -> Any:
    """The node; what it tells the customer is no person's when Sitniks shows it."""

    def tell(state: MainState) -> Update:
        update = node(state)
        name = state.get("metadata", {}).get("instagram_username")
        texts = [one.text for one in update.get("messages", [])]
        service.said(state.get("session_id", ""), texts, instagram_username=name)
        return update

    return tell


def end(state: MainState) -> Update:
    """Close the turn."""
    return {"should_escalate": False}


def after_moderation(state: MainState) -> Literal["memory", "escalation"]:
    return "escalation" if state.get("should_escalate") else "memory"


def after_intent(state: MainState) -> Literal["agent", "payment", "escalation"]:
    if state.get("should_escalate"):
        return "escalation"
    return "payment" if state.get("current_state") == "payment" else "agent"


def after_approval(state: MainState) -> Literal["sitniks_sync_paid", "escalation"]:
    return "escalation" if state.get("should_escalate") else "sitniks_sync_paid"


def after_order(state: MainState) -> Literal["end", "escalation"]:
    return "escalation" if state.get("should_escalate") else "end"


def build_main_graph(
    service: SitniksChatService,
    *,
    orders: SitniksOrderService | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the graph; a checkpointer is needed for the interrupt before a payment is confirmed."""
    builder = StateGraph(MainState)
    builder.add_node("moderation", moderation)
    builder.add_node("memory", memory)
    builder.add_node("intent", intent)
    builder.add_node("agent", telling(service, agent))
    builder.add_node("payment", telling(service, payment))
    builder.add_node("payment_approval", payment_approval)
    builder.add_node("tell_order", telling(service, tell_order))
    builder.add_node("escalation", telling(service, escalation))
    builder.add_node("end", end)

    builder.add_conditional_edges(START, human_has_chat(service), {True: END, False: "moderation"})
    builder.add_conditional_edges("moderation", after_moderation)
    builder.add_conditional_edges("intent", after_intent)
    builder.add_edge("agent", "end")
    builder.add_conditional_edges("payment_approval", after_approval)
    builder.add_conditional_edges("tell_order", after_order)
    builder.add_edge("end", END)

    add_subgraph(builder, service=service, after="memory", stage="first_touch", then="intent", overlap=True)
    add_subgraph(builder, service=service, after="payment", stage="give_requisites", then="payment_approval")
    add_subgraph(builder, service=service, after="escalation", stage="escalation", then=END)
    orders = orders or SitniksOrderService(service)
    add_subgraph(builder, service=service, after=None, name="sitniks_sync_paid", stage="paid", then="sitniks_order")
    add_order_subgraph(
        builder, service=orders, after=None, name="sitniks_order", order=paid_order, then="sitniks_sync_order"
    )
    add_subgraph(builder, service=service, after=None, name="sitniks_sync_order", stage=order_stage, then="tell_order")

    return builder.compile(checkpointer=checkpointer)


def served() -> CompiledStateGraph[Any, Any, Any, Any]:
    """The graph for `langgraph dev`, which calls this for each run and has a checkpointer of its own."""
    return build_main_graph(get_sitniks_chat_service())


def _mentions(state: MainState, words: tuple[str, ...]) -> bool:
    messages = state.get("messages") or []
    text = messages[-1].text.lower() if messages and isinstance(messages[-1], HumanMessage) else ""
    return any(word in text for word in words)


async def _main() -> None:
    from langgraph.checkpoint.memory import InMemorySaver

    from mirt_sitniks import SitniksSettings

    settings = SitniksSettings(api_url="", api_key="", database=":memory:", stages=str(STAGES))
    async with SitniksChatService(settings) as service:
        graph = build_main_graph(service, checkpointer=InMemorySaver())
        config: Any = {"configurable": {"thread_id": "example"}}
        turns: list[Any] = [
            "Добрий вечір! Є лляна сукня?",
            "На зріст 110 який розмір?",
            "А як із доставкою?",
            "Беру! Надішліть реквізити",
            Command(resume=True),
            "Прийшов не той колір, покличте менеджера",
        ]
        for turn in turns:
            said = turn if isinstance(turn, str) else "(менеджер підтвердив оплату)"
            if isinstance(turn, str):
                turn = {
                    "messages": [HumanMessage(turn)],
                    "session_id": "example",
                    "metadata": {
                        "instagram_username": "iryna.example",
                        "client": {"fullname": "Ірина Приклад", "phone": "0671234567"},
                    },
                }
            state = await graph.ainvoke(turn, config)
            print(f"> {said}\n{state['messages'][-1].text}\n  [CRM: {state['sitniks'].get('outcome')}]\n")


if __name__ == "__main__":
    asyncio.run(_main())
