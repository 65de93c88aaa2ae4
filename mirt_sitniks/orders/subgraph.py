"""The door for orders into a host's graph: one node behind another, that makes the order once."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from langgraph.graph import StateGraph
from typing_extensions import TypedDict

from mirt_sitniks.errors import ConfigError
from mirt_sitniks.graph.state import keep_newest
from mirt_sitniks.graph.subgraph import BuilderT, Event, NoCache, Route, goals_of, host_of, routes, typed_dict
from mirt_sitniks.graph.wiring import (
    UNSAID,
    check_event,
    check_then,
    checked_function,
    checked_name,
    checked_reads,
    checked_sources,
)
from mirt_sitniks.orders.node import KEY, OrderNode, OrderOf, OrderService

SitniksOrderValue = Annotated[dict[str, Any], keep_newest]
"""Type of the key `sitniks_order` in a state that declares it itself."""


class SitniksOrderState(TypedDict, total=False):
    """Mixin for a host's TypedDict state whose nodes read what became of the thread's last order.

    `sitniks_order` is empty until the first one, then plain JSON: `outcome`, `order_id`, `order_number`, `external_id`,
    `error`; `at` and `event` say of when and of what it is.
    """

    sitniks_order: SitniksOrderValue


def add_order_subgraph(
    builder: BuilderT,
    *,
    service: OrderService,
    after: str | Iterable[str] | None,
    order: OrderOf,
    then: str | Route | None = UNSAID,
    event: Event | None = None,
    name: str | None = None,
    reads: Mapping[str, str] | None = None,
) -> BuilderT:
    """Put a node behind `after` that makes an order in the CRM, and return the builder.

    `order` is a function of the host's state, sync or async, that returns an `Order`, or None: no order. An order is
    one of its session and event: retried, replayed, resumed or visited again it is not made a second time, and an event
    later the same goods are a new order, so return None where nothing was bought. `event` names what happened, such as
    the id of the cart or the payment, and is the sure way; without it `metadata.message_id` and the customer's last
    message tell. `after`, `then`, `reads` and `name` (`sitniks_order_<after>`) are as in `add_subgraph`.

    What became of it is under `sitniks_order` in the state (`SitniksOrderState`), also of a host that never declared
    the key. What goes wrong inside, the host's function included, is told there and logged, never raised. Wiring that
    cannot work raises `ConfigError`, here.
    """
    host, seen = host_of(builder, checked_reads(builder, reads))
    _check_key(builder)
    _check_service(service)
    checked_function("order", order, "a function of the state that returns an Order, or None", plain=False)
    check_event(event)
    sources = checked_sources(builder, after)
    name = checked_name(builder, f"sitniks_order_{after}" if name is None and isinstance(after, str) else name, after)
    check_then(then, name)

    schema = typed_dict("SitniksOrderReads", {**seen.__annotations__, KEY: SitniksOrderValue}, total=False)
    builder.add_node(name, OrderNode(service, order, host, event), input_schema=schema, cache_policy=NoCache())
    for source in sources:
        builder.add_edge(source, name)
    if isinstance(then, str):
        builder.add_edge(name, then)
    elif then is not None:
        _, onward = routes(name, lambda _: "unknown_stage", then, host.view, schema)
        builder.add_conditional_edges(name, onward, goals_of(then) or None)
    return builder


def _check_key(builder: StateGraph[Any, Any, Any, Any]) -> None:
    ours = StateGraph(SitniksOrderState).channels[KEY]
    theirs: Any = builder.channels.get(KEY, ours)
    if theirs != ours or getattr(theirs, "operator", None) is not keep_newest or KEY in builder.managed:
        raise ConfigError(
            f"The state's key `{KEY}` is not what an order writes: inherit SitniksOrderState, declare it as "
            f"`{KEY}: mirt_sitniks.orders.SitniksOrderValue`, or rename the host's own key."
        )


def _check_service(service: object) -> None:
    if isinstance(service, type) or not callable(getattr(service, "create_order", None)):
        what = f"the class {service.__name__}" if isinstance(service, type) else f"a {type(service).__name__}"
        raise ConfigError(f"service is {what}: pass SitniksOrderService(get_sitniks_chat_service()).")
