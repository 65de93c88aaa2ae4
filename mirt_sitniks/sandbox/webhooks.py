"""What the account tells a host by itself: each message as a webhook, sent from a thread of its own."""

import heapq
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from ipaddress import ip_address
from itertools import count
from typing import Any
from urllib.parse import urlsplit

from .account import Account
from .api import show_chat
from .world import Chat

PING: Mapping[str, Any] = {"test": "ping"}
# A try that has no answer, or one of 500 and above, is repeated after so many sandbox seconds: at least once.
TRIES, AGAIN_AFTER = 3, 5.0
# Of swapped events the first waits for the second, but no longer than that.
HELD_FOR = 3.0
# Real seconds for a receiver that does not answer.
PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One try, sent at `at` (sandbox seconds): the id of its chat if it is about one, and what it was answered.

    `status` is None when no answer came; `error` is then the kind of failure.
    """

    at: float
    chat: str | None
    body: bytes
    status: int | None
    error: str | None


@dataclass(slots=True)
class _Event:
    chat: str | None
    body: bytes
    tries: int = 0


def loopback(address: str) -> str:
    """The address as given; ValueError unless it is plain HTTP to this machine."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        here = host == "localhost" or ip_address(host).is_loopback
        here = here and parts.scheme == "http" and parts.username is None and parts.port != 0
        here = here and address.isascii() and address.isprintable() and " " not in address
    except ValueError:
        here = False
    if not here:
        raise ValueError(f"a webhook goes to this machine only, such as http://127.0.0.1:8000/hook, not {address!r}")
    return address


class Webhooks:
    """The queue of events and who sends them. What happens while no address is set is sent to nobody."""

    def __init__(self, account: Account, address: str | None = None) -> None:
        self._account = account
        self._first_address = loopback(address) if address else None
        self._serving = False
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self.reset()
        account.on_message = self.message

    def reset(self) -> None:
        """Back to the address of the beginning; nothing was sent, nothing waits."""
        with self._account.changes:
            self._address = self._first_address
            self._due: list[tuple[float, int, _Event]] = []
            self._number = count()
            self._held: tuple[float, int, _Event] | None = None
            self.deliveries: list[Delivery] = []

    @property
    def address(self) -> str | None:
        """Where events go; None: nowhere."""
        return self._address

    @address.setter
    def address(self, address: str | None) -> None:
        with self._account.changes:
            self._address = loopback(address) if address else None
            self._account.changes.notify()
            self._work()

    # Events

    def message(self, chat: Chat, message: Mapping[str, Any]) -> None:
        """Tell of a message, with the chat as it is now, in the account's shape and habits."""
        habits = self._account.habits
        about = {"chat": show_chat(self._account, chat)} if habits.webhook_shape == "chat" else {"chatId": chat.id}
        self.send({**about, "message": message}, chat.id)

    def send(self, body: object, chat: str | None = None) -> None:
        """Send this: None is an empty body, bytes go as they are, all else as JSON."""
        raw = (
            b"" if body is None else body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        )
        with self._account.changes:
            if self._address is None:
                return
            habits = self._account.habits
            due = self._account.clock.now() + habits.webhook_delay
            for _ in range(habits.webhook_times):
                self._queue(due, _Event(chat, raw), swapped=habits.webhook_swapped)
            self._work()

    def _queue(self, due: float, event: _Event, *, swapped: bool) -> None:
        first, self._held = self._held, None
        if first in self._due:
            # Its second has come: it goes right behind it.
            self._due.remove(first)
            heapq.heapify(self._due)
            heapq.heappush(self._due, (due, next(self._number), event))
            heapq.heappush(self._due, (due, next(self._number), first[2]))
            return
        entry = (due + HELD_FOR if swapped else due, next(self._number), event)
        heapq.heappush(self._due, entry)
        self._held = entry if swapped else None

    # The thread

    def start(self) -> None:
        """Send what is due from now on."""
        with self._account.changes:
            self._serving = True
            self._work()

    def stop(self) -> None:
        """Send nothing more until the next start; what is under way is left alone."""
        with self._account.changes:
            self._serving, self._thread = False, None
            self._wake.set()

    def _work(self) -> None:
        self._wake.set()
        if self._serving and self._thread is None and self._address is not None:
            self._thread = threading.Thread(target=self._run, name="sitniks-webhooks", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        me = threading.current_thread()
        while True:
            self._wake.clear()
            with self._account.changes:
                if self._thread is not me:
                    return
                event, timeout = self._next()
            if event is None:
                self._wake.wait(timeout)
            else:
                self._deliver(event)

    def _next(self) -> tuple[_Event | None, float | None]:
        """The event to send now; else how long to wait for one."""
        if not self._due:
            return None, None
        due = self._due[0][0]
        if due <= self._account.clock.now():
            return heapq.heappop(self._due)[2], 0
        return None, self._account.clock.timeout(due)

    def _deliver(self, event: _Event) -> None:
        with self._account.changes:
            address, log, at = self._address, self.deliveries, self._account.clock.now()
        if address is None:
            return
        status, error = _post(address, event.body)
        with self._account.changes:
            log.append(Delivery(at, event.chat, event.body, status, error))
            event.tries += 1
            if (status is None or status >= 500) and event.tries < TRIES and log is self.deliveries:
                heapq.heappush(self._due, (self._account.clock.now() + AGAIN_AFTER, next(self._number), event))
            self._account.changes.notify()


def _post(address: str, body: bytes) -> tuple[int | None, str | None]:
    parts = urlsplit(address)
    connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=PATIENCE)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", target, body, {"Content-Type": "application/json", "User-Agent": "Sitniks"})
        return connection.getresponse().status, None
    except (OSError, HTTPException) as error:
        return None, type(error).__name__
    finally:
        connection.close()
