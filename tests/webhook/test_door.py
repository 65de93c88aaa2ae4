"""Whatever comes is answered at once with 200, 400, 404 or 413; what was told reaches the store behind the answer."""

import asyncio
import json
import logging
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from mirt_sitniks.errors import StoreError
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.settings import SitniksSettings
from mirt_sitniks.webhook import MAX_BODY, door, handle, inbox
from tests.service.shop import wait_until
from tests.webhook.conftest import Heard
from tests.webhook.events import CHAT, MESSAGE, NEW, OLD, event, numbered

DEEP = b'{"chat":' + b"[" * 100_000
HUGE = b'{"chat": {"id": ' + b"9" * 100_000 + b"}}"
# What is answered to it, and whether something is to be kept.
BODIES: dict[str, tuple[Any, int, bool]] = {
    "event": (event(), 200, True),
    "read as text by a framework": (event().decode(), 200, True),
    "without a message": (event(message=None), 200, True),
    "older shape": (event(chat=None, chatId=CHAT["id"]), 200, True),
    "nothing but an id": (json.dumps({"chatId": CHAT["id"]}).encode(), 200, True),
    "UTF-8 with a mark": (b"\xef\xbb\xbf" + event(), 200, True),
    "UTF-16": (event().decode().encode("utf-16"), 200, True),
    "keys twice": (b'{"chat": 1, "chatId": 2, "chat": {"id": "a"}}', 200, True),
    "half a pair": (rb'{"chat": {"id": "a", "status": "\ud800"}, "message": {"text": "\udfff"}}', 200, True),
    "NaN": (b'{"chat": {"id": "a", "assignedManagerId": NaN}, "message": {"createdAt": -Infinity}}', 200, True),
    "odd types": (b'{"chat": {"id": 7, "status": [], "userId": {}}, "message": [1]}', 200, True),
    "ping": (b'{"test": "ping"}', 200, False),
    "empty": (b"", 200, False),
    "blank": (b" \r\n", 200, False),
    "another kind": (b'{"order": {"id": 1}}', 200, False),
    "as large as may be": (b'{"test": "' + b"x" * (MAX_BODY - 12) + b'"}', 200, False),
    "too large": (b'{"test": "' + b"x" * (MAX_BODY - 11) + b'"}', 413, False),
    "a chat without an id": (b'{"chat": {"id": ""}}', 400, False),
    "no chat at all": (b'{"chat": "a"}', 400, False),
    "a list": (b"[1]", 400, False),
    "null": (b"null", 400, False),
    "text": (b"hello", 400, False),
    "no UTF-8": (b'{"chat": "\xff"}', 400, False),
    "a form": (b"chat=1&message=2", 400, False),
    "packed": (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\x06\x00C\xbf\xa6\xa3\x02\x00\x00\x00", 400, False),
    "cut off": (event()[:-1], 400, False),
    "too deep": (DEEP + b"]" * 100_000 + b"}", 400, False),
    "a number too long": (HUGE, 400, False),
}


@pytest.mark.parametrize("name", BODIES)
def test_each_body_has_its_answer(service: SitniksChatService, heard: Heard, name: str) -> None:
    """Row 44: one status each, and the store hears of what tells something of a chat."""
    body, status, kept = BODIES[name]
    assert handle(service, body, {}, NEW) == status
    assert handle(service, event(chat={"id": "last"}), {}, OLD) == 200
    wait_until(lambda: heard.events()[-1:] and heard.events()[-1].chat.id == "last")
    assert len(heard.events()) == kept + 1


@pytest.mark.parametrize(
    "secret", ["", " ", NEW[:-1], NEW + "x", NEW.upper(), f"{NEW}, {OLD}", "\0", "\ud800", "ї" * 20]
)
@pytest.mark.parametrize("body", [event(), b"", b"x" * (MAX_BODY + 1), b"{"])
def test_a_wrong_secret_is_told_nothing(service: SitniksChatService, heard: Heard, body: bytes, secret: str) -> None:
    """404, whatever the body is: nobody learns that here is a door."""
    assert handle(service, body, {"x-secret": NEW}, secret) == 404
    assert heard.events() == []


@pytest.mark.parametrize("secret", [NEW, OLD, "wrong"])
def test_all_secrets_are_compared_in_constant_time(
    service: SitniksChatService, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    """Each one by `compare_digest`, also when an earlier one has fitted: nothing tells which."""
    compared: list[bytes] = []

    def compare(said: bytes, one: bytes) -> bool:
        compared.append(one)
        return said == one

    monkeypatch.setattr(door, "compare_digest", compare)
    assert door.admits(service, secret) is (secret != "wrong")
    assert compared == [NEW.encode(), OLD.encode()]


def test_without_a_secret_every_path_is_404(
    service_of: Callable[..., SitniksChatService], heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    """The empty path as well; why is said once, with the cure."""
    service = service_of(webhook_secrets=None)
    assert [handle(service, event(), {}, secret) for secret in ("", NEW, "")] == [404] * 3
    assert heard.events() == []
    (said,) = (one for one in caplog.records if one.name == "mirt_sitniks")
    assert said.levelno == logging.WARNING
    assert "set SITNIKS_WEBHOOK_SECRETS" in said.getMessage()


def test_the_answer_waits_for_nothing(service: SitniksChatService, heard: Heard) -> None:
    """With a store that stands still, in plain threads and within a running loop; all is kept when it goes on."""
    heard.open.clear()

    async def within() -> list[int]:
        return [handle(service, numbered(number), {}, NEW) for number in range(10)]

    assert asyncio.run(within()) == [200] * 10
    threads = [
        threading.Thread(target=handle, args=(service, numbered(number), {}, OLD), daemon=True)
        for number in range(10, 20)
    ]
    for thread in threads:
        thread.start()
        thread.join()
    assert heard.batches == []
    heard.open.set()
    wait_until(lambda: len(heard.events()) == 20)
    assert {one.message.text for one in heard.events() if one.message} == {str(number) for number in range(20)}


def test_what_waits_is_bounded(
    service: SitniksChatService, heard: Heard, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the store stands still so many events wait and no more, answered 200 all the same, with one WARNING."""
    monkeypatch.setattr(inbox, "MOST", 25)
    monkeypatch.setattr(inbox, "BATCH", 10)
    monkeypatch.setattr(inbox, "SIDE_BY_SIDE", 1)
    heard.open.clear()
    box = inbox.inbox_of(service)
    handle(service, numbered(0), {}, NEW)
    wait_until(lambda: box._busy and not box._events)
    assert {handle(service, numbered(number), {}, NEW) for number in range(1, 40)} == {200}
    heard.open.set()
    wait_until(lambda: len(heard.events()) == 26)
    assert [len(batch) for batch in heard.batches] == [1, 10, 10, 5]
    assert handle(service, numbered(40), {}, NEW) == 200
    wait_until(lambda: len(heard.events()) == 27)
    assert [one.levelname for one in caplog.records if "25 wait already" in one.message] == ["WARNING"]


@pytest.mark.parametrize(
    ("trouble", "level", "words"),
    [
        (StoreError("100 % away"), "WARNING", "100 % away"),
        (RuntimeError(f"a bug that shows {MESSAGE['text']}"), "ERROR", "RuntimeError"),
    ],
)
def test_a_store_that_is_away_is_nobodys_answer(
    service: SitniksChatService,
    heard: Heard,
    caplog: pytest.LogCaptureFixture,
    trouble: Exception,
    level: str,
    words: str,
) -> None:
    """It is 200 all the same; the log says once, until that is over, that it is not kept, not what it was."""

    def lose(times: int) -> None:
        heard.trouble = trouble
        for _ in range(3):
            assert handle(service, event(), {}, NEW) == 200
        wait_until(lambda: len([one for one in caplog.records if "is not kept" in one.message]) == times)
        heard.trouble = None
        assert handle(service, event(message=None), {}, NEW) == 200
        wait_until(lambda: heard.events() and heard.events()[-1].message is None)
        heard.batches.clear()

    lose(1)
    lose(2)
    told = [one for one in caplog.records if "is not kept" in one.message]
    assert [(one.levelname, one.message.partition("kept: ")[2]) for one in told] == [(level, words)] * 2


def test_a_machine_without_threads_is_nobodys_answer(
    service: SitniksChatService, heard: Heard, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can't be begun is 200 with a WARNING, and is kept with what comes next."""

    def refuse(*args: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(service, "begin", refuse)
        assert handle(service, numbered(1), {}, NEW) == 200
    assert "RuntimeError" in caplog.text
    handle(service, numbered(2), {}, NEW)
    wait_until(lambda: len(heard.events()) == 2)


def test_a_runtime_that_cannot_be_made_is_said(
    service: SitniksChatService, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that does not open, on the I/O thread: 200, and a WARNING."""

    def broken() -> None:
        raise OSError("no such place")

    monkeypatch.setattr(service._thread, "_make", broken)
    assert handle(service, event(), {}, NEW) == 200
    wait_until(lambda: "is not kept: OSError" in caplog.text)


def test_a_disabled_service_keeps_nothing(service_of: Callable[..., SitniksChatService], heard: Heard) -> None:
    """Without an address there is nothing to keep in step with; the sender is answered well."""
    service = service_of(api_url="")
    assert handle(service, event(), {}, NEW) == 200
    assert not inbox.inbox_of(service)._events
    assert heard.batches == []


def test_a_fork_hears_what_it_is_told_itself(service: SitniksChatService, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits in the parent is the parent's: a child begins with an empty queue."""
    mine = inbox.inbox_of(service)
    assert inbox.inbox_of(service) is mine
    with monkeypatch.context() as patch:
        patch.setattr("mirt_sitniks.webhook.inbox.os.getpid", lambda: mine.pid + 1)
        assert inbox.inbox_of(service) is not mine


@pytest.mark.parametrize("body", [None, 7, {"chat": {"id": "a"}}])
def test_what_is_no_body_raises_nothing(service: SitniksChatService, body: Any) -> None:
    """Row 44: a framework that has read it already hands over what it made of it."""
    assert handle(service, body, {}, NEW) == 400


@pytest.mark.parametrize(
    "given",
    ["short", ",", f"{NEW},", f",{NEW}", f"{NEW},,{OLD}", [""], [NEW, ""], [1], 7, f"{NEW}/x", f"{NEW} x", "ключ" * 5],
)
def test_a_secret_that_protects_nothing_is_refused(given: Any) -> None:
    """Empty, guessable, or nothing that can stand in a path: refused when settings are read, and never shown."""
    with pytest.raises(ValueError, match="SITNIKS_WEBHOOK_SECRETS") as caught:
        SitniksSettings(webhook_secrets=given, _env_file=None)
    assert "token_urlsafe" in str(caught.value)
    assert NEW not in f"{caught.value!r} {caught.value}"


@pytest.mark.parametrize("given", [f" {NEW} ,'{OLD}'\n", [NEW, OLD], (NEW, OLD)])
def test_secrets_are_a_list_or_a_text(given: Any) -> None:
    """With commas between them, or as a list; no repr shows one."""
    settings = SitniksSettings(webhook_secrets=given, _env_file=None)
    assert settings.webhook_secrets.get_secret_value() == f"{NEW},{OLD}"
    assert NEW not in f"{settings!r} {settings} {settings.model_dump()} {vars(settings)}"


def test_nothing_of_it_calls_the_crm(service_of: Callable[..., SitniksChatService], asked: list[httpx.Request]) -> None:
    """With the real store: what is told makes no call, so no webhook can spend the budget or write."""
    service = service_of()
    for body, *_ in BODIES.values():
        handle(service, body, {}, NEW)
    service.close()
    assert asked == []
