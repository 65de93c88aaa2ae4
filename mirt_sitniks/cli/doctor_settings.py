"""What the doctor says of settings and of what is installed around the package."""

import platform
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from mirt_sitniks.cli.doctor_findings import Finding, from_message, many
from mirt_sitniks.core.hours import is_open, opens_at
from mirt_sitniks.errors import ConfigError
from mirt_sitniks.settings import VARIABLES, SitniksSettings, look_alikes

PACKAGES = (
    *("mirt-sitniks", "langgraph", "langchain-core", "httpx"),
    *("pydantic", "pydantic-settings", "supabase", "postgrest", "rich"),
)


def read() -> tuple[SitniksSettings, dict[str, str]]:
    """The settings, and what is wrong with them by field: a value that cannot be right is replaced by its default."""
    instead: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    while True:
        try:
            return SitniksSettings(**instead), wrong
        except ConfigError as error:
            name = re.split(r"\W", error.message, maxsplit=1)[0]
            field = next((field for field, names in VARIABLES.items() if name in names), "_env_file")
            if field in wrong:
                raise
            wrong[field] = error.message
            instead[field] = _default(field) if field in VARIABLES else None
            if field.startswith("supabase"):
                # Without these a Supabase store cannot even be named.
                instead["store"] = "sqlite"


def _default(field: str) -> Any:
    return SitniksSettings.model_fields[field].get_default(call_default_factory=True)


def judge(wrong: Mapping[str, str]) -> Iterable[Finding]:
    """What is wrong with the settings, or where they come from; and what only looks like one."""
    for message in wrong.values():
        yield from_message("Settings", message)
    if not wrong:
        path = Path(".env")
        yield Finding(
            "Settings", True, f"from the environment and {path.resolve() if path.is_file() else '.env (none here)'}"
        )
        for name, right in look_alikes().items():
            yield Finding("Settings", False, f"{name} is not read by anything", f"rename it to {right}, or remove it")


def judge_webhooks(settings: SitniksSettings) -> Finding:
    """Whether Sitniks may tell something by itself."""
    if secrets := settings.webhook_secrets.get_secret_value():
        return Finding("Webhooks", None, f"taken, with {many(len(secrets.split(',')), 'secret')}")
    late = "what people do in Sitniks is seen when the next stage is synced"
    return Finding("Webhooks", None, "none" if settings.watch else f"none, and SITNIKS_WATCH is off: {late}")


def judge_watch(settings: SitniksSettings) -> Iterable[Finding]:
    """How often a worker looks through Sitniks, and what that may cost."""
    if settings.watch:
        limit = settings.rate_limit
        most = round(86_400 / limit.seconds * limit.calls * settings.watch_share)
        yield Finding("Watch", None, f"every {settings.watch:g} s, at most {most:,} calls a day")


def judge_hours(settings: SitniksSettings, now: float) -> Iterable[Finding]:
    """Which working hours are set, and whether it is within them."""
    if hours := settings.hours:
        back = opens_at(hours, now)
        opens = f"closed, opens {datetime.fromtimestamp(back, hours.zone):%Y-%m-%d %H:%M}" if back else "closed"
        yield Finding("Hours", True, f"{hours}: {'open now' if is_open(hours, now) else opens}")


def judge_answering(settings: SitniksSettings) -> Iterable[Finding]:
    """Whether there is anybody to whom an escalation can go that nobody answers."""
    if settings.answer_within is None:
        return
    when = f"after {settings.answer_within} min" + (" of working hours" if settings.hours else "")
    if len(settings.human_manager_ids) > 1:
        yield Finding("Answers", True, f"{when} without one an escalation goes to the next live manager, each once")
    else:
        text = f"{when} without one it is only said at ERROR: there is no second live manager"
        yield Finding("Answers", False, text, "name several ids in SITNIKS_HUMAN_MANAGER_ID")


def given(settings: SitniksSettings, wrong: Mapping[str, str]) -> dict[str, str]:
    """By variable whether it is `set`, `default`, `not set` or `wrong`: no value."""
    said = {}
    for field, (name, *_) in VARIABLES.items():
        unset = "not set" if _default(field) in (None, "", {}, SecretStr("")) else "default"
        said[name] = "wrong" if field in wrong else "set" if field in settings.model_fields_set else unset
    return said


def versions() -> dict[str, str]:
    """What runs here, without the machine's name."""
    said = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for name in PACKAGES:
        try:
            said[name] = version(name)
        except PackageNotFoundError:
            said[name] = "not installed"
    return said


def judge_versions(known: Mapping[str, str], needs: Iterable[str] | None = None) -> Finding:
    """Whether what is installed is what the package was released for; `needs` are its requirements."""
    if needs is None:
        try:
            needs = requires("mirt-sitniks") or ()
        except PackageNotFoundError:
            return Finding("Versions", None, f"not checked: a checkout that is not installed, {_named(known)}")
    wrong = [
        (need, known[name])
        for need in needs
        if "extra ==" not in need and (name := re.split(r"[^\w-]", need)[0]) in known and not _fits(known[name], need)
    ]
    if not wrong:
        return Finding("Versions", True, _named(known))
    text = ", ".join(f"{need.partition(';')[0].strip()} is needed, {found} is installed" for need, found in wrong)
    names = " ".join(f'"{need.partition(";")[0].strip()}"' for need, _ in wrong)
    return Finding("Versions", False, text, f"pip install {names}")


def _named(known: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {known[name]}" for name in ("mirt-sitniks", "python", "langgraph"))


def _fits(found: str, need: str) -> bool:
    """Whether a version is within the bounds (`>=`, `<`) that a requirement of ours names."""
    for sign, bound in re.findall(r"(>=|<)\s*([\d.]+)", need.partition(";")[0]):
        if (_numbers(found) >= _numbers(bound)) is not (sign == ">="):
            return False
    return found[:1].isdigit()


def _numbers(text: str) -> tuple[int, ...]:
    plain = re.match(r"[\d.]*", text)
    parts = [int(one) for one in plain[0].split(".") if one] if plain else []
    return tuple(parts + [0] * (4 - len(parts)))
