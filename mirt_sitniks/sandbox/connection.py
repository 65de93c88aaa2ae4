"""One HTTP exchange, with the rude things that a network can do to it."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from starlette.requests import Request as HttpRequest
from starlette.types import Message, Receive, Scope, Send

from .account import Account
from .request import Answer, Request

# SO_LINGER on and zero: closing sends RST at once and throws away what was not sent.
_RESET = struct.pack("ii", 1, 0)


class Connection:
    """Reads the request, then answers it, waits, or breaks the connection."""

    def __init__(
        self, account: Account, scope: Scope, receive: Receive, send: Send, transport: asyncio.Transport
    ) -> None:
        self._account = account
        self._http = HttpRequest(scope, receive)
        self._scope = scope
        self._receive = receive
        self._send = send
        self._transport = transport
        self._releases = account.releases

    def arrive(self) -> None:
        """From here on no pause outlasts the account's next release of held requests; the caller holds its lock."""
        self._releases = self._account.releases

    async def read(self) -> Request:
        """The whole request."""
        body = await self._http.body()
        headers = {name.lower(): value for name, value in self._http.headers.items()}
        path: bytes = self._scope["raw_path"]
        query: bytes = self._scope["query_string"]
        return Request(self._http.method, path.decode("latin-1"), query.decode("latin-1"), body, headers)

    async def write(self, answer: Answer) -> None:
        """Answer in full."""
        await self.begin(answer, len(answer.body))
        await self._body(answer.body, more=False)

    async def begin(self, answer: Answer, length: int | None) -> None:
        """Send status and headers; without a length the body comes in chunks."""
        headers = {"content-type": answer.content_type, **answer.headers} if answer.body else dict(answer.headers)
        date = datetime.now(UTC) + timedelta(seconds=self._account.habits.clock_ahead)
        headers = {"date": format_datetime(date, usegmt=True), **headers}
        if length is not None:
            headers["content-length"] = str(length)
        raw = [(name.encode("latin-1"), str(value).encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": answer.status, "headers": raw})

    async def stream(self, pieces: AsyncIterable[bytes], *, more: bool = False) -> None:
        """Send a body piece by piece; `more` leaves it open at the end."""
        async for piece in pieces:
            await self._body(piece, more=True)
        if not more:
            await self._body(b"", more=False)

    async def _body(self, body: bytes, *, more: bool) -> None:
        message: Message = {"type": "http.response.body", "body": body, "more_body": more}
        await self._send(message)

    def closed(self) -> bool:
        """Whether the connection is gone."""
        return self._transport.is_closing()

    async def reset(self) -> None:
        """Break the connection off with RST."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None and not self._transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()
        # Until the server has noticed too, or it would complain that nothing was answered.
        await self._until_disconnected()

    async def pause(self, seconds: float | None, *, heed_client: bool = True) -> bool:
        """Wait so many sandbox seconds (None: for ever); False when cut short.

        It is cut short when the account lets go of held requests and, if `heed_client`, when the client leaves.
        """
        account = self._account
        until = None if seconds is None else account.clock.now() + seconds
        disconnected = asyncio.create_task(self._until_disconnected())
        try:
            with account.changes.listen() as changed:
                while until is None or account.clock.now() < until:
                    if account.releases != self._releases or (heed_client and disconnected.done()):
                        return False
                    waits: set[asyncio.Task[None]] = {asyncio.create_task(_take(changed))}
                    if heed_client:
                        waits.add(disconnected)
                    timeout = account.clock.timeout(until)
                    await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                    for wait in waits - {disconnected}:
                        wait.cancel()
                return True
        finally:
            disconnected.cancel()

    async def _until_disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def _take(changed: asyncio.Event) -> None:
    await changed.wait()
    changed.clear()
