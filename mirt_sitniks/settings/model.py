"""The settings: each with its kind, its default and its cure, and what has to fit together."""

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Annotated, Literal, NoReturn, Self, TypedDict, Unpack, cast

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
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
from mirt_sitniks.core.notes import CURE, TEMPLATE, is_template
from mirt_sitniks.core.spelling import meant_by
from mirt_sitniks.core.stages import BUILT_IN, Stage, StageRule, Stages
from mirt_sitniks.errors import ConfigError
from mirt_sitniks.process.off_loop import off_loop
from mirt_sitniks.settings.kinds import (
    BY_ID,
    NOTHING,
    PRINTABLE,
    Id,
    Ids,
    Name,
    Names,
    Rate,
    Secret,
    ShopStages,
    WorkingHours,
    are_secrets,
    bare,
    is_period,
    joined,
    setting,
    that,
)
from mirt_sitniks.settings.variables import strange, values_of, variables_of

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

    api_url: Annotated[str, NOTHING, that(lambda value: not value or is_address(value))] = setting(
        "", "give the address of the CRM (https://crm.sitniks.com): https, or http on loopback; no query, no login"
    )
    api_key: Annotated[Secret, that(lambda value: is_sendable(value.get_secret_value()))] = setting(
        SecretStr(""), "copy the key alone from Sitniks, without `Bearer` or spaces, then replace it if that fails"
    )
    ai_manager_name: Name = setting("Павло", "give the full name of a manager as Sitniks shows it")
    ai_manager_id: Id | None = setting(None, _AN_ID)
    human_manager_id: Ids = setting(None, f"{_AN_ID}, or several with commas between them")
    hours: WorkingHours = setting(None, "give days, times and a time zone like Mon-Fri 09:00-19:00 Europe/Kyiv")
    answer_within: int | None = setting(None, "give a whole number of minutes from 1 to 1440", ge=1, le=1440)
    status_first_touch: Name = setting(BUILT_IN[Stage.FIRST_TOUCH].status, _A_STATUS)
    status_give_requisites: Name = setting(BUILT_IN[Stage.GIVE_REQUISITES].status, _A_STATUS)
    status_escalation: Name = setting(BUILT_IN[Stage.ESCALATION].status, _A_STATUS)
    stages: ShopStages = Field(
        default_factory=dict,
        description='give a table as JSON, like {"paid": {"status": "ОПЛАЧЕНО"}}, or the path of a TOML file',
    )
    reply_budget: float = setting(1.5, "give seconds from 0 to 60", ge=0, le=60)
    timeout: float = setting(10.0, "give seconds from 0.1 to 25", ge=0.1, le=25)
    rate_limit: Rate = setting(
        Limit(), "give calls/seconds like 9/10.5: 1 to 10 calls, and at most 10 in 10 seconds unless on loopback"
    )
    lookback_minutes: int = setting(5, "give a whole number of minutes from 1 to 1440", ge=1, le=1440)
    status_new: Names = setting(
        ("Нові заявки", "Новый", "Новий"), "give names of statuses as Sitniks shows them, with commas between them"
    )
    look_again: float = setting(60.0, "give seconds from 0 (always) to 86400", ge=0, le=86_400)
    hold_hours: float = setting(24.0, "give hours from 0 (nobody's changes are respected) to 8760", ge=0, le=8760)
    owner: Annotated[str, PRINTABLE, BY_ID, NOTHING] = setting(
        "", "give the id or the name of the shop's page as Sitniks shows it", max_length=200
    )
    account: Annotated[str, Field(pattern=r"\A[A-Za-z0-9._-]{1,64}\z")] = setting(
        "main", "give a short name of letters, digits, `.`, `_` and `-`"
    )
    notes: bool = setting(True, "give true or false")
    note_template: Annotated[str, that(is_template)] = setting(TEMPLATE, CURE, min_length=1)
    retain_days: int = setting(90, "give a whole number of days from 1 to 3650", ge=1, le=3650)
    watch: Annotated[float, BeforeValidator(lambda value: 0 if value is None else value), that(is_period)] = setting(
        0.0, "give seconds from 15 to 3600, or 0: never"
    )
    watch_share: float = setting(0.1, "give a share of the calls: more than 0, at most 0.5", gt=0, le=0.5)
    webhook_secrets: Annotated[Secret, BeforeValidator(joined), that(are_secrets)] = setting(
        SecretStr(""),
        "give secrets of 16 to 200 letters, digits, `-`, `_`, `.` or `~`, with commas between them and none empty; "
        "`python -c 'import secrets; print(secrets.token_urlsafe())'` makes one",
    )
    store: Literal["sqlite", "supabase"] | None = setting(None, "give sqlite or supabase")
    database: str = setting(
        "sitniks.sqlite3", "give the path of a file, or :memory:", min_length=1, validate_default=True
    )
    supabase_url: Annotated[str, NOTHING] = setting(
        "", "give the address of the project (https://<project>.supabase.co), or set SITNIKS_STORE=sqlite"
    )
    supabase_key: Secret = setting(
        SecretStr(""), "use the service_role key or an sb_secret_ key of the project, or set SITNIKS_STORE=sqlite"
    )

    def __init__(self, **values: Unpack[_Keywords]) -> None:
        problem = strange(values, VARIABLES)
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
            return SecretStr(bare(value.get_secret_value()))
        return bare(value) if isinstance(value, str) else value

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
        return init_settings, InitSettingsSource(settings_cls, values_of(VARIABLES, dotenv_settings, env_settings))


VARIABLES = variables_of(SitniksSettings.model_fields)


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


def _wrong(field: str, how: str = "cannot be right") -> str:
    known = SitniksSettings.model_fields.get(field)
    cure = known.description if known else "correct it or remove it"
    return f"{VARIABLES[field][0] if known else field} {how}: {cure}."
