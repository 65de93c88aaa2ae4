"""The one tool that a model is given: it calls a person, and is told in plain words what came of it."""

from collections.abc import Mapping
from typing import Any

from langchain.tools import ToolRuntime
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.types import Command

from mirt_sitniks.graph.node import SyncNode

ESCALATE = "escalate_to_manager"
"""The tool's name."""

WHEN = (
    "Ask a manager of the shop to take this conversation over: when the customer asks for a person, complains, or "
    "needs what you cannot do. Say in `reason`, in one sentence, what the manager has to know."
)
"""What the model is told of it, unless the host says otherwise."""

_NOTHING = "No manager was asked: {why}. Do not promise the customer that one will write."
_ANSWERS = {
    "synced": "The CRM shows that this conversation needs a manager. It is not known when a manager answers.",
    "partial": "The CRM shows that this conversation needs a manager; nobody is named for it yet.",
    "queued": "The request for a manager is recorded and goes to the CRM by itself. Nobody has seen it yet.",
    "held": "A manager has this conversation in the CRM already.",
    "disabled": _NOTHING.format(why="there is no CRM here"),
    "failed": _NOTHING.format(why="the CRM does not take the request"),
    "skipped": _NOTHING.format(why="it is not known which chat of the CRM this is"),
}
_REASONS = {
    "replay": "A manager was asked for this before; it is not asked for twice.",
    "superseded": _NOTHING.format(why="the customer goes on in another conversation"),
}


def words(sitniks: Mapping[str, Any]) -> str:
    """What the model is told of an escalation's outcome: never more than is known, and no cause that only the shop can
    mend."""
    return _REASONS.get(str(sitniks.get("reason"))) or _ANSWERS[str(sitniks["outcome"])]


def escalation_tool(node: SyncNode, when: str, reason_key: str) -> BaseTool:
    """The tool over a node that syncs the escalation; `reason_key` is where the node reads the reason."""

    def values(reason: str, runtime: Any) -> dict[str, Any]:
        return {**runtime.state, reason_key: reason}

    def told(update: dict[str, Any], runtime: Any) -> Command[Any]:
        said = ToolMessage(words(update["sitniks"]), name=ESCALATE, tool_call_id=runtime.tool_call_id or "")
        return Command(update={"messages": [said], **update})

    def escalate(reason: str, runtime: ToolRuntime) -> Command[Any]:
        return told(node.invoke(values(reason, runtime), runtime.config), runtime)

    async def aescalate(reason: str, runtime: ToolRuntime) -> Command[Any]:
        return told(await node.ainvoke(values(reason, runtime), runtime.config), runtime)

    return StructuredTool.from_function(escalate, aescalate, name=ESCALATE, description=when)
