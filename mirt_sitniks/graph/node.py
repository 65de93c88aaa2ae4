"""The node: reads the state, hands the stage to the service, writes one key, never raises."""

import asyncio
import contextlib
import time
import traceback
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from logging import ERROR
from typing import Any, Protocol

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.config import get_stream_writer

from mirt_sitniks.core.result import Outcome, SyncResult, iso
from mirt_sitniks.core.stages import BUILT_IN, Stages, rule_of
from mirt_sitniks.graph.reading import UNKNOWN_STAGE, Decision, Reading, decide, read, stage_in, who_of
from mirt_sitniks.log import log
from mirt_sitniks.process.off_loop import has_loop, without_loop

Values = Mapping[str, Any]
Choose = Callable[[Values], Decision]


class SyncService(Protocol):
    """The part of `SitniksChatService` that a node needs; see there for the arguments."""

    def sync(self, *args: Any, **about: Any) -> Awaitable[SyncResult]:
        """Record a stage, then wait for the CRM no longer than the reply budget."""
        ...

    def sync_blocking(self, *args: Any, **about: Any) -> SyncResult:
        """The same for a caller without an event loop."""
        ...


@dataclass(frozen=True, slots=True)
class Host:
    """What a sync knows of the graph that it is part of: the names of its `nodes`, which may be added later, and what
    `stages` its service has.

    `view` gives the state in the form that the host declared, for its own functions; `seen` under the keys that a sync
    reads. By default nothing is known of it but those keys.
    """

    nodes: Collection[str] = ()
    view: Callable[[Values], Any] = dict
    seen: Callable[[Values], Values] = dict
    stages: Stages = field(default_factory=lambda: BUILT_IN)

    def ask(self, function: Callable[[Any], object], values: Values, trouble: str) -> object:
        """What a function of the host says of its state; None, and `trouble` in the log, when it raises."""
        try:
            return function(self.view(values))
        except Exception as exc:
            log(ERROR, trouble, *origin_of(exc))
            return None


def renaming(renamed: Mapping[str, str]) -> Callable[[Values], Values]:
    """A host's `seen`: what a sync reads is under the keys that `renamed` gives for it."""
    return lambda values: {**values, **{ours: values.get(theirs) for ours, theirs in renamed.items()}}


def chooser(stage: str | Callable[[Any], object] | None, host: Host) -> Choose:
    """The one function of state that the edges and the node ask: which stage is to be synced, if any.

    `stage` is fixed, or a function of the host's state, or None: the state names it. A function that raises is logged,
    and nothing is synced.
    """

    def choose(values: Values) -> Decision:
        seen = host.seen(values)
        if callable(stage):
            asked = host.ask(stage, values, "the stage function raised %s at %s, nothing is synced")
        else:
            asked = stage or stage_in(seen)
        return decide(seen, asked, host.nodes, host.stages)

    return choose


class SyncNode(Runnable[Any, dict[str, Any]]):
    """A public Runnable with both doors: LangGraph gives it the run's context and wraps nothing around it."""

    def __init__(
        self, service: SyncService, choose: Choose, host: Host, event: Callable[[Any], object] | None = None
    ) -> None:
        self.name = "sync"
        self._service = service
        self._choose = choose
        self._host = host
        self._event = event

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Sync for `graph.invoke`: the calling thread waits, at most for the reply budget."""

        async def blocking(**about: Any) -> SyncResult:
            return self._service.sync_blocking(**about)

        return without_loop(self._sync(input, config, blocking))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Sync for `graph.ainvoke`, on whatever event loop runs; a cancellation of the reply passes through."""
        return await self._sync(input, config, self._service.sync)

    def said(self, values: Values, config: RunnableConfig | None, texts: list[str]) -> None:
        """Have the service remember what the graph tells the customer of this state."""
        tell: Callable[..., object] | None = getattr(self._service, "said", None)
        with contextlib.suppress(Exception):
            reading = read(
                self._host.seen(values), thread_id=((config or {}).get("configurable") or {}).get("thread_id")
            )
            if tell and reading.session and any(texts):
                tell(reading.session, texts, **who_of(reading))

    async def _sync(
        self, values: Values, config: RunnableConfig | None, sync: Callable[..., Awaitable[SyncResult]]
    ) -> dict[str, Any]:
        decision = self._choose(values)
        if decision is None:
            return {"sitniks": {}}
        stage = None if decision == UNKNOWN_STAGE else decision
        calls_a_person = rule_of(self._host.stages, stage).assign == "human"
        reading = self._read(values, (config or {}).get("configurable") or {})
        try:
            result = await sync(
                # A name that is no stage, and no session, are for the service to refuse.
                stage=decision,
                session=reading.session or "",
                instagram_username=reading.instagram_username,
                telegram_username=reading.telegram_username,
                # A reason stays in state after its escalation; other stages have nothing to do with it.
                reason=reading.reason if calls_a_person else None,
                words=reading.words if rule_of(self._host.stages, stage).note else None,
                chat_id=reading.chat_id,
                intent=reading.intent(chained=not calls_a_person),
            )
            return _update(result, reading)
        except (Exception, asyncio.CancelledError) as exc:
            if isinstance(exc, asyncio.CancelledError) and is_cancelled():
                raise
            # The service broke its promise not to raise: the dialogue goes on all the same.
            log(ERROR, "the sync raised %s at %s", *origin_of(exc), session=reading.session, stage=stage)
            error = {"code": "unavailable", "message": f"The sync raised {type(exc).__name__}; see the log."}
            failed = SyncResult(stage, iso(time.time()), Outcome.FAILED, chat_id=reading.chat_id, error=error)
            return _update(failed, reading)

    def _read(self, values: Values, configurable: Mapping[str, Any]) -> Reading:
        event = self._event and self._host.ask(
            self._event, values, "the event function raised %s at %s, the messages name the event"
        )
        return read(
            self._host.seen(values),
            thread_id=configurable.get("thread_id"),
            checkpoint_ns=configurable.get("checkpoint_ns"),
            nodes=self._host.nodes,
            event=event,
        )


def _update(result: SyncResult, reading: Reading) -> dict[str, Any]:
    """The update of the state, told to whoever streams `custom` events as well."""
    state = result.to_state()
    state["first_touch"] |= reading.first_touch
    state["event"] = reading.chain
    # A clock that was set back must not make this the older one.
    state["at"] = max(result.at, reading.at)
    # Outside a run there is no writer, and a host's own writer may raise: neither concerns the dialogue.
    with contextlib.suppress(Exception):
        get_stream_writer()({"sitniks": dict(state)})
    return {"sitniks": state}


def is_cancelled() -> bool:
    """Whether the running task is asked to stop; if not, a CancelledError is the service's own, from a closing loop."""
    task = asyncio.current_task() if has_loop() else None
    return task is not None and task.cancelling() > 0


def origin_of(exc: BaseException) -> tuple[str, str]:
    """Type and place of an exception; its message may hold customers' words, so no log shows it."""
    frames = traceback.extract_tb(exc.__traceback__)
    return type(exc).__name__, f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "?"
