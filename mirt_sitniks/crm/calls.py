"""The calls to Sitniks' Open API as values, and the request that each stands for: pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar
from urllib.parse import quote

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.managers import Manager
from mirt_sitniks.core.text import clean_text
from mirt_sitniks.errors import CrmError, NotFound

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
_MAX_ID = 128
UNREADABLE = object()


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


@dataclass(frozen=True, slots=True)
class Request:
    """What goes over the wire; `path` starts behind `/open-api` and is percent-encoded already."""

    method: str
    path: str
    params: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None


class OwnCall(Expects[T_co]):
    """A call that says itself what it asks and what its answers mean: so are all but those that syncing chats needs.

    `kind` and `right` are what `_KINDS` and `_RIGHTS` say of the others. `writes`: it changes something in the CRM;
    `makes`: it makes something there, so that a second one would make another.
    """

    __slots__ = ()
    kind: ClassVar[str]
    right: ClassVar[str]
    writes: ClassVar[bool] = False
    makes: ClassVar[bool] = False

    def request(self) -> Request:
        """The request that the call stands for; `NotFound` for an id that cannot be one."""
        raise NotImplementedError

    def read(self, document: object) -> object:
        """What a good answer's JSON (`UNREADABLE`: there is none) carries, or `UNREADABLE`."""
        raise NotImplementedError

    def refusal(self, status: int, said: str) -> CrmError | None:
        """What a 4xx of the CRM's means of this very call; None: what it means of any."""
        return None


Call: TypeAlias = ListChats | GetChat | SetStatus | UpdateChat | ListManagers | OwnCall[Any]


@dataclass(frozen=True, slots=True)
class CreateNote(OwnCall[bool]):
    """Leave a note in a chat, which only staff see. It cannot be read back, so a lost answer stays `unconfirmed`."""

    chat_id: str
    text: str = field(repr=False)

    kind, right, writes, makes = "note", "leave notes in chats", True, True

    def request(self) -> Request:
        """`POST /chats/{chatId}/notes`."""
        return Request("POST", _chat_path(self.chat_id, "/notes"), body=_json({"text": clean_text(self.text)}))

    def read(self, document: object) -> object:
        """A 2xx says that it was left, whatever else it shows."""
        return True


def is_write(call: object) -> bool:
    """Whether `call` changes something in the CRM."""
    return isinstance(call, SetStatus | UpdateChat) or (isinstance(call, OwnCall) and call.writes)


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
            return Request("PATCH", _chat_path(chat_id, "/status"), body=_json({"status": clean_text(status)}))
        case UpdateChat(chat_id, manager_id):
            return Request("PUT", _chat_path(chat_id), body=_json({"assignedManagerId": manager_id}))
        case ListManagers(skip, limit):
            return Request("GET", "/managers", _paging(skip, limit))
        case OwnCall():
            return call.request()
    raise TypeError(
        f"{type(call).__name__} is not a call to Sitniks; the calls are the classes in mirt_sitniks.crm.calls"
    )


def format_time(moment: datetime) -> str:
    """`moment` as the API writes times: ISO 8601, UTC, milliseconds, `Z`. A naive moment is read as UTC."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _chat_path(chat_id: str, tail: str = "") -> str:
    if id_of(chat_id) is None:
        raise NotFound("This is not the id of a Sitniks chat; leave it out to have the chat looked up by user name.")
    return f"/chats/{quote(chat_id.strip(), safe='')}{tail}"


def _order_path(order_id: str, tail: str = "") -> str:
    if (found := id_of(order_id)) is None:
        raise NotFound("This is not the id of an order in Sitniks.", code="order_not_found")
    return f"/orders/{quote(found, safe='')}{tail}"


def _paging(skip: int, limit: int) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("limit", str(limit)), ("skip", str(skip))


def _json(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode()


def id_of(value: object) -> str | None:
    """An id as text; JSON numbers are taken too, but no float, whose digits may be gone."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**_MAX_ID:
        return str(value)
    if not isinstance(value, str):
        return None
    text = value.strip()
    fit = 0 < len(text) <= _MAX_ID and text.isprintable() and text.strip(".") != ""
    return text if fit else None


def kind_of(call: Call) -> str:
    """The kind of a call, as the core names it."""
    return call.kind if isinstance(call, OwnCall) else _KINDS[type(call)]


_KINDS: Mapping[type, str] = {
    ListChats: "list",
    GetChat: "read",
    SetStatus: "status",
    UpdateChat: "assign",
    ListManagers: "managers",
}

# A key that may not list the chats is no good at all, so this asks for the key alone; the range is empty on purpose.
ASK = ListChats(datetime(2000, 1, 1, tzinfo=UTC), datetime(2000, 1, 2, tzinfo=UTC), limit=1)

_RIGHTS: Mapping[type, str] = {
    GetChat: "read this chat",
    SetStatus: "set the status of this chat",
    UpdateChat: "assign a manager to this chat",
    ListManagers: "list the managers",
}
