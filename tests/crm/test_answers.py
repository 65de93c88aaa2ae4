"""Answers are read by pure functions, for every shape that the vendor's contract leaves open."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirt_sitniks.core.chats import Chat, normalise_username
from mirt_sitniks.core.managers import Manager
from mirt_sitniks.crm import answers, calls
from mirt_sitniks.crm.calls import GetChat, ListChats, ListManagers, Page, SetStatus, UpdateChat
from mirt_sitniks.errors import (
    BadResponse,
    CallTimeout,
    CrmError,
    Forbidden,
    NotFound,
    PlanRequired,
    RateLimited,
    Refused,
    Unauthorized,
    Unavailable,
)
from tests.crm.reading import CAPTURED, ID, NOW, READ, decode, failure, named, outcome

LIST = ListChats(NOW - timedelta(minutes=5), NOW)
# In a fresh checkout the first text that Hypothesis draws builds its table of characters, for a second or more.
unhurried = settings(suppress_health_check=[HealthCheck.too_slow])
READS = (LIST, GetChat(ID), ListManagers())
WRITES = (SetStatus(ID, "AI Увага"), UpdateChat(ID, manager_id=7))
CALLS = READS + WRITES
HTML = b"<!DOCTYPE html><html><body>Bad gateway</body></html>"


# Reading


def test_a_captured_chat_is_read_whole() -> None:
    """The live capture in the contract decodes field by field."""
    assert decode(GetChat(ID), CAPTURED) == READ


@pytest.mark.parametrize(
    ("key", "value", "field", "read"),
    [
        ("status", {"title": "AI Увага"}, "status", "AI Увага"),
        ("status", {"id": 3, "name": " AI Увага "}, "status", "AI Увага"),
        ("status", {"title": "", "name": "AI Увага"}, "status", "AI Увага"),
        ("status", {"title": 3}, "status", None),
        ("status", None, "status", None),
        ("status", "", "status", None),
        ("status", 5, "status", None),
        ("userNickName", None, "nickname", None),
        ("userNickName", "", "nickname", None),
        ("userNickName", "@Iryna.Example ", "nickname", "iryna.example"),
        ("userNickName", 12, "nickname", None),
        ("assignedManagerId", 7, "manager_id", 7),
        ("assignedManagerId", "7", "manager_id", 7),
        ("assignedManagerId", 7.0, "manager_id", 7),
        ("assignedManagerId", None, "manager_id", None),
        ("assignedManagerId", True, "manager_id", None),
        ("assignedManagerId", 0, "manager_id", None),
        ("assignedManagerId", 2**63, "manager_id", None),
        ("assignedManagerId", "Олена", "manager_id", None),
        ("userId", 1361346066050066, "user_id", "1361346066050066"),
        ("lastMessageCreatedAt", "2026-06-05T16:19:12+03:00", "last_message_at", "2026-06-05T13:19:12.000Z"),
        ("lastMessageCreatedAt", "yesterday", "last_message_at", None),
        ("lastMessageCreatedAt", "0001-01-01T00:00:00+14:00", "last_message_at", None),
        ("lastMessageCreatedAt", 1780665552, "last_message_at", None),
        ("initialSource", "a\x00b\ud800", "source", "ab?"),
        ("newKey", {"deep": [1]}, "status", "Новый"),
    ],
)
def test_every_open_shape_of_a_field_is_read(key: str, value: object, field: str, read: object) -> None:
    """A field of an unexpected form is read as far as it makes sense and is None otherwise; the chat stays."""
    assert getattr(decode(GetChat(ID), CAPTURED | {key: value}), field) == read


@pytest.mark.parametrize("key", sorted(CAPTURED.keys() - {"id"}))
def test_a_chat_may_lack_any_key_but_its_id(key: str) -> None:
    """Missing keys leave None and nothing else changes."""
    less = {name: value for name, value in CAPTURED.items() if name != key}
    chat = decode(GetChat(ID), less)
    changed = [name for name in Chat.__dataclass_fields__ if getattr(chat, name) != getattr(READ, name)]
    assert len(changed) <= 1
    assert all(getattr(chat, name) is None for name in changed)


def test_a_numeric_chat_id_is_text() -> None:
    """Ids are compared as text everywhere, so a number becomes its digits."""
    assert decode(LIST, [{"id": 42}]).items == (Chat("42"),)


@pytest.mark.parametrize("body", [CAPTURED, {"data": CAPTURED}])
def test_a_single_object_may_be_wrapped(body: object) -> None:
    """`GET /chats/{id}` is read bare and under `data`."""
    assert decode(GetChat(ID.upper()), body) == READ


@pytest.mark.parametrize("call", [GetChat(ID), SetStatus(ID, "x"), UpdateChat(ID, manager_id=7)], ids=named)
def test_another_chats_values_are_never_taken_for_this_one(call: Any) -> None:
    """An answer about another chat is no read of this one, and confirms nothing beyond the 2xx of a write."""
    other = CAPTURED | {"id": "ffffffffffffffffffffffff"}
    if calls.is_write(call):
        assert decode(call, other) is None
    else:
        assert isinstance(failure(call, other), BadResponse)


@pytest.mark.parametrize(
    ("body", "total"),
    [
        ({"data": [CAPTURED], "count": 120}, 120),
        ({"data": [CAPTURED], "count": "120"}, 120),
        ({"data": [CAPTURED], "count": None}, None),
        ({"data": [CAPTURED], "count": "many"}, None),
        ({"data": [CAPTURED], "count": -1}, None),
        ({"data": [CAPTURED]}, None),
        ([CAPTURED], None),
    ],
)
def test_a_page_is_read_wrapped_or_bare(body: object, total: int | None) -> None:
    """The list stands under `data` or alone; the count is a number, text, or missing."""
    assert decode(LIST, body) == Page((READ,), total, 1)


def test_unreadable_objects_are_skipped_and_counted() -> None:
    """One broken chat costs itself; `raw` still says where the next page begins."""
    page = decode(LIST, {"data": [CAPTURED, {"status": "x"}, {"id": ""}, {"id": ".."}, {"id": 1.5}, 7, None, [1]]})
    assert (page.items, page.raw) == ((READ,), 8)


def test_an_empty_list_is_an_answer() -> None:
    """`GET /chats` without a match is 200 with no chats."""
    assert decode(LIST, {"data": [], "count": 0}) == Page((), 0, 0)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ({"id": 3, "user": {"fullname": " Павло "}}, Manager(3, "Павло")),
        ({"id": "3", "user": "Павло"}, Manager(3, "Павло")),
        ({"id": 3, "user": None, "fullname": "Павло"}, Manager(3, "Павло")),
        ({"id": 3, "name": "Павло"}, Manager(3, "Павло")),
        ({"id": 3}, Manager(3, "")),
    ],
)
def test_managers_are_read_with_or_without_a_name(value: object, read: Manager) -> None:
    """An id makes a manager; the name is looked for where the sources put it."""
    assert decode(ListManagers(), {"data": [value, {"user": {"fullname": "x"}}], "count": 2}) == Page((read,), 2, 2)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        HTML,
        b"\xff\xfe",
        b"{",
        b'"text"',
        b"5",
        b"null",
        b"{}",
        b'{"data": null}',
        b'{"data": {"id": ""}}',
        b"[" * 100000,
        b'{"data":' * 100000,
        b"[" + b"9" * 10000 + b"]",
        b"NaN",
    ],
    ids=lambda body: repr(body[:12]),
)
@pytest.mark.parametrize("call", READS, ids=named)
def test_a_read_needs_json_of_its_shape(call: Any, body: bytes) -> None:
    """Empty, HTML, broken, too deep, too long or another shape: `BadResponse`, retryable, with the cure."""
    error = failure(call, body)
    assert isinstance(error, BadResponse)
    assert error.retryable
    assert not error.unconfirmed
    assert "SNITKIX_API_URL" in error.message


@pytest.mark.parametrize("call", WRITES, ids=named)
@pytest.mark.parametrize("status", [200, 201, 202, 204])
@pytest.mark.parametrize("body", [b"", b"  ", b"null", b"{}", b"[1]", b"OK", b"{", b"\xff", b"[" * 100_000])
def test_a_write_is_confirmed_by_2xx_alone(call: Any, status: int, body: bytes) -> None:
    """No body, any JSON, or any other text but HTML: done."""
    assert decode(call, body, status) is None


def test_a_write_hands_back_the_chat_if_it_got_one() -> None:
    """The vendor may answer a write with the whole chat."""
    assert decode(SetStatus(ID, "Новый"), CAPTURED) == READ


@pytest.mark.parametrize("call", WRITES, ids=named)
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (HTML, {}),
        (b"\xef\xbb\xbf \n" + HTML, {}),
        (b"Sign in", {"Content-Type": "text/HTML; charset=utf-8"}),
        (b"x", {"CONTENT-TYPE": "application/xhtml+xml"}),
    ],
)
def test_html_does_not_confirm_a_write(call: Any, body: bytes, headers: Mapping[str, str]) -> None:
    """A page of something in between is no confirmation: it may or may not have been applied."""
    error = failure(call, body, 200, headers)
    assert isinstance(error, BadResponse)
    assert error.unconfirmed


def test_an_empty_body_is_no_page_whatever_its_type_says() -> None:
    """Servers label empty answers text/html by default; that still confirms."""
    assert decode(SetStatus(ID, "x"), b"", 200, {"content-type": "text/html"}) is None


# Errors


@pytest.mark.parametrize(
    ("status", "kind", "code", "retryable"),
    [
        (401, Unauthorized, "unauthorized", False),
        (403, PlanRequired, "plan_required", False),
        (404, NotFound, "chat_not_found", False),
        (408, CallTimeout, "timeout", True),
        (400, Refused, "bad_response", False),
        (405, Forbidden, "forbidden", False),
        (409, Refused, "bad_response", False),
        (422, Refused, "bad_response", False),
        (429, RateLimited, "rate_limited", True),
        (500, Unavailable, "unavailable", True),
        (502, Unavailable, "unavailable", True),
        (503, Unavailable, "unavailable", True),
        (504, Unavailable, "unavailable", True),
        (301, BadResponse, "bad_response", True),
        (302, BadResponse, "bad_response", True),
        (307, BadResponse, "bad_response", True),
        (100, BadResponse, "bad_response", True),
        (0, BadResponse, "bad_response", True),
        (999, BadResponse, "bad_response", True),
    ],
)
def test_every_status_has_one_meaning(status: int, kind: type[CrmError], code: str, retryable: bool) -> None:
    """A status becomes one of our errors with its code, however the body looks."""
    for body in (b"", b"Forbidden", json.dumps(CAPTURED).encode()):
        error = failure(GetChat(ID), body, status)
        assert (type(error), error.code, error.retryable, error.status) == (kind, code, retryable, status)
        assert not error.unconfirmed


@pytest.mark.parametrize("call", CALLS, ids=named)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 422, 451])
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (HTML, {}),
        (b"\xef\xbb\xbf\n" + HTML, {"content-type": "application/json"}),
        (b"Just a moment", {"Content-Type": "text/html; charset=UTF-8"}),
        (b"", {"content-type": "text/html"}),
    ],
    ids=["a page", "a page that is called JSON", "a page by name", "a page that broke off"],
)
def test_a_page_is_never_the_crms_own_refusal(call: Any, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    """A challenge of something in between says nothing of key, plan, chat or status: trouble that passes."""
    error = failure(call, body, status, headers)
    if status == 404 and isinstance(call, ListChats | ListManagers):
        assert isinstance(error, BadResponse)
    else:
        assert isinstance(error, Unavailable)
        assert "SNITKIX_API_URL" in error.message
    assert error.retryable
    assert (error.status, error.unconfirmed) == (status, False)


@pytest.mark.parametrize(("status", "kind"), [(408, CallTimeout), (429, RateLimited), (503, Unavailable)])
def test_a_page_with_a_status_that_says_enough_is_what_it_says(status: int, kind: type[CrmError]) -> None:
    """Too many calls are too many, whoever counted them."""
    assert type(failure(GetChat(ID), HTML, status)) is kind


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (GetChat(ID), "read this chat"),
        (SetStatus(ID, "x"), "set the status of this chat"),
        (UpdateChat(ID, manager_id=7), "assign a manager to this chat"),
        (ListManagers(), "list the managers; set SITNIKS_AI_MANAGER_ID and SITNIKS_HUMAN_MANAGER_ID"),
    ],
    ids=named,
)
def test_a_right_that_the_key_lacks_is_named_with_the_cure(call: Any, what: str) -> None:
    """What it may not do, and what to do about it."""
    error = answers.forbidden(call, 403)
    assert (error.code, error.status, error.retryable) == ("forbidden", 403, False)
    assert f"403 to {named(call)}: this key may not {what}" in error.message
    assert "give it this right in Sitniks" in error.message


@pytest.mark.parametrize("call", [LIST, ListManagers()], ids=named)
def test_a_list_that_is_not_there_is_a_wrong_address(call: Any) -> None:
    """404 for a list must not read as "the chat is gone"."""
    error = failure(call, b"", 404)
    assert isinstance(error, BadResponse)
    assert error.code == "bad_response"
    assert error.retryable
    assert "SNITKIX_API_URL" in error.message


@pytest.mark.parametrize("status", [400, 422])
def test_a_refused_status_is_named_with_its_setting(status: int) -> None:
    """The account has no such status: the message says which, and which settings name statuses."""
    error = failure(SetStatus(ID, "AI Увага"), b"", status)
    assert error.code == "unknown_status"
    assert "AI Увага" in error.message
    assert "SITNIKS_STATUS_*" in error.message


@pytest.mark.parametrize("status", [400, 422])
def test_a_refused_manager_is_named_with_its_settings(status: int) -> None:
    """The account has no such manager: the message says which id and where it comes from."""
    error = failure(UpdateChat(ID, manager_id=7), b"", status)
    assert error.code == "manager_not_found"
    assert " 7;" in error.message
    assert "SITNIKS_AI_MANAGER_ID" in error.message


@pytest.mark.parametrize("call", WRITES, ids=named)
@pytest.mark.parametrize(
    ("status", "unconfirmed"),
    [
        (408, True),
        (502, True),
        (504, True),
        (524, True),
        (100, True),
        (400, False),
        (401, False),
        (404, False),
        (429, False),
        (500, False),
        (503, False),
        (302, False),
    ],
)
def test_a_write_is_unsure_where_something_in_between_gave_up(call: Any, status: int, unconfirmed: bool) -> None:
    """Behind a gateway's timeout the CRM may still carry the write out; a plain refusal is definite."""
    assert failure(call, b"", status).unconfirmed is unconfirmed


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 60.0),
        ("", 60.0),
        ("17", 17.0),
        (" 2.5 ", 2.5),
        ("0", 1.0),
        ("-5", 1.0),
        ("1000000000", 600.0),
        ("9" * 5000, 600.0),
        ("soon", 60.0),
        ("nan", 60.0),
        ("inf", 60.0),
        ("1e3", 60.0),
        ("٣", 60.0),
        ("17, 17", 60.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(hours=1), usegmt=True), 1.0),
        (format_datetime(NOW + timedelta(days=9000), usegmt=True), 600.0),
        ("Fri, 05 Jun 2026 13:01:30 -0000", 90.0),
        ("Fri, 31 Feb 2026 13:01:30 GMT", 60.0),
        ("Fri, 05 Jun 99999 13:01:30 GMT", 60.0),
        ("Fri, 05 Jun 2026 13:01:30 +" + "9" * 20, 60.0),
    ],
)
def test_a_rest_is_between_a_second_and_ten_minutes(value: str | None, seconds: float) -> None:
    """`Retry-After` is read as seconds or a date and held to 1-600 s; without a usable one the key rests 60 s."""
    headers = {} if value is None else {"rEtRy-AfTeR": value}
    error = failure(LIST, b"", 429, headers)
    assert isinstance(error, RateLimited)
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b'{"message": "Too fast"}', {}),
        (b'{"error": "TOO_MANY_REQUESTS"}', {}),
        (HTML + b"too many  requests", {}),
        (b"Rate limit exceeded", {}),
        (b"", {"Retry-After": "too fast"}),
    ],
)
def test_a_503_that_says_too_fast_is_a_rate_limit(body: bytes, headers: Mapping[str, str]) -> None:
    """What counts is what it says: the key must rest, and no attempt has failed."""
    error = failure(LIST, body, 503, headers)
    assert isinstance(error, RateLimited)
    assert error.retry_after == 60.0


