"""What a check of the doctor's found, and how a terminal shows it."""

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from mirt_sitniks.log import shown

WIDEST, NAMED = 100, 5
MARKS = {True: ("✓", "32"), False: ("✗", "31"), None: ("·", "2")}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: `ok` is None when nothing could be checked, `cure` what to do about it."""

    name: str
    ok: bool | None
    text: str
    cure: str | None = None


def from_message(name: str, message: str) -> Finding:
    """A message of ours as a finding: they all end with the cure."""
    for mark in (" cannot be right: ", " is not set: ", "; ", ": "):
        text, found, cure = message.partition(mark) if mark.startswith(" ") else message.rpartition(mark)
        if found:
            return Finding(name, False, text + mark.rstrip(":; "), cure.rstrip("."))
    return Finding(name, False, message)


def many(count: int, what: str) -> str:
    """`1 session`, `2 sessions`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def named(names: Sequence[str]) -> str:
    """The first of some names, and how many there are besides."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def show(finding: Finding) -> None:
    """Print a finding, its cure in a line of its own."""
    width = min(shutil.get_terminal_size().columns, WIDEST)
    mark, colour = MARKS[finding.ok]
    lines = _wrapped(shown(finding.text), f"  {mark} {finding.name:<13} ", width)
    if finding.cure:
        lines += _wrapped(shown(finding.cure), f"{'':<18}→ ", width)
    lines[0] = lines[0].replace(mark, _paint(mark, colour), 1)
    print("\n".join(lines), flush=True)


def _wrapped(text: str, head: str, width: int) -> list[str]:
    # Addresses and paths stay whole, so that they can be copied.
    indent = " " * len(head)
    return textwrap.wrap(
        text, width, initial_indent=head, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _paint(text: str, colour: str) -> str:
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else f"\x1b[{colour}m{text}\x1b[0m"
