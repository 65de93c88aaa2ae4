"""Calls become requests by pure functions: exactly what the vendor documents, whatever text comes from outside."""

import json
import time
from dataclasses import FrozenInstanceError
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mirt_sitniks.crm import calls
from mirt_sitniks.crm.calls import GetChat, ListChats, ListManagers, SetStatus, UpdateChat
from mirt_sitniks.errors import NotFound

ID = "6a22cc8ee056c3833dba0c2e"
# In a fresh checkout the first text that Hypothesis draws builds its table of characters, for a second or more.
unhurried = settings(suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize(
    ("call", "method", "path", "params", "body"),
    [
        (GetChat(ID), "GET", f"/chats/{ID}", (), None),
        (SetStatus(ID, "AI Увага"), "PATCH", f"/chats/{ID}/status", (), {"status": "AI Увага"}),
        (UpdateChat(ID, manager_id=7), "PUT", f"/chats/{ID}", (), {"assignedManagerId": 7}),
        (ListManagers(skip=50), "GET", "/managers", (("limit", "50"), ("skip", "50")), None),
    ],
)
def test_each_call_becomes_the_request_that_the_vendor_documents(
    call: Any, method: str, path: str, params: tuple[tuple[str, str], ...], body: object
) -> None:
    """Method, path, parameters and JSON body are those of the contract: status by PATCH, manager by PUT."""
    built = calls.request(call)
    sent = None if built.body is None else json.loads(built.body)
    assert (built.method, built.path, built.params, sent) == (method, path, params, body)


def test_a_scan_names_its_window_in_utc_milliseconds() -> None:
    """Dates go out as ISO 8601 UTC with milliseconds and `Z`, whatever zone they were made in."""
    kyiv = timezone(timedelta(hours=3))
    call = ListChats(datetime(2026, 6, 5, 16, 0, 0, 123456, kyiv), datetime(2026, 6, 5, 16, 5, tzinfo=kyiv), skip=100)
    assert calls.request(call).params == (
        ("startDate", "2026-06-05T13:00:00.123Z"),
        ("endDate", "2026-06-05T13:05:00.000Z"),
        ("limit", "50"),
        ("skip", "100"),
    )


def test_a_naive_moment_is_read_as_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own time zone never changes a window."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert calls.format_time(datetime(2026, 6, 5)) == "2026-06-05T00:00:00.000Z"
    finally:
        monkeypatch.undo()
        time.tzset()


@unhurried
@given(st.text())
@example("a/../../managers")
@example("x?limit=1#y")
@example("%2e%2e")
def test_an_id_is_one_encoded_path_segment_or_refused(chat_id: str) -> None:
    """No id from outside adds a segment, a query or a fragment to the path."""
    try:
        path = calls.request(GetChat(chat_id)).path
    except NotFound:
        return
    segment = path.removeprefix("/chats/")
    assert not set(segment) & set("/?#\\ ")
    assert segment.isascii()
    assert unquote(segment) == chat_id.strip()


@pytest.mark.parametrize("chat_id", ["", "  ", ".", "..", "...", "a\nb", "a\x00", "\ud800", "x" * 129])
@pytest.mark.parametrize("make", [GetChat, lambda i: SetStatus(i, "x"), lambda i: UpdateChat(i, 7)])
def test_what_cannot_be_an_id_is_not_sent(make: Any, chat_id: str) -> None:
    """An empty id would address the list, dots another endpoint: both are refused before a call is made."""
    with pytest.raises(NotFound, match="not the id of a Sitniks chat") as caught:
        calls.request(make(chat_id))
    assert caught.value.code == "chat_not_found"


@pytest.mark.parametrize("text", ["a\ud800b", "a\x00b"])
def test_a_body_is_utf8_whatever_the_text(text: str) -> None:
    """Lone surrogates and NUL, which no JSON reader is sure to take, do not go out."""
    body = calls.request(SetStatus(ID, text)).body
    assert body is not None
    assert "\\u0000" not in body.decode()


def test_what_is_not_a_call_is_a_mistake_of_ours() -> None:
    """A wrong object is a programming error, not a CRM error."""
    with pytest.raises(TypeError, match="str is not a call"):
        calls.request("GET /chats")


@given(st.datetimes(min_value=datetime(2, 1, 1), timezones=st.one_of(st.none(), st.timezones())))
def test_times_sort_as_text(moment: datetime) -> None:
    """A time is written so that text order is time order, and is read back unchanged."""
    text = calls.format_time(moment)
    assert len(text) == 24
    assert text.endswith("Z")
    assert calls.format_time(datetime.fromisoformat(text)) == text


def test_calls_and_values_are_frozen() -> None:
    """Nobody changes a call under way."""
    with pytest.raises(FrozenInstanceError):
        GetChat(ID).chat_id = "x"  # type: ignore[misc]
