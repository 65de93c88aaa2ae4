"""The door as a route: what Starlette mounts, how much of a body is read, and what the log has of it."""

import asyncio
import json
import logging
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.webhook import MAX_BODY, Event, webhook_routes
from tests.service.shop import wait_until
from tests.webhook.conftest import Heard
from tests.webhook.events import CHAT, NEW, OLD, event
from tests.webhook.test_door import BODIES

CHUNK = bytes(65_536)


def app_of(service: SitniksChatService) -> Starlette:
    """A host with other routes of its own."""
    return Starlette(routes=[Mount("/sitniks", webhook_routes(service))])


@pytest.fixture
def app(service: SitniksChatService) -> Starlette:
    """A host whose service notes what it hears."""
    return app_of(service)


def ask(app: Starlette, method: str, path: str, body: bytes = b"", **headers: str) -> httpx.Response:
    """What the host answers; an exception of its own fails the test."""

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop.example") as client:
            return await client.request(method, path, content=body, headers=headers)

    return asyncio.run(send())


@pytest.mark.parametrize("name", BODIES)
def test_it_answers_as_the_plain_function_does(app: Starlette, name: str) -> None:
    """Each body has the same status over HTTP, and no body comes back."""
    body, status, _ = BODIES[name]
    answer = ask(app, "POST", f"/sitniks/{NEW}", body)
    assert (answer.status_code, answer.content) == (status, b"")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", f"/sitniks/{OLD}", 200),
        ("POST", f"/sitniks/{OLD}?shop=1", 200),
        ("POST", f"/sitniks/{OLD}x", 404),
        ("POST", f"/sitniks/{OLD}/", 404),
        ("POST", f"/sitniks/{OLD}/more", 404),
        ("POST", "/sitniks/", 404),
        ("POST", "/sitniks/%00%ff", 404),
        ("GET", f"/sitniks/{OLD}", 405),
        ("GET", "/sitniks/wrong", 405),
        ("HEAD", f"/sitniks/{OLD}", 405),
        ("PUT", f"/sitniks/{OLD}", 405),
        ("DELETE", "/sitniks/wrong", 405),
        ("OPTIONS", f"/sitniks/{OLD}", 405),
    ],
)
def test_only_a_post_with_the_secret_is_taken(
    app: Starlette, heard: Heard, method: str, path: str, status: int
) -> None:
    """Any other method is 405 and any other path 404, whether or not the secret is right."""
    answer = ask(app, method, path, event())
    assert (answer.status_code, "location" in answer.headers) == (status, False)
    wait_until(lambda: len(heard.events()) == (status == 200))


def drive(
    app: Starlette,
    chunks: Iterator[bytes | None],
    secret: str = NEW,
    *,
    length: str = "",
    statuses: list[int] | None = None,
) -> tuple[int, int]:
    """The status, and how many chunks were read until then; None instead of one: the client is gone."""
    read, statuses = 0, [] if statuses is None else statuses

    async def receive() -> dict[str, Any]:
        nonlocal read
        chunk = next(chunks, b"")
        read += 1
        if chunk is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk, "more_body": bool(chunk)}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/sitniks/{secret}",
        "query_string": b"",
        "headers": [(b"content-length", length.encode())] if length else [],
    }
    asyncio.run(app(scope, receive, send))
    return statuses[-1], read


@pytest.mark.parametrize("length", ["", "10485760", "7", "-1", "ten"])
def test_ten_megabytes_cost_less_than_one(app: Starlette, length: str) -> None:
    """Reading stops where a body is too large, whatever its Content-Length says: 413, and no more memory than that."""
    drive(app, iter([event()]))
    tracemalloc.start()
    try:
        status, read = drive(app, (bytes(CHUNK) for _ in range(160)), length=length)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (status, read) == (413, MAX_BODY // len(CHUNK) + 1)
    assert peak < 1_000_000


def test_nothing_is_read_of_who_has_no_secret(app: Starlette) -> None:
    """404 before the first byte of the body."""
    assert drive(app, iter([CHUNK] * 160), secret="wrong") == (404, 0)


def test_a_client_that_goes_away_is_no_error(app: Starlette, heard: Heard) -> None:
    """In the middle of its body: nothing is kept."""
    assert drive(app, iter([event()[:100], None])) == (400, 2)
    assert heard.batches == []


def test_a_body_in_pieces_is_one(app: Starlette, heard: Heard) -> None:
    """One byte at a time, with a length that lies."""
    status, _ = drive(app, (bytes([byte]) for byte in event()), length="3")
    wait_until(lambda: heard.events())
    assert (status, heard.events()[0].chat.id) == (200, CHAT["id"])


@pytest.mark.parametrize("plain", [False, True])
def test_a_host_is_told_behind_the_answer(service: SitniksChatService, heard: Heard, plain: bool) -> None:
    """Of each event, by a coroutine or in a thread; not of a ping, nor of what is refused."""
    told: list[tuple[Event, int]] = []
    statuses: list[int] = []

    def note(event: Event) -> None:
        told.append((event, len(statuses)))

    async def note_later(event: Event) -> None:
        note(event)

    app = Starlette(routes=[Mount("/sitniks", webhook_routes(service, note if plain else note_later))])
    for body in (b"", b"{", event(), event(message=None)):
        drive(app, iter([body]), statuses=statuses)
    assert [(one.chat.id, before) for one, before in told] == [(CHAT["id"], 3), (CHAT["id"], 4)]
    assert statuses == [200, 400, 200, 200]


def test_the_secret_is_in_no_line_of_ours(
    service_of: Callable[..., SitniksChatService], planted: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither right nor nearly right, on any level, nor in what can be seen of service, inbox and settings."""
    caplog.set_level(logging.DEBUG)
    service = service_of(webhook_secrets=planted.webhook_secret)
    app = app_of(service)
    for body, *_ in BODIES.values():
        for secret in (planted.webhook_secret, planted.webhook_secret + "x"):
            # What httpx logs of its own requests is the sender's log.
            ask(app, "POST", f"/sitniks/{secret}", body)
    ours = [one for one in caplog.records if not one.name.startswith("httpx")]
    planted.assert_absent(*ours, *[vars(one) for one in ours], service, vars(service), service.settings)
    planted.assert_absent(json.dumps(service.settings.model_dump(), default=repr), webhook_routes(service).routes)
