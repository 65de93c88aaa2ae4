"""What an account's answers to a trial say of it: pure. The kinds of call and their words are `core/capabilities`'."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mirt_sitniks.core.backoff import KEY_CODES
from mirt_sitniks.core.capabilities import Heard
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.errors import CrmError

# Closer than this the two dates of a chat cannot be told apart by a window around one of them.
APART, AROUND = timedelta(seconds=5), timedelta(seconds=2)
NO_ROUTE = (404, 405, 501)


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a field (`kind` of call) and what came of it.

    `shown` is the field's value in the chat that the answer showed (`told`: it showed one), `after` what a read
    afterwards showed (`read`: there was one).
    """

    kind: str
    before: object
    value: object
    told: bool = False
    shown: object = None
    error: CrmError | None = None
    read: bool = False
    after: object = None


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of chats, and what was asked for."""

    since: datetime
    until: datetime
    chats: tuple[Chat, ...]
    raw: int

    @property
    def whole(self) -> bool:
        """Whether nothing that fits can be missing: no list is known to have pages as short as that."""
        return self.raw < 5


def right_of(error: CrmError | None) -> str:
    """What an answer says of its kind of call: `ok`, `refused`, `missing`, an error's code when the CRM took it for
    wrong, `unknown` when there was none to judge by."""
    if error is None:
        return "ok"
    if error.code in ("forbidden", *KEY_CODES):
        return "missing" if error.status in NO_ROUTE else "refused"
    if error.code == "not_applied":
        return "ignored"
    return "unknown" if error.retryable or error.unconfirmed else error.code


def taken(writes: Iterable[Write], kind: str) -> str:
    """Whether writes of a kind are taken: as `right_of`; `ignored` where a good answer changed nothing; `untried`
    where nothing but what was there has been written; `unknown` where no read can tell."""
    known = [one for one in writes if one.kind == kind]
    proofs = [one for one in known if one.read and one.value != one.before]
    if any(one.after == one.value for one in proofs):
        return "ok"
    if wrong := next((one.error for one in known if one.error), None):
        return right_of(wrong)
    if any(one.after == one.before for one in proofs):
        return "ignored"
    return "untried" if all(one.value == one.before for one in known) else "unknown"


def shows(writes: Iterable[Write], kind: str) -> str:
    """What the answer to a write that was taken shows: the chat `after` or `before` it, or `nothing` of it."""
    for one in writes:
        if one.kind == kind and not one.error and one.read and one.after == one.value != one.before:
            if not one.told or one.shown is None:
                return "nothing"
            return {one.value: "after", one.before: "before"}.get(one.shown, "unknown")
    return "unknown"


def windows(chat: Chat) -> list[tuple[datetime, datetime]]:
    """Around the last message of a chat, and around its creation; none where they can't be told apart."""
    dates = [_date(chat.last_message_at), _date(chat.created_at)]
    first, second = dates
    if first is None or second is None or abs(first - second) < APART:
        return []
    return [(one - AROUND, one + AROUND) for one in (first, second)]


def dates_of(listings: Iterable[Listing], chat: Chat) -> str:
    """By which date chats are listed: `created`, `last_message`, `none` (the range is not heeded), `other`, `unknown`.

    Each of the first three says of each chat whether it is listed; what comes, and what is missing, contradicts some.
    """
    pages, left = list(listings), {"created", "last_message", "none"}
    moved = any(
        one.id == chat.id and one.last_message_at != chat.last_message_at for page in pages for one in page.chats
    )
    for page in pages:
        found = {one.id: one for one in page.chats}
        # Of a chat that was written to meanwhile nobody knows where it should have been.
        if page.whole and not moved:
            found.setdefault(chat.id, chat)
        present = {one.id for one in page.chats}
        for one in found.values():
            told = {
                "created": _within(one.created_at, page),
                "last_message": _within(one.last_message_at, page),
                "none": True,
            }
            left -= {name for name, listed in told.items() if listed is not None and listed is not (one.id in present)}
    return {0: "other", 1: next(iter(left), "")}.get(len(left), "unknown")


def _within(date: str | None, page: Listing) -> bool | None:
    moment = _date(date)
    return None if moment is None else page.since <= moment <= page.until


def _date(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def paging(asked: int, raw: int, total: int | None, known: int | None = None) -> dict[str, Any]:
    """How a list answers to what was asked of it: how many it brought, whether it heeded that (None: nothing tells),
    and what its `count` counts. `known` is how many there are, where that is known."""
    there = known if known is not None else total
    heeded = None if there is None or there <= asked else raw == asked
    return {
        "asked": asked,
        "brought": raw,
        "obeyed": False if raw > asked else heeded,
        "count": _count(raw, total, known),
    }


def _count(raw: int, total: int | None, known: int | None) -> str:
    if total is None:
        return "none"
    if total < raw or (known is not None and total not in (known, raw)):
        return "wrong"
    if total > raw:
        return "total"
    return "page" if known is not None and known > raw else "unknown"


def names(chats: Iterable[Chat]) -> str:
    """How chats show who has them: `id and name`, `id`, `name`; `none` where no chat shows it."""
    known = list(chats)
    parts = [
        *(["id"] if any(one.manager_id is not None for one in known) else []),
        *(["name"] if any(one.manager_name for one in known) else []),
    ]
    return " and ".join(parts) or "none"


def lessons(writes: Sequence[Write]) -> tuple[Heard, ...]:
    """What a trial has proven, for all processes of the account: kinds that work, and what their answers show."""
    heard: list[Heard] = []
    for kind in ("status", "assign"):
        if taken(writes, kind) == "ok":
            heard.append(Heard(kind))
            if shows(writes, kind) == "before":
                heard.append(Heard(kind, "before"))
    return tuple(heard)
