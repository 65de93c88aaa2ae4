"""Sitniks' Open API as pure functions: a call becomes a request, an answer becomes a value or a `CrmError`.

Nothing here does I/O or asks for the time. The vendor's contract leaves much open, so answers are read tolerantly: what
an object lacks is None, and one unreadable object in a page costs that object alone. No message carries text that came
from the CRM.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Generic, TypeAlias, TypeVar, cast
from urllib.parse import quote

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

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

LONGEST_NAME = 200
DEFAULT_REST = 60.0
MIN_REST, MAX_REST = 1.0, 600.0

# A proxy in front gave up on these, so the CRM itself may still carry the write out (520 and 524 are Cloudflare's).
_MAY_HAVE_APPLIED = frozenset({502, 504, 520, 524})
_TOO_FAST = re.compile(rb"too[\s_-]*fast|too[\s_-]*many[\s_-]*requests|rate[\s_-]*limit", re.IGNORECASE)
_MAX_ID = 128
_UNREADABLE = object()


@dataclass(frozen=True, slots=True)
class Chat:
    """One dialogue in the CRM. Every field but `id` may be unknown (None); times are ISO 8601 UTC and sort as text."""

    id: str
    nickname: str | None = None
    source: str | None = None
    user_id: str | None = None
    status: str | None = None
    manager_id: int | None = None
    manager_name: str | None = None
    last_message_at: str | None = None


@dataclass(frozen=True, slots=True)
class Manager:
    """A person of the account; `name` is empty when the CRM does not tell it."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list. `raw` counts the unreadable objects too: it says where the next page begins."""

    items: tuple[T, ...]
    total: int | None
    raw: int


Done: TypeAlias = Chat | None


class Expects(Generic[T_co]):
    """A call whose good answer decodes to `T_co`; only types know this, it has no state."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class ListChats(Expects[Page[Chat]]):
    """A page of the chats between two moments (a naive one is read as UTC); `limit` is at most 50."""

    since: datetime
    until: datetime
    skip: int = 0
    limit: int = 50


@dataclass(frozen=True, slots=True)
class GetChat(Expects[Chat]):
    """One chat as it is now."""

    chat_id: str


@dataclass(frozen=True, slots=True)
class SetStatus(Expects[Done]):
    """Give a chat a status, by the status's name."""

    chat_id: str
    status: str


@dataclass(frozen=True, slots=True)
class UpdateChat(Expects[Done]):
    """Make a manager responsible for a chat."""

    chat_id: str
    manager_id: int


@dataclass(frozen=True, slots=True)
class ListManagers(Expects[Page[Manager]]):
    """A page of the account's people; `limit` is at most 50."""

    skip: int = 0
    limit: int = 50


Call: TypeAlias = ListChats | GetChat | SetStatus | UpdateChat | ListManagers


@dataclass(frozen=True, slots=True)
class Request:
    """What goes over the wire; `path` starts behind `/open-api` and is percent-encoded already."""

    method: str
    path: str
    params: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None


def is_write(call: object) -> bool:
    """Whether `call` changes something in the CRM."""
    return isinstance(call, SetStatus | UpdateChat)


def request(call: object) -> Request:
    """The request that `call` stands for.

    Raises `NotFound` for a chat id that cannot name a chat: empty, dots, control characters. As a path segment it would
    address something else (`GET /chats/` is the list).
    """
    match call:
        case ListChats(since, until, skip, limit):
            dates = (("startDate", format_time(since)), ("endDate", format_time(until)))
            return Request("GET", "/chats", (*dates, *_paging(skip, limit)))
        case GetChat(chat_id):
            return Request("GET", _chat_path(chat_id))
        case SetStatus(chat_id, status):
            return Request("PATCH", _chat_path(chat_id, "/status"), body=_json({"status": _clean(status)}))
        case UpdateChat(chat_id, manager_id):
            return Request("PUT", _chat_path(chat_id), body=_json({"assignedManagerId": manager_id}))
        case ListManagers(skip, limit):
            return Request("GET", "/managers", _paging(skip, limit))
    raise TypeError(f"{type(call).__name__} is not a call to Sitniks; the calls are the classes in mirt_sitniks.wire")


