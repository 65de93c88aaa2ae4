"""What an answer of Sitniks means: bytes become a value or a `CrmError`, and nothing else, whatever came.

The vendor's contract leaves much open, so answers are read tolerantly: what an object lacks is None, and one unreadable
object in a page costs that object alone. No message carries text that came from the CRM."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar, cast

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.crm.calls import (
    _RIGHTS,
    UNREADABLE,
    Expects,
    GetChat,
    ListChats,
    ListManagers,
    OwnCall,
    SetStatus,
    UpdateChat,
    is_write,
)
from mirt_sitniks.crm.objects import chat_of, int_of, manager_of, page_of, parse
from mirt_sitniks.errors import (
    BadResponse,
    CallTimeout,
    CrmError,
    Forbidden,
    NotApplied,
    NotFound,
    PlanRequired,
    RateLimited,
    Refused,
    Unauthorized,
    Unavailable,
)

T = TypeVar("T")
DEFAULT_REST = 60.0
MIN_REST, MAX_REST = 1.0, 600.0

# A proxy in front gave up on these, so the CRM itself may still carry the write out (520 and 524 are Cloudflare's).
_MAY_HAVE_APPLIED = frozenset({502, 504, 520, 524})
# Of these it is certain that nothing was made; all others leave it open.
_NOTHING_MADE = frozenset({400, 401, 403, 404, 405, 413, 415, 422, 429})
_TOO_FAST = re.compile(rb"too[\s_-]*fast|too[\s_-]*many[\s_-]*requests|rate[\s_-]*limit", re.IGNORECASE)
_NO_ROUTE = re.compile(rb"cannot\s+(?:get|put|patch|post)\s+/", re.IGNORECASE)
_CLOSED = re.compile(r"clos|archiv|закрит|закры|архів|архив", re.IGNORECASE)


def decode(call: Expects[T], status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> T:
    """The value that an answer to `call` carries; raises a `CrmError` subclass, and nothing else, for any bytes.

    `headers` are found in any letter case. `now` is what a `Retry-After` date is measured against. A write is confirmed
    by 2xx alone, also with no body; only HTML there (a login or error page of something in between) is `BadResponse`
    with `unconfirmed`; what makes something must show it, and its error is `unconfirmed` unless the status says that
    nothing was made. A read must bring JSON of its shape. A page that refuses (4xx) is no word of the CRM's, so it is
    `Unavailable`; only of a 405, a 408, a 429, a list's 404 and one that names a route the answer says enough.
    """
    write, makes = is_write(call), isinstance(call, OwnCall) and call.makes
    if not 200 <= status <= 299:
        error = _error(call, status, headers, body, now)
        if makes:
            error.unconfirmed = status not in _NOTHING_MADE and not isinstance(error, RateLimited)
        raise error
    # Servers label an empty answer text/html by default: that is no page.
    html = bool(body.strip()) and _is_page(headers, body)
    if write and html:
        raise _bad_response(call, status, "a page (HTML) instead of data", unconfirmed=True)
    document = parse(body)
    if document is UNREADABLE and not write:
        raise _bad_response(call, status, "a page (HTML) instead of data" if html else "no readable JSON")
    if write and isinstance(document, dict) and _says_no(document):
        said = f"Sitniks answered {status} to {type(call).__name__}, and that it failed."
        raise NotApplied(said, status=status, unconfirmed=makes)
    value = _read(call, document)
    if value is UNREADABLE:
        raise _bad_response(call, status, "JSON of another shape", unconfirmed=write)
    return cast(T, value)


def _says_no(document: Mapping[str, object]) -> bool:
    """Whether a 2xx says in its body that nothing was done."""
    code = int_of(document.get("statusCode"))
    return document.get("success") is False or document.get("ok") is False or (code is not None and code >= 400)


def _read(call: object, document: object) -> object:
    match call:
        case ListChats():
            return page_of(document, chat_of)
        case ListManagers():
            return page_of(document, manager_of)
        case GetChat(chat_id):
            return _own_chat(document, chat_id) or UNREADABLE
        case SetStatus(chat_id) | UpdateChat(chat_id):
            return _own_chat(document, chat_id)
        case OwnCall():
            return call.read(document)
    return UNREADABLE


def _own_chat(document: object, chat_id: str) -> Chat | None:
    """The chat that was asked for; another chat's values must never count as confirmed for this one."""
    inner = document.get("data") if isinstance(document, dict) and "id" not in document else document
    chat = chat_of(inner)
    return chat if chat is not None and chat.id.casefold() == chat_id.strip().casefold() else None


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds from a `Retry-After` (seconds or an HTTP date), held to 1-600; None when it is missing or rubbish."""
    text = (value or "").strip()
    try:
        seconds = float(text) if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", text) else _until(text, now)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(seconds, MIN_REST), MAX_REST)


def clock_ahead(date: str | None, sent: float, received: float) -> float | None:
    """How many seconds ahead of ours the clock is that set a `Date`, at least; None for no date. It has whole seconds,
    and was set between two moments of ours (Unix time); what these explain is no difference."""
    try:
        told = _moment(date or "").timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(0.0, told - received) + min(0.0, told + 1 - sent)


def _until(date: str, now: datetime) -> float:
    return (_moment(date) - now).total_seconds()


def _moment(date: str) -> datetime:
    moment = parsedate_to_datetime(date.strip())
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _header(headers: Mapping[str, str], name: str) -> str | None:
    return next((value for key, value in headers.items() if key.lower() == name), None)


def _is_page(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether this is HTML, by its beginning or by its name."""
    start = body.removeprefix(b"\xef\xbb\xbf").lstrip()
    return start.startswith(b"<") or "html" in (_header(headers, "content-type") or "").lower()


