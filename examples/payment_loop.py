"""A payment that is one node: it prepares, interrupts, is resumed and loops to itself by `Command`.

No edge can stand behind such a node, because LangGraph would follow the edge and the `Command` both. The sync stands in
front: `shows_requisites` decides by state, and what entered `payment` before now enters `sitniks_sync_payment`. The
node's own loop keeps naming `payment`, and neither a resume nor the loop syncs a second time.
"""

from typing import Annotated, Any, Literal

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, interrupt

from mirt_sitniks import SitniksChatService, SitniksState, Stage, add_subgraph, human_has_chat

REQUISITES = (
    "Дякуємо, дані записали! Оплатити можна на рахунок (приклад, не для справжніх платежів):\n"
    "ФОП Приклад П. П., IBAN UA000000000000000000000000000, 980 грн.\n"
    "Коли оплатите, надішліть, будь ласка, квитанцію."
)

ORDER = ("беру", "замовля", "оплат", "реквізит")
DELIVERY = ("відділення", "поштомат", "кур'єр")
PROOF = ("квитанці", "сплати", "оплатила", "оплатив", "переказ")


class LoopState(SitniksState):
    """What the graph remembers of one order."""

    messages: Annotated[list[AnyMessage], add_messages]
    session_id: str
    instagram_username: str
    dialog_phase: str


def intent(state: LoopState) -> Command[Literal["sitniks_sync_payment", "agent"]]:
    """Wishes to buy, delivery data and proofs of payment all lead to the payment: by way of its sync."""
    if _mentions(state, ORDER + DELIVERY + PROOF):
        return Command(goto="sitniks_sync_payment")
    return Command(goto="agent")


def agent(state: LoopState) -> dict[str, Any]:
    """Keep the conversation going."""
    reply = "Сукня «Волошка» є на зріст від 98 до 128, 980 грн. Якщо берете, напишіть, і оформимо замовлення."
    return {"messages": [AIMessage(reply)], "dialog_phase": "consultation"}


def shows_requisites(state: LoopState) -> Stage | None:
    """Whether the payment node is about to show the requisites: it waited for delivery data, and they came."""
    waited = state.get("dialog_phase") == "waiting_for_delivery"
    return Stage.GIVE_REQUISITES if waited and _mentions(state, DELIVERY) else None


def payment(state: LoopState) -> Command[Literal["payment", "__end__"]]:
    """Ask for delivery data, show the requisites, wait for the proof, let a person check it."""
    if shows_requisites(state):
        proof = interrupt({"reply": REQUISITES})
        return Command(
            goto="payment",
            update={
                "messages": [AIMessage(REQUISITES), HumanMessage(proof)],
                "dialog_phase": "waiting_for_payment",
            },
        )
    if _mentions(state, PROOF):
        if interrupt({"question": "Чи надійшла оплата?"}):
            return _leave("Оплату отримали, дякуємо! Номер накладної надішлемо сьогодні ввечері.", "order_confirmed")
        return _leave("Поки не бачимо оплати. Напишемо, щойно вона надійде.", "waiting_for_payment")
    return _leave(
        "Чудово! Напишіть, будь ласка, ім'я, телефон, місто та відділення Нової пошти.", "waiting_for_delivery"
    )


def build_payment_loop(
    service: SitniksChatService, *, checkpointer: BaseCheckpointSaver[Any] | None = None
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the graph; a checkpointer is needed for its interrupts."""
    builder = StateGraph(LoopState)
    builder.add_node("intent", intent)
    builder.add_node("agent", agent)
    builder.add_node("payment", payment)
    builder.add_conditional_edges(START, human_has_chat(service), {True: END, False: "intent"})
    builder.add_edge("agent", END)
    add_subgraph(
        builder, service=service, after=None, name="sitniks_sync_payment", stage=shows_requisites, then="payment"
    )
    return builder.compile(checkpointer=checkpointer)


def _leave(reply: str, phase: str) -> Command[Any]:
    return Command(goto=END, update={"messages": [AIMessage(reply)], "dialog_phase": phase})


def _mentions(state: LoopState, words: tuple[str, ...]) -> bool:
    messages = state.get("messages") or []
    text = messages[-1].text.lower() if messages and isinstance(messages[-1], HumanMessage) else ""
    return any(word in text for word in words)


async def _main() -> None:
    from langgraph.checkpoint.memory import InMemorySaver

    from mirt_sitniks import SitniksSettings

    async with SitniksChatService(SitniksSettings(api_url="", api_key="", database=":memory:")) as service:
        graph = build_payment_loop(service, checkpointer=InMemorySaver())
        config: Any = {"configurable": {"thread_id": "example"}}
        turns: list[Any] = [
            "Доброго дня, є лляна сукня?",
            "Беру на зріст 110",
            "Ірина Приклад, 000 000 00 00, Київ, відділення 1",
            Command(resume="Оплатила, ось квитанція"),
            Command(resume=True),
        ]
        for turn in turns:
            if isinstance(turn, str):
                print(f"> {turn}")
                turn = {
                    "messages": [HumanMessage(turn)],
                    "session_id": "example",
                    "instagram_username": "iryna.example",
                }
            else:
                print(f"> (продовження: {turn.resume})")
            state = await graph.ainvoke(turn, config)
            waiting = [pause.value.get("reply") or pause.value["question"] for pause in state.get("__interrupt__", ())]
            reply = (waiting or [state["messages"][-1].text])[-1]
            service.said("example", reply)  # where it is sent
            print(f"{reply}\n  [CRM: {state['sitniks'].get('outcome')}]\n")


if __name__ == "__main__":
    import asyncio

    asyncio.run(_main())
