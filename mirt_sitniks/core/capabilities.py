"""What an account's answers have taught of its kinds of call, shared by all processes that use the key: pure.

The kinds are `list`, `read`, `messages`, `status`, `assign`, `note` and `managers`. All times are on the store's clock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce

# Seconds for which what was learned holds, and after which what was refused is tried again.
KEPT, PROBE = 86_400.0, 600.0
# So many chats make a refusal the affair of the kind of call, and for so long one good answer speaks for the key.
ENOUGH, VOUCHED = 3, 60.0
PAGE_LEAST = 5
# A call that the CRM does not have at all.
MISSING = (404, 405, 501)


@dataclass(frozen=True, slots=True)
class Heard:
    """What one answer said of a kind of call, on `chat` if it was about one.

    `said` is `ok`; `refused` (for that chat, with `code` and `message`); `missing`, which counts for all chats at once;
    `before` (the answer showed the state before the write); `crossed` (of two writes at once one was lost); `vouched`
    (the key was asked for, and is good); `too_large` (a page); `names` (chats show who has them). `value` is the status
    that was taken.
    """

    kind: str
    said: str = "ok"
    chat: str | None = None
    code: str = ""
    message: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A kind of call that was refused, and why, as the public list names it: for `chats`, or for all (`whole`).

    `probe_at` is when it may be tried again, `probe_by` which session does until then: what is `lent` to it.
    """

    code: str
    message: str
    chats: tuple[str, ...] = ()
    whole: bool = False
    probe_at: float = 0.0
    probe_by: str = ""
    lent: bool = False


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What is known of an account.

    `refused` by kind, with no good answer since. `before`: until when a kind's answers show the state before the write.
    `apart_until`: until then its two writes go one after the other. `statuses`: when a status was last taken.
    `vouched_at`: when the key was last asked for and found good. `page` objects are asked for until `page_until`, and
    until `names_until` a chat that shows nobody has nobody.
    """

    refused: Mapping[str, Refusal] = field(default_factory=dict)
    before: Mapping[str, float] = field(default_factory=dict)
    statuses: Mapping[str, float] = field(default_factory=dict)
    apart_until: float = -1e9
    vouched_at: float = -1e9
    page: int = 50
    page_until: float = -1e9
    names_until: float = -1e9

    def rests(self, kind: str) -> Refusal | None:
        """Why no call of a kind is made, None when it may be."""
        found = self.refused.get(kind)
        return found if found and found.whole and not found.lent else None

    def refuses(self, kind: str, chat: str | None) -> bool:
        """Whether the last answers refused a kind of call for a chat, be it tried again or not."""
        found = self.refused.get(kind)
        return found is not None and (found.whole or chat in found.chats)

    def shows_before(self, kind: str, now: float) -> bool:
        """Whether a kind's answers are known to show the state before the write."""
        return now < self.before.get(kind, -1e9)

    def writes_apart(self, now: float) -> bool:
        """Whether two writes go one after the other: one was lost beside another, or an answer would not show it."""
        return now < self.apart_until or any(self.shows_before(kind, now) for kind in self.before)

    def page_at(self, now: float) -> int:
        """How many objects a page may have."""
        return self.page if now < self.page_until else 50


def lend(
    known: Capabilities, kinds: Iterable[str], who: str, now: float, seconds: float
) -> tuple[Capabilities, Capabilities]:
    """What is known, and the same for `who`, that needs `kinds`: he probes what is to be, others not so soon."""
    due = {kind for kind in kinds if (one := known.rests(kind)) and (one.probe_at <= now or one.probe_by == who)}
    if not due:
        return known, known
    held = {kind: replace(known.refused[kind], probe_at=now + seconds, probe_by=who) for kind in due}
    shown = {kind: replace(one, lent=True) for kind, one in held.items()}
    return replace(known, refused={**known.refused, **held}), replace(known, refused={**known.refused, **shown})


def recovered(before: Capabilities, now: Capabilities) -> bool:
    """Whether a kind of call that was refused works again."""
    return any(before.rests(kind) and not now.rests(kind) for kind in before.refused)


def learn(known: Capabilities, heard: Iterable[Heard], now: float) -> Capabilities:
    """What is known after some answers."""
    return reduce(lambda before, one: _learn(before, one, now), heard, known)


def _learn(known: Capabilities, one: Heard, now: float) -> Capabilities:
    match one.said:
        case "vouched":
            return replace(known, vouched_at=now)
        case "before":
            return replace(known, before={**known.before, one.kind: now + KEPT})
        case "crossed":
            return replace(known, apart_until=now + KEPT)
        case "names":
            return replace(known, names_until=now + KEPT) if known.names_until < now + KEPT / 2 else known
        case "too_large":
            return replace(known, page=max(PAGE_LEAST, known.page_at(now) // 3), page_until=now + KEPT)
        case "ok":
            if one.kind in known.refused:
                known = replace(known, refused={k: v for k, v in known.refused.items() if k != one.kind})
            # Not at each write: the key's row is everybody's.
            if one.value and known.statuses.get(one.value, -1e9) < now - KEPT / 2:
                known = replace(known, statuses={**known.statuses, one.value: now})
            return known
    before = known.refused.get(one.kind)
    chats = before.chats if before else ()
    chats = (*chats, one.chat) if one.chat and one.chat not in chats else chats
    whole = one.said == "missing" or len(chats) >= ENOUGH or bool(before and before.whole)
    refusal = Refusal(one.code, one.message, chats[:ENOUGH], whole, now + PROBE)
    return replace(known, refused={**known.refused, one.kind: refusal})