def _bad_response(call: object, status: int, what: str, *, unconfirmed: bool = False) -> BadResponse:
    said = f"Sitniks answered {status} to {type(call).__name__} with {what}"
    return BadResponse(
        f"{said}; check that SNITKIX_API_URL is the address of the CRM.", status=status, unconfirmed=unconfirmed
    )


_CHECK = "check SNITKIX_API_URL if this lasts."
_MEANINGS: Mapping[int, tuple[type[CrmError], str]] = {
    401: (Unauthorized, "the key is refused; put a valid one into SNITKIX_API_KEY."),
    403: (PlanRequired, "the account's plan has no Open API; upgrade to a plan that has it, or check SNITKIX_API_KEY."),
    404: (
        NotFound,
        "the chat is not there (deleted, or SNITKIX_API_URL and SNITKIX_API_KEY are of other accounts).",
    ),
    408: (CallTimeout, "the request took too long; raise SITNIKS_TIMEOUT if this lasts."),
    **dict.fromkeys(range(500, 600), (Unavailable, f"the CRM is in trouble; {_CHECK}")),
    **dict.fromkeys(range(300, 400), (BadResponse, f"a redirect, and redirects are not followed; {_CHECK}")),
}


def _error(call: object, status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> CrmError:
    """What a status other than 2xx means. The body is only searched for the words of a rate limit, never quoted."""
    write, said = is_write(call), f"Sitniks answered {status} to {type(call).__name__}"
    hint = _header(headers, "retry-after")
    pause, page = retry_after(hint, now), _is_page(headers, body)
    if status == 429 or (status == 503 and _TOO_FAST.search(body + b"\n" + (hint or "").encode("utf-8", "replace"))):
        cure = "lower SITNIKS_RATE_LIMIT, or find what else uses SNITKIX_API_KEY."
        rest = DEFAULT_REST if pause is None else pause
        return RateLimited(f"{said}: too many calls for this key; {cure}", status=status, retry_after=rest)
    # Firewalls ask their questions with a page and 405; a framework's own page names the route.
    no_route = _NO_ROUTE.search(body) if status == 404 or page else status in (405, 501)
    if status in (404, 405, 501) and no_route and not isinstance(call, ListChats):
        return forbidden(call, status)
    if status == 404 and isinstance(call, ListChats | ListManagers):
        # A list always exists: this is a wrong address, and must not read as "the chat is gone".
        return _bad_response(call, status, "no such page")
    # Also by its name alone: a page may break off, or come packed in a way that was not asked for.
    if 400 <= status <= 499 and status != 408 and page:
        between = "a page (HTML) of something in between, not the CRM's own answer; it is tried again, check proxy and"
        return Unavailable(f"{said} with {between} firewall, and {_CHECK}", status=status, retry_after=pause)
    if isinstance(call, OwnCall) and (own := call.refusal(status, said)):
        return own
    if status in _MEANINGS:
        kind, meaning = _MEANINGS[status]
        lost = write and (status == 408 or status in _MAY_HAVE_APPLIED)
        return kind(f"{said}: {meaning}", status=status, retry_after=pause, unconfirmed=lost)
    if 400 <= status <= 499:
        return _refused(call, status, said, body)
    return _bad_response(call, status, "a status that means nothing here", unconfirmed=write)


def forbidden(call: object, status: int | None) -> Forbidden:
    """What a 401 or 403 of `call` means while the key is accepted for other calls, or what a missing route means."""
    cure = "give it this right in Sitniks, or put one that has it into SNITKIX_API_KEY."
    if isinstance(call, ListManagers):
        cure = f"set SITNIKS_AI_MANAGER_ID and SITNIKS_HUMAN_MANAGER_ID, or {cure}"
    what = call.right if isinstance(call, OwnCall) else _RIGHTS.get(type(call), f"make the call {type(call).__name__}")
    who = "this key may not" if status in (401, 403) else "this account has no way to"
    return Forbidden(f"Sitniks answered {status} to {type(call).__name__}: {who} {what}; {cure}", status=status)


def _refused(call: object, status: int, said: str, body: bytes) -> Refused:
    if status in (400, 422) and is_write(call) and _CLOSED.search(body.decode("utf-8", "replace")):
        return Refused(f"{said}: the chat is closed; open it again in Sitniks.", status=status, code="chat_refused")
    if status in (400, 422) and isinstance(call, SetStatus):
        cure = f"the account has no status {call.status[:80]!r}; add it in Sitniks or correct SITNIKS_STATUS_*."
        return Refused(f"{said}: {cure}", status=status, code="unknown_status")
    if status in (400, 422) and isinstance(call, UpdateChat):
        cure = f"no manager {call.manager_id}; correct SITNIKS_AI_MANAGER_ID or SITNIKS_HUMAN_MANAGER_ID."
        return Refused(f"{said}: {cure}", status=status, code="manager_not_found")
    return Refused(f"{said}: check SNITKIX_API_URL, and update this package if the API has changed.", status=status)
