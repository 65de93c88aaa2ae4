"""The node: reads the state, hands the stage to the service, writes one key, never raises."""

import asyncio
import contextlib
import traceback
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from logging import ERROR, WARNING
from typing import Any, Protocol

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.config import get_stream_writer

from mirt_sitniks.core.result import SKIPS, Outcome, SyncResult
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.graph.reading import Decision, Reading, decide, read, stage_in
from mirt_sitniks.log import log

Values = Mapping[str, Any]
Choose = Callable[[Values], Decision]


class SyncService(Protocol):
    """The part of `SitniksChatService` that a node needs; see there for the arguments."""

    @property
    def sync(self) -> Callable[..., Awaitable[SyncResult]]:
        """Record a stage, then wait for the CRM no longer than the reply budget."""
        ...

    @property
    def sync_blocking(self) -> Callable[..., SyncResult]:
        """The same for a caller without an event loop."""
        ...

    @property
    def skip(self) -> Callable[..., SyncResult]:
        """Say that nothing was to be done, and why."""
        ...


class Host(Protocol):
    """What a sync knows of the graph that it is part of."""

    @property
    def nodes(self) -> Collection[str]:
        """The names of its nodes."""
        ...

    def view(self, values: Values) -> Any:
        """The state in the form that the host declared, for its own functions."""
        ...

    def seen(self, values: Values) -> Values:
        """The state under the keys that a sync reads."""
        ...


def chooser(stage: Stage | Callable[[Any], object] | None, host: Host) -> Choose:
    """The one function of state that the edges and the node ask: which stage is to be synced, if any.

    `stage` is fixed, or a function of the host's state, or None: the state names it. A function that raises is logged,
    and nothing is synced.
    """

    def choose(values: Values) -> Decision:
        seen = host.seen(values)
        try:
            asked = stage(host.view(values)) if callable(stage) else stage or stage_in(seen)
        except Exception as exc:
            log(ERROR, "the stage function raised %s at %s, nothing is synced", *_origin(exc))
            return None
        return decide(seen, asked, host.nodes)

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
        visit = self._enter(input, config)
        if visit is None:
            return {"sitniks": {}}
        try:
            if visit.obstacle:
                return visit.update(visit.skipped(self._service))
            return visit.update(self._service.sync_blocking(**visit.arguments))
        except (Exception, asyncio.CancelledError) as exc:
            return visit.update(visit.failed(exc))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Sync for `graph.ainvoke`, on whatever event loop runs; a cancellation of the reply passes through."""
        visit = self._enter(input, config)
        if visit is None:
            return {"sitniks": {}}
        try:
            if visit.obstacle:
                return visit.update(visit.skipped(self._service))
            return visit.update(await self._service.sync(**visit.arguments))
        except (Exception, asyncio.CancelledError) as exc:
            if isinstance(exc, asyncio.CancelledError) and _is_cancelled():
                raise
            return visit.update(visit.failed(exc))

    def _enter(self, values: Values, config: RunnableConfig | None) -> "_Visit | None":
        decision = self._choose(values)
        if decision is None:
            return None
        configurable = (config or {}).get("configurable") or {}
        reading = read(
            self._host.seen(values),
            thread_id=configurable.get("thread_id"),
            checkpoint_ns=configurable.get("checkpoint_ns"),
            nodes=self._host.nodes,
            event=self._named(values),
        )
        return _Visit(decision if isinstance(decision, Stage) else None, reading)

    def _named(self, values: Values) -> object:
        """What the host calls the event; a function that raises is logged, and the messages tell instead."""
        try:
            return self._event(self._host.view(values)) if self._event else None
        except Exception as exc:
            log(ERROR, "the event function raised %s at %s, the messages name the event", *_origin(exc))
            return None


@dataclass(frozen=True, slots=True)
class _Visit:
    """One run of the node: its stage (None: the host named one that does not exist) and what it read."""

    stage: Stage | None
    reading: Reading

    @property
    def obstacle(self) -> str | None:
        """Why there is nothing to hand to the service, or None."""
        if self.stage is None:
            return "unknown_stage"
        return None if self.reading.session else "no_session"

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the service's `sync`."""
        stage, reading = self.stage, self.reading
        return {
            "stage": stage,
            "session": reading.session,
            "instagram_username": reading.instagram_username,
            "telegram_username": reading.telegram_username,
            # A reason stays in state after its escalation; later stages have nothing to do with it.
            "reason": reading.reason if stage is Stage.ESCALATION else None,
            "chat_id": reading.chat_id,
            "intent": reading.intent(stage),
        }

    def skipped(self, service: SyncService) -> SyncResult:
        reason = self.obstacle or ""
        ids = {"session": self.reading.session, "chat": self.reading.chat_id}
        log(WARNING, "nothing is synced, %s", SKIPS[reason], **ids, stage=self.stage, reason=reason)
        return service.skip(self.stage, reason)

    def failed(self, exc: BaseException) -> SyncResult:
        """The service broke its promise not to raise: the dialogue goes on all the same."""
        log(ERROR, "the sync raised %s at %s", *_origin(exc), session=self.reading.session, stage=self.stage)
        return SyncResult(
            stage=self.stage,
            at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            outcome=Outcome.FAILED,
            chat_id=self.reading.chat_id,
            error={"code": "unavailable", "message": f"The sync raised {type(exc).__name__}; see the log."},
        )

    def update(self, result: SyncResult) -> dict[str, Any]:
        """The update of the state, told to whoever streams `custom` events as well."""
        state = result.to_state()
        state["first_touch"] |= self.reading.first_touch
        state["event"] = self.reading.chain
        # A clock that was set back must not make this the older one.
        state["at"] = max(result.at, self.reading.at)
        # Outside a run there is no writer, and a host's own writer may raise: neither concerns the dialogue.
        with contextlib.suppress(Exception):
            get_stream_writer()({"sitniks": dict(state)})
        return {"sitniks": state}


def _is_cancelled() -> bool:
    """Whether the running task is asked to stop; if not, a CancelledError is the service's own, from a closing loop."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _origin(exc: BaseException) -> tuple[str, str]:
    """Type and place of an exception; its message may hold customers' words, so no log shows it."""
    frames = traceback.extract_tb(exc.__traceback__)
    return type(exc).__name__, f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "?"
