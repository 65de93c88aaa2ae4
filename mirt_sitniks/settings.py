"""What the host decides, read from keywords, the environment and `.env`, and checked once."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, Literal, NoReturn, Self, TypedDict, Unpack, cast

from pydantic import BeforeValidator, Field, PlainSerializer, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from mirt_sitniks.core.addresses import is_address, is_loopback, is_public, is_sendable
from mirt_sitniks.core.budget import VENDOR, Limit
from mirt_sitniks.core.stages import EFFECTS, Stage
from mirt_sitniks.errors import ConfigError
from mirt_sitniks.process.off_loop import off_loop

VARIABLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "api_url": ("SNITKIX_API_URL",),
        "api_key": ("SNITKIX_API_KEY",),
        "ai_manager_name": ("SITNIKS_AI_MANAGER_NAME",),
        "ai_manager_id": ("SITNIKS_AI_MANAGER_ID",),
        "human_manager_id": ("SITNIKS_HUMAN_MANAGER_ID",),
        "status_first_touch": ("SITNIKS_STATUS_FIRST_TOUCH",),
        "status_give_requisites": ("SITNIKS_STATUS_GIVE_REQUISITES",),
        "status_escalation": ("SITNIKS_STATUS_ESCALATION",),
        "reply_budget": ("SITNIKS_REPLY_BUDGET",),
        "timeout": ("SITNIKS_TIMEOUT",),
        "rate_limit": ("SITNIKS_RATE_LIMIT",),
        "lookback_minutes": ("SITNIKS_LOOKBACK_MINUTES",),
        "status_new": ("SITNIKS_STATUS_NEW",),
        "look_again": ("SITNIKS_LOOK_AGAIN",),
        "hold_hours": ("SITNIKS_HOLD_HOURS",),
        "owner": ("SITNIKS_OWNER",),
        "account": ("SITNIKS_ACCOUNT",),
        "retain_days": ("SITNIKS_RETAIN_DAYS",),
        "store": ("SITNIKS_STORE",),
        "database": ("SITNIKS_DATABASE",),
        "supabase_url": ("SUPABASE_URL",),
        "supabase_key": ("SUPABASE_KEY", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_API_KEY"),
    }
)
"""Field -> the variables that set it; of several, the first that holds something usable."""

_CURES: Mapping[str, str] = {
    "api_url": "give the address of the CRM (https://crm.sitniks.com): https, or http on loopback; no query, no login",
    "api_key": "copy the key alone from Sitniks, without `Bearer` or spaces, then replace it if that fails",
    "ai_manager_name": "give the full name of a manager as Sitniks shows it",
    "ai_manager_id": "give the manager's id in Sitniks, a positive whole number",
    "human_manager_id": "give the manager's id in Sitniks, a positive whole number",
    "status_first_touch": "give the name of a status as Sitniks shows it",
    "status_give_requisites": "give the name of a status as Sitniks shows it",
    "status_escalation": "give the name of a status as Sitniks shows it",
    "reply_budget": "give seconds from 0 to 60",
    "timeout": "give seconds from 0.1 to 25",
    "rate_limit": "give calls/seconds like 9/10.5: 1 to 10 calls, and at most 10 in 10 seconds unless on loopback",
    "lookback_minutes": "give a whole number of minutes from 1 to 1440",
    "status_new": "give names of statuses as Sitniks shows them, with commas between them",
    "look_again": "give seconds from 0 (always) to 86400",
    "hold_hours": "give hours from 0 (nobody's changes are respected) to 8760",
    "owner": "give the id or the name of the shop's page as Sitniks shows it",
    "account": "give a short name of letters, digits, `.`, `_` and `-`",
    "retain_days": "give a whole number of days from 1 to 3650",
    "store": "give sqlite or supabase",
    "database": "give the path of a file, or :memory:",
    "supabase_url": "give the address of the project (https://<project>.supabase.co), or set SITNIKS_STORE=sqlite",
    "supabase_key": "use the service_role key or an sb_secret_ key of the project, or set SITNIKS_STORE=sqlite",
}

_Rate = Annotated[Limit, BeforeValidator(Limit.parse), PlainSerializer(str, return_type=str)]
_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Id = Annotated[int, Field(ge=1, lt=2**63)]
_Names = Annotated[tuple[_Name, ...], BeforeValidator(lambda value: _listed(value)), Field(min_length=1, max_length=50)]


class _Keywords(TypedDict, total=False):
    """What `SitniksSettings(...)` takes: the fields, in the form that a host has them."""

    api_url: str | None
    api_key: str | SecretStr | None
    ai_manager_name: str
    ai_manager_id: int | None
    human_manager_id: int | None
    status_first_touch: str
    status_give_requisites: str
    status_escalation: str
    reply_budget: float
    timeout: float
    rate_limit: str | Limit
    lookback_minutes: int
    status_new: str | Sequence[str]
    look_again: float
    hold_hours: float
    owner: str | int | None
    account: str
    retain_days: int
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
    judged when they are used. A copy is the object itself, and pickling is refused: it would write the keys down.
    """

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True)

    api_url: str = ""
    api_key: SecretStr = SecretStr("")
    ai_manager_name: _Name = "Павло"
    ai_manager_id: _Id | None = None
    human_manager_id: _Id | None = None
    status_first_touch: _Name = EFFECTS[Stage.FIRST_TOUCH].status
    status_give_requisites: _Name = EFFECTS[Stage.GIVE_REQUISITES].status
    status_escalation: _Name = EFFECTS[Stage.ESCALATION].status
    reply_budget: float = Field(1.5, ge=0, le=60)
    timeout: float = Field(10.0, ge=0.1, le=25)
    rate_limit: _Rate = Limit()
    lookback_minutes: int = Field(5, ge=1, le=1440)
    status_new: _Names = ("Нові заявки", "Новый", "Новий")
    look_again: float = Field(60.0, ge=0, le=86_400)
    hold_hours: float = Field(24.0, ge=0, le=8760)
    owner: str = Field("", max_length=200)
    account: str = Field("main", pattern=r"\A[A-Za-z0-9._-]{1,64}\z")
    retain_days: int = Field(90, ge=1, le=3650)
    store: Literal["sqlite", "supabase"] | None = None
    database: Annotated[str, Field(min_length=1, validate_default=True)] = "sitniks.sqlite3"
    supabase_url: str = ""
    supabase_key: SecretStr = SecretStr("")

    def __init__(self, **values: Unpack[_Keywords]) -> None:
        problem = _strange(values)
        try:
            if not problem:
                off_loop(partial(super().__init__, **values))
        except ValidationError as exc:
            field = str(exc.errors(include_url=False, include_context=False, include_input=False)[0]["loc"][0])
            problem = _wrong(field)
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
    def store_kind(self) -> Literal["sqlite", "supabase"]:
        """The store that is used: the one set, else Supabase when its address and key are there, else SQLite."""
        return self.store or ("supabase" if self.supabase_url and self.supabase_key else "sqlite")

    @property
    def statuses(self) -> Mapping[Stage, str]:
        """The name of the status that each stage shows in the CRM."""
        return MappingProxyType({stage: str(getattr(self, f"status_{stage.value}")) for stage in Stage})

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object = None) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("SitniksSettings hold keys and are not pickled: make them in the process that uses them")

    @field_validator("*", mode="before")
    @classmethod
    def _strip(cls, value: object) -> object:
        if isinstance(value, SecretStr):
            return SecretStr(_bare(value.get_secret_value()))
        return _bare(value) if isinstance(value, str) else value

    @field_validator("api_url", "api_key", "owner", "supabase_url", "supabase_key", mode="before")
    @classmethod
    def _absent(cls, value: object) -> object:
        return "" if value is None else value

    @field_validator("owner", mode="before")
    @classmethod
    def _by_id(cls, value: object) -> object:
        return str(value) if type(value) is int else value

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
        return init_settings, _Variables(settings_cls, dotenv_settings, env_settings)


