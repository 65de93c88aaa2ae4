"""What was said and heard in a session, as far as it is kept: the newest texts of a day, as marks. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from mirt_sitniks.core.marks import Marks, unpack

# How long after the graph has said it a text may still be its own, and a short one; and how far clocks may differ.
DAY, SHORTLY, SLACK = 86_400.0, 600.0, 3600.0
# What is said again within so many seconds was said once.
AGAIN = 60.0
# How many texts of a session are kept, in how many characters, and how many of a person's.
TEXTS, ROOM, HEARD = 20, 8000, 8


@dataclass(frozen=True, slots=True)
class Spoken:
    """What the graph has told the customer of a session; `at` of its marks is how many seconds ago."""

    session: str
    marks: tuple[Marks, ...]


@dataclass(frozen=True, slots=True)
class Voices:
    """What was said and heard in a session, as marks, the oldest first.

    `said` is the graph's; what is older than `since` may be its own without being known any more (0: it never said
    anything). `heard` is what was taken for a person's in the phone. `name` is whose name the CRM gives to the graph.
    """

    said: tuple[Marks, ...] = ()
    since: float = 0.0
    heard: tuple[Marks, ...] = ()
    name: str = ""


def after_said(voices: Voices, said: Iterable[Marks], now: float) -> Voices:
    """With what the graph has said; the oldest goes when there is too much, and what is a day old."""
    listed = list(voices.said)
    for fresh in said:
        # Told twice it was said once; said again later, it may have been on its way both times.
        same = [one for one in listed if one.exact == fresh.exact and abs(fresh.at - one.at) < AGAIN]
        listed += [] if same else [fresh]
    listed = sorted((one for one in listed if one.at > now - DAY), key=lambda one: one.at)
    room, kept = ROOM, list[Marks]()
    for one in reversed(listed[-TEXTS:]):
        room -= len(one.exact) + len(one.blocks)
        if room < 0 and kept:
            break
        kept.insert(0, one)
    since = voices.since or min((one.at for one in said), default=now)
    if len(kept) < len(listed):
        since = max(since, kept[0].at)
    return replace(voices, said=tuple(kept), since=since)


def joined(before: Voices, mine: Voices) -> Voices:
    """What two sessions of one chat have said and heard."""
    since = min(one.since for one in (before, mine) if one.since) if before.since or mine.since else 0.0
    said = sorted((*before.said, *mine.said), key=lambda one: one.at)
    heard = sorted((*before.heard, *mine.heard), key=lambda one: one.at)
    return Voices(tuple(said[-TEXTS:]), since, tuple(heard[-HEARD:]), mine.name or before.name)


def after_heard(voices: Voices, heard: Marks, now: float) -> Voices:
    """With a text that was taken for a person's."""
    kept = [one for one in voices.heard if one.at > now - DAY and (one.at, one.exact) != (heard.at, heard.exact)]
    return replace(voices, heard=(*kept, heard)[-HEARD:])


def is_explained(heard: Marks, said: Iterable[Marks]) -> bool:
    """Whether what was taken for a person's turns out to be the graph's, told of too late."""
    whole, *sentences = unpack(heard.exact)
    known = [set(unpack(one.exact)) for one in said if -SLACK <= heard.at - one.at <= SHORTLY]
    return any(whole in one or one.issuperset(sentences) for one in known)
