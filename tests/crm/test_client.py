"""The client over real HTTP on loopback: whatever the server does, a value or an error of ours, and never the key."""

import asyncio
import gzip
import json
import logging
import socket
import ssl
import struct
import tracemalloc
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from mirt_sitniks.core.addresses import is_loopback
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.crm.calls import GetChat, ListChats, ListManagers, SetStatus, UpdateChat
from mirt_sitniks.crm.client import SitniksClient
from mirt_sitniks.errors import (
    BadResponse,
    CallTimeout,
    CrmError,
    NotFound,
    PlanRequired,
    RateLimited,
    Refused,
    Unauthorized,
    Unavailable,
)

KEY = "planted-key-7f3a9c"
ID = "6a22cc8ee056c3833dba0c2e"
BODY = json.dumps({"id": ID, "status": "Новый"}).encode()
READ, WRITE = GetChat(ID), SetStatus(ID, "AI Увага")
BOTH = pytest.mark.parametrize("call", [READ, WRITE], ids=lambda call: type(call).__name__)
SHORT = 1.5  # seconds; only where the timeout itself ends the call, else a busy machine would decide the test

Respond = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A TCP server that reads HTTP requests and lets `respond` write what it likes."""

    def __init__(self, respond: Respond) -> None:
        self.respond = respond
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0
        self.port = 0
        self._open: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

    def __repr__(self) -> str:
        return "<Server>"

    @property
    def url(self) -> str:
        """Its base address."""
        return f"http://127.0.0.1:{self.port}"

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Takes a connection. No coroutine: one that is cancelled before its first step could not close anything."""
        self.connections += 1
        self._open[asyncio.create_task(self._serve(reader, writer))] = writer

    async def close(self) -> None:
        """Drops every connection; accepting takes some turns, and a socket leaks if listening ends between them."""
        for _ in range(10):
            await asyncio.sleep(0)
        for task, writer in self._open.items():
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                line, *rest = head.strip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (item.partition(": ") for item in rest)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.requests.append((line, headers, body))
                await self.respond(writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()


@asynccontextmanager
async def serving(respond: Respond) -> Any:
    """A `Server` that is gone, with its connections, when the block ends."""
    server = Server(respond)
    tcp = await asyncio.start_server(server.accept, "127.0.0.1", 0)
    server.port = tcp.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        await server.close()
        tcp.close()


def answer(body: bytes = BODY, status: str = "200 OK", *headers: str) -> Respond:
    """Answers every request alike."""

    async def respond(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    return respond


async def hang(writer: asyncio.StreamWriter) -> None:
    """Never answers."""
    await asyncio.Event().wait()


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Closes without a word."""
    writer.close()


async def reset(writer: asyncio.StreamWriter) -> None:
    """Resets the connection without a word."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def reset_in_the_body(writer: asyncio.StreamWriter) -> None:
    """Sends the head and half a body, then resets."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + BODY)
    await writer.drain()
    await reset(writer)


async def drip(writer: asyncio.StreamWriter) -> None:
    """Sends a byte at a time, each well within any timeout for a single read."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    for _ in range(100):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(SHORT / 20)


async def not_http(writer: asyncio.StreamWriter) -> None:
    """Speaks another protocol."""
    writer.write(b"+OK POP3 ready\r\n\r\n")


def flood(status: str, sent: list[int]) -> Respond:
    """Sends 50 MB as fast as they are taken, and counts them in `sent`."""

    async def respond(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n\r\n".encode())
        for _ in range(50):
            writer.write(b" " * 1_000_000)
            await writer.drain()
            sent.append(1_000_000)

    return respond


async def fails(client: SitniksClient, call: Any) -> CrmError:
    """The error that sending `call` raises."""
    with pytest.raises(CrmError) as caught:
        await client.send(call)
    return caught.value


def one_failure(respond: Respond, call: Any, timeout: float = 5.0) -> CrmError:
    """The error of one call to a server of its own."""

    async def scenario() -> CrmError:
        async with serving(respond) as server:
            client = SitniksClient(server.url, KEY, timeout=timeout)
            try:
                return await fails(client, call)
            finally:
                await client.aclose()

    return asyncio.run(scenario())


def with_client(respond: Respond, use: Callable[[SitniksClient, Server], Coroutine[Any, Any, Any]]) -> Any:
    """What `use` returns for a client of a server that answers with `respond`."""

    async def scenario() -> Any:
        async with serving(respond) as server:
            client = SitniksClient(server.url, KEY, timeout=5.0)
            try:
                return await use(client, server)
            finally:
                await client.aclose()

    return asyncio.run(scenario())


def raising(exc: BaseException) -> Callable[[], httpx.AsyncClient]:
    """A factory of clients whose transport raises `exc`."""

    def handler(request: httpx.Request) -> httpx.Response:
        raise exc

    return lambda: httpx.AsyncClient(transport=httpx.MockTransport(handler))


# What goes out


def test_a_call_goes_out_as_the_contract_says() -> None:
    """Method, path below `/open-api`, bearer key, JSON in and out, who we are; and nothing is asked for packed."""

    async def use(client: SitniksClient, server: Server) -> None:
        assert await client.send(WRITE) == Chat(ID, status="Новый")
        ((line, headers, body),) = server.requests
        assert line == f"PATCH /open-api/chats/{ID}/status HTTP/1.1"
        assert json.loads(body) == {"status": "AI Увага"}
        assert headers["authorization"] == f"Bearer {KEY}"
        assert (headers["accept"], headers["content-type"]) == ("application/json", "application/json")
        assert headers["user-agent"].startswith("mirt-sitniks/")
        assert headers["accept-encoding"] == "identity"

    with_client(answer(), use)


@pytest.mark.parametrize("end", ["", "/", "/open-api", "/open-api/", " \n", "/crm/open-api/"])
def test_the_address_may_end_with_open_api_or_not(end: str) -> None:
    """Both spellings of `SNITKIX_API_URL` lead to the same path, below a prefix too."""

    async def use(client: SitniksClient, server: Server) -> None:
        other = SitniksClient(server.url + end, KEY)
        await other.send(READ)
        await other.aclose()
        prefix = "/crm" if "crm" in end else ""
        assert server.requests[0][0] == f"GET {prefix}/open-api/chats/{ID} HTTP/1.1"

    with_client(answer(), use)


def test_an_id_from_outside_stays_one_segment_on_the_wire() -> None:
    """What `calls` encoded reaches the server encoded once, and a query value cannot add another."""

    async def use(client: SitniksClient, server: Server) -> None:
        await fails(client, GetChat("a/../b?c#d%2e"))
        assert server.requests[0][0] == "GET /open-api/chats/a%2F..%2Fb%3Fc%23d%252e HTTP/1.1"
        now = datetime(2026, 6, 5, tzinfo=UTC)
        await fails(client, ListChats(now, now, skip=50))
        assert server.requests[1][0].split()[1].split("?")[1] == (
            "startDate=2026-06-05T00%3A00%3A00.000Z&endDate=2026-06-05T00%3A00%3A00.000Z&limit=50&skip=50"
        )

    with_client(answer(b"{}"), use)


def test_what_cannot_be_an_id_costs_no_call() -> None:
    """`calls` refuses before anything is sent."""

    async def use(client: SitniksClient, server: Server) -> None:
        error = await fails(client, SetStatus("..", "x"))
        assert isinstance(error, NotFound)
        assert len(list(frames(error.__traceback__))) == 1
        assert server.connections == 0

    with_client(answer(), use)


def test_one_connection_serves_many_calls() -> None:
    """Calls one after another share a connection."""

    async def use(client: SitniksClient, server: Server) -> None:
        for call in (READ, WRITE, UpdateChat(ID, manager_id=7), READ):
            await client.send(call)
        assert (server.connections, len(server.requests)) == (1, 4)

    with_client(answer(), use)


def test_a_connection_survives_a_refusal() -> None:
    """An error answer leaves the connection usable."""

    async def use(client: SitniksClient, server: Server) -> None:
        for _ in range(3):
            assert isinstance(await fails(client, READ), Refused)
        assert server.connections == 1

    with_client(answer(b"{}", "400 Bad Request"), use)


def test_a_connection_that_died_idle_is_replaced() -> None:
    """A server that closes after each answer costs a connection a call, never a call."""

    async def once(writer: asyncio.StreamWriter) -> None:
        await answer()(writer)
        await writer.drain()
        writer.close()

    async def use(client: SitniksClient, server: Server) -> None:
        for _ in range(3):
            assert (await client.send(READ)).id == ID
            await asyncio.sleep(0.01)
        assert (server.connections, len(server.requests)) == (3, 3)

    with_client(once, use)


@BOTH
@pytest.mark.parametrize("respond", [hang_up, reset])
def test_nothing_is_sent_twice(respond: Respond, call: Any) -> None:
    """A dead connection is reported, not retried: each request needs its own grant of the rate limit."""

    async def use(client: SitniksClient, server: Server) -> None:
        await fails(client, call)
        assert len(server.requests) == 1

    with_client(respond, use)


# What comes back


@BOTH
@pytest.mark.parametrize(
    ("respond", "kind"),
    [
        (hang, CallTimeout),
        (drip, CallTimeout),
        (hang_up, Unavailable),
        (reset, Unavailable),
        (reset_in_the_body, Unavailable),
        (not_http, Unavailable),
    ],
)
def test_no_usable_answer_is_an_error_and_a_write_is_unsure(respond: Respond, kind: type[CrmError], call: Any) -> None:
    """Hanging, dripping, resetting or babbling ends within the timeout; what was sent may have been applied."""
    error = one_failure(respond, call, SHORT if kind is CallTimeout else 5.0)
    assert type(error) is kind
    assert error.retryable
    assert error.unconfirmed is (call is WRITE)


def test_a_refused_connection_never_sent_anything() -> None:
    """Nobody listens: a write is surely not applied, and the message says why in the system's words."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    error = asyncio.run(fails(SitniksClient(f"http://127.0.0.1:{port}", KEY), WRITE))
    assert isinstance(error, Unavailable)
    assert not error.unconfirmed
    assert "ConnectError, ECONNREFUSED" in error.message
    assert "SNITKIX_API_URL" in error.message


def test_a_failing_tls_handshake_never_sent_anything() -> None:
    """A server that does not speak TLS: not unconfirmed, and the reason is named."""

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"+OK POP3 ready\r\n")
            await reader.read(1)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    async def scenario() -> CrmError:
        tcp = await asyncio.start_server(babble, "127.0.0.1", 0)
        async with tcp:
            client = SitniksClient(f"https://127.0.0.1:{tcp.sockets[0].getsockname()[1]}", KEY)
            try:
                return await fails(client, WRITE)
            finally:
                await client.aclose()

    error = asyncio.run(scenario())
    assert isinstance(error, Unavailable)
    assert not error.unconfirmed
    assert "(ConnectError, " in error.message


@pytest.mark.parametrize(
    ("exc", "kind", "unconfirmed"),
    [
        (httpx.ConnectError("x"), Unavailable, False),
        (httpx.ConnectTimeout("x"), CallTimeout, False),
        (httpx.PoolTimeout("x"), CallTimeout, False),
        (httpx.ProxyError("x"), Unavailable, False),
        (httpx.UnsupportedProtocol("x"), Unavailable, False),
        (httpx.InvalidURL("x"), Unavailable, False),
        (httpx.ReadTimeout("x"), CallTimeout, True),
        (httpx.WriteTimeout("x"), CallTimeout, True),
        (httpx.ReadError("x"), Unavailable, True),
        (httpx.WriteError("x"), Unavailable, True),
        (httpx.CloseError("x"), Unavailable, True),
        (httpx.RemoteProtocolError("x"), Unavailable, True),
        (httpx.LocalProtocolError("x"), Unavailable, True),
        (httpx.DecodingError("x"), Unavailable, True),
        (TimeoutError("x"), CallTimeout, True),
        (ConnectionResetError("x"), Unavailable, True),
        (RuntimeError("Event loop is closed"), Unavailable, True),
        (ValueError("x"), Unavailable, True),
        (RecursionError("x"), Unavailable, True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_every_foreign_error_becomes_ours(exc: Exception, kind: type[CrmError], unconfirmed: bool) -> None:
    """Type and code of a foreign error are copied, its text and chain are not; only what surely never left is sure."""
    for call, expected in ((READ, False), (WRITE, unconfirmed)):
        error = asyncio.run(fails(SitniksClient("http://127.0.0.1:9", KEY, client_factory=raising(exc)), call))
        assert (type(error), error.unconfirmed) == (kind, expected)
        assert type(exc).__name__ in error.message
        assert (error.__cause__, error.__context__) == (None, None)


def verification() -> httpx.ConnectError:
    """What httpx raises when a network in between shows a certificate of its own."""
    error = httpx.ConnectError("x")
    error.__cause__ = ssl.SSLCertVerificationError(1, "certificate verify failed")
    return error


@pytest.mark.parametrize(
    ("exc", "cure"),
    [
        (ImportError("Using SOCKS proxy, but the 'socksio' package is not installed"), 'pip install "httpx[socks]"'),
        (ValueError("Unknown scheme for proxy URL"), "the proxy that HTTPS_PROXY or ALL_PROXY names"),
        (httpx.ProxyError("407"), "NO_PROXY"),
        (verification(), "set SSL_CERT_FILE"),
    ],
)
def test_what_the_process_has_around_it_is_no_wrong_address(exc: Exception, cure: str) -> None:
    """The cure is the one that helps, and no write counts as one that may have been applied."""
    error = asyncio.run(fails(SitniksClient("https://crm.invalid", KEY, client_factory=raising(exc)), WRITE))
    assert (type(error), error.unconfirmed) == (Unavailable, False)
    assert cure in error.message
    assert "SNITKIX_API_URL" not in error.message


@pytest.mark.parametrize(
    ("variable", "value", "cure"),
    [
        # An earlier httpx does not mind a file that is gone.
        pytest.param(
            "SSL_CERT_FILE",
            "/nowhere/ca.pem",
            "SSL_CERT_FILE names cannot be read",
            marks=pytest.mark.requires("httpx>=0.28"),
        ),
        ("ALL_PROXY", "socks5://127.0.0.1:9", 'pip install "httpx[socks]"'),
        ("ALL_PROXY", "gopher://127.0.0.1:9", "the proxy that HTTPS_PROXY or ALL_PROXY names"),
    ],
)
def test_a_client_that_cannot_be_made_says_why(
    variable: str, value: str, cure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As httpx itself raises it, from the environment of the process."""
    monkeypatch.setenv(variable, value)
    error = asyncio.run(fails(SitniksClient("https://crm.invalid", KEY), READ))
    assert cure in error.message


def test_a_factory_that_fails_is_an_error_of_ours() -> None:
    """What the host's factory raises does not escape either."""

    def factory() -> httpx.AsyncClient:
        raise KeyError(KEY)

    error = asyncio.run(fails(SitniksClient("http://127.0.0.1:9", KEY, client_factory=factory), READ))
    assert isinstance(error, Unavailable)
    assert KEY not in error.message


@pytest.mark.parametrize(
    ("status", "kind"),
    [("401 Unauthorized", Unauthorized), ("403 Forbidden", PlanRequired), ("429 Slow Down", RateLimited)],
)
def test_a_refusal_is_what_answers_say_it_is(status: str, kind: type[CrmError]) -> None:
    """Statuses and headers reach `answers`."""
    error = one_failure(answer(b"", status, "Retry-After: 17"), READ)
    assert type(error) is kind
    assert error.retry_after == 17.0


@BOTH
def test_fifty_megabytes_are_not_read(call: Any) -> None:
    """Reading ends at 1 MB; whether a write was applied is then unsure."""
    sent: list[int] = []
    error = one_failure(flood("200 OK", sent), call)
    assert isinstance(error, BadResponse)
    assert error.unconfirmed is (call is WRITE)
    assert sum(sent) < 20_000_000  # what the system's socket buffers swallow, not what we read


def test_a_megabyte_is_read() -> None:
    """The limit is 1 MB, not less."""

    async def use(client: SitniksClient, server: Server) -> None:
        assert (await client.send(READ)).id == ID

    with_client(answer(BODY + b" " * (1_000_000 - len(BODY))), use)
    assert isinstance(one_failure(answer(BODY + b" " * (1_000_001 - len(BODY))), READ), BadResponse)


@pytest.mark.parametrize("cut", ["endless", "reset", "drip"])
def test_a_refusal_needs_no_whole_body(cut: str) -> None:
    """A 429 locks the key although its body never ends, breaks off or drips."""

    async def respond(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 429 Slow Down\r\nRetry-After: 17\r\nContent-Length: 9000000\r\n\r\n{")
        await writer.drain()
        if cut == "reset":
            await reset(writer)
        elif cut == "endless":
            writer.write(b" " * 8_000_000)
        else:
            await hang(writer)

    error = one_failure(respond, WRITE, 1.0 if cut == "drip" else 5.0)
    assert isinstance(error, RateLimited)
    assert (error.retry_after, error.unconfirmed) == (17.0, False)


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_packed_answer_is_unpacked(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    """A proxy that packs without being asked is understood."""

    async def use(client: SitniksClient, server: Server) -> None:
        assert (await client.send(READ)).status == "Новый"

    with_client(answer(pack(BODY), "200 OK", f"Content-Encoding: {encoding}"), use)


@BOTH
def test_a_packed_flood_is_not_unpacked(call: Any) -> None:
    """100 MB packed into 100 KB never take more memory than a few answers do."""
    bomb = gzip.compress(bytes(100_000_000), 1)
    respond = answer(bomb, "200 OK", "Content-Encoding: gzip")
    tracemalloc.start()
    try:
        error = one_failure(respond, call)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert isinstance(error, BadResponse)
    assert error.unconfirmed is (call is WRITE)


@pytest.mark.parametrize("encoding", ["br", "gzip", "zstd"])
def test_what_cannot_be_unpacked_is_a_bad_response(encoding: str) -> None:
    """An unknown packing, or one that is not what it says, is no answer."""
    assert isinstance(one_failure(answer(BODY, "200 OK", f"Content-Encoding: {encoding}"), READ), BadResponse)


@BOTH
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_not_followed_with_the_key(status: str, call: Any) -> None:
    """Where the redirect points never hears of us, also when the host's own client would follow."""

    async def scenario() -> None:
        async with serving(answer()) as other, serving(answer(b"", status, f"Location: {other.url}/x")) as server:
            for factory in (None, lambda: httpx.AsyncClient(follow_redirects=True)):
                client = SitniksClient(server.url, KEY, client_factory=factory)
                error = await fails(client, call)
                await client.aclose()
                assert isinstance(error, BadResponse)
                assert "SNITKIX_API_URL" in error.message
            assert (other.connections, len(server.requests)) == (0, 2)

    asyncio.run(scenario())


# Life cycle


def test_a_cancelled_call_is_cancelled() -> None:
    """Cancellation goes through, is not taken for a timeout, and the client works on."""
    asked = asyncio.Event()

    async def respond(writer: asyncio.StreamWriter) -> None:
        first = not asked.is_set()
        asked.set()
        await (hang if first else answer())(writer)

    async def use(client: SitniksClient, server: Server) -> None:
        task = asyncio.create_task(client.send(WRITE))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert list(leaks(caught.value)) == []
        assert (await client.send(READ)).id == ID

    with_client(respond, use)


def test_each_event_loop_gets_its_own_connection() -> None:
    """Several `asyncio.run` in one process share a client object; none meets another's closed loop."""
    made: list[httpx.AsyncClient] = []

    def factory() -> httpx.AsyncClient:
        made.append(httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, content=BODY))))
        return made[-1]

    client = SitniksClient("http://127.0.0.1:9", KEY, client_factory=factory)

    async def scenario() -> None:
        for _ in range(2):
            assert (await client.send(READ)).id == ID

    for runs in (1, 2, 3):
        asyncio.run(scenario())
        assert len(made) == runs


def test_calls_side_by_side_make_one_client_where_no_loop_runs() -> None:
    """Making one reads certificates and loads modules: a thread does it, once, and all who call meanwhile wait."""
    made: list[httpx.AsyncClient] = []

    def factory() -> httpx.AsyncClient:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        made.append(httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, content=BODY))))
        return made[-1]

    async def scenario() -> None:
        client = SitniksClient("http://127.0.0.1:9", KEY, client_factory=factory)
        assert {chat.id for chat in await asyncio.gather(*[client.send(READ) for _ in range(3)])} == {ID}

    asyncio.run(scenario())
    assert len(made) == 1


