"""A model that says what a test wrote down, and agents around it."""

from collections.abc import Iterator
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool

from mirt_sitniks.agent import SitniksMiddleware

DETAILS = {"send_payment_details": "give_requisites"}


class Scripted(BaseChatModel):
    """Gives the next of `lines` at each call: a message, an error to raise, or a function of the messages."""

    lines: Iterator[Any]

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        line = next(self.lines)
        line = line(messages) if callable(line) else line
        if isinstance(line, Exception):
            raise line
        # A real model never says the same message twice: it has an id once it is in a state.
        return ChatResult(generations=[ChatGeneration(message=line.model_copy(update={"id": None}))])


def calls(*names: str, **args: Any) -> AIMessage:
    """The model's wish to call these tools, all with `args`."""
    wishes = [{"name": name, "args": args, "id": f"call {number} of {name}"} for number, name in enumerate(names)]
    return AIMessage("", tool_calls=wishes)


def escalates(reason: str = "Просить людину") -> AIMessage:
    """The model's wish to escalate."""
    return calls("escalate_to_manager", reason=reason)


DONE = AIMessage("Готово")


@tool
def send_payment_details() -> str:
    """Send the payment details."""
    return "IBAN UA00"


def agent(
    service: Any, *lines: Any, tools: Any = (send_payment_details,), beside: Any = (), inside: Any = (), **options: Any
) -> Any:
    """An agent whose model says `lines`; `beside` and `inside` are other middlewares, around ours and within;
    `options` are the middleware's or the agent's."""
    names = ("stages", "event", "reads", "overlap", "silent")
    ours = {name: options.pop(name) for name in names if name in options}
    guest = SitniksMiddleware(service, **{"stages": DETAILS, **ours})
    model = Scripted(lines=iter(lines))
    return create_agent(model, list(tools), middleware=[*beside, guest, *inside], **options)


def answer_of(state: Any, name: str) -> str:
    """What the last call of a tool told the model."""
    (*_, last) = (message.text for message in state["messages"] if getattr(message, "name", None) == name)
    return str(last)
