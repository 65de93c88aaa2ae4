"""Auto-replies: texts of the shop's page that come again and again, letter by letter, in many chats. Pure."""

from dataclasses import dataclass, replace

from mirt_sitniks.core.voices import DAY, SLACK

# In so many chats within a day the same text is an auto-reply; so many texts are watched for that, for so long.
CHATS, WATCHED, KNOWN = 3, 64, 30 * DAY
# What comes so soon after the customer's words is no person's.
AT_ONCE = 15.0


@dataclass(frozen=True, slots=True)
class Repeat:
    """A text of the shop's page, by the name of its marks, that was seen `at`, and in which chats within a day, each
    with its time; with none it is an auto-reply."""

    name: str
    at: float
    chats: tuple[tuple[str, float], ...] = ()


def watch(
    repeats: tuple[Repeat, ...], heard: Repeat, *, now: float, sure: bool
) -> tuple[tuple[Repeat, ...], bool, tuple[str, ...]]:
    """Count a text of the page: what is watched now, whether it is an auto-reply, and in which chats it was counted
    until that was known. What is not `sure`, because many people write so few letters, is not counted."""
    mine = next((one for one in repeats if one.name == heard.name), None)
    if mine and not mine.chats and heard.at < mine.at + SLACK:
        # To the hour, so that not each of them is written.
        return repeats, True, ()
    others = [one for one in repeats if one is not mine and one.at > now - (DAY if one.chats else KNOWN)]
    if mine and not mine.chats:
        return (*others, replace(heard, chats=())), True, ()
    if not sure:
        return repeats, False, ()
    before = [one for one in (mine.chats if mine else ()) if one[1] > heard.at - DAY]
    chats = tuple(dict([*before, *heard.chats]).items())
    known = len(chats) >= CHATS
    fresh = replace(heard, chats=() if known else chats)
    return (*others, fresh)[-WATCHED:], known, tuple(one for one, _ in chats) if known else ()


def without_chat(repeats: tuple[Repeat, ...], chat: str | None) -> tuple[Repeat, ...]:
    """The same without what was counted in a chat that shall be known no more."""
    return tuple(one for one in repeats if chat not in dict(one.chats))
