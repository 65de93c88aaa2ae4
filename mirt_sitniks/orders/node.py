"""The node that makes an order: asks the host's function for it, hands it to the service, never raises."""

import asyncio
import contextlib
import hashlib
import inspect
import time
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from logging import ERROR
from typing import Any, Protocol

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.config import get_stream_writer
from pydantic import ValidationError

from mirt_sitniks.core.result import iso
from mirt_sitniks.graph.node import Host, Values, is_cancelled, origin_of
from mirt_sitniks.graph.reading import Reading, read
from mirt_sitniks.log import log
from mirt_sitniks.orders.models import Order
from mirt_sitniks.orders.problems import wrong_types
from mirt_sitniks.process.off_loop import off_loop

KEY = "sitniks_order"
"""The key of graph state that an order's outcome is written to."""

OrderOf = Callable[[Any], Order | Awaitable[Order | None] | None]
Update = dict[str, Any]


class OrderService(Protocol):
    """The part of `SitniksOrderService` that a node needs; see there for the arguments."""

    @property
    def account(self) -> str:
        """Whose orders they are."""
        ...

    @property
    def create_order(self) -> Callable[..., Awaitable[Any]]:
        """Record an order, and wait for the CRM no longer than the reply budget."""
        ...


class OrderNode(Runnable[Any, Update]):
    """A public Runnable with both doors, as a sync's node is."""

    def __init__(
        self, service: OrderService, order: OrderOf, host: Host, event: Callable[[Any], object] | None = None
    ) -> None:
        self.name = "order"
        self._service = service
        self._order = order
        self._host = host
        self._event = event

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Update:
        """Make the order for `graph.invoke`: an event loop of its own, for the host's function may be async."""
        context = copy_context()
        return off_loop(lambda: context.run(asyncio.run, self.ainvoke(input, config)))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Update:
        """Make the order on whatever event loop runs; a cancellation of the reply passes through."""
        last = _last(input)
        try:
            found = self._order(self._host.view(input))
            order = await found if inspect.isawaitable(found) else found
            if order is None:
                return {KEY: {}}
            said = await self._made(order, self._reading(input, config), last)
        except (Exception, asyncio.CancelledError) as exc:
            if isinstance(exc, asyncio.CancelledError) and is_cancelled():
                raise
            log(ERROR, "no order is made: %s at %s", *origin_of(exc))
            said = _failed(_why(exc))
        # A clock that was set back must not make this the older one.
        said["at"] = max(iso(time.time()), str(last.get("at") or ""))
        with contextlib.suppress(Exception):
            get_stream_writer()({KEY: dict(said)})
        return {KEY: said}

    async def _made(self, order: object, reading: Reading, last: Values) -> Update:
        if not isinstance(order, Order):
            return _failed(f"the order function returned {type(order).__name__}: return an Order, or None")
        session = reading.session or ""
        external_id = external_id_of(self._service.account, session, reading, last)
        if not session or not external_id:
            missing = "event: give event=, or metadata.message_id" if session else "session: set session_id"
            return _failed(f"there is no {missing} in the state")
        event = (reading.intent() or ("",))[0]
        try:
            result = await self._service.create_order(
                order, external_id=external_id, session=session, chat_id=reading.chat_id, event=event
            )
        except Exception as exc:
            # It may be recorded: the same event has the same id again.
            log(ERROR, "the order service raised %s at %s", *origin_of(exc))
            return {**_failed(_why(exc)), "external_id": external_id, "event": event}
        return {**result.to_state(), "event": event}

    def _reading(self, values: Values, config: RunnableConfig | None) -> Reading:
        configurable = (config or {}).get("configurable") or {}
        return read(
            self._host.seen(values),
            thread_id=configurable.get("thread_id"),
            checkpoint_ns=configurable.get("checkpoint_ns"),
            nodes=self._host.nodes,
            event=self._event(self._host.view(values)) if self._event else None,
        )


def external_id_of(account: str, session: str, reading: Reading, last: Values) -> str | None:
    """The order's id: the same over retry, replay and resume, another for every event; no content. None: no event.

    `last` is what the state holds of the order before. A message with no id, or with one that may be made anew at every
    run, is known by what was said until it and by the order before; a second visit of the same one by its id.
    """
    keys = reading.intent()
    if keys is None:
        return None
    before = last.get("external_id")
    if keys[0] == last.get("event") != reading.chain and before:
        return str(before)
    # One that failed has no id; when that was tells as well.
    key = f"{reading.chain}/{before or last.get('at') or ''}" if keys[-1] == reading.chain else keys[0]
    return hashlib.sha256("\0".join((account, session, key)).encode("utf-8", "replace")).hexdigest()[:32]


def _last(values: Values) -> Values:
    last = values.get(KEY)
    return last if isinstance(last, dict) else {}


def _failed(message: str) -> Update:
    nothing = dict.fromkeys(("order_id", "order_number", "external_id", "event"))
    return {"outcome": "failed", **nothing, "error": {"code": "order_invalid", "message": message}}


def _why(exc: BaseException) -> str:
    """What became of the order function, without the values that it worked on."""
    if not isinstance(exc, ValidationError):
        return f"making the order raised {type(exc).__name__}: see the log"
    return "; ".join(wrong_types(exc))
