"""Each fault over real HTTP: what the client sees, and what it did to the chat."""

import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from mirt_sitniks.sandbox import Sandbox
from mirt_sitniks.sandbox.faults import Faults, make_fault

ApiOf = Callable[..., httpx.Client]
STATUS = {"status": "AI Увага"}


@pytest.fixture
def chat(sandbox: Sandbox) -> str:
    """A chat that nobody has touched."""
    return sandbox.add_chat("iryna.example")


def applied(sandbox: Sandbox, chat: str) -> bool:
    return bool(sandbox.chat(chat)["status"] == "AI Увага")


def write(api: httpx.Client, chat: str, timeout: float = 5.0) -> httpx.Response:
    return api.patch(f"/chats/{chat}/status", json=STATUS, timeout=timeout)


def until_late(sandbox: Sandbox, changes: int) -> None:
    """Wait until so many late changes are on their way: who gives up may be sooner than the server is."""
    sandbox.wait(lambda: len(sandbox.account.world._late) == changes)


def test_a_fault_meets_what_it_is_meant_for() -> None:
    """Method and path must fit, the first armed comes first, and each time uses it up by one."""
    faults = Faults()
    faults.arm(make_fault("reset", method="patch", path="/status$"))
    faults.arm(make_fault("html", path="chats", times=2))
    faults.arm(make_fault("empty", times=None))

    def met(method: str, path: str) -> str | None:
        fault = faults.take(method, path, at_the_door=False)
        return fault.kind if fault else None

    assert met("GET", "/managers") == "empty"
    assert [met("PATCH", "/chats/1/status") for _ in range(4)] == ["reset", "html", "html", "empty"]
    assert [fault.kind for fault in faults.armed] == ["empty"]
    faults.clear()
    assert met("GET", "/managers") is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kind": "explode"}, "there is no fault 'explode'"),
        ({"kind": "slow", "second": 1}, "has no option second; it has: seconds"),
        ({"kind": "reset", "status": 500}, "it has: none"),
        ({"kind": "reset", "times": 0}, "at least 1"),
        ({"kind": "shows", "body": "after"}, "has no body 'after'; there are: chat, before, empty, success"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(sandbox: Sandbox, arguments: dict[str, Any], words: str) -> None:
    """A typing error in a test must not arm nothing."""
    with pytest.raises(ValueError, match=words):
        sandbox.fault(**arguments)


def test_status_answers_as_told_and_applies_nothing(api: httpx.Client, sandbox: Sandbox, chat: str) -> None:
    """Code, body, content type and headers are the test's; afterwards all is well again."""
    sandbox.fault("status", status=502, body="<h1>bad</h1>", content_type="text/html", headers={"Retry-After": "7"})
    answer = write(api, chat)
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (502, "<h1>bad</h1>", "text/html")
    assert answer.headers["retry-after"] == "7"
    assert not applied(sandbox, chat)
    assert (sandbox.calls[0].fault, sandbox.calls[0].status) == ("status", 502)
    assert write(api, chat).status_code == 200


def test_status_may_have_had_its_effect(api: httpx.Client, sandbox: Sandbox, chat: str) -> None:
    """A gateway's 504 tells nothing about what was behind it."""
    sandbox.fault("status", status=504, applied=True)
    assert write(api, chat).status_code == 504
    assert applied(sandbox, chat)


def test_reset_breaks_off_before_anything_happened(api: httpx.Client, sandbox: Sandbox, chat: str) -> None:
    """The client sees a reset connection, the chat is untouched, the call has no status."""
    sandbox.fault("reset")
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        write(api, chat)
    assert not applied(sandbox, chat)
    assert (sandbox.calls[0].fault, sandbox.calls[0].status) == ("reset", None)


def test_answer_lost_breaks_off_after_it_happened(api: httpx.Client, sandbox: Sandbox, chat: str) -> None:
    """The same for the client, but the chat has changed."""
    sandbox.fault("answer_lost", method="PATCH")
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        write(api, chat)
    assert applied(sandbox, chat)
    assert len(sandbox.history(chat)) == 1


def test_reset_body_breaks_off_in_the_middle(api: httpx.Client, sandbox: Sandbox, chat: str) -> None:
    """Status and half of the body come, the rest does not."""
    sandbox.fault("reset_body")
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        write(api, chat)
    assert applied(sandbox, chat)
    assert sandbox.calls[0].status == 200


def test_hang_never_answers_and_changes_nothing(api: httpx.Client, sandbox: Sandbox, chat: str) -> None:
    """Only the client's own timeout ends it."""
    sandbox.fault("hang")
    with pytest.raises(httpx.ReadTimeout):
        write(api, chat, timeout=0.05)
    assert not applied(sandbox, chat)
    assert sandbox.calls[0].status is None


@pytest.mark.parametrize("release", ["clear_faults", "stop"])
def test_a_hung_call_is_let_go(api: httpx.Client, sandbox: Sandbox, chat: str, release: str) -> None:
    """When faults are cleared or the sandbox stops, a hung call's connection is dropped at once."""
    sandbox.fault("hang", times=None)
    address = urlsplit(sandbox.url)
    with socket.create_connection((str(address.hostname), address.port or 0), timeout=5) as raw:
        raw.sendall(
            f"GET /open-api/chats HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {sandbox.key}\r\n\r\n".encode("ascii")
        )
        sandbox.wait(lambda: sandbox.count() == 1)
        getattr(sandbox, release)()
        try:
            rest = raw.recv(100)
        except ConnectionResetError:
            rest = b""
        assert rest == b""
    if release == "clear_faults":
        assert api.get("/chats").status_code == 200


def test_a_call_that_is_about_to_hang_is_let_go(sandbox: Sandbox) -> None:
    """A fault that has met its call ends with `clear_faults` also while the call is still on its slow way."""
    sandbox.latency = 0.2
    sandbox.fault("hang")
    address = urlsplit(sandbox.url)
    with socket.create_connection((str(address.hostname), address.port or 0), timeout=5) as raw:
        raw.sendall(
            f"GET /open-api/chats HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {sandbox.key}\r\n\r\n".encode("ascii")
        )
        sandbox.wait(lambda: sandbox.count() == 1)
        sandbox.clear_faults()
        try:
            rest = raw.recv(100)
        except ConnectionResetError:
            rest = b""
        assert rest == b""


def test_a_stopped_sandbox_refuses_connections(sandbox: Sandbox) -> None:
    """Its port is free again: another sandbox can have it."""
    url = sandbox.url
    sandbox.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)
    with Sandbox(port=urlsplit(url).port or 0) as second:
        assert second.url == url


