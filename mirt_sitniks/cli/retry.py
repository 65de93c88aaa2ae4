"""`mirt-sitniks retry`: one customer is taken up again and driven, or all that failed, for those who work."""

import asyncio
import logging
import sys
from argparse import Namespace
from collections.abc import Sequence
from itertools import islice
from typing import Any

from mirt_sitniks.cli.files import place, require_key, where, with_store
from mirt_sitniks.cli.looking import View, print_json, sessions_that, view_of, whom
from mirt_sitniks.core.cost import Cost, calls_of, cost_of
from mirt_sitniks.core.key_state import MAIN
from mirt_sitniks.core.record import Record
from mirt_sitniks.core.result import Outcome, SyncResult
from mirt_sitniks.core.store import Store
from mirt_sitniks.core.text import many, span
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.errors import ConfigError
from mirt_sitniks.log import logger, shown
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.settings import SitniksSettings

PATIENCE = 30.0
GOOD = (Outcome.SYNCED, Outcome.QUEUED, Outcome.HELD, Outcome.SKIPPED)


def run(arguments: Namespace) -> int:
    """Take up who is meant; 1 when it has failed again, or there is nobody."""
    if bool(arguments.who) == arguments.failed:
        raise ConfigError("name either WHO or --failed; see: mirt-sitniks retry --help")
    settings = SitniksSettings(reply_budget=PATIENCE)
    require_key(settings)
    # What comes of it is printed here; the log of other work would only stand in between.
    silent = logging.NullHandler()
    logger.addHandler(silent)
    try:
        view, found, more, cost = with_store(settings, lambda store: _meant(settings, store, arguments), readonly=True)
        if arguments.dry_run:
            return _say(arguments, settings, found, cost, 0, more)
        if arguments.failed:
            reopened = with_store(settings, lambda store: _reopen(settings, store, found))
            return _say(arguments, settings, found, cost, reopened, more, view.health["workers"]["lookout"])
        return _told(arguments, settings, asyncio.run(_driven(settings, found)))
    finally:
        logger.removeHandler(silent)


async def _meant(
    settings: SitniksSettings, store: Store, arguments: Namespace
) -> tuple[View, list[Record], bool, Cost]:
    """Who is to be taken up, whether there are more than the limit, and what that costs."""
    view, more = await view_of(settings, store), False
    if arguments.who:
        known = await whom(settings, store, arguments.who)
        found = [one for one in known if not one.closed] or list(known[:1])
    else:
        asked = {"codes": tuple(arguments.code)}
        every = await sessions_that(settings, store, "failed", arguments.limit + 1, **asked)
        found, more = every[: arguments.limit], len(every) > arguments.limit
    key, now = view.sight.key, view.overview.now
    context = Runtime(settings, store, worker=False).driver.context
    calls = calls_of(found, now, context, key.known)
    return view, found, more, cost_of(calls, key.budget, settings.rate_limit, now)


async def _reopen(settings: SitniksSettings, store: Store, found: Sequence[Record]) -> int:
    """Make all of them due; how many. No call is taken for them: whoever works has the budget."""
    options = Runtime(settings, store, worker=False).driver.options
    for one in found:
        await store.reopen(options, one.session, calls=0)
    return len(found)


async def _driven(settings: SitniksSettings, found: Sequence[Record]) -> list[tuple[Record, SyncResult]]:
    async with SitniksChatService(settings, worker=False) as service:
        head = "" if settings.account == MAIN else f"{settings.account}/"
        results = [(one, await service.retry(one.session.removeprefix(head))) for one in found]
    return [(one, result) for one, result in results if result is not None]


def _told(arguments: Namespace, settings: SitniksSettings, results: Sequence[tuple[Record, SyncResult]]) -> int:
    """Print what came of each."""
    if arguments.json:
        told = [{"session": one.session, **result.to_state()} for one, result in results]
        print_json({"store": where(settings), "sessions": told})
    else:
        for one, result in results:
            why = result.error["message"] if result.error else result.reason or result.status or "it is on its way"
            head = f"{shown(one.session)}: " if len(results) > 1 else ""
            print(f"{head}{result.outcome}: {shown(why)}")
        print(f"in {shown(place(settings))}", file=sys.stderr)
    return 0 if results and all(result.outcome in GOOD for _, result in results) else 1


def _say(
    arguments: Namespace,
    settings: SitniksSettings,
    found: Sequence[Record],
    cost: Cost,
    reopened: int,
    more: bool,
    lookout: Any = None,
) -> int:
    """Print how many, and what it costs."""
    if arguments.json:
        told: dict[str, Any] = {"sessions": [one.session for one in found], "reopened": reopened}
        told |= {"calls": dict(cost.calls), "seconds": round(cost.seconds, 1), "more": more}
        print_json({"store": where(settings), **told})
        return 0 if found else 1
    kinds = ", ".join(f"{count} {kind}" for kind, count in cost.calls.items()) or "none"
    if not found:
        print(f"no session is like that in {shown(place(settings))}")
        return 1
    calls = f"{many(cost.total, 'call')} at least ({kinds})"
    print(f"{many(len(found), 'session')}, {calls}, the last in {span(cost.seconds)}")
    for one in islice(found, 10 if arguments.dry_run else 0):
        print(f"  {shown(one.session)}")
    if arguments.dry_run and len(found) > 10:
        print(f"  and {len(found) - 10} more")
    if more:
        print(f"There are more than {arguments.limit}: --limit takes them up.")
    if reopened:
        who = f"{lookout['who']} and who else works finishes them" if lookout and lookout["in"] > -60 else ""
        print(f"all are due now: {shown(who) or 'start mirt-sitniks worker, or the host, to finish them'}")
    print(f"in {shown(place(settings))}", file=sys.stderr)
    return 0
