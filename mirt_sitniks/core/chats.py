"""Which chat belongs to a customer: pure matching over what the shared scan has read."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mirt_sitniks.core.record import Scan
from mirt_sitniks.core.text import clean_text

LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Chat:
    """One dialogue in the CRM. Every field but `id` may be unknown (None); times are ISO 8601 UTC and sort as text.

    `unassigned`: it says that nobody is responsible.
    """

    id: str
    nickname: str | None = None
    source: str | None = None
    user_id: str | None = None
    status: str | None = None
    manager_id: int | None = None
    manager_name: str | None = None
    last_message_at: str | None = None
    created_at: str | None = None
    unassigned: bool = False


def normalise_username(value: object) -> str | None:
    """A user name in the one form that is compared: no outer spaces, no leading `@`, letter case folded; else None.

    The address of a profile (`https://instagram.com/anna`, `t.me/anna`) is the name in it. What is longer than any name
    can be is none.
    """
    if not isinstance(value, str) or len(value) > LONGEST_NAME:
        return None
    name = re.sub(r"^[\s@]+", "", clean_text(value)).rstrip().casefold()
    profile = re.match(r"(?:https?://)?(?:www\.)?(?:instagram\.com|t\.me)/@*([^/?#\s@]+)", name)
    return (profile[1] if profile else name) or None


DAY = 86_400.0
WINDOWS = (0.0, DAY, 30 * DAY)
PAGE, PAGES = 50, 10
FRESH = 600.0
CLOCK_SLACK = DAY
AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class Contact:
    """A chat of the directory. `nickname` is normalised; any field but `chat_id` may be missing.

    `own`: it is not from the directory, but the chat that another session of the same name has.
    """

    chat_id: str
    nickname: str | None = None
    source: str | None = None
    user_id: str | None = None
    last_message_at: str | None = None
    status: str | None = None
    manager_id: int | None = None
    own: bool = False


def contact_of(chat: Chat) -> Contact:
    """What the directory keeps of a chat."""
    return Contact(
        chat.id, chat.nickname, chat.source, chat.user_id, chat.last_message_at, chat.status, chat.manager_id
    )


def fits(contact: Contact, channel: str) -> bool:
    """Whether the chat came in through `channel` (`instagram`, `telegram`); sources look like `telegram_bot`."""
    return bool(contact.source) and (contact.source or "").strip().casefold().startswith(channel)


def choose(contacts: Iterable[Contact], *, instagram: str | None, telegram: str | None) -> Contact | str | None:
    """The customer's chat, None when there is none, or `AMBIGUOUS` when the name belongs to different people.

    Per channel, only chats of that channel count, or those of unknown source when it has none, or else what other
    sessions of that name have. Several chats of one `userId`: the newest message. A customer with a name in both
    channels: what fits better, then the newest message.
    """
    known = tuple(contacts)
    found: dict[int, list[Contact]] = {}
    doubtful = False
    for channel, name in (("instagram", instagram), ("telegram", telegram)):
        named = [contact for contact in known if name and contact.nickname == name]
        ranks = [_rank(contact, channel) for contact in named]
        best = min((rank for rank in ranks if rank), default=0)
        mine = [contact for contact, rank in zip(named, ranks, strict=True) if rank == best] if best else []
        if len({contact.user_id or contact.chat_id for contact in mine}) > 1:
            doubtful = True
        elif mine:
            found.setdefault(best, []).append(newest(mine))
    if found:
        return newest(found[min(found)])
    return AMBIGUOUS if doubtful else None


def _rank(contact: Contact, channel: str) -> int:
    """How well a chat fits a channel: 1 it came in there, 2 nobody knows, 3 another session has it; 0 not at all."""
    if contact.own:
        return 3 if fits(contact, channel) else 0
    if fits(contact, channel):
        return 1
    return 0 if (contact.source or "").strip() else 2


def newest(contacts: Iterable[Contact]) -> Contact:
    """The contact with the newest message; ISO times compare as text, and the id decides between equals."""
    return max(contacts, key=lambda contact: (contact.last_message_at or "", contact.chat_id))


def window_of(attempt: int) -> int:
    """Which window search number `attempt` (from 0) uses.

    The look-back finds new chats, a day and 30 days find a returning customer's old one. Those are read once; after
    that only a chat that is new to the CRM can be missing, so the look-back serves again.
    """
    return attempt if attempt < len(WINDOWS) else 0


def next_scan(
    waiting: Sequence[tuple[int, float]],
    *,
    token: int,
    windows_read: tuple[float, float],
    now: float,
    wall: float,
    lookback: float,
) -> Scan | None:
    """The scan that serves all `waiting` searches, given as (attempt, since); None when nobody waits.

    `windows_read` holds the store's times at which a day and 30 days were last read whole: for ten minutes the
    directory answers in their place. The end lies a day ahead, so that a slow clock here hides no chat.
    """
    if not waiting:
        return None
    since, widest = wall, 0
    for attempt, asked in waiting:
        window = window_of(attempt)
        if window and windows_read[window - 1] > now - FRESH:
            window = 0
        widest = max(widest, window)
        since = min(since, asked - max(lookback, WINDOWS[window]))
    return Scan(token=token, since=since, until=wall + CLOCK_SLACK, window=widest, started=now)


def finished(read: int, raw: int, total: int | None) -> bool:
    """Whether the page of `raw` objects that made it `read` in all was the last one (at most 500 objects are read).

    A count may be wrong, or the page's own, and pages may be smaller than was asked for. So a total that is above what
    was read is believed, and one that a later page reaches; else a list ends with a page that is no round number, or
    has less than the ten that the vendor gives at least.
    """
    if raw == 0 or read >= PAGE * PAGES:
        return True
    if total is not None and total > read:
        return False
    return raw < 10 or bool(raw % 5) or (total == read and read > raw)
