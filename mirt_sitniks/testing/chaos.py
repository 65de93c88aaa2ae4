"""Which call meets which fault, drawn from a seed: each kind of call has its own row of faults, and they end."""

from dataclasses import dataclass
from random import Random
from typing import Any, Literal

Options = dict[str, Any]
# One that does nothing lets a call through, and keeps the order of those behind it.
THROUGH: tuple[str, Options] = ("slow", {"seconds": 0.0})
READING: tuple[tuple[str, Options], ...] = (
    ("status", {"status": 500}),
    ("status", {"status": 502}),
    ("html", {"status": 200}),
    ("html", {"status": 403}),
    ("reset", {}),
    ("reset_body", {}),
    ("hang", {}),
    ("slow", {"seconds": 2.0}),
)
# Late is after the call was given up, and before it is looked at. A lock lasts a second at least, so it is not for all.
WRITING: tuple[tuple[str, Options], ...] = (
    *READING,
    ("too_fast_503", {"headers": {"retry-after": "1"}}),
    ("rate_limited", {"retry_after": 1}),
    ("status", {"status": 500, "applied": True}),
    ("html", {"status": 200, "applied": True}),
    ("empty", {}),
    ("answer_lost", {}),
    ("applied_late", {"seconds": 7.0}),
    ("ignored", {}),
    ("shows", {"body": "before"}),
)
CALLS = (
    ("GET", "/chats$", READING),
    ("GET", "/chats/[^/]+$", READING),
    ("GET", "/managers$", READING),
    ("PATCH", "/status$", WRITING),
    ("PUT", "/chats/[^/]+$", WRITING),
)
VERBS = ("record", "claim", "settle")
MOST = 3

Lapse = Literal["before", "after"] | None
"""Whether the store is away before it does something, or after: its answer is lost."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """`faults` are for `Sandbox.fault`; `store` says by verb what its first calls meet."""

    faults: tuple[Options, ...]
    store: dict[str, tuple[Lapse, ...]]


def schedule(seed: int, test: str) -> Schedule:
    """The faults of one test; the same for the same seed."""
    luck = Random(f"{seed} {test}")
    faults = []
    for method, path, kinds in CALLS:
        for _ in range(luck.randint(1, MOST)):
            kind, options = THROUGH if luck.random() < 0.3 else luck.choice(kinds)
            faults.append({"kind": kind, "method": method, "path": path, **options})
    lapses: tuple[Lapse, ...] = (None, None, "before", "after")
    return Schedule(tuple(faults), {verb: tuple(luck.choice(lapses) for _ in range(MOST)) for verb in VERBS})
