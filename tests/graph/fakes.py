"""A service that keeps its promises without a store or a CRM, and runs of a graph by both doors."""

import asyncio
from collections.abc import Callable
from typing import Any

from langchain_core.runnables import RunnableConfig

from examples.main_graph import STAGES
from mirt_sitniks.core.record import intent_key
from mirt_sitniks.core.result import Outcome, SyncResult
from mirt_sitniks.core.stage_table import parse_stages
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.settings import SitniksSettings

AT = "2026-11-22T10:00:00.000Z"

Run = Callable[..., dict[str, Any]]


class FakeService:
    """Records every call; like the store, it counts a known intent of a session once.

    `effects` are the changes that reached the CRM, `crm` is the status that each session's chat shows there. `raises`
    is what `sync` raises instead of answering. `told` is what was said, `held` whether a person has the conversation,
    None: it does not say. It has the stages of the example. To a service for orders over it, it is disabled.
    """

    enabled = False
    settings = SitniksSettings.model_construct(
        account="main", reply_budget=1.5, stages=parse_stages(STAGES.read_text("utf-8"))
    )

    def __init__(self, *, raises: BaseException | None = None) -> None:
        self.calls: list[dict[str, Any]] = []
        self.told: list[tuple[str, list[str]]] = []
        self.effects: list[tuple[str, str]] = []
        self.crm: dict[str, str] = {}
        self.raises = raises
        self.held: bool | None = None
        self._known: dict[str, list[set[str]]] = {}

    async def sync(self, stage: Stage, *, session: str, **arguments: Any) -> SyncResult:
        await asyncio.sleep(0)
        return self.answer("async", stage, session, arguments)

    def sync_blocking(self, stage: Stage, *, session: str, **arguments: Any) -> SyncResult:
        return self.answer("blocking", stage, session, arguments)

    async def holds(self, wait: Any, session: str, **who: Any) -> bool | None:
        return self.held

    def said(self, session: str, text: str | list[str], **who: object) -> bool:
        self.told.append((session, [text] if isinstance(text, str) else text))
        return True

    @property
    def stages(self) -> list[str]:
        return [str(call["stage"]) for call in self.calls]

    @property
    def intents(self) -> list[str]:
        """The first key of each call's event, without the digest of the message's text."""
        return [call["intent"][0].partition("/")[0] for call in self.calls]

    def answer(self, door: str, stage: Stage, session: str, arguments: dict[str, Any]) -> SyncResult:
        names = arguments["intent"] or (f"fresh {len(self.calls) + 1}",)
        keys = tuple(intent_key(stage, name, once=self.settings.rules[stage].once) for name in names)
        self.calls.append({"door": door, "stage": stage, "session": session, **arguments, "intent": keys})
        if self.raises is not None:
            raise self.raises
        touched = stage is Stage.FIRST_TOUCH
        known = self._known.setdefault(session, [])
        if any(event & set(keys) for event in known[:-1]):
            return SyncResult(stage, AT, Outcome.SKIPPED, reason="replay")
        if not (known and known[-1] & set(keys)):
            known.append(set(keys))
            self.effects.append((session, str(stage)))
            self.crm[session] = self.settings.rules[stage].status
        return SyncResult(
            stage, AT, Outcome.SYNCED, chat_id=f"chat of {session}", status=self.crm[session], first_touch=touched
        )


def by_invoke(graph: Any, value: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
    """Run a graph on this thread."""
    return graph.invoke(value, config, **kwargs)


def by_ainvoke(graph: Any, value: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
    """Run a graph on an event loop of its own."""
    return asyncio.run(graph.ainvoke(value, config, **kwargs))