def test_closing_closes_what_the_factory_made_and_using_opens_again() -> None:
    """We opened it through the factory, so we close it; closing twice or unused is fine."""
    made: list[httpx.AsyncClient] = []

    def factory() -> httpx.AsyncClient:
        made.append(httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, content=BODY))))
        return made[-1]

    async def scenario() -> None:
        client = SitniksClient("http://127.0.0.1:9", KEY, client_factory=factory)
        await client.aclose()
        assert made == []
        await client.send(READ)
        await client.aclose()
        await client.aclose()
        assert [http.is_closed for http in made] == [True]
        await client.send(READ)
        assert [http.is_closed for http in made] == [True, False]

    asyncio.run(scenario())


def test_closing_on_another_loop_lets_go() -> None:
    """Connections of a loop that is gone cannot be closed any more: they are dropped, untouched."""
    http = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, content=BODY)))
    client = SitniksClient("http://127.0.0.1:9", KEY, client_factory=lambda: http)
    asyncio.run(client.send(READ))
    asyncio.run(client.aclose())
    assert not http.is_closed


def test_loopback_never_goes_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A company's proxy in the environment does not catch the calls to a local sandbox."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def use(client: SitniksClient, server: Server) -> None:
        assert (await client.send(READ)).id == ID

    with_client(answer(), use)


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:80/open-api", True),
        ("http://localhost", True),
        ("http://crm.localhost:1", True),
        ("http://127.0.0.1.example.com", False),
        ("http://localhost.example.com", False),
        ("http://10.0.0.1", False),
        ("https://crm.sitniks.com", False),
        ("http://[", False),
        ("", False),
    ],
)
def test_loopback_is_told_by_the_host_alone(url: str, loopback: bool) -> None:
    """Only this very machine counts, however the address is dressed up."""
    assert is_loopback(url) is loopback


