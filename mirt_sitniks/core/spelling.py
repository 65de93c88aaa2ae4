"""What was meant by a name that is nearly right: pure."""

import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches

# Latin letters and digits that nobody tells from Cyrillic ones, in small letters of either.
_TWINS = str.maketrans("abcehikmoptxy0", "авсенікмортхуо")
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2060\ufe0e\ufe0f\ufeff]")


def alike(text: str) -> str:
    """The same for texts that look the same: letter case, spaces, and letters of another alphabet make no difference.

    >>> alike("AI  увага ") == alike("АІ Увага"), alike("Оплачено ✅") == alike("Оплачено")
    (True, False)
    """
    plain = unicodedata.normalize("NFKC", _UNSEEN.sub("", text)).casefold()
    return " ".join(plain.translate(_TWINS).split())


def letters(text: str) -> str:
    """What `alike` leaves but for signs, emoji and spaces.

    >>> letters("🔥 Гарячий лід!") == letters("гарячий лід")
    True
    """
    return "".join(one for one in alike(text) if one.isalnum())


def closest(word: str, words: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The one of `words` that was meant by `word`: its end (`url` for `api_url`), or nearly the same.

    >>> closest("url", ["api_key", "api_url"]), closest("replace", ["once", "replaces"]), closest("x", ["once"])
    ('api_url', 'replaces', None)
    """
    known = list(words)
    ends = [one for one in known if one.endswith(f"_{word}")]
    return next(iter(ends or get_close_matches(word, known, 1, cutoff)), None)


def meant_by(names: Iterable[str], ours: Iterable[str]) -> dict[str, str]:
    """The variables among `names` that are none of `ours` but look like one, each with the one that was meant.

    >>> meant_by(["SITNIKS_API_URL", "PATH"], ["SNITKIX_API_URL", "SITNIKS_STORE"])
    {'SITNIKS_API_URL': 'SNITKIX_API_URL'}
    """
    known = set(ours)
    words, meant = {name.partition("_")[2]: name for name in known}, {}
    for name in sorted(set(names) - known):
        prefix, _, word = name.partition("_")
        close = get_close_matches(prefix, sorted({one.partition("_")[0] for one in known}), cutoff=0.75)
        if close and (found := closest(word, words, 0.85)):
            meant[name] = words[found]
    return meant