def test_a_plain_503_keeps_its_hint() -> None:
    """Being down is not being asked too fast; a `Retry-After` is handed on, held like the others."""
    assert failure(LIST, b"down", 503).retry_after is None
    error = failure(LIST, b"down", 503, {"retry-after": "7000"})
    assert isinstance(error, Unavailable)
    assert error.retry_after == 600.0


# Properties

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(ID),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*CAPTURED, "data", "count", "user", "title", "assignedManagerId"]), inner)
    ),
    max_leaves=12,
)
BODIES = st.binary() | JSON.map(lambda value: json.dumps(value).encode()) | st.just(HTML)
HEADERS = st.dictionaries(st.sampled_from(["Retry-After", "content-type", "X"]) | st.text(), st.text(), max_size=3)


@unhurried
@given(st.sampled_from(CALLS), st.just(200) | st.integers(0, 700) | st.integers(), HEADERS, BODIES, st.datetimes())
def test_any_answer_is_a_value_or_one_of_our_errors(
    call: Any, status: int, headers: dict[str, str], body: bytes, now: datetime
) -> None:
    """For any status, headers, bytes and time: a value of the call's type, or a `CrmError` that ends with a cure."""
    value = outcome(call, status, headers, body, now)
    if isinstance(value, CrmError):
        assert value.message.endswith(".")
        assert re.search("SNITKIX_|SITNIKS_", value.message)
        assert value.retry_after is None or 1.0 <= value.retry_after <= 600.0
        assert value.unconfirmed <= calls.is_write(call)
        assert (value.__cause__, value.__context__) == (None, None)
        return
    assert 200 <= status <= 299
    kinds = {GetChat: Chat, SetStatus: Chat | None, UpdateChat: Chat | None}
    assert isinstance(value, kinds.get(type(call), Page))
    repr(value).encode()