class _Variables(PydanticBaseSettingsSource):
    """The values of `VARIABLES`; the later of `sources` wins."""

    def __init__(self, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self._found: dict[str, str] = {}
        for source in sources:
            if isinstance(source, EnvSettingsSource):
                self._found |= {name.upper(): _bare(value or "") for name, value in source.env_vars.items()}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The value of one field, or None."""
        values = [value for name in VARIABLES.get(field_name, ()) if (value := self._found.get(name))]
        # A host may keep its browser key in SUPABASE_KEY beside the service key in one of the others.
        usable = [value for value in values if not (field_name == "supabase_key" and is_public(value))]
        return next(iter(usable + values), None), field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


def _problem(settings: SitniksSettings) -> str | None:
    """What is wrong with values that are of the right type, as one line with the cure; None when all is well."""
    for name in ("ai_manager_name", "owner", "status_new", *(f"status_{stage.value}" for stage in Stage)):
        if not "".join(getattr(settings, name)).isprintable():
            return _wrong(name)
    if settings.api_url and not is_address(settings.api_url):
        return _wrong("api_url")
    if not is_sendable(settings.api_key.get_secret_value()):
        return _wrong("api_key")
    limit = settings.rate_limit
    most = limit.calls * math.ceil(VENDOR.seconds / limit.seconds)
    if most > VENDOR.calls and not is_loopback(settings.api_url):
        return _wrong("rate_limit")
    if settings.store_kind == "supabase":
        url, key = settings.supabase_url, settings.supabase_key
        if not is_address(url, in_network=True):
            return _wrong("supabase_url", "cannot be right" if url else "is not set")
        if not key:
            return _wrong("supabase_key", "is not set")
        if not is_sendable(key.get_secret_value()) or is_public(key.get_secret_value()):
            return _wrong("supabase_key")
    return None


def look_alikes() -> dict[str, str]:
    """Variables of the environment and `.env` that nothing reads but look like ours, each with the one that is read."""
    sources = EnvSettingsSource(SitniksSettings), DotEnvSettingsSource(SitniksSettings)
    names = {name.upper() for source in sources for name in source.env_vars}
    ours = {name for known in VARIABLES.values() for name in known if not name.startswith("SUPABASE")}
    meant = {}
    for name in sorted(names - ours):
        prefix, _, word = name.partition("_")
        if get_close_matches(prefix, ["SITNIKS", "SNITKIX"], cutoff=0.75):
            words = {one.partition("_")[2]: one for one in ours}
            if found := _closest(word, words, 0.85):
                meant[name] = words[found]
    return meant


def _strange(values: Mapping[str, object]) -> str | None:
    """What is wrong with the names of keywords."""
    fields = [*SitniksSettings.model_fields, "_env_file"]
    for name in values:
        if name not in fields:
            named = {variable: field for field, known in VARIABLES.items() for variable in known}
            meant = named.get(name.upper()) or _closest(name, fields, 0.85)
            meant = meant or _closest(name.rpartition("_")[2], fields, 0.6)
            cure = f"use {meant}=" if meant else f"use one of {', '.join(SitniksSettings.model_fields)}"
            return f"SitniksSettings has no {name}: {cure}."
    return None


def _closest(word: str, words: Iterable[str], cutoff: float) -> str | None:
    """The one of `words` that was meant by `word`: its end (`url` for `api_url`), or nearly the same."""
    ends = [one for one in words if one.endswith(f"_{word}")]
    return next(iter(ends or get_close_matches(word, words, 1, cutoff)), None)


def _bare(value: str) -> str:
    """Without whitespace and one pair of quotes: a container's env file keeps those that a shell would take away."""
    value = value.strip()
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1].strip() if quoted else value


def _listed(value: object) -> object:
    if isinstance(value, str):
        value = [name for one in value.split(",") if (name := _bare(one))]
    return value


def _wrong(field: str, how: str = "cannot be right") -> str:
    variable = VARIABLES[field][0] if field in VARIABLES else field
    return f"{variable} {how}: {_CURES.get(field, 'correct it or remove it')}."
