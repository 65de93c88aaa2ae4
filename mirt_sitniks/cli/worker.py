"""`mirt-sitniks worker`: a process that finishes what hosts have left unfinished, until it is told to stop."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mirt_sitniks.cli.files import require_key
from mirt_sitniks.engine.options import open_store
from mirt_sitniks.engine.runtime import DRAIN
from mirt_sitniks.log import log, logger
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.settings import SitniksSettings

SWEEP = 2.0
# Closing sockets and files takes moments; whatever takes longer than this is stuck and is left behind.
CLOSING = 0.4


def run(settings: SitniksSettings) -> int:
    """Work until SIGTERM or SIGINT, then end within five seconds; a second signal ends the process at once.

    Raises `ConfigError` for settings with which a worker is of no use, `StoreError` when the store is away now.
    """
    require_key(settings)
    with _logging_to(logging.StreamHandler(sys.stderr)):
        return asyncio.run(_work(settings))


async def _work(settings: SitniksSettings) -> int:
    loop, told = asyncio.get_running_loop(), asyncio.Event()

    def stop(number: int) -> None:
        if told.is_set():
            os._exit(128 + number)
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    # A store of its own, because one is at home on the loop that used it first.
    probe = open_store(settings)
    try:
        await probe.check()
    finally:
        await probe.aclose()
    service = SitniksChatService(settings, sweep=SWEEP)
    # The service opens nothing before it is used, and this is a use that drives nothing.
    await service.reconcile(0)
    log(logging.INFO, "worker started", pid=os.getpid(), store=settings.store_kind)
    await told.wait()
    log(logging.INFO, "worker stops, what is under way may end", seconds=DRAIN)
    try:
        async with asyncio.timeout(DRAIN + CLOSING):
            await service.aclose()
    except TimeoutError:
        log(logging.WARNING, "worker stopped without closing everything")
        sys.stderr.flush()
        os._exit(0)
    log(logging.INFO, "worker stopped")
    return 0


@contextmanager
def _logging_to(handler: logging.Handler) -> Iterator[None]:
    before = logger.level, logger.propagate
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.level, logger.propagate = logging.INFO, False
    try:
        yield
    finally:
        logger.level, logger.propagate = before
        logger.removeHandler(handler)