# The key


@pytest.mark.parametrize("key", [f" {KEY}\n", SecretStr(f"{KEY}\r\n")])
def test_a_key_is_stripped(key: str | SecretStr) -> None:
    """A trailing newline from a file does not break the header."""

    async def scenario() -> None:
        async with serving(answer()) as server:
            client = SitniksClient(server.url, key)
            await client.send(READ)
            await client.aclose()
            assert server.requests[0][1]["authorization"] == f"Bearer {KEY}"

    asyncio.run(scenario())


@pytest.mark.parametrize("key", ["", " ", f"{KEY} x", f"{KEY}\nx", f"{KEY}ї", f"{KEY}\x00", f"{KEY}\x7f"])
def test_a_key_that_no_header_can_carry_is_unauthorized(key: str) -> None:
    """It is refused before a connection is made, without being shown."""

    async def use(client: SitniksClient, server: Server) -> None:
        error = await fails(SitniksClient(server.url, key), READ)
        assert isinstance(error, Unauthorized)
        assert KEY not in error.message
        assert "SNITKIX_API_KEY" in error.message
        assert server.connections == 0

    with_client(answer(), use)


def shown(value: object, depth: int) -> Iterator[str]:
    """What an error tracker shows of a value: its repr, and its attributes and items some levels deep."""
    try:
        yield repr(value)
    except Exception:
        return
    if depth:
        inner: list[object] = list(getattr(value, "__dict__", {}).items())
        if isinstance(value, dict):
            inner += list(value.items())
        elif isinstance(value, list | tuple | set):
            inner += list(value)
        for item in inner:
            yield from shown(item, depth - 1)


