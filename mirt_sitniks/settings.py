"""What the host decides, read from keywords, the environment and `.env`, and checked once."""

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import tzinfo
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, Literal, NoReturn, Self, TypedDict, Unpack, cast
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from mirt_sitniks.core.addresses import is_address, is_loopback, is_public, is_sendable
from mirt_sitniks.core.budget import VENDOR, Limit
from mirt_sitniks.core.hours import Hours, parse_hours
from mirt_sitniks.core.notes import CURE, TEMPLATE, is_template
from mirt_sitniks.core.spelling import closest, meant_by
from mirt_sitniks.core.stage_table import parse_stages, stages_of
from mirt_sitniks.core.stages import BUILT_IN, Stage, StageRule, Stages
from mirt_sitniks.errors import ConfigError
from mirt_sitniks.process.off_loop import off_loop


def _that(check: Callable[[Any], object]) -> AfterValidator:
    """Refuses a value for which `check` gives nothing."""

    def checked(value: Any) -> Any:
        if not check(value):
            raise ValueError
        return value

    return AfterValidator(checked)


def _set(default: object, cure: str, **bounds: Any) -> Any:
    """A field with its default, and with what is said where its value cannot be right."""
    return Field(default, description=cure, **bounds)


def _bare(value: str) -> str:
    """Without whitespace and one pair of quotes: a container's env file keeps those that a shell would take away."""
    value = value.strip()
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1].strip() if quoted else value


def _listed(value: object) -> object:
    return [name for one in value.split(",") if (name := _bare(one))] if isinstance(value, str) else value


def _joined(value: object) -> object:
    """Several secrets as one text, with commas between them; a list with nothing but an empty one is not empty."""
    value = value.get_secret_value() if isinstance(value, SecretStr) else value
    if isinstance(value, str):
        return ",".join(map(_bare, value.split(",")))
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return ",".join(map(_bare, value)) or "," * len(value)
    return value


def _are_secrets(value: SecretStr) -> bool:
    """Whether each can stand in a path as it is, and cannot be guessed; the empty text has none."""
    return all(re.fullmatch(r"[\w.~-]{16,200}", one, re.ASCII) for one in value.get_secret_value().split(",") if value)


def _is_period(value: float) -> bool:
    return value == 0 or 15 <= value <= 3600


def _one_or_more(value: object) -> object:
    """One id as it is, several as a tuple, each once."""
    listed = _listed(value)
    ids = tuple(dict.fromkeys(str(one) for one in listed)) if isinstance(listed, list | tuple) else ()
    return (ids[0] if len(ids) == 1 else ids) if ids else value


_PRINTABLE = _that(lambda value: value.isprintable())
_NOTHING = BeforeValidator(lambda value: "" if value is None else value)
_BY_ID = BeforeValidator(lambda value: str(value) if type(value) is int else value)
_Rate = Annotated[Limit, BeforeValidator(Limit.parse), PlainSerializer(str, return_type=str)]
_Name = Annotated[str, Field(min_length=1, max_length=200), _PRINTABLE]
_Id = Annotated[int, Field(ge=1, lt=2**63)]
_Ids = Annotated[_Id | Annotated[tuple[_Id, ...], Field(max_length=50)] | None, BeforeValidator(_one_or_more)]
_Hours = Annotated[
    Hours | None, PlainValidator(lambda value: _hours(value)), PlainSerializer(lambda value: value and str(value))
]
_Names = Annotated[tuple[_Name, ...], BeforeValidator(_listed), Field(min_length=1, max_length=50)]
_Stages = Annotated[Any, PlainValidator(lambda value: _stages(value)), PlainSerializer(lambda value: _plain(value))]
_Secret = Annotated[SecretStr, _NOTHING]
_PREFIXES = {"api": "SNITKIX_", "supabase": ""}
_ALSO = {"supabase_key": ("SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_API_KEY")}
_A_STATUS = "give the name of a status as Sitniks shows it"
_AN_ID = "give the manager's id in Sitniks, a positive whole number"
_TOLD = ("stages", "hours")


