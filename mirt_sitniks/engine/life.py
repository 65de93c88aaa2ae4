"""A service's life: begun and ended by hand or as a context manager, its work handed to one thread."""

from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from logging import ERROR, WARNING
from typing import Any, NoReturn, Self, TypeVar

import httpx

from mirt_sitniks.core.store import Store
from mirt_sitniks.engine.io_thread import IoThread
from mirt_sitniks.engine.options import open_store
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.log import log
from mirt_sitniks.process.off_loop import Wait, awaited, blocked, has_loop, left_alone, without_loop
from mirt_sitniks.settings import SitniksSettings

T = TypeVar("T")

STARTING, CLOSING = 1.0, 5.0


class Life:
    """What a service is before it has verbs. Nothing is opened before `start` or the first use."""

    def __init__(
        self,
        settings: SitniksSettings,
        *,
        store: Store | None,
        client_factory: Callable[[], httpx.AsyncClient] | None,
        worker: bool,
        sweep: float,
    ) -> None:
        self.settings = settings
        self._thread = IoThread(
            lambda: Runtime(
                self.settings,
                store or open_store(self.settings),
                own_store=store is None,
                client_factory=client_factory,
                worker=worker,
                sweep=sweep,
            )
        )

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a SitniksChatService holds keys, a thread and connections: make one where it is used")

    @property
    def enabled(self) -> bool:
        """Whether there is an address and a key."""
        return self.settings.enabled

    def start(self) -> None:
        """Begin to work: finish what dead processes left, and load what a first sync would wait for.

        Entering the service does it. Returns when all is loaded, after a second at most; where an event loop runs, at
        once, and all goes on by itself (`async with` waits).
        """
        without_loop(self._start(left_alone if has_loop() else blocked))

    async def aclose(self) -> None:
        """End within five seconds; what is unfinished stays in the store and is picked up by the next process.

        What the store has not taken by then is said in the log.
        """
        await self._close(awaited)

    def close(self) -> None:
        """The same for code without an event loop."""
        without_loop(self._close(blocked))

    async def __aenter__(self) -> Self:
        await self._start(awaited)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def begin(self, work: Callable[[Runtime], Coroutine[Any, Any, T]]) -> "Future[T]":
        """Begin `work` on the I/O thread, for the package's other doors; what stops waiting for it does not stop it."""
        return self._thread.run(work)

    async def _start(self, wait: Wait) -> None:
        try:
            if self.enabled:
                await wait(self._thread.run(lambda runtime: runtime.ready()), STARTING)
        except TimeoutError:
            pass
        except Exception as error:
            log(ERROR, "starting failed: %s", type(error).__name__)

    async def _close(self, wait: Wait) -> None:
        # Whoever comes while this thread drains begins another one.
        thread, self._thread = self._thread, self._thread.another()
        try:
            if closing := thread.close():
                await wait(closing, CLOSING)
        except TimeoutError:
            log(WARNING, "five seconds were not enough to close everything; nothing recorded is lost")
        finally:
            thread.stop()