def format_time(moment: datetime) -> str:
    """`moment` as the API writes times: ISO 8601, UTC, milliseconds, `Z`. A naive moment is read as UTC."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def normalise_username(value: object) -> str | None:
    """A user name in the one form that is compared: no outer spaces, no leading `@`, letter case folded; else None.

    The address of a profile (`https://instagram.com/anna`, `t.me/anna`) is the name in it. What is longer than any name
    can be is none.
    """
    if not isinstance(value, str) or len(value) > LONGEST_NAME:
        return None
    name = re.sub(r"^[\s@]+", "", _clean(value)).rstrip().casefold()
    profile = re.match(r"(?:https?://)?(?:www\.)?(?:instagram\.com|t\.me)/@*([^/?#\s@]+)", name)
    return (profile[1] if profile else name) or None


def _chat_path(chat_id: str, rest: str = "") -> str:
    if _id(chat_id) is None:
        raise NotFound("This is not the id of a Sitniks chat; leave it out to have the chat looked up by user name.")
    return f"/chats/{quote(chat_id.strip(), safe='')}{rest}"


def _paging(skip: int, limit: int) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("limit", str(limit)), ("skip", str(skip))


def _json(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode()


def decode(call: Expects[T], status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> T:
    """The value that an answer to `call` carries; raises a `CrmError` subclass, and nothing else, for any bytes.

    `headers` are found in any letter case. `now` is what a `Retry-After` date is measured against. A write is confirmed
    by 2xx alone, also with no body; only HTML there (a login or error page of something in between) is `BadResponse`
    with `unsure`. A read must bring JSON of its shape. A page that refuses (4xx) is no word of the CRM's, so it is
    `Unavailable`; only of a 408, a 429 and a list's 404 the status says enough.
    """
    write = is_write(call)
    if not 200 <= status <= 299:
        raise _error(call, status, headers, body, now)
    # Servers label an empty answer text/html by default: that is no page.
    html = bool(body.strip()) and _is_page(headers, body)
    if write and html:
        raise _bad_response(call, status, "a page (HTML) instead of data", unsure=True)
    document = _parse(body)
    if document is _UNREADABLE and not write:
        raise _bad_response(call, status, "a page (HTML) instead of data" if html else "no readable JSON")
    value = _read(call, document)
    if value is _UNREADABLE:
        raise _bad_response(call, status, "JSON of another shape")
    return cast(T, value)


def _read(call: object, document: object) -> object:
    match call:
        case ListChats():
            return _page(document, _chat)
        case ListManagers():
            return _page(document, _manager)
        case GetChat(chat_id):
            return _own_chat(document, chat_id) or _UNREADABLE
        case SetStatus(chat_id) | UpdateChat(chat_id):
            return _own_chat(document, chat_id)
    return _UNREADABLE


def _own_chat(document: object, chat_id: str) -> Chat | None:
    """The chat that was asked for; another chat's values must never count as confirmed for this one."""
    inner = document.get("data") if isinstance(document, dict) and "id" not in document else document
    chat = _chat(inner)
    return chat if chat is not None and chat.id.casefold() == chat_id.strip().casefold() else None


def _page(document: object, read: Callable[[object], T | None]) -> object:
    data = document.get("data") if isinstance(document, dict) else document
    if not isinstance(data, list):
        return _UNREADABLE
    total = _int(document.get("count")) if isinstance(document, dict) else None
    items = tuple(item for item in map(read, data) if item is not None)
    return Page(items=items, total=total, raw=len(data))


def _chat(value: object) -> Chat | None:
    if not isinstance(value, dict) or (chat_id := _id(value.get("id"))) is None:
        return None
    status = value.get("status")
    named = _text(status.get("title")) or _text(status.get("name")) if isinstance(status, dict) else _text(status)
    return Chat(
        id=chat_id,
        nickname=normalise_username(value.get("userNickName")),
        source=_text(value.get("initialSource")),
        user_id=_id(value.get("userId")),
        status=named,
        manager_id=_int(value.get("assignedManagerId"), least=1),
        manager_name=_text(value.get("assignedManagerName")),
        last_message_at=_time(value.get("lastMessageCreatedAt")),
    )


def _manager(value: object) -> Manager | None:
    if not isinstance(value, dict) or (manager_id := _int(value.get("id"), least=1)) is None:
        return None
    user = value.get("user")
    name = _text(user.get("fullname")) if isinstance(user, dict) else _text(user)
    return Manager(manager_id, name or _text(value.get("fullname")) or _text(value.get("name")) or "")


def _parse(body: bytes) -> object:
    """The JSON in `body`, or `_UNREADABLE`: bad bytes and syntax, nesting bombs, numbers too long for Python."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return _UNREADABLE


def _clean(text: str) -> str:
    """`text` fit for UTF-8 and for Postgres: no lone surrogates, no NUL."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _text(value: object) -> str | None:
    return _clean(value).strip() or None if isinstance(value, str) else None


def _id(value: object) -> str | None:
    """An id as text; JSON numbers are taken too, but no float, whose digits may be gone."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**_MAX_ID:
        return str(value)
    if not isinstance(value, str):
        return None
    text = value.strip()
    fit = 0 < len(text) <= _MAX_ID and text.isprintable() and text.strip(".") != ""
    return text if fit else None


def _int(value: object, least: int = 0) -> int | None:
    """A number from `least` to what a bigint holds, also as digits in text or as 17.0; else None."""
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,19}\s*", value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**63:
        return value
    return None


def _time(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        return format_time(datetime.fromisoformat(value.strip()))
    except (ValueError, OverflowError):
        return None


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds from a `Retry-After` (seconds or an HTTP date), held to 1-600; None when it is missing or rubbish."""
    text = (value or "").strip()
    if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", text):
        return min(max(float(text), MIN_REST), MAX_REST)
    try:
        moment = parsedate_to_datetime(text)
        seconds = (_aware(moment) - _aware(now)).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(seconds, MIN_REST), MAX_REST)


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _header(headers: Mapping[str, str], name: str) -> str | None:
    return next((value for key, value in headers.items() if key.lower() == name), None)


