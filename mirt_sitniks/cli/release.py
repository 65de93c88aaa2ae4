"""`mirt-sitniks release`: a conversation that a person has goes back to the graph."""

import asyncio
import logging
import sys
from argparse import Namespace
from collections.abc import Sequence

from mirt_sitniks.cli.files import place, require_key, where, with_store
from mirt_sitniks.cli.looking import print_json, whom
from mirt_sitniks.core.key_state import MAIN
from mirt_sitniks.core.record import Record
from mirt_sitniks.core.result import SyncResult
from mirt_sitniks.core.store import Store
from mirt_sitniks.core.talk import HUMAN
from mirt_sitniks.log import logger, shown
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.settings import SitniksSettings

PATIENCE = 30.0


def run(arguments: Namespace) -> int:
    """Give back who is meant; 1 when no person has the conversation, or Sitniks could not be told."""
    settings = SitniksSettings(reply_budget=PATIENCE)
    require_key(settings)

    async def read(store: Store) -> tuple[Record, ...]:
        return tuple(one for one in await whom(settings, store, arguments.who) if not one.closed)

    found = with_store(settings, read, readonly=True)
    # What comes of it is printed here.
    logger.addHandler(silent := logging.NullHandler())
    try:
        results = asyncio.run(_released(settings, [one for one in found if one.talk.owner == HUMAN]))
    finally:
        logger.removeHandler(silent)
    if arguments.json:
        told = [{"session": one.session, **result.to_state()} for one, result in results]
        print_json({"store": where(settings), "sessions": told})
    else:
        for one, result in results:
            print(f"{shown(one.session)}: {_told(settings, result)}")
        if not results:
            print("no person has the conversation: nothing to give back")
        print(f"in {shown(place(settings))}", file=sys.stderr)
    return 0 if results and all(result.error is None for _, result in results) else 1


async def _released(settings: SitniksSettings, found: Sequence[Record]) -> list[tuple[Record, SyncResult]]:
    head = "" if settings.account == MAIN else f"{settings.account}/"
    async with SitniksChatService(settings, worker=False) as service:
        results = [(one, await service.release(one.session.removeprefix(head))) for one in found]
    return [(one, result) for one, result in results if result is not None]


def _told(settings: SitniksSettings, result: SyncResult) -> str:
    if result.error:
        return f"the graph has the conversation again; in Sitniks not yet: {shown(result.error['message'])}"
    return f"the graph has the conversation again, {shown(settings.ai_manager_name)} is responsible in Sitniks"