@given(st.sampled_from(CALLS), st.integers(200, 599), st.sampled_from(["{}", "<p>{}", '{{"message": "{}"}}']))
def test_no_message_carries_what_the_crm_said(call: Any, status: int, frame: str) -> None:
    """Customer text, keys and whatever else a body holds stay out of errors."""
    value = outcome(call, status, {"Retry-After": "PLANTED"}, frame.format("PLANTED").encode(), NOW)
    if isinstance(value, CrmError):
        assert "PLANTED" not in f"{value!s}{value!r}{vars(value)}"


def test_a_hostile_name_costs_no_time() -> None:
    """Blanks within a name, of any number, are read once: whoever may name himself must not stop the process."""
    shown = {"id": ID, "userNickName": "a" + " " * 900_000 + "b"}
    answer = answers.decode(GetChat(ID), 200, {}, json.dumps(shown).encode(), datetime.now(UTC))
    assert answer.nickname is None
    assert normalise_username("a" + " " * 198 + "b") == "a" + " " * 198 + "b"


@pytest.mark.parametrize(
    ("date", "ahead"),
    [
        ("Fri, 05 Jun 2026 13:00:00 GMT", 0.0),
        # The second that it names has a thousand milliseconds, and the call took two seconds.
        ("Fri, 05 Jun 2026 12:59:59 GMT", 0.0),
        ("Fri, 05 Jun 2026 13:00:02 GMT", 0.0),
        ("Fri, 05 Jun 2026 13:00:05 GMT", 3.0),
        ("Fri, 05 Jun 2026 12:59:50 GMT", -9.0),
        ("Fri, 05 Jun 2026 13:00:05 -0000", 3.0),
        ("Fri, 05 Jun 2026 15:00:05 +0200", 3.0),
        ("soon", None),
        ("", None),
        (None, None),
        ("Fri, 05 Jun 99999 13:00:05 GMT", None),
    ],
)
def test_a_date_tells_how_far_its_clock_is(date: str | None, ahead: float | None) -> None:
    """At least so many seconds: what the way there and back explains, and whole seconds, are no difference."""
    sent = datetime(2026, 6, 5, 13, tzinfo=UTC).timestamp()
    assert answers.clock_ahead(date, sent, sent + 2) == ahead
