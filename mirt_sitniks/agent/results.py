"""What a tool or the model gave back, in all forms that it may have: a message, a `Command`, or a list of both."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage, ToolMessage
from langgraph.types import Command


def has_failed(result: Any) -> bool:
    """Whether the tool says that it did not do it."""
    return any(message.status == "error" for message in _messages(result))


def joined(result: Any, update: dict[str, Any]) -> Any:
    """The result with our own update of the state beside its own; as it was, when it is bound for another graph."""
    if not update["sitniks"]:
        return result
    if isinstance(result, list):
        return [*result, Command(update=update)]
    if isinstance(result, ToolMessage):
        return Command(update={"messages": [result], **update})
    if isinstance(result, Command) and result.graph is None and isinstance(result.update, dict):
        return replace(result, update={**result.update, **update})
    return result


def texts_of(response: Any) -> list[str]:
    """What a model's answer says, in all forms that a middleware may give it."""
    response = getattr(response, "model_response", response)
    messages = [response] if isinstance(response, AIMessage) else getattr(response, "result", ())
    return [str(one.text) for one in messages if isinstance(one, AIMessage)]


def _messages(result: Any) -> Iterator[ToolMessage]:
    if isinstance(result, ToolMessage):
        yield result
    elif isinstance(result, list):
        for one in result:
            yield from _messages(one)
    elif isinstance(result, Command) and isinstance(result.update, dict):
        yield from _messages(result.update.get("messages"))
