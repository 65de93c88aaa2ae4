"""What was told and is not in the store yet: a bounded queue beside each service, emptied on its I/O thread."""

import os
from collections import deque
from concurrent.futures import Future
from logging import ERROR, WARNING
from weakref import WeakKeyDictionary

from mirt_sitniks.core.events import Event
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.errors import SitniksError
from mirt_sitniks.log import log
from mirt_sitniks.service import SitniksChatService

# So many wait only while the store stands still; the next look at the chats makes up for what is dropped.
MOST = 1000
# So many go to the store in one piece, and so many pieces at once: a sync waits only for what is under way.
BATCH, SIDE_BY_SIDE = 100, 8
LOST = "what the CRM told by webhook is not kept: %s"


class Inbox:
    """A service's queue in one process. Any thread puts in, the I/O thread alone takes out: nothing needs a lock."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._events: deque[Event] = deque()
        self._said: set[str] = set()
        self._busy = 0

    def put(self, service: SitniksChatService, event: Event) -> None:
        """Have an event kept soon; a disabled service keeps nothing."""
        if not service.enabled:
            return
        if len(self._events) >= MOST:
            self.warn(LOST % f"{MOST} wait already")
            return
        self._events.append(event)
        try:
            service.begin(self._keep).add_done_callback(self._begun)
        except Exception as error:
            # It is closing, or the machine has no more threads or files for now.
            self.warn(LOST % type(error).__name__)

    def warn(self, said: str, level: int = WARNING) -> None:
        """Say something once, until the store has taken something again."""
        if said not in self._said:
            self._said.add(said)
            log(level, "%s", said)

    async def _keep(self, runtime: Runtime) -> None:
        if self._busy >= SIDE_BY_SIDE:
            return
        self._busy += 1
        try:
            while self._events:
                batch = tuple(self._events.popleft() for _ in range(min(BATCH, len(self._events))))
                await self._hear(runtime, batch)
        finally:
            self._busy -= 1

    async def _hear(self, runtime: Runtime, batch: tuple[Event, ...]) -> None:
        try:
            await runtime.hear(batch)
            self._said.clear()
        except SitniksError as error:
            self.warn(LOST % error.message)
        except Exception as error:
            self.warn(LOST % type(error).__name__, ERROR)

    def _begun(self, done: "Future[None]") -> None:
        if not done.cancelled() and (error := done.exception()):
            self.warn(LOST % type(error).__name__)


_INBOXES: "WeakKeyDictionary[SitniksChatService, Inbox]" = WeakKeyDictionary()


def inbox_of(service: SitniksChatService) -> Inbox:
    """The queue beside a service; a forked child begins with an empty one, for its parent keeps what it was told."""
    inbox = _INBOXES.get(service)
    if inbox is None or inbox.pid != os.getpid():
        inbox = _INBOXES[service] = Inbox()
    return inbox
