"""Reads Markdown pages as far as the tests of the documents need it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.docs.notebook import ROOT

ENGLISH, UKRAINIAN = ROOT / "README.md", ROOT / "README.uk.md"


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language and its text."""

    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, from top to bottom."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [Block(language, text) for language, text in found]


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def rows(page: Path, first: str) -> list[list[str]]:
    """The cells of the table whose first head cell is `first`, without its head."""
    _, _, rest = page.read_text("utf-8").partition(f"\n| {first} |")
    lines = rest.split("\n\n")[0].splitlines()[2:]
    assert lines, f"{page.name} has no table that begins with {first!r}"
    return [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in lines]


def quoted(text: str) -> list[str]:
    """Everything that stands in backticks."""
    return re.findall(r"`([^`]+)`", text)


def links(text: str) -> Iterator[str]:
    """The goals of all links and pictures outside of blocks."""
    for match in re.finditer(r"\]\(([^)\s]+)\)|(?:href|src|srcset)=\"([^\"]+)\"", prose(text)):
        yield match[1] or match[2]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    heads = re.findall(r"^#+ (.+)$", prose(page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
