"""What the commands that look have in common: whom WHO means, the view of a store, and JSON on standard output."""

import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from typing import Any

from mirt_sitniks.cli.files import place
from mirt_sitniks.core.chats import normalise_username
from mirt_sitniks.core.health import health
from mirt_sitniks.core.overview import outcome_of
from mirt_sitniks.core.record import Record
from mirt_sitniks.core.result import Outcome
from mirt_sitniks.core.store import Overview, OverviewAsked, SessionsAsked, Store, row_of
from mirt_sitniks.core.story import Sight
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.errors import SitniksError
from mirt_sitniks.settings import SitniksSettings

PAGE = 500


@dataclass(frozen=True, slots=True)
class View:
    """A store as it was looked at once."""

    settings: SitniksSettings
    overview: Overview
    key: str

    @property
    def sight(self) -> Sight:
        """Against what its records are looked at."""
        return Sight.of(self.overview, self.settings.statuses, self.settings.rate_limit, self.key)

    @property
    def health(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        return health(self.overview, self.settings.statuses, self.settings.rate_limit, self.key)


async def view_of(settings: SitniksSettings, store: Store) -> View:
    """Look at a store."""
    asked = OverviewAsked(settings.account, {stage.value: name for stage, name in settings.statuses.items()})
    key = Runtime(settings, store, worker=False).driver.options.key
    return View(settings, await store.overview(asked), key)


async def whom(settings: SitniksSettings, store: Store, who: str) -> tuple[Record, ...]:
    """The sessions that WHO means, the newest first; raises `SitniksError` when there are none."""
    names = [normalise_username(who)] if who.startswith("@") else [who, row_of(settings.account, who)]
    names += [] if who.startswith("@") else [normalise_username(who)]
    for name in dict.fromkeys(one for one in names if one):
        if found := await store.sessions(SessionsAsked(settings.account, who=name, limit=PAGE)):
            return tuple(sorted(found, key=lambda one: one.desired.asked_at, reverse=True))
    hint = "give a session, @user or a chat's id; `mirt-sitniks list` names sessions"
    if who.startswith("@"):
        hint = "is it spelled as in Sitniks? `mirt-sitniks list` names sessions"
    raise SitniksError(f"nothing is known of “{who}” in {place(settings)} (account {settings.account}): {hint}")


async def sessions_that(
    settings: SitniksSettings, store: Store, outcomes: Iterable[Outcome], **narrowed: Any
) -> AsyncIterator[Record]:
    """The sessions of an account with one of these outcomes (none named: all), page by page."""
    wanted = frozenset(outcomes)
    statuses = {stage.value: name for stage, name in settings.statuses.items()}
    asked = SessionsAsked(settings.account, statuses=statuses, limit=PAGE, **narrowed)
    for state in _states(wanted):
        after = ""
        while page := await store.sessions(replace(asked, state=state, after=after)):
            for one in page:
                if not wanted or outcome_of(one, settings.statuses)[0] in wanted:
                    yield one
            after = page[-1].session
            if len(page) < PAGE:
                break


def _states(wanted: frozenset[Outcome]) -> tuple[Any, ...]:
    """What a store is asked for, to have all of these outcomes: what failed may still be tried, once in a while."""
    if wanted & {Outcome.FAILED, Outcome.PARTIAL}:
        return "failed", "waiting"
    return {Outcome.QUEUED: ("waiting",), Outcome.HELD: ("held",)}.get(
        next(iter(wanted), None) or Outcome.SYNCED, (None,)
    )


def print_json(value: Any, *, line: bool = False) -> None:
    """JSON on standard output, as a page or as one line."""
    print(json.dumps(value, ensure_ascii=False, indent=None if line else 2), flush=True)
