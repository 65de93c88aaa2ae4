"""Which chat belongs to a customer: pure matching over what the CRM has shown."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from mirt_sitniks.core.backoff import search_delay
from mirt_sitniks.core.record import Scan
from mirt_sitniks.core.text import clean_text, fold_ascii

LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Chat:
    """One dialogue in the CRM. Every field but `id` may be unknown (None); times in it are ISO 8601 UTC, sort as text.

    `nickname` is normalised. `unassigned`: it says that nobody is responsible. `seen_at` is the store's time at which
    the CRM was asked for what this shows, 0 when it was not kept; of one that was `told` by an event and not read, when
    that happened. `wrote_at` is when the customer wrote his last message that was told. `own`: nothing the CRM showed,
    but the chat that another session of the same name has.
    """

    id: str
    nickname: str | None = None
    source: str | None = None
    user_id: str | None = None
    last_message_at: str | None = None
    status: str | None = None
    manager_id: int | None = None
    manager_name: str | None = None
    created_at: str | None = None
    unassigned: bool = False
    owner_id: str | None = None
    owner_name: str | None = None
    seen_at: float = 0.0
    own: bool = False
    told: bool = False
    wrote_at: float = 0.0


# Where an address says more than the name of a profile: what stands before it, and what stands there instead.
_BEFORE = {"stories", "_u", "_n", "n", "s", "m"}
_INSTEAD = {
    "p", "reel", "reels", "tv", "explore", "direct", "accounts", "share", "highlights", "about", "legal", "c",
    "joinchat", "addstickers", "addemoji", "addtheme", "addlist", "proxy", "socks", "setlanguage", "iv", "bg", "boost",
    "invoice", "login", "confirmphone", "giftcode", "nft",
}  # fmt: skip
_ADDRESS = re.compile(
    r"(?:https?://)?(?:(?:www|m|web)\.)?(?:instagram\.com|instagr\.am|ig\.me|t\.me|telegram\.(?:me|dog))(?::\d+)?/(.*)"
)


def normalise_username(value: object) -> str | None:
    """A user name in the one form that is compared: no outer spaces, no leading `@`, ASCII letter case folded; else
    None.

    The address of a profile (`https://instagram.com/anna`, `t.me/s/anna`) is the name in it; any other address is no
    name, nor is what is longer than a name can be. Other letters are left alone: look-alikes are other people.
    """
    if not isinstance(value, str) or len(value) > LONGEST_NAME:
        return None
    name = fold_ascii(re.sub(r"^[\s@]+", "", clean_text(value)).rstrip())
    if address := _ADDRESS.fullmatch(name):
        return _profile(address[1])
    return None if "://" in name else name or None


def _profile(path: str) -> str | None:
    """The user name in the path of an address."""
    parts = [unquote(part).lstrip("@") for part in re.split(r"[?#\s]", path, maxsplit=1)[0].split("/") if part]
    name = next((part for part in parts if part not in _BEFORE), "")
    return name if re.fullmatch(r"[a-z0-9_.]+", name) and name not in _INSTEAD else None


DAY = 86_400.0
WINDOWS = (0.0, DAY, 30 * DAY)
WIDE = 2
PAGE, PAGES, WIDE_PAGES = 50, 10, 20
# Pages move while they are read: so many chats of a page are read again with the next one of a wide scan.
OVERLAP = 5
FRESH = 600.0
CLOCK_SLACK = DAY


def fits(chat: Chat, channel: str, owner: str | None = None) -> bool | None:
    """Whether a chat came in through `channel` (`instagram`, `telegram`) and to the page `owner`; None: nobody knows.

    Sources look like `telegram_bot`; `owner` is the page's id or name, None for any.
    """
    source = fold_ascii((chat.source or "").strip())
    pages = {one for one in (chat.owner_id, normalise_username(chat.owner_name)) if one}
    wanted = {owner, normalise_username(owner)}
    if (source and not source.startswith(channel)) or (owner and pages and not pages & wanted):
        return False
    return True if source and (pages or not owner) else None


def choose(
    chats: Iterable[Chat], *, instagram: str | None, telegram: str | None, owner: str | None = None
) -> Chat | tuple[Chat, ...]:
    """The customer's chat, else the chats of the different people who have the name; none when nobody has it.

    Per channel, only chats of that channel count, or those of unknown source or page when it has none, or else what
    other sessions of that name have. Several chats of one `userId`: the newest message. A customer with a name in both
    channels: what fits better, then the newest message.
    """
    known = tuple(chats)
    found: dict[int, list[Chat]] = {}
    rivals: list[Chat] = []
    for channel, name in (("instagram", instagram), ("telegram", telegram)):
        named = [chat for chat in known if name and chat.nickname == name]
        ranks = [_rank(chat, channel, owner) for chat in named]
        best = min((rank for rank in ranks if rank), default=0)
        mine = [chat for chat, rank in zip(named, ranks, strict=True) if rank == best] if best else []
        if len({chat.user_id or chat.id for chat in mine}) > 1:
            rivals += mine
        elif mine:
            found.setdefault(best, []).append(newest(mine))
    return newest(found[min(found)]) if found else tuple(rivals)


def _rank(chat: Chat, channel: str, owner: str | None) -> int:
    """How well a chat fits: 1 it came in there, 2 nobody knows, 3 another session has it; 0 not at all."""
    fit = fits(chat, channel, None if chat.own else owner)
    if chat.own:
        return 3 if fit else 0
    return 2 if fit is None else int(fit)


def newest(chats: Iterable[Chat]) -> Chat:
    """The chat with the newest message; ISO times compare as text, and the id decides between equals."""
    return max(chats, key=lambda chat: (chat.last_message_at or "", chat.id))


def window_of(attempt: int) -> int:
    """Which window search number `attempt` (from 0) uses.

    The look-back for half an hour: only a chat that is new to the CRM can be missing there. Then 30 days once, and the
    look-back once more, for what was written to while they were read.
    """
    return WIDE if search_delay(attempt) is None and search_delay(attempt - 1) is not None else 0


def next_scan(
    waiting: Sequence[tuple[int, float]], *, token: int, now: float, wall: float, lookback: float
) -> Scan | None:
    """The scan that serves those of `waiting` searches, given as (attempt, since), who go first; None when nobody
    waits.

    A wide one is read when nobody waits for the look-back. The end lies a day ahead, so that a slow clock here hides no
    chat.
    """
    window = min((window_of(attempt) for attempt, _ in waiting), default=None)
    if window is None:
        return None
    asked = min(since for attempt, since in waiting if window_of(attempt) == window)
    since = min(wall, asked) - max(lookback, WINDOWS[window])
    return Scan(token=token, since=since, until=wall + CLOCK_SLACK, window=window, started=now)


def finished(read: int, raw: int, total: int | None, pages: int = PAGES) -> bool:
    """Whether the page of `raw` objects that made it `read` in all was the last one (at most `pages` of 50 are read).

    A count may be wrong, or the page's own, and pages may be smaller than was asked for. So a total that is above what
    was read is believed, and one that a later page reaches; else a list ends with a page that is no round number, or
    has less than the ten that the vendor gives at least.
    """
    if raw == 0 or read >= PAGE * pages:
        return True
    if total is not None and total > read:
        return False
    return raw < 10 or bool(raw % 5) or (total == read and read > raw)
