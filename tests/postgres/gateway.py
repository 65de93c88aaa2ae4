"""The gateway in front of PostgREST: serves `/rest/v1/*` as a Supabase project does, and fails on request."""

import http.client
import json
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

PREFIX = "/rest/v1"


@dataclass(slots=True)
class Fault:
    """One way to fail, for requests whose "METHOD /path?query" contains `match`.

    `delay`: seconds before anything else happens. `status` with `body` and `headers`: answered here, the database never
    sees the request. `drop`: the connection is cut without an answer, before ("request") or after ("answer") the
    database has done the work. `then`: called once it has. `times`: how many requests it hits; None is all of them.
    `hits` counts them.
    """

    match: str = ""
    delay: float = 0.0
    status: int | None = None
    body: bytes = b'{"message":"injected"}'
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: Literal["request", "answer"] | None = None
    then: Callable[[], object] | None = None
    times: int | None = None
    hits: int = 0


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection to a server on a unix socket."""

    def __init__(self, path: Path, timeout: float | None = None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Gateway(ThreadingHTTPServer):
    """Listens on a free loopback port until `stop()`; `requests` lists what came in, without the prefix; `peak` is
    how many connections there were at once.

    `tokens` maps new-style keys (`sb_...`), which are no JWTs, to the JWT that PostgREST gets in their place: so does
    the gateway of a hosted project.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, upstream: Path, tokens: Mapping[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.tokens = tokens
        self.requests: list[str] = []
        self.faults: list[Fault] = []
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.peak = 0
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="gateway", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @contextmanager
    def fault(self, match: str = "", **how: Any) -> Iterator[Fault]:
        """Fails as `Fault` says while the block runs."""
        fault = Fault(match, **how)
        self.faults.append(fault)
        try:
            yield fault
        finally:
            self.faults.remove(fault)

    def take_fault(self, request: str) -> Fault | None:
        with self._lock:
            self.requests.append(request)
            for fault in self.faults:
                if fault.match in request and (fault.times is None or fault.hits < fault.times):
                    fault.hits += 1
                    return fault
        return None

    def stop(self) -> None:
        """Closes the port and every connection."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        self._thread.join()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
            self.peak = max(self.peak, len(self._open))
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that is killed in mid-request is what the crash tests are about.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: Gateway

    def setup(self) -> None:
        super().setup()
        self._upstream = UnixConnection(self.server.upstream)

    def finish(self) -> None:
        self._upstream.close()
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: the test reads `Gateway.requests`."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        path = self.path.removeprefix(PREFIX)
        fault = self.server.take_fault(f"{self.command} {path}")
        if fault:
            self.server.stopping.wait(fault.delay)
            if fault.drop == "request":
                return self._cut()
            if fault.status is not None:
                return self._answer(fault.status, {"content-type": "application/json", **fault.headers}, fault.body)
        if path == self.path:
            return self._say(404, "no Route matched with those values")
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        key = self.headers.get("apikey")
        if key is None:
            return self._say(401, "No API key found in request")
        if key.startswith("sb_"):
            if key not in self.server.tokens:
                return self._say(401, "Invalid API key")
            if self.headers.get("authorization", "Bearer sb_").startswith("Bearer sb_"):
                headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
                headers["Authorization"] = f"Bearer {self.server.tokens[key]}"
        try:
            self._upstream.request(self.command, path or "/", body, headers)
            response = self._upstream.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException):
            self._upstream.close()
            return self._say(502, "An invalid response was received from the upstream server")
        if fault and fault.then:
            fault.then()
        if fault and fault.drop == "answer":
            return self._cut()
        self._answer(response.status, dict(response.getheaders()), data)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve

    def _say(self, status: int, message: str) -> None:
        self._answer(status, {"content-type": "application/json"}, json.dumps({"message": message}).encode())

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in _HOP_BY_HOP and (name.lower() != "content-length" or self.command == "HEAD"):
                self.send_header(name, value)
        if self.command != "HEAD" and status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _cut(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True


_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "host"})
