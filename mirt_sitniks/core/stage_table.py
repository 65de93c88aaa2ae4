"""A shop's own stages, as a table in JSON or TOML: pure; what cannot be right is told by its key, with the cure."""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from mirt_sitniks.core.notes import CURE, is_template
from mirt_sitniks.core.spelling import closest
from mirt_sitniks.core.stages import PRIORITIES, Role, StageRule, Stages

MOST, LONGEST, LARGEST = 100, 200, 1_000_000
_KEYS = tuple(one.name for one in fields(StageRule))
_NAME = "a stage's name is made of a-z, 0-9 and `_`, begins with a letter, and has at most 64 of them"
_STATUS = "give the name of a status as Sitniks shows it"
_TWICE = "said twice"


def parse_stages(text: str) -> Stages:
    """Stages from text: JSON when it begins with `{`, else TOML. Raises `ValueError`, one line with the cure."""
    if len(text) >= LARGEST:
        raise ValueError("it has 1 MB or more: give a file that has nothing but stages")
    # A list is no table, and is told so; to TOML its brackets mean nothing.
    in_json = text.lstrip().startswith(("{", "[{", "[]"))
    try:
        raw = json.loads(text, object_pairs_hook=_once) if in_json else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 0) or next(iter(re.findall(r"at line (\d+)", str(error))), 0)
        at = f", line {line}" if line else ", at its end" if "at end" in str(error) else ""
        if re.search(f"{_TWICE}|Cannot|Duplicate", str(error)):
            raise ValueError(f"it says something twice{at}: keep one of the two") from None
        kind = "JSON" if in_json else "TOML"
        raise ValueError(f'it is no {kind}{at}: correct it there, texts stand in "straight quotes"') from None
    return stages_of(raw)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A table of JSON, which would keep the last of two, and say nothing."""
    if len(table := dict(pairs)) < len(pairs):
        raise ValueError(_TWICE)
    return table


def stages_of(raw: object) -> Stages:
    """Stages from a mapping of names to a `StageRule`, or to a mapping of its fields. Raises `ValueError`."""
    if not isinstance(raw, Mapping):
        raise ValueError('give a table of stages, like {"paid": {"status": "ОПЛАЧЕНО"}}')
    if len(raw) > MOST:
        raise ValueError(f"give at most {MOST} stages")
    return {_name(name): _rule(str(name), one) for name, one in raw.items()}


def _name(name: object) -> str:
    if not isinstance(name, str) or not re.fullmatch("[a-z][a-z0-9_]{0,63}", name) or name == "unknown_stage":
        raise ValueError(f"{str(name)[:64]!r} is no name: {_NAME}")
    return str(name)


def _rule(name: str, raw: object) -> StageRule:
    if isinstance(raw, StageRule):
        values: Mapping[Any, object] = {key: getattr(raw, key) for key in _KEYS}
    elif isinstance(raw, Mapping):
        values = raw
    else:
        raise ValueError(f'{name} is no table: give at least its status, like {name} = {{status = "ОПЛАЧЕНО"}}')
    for key in values:
        if key not in _KEYS:
            meant = closest(str(key), _KEYS)
            odd = str(key)[:64] if str(key).isprintable() else ascii(str(key)[:64])
            raise ValueError(f"{name}.{odd} is nothing a stage has: use {meant or ', '.join(_KEYS)}")
    if "status" not in values:
        raise ValueError(f"{name}.status is missing: {_STATUS}")
    return StageRule(**{str(key): _checked(f"{name}.{key}", str(key), value) for key, value in values.items()})


def _checked(where: str, key: str, value: object) -> Any:
    """A field's value in its own type."""
    if key == "status" and _is_status(value):
        return str(value).strip()
    if key == "replaces" and isinstance(value, list | tuple) and all(map(_is_status, value)):
        return tuple(str(one).strip() for one in value)
    if key == "assign" and (value is None or value in tuple(Role)):
        return value and str(value)
    if key == "urgency" and value in tuple(PRIORITIES):
        return value
    if key == "note" and (value is None or (isinstance(value, str) and is_template(value))):
        return value
    if key in ("once", "respects_people") and isinstance(value, bool):
        return value
    raise ValueError(f"{where} cannot be right: {_CURES[key]}")


def _is_status(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and 0 < len(value.strip()) <= LONGEST


_CURES = {
    "status": f"{_STATUS}, of at most {LONGEST} characters",
    "replaces": 'give a list of names of statuses, like ["Виставлено рахунок"]',
    "assign": f"give {' or '.join(Role)}, or leave it out",
    "urgency": f"give {', '.join(PRIORITIES)}",
    "once": "give true or false",
    "respects_people": "give true or false",
    "note": f"{CURE}, or leave it empty for none",
}