def frames(traceback: TracebackType | None) -> Iterator[Any]:
    """The frames of a traceback but for this file's own."""
    while traceback:
        if traceback.tb_frame.f_code.co_filename != __file__:
            yield traceback.tb_frame
        traceback = traceback.tb_next


def leaks(exc: BaseException | None) -> Iterator[str]:
    """Where the key shows in an exception, its chain, or a local variable of any frame."""
    if exc is None:
        return
    for text in (str(exc), *shown(exc, 2), *shown(exc.args, 2)):
        if KEY in text:
            yield f"{type(exc).__name__}: {text}"
    for frame in frames(exc.__traceback__):
        for name, value in frame.f_locals.items():
            if any(KEY in text for text in shown(value, 4)):
                yield f"{frame.f_code.co_qualname} {name}"
    yield from leaks(exc.__cause__)
    yield from leaks(exc.__context__)


@BOTH
@pytest.mark.parametrize(
    "respond",
    [
        hang,
        reset,
        reset_in_the_body,
        hang_up,
        not_http,
        answer(b"<p>", "200 OK"),
        answer(KEY.encode(), "401 Unauthorized"),
        answer(KEY.encode(), "429 Slow Down", f"Retry-After: {KEY}"),
        answer(b"", "307 Temporary", f"Location: /{KEY}"),
        answer(json.dumps({"message": KEY}).encode(), "422 Unprocessable"),
    ],
)
def test_the_key_is_in_nothing_that_escapes(respond: Respond, call: Any) -> None:
    """Not in messages, arguments or chains, nor in a local of any frame, though the server sends the key back."""
    error = one_failure(respond, call, SHORT if respond is hang else 5.0)
    assert list(leaks(error)) == []
    assert len(list(frames(error.__traceback__))) == 1  # `send` alone: nothing of httpx, nothing of ours further in


