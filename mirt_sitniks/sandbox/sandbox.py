"""The CRM on a port: what tests and demos open."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from .account import Account
from .app import OpenApi, TransportOf
from .board import page
from .clock import Clock
from .control import control
from .crm import LocalCrm
from .request import Request as ApiRequest
from .request import refuse
from .thread import HOST, ServerThread
from .world import Managers


class Sandbox(LocalCrm):
    """A local Sitniks CRM for one key, on a free loopback port, from `with` to its end.

    `speed` makes sandbox seconds pass faster than real ones (limits, lock, lateness, latency; never the dates that the
    API shows). `clock`, a callable giving Unix seconds, replaces both. `managers` are (id, full name) pairs or a dict.
    `trial` answers 403 to everything, `limit=False` switches the ten calls in ten seconds off. `webhook` is an
    address on this machine that is told of each message. Threads may share it.
    """

    def __init__(
        self,
        *,
        key: str = "sandbox-key",
        speed: float = 1.0,
        port: int = 0,
        trial: bool = False,
        latency: float = 0.0,
        managers: Managers | None = None,
        clock: Callable[[], float] | None = None,
        limit: bool = True,
        webhook: str | None = None,
    ) -> None:
        habits = {"trial": trial, "latency": latency, "limit": limit}
        super().__init__(Account(key=key, clock=Clock(speed, clock), managers=managers, habits=habits), webhook)
        self._wanted_port = port
        self._server: ServerThread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Serve; after `stop` at the same address again, with all that was there before."""
        if self._server is None:
            server = ServerThread(self._application, self.account.changes, self._wanted_port)
            server.start()
            self._server = server
            self._wanted_port = server.port
            self.webhooks.start()

    def stop(self) -> None:
        """Drop all connections and refuse new ones; what was recorded can still be read."""
        if self._server is not None:
            self.webhooks.stop()
            self.account.release()
            self._server.stop()
            self._server = None

    def _application(self, transport_of: TransportOf) -> ASGIApp:
        # A page of another site must not reach the controls by a name that leads to this machine.
        here = [Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])]
        application = Starlette(
            routes=[
                Mount("/open-api", OpenApi(self.account, transport_of)),
                Mount("/_sandbox", routes=control(self), middleware=here),
                Route("/", page, middleware=here),
                Route("/page/{name}", page, middleware=here),
            ],
            exception_handlers={404: _no_route},
        )
        application.router.redirect_slashes = False
        return application

    @property
    def url(self) -> str:
        """The base address, without /open-api."""
        if self._server is None:
            raise RuntimeError("the sandbox is not running: use it as `with Sandbox() as sandbox:`")
        return f"http://{HOST}:{self._server.port}"


async def _no_route(request: Request, error: Exception) -> Response:
    words = refuse(ApiRequest(request.method, request.url.path), 404)
    return Response(words.body, words.status, media_type=words.content_type)
