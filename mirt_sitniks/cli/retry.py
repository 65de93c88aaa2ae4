"""`mirt-sitniks retry`: one session is taken up again and driven to where it can be driven now."""

import asyncio
import logging

from mirt_sitniks.cli.files import place, require_key
from mirt_sitniks.core.result import Outcome, SyncResult
from mirt_sitniks.log import logger, shown
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.settings import SitniksSettings

PATIENCE = 30.0


def run(session: str) -> int:
    """Print what came of it; 1 when it has failed again, or nothing is known of the session."""
    settings = SitniksSettings(reply_budget=PATIENCE)
    require_key(settings)
    # What comes of it is printed here; the log of other work would only stand in between.
    silent = logging.NullHandler()
    logger.addHandler(silent)
    try:
        result = asyncio.run(_retried(settings, session))
    finally:
        logger.removeHandler(silent)
    if result is None:
        print(f"Nothing is known about this session in {place(settings)}.")
        return 1
    why = result.error["message"] if result.error else result.reason or result.status or "it is on its way"
    print(f"{result.outcome}: {shown(why)}")
    return 0 if result.outcome in (Outcome.SYNCED, Outcome.QUEUED, Outcome.HELD) else 1


async def _retried(settings: SitniksSettings, session: str) -> SyncResult | None:
    async with SitniksChatService(settings, worker=False) as service:
        return await service.retry(session)
