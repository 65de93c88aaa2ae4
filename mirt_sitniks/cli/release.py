"""`mirt-sitniks release`: a conversation that a person has goes back to the graph."""

import asyncio
import logging
import sys
from argparse import Namespace
from collections.abc import Sequence

from mirt_sitniks.cli.files import place, require_key, where, with_store
from mirt_sitniks.cli.looking import print_json, whom
from mirt_sitniks.core.key_state import MAIN
from mirt_sitniks.core.record import Record, stale
from mirt_sitniks.core.result import Outcome, SyncResult
from mirt_sitniks.core.store import Store
from mirt_sitniks.core.talk import HUMAN
from mirt_sitniks.log import logger, shown
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.settings import SitniksSettings

PATIENCE = 30.0
# The AI manager is confirmed; the status may be a person's.
GIVEN = (Outcome.SYNCED, Outcome.HELD)


def run(arguments: Namespace) -> int:
    """Give back who is meant; 1 when no person has the conversation, or Sitniks could not be told yet."""
    settings = SitniksSettings(reply_budget=PATIENCE)
    require_key(settings)

    async def read(store: Store) -> tuple[Record, ...]:
        return await whom(settings, store, arguments.who)

    found = with_store(settings, read, readonly=True)
    # What comes of it is printed here.
    logger.addHandler(silent := logging.NullHandler())
    try:
        results = asyncio.run(_released(settings, found))
    finally:
        logger.removeHandler(silent)
    if arguments.json:
        told = [{"session": one.session, **result.to_state()} for one, result in results]
        print_json({"store": where(settings), "sessions": told})
    else:
        for one, result in results:
            print(f"{shown(one.session)}: {_told(settings, result)}")
        if not results and all(one.closed for one in found):
            print("the customer goes on in another session: give @user, or the id of the chat")
        elif not results:
            print("no person has the conversation: nothing to give back")
        print(f"in {shown(place(settings))}", file=sys.stderr)
    return 0 if results and all(result.outcome in GIVEN for _, result in results) else 1


async def _released(settings: SitniksSettings, found: Sequence[Record]) -> list[tuple[Record, SyncResult]]:
    """What came of those that a person has, and of those of which Sitniks could not be told before."""
    head = "" if settings.account == MAIN else f"{settings.account}/"
    async with SitniksChatService(settings, worker=False) as service:
        results = []
        for one in found:
            again = one.talk.why == "released" and "manager" in stale(one)
            if not one.closed and (again or one.talk.owner == HUMAN):
                verb = service.retry if again else service.release
                results.append((one, await verb(one.session.removeprefix(head))))
    return [(one, result) for one, result in results if result is not None]


def _told(settings: SitniksSettings, result: SyncResult) -> str:
    if result.outcome not in GIVEN:
        why = result.error["message"] if result.error else "it is on its way"
        return f"the graph has the conversation again; in Sitniks not yet: {shown(why)}"
    return f"the graph has the conversation again, {shown(settings.ai_manager_name)} is responsible in Sitniks"
