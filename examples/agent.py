"""A shop's agent of LangChain with the CRM beside it: an import, the middleware, and its place in `create_agent`.

Here a rehearsed model speaks, so that the conversation runs the same every time and needs no key; yours is
`init_chat_model("...")`. Run as a file it talks to a sandbox of its own, and shows what the CRM shows after each turn.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from langchain.agents import create_agent
from langchain.tools import tool
from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import CompiledStateGraph

from mirt_sitniks import SitniksChatService
from mirt_sitniks.agent import SitniksMiddleware

PROMPT = "Ти Павло, консультант магазину дитячого одягу. Відповідай коротко; реквізити надсилай інструментом."


@tool
def find_goods(words: str) -> str:
    """Find goods of the shop by the customer's words."""
    return "Сукня «Волошка», льон, 980 грн, зріст 98-140"


@tool
def send_payment_details(total: int) -> str:
    """Send the customer the shop's payment details."""
    return f"Надіслано: IBAN UA000000000000000000000000000, {total} грн"


def build_agent(
    service: SitniksChatService, model: BaseChatModel, *, checkpointer: BaseCheckpointSaver[Any] | None = None
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The agent: the customer's first message, payment details and calls for a person move the CRM's chat."""
    sitniks = SitniksMiddleware(service, stages={"send_payment_details": "give_requisites"})
    return create_agent(
        model,
        [find_goods, send_payment_details],
        system_prompt=PROMPT,
        middleware=[sitniks],
        checkpointer=checkpointer,
    )


class Rehearsed(GenericFakeChatModel):
    """Says its lines, whatever tools there are."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self


def calling(name: str, **args: Any) -> AIMessage:
    """The model's wish to call a tool."""
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": f"call-{name}"}])


CONVERSATION: list[tuple[str, list[AIMessage]]] = [
    (
        "Добрий вечір! Є лляна сукня?",
        [calling("find_goods", words="лляна сукня"), AIMessage("Так, «Волошка», 980 грн. На який зріст?")],
    ),
    (
        "На 110. Беру!",
        [calling("send_payment_details", total=980), AIMessage("Реквізити надіслав. Чекаємо на оплату 🌿")],
    ),
    (
        "Прийшов не той колір, покличте людину",
        [calling("escalate_to_manager", reason="Прийшов не той колір"), AIMessage("Перепрошую! Передав менеджеру.")],
    ),
]


def rehearsed(conversation: Iterable[tuple[str, list[AIMessage]]] = CONVERSATION) -> Rehearsed:
    """A model that knows its part of a conversation."""
    return Rehearsed(messages=iter([line for _, lines in conversation for line in lines]))


async def _main() -> None:
    from langgraph.checkpoint.memory import InMemorySaver

    from mirt_sitniks import SitniksSettings
    from mirt_sitniks.sandbox import Sandbox

    with Sandbox() as sandbox:
        chat = sandbox.add_chat("iryna.example")
        settings = SitniksSettings(api_url=sandbox.url, api_key=sandbox.key, database=":memory:")
        async with SitniksChatService(settings) as service:
            agent = build_agent(service, rehearsed(), checkpointer=InMemorySaver())
            config: Any = {"configurable": {"thread_id": "example"}}
            for text, _ in CONVERSATION:
                turn: Any = {"messages": [HumanMessage(text)], "instagram_username": "iryna.example"}
                state = await agent.ainvoke(turn, config)
                outcome, shown = state["sitniks"]["outcome"], sandbox.chat(chat)["status"]
                print(f"> {text}\n{state['messages'][-1].text}\n  [{outcome}; CRM: {shown}]\n")


if __name__ == "__main__":
    asyncio.run(_main())