class _Keywords(TypedDict, total=False):
    """What `SitniksSettings(...)` takes: the fields, in the form that a host has them."""

    api_url: str | None
    api_key: str | SecretStr | None
    ai_manager_name: str
    ai_manager_id: int | None
    human_manager_id: int | str | Sequence[int] | None
    hours: str | None
    answer_within: int | None
    status_first_touch: str
    status_give_requisites: str
    status_escalation: str
    stages: str | Mapping[str, StageRule | Mapping[str, object]] | None
    reply_budget: float
    timeout: float
    rate_limit: str | Limit
    lookback_minutes: int
    status_new: str | Sequence[str]
    look_again: float
    hold_hours: float
    owner: str | int | None
    account: str
    notes: bool
    note_template: str
    retain_days: int
    watch: float | None
    watch_share: float
    webhook_secrets: str | SecretStr | Sequence[str] | None
    store: Literal["sqlite", "supabase"] | None
    database: str
    supabase_url: str | None
    supabase_key: str | SecretStr | None
    _env_file: str | None


class SitniksSettings(BaseSettings):
    """All settings, frozen; keywords by field name go before the environment, the environment before `.env`.

    `VARIABLES` says which variable sets which field. Whitespace and one pair of quotes around a value go; a variable
    that is empty counts as unset, and hides its twin in `.env`. Without `api_url` or `api_key` the service is disabled.
    Times are seconds where the name has no unit.

    Raises `ConfigError` for a keyword that is no field, and for a value that cannot be right: it names the variable and
    the cure and never shows the value, because a secret can stand in the wrong variable. The Supabase settings are only
    judged when they are used. Pickling is refused: it would write the keys down.
    """

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True)

    api_url: Annotated[str, _NOTHING, _that(lambda value: not value or is_address(value))] = _set(
        "", "give the address of the CRM (https://crm.sitniks.com): https, or http on loopback; no query, no login"
    )
    api_key: Annotated[_Secret, _that(lambda value: is_sendable(value.get_secret_value()))] = _set(
        SecretStr(""), "copy the key alone from Sitniks, without `Bearer` or spaces, then replace it if that fails"
    )
    ai_manager_name: _Name = _set("Павло", "give the full name of a manager as Sitniks shows it")
    ai_manager_id: _Id | None = _set(None, _AN_ID)
    human_manager_id: _Ids = _set(None, f"{_AN_ID}, or several with commas between them")
    hours: _Hours = _set(None, "give days, times and a time zone like Mon-Fri 09:00-19:00 Europe/Kyiv")
    answer_within: int | None = _set(None, "give a whole number of minutes from 1 to 1440", ge=1, le=1440)
    status_first_touch: _Name = _set(BUILT_IN[Stage.FIRST_TOUCH].status, _A_STATUS)
    status_give_requisites: _Name = _set(BUILT_IN[Stage.GIVE_REQUISITES].status, _A_STATUS)
    status_escalation: _Name = _set(BUILT_IN[Stage.ESCALATION].status, _A_STATUS)
    stages: _Stages = Field(
        default_factory=dict,
        description='give a table as JSON, like {"paid": {"status": "ОПЛАЧЕНО"}}, or the path of a TOML file',
    )
    reply_budget: float = _set(1.5, "give seconds from 0 to 60", ge=0, le=60)
    timeout: float = _set(10.0, "give seconds from 0.1 to 25", ge=0.1, le=25)
    rate_limit: _Rate = _set(
        Limit(), "give calls/seconds like 9/10.5: 1 to 10 calls, and at most 10 in 10 seconds unless on loopback"
    )
    lookback_minutes: int = _set(5, "give a whole number of minutes from 1 to 1440", ge=1, le=1440)
    status_new: _Names = _set(
        ("Нові заявки", "Новый", "Новий"), "give names of statuses as Sitniks shows them, with commas between them"
    )
    look_again: float = _set(60.0, "give seconds from 0 (always) to 86400", ge=0, le=86_400)
    hold_hours: float = _set(24.0, "give hours from 0 (nobody's changes are respected) to 8760", ge=0, le=8760)
    owner: Annotated[str, _PRINTABLE, _BY_ID, _NOTHING] = _set(
        "", "give the id or the name of the shop's page as Sitniks shows it", max_length=200
    )
    account: Annotated[str, Field(pattern=r"\A[A-Za-z0-9._-]{1,64}\z")] = _set(
        "main", "give a short name of letters, digits, `.`, `_` and `-`"
    )
    notes: bool = _set(True, "give true or false")
    note_template: Annotated[str, _that(is_template)] = _set(TEMPLATE, CURE, min_length=1)
    retain_days: int = _set(90, "give a whole number of days from 1 to 3650", ge=1, le=3650)
    watch: Annotated[float, BeforeValidator(lambda value: 0 if value is None else value), _that(_is_period)] = _set(
        0.0, "give seconds from 15 to 3600, or 0: never"
    )
    watch_share: float = _set(0.1, "give a share of the calls: more than 0, at most 0.5", gt=0, le=0.5)
    webhook_secrets: Annotated[_Secret, BeforeValidator(_joined), _that(_are_secrets)] = _set(
        SecretStr(""),
        "give secrets of 16 to 200 letters, digits, `-`, `_`, `.` or `~`, with commas between them and none empty; "
        "`python -c 'import secrets; print(secrets.token_urlsafe())'` makes one",
    )
    store: Literal["sqlite", "supabase"] | None = _set(None, "give sqlite or supabase")
    database: str = _set("sitniks.sqlite3", "give the path of a file, or :memory:", min_length=1, validate_default=True)
    supabase_url: Annotated[str, _NOTHING] = _set(
        "", "give the address of the project (https://<project>.supabase.co), or set SITNIKS_STORE=sqlite"
    )
    supabase_key: _Secret = _set(
        SecretStr(""), "use the service_role key or an sb_secret_ key of the project, or set SITNIKS_STORE=sqlite"
    )

    def __init__(self, **values: Unpack[_Keywords]) -> None:
        problem = _strange(values)
        try:
            if not problem:
                off_loop(partial(super().__init__, **values))
        except ValidationError as exc:
            first = exc.errors(include_url=False, include_context=False, include_input=False)[0]
            field = str(first["loc"][0])
            # Of some there is more to say: which key of which stage, which part of the hours.
            told = first["msg"].removeprefix("Value error, ") if field in _TOLD else ""
            problem = f"{VARIABLES[field][0]}: {told}." if told else _wrong(field)
        except (OSError, ValueError) as exc:
            problem = f"The file .env cannot be read ({type(exc).__name__}); save it as UTF-8 text, or remove it."
        else:
            problem = problem or _problem(self)
        cast("dict[str, object]", values).clear()
        if problem:
            # Raised out here and without `self`: frames go to error trackers, and the values may be secrets.
            del self
            raise ConfigError(problem)

    @property
    def enabled(self) -> bool:
        """Whether there is an address and a key: without them nothing is called, only logged."""
        return bool(self.api_url and self.api_key)

    @property
    def human_manager_ids(self) -> tuple[int, ...]:
        """The live managers in turn; none are set: empty."""
        ids = self.human_manager_id
        return ids if isinstance(ids, tuple) else () if ids is None else (ids,)

    @property
    def store_kind(self) -> Literal["sqlite", "supabase"]:
        """The store that is used: the one set, else Supabase when its address and key are there, else SQLite."""
        return self.store or ("supabase" if self.supabase_url and self.supabase_key else "sqlite")

    @property
    def statuses(self) -> Mapping[str, str]:
        """The name of the status that each stage shows in the CRM."""
        return MappingProxyType({name: rule.status for name, rule in self.rules.items()})

    @property
    def rules(self) -> Stages:
        """What each stage wants: the built-in ones with the statuses that are set, and `stages`, which replace them.

        `note` is the template of the note that a stage leaves; of an escalation without its own that of the settings.
        """
        named = {name: replace(rule, status=str(getattr(self, f"status_{name}"))) for name, rule in BUILT_IN.items()}
        rules = {**named, **self.stages}
        if not self.notes:
            rules = {name: replace(rule, note=None) for name, rule in rules.items()}
        elif (escalation := rules[Stage.ESCALATION]).note is None:
            rules[Stage.ESCALATION] = replace(escalation, note=self.note_template)
        return MappingProxyType(rules)

    def __deepcopy__(self, memo: object = None) -> Self:
        # All values are immutable; copied one by one they would stand in frames.
        return self.__copy__()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("SitniksSettings hold keys and are not pickled: make them in the process that uses them")

    @field_validator("*", mode="before")
    @classmethod
    def _strip(cls, value: object) -> object:
        if isinstance(value, SecretStr):
            return SecretStr(_bare(value.get_secret_value()))
        return _bare(value) if isinstance(value, str) else value

    @field_validator("database")
    @classmethod
    def _absolute(cls, value: str) -> str:
        # A process may change its folder, and must not begin another file there.
        with suppress(OSError):
            return value if value == ":memory:" else os.path.abspath(value)
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Keywords, then our variables; a host's unrelated `DATABASE` or `TIMEOUT` is not ours to read."""
        return init_settings, InitSettingsSource(settings_cls, _from_variables(dotenv_settings, env_settings))


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


VARIABLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        field: (_PREFIXES.get(field.partition("_")[0], "SITNIKS_") + field.upper(), *_ALSO.get(field, ()))
        for field in SitniksSettings.model_fields
    }
)
"""Field -> the variables that set it; of several, the first that holds something usable."""


def _from_variables(*sources: PydanticBaseSettingsSource) -> dict[str, Any]:
    """The values of `VARIABLES` by field; the later of `sources` wins."""
    found: dict[str, str] = {}
    for source in sources:
        if isinstance(source, EnvSettingsSource):
            found |= {name.upper(): _bare(value or "") for name, value in source.env_vars.items()}
    values: dict[str, Any] = {}
    for field, names in VARIABLES.items():
        given = [value for name in names if (value := found.get(name))]
        # A host may keep its browser key in SUPABASE_KEY beside the service key in one of the others.
        usable = [value for value in given if not (field == "supabase_key" and is_public(value))]
        if given:
            values[field] = (usable or given)[0]
    return values


def _problem(settings: SitniksSettings) -> str | None:
    """What is wrong with values that are right by themselves, as one line with the cure; None when all is well."""
    limit = settings.rate_limit
    if limit.calls * math.ceil(VENDOR.seconds / limit.seconds) > VENDOR.calls and not is_loopback(settings.api_url):
        return _wrong("rate_limit")
    if settings.store_kind == "supabase":
        url, key = settings.supabase_url, settings.supabase_key.get_secret_value()
        if not is_address(url, in_network=True):
            return _wrong("supabase_url", "cannot be right" if url else "is not set")
        if not key or not is_sendable(key) or is_public(key):
            return _wrong("supabase_key", "cannot be right" if key else "is not set")
    return None