def test_drip_sends_one_byte_at_a_time(api: httpx.Client, sandbox: Sandbox, chat: str) -> None:
    """No byte is late enough for a read timeout, and the answer never ends in time."""
    sandbox.fault("drip", every=0.02)
    got = b""
    with api.stream("GET", "/chats", timeout=1) as answer:
        for piece in answer.iter_raw():
            got += piece
            assert len(piece) == 1
            if len(got) == 5:
                break
    assert got == b'{"dat'


def test_slow_applies_and_answers_late(sandbox: Sandbox, api: httpx.Client, chat: str) -> None:
    """The answer comes after its seconds; the change too, although the client has left before."""
    sandbox.fault("slow", seconds=0.15, times=2)
    before = time.monotonic()
    assert write(api, chat).status_code == 200
    assert time.monotonic() - before >= 0.15
    sandbox.person_sets(chat, status="ОПЛАЧЕНО")
    with pytest.raises(httpx.ReadTimeout):
        write(api, chat, timeout=0.02)
    assert not applied(sandbox, chat)
    sandbox.wait(lambda: applied(sandbox, chat))


def test_latency_holds_every_answer(sandbox: Sandbox, api: httpx.Client) -> None:
    """A slow CRM is slow for all calls."""
    sandbox.latency = 0.1
    before = time.monotonic()
    api.get("/chats")
    assert time.monotonic() - before >= 0.1


def test_applied_late_overwrites_what_came_meanwhile(clock: Any, api_of: ApiOf) -> None:
    """The client times out, another change comes, and the old one is applied in its own second all the same."""
    with Sandbox(clock=clock) as sandbox:
        api = api_of(sandbox)
        chat = sandbox.add_chat("iryna.example")
        sandbox.fault("applied_late", seconds=20)
        with pytest.raises(httpx.ReadTimeout):
            write(api, chat, timeout=0.05)
        until_late(sandbox, 1)
        clock.pass_by(5)
        api.patch(f"/chats/{chat}/status", json={"status": "Виставлено рахунок"})
        clock.pass_by(100)
        changes = [(round(change["at"] - 1.8e9), change["after"]) for change in sandbox.history(chat)]
        assert changes == [(5, "Виставлено рахунок"), (20, "AI Увага")]
        assert [fault.kind for fault in sandbox.account.faults.armed] == []


def test_late_changes_come_in_the_order_in_which_they_are_due(clock: Any, api_of: ApiOf) -> None:
    """The write that was sent first but is the slower one stands in the end."""
    with Sandbox(clock=clock) as sandbox:
        api = api_of(sandbox)
        chat = sandbox.add_chat("iryna.example")
        for seconds, status in ((20, "AI Увага"), (5, "ОПЛАЧЕНО"), (10, "Взято в роботу")):
            sandbox.fault("applied_late", seconds=seconds)
            with pytest.raises(httpx.ReadTimeout):
                api.patch(f"/chats/{chat}/status", json={"status": status}, timeout=0.05)
        until_late(sandbox, 3)
        clock.pass_by(100)
        assert [change["after"] for change in sandbox.history(chat)] == ["ОПЛАЧЕНО", "Взято в роботу", "AI Увага"]


def test_a_late_change_that_is_due_comes_before_a_newer_one(clock: Any, api_of: ApiOf) -> None:
    """Nobody looked when it was due: it is made up for before the next change, never after."""
    with Sandbox(clock=clock) as sandbox:
        api = api_of(sandbox)
        chat = sandbox.add_chat("iryna.example")
        sandbox.fault("applied_late", seconds=5)
        with pytest.raises(httpx.ReadTimeout):
            write(api, chat, timeout=0.05)
        until_late(sandbox, 1)
        clock.pass_by(10)
        api.patch(f"/chats/{chat}/status", json={"status": "ОПЛАЧЕНО"})
        assert [change["after"] for change in sandbox.history(chat)] == ["AI Увага", "ОПЛАЧЕНО"]