def _is_page(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether this is HTML, by its beginning or by its name."""
    start = body.removeprefix(b"\xef\xbb\xbf").lstrip()
    return start.startswith(b"<") or "html" in (_header(headers, "content-type") or "").lower()


def _bad_response(call: object, status: int, what: str, *, unsure: bool = False) -> BadResponse:
    said = f"Sitniks answered {status} to {type(call).__name__} with {what}"
    return BadResponse(f"{said}; check that SNITKIX_API_URL is the address of the CRM.", status=status, unsure=unsure)


_MEANINGS: Mapping[int, tuple[type[CrmError], str]] = {
    401: (Unauthorized, "the key is refused; put a valid one into SNITKIX_API_KEY."),
    403: (PlanRequired, "the account's plan has no Open API; upgrade to a plan that has it, or check SNITKIX_API_KEY."),
    404: (
        NotFound,
        "the chat is not there (deleted, or SNITKIX_API_URL and SNITKIX_API_KEY belong to another account).",
    ),
    408: (CallTimeout, "the request took too long; raise SITNIKS_TIMEOUT if this lasts."),
}


def _error(call: object, status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> CrmError:
    """What a status other than 2xx means. The body is only searched for the words of a rate limit, never quoted."""
    write, said = is_write(call), f"Sitniks answered {status} to {type(call).__name__}"
    hint = _header(headers, "retry-after")
    rest = retry_after(hint, now)
    if status == 429 or (status == 503 and _TOO_FAST.search(body + b"\n" + (hint or "").encode("utf-8", "replace"))):
        return RateLimited(
            f"{said}: too many calls for this key; lower SITNIKS_RATE_LIMIT, or find what else uses SNITKIX_API_KEY.",
            status=status,
            retry_after=DEFAULT_REST if rest is None else rest,
        )
    if status == 404 and isinstance(call, ListChats | ListManagers):
        # A list always exists: this is a wrong address, and must not read as "the chat is gone".
        return _bad_response(call, status, "no such page")
    # Also by its name alone: a page may break off, or come packed in a way that was not asked for.
    if 400 <= status <= 499 and status != 408 and _is_page(headers, body):
        return Unavailable(
            f"{said} with a page (HTML), which is not the CRM's own answer: something in between is in the way; it is "
            "tried again, check SNITKIX_API_URL, proxy and firewall if this lasts.",
            status=status,
            retry_after=rest,
        )
    if status in _MEANINGS:
        kind, meaning = _MEANINGS[status]
        return kind(f"{said}: {meaning}", status=status, retry_after=rest, unsure=write and status == 408)
    if 400 <= status <= 499:
        return _refused(call, status, said)
    if 500 <= status <= 599:
        return Unavailable(
            f"{said}: the CRM is in trouble; it is tried again, check SNITKIX_API_URL if this lasts.",
            status=status,
            retry_after=rest,
            unsure=write and status in _MAY_HAVE_APPLIED,
        )
    if 300 <= status <= 399:
        return _bad_response(call, status, "a redirect, and redirects are not followed")
    return _bad_response(call, status, "a status that means nothing here", unsure=write)


_RIGHTS: Mapping[type, str] = {
    GetChat: "read this chat",
    SetStatus: "set the status of this chat",
    UpdateChat: "assign a manager to this chat",
    ListManagers: "list the managers",
}


def forbidden(call: object, status: int | None) -> Forbidden:
    """What a 401 or 403 of `call` means while the key is accepted for other calls."""
    cure = "give it this right in Sitniks, or put one that has it into SNITKIX_API_KEY."
    if isinstance(call, ListManagers):
        cure = f"set SITNIKS_AI_MANAGER_ID and SITNIKS_HUMAN_MANAGER_ID, or {cure}"
    what = _RIGHTS.get(type(call), f"make the call {type(call).__name__}")
    return Forbidden(
        f"Sitniks answered {status} to {type(call).__name__}: this key may not {what}; {cure}", status=status
    )


def _refused(call: object, status: int, said: str) -> Refused:
    if status in (400, 422) and isinstance(call, SetStatus):
        cure = f"the account has no status {call.status[:80]!r}; add it in Sitniks or correct SITNIKS_STATUS_*."
        return Refused(f"{said}: {cure}", status=status, code="unknown_status")
    if status in (400, 422) and isinstance(call, UpdateChat):
        cure = f"no manager {call.manager_id}; correct SITNIKS_AI_MANAGER_ID or SITNIKS_HUMAN_MANAGER_ID."
        return Refused(f"{said}: {cure}", status=status, code="manager_not_found")
    return Refused(f"{said}: check SNITKIX_API_URL, and update this package if the API has changed.", status=status)