def look_alikes() -> dict[str, str]:
    """Variables of the environment and `.env` that nothing reads but look like ours, each with the one that is read."""
    read = off_loop(lambda: (EnvSettingsSource(SitniksSettings), DotEnvSettingsSource(SitniksSettings)))
    names = {name.upper() for source in read for name in source.env_vars}
    return meant_by(names, {name for known in VARIABLES.values() for name in known if not name.startswith("SUPABASE")})


def _strange(values: Mapping[str, object]) -> str | None:
    """What is wrong with the names of keywords."""
    fields = [*SitniksSettings.model_fields, "_env_file"]
    named = {variable: field for field, known in VARIABLES.items() for variable in known}
    for name in values:
        if name not in fields:
            meant = named.get(name.upper()) or closest(name, fields, 0.85)
            meant = meant or closest(name.rpartition("_")[2], fields, 0.6)
            cure = f"use {meant}=" if meant else f"use one of {', '.join(SitniksSettings.model_fields)}"
            return f"SitniksSettings has no {name}: {cure}."
    return None


def _wrong(field: str, how: str = "cannot be right") -> str:
    known = SitniksSettings.model_fields.get(field)
    cure = known.description if known else "correct it or remove it"
    return f"{VARIABLES[field][0] if known else field} {how}: {cure}."
