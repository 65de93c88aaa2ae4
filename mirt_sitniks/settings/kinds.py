"""What a setting may be: its kinds, how each is read from text, and how a value is judged by itself."""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import tzinfo
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, SecretStr

from mirt_sitniks.core.budget import Limit
from mirt_sitniks.core.hours import Hours, parse_hours
from mirt_sitniks.core.stage_table import parse_stages, stages_of
from mirt_sitniks.core.stages import Stages


def that(check: Callable[[Any], object]) -> AfterValidator:
    """Refuses a value for which `check` gives nothing."""

    def checked(value: Any) -> Any:
        if not check(value):
            raise ValueError
        return value

    return AfterValidator(checked)


def setting(default: object, cure: str, **bounds: Any) -> Any:
    """A field with its default, and with what is said where its value cannot be right."""
    return Field(default, description=cure, **bounds)


def bare(value: str) -> str:
    """Without whitespace and one pair of quotes: a container's env file keeps those that a shell would take away."""
    value = value.strip()
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1].strip() if quoted else value


def _listed(value: object) -> object:
    return [name for one in value.split(",") if (name := bare(one))] if isinstance(value, str) else value


def joined(value: object) -> object:
    """Several secrets as one text, with commas between them; a list with nothing but an empty one is not empty."""
    value = value.get_secret_value() if isinstance(value, SecretStr) else value
    if isinstance(value, str):
        return ",".join(map(bare, value.split(",")))
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return ",".join(map(bare, value)) or "," * len(value)
    return value


def are_secrets(value: SecretStr) -> bool:
    """Whether each can stand in a path as it is, and cannot be guessed; the empty text has none."""
    return all(re.fullmatch(r"[\w.~-]{16,200}", one, re.ASCII) for one in value.get_secret_value().split(",") if value)


def is_period(value: float) -> bool:
    return value == 0 or 15 <= value <= 3600


def _one_or_more(value: object) -> object:
    """One id as it is, several as a tuple, each once."""
    listed = _listed(value)
    ids = tuple(dict.fromkeys(str(one) for one in listed)) if isinstance(listed, list | tuple) else ()
    return (ids[0] if len(ids) == 1 else ids) if ids else value


def _stages(value: object) -> Stages:
    """The stages of a keyword, of JSON, or of a TOML file."""
    if not isinstance(value, str):
        return stages_of(value or {})
    if not value or value.startswith("{"):
        return parse_stages(value)
    try:
        with open(value, encoding="utf-8-sig") as file:
            text = file.read(1_000_000)
    except (OSError, ValueError) as exc:
        why = f"the file that it names cannot be read ({type(exc).__name__})"
        raise ValueError(f"{why}: give the path of a TOML file in UTF-8, or a table as JSON") from None
    return parse_stages(text)


def _hours(value: object) -> Hours | None:
    """Working hours, read from text."""
    if isinstance(value, Hours) or not value:
        return value or None  # type: ignore[return-value]
    if not isinstance(value, str):
        raise ValueError("give them as text like Mon-Fri 09:00-19:00 Europe/Kyiv")
    return parse_hours(value, _zone)


def _zone(name: str) -> tzinfo:
    # Databases of before 2022 know Kyiv by its former spelling only.
    for one in (name, name.replace("Kyiv", "Kiev")):
        with suppress(KeyError, ValueError, OSError):
            return ZoneInfo(one)
    if available_timezones():
        raise ValueError("there is no time zone of this name: name one like Europe/Kyiv")
    raise ValueError("this machine has no database of time zones: pip install tzdata")


def _plain(stages: Stages) -> dict[str, dict[str, object]]:
    return {name: asdict(rule) for name, rule in stages.items()}


PRINTABLE = that(lambda value: value.isprintable())
NOTHING = BeforeValidator(lambda value: "" if value is None else value)
BY_ID = BeforeValidator(lambda value: str(value) if type(value) is int else value)
Rate = Annotated[Limit, BeforeValidator(Limit.parse), PlainSerializer(str, return_type=str)]
Name = Annotated[str, Field(min_length=1, max_length=200), PRINTABLE]
Id = Annotated[int, Field(ge=1, lt=2**63)]
Ids = Annotated[Id | Annotated[tuple[Id, ...], Field(max_length=50)] | None, BeforeValidator(_one_or_more)]
WorkingHours = Annotated[Hours | None, PlainValidator(_hours), PlainSerializer(lambda value: value and str(value))]
Names = Annotated[tuple[Name, ...], BeforeValidator(_listed), Field(min_length=1, max_length=50)]
ShopStages = Annotated[Any, PlainValidator(_stages), PlainSerializer(_plain)]
Secret = Annotated[SecretStr, NOTHING]
