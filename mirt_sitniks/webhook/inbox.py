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
# So many go to the store at once.
BATCH = 100
LOST = "what the CRM told by webhook is not kept: %s"


class Inbox:
    """A service's queue in one process. Any thread puts in, the I/O thread alone takes out: nothing needs a lock."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._events: deque[Event] = deque()
        self._said: set[str] = set()
        self._busy = False

    def put(self, service: SitniksChatService, event: Event) -> None:
        """Have an event kept soon; a disabled service keeps nothing."""
        if not service.enabled:
            return
        if len(self._events) >= MOST:
            self.warn(LOST % f"{MOST} wait already")
            return
        self._events.append(event)
        try:
            service.begin(self._keep).add_done_callback(_begun)
        except Exception as error:
            # It is closing, or the machine has no more threads or files for now.
            log(WARNING, LOST, type(error).__name__, chat=event.chat.id)

    def warn(self, said: str) -> None:
        """Say something once, until the queue has moved on."""
        if said not in self._said:
            self._said.add(said)
            log(WARNING, said)

    async def _keep(self, runtime: Runtime) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            while self._events:
                batch = tuple(self._events.popleft() for _ in range(min(BATCH, len(self._events))))
                await _hear(runtime, batch)
                self._said.clear()
        finally:
            self._busy = False


async def _hear(runtime: Runtime, batch: tuple[Event, ...]) -> None:
    chat = batch[0].chat.id
    try:
        await runtime.hear(batch)
    except SitniksError as error:
        log(WARNING, LOST, error.message, code=error.code, chat=chat)
    except Exception as error:
        log(ERROR, LOST, type(error).__name__, chat=chat)


def _begun(done: "Future[None]") -> None:
    if not done.cancelled() and (error := done.exception()):
        log(WARNING, LOST, type(error).__name__)


_INBOXES: "WeakKeyDictionary[SitniksChatService, Inbox]" = WeakKeyDictionary()


def inbox_of(service: SitniksChatService) -> Inbox:
    """The queue beside a service; a forked child begins with an empty one, for its parent keeps what it was told."""
    inbox = _INBOXES.get(service)
    if inbox is None or inbox.pid != os.getpid():
        inbox = _INBOXES[service] = Inbox()
    return inbox