def test_huge_streams_fifty_megabytes(api: httpx.Client, sandbox: Sandbox) -> None:
    """The body is as long as told, comes without a length, and stops when the client has had enough."""
    sandbox.fault("huge", size=3_000_000)
    with api.stream("GET", "/chats") as answer:
        assert "content-length" not in answer.headers
        assert sum(map(len, answer.iter_raw())) == 3_000_000
    sandbox.fault("huge")
    with api.stream("GET", "/chats") as answer:
        assert len(next(answer.iter_raw())) > 0
    assert api.get("/chats").status_code == 200


@pytest.mark.parametrize(
    ("kind", "options", "status", "body", "effect"),
    [
        ("empty", {}, 200, b"", True),
        ("shape", {"json": {"data": 5}}, 200, b'{"data": 5}', True),
        ("shape", {"json": None, "applied": False}, 200, b"null", False),
        ("redirect", {"location": "https://other.example/"}, 302, b"", False),
        ("refuse_key", {}, 401, None, False),
        ("trial", {}, 403, None, False),
        ("forbidden", {}, 403, None, False),
        ("rate_limited", {"retry_after": "-5"}, 429, None, False),
    ],
)
def test_simple_answers(
    api: httpx.Client,
    sandbox: Sandbox,
    chat: str,
    kind: str,
    options: Any,
    status: int,
    body: bytes | None,
    effect: bool,
) -> None:
    """Each has its status and body, and its effect or none."""
    sandbox.fault(kind, **options)
    answer = write(api, chat)
    assert answer.status_code == status
    assert body is None or answer.content == body
    assert applied(sandbox, chat) is effect
    assert answer.headers.get("location") == options.get("location")
    assert answer.headers.get("retry-after") == options.get("retry_after")
    assert (sandbox.calls[0].fault, sandbox.calls[0].status) == (kind, status)


def test_html_is_a_page_with_200(api: httpx.Client, sandbox: Sandbox, chat: str) -> None:
    """A proxy's page stands in the way and nothing is applied."""
    sandbox.fault("html")
    answer = write(api, chat)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.text.startswith("<!DOCTYPE html>")
    assert not applied(sandbox, chat)


def test_one_kind_of_call_or_one_chat_can_be_refused(api: httpx.Client, sandbox: Sandbox, chat: str) -> None:
    """403 for these alone, in the service's words; a page can refuse as well."""
    other = sandbox.add_chat("bohdan")
    sandbox.fault("forbidden", method="GET", path="/managers", times=None)
    sandbox.fault("forbidden", path=chat, times=None)
    assert api.get("/managers").json()["message"] == "forbidden_resource"
    assert [write(api, one).status_code for one in (chat, other)] == [403, 200]
    assert api.get("/chats").status_code == 200
    sandbox.clear_faults()
    sandbox.fault("html", status=403)
    page = write(api, chat)
    assert (page.status_code, page.headers["content-type"]) == (403, "text/html; charset=utf-8")


def test_too_fast_can_be_a_503(api: httpx.Client, sandbox: Sandbox, chat: str) -> None:
    """The text says what the code does not."""
    sandbox.fault("too_fast_503")
    answer = write(api, chat)
    assert (answer.status_code, "too fast" in answer.text) == (503, True)
    assert not applied(sandbox, chat)


def test_a_refused_request_is_refused_in_spite_of_the_fault(api: httpx.Client, sandbox: Sandbox, chat: str) -> None:
    """A fault spoils good answers; a bad request does not become a good one."""
    sandbox.fault("empty")
    assert api.patch(f"/chats/{chat}/status", json={"status": "?"}).status_code == 400


def test_faults_at_the_door_do_not_count(clock: Any, api_of: ApiOf) -> None:
    """A 429 by fault neither uses the limit up nor locks the key; other faults count as calls."""
    with Sandbox(clock=clock) as sandbox:
        api = api_of(sandbox)
        sandbox.fault("rate_limited", times=20)
        assert {api.get("/chats").status_code for _ in range(20)} == {429}
        sandbox.fault("status", status=500, times=5)
        assert [api.get("/chats").status_code for _ in range(11)] == [500] * 5 + [200] * 5 + [429]


def test_reset_of_the_sandbox_forgets_everything(api: httpx.Client, sandbox: Sandbox, chat: str) -> None:
    """No chats, calls and faults are left, and habits are as they were made."""
    sandbox.fault("reset", times=None)
    sandbox.status_shape = "object"
    sandbox.managers = {1: "Ніхто"}
    sandbox.reset()
    assert api.get("/chats").json() == {"data": [], "count": 0}
    assert (sandbox.status_shape, sandbox.limit, len(sandbox.managers), sandbox.count()) == ("text", False, 3, 1)
    with pytest.raises(KeyError):
        sandbox.chat(chat)
