"""Wiring that cannot work, refused when a graph is built: every message names the value and ends with the cure."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, get_args, get_origin, get_type_hints

from langgraph.graph import END, START, StateGraph
from langgraph.types import Command

from mirt_sitniks.core.stages import BUILT_IN, Stage, Stages, parse_stage
from mirt_sitniks.errors import ConfigError
from mirt_sitniks.graph.reading import READ_KEYS

Builder = StateGraph[Any, Any, Any, Any]
UNSAID: Any = object()
"""What `then` is while nobody has said where the graph goes on."""
StageChoice = Stage | str | Callable[[Any], Stage | str | None] | None


def check_builder(builder: object, ours: object) -> None:
    """A StateGraph whose state has keys; its key `sitniks`, if there is one, must be the channel `ours`."""
    if not isinstance(builder, StateGraph):
        raise ConfigError(f"builder is a {type(builder).__name__}: pass the StateGraph itself, before its compile().")
    if "__root__" in builder.channels:
        raise ConfigError(
            f"The state {builder.state_schema!r} has no keys: use a TypedDict, a dataclass or a Pydantic model."
        )
    theirs = builder.channels.get("sitniks", ours)
    # To LangGraph, channels that are reduced by two different lambdas are equal.
    same = theirs == ours and getattr(theirs, "operator", None) is getattr(ours, "operator", None)
    if not same or "sitniks" in builder.managed:
        raise ConfigError(
            "The state's key `sitniks` is not what a sync writes: inherit SitniksState, declare it as "
            "`sitniks: mirt_sitniks.graph.SitniksValue`, or rename the host's own key."
        )


def check_service(service: object) -> None:
    """Something with the verbs of `SitniksChatService` that a node calls."""
    verbs = all(callable(getattr(service, verb, None)) for verb in ("sync", "sync_blocking"))
    if isinstance(service, type) or not verbs:
        what = f"the class {service.__name__}" if isinstance(service, type) else f"a {type(service).__name__}"
        raise ConfigError(f"service is {what}: pass get_sitniks_chat_service() or a SitniksChatService().")


def stages_of(service: object) -> Stages:
    """What stages a service has by its settings; the built-in ones when it has none."""
    stages: Stages = getattr(getattr(service, "settings", None), "rules", BUILT_IN)
    return stages


def checked_stage(stage: StageChoice, stages: Stages) -> str | Callable[[Any], object] | None:
    """A fixed stage as such, a function of the state or None as they are."""
    if stage is None:
        return stage
    names = ", ".join(stages)
    if isinstance(stage, str):
        known = parse_stage(stage, stages)
        if known is None:
            raise ConfigError(
                f"stage={str(stage)!r} is unknown: use one of {names}, or add it to SITNIKS_STAGES, "
                "which `mirt-sitniks doctor` checks."
            )
        return known
    return checked_function("stage", stage, f"one of {names}, a function of the state, or None")


def check_event(event: object) -> None:
    """A plain function of the state, or None."""
    if event is not None:
        checked_function("event", event, "a function of the state that returns an id, or None")


def checked_reads(builder: Builder | None, reads: object) -> dict[str, str]:
    """Keys that a sync reads, each with a key of the host's state; None: that state is not known here."""
    if not isinstance(reads, Mapping | None):
        raise ConfigError(f'reads is {reads!r}: use a dict like {{"instagram_username": "username"}}, or None.')
    for ours, theirs in (reads or {}).items():
        if ours not in READ_KEYS or ours == "sitniks":
            known = ", ".join(key for key in READ_KEYS if key != "sitniks")
            raise ConfigError(f"reads names {ours!r}, which no sync reads: use one of {known}.")
        if builder and theirs not in builder.channels:
            known = ", ".join(builder.channels)
            raise ConfigError(f"reads[{ours!r}] is {theirs!r}, which is no key of the state: use one of {known}.")
    return dict(reads or {})


def check_then(then: object, name: str) -> None:
    """A goal, a function of the state, or None when that was said."""
    if then is UNSAID:
        raise ConfigError(
            f"then is missing: name the node that follows {name!r}, or END; or say then=None and wire it yourself."
        )
    if isinstance(then, str):
        if then in ("", START, name):
            raise ConfigError(f"then={then!r} leads nowhere: name the node that follows {name!r}, or END.")
    elif then is not None:
        checked_function("then", then, "a node's name, END, a function of the state, or None", plain=False)


