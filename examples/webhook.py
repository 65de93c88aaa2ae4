"""A host that Sitniks feeds: each message of a customer comes by webhook, and the graph knows its chat.

The routes answer first, then the turn begins: the graph answers, and beside it the first touch goes to the CRM in two
calls, for nobody has to look the chat up. Run as a file it serves a sandbox of its own, which plays the customer.
"""

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import uvicorn
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.graph.state import CompiledStateGraph
from starlette.applications import Starlette
from starlette.routing import Mount

from mirt_sitniks import SitniksChatService, SitniksSettings, SitniksState, add_subgraph
from mirt_sitniks.sandbox import Sandbox
from mirt_sitniks.webhook import Author, Event, author_of, webhook_routes

Send = Callable[[str, str], Awaitable[None]]


class ShopState(SitniksState):
    """What the graph remembers of one chat."""

    messages: Annotated[list[AnyMessage], add_messages]
    session_id: str
    sitniks_chat_id: str
    instagram_username: str
    telegram_username: str
    metadata: dict[str, Any]


def build_graph(service: SitniksChatService) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The graph: the customer's first message moves the CRM's chat while the agent answers."""
    builder = StateGraph(ShopState)
    builder.add_node("memory", lambda state: {})
    builder.add_node("agent", lambda state: {"messages": [AIMessage("Вітаю! Що шукаєте?")]})
    builder.add_edge(START, "memory")
    builder.add_edge("agent", END)
    add_subgraph(builder, service=service, after="memory", stage="first_touch", then="agent", overlap=True)
    return builder.compile(checkpointer=InMemorySaver())


def build_app(service: SitniksChatService, send: Send) -> Starlette:
    """The server; `send` brings a chat's answer to the customer."""
    graph, seen = build_graph(service), set[str | None]()

    async def turn(event: Event) -> None:
        chat, message = event.chat, event.message
        if message is None or message.comment or author_of(chat, message) is not Author.CUSTOMER:
            return
        # Sitniks tells at least once.
        if message.id in seen:
            return
        seen.add(message.id)
        channel = "telegram_username" if (chat.source or "").startswith("telegram") else "instagram_username"
        state = {
            "messages": [HumanMessage(message.text)],
            "session_id": chat.id,
            "sitniks_chat_id": chat.id,
            channel: chat.nickname,
            "metadata": {"message_id": message.id},
        }
        answered = await graph.ainvoke(state, {"configurable": {"thread_id": chat.id}})
        reply = answered["messages"][-1].text
        service.said(chat.id, reply)
        await send(chat.id, reply)

    return Starlette(routes=[Mount("/sitniks", webhook_routes(service, turn))])


async def _main() -> None:
    answers: asyncio.Queue[str] = asyncio.Queue()

    async def send(chat: str, text: str) -> None:
        await answers.put(text)

    secret = secrets.token_urlsafe()
    with socket.create_server(("127.0.0.1", 0)) as listener, Sandbox() as crm:
        settings = SitniksSettings(api_url=crm.url, api_key=crm.key, database=":memory:", webhook_secrets=secret)
        async with SitniksChatService(settings) as service:
            # An access log would show the secret.
            server = uvicorn.Server(uvicorn.Config(build_app(service, send), access_log=False, log_level="warning"))
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            crm.webhook = f"http://127.0.0.1:{listener.getsockname()[1]}/sitniks/{secret}"
            chat = crm.add_chat("iryna.example", text="Добрий день!")
            print(f"> Добрий день!\n{await answers.get()}\n  [CRM: {crm.chat(chat)['status']}]")
            server.should_exit = True
            await serving


if __name__ == "__main__":
    asyncio.run(_main())
