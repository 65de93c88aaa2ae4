"""Serves an ASGI application with uvicorn on a loopback port, in a daemon thread."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

from .app import TransportOf
from .notifier import ChangeNotifier

HOST = "127.0.0.1"


class ServerThread(threading.Thread):
    """The port is bound (OSError if it is taken) when the object exists; `start` serves, `stop` drops everyone.

    `make_application` is given a function from an ASGI scope to its transport.
    """

    def __init__(
        self, make_application: Callable[[TransportOf], ASGIApp], changes: ChangeNotifier, port: int = 0
    ) -> None:
        super().__init__(name="sitniks-sandbox", daemon=True)
        self._make_application = make_application
        self._changes = changes
        # With the protocol named asyncio switches Nagle's delay off, which would cost 40 ms a call.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((HOST, port))
        except OSError:
            self._socket.close()
            raise
        self.port: int = self._socket.getsockname()[1]
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._transports: dict[Any, asyncio.Transport] = {}

    def start(self) -> None:
        """Serve; returns when connections are accepted."""
        super().start()
        if not self._ready.wait(10):
            raise RuntimeError("the sandbox did not start within 10 seconds")

    def stop(self) -> None:
        """Drop every connection, free the port and end the thread."""
        if self._loop is not None and self._stopping is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                self._loop.call_soon_threadsafe(self._stopping.set)
        self.join(10)

    def run(self) -> None:
        """The thread's work; not to be called."""
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._changes.bind(self._loop)
        config = uvicorn.Config(
            self._make_application(self._transport_of),
            http=self._protocol(),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            # Longer than clients keep a connection, so that none is closed under a request.
            timeout_keep_alive=75,
        )
        server = uvicorn.Server(config)
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[self._socket])
        self._ready.set()
        await self._stopping.wait()
        # Not uvicorn's own shutdown: it waits for clients politely, and here hung requests are the rule.
        self._changes.bind(None)
        for listener in server.servers:
            listener.close()
        self._socket.close()
        for transport in list(self._transports.values()):
            transport.abort()
        if server.server_state.tasks:
            await asyncio.wait(server.server_state.tasks, timeout=2)

    def _protocol(self) -> type[asyncio.Protocol]:
        transports = self._transports

        class Protocol(H11Protocol):
            # Faults must reach the connection below HTTP, and ASGI has no way down to it.
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                transports[transport.get_extra_info("peername")] = transport
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                transports.pop(self.transport.get_extra_info("peername"), None)
                super().connection_lost(exc)

        return Protocol

    def _transport_of(self, scope: Scope) -> asyncio.Transport:
        return self._transports[tuple(scope["client"])]
