"""The middleware: the nodes of `graph/`, asked where an agent begins, calls a tool and ends."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NotRequired, cast

from langgraph.config import get_config
from typing_extensions import TypedDict

from mirt_sitniks.agent.escalation import ESCALATE, WHEN, escalation_tool
from mirt_sitniks.agent.hooks import Hooks, hooks_of
from mirt_sitniks.agent.results import has_failed, joined
from mirt_sitniks.core.stages import Stage, Stages
from mirt_sitniks.errors import ConfigError
from mirt_sitniks.graph.node import Host, SyncNode, SyncService, chooser, renaming
from mirt_sitniks.graph.routes import HoldService, human_has_chat
from mirt_sitniks.graph.state import SitniksValue
from mirt_sitniks.graph.wiring import (
    check_event,
    check_service,
    checked_function,
    checked_reads,
    checked_stage,
    stages_of,
)

Rule = Callable[[Any], str | None]
Event = Callable[[Any], object]


class SitniksAgentState(TypedDict, total=False):
    """What the middleware adds to an agent's state: `sitniks`, and who the customer is.

    A host that keeps these under other keys names them in `reads`; `metadata` is read where the host declares it.
    """

    sitniks: SitniksValue
    session_id: NotRequired[str | None]
    instagram_username: NotRequired[str | None]
    telegram_username: NotRequired[str | None]
    sitniks_chat_id: NotRequired[str | None]


class SitniksMiddleware(Hooks):
    """Keeps the CRM in step with an agent: `create_agent(..., middleware=[SitniksMiddleware(service)])`.

    The customer's first message is a first touch, before the model is asked; with `overlap` beside it, so that the
    customer waits for the slower of the two. `stages` says when another stage is reached: a dict from a tool's name to
    the stage that holds once this tool has succeeded, such as `{"send_payment_details": "give_requisites"}`, or a
    function of the state that is asked when the agent has answered, and returns a stage or None. The model itself has
    one tool, `escalate_to_manager(reason)`; `escalate_when` tells it when to use it, None takes it away. A status is
    never the model's to choose. With `silent` the model is not asked while a person has the conversation: the turn ends
    there, and the customer's message stays in the state.

    Each of them is a sync as `add_subgraph` makes it: what it reads (also without a `state_schema` of the host's: see
    `SitniksAgentState`), `event`, `reads`, what is under `sitniks` in the state, one reply budget for a turn, and each
    stage once an event over retry, resume, replay and fork. A tool call that is rejected, fails or waits for a person
    reaches no stage. Nothing that goes wrong inside is raised; what cannot work is refused here, with a `ConfigError`.
    """

    state_schema = cast("type[Any]", SitniksAgentState)

    def __init__(
        self,
        service: SyncService,
        *,
        stages: Mapping[str, str] | Rule | None = None,
        escalate_when: str | None = WHEN,
        event: Event | None = None,
        reads: Mapping[str, str] | None = None,
        overlap: bool = False,
        silent: bool = False,
    ) -> None:
        check_service(service)
        check_event(event)
        renamed = checked_reads(None, reads)
        host = Host(seen=renaming(renamed), stages=stages_of(service))

        def node(stage: str | Rule) -> SyncNode:
            return SyncNode(service, chooser(stage, host), host, event)

        self.first_touch, self.first_touch_due = node(Stage.FIRST_TOUCH), chooser(Stage.FIRST_TOUCH, host)
        self._after = {name: node(stage) for name, stage in _stages_of_tools(stages, host.stages).items()}
        self.tools = []
        if escalate_when is not None:
            reason_key = renamed.get("escalation_reason", "escalation_reason")
            self.tools = [escalation_tool(node(Stage.ESCALATION), escalate_when, reason_key)]
        self.human_has_chat = human_has_chat(cast("HoldService", service), reads=renamed) if silent else None
        if callable(stages):
            self.at_the_end = node(checked_function("stages", stages, "a dict, or a function of the state"))
        # `create_agent` makes a node of each hook that a class has, so this one gets those that it needs.
        kind = type(self)
        places = hooks_of(overlap=overlap, at_the_end=callable(stages), silent=silent)
        self.__class__ = type(kind.__name__, (kind, *places), {})

    def wrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """The tool, then the stage that it has reached."""
        result = handler(request)
        node = self._node_after(request, result)
        return joined(result, node.invoke(request.state, get_config())) if node else result

    async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        """The same on an event loop."""
        result = await handler(request)
        node = self._node_after(request, result)
        return joined(result, await node.ainvoke(request.state, get_config())) if node else result

    def _node_after(self, request: Any, result: Any) -> SyncNode | None:
        return None if has_failed(result) else self._after.get(request.tool_call["name"])


def _stages_of_tools(stages: object, known: Stages) -> dict[str, str]:
    """The mapping with its stages read; empty for a function or None."""
    if stages is None or callable(stages):
        return {}
    if not isinstance(stages, Mapping) or not all(isinstance(one, str) and one for one in (*stages, *stages.values())):
        wanted = 'a dict from a tool\'s name to a stage, like {"send_payment_details": "give_requisites"}'
        raise ConfigError(f"stages is {stages!r}: use {wanted}, a function of the state, or None.")
    if ESCALATE in stages:
        raise ConfigError(f"stages names {ESCALATE!r}, which escalates by itself: leave it out.")
    return {name: str(checked_stage(stage, known)) for name, stage in stages.items()}