def check_overlap(overlap: object, sources: Sequence[str], then: object) -> None:
    """Whether there is a node that the sync can run beside."""
    if not isinstance(overlap, bool):
        raise ConfigError(f"overlap is {overlap!r}: use True or False.")
    if overlap and not sources:
        raise ConfigError("overlap=True needs a node in `after`, from where both begin: name it, or leave overlap out.")
    if overlap and then in (None, END):
        raise ConfigError(f"overlap=True with then={then!r} has nothing to run beside: name a node, or leave it out.")


def checked_sources(builder: Builder, after: str | Iterable[str] | None) -> list[str]:
    """The nodes of `after`, each there, named once, and with no other way out."""
    if not isinstance(after, Iterable | None):
        raise ConfigError(f"after is {after!r}: name a node of the builder, a list of them, or pass None.")
    sources = [] if after is None else [after] if isinstance(after, str) else list(after)
    if after is not None and not sources:
        raise ConfigError("after is empty: name at least one node, or pass None and route to `name` yourself.")
    starts = {start for start, _ in builder.edges} | {start for many, _ in builder.waiting_edges for start in many}
    for source in sources:
        if source == START:
            raise ConfigError("after is START: pass after=None with a name, and add_edge(START, name).")
        if source not in builder.nodes:
            known = ", ".join(builder.nodes) or "none yet"
            raise ConfigError(f"after={source!r} is not among the builder's nodes ({known}): add it first.")
        if sources.count(source) > 1:
            raise ConfigError(f"after names {source!r} twice: name it once.")
        if source in starts or builder.branches.get(source):
            raise ConfigError(
                f"after={source!r} already has an edge and would route twice: remove it, and name its goal as `then` "
                "(a node has one sync; its stage may be a function)."
            )
        if _routes_by_command(builder, source):
            raise ConfigError(
                f"after={source!r} routes by Command and would route twice: pass after=None with a name, and goto that."
            )
    return sources


def checked_name(builder: Builder, name: str | None, after: str | Iterable[str] | None) -> str:
    """The name of the sync's node, new to the builder."""
    if name is None:
        if not isinstance(after, str):
            raise ConfigError("name is missing: with several nodes in `after`, or none, give the sync a name.")
        name = f"sitniks_sync_{after}"
    if not isinstance(name, str) or not name or name in (START, END) or "|" in name or ":" in name:
        raise ConfigError(f"name={name!r} cannot name a node: use text without '|' and ':'.")
    if name in builder.nodes:
        raise ConfigError(f"name={name!r} is already a node of the builder: give this sync another name.")
    return name


def returned(function: object) -> Any:
    """What a function, or an object's `__call__`, is annotated to return; None when that cannot be read."""
    while isinstance(function, partial):
        function = function.func
    for target in (function, getattr(function, "__call__", None)):  # noqa: B004
        try:
            hints = get_type_hints(target)
        except (NameError, TypeError, AttributeError):
            continue
        if "return" in hints:
            return hints["return"]
    return None


def checked_function(argument: str, function: object, wanted: str, *, plain: bool = True) -> Callable[[Any], Any]:
    if not callable(function) or isinstance(function, type):
        raise ConfigError(f"{argument} is {function!r}: use {wanted}.")
    if plain and inspect.iscoroutinefunction(function):
        raise ConfigError(f"{argument} is an async function, but it is asked under invoke() too: use a plain function.")
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        raise ConfigError(f"{argument} gets the state alone: give {function!r} one parameter.") from None
    except ValueError:
        pass  # A builtin without a signature shows when it is called.
    return function


def _routes_by_command(builder: Builder, source: str) -> bool:
    spec = builder.nodes[source]
    if spec.ends:
        return True
    # LangGraph itself overlooks `dict | Command[...]` and a Command without its goals.
    promised = [returned(getattr(spec.runnable, attribute, None)) for attribute in ("func", "afunc")]
    return any(
        Command in (hint, get_origin(hint)) for annotation in promised for hint in (annotation, *get_args(annotation))
    )