@pytest.mark.blocks
def test_the_search_for_leaks_finds_them() -> None:
    """The walk above sees locals, attributes and chains: it finds the key in httpx's own error."""

    async def scenario() -> None:
        async with httpx.AsyncClient() as http:
            await http.get("http://127.0.0.1:9", headers=[("X-Key", KEY)])

    with pytest.raises(httpx.ConnectError) as caught:
        asyncio.run(scenario())
    assert list(leaks(caught.value))


def test_the_key_is_in_no_attribute_of_the_client() -> None:
    """`repr()` and `vars()`, several levels deep, before and after use, do not show it."""

    async def use(client: SitniksClient, server: Server) -> None:
        assert not any(KEY in text for text in shown(client, 3))
        await client.send(READ)
        assert not any(KEY in text for text in shown(client, 6))

    with_client(answer(), use)


def test_the_key_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """Everything logged at DEBUG by httpx, httpcore, asyncio and us is free of it."""
    caplog.set_level(logging.DEBUG)

    async def use(client: SitniksClient, server: Server) -> None:
        await client.send(READ)
        await client.send(WRITE)
        await fails(client, ListManagers())

    with_client(answer(), use)
    assert caplog.records
    assert KEY not in caplog.text
    assert not any(KEY in text for record in caplog.records for text in shown(record, 3))
