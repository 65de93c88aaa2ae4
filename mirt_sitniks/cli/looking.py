"""What the commands that look have in common: whom WHO means, the view of a store, and JSON on standard output."""

import json
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from mirt_sitniks.cli.files import place
from mirt_sitniks.core.health import health
from mirt_sitniks.core.record import Record
from mirt_sitniks.core.store import Store
from mirt_sitniks.core.story import Sight
from mirt_sitniks.core.survey import Overview, OverviewAsked, SessionsAsked
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.errors import SitniksError
from mirt_sitniks.settings import SitniksSettings

PAGE = 5000
State: TypeAlias = Literal["failed", "waiting", "held", "unanswered"] | None


@dataclass(frozen=True, slots=True)
class View:
    """A store as it was looked at once."""

    settings: SitniksSettings
    overview: Overview
    key: str

    @property
    def sight(self) -> Sight:
        """Against what its records are looked at."""
        settings = self.settings
        hold = 3600.0 * settings.hold_hours
        return Sight.of(self.overview, settings.statuses, settings.rate_limit, self.key, hold)

    @property
    def health(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        return health(self.overview, self.settings.statuses, self.settings.rate_limit, self.key)


async def view_of(settings: SitniksSettings, store: Store, *, counted: bool = False) -> View:
    """Look at a store; its sessions are `counted` only where that is wanted, for they may be many."""
    asked = OverviewAsked(settings.account, settings.statuses, counted=counted)
    key = Runtime(settings, store, worker=False).driver.options.key
    return View(settings, await store.overview(asked), key)


async def whom(settings: SitniksSettings, store: Store, who: str) -> tuple[Record, ...]:
    """The sessions that WHO means, the newest first; raises `SitniksError` when there are none."""
    found = await store.sessions(SessionsAsked(settings.account, who=who, limit=PAGE))
    if found:
        return tuple(sorted(found, key=lambda one: one.desired.asked_at, reverse=True))
    hint = "WHO is a session, @user as Sitniks spells it, or a chat's id; `mirt-sitniks list` names sessions"
    raise SitniksError(f"nothing is known of “{who}” in {place(settings)} (account {settings.account}): {hint}")


async def sessions_that(
    settings: SitniksSettings, store: Store, state: State = None, limit: int = 0, **narrowed: Any
) -> list[Record]:
    """The sessions of an account that fit, at most `limit` of them (0: all), page by page."""
    page = limit or PAGE
    asked = SessionsAsked(settings.account, state=state, statuses=settings.statuses, limit=page, **narrowed)
    found: list[Record] = []
    while some := await store.sessions(asked):
        found += some
        if limit or len(some) < page:
            break
        asked = replace(asked, after=some[-1].session)
    return found


def as_text(value: Any, *, line: bool = False) -> str:
    """JSON as a page or as one line, which no terminal obeys: what cannot be printed is escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=None if line else 2, default=str)
    return text if text.isprintable() else "".join(map(_seen, text))


def _seen(one: str) -> str:
    if one.isprintable() or one == "\n":
        return one
    return "\\u007f" if one == "\x7f" else json.dumps(one)[1:-1]


def print_json(value: Any, *, line: bool = False) -> None:
    """JSON on standard output, as a page or as one line."""
    print(as_text(value, line=line), flush=True)
