"""Text as it leaves us: without what no database holds, and times as the API writes them."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

T = TypeVar("T")


def clean(value: T) -> T:
    """The same value, with all text in it, however deep, without NUL and without halves of surrogate pairs.

    Chats can bring both, and neither may stop the sync of all others. Anything that is no text stays what it is, and
    what needs no cleaning comes back itself: that is nearly everything, in every transaction.
    """
    cleaned: Any = value
    if isinstance(value, str):
        # Text of enums is fine, and stays an enum.
        if type(value) is str and not (value.isascii() and value.isprintable()):
            cleaned = value.replace("\0", "").encode("utf-8", "replace").decode()
    elif isinstance(value, dict):
        cleaned = {name: clean(one) for name, one in value.items()}
    elif isinstance(value, list | tuple):
        cleaned = type(value)(clean(one) for one in value)
    elif (names := getattr(type(value), "__dataclass_fields__", None)) and not isinstance(value, type):
        dirty = {name: one for name in names if (one := clean(old := getattr(value, name))) is not old and one != old}
        cleaned = replace(cleaned, **dirty) if dirty else value
    return cleaned  # type: ignore[no-any-return]


def clean_text(text: str) -> str:
    """`text` fit for UTF-8 and for Postgres: no lone surrogates, no NUL."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def iso(seconds: float) -> str:
    """Unix time as ISO 8601 UTC with milliseconds and `Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unix(time: str | None) -> float | None:
    """ISO 8601 as Unix time, UTC where it says no zone; None for anything else."""
    try:
        at = datetime.fromisoformat(time or "")
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def fold_ascii(text: str) -> str:
    """`text` with the letter case of ASCII folded, and of nothing else: `ß` is not `ss`, the Kelvin sign no `k`."""
    return text.translate(_LOWER)


def span(seconds: float) -> str:
    """A duration as people say it: `40 ms`, `1.4 s`, `45 s`, `3 min`, `5 h`, `2 d`."""
    if seconds < 1:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    for unit, size in (("d", 172_800.0), ("h", 7200.0), ("min", 120.0)):
        if seconds >= size:
            return f"{seconds / _UNITS[unit]:.0f} {unit}"
    return f"{seconds:.0f} s"


def many(count: int, what: str) -> str:
    """So many of something."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


_UNITS = {"d": 86_400.0, "h": 3600.0, "min": 60.0}
