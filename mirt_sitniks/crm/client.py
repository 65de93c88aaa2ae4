"""The one door to Sitniks over HTTP: sends the calls, hands back what their answers mean, decides nothing."""

import asyncio
import errno
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TypeVar

import httpx
from pydantic import SecretStr

from mirt_sitniks.core.addresses import is_loopback
from mirt_sitniks.crm.answers import clock_ahead, decode
from mirt_sitniks.crm.calls import Expects, Request, is_write, request
from mirt_sitniks.errors import CallTimeout, CrmError, TooLarge, Unauthorized, Unavailable, cure_of
from mirt_sitniks.process.off_loop import load, off_loop

T = TypeVar("T")

MAX_ANSWER = 1_000_000
"""Bytes of an answer that are read, packed and unpacked alike; a page of 50 chats has about 40,000."""

# With these the request never left, so a write cannot have been applied.
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)


class SitniksClient:
    """Sends one call at a time over a connection that stays open; safe for many tasks of one event loop.

    `base_url` with or without `/open-api` at its end. `key` stays out of every attribute, message and traceback.
    `timeout` seconds bound a whole call, an answer that drips in included. The httpx client is made on first use, and
    anew on another loop: by `client_factory`, if there is one, and in a thread, because making one reads files. Either
    way we opened it, so `aclose()` closes it; a closed client opens again when it is used.

    Nothing is ever sent twice: each request was granted by the rate limit, and a hidden second one was not. Redirects
    are not followed. Loopback addresses never go through a proxy. `ahead` is how many seconds the CRM's clock is ahead
    of ours, as its last answer showed.
    """

    def __init__(
        self,
        base_url: str,
        key: str | SecretStr,
        *,
        timeout: float = 10.0,
        client_factory: Callable[[], httpx.AsyncClient] | None = None,
    ) -> None:
        self.ahead: float | None = None
        self._root = base_url.strip().rstrip("/").removesuffix("/open-api").rstrip("/") + "/open-api"
        self._timeout = timeout
        self._factory = client_factory or self._default_client
        self._authorize = _bearer(key)
        self._http: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening = asyncio.Lock()

    async def send(self, call: Expects[T]) -> T:
        """The value that `call` brings (see `calls`), else a `CrmError`, and nothing foreign but a cancellation.

        An error of a write has `unconfirmed` set unless it is certain that the CRM did not apply it.
        """
        outcome = await self._exchange(call)
        if isinstance(outcome, CrmError):
            # Raised here and not where it arose: frames further in hold the key and the customer's data.
            raise outcome
        return outcome

    async def open(self) -> None:
        """Make the httpx client now, so that the first call need not wait for it; whatever fails is told by a call."""
        with suppress(Exception):
            await self._client()

    async def aclose(self) -> None:
        """Close the connections; on a loop other than theirs they can only be let go."""
        http, self._http = self._http, None
        if http is not None and self._loop is asyncio.get_running_loop():
            await http.aclose()

    async def _exchange(self, call: Expects[T]) -> T | CrmError:
        answer = _Answer()
        try:
            asked = request(call)
            if self._authorize is None:
                return Unauthorized("The key holds characters that no Sitniks key has; correct SNITKIX_API_KEY.")
            async with asyncio.timeout(self._timeout):
                await self._receive(asked, answer)
        except CrmError as exc:
            return exc.with_traceback(None)
        except Exception as exc:
            # A status that says no says it without the rest of its body: a 429 must lock the key at once.
            if answer.status is None or 200 <= answer.status <= 299:
                return _translate(exc, call)
        except BaseException as exc:
            exc.__context__ = None
            raise exc.with_traceback(None) from None
        return _read(answer, call)

    async def _receive(self, request: Request, answer: "_Answer") -> None:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": _USER_AGENT}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        http = await self._client()
        sent = time.time()
        async with http.stream(
            request.method,
            self._root + request.path,
            params=request.params or None,
            content=request.body,
            headers=headers,
            auth=self._authorize,
            follow_redirects=False,
            timeout=httpx.Timeout(self._timeout, connect=self._timeout / 2, pool=self._timeout / 2),
        ) as response:
            answer.status, answer.headers = response.status_code, dict(response.headers)
            self.ahead = clock_ahead(response.headers.get("date"), sent, time.time())
            # httpx unpacks without a bound, so a few kilobytes could fill the memory. We ask for plain bytes, take
            # packed ones as they are, and unpack them ourselves. (A mock transport's answer has been read already.)
            answer.packed = not response.is_stream_consumed
            chunks = response.aiter_raw() if answer.packed else response.aiter_bytes()
            async for chunk in chunks:
                answer.body += chunk
                if len(answer.body) > MAX_ANSWER:
                    break

    async def _client(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # Another loop's client (an earlier `asyncio.run`, the parent of a fork) cannot be closed from here.
            self._loop, self._http, self._opening = loop, None, asyncio.Lock()
        async with self._opening:
            if self._http is None:
                self._http = await load(self._factory)
            return self._http

    def _default_client(self) -> httpx.AsyncClient:
        near = is_loopback(self._root)
        # Who never speaks TLS need not read the file of authorities, which takes longer than all the rest.
        plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if near and self._root.startswith("http:") else True
        # Chats come in bursts with minutes between them: keep the connection, a TLS handshake costs half the budget.
        return httpx.AsyncClient(verify=plain, trust_env=not near, limits=httpx.Limits(keepalive_expiry=300.0))


class _Answer:
    """As much of an answer as has come in."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.packed = False


def _bearer(key: str | SecretStr) -> Callable[[httpx.Request], httpx.Request] | None:
    """What puts the key on a request; it lives in a closure, where no `repr()` or `vars()` shows it."""
    header = (key.get_secret_value() if isinstance(key, SecretStr) else key).strip()
    if not header.isascii() or not header.isprintable() or " " in header or not header:
        return None
    header = f"Bearer {header}"

    def authorize(request: httpx.Request) -> httpx.Request:
        request.headers["Authorization"] = header
        return request

    return authorize


def _read(answer: _Answer, call: Expects[T]) -> T | CrmError:
    body = _unpack(bytes(answer.body), answer.headers.get("content-encoding", "") if answer.packed else "")
    status = answer.status or 0
    if 200 <= status <= 299 and (body is None or len(body) > MAX_ANSWER):
        return TooLarge(
            f"Sitniks answered {type(call).__name__} with more than {MAX_ANSWER // 1_000_000} MB, or packed in a way "
            "that was not asked for; check that SNITKIX_API_URL is the address of the CRM.",
            status=status,
            unconfirmed=is_write(call),
        )
    try:
        return decode(call, status, answer.headers, body or b"", datetime.now(UTC))
    except CrmError as exc:
        return exc.with_traceback(None)


def _unpack(body: bytes, encoding: str) -> bytes | None:
    """The plain bytes of `body`, one byte more than `MAX_ANSWER` at most; None when they cannot be had."""
    if not body or encoding.strip().lower() in ("", "identity"):
        return body
    with suppress(zlib.error):
        return zlib.decompressobj(wbits=47).decompress(body, MAX_ANSWER + 1)
    return None


def _translate(exc: Exception, call: object) -> CrmError:
    """Our error for a foreign one: its type and code are copied, its text and frames are not."""
    unconfirmed = is_write(call) and not isinstance(exc, _NOT_SENT)
    what = f"{type(call).__name__} to Sitniks ({', '.join(_names(exc))})"
    if cure := cure_of(exc):
        return Unavailable(f"No answer: {what}; {cure}.")
    if isinstance(exc, TimeoutError | httpx.TimeoutException):
        return CallTimeout(f"No answer in time: {what}; raise SITNIKS_TIMEOUT if this lasts.", unconfirmed=unconfirmed)
    return Unavailable(f"No answer: {what}; check SNITKIX_API_URL and the network.", unconfirmed=unconfirmed)


def _names(exc: BaseException) -> Iterator[str]:
    yield type(exc).__name__
    seen: BaseException | None = exc
    for _ in range(8):
        if isinstance(seen, ssl.SSLError) and (reason := getattr(seen, "reason", None)):
            yield reason
        elif isinstance(seen, socket.gaierror):
            yield "name not resolved"
        elif isinstance(seen, OSError) and seen.errno:
            yield errno.errorcode.get(seen.errno, str(seen.errno))
        else:
            seen = seen and (seen.__cause__ or seen.__context__)
            continue
        return


def _installed_version() -> str:
    try:
        return version("mirt-sitniks")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"


_USER_AGENT = f"mirt-sitniks/{off_loop(_installed_version)}"
