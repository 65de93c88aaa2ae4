"""What was meant by a name that is nearly right: pure."""

from collections.abc import Iterable
from difflib import get_close_matches


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
