"""A text as it can be known again without being kept: hashes of what a channel leaves of it. Pure.

What is hashed are letters and digits alone, so that markup, links, emoji, spaces, punctuation and letter case may come
and go; pieces are known by single lines and sentences, or by blocks of letters wherever they begin.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from html import unescape
from itertools import accumulate, pairwise
from unicodedata import category, normalize

# Fewer letters than these are known only as a whole, a line or a sentence, and not for long.
SHORT = 24
# So much of a text must be known, and so many letters behind one that is known are a signature.
ENOUGH, SIGNATURE = 0.6, 40
# Letters in a block. What is cut off a longer text is known by blocks from so many letters on, or is one of its ends.
BLOCK, BLOCKWISE, CUT = 16, 64, 200
# What is longer is known by its beginning.
LONGEST = 20_000
_SIZE = 4

_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_NUMBER = re.compile(r"(?m)^[ \t]*\d{1,2}[.)]\s+")
_REST = r"[^\s()<>\[\]\"«»]*"
# With a scheme, a bare domain, or what is left of one that was cut in two.
_LINK = re.compile(
    rf"(?a:(?<!\w)(?:\w{{1,20}}://|www\.){_REST}|(?<![\w.-])(?:[\w-]+\.)+[a-z]{{2,}}\b(?:[/?]{_REST})?"
    r"|(?<![\w.-])(?:[\w.-]+|(?<![/?=&]))[/?=&]+[\w-][\w.~:/?#@!$&*+,;=%…-]*)",
    re.IGNORECASE,
)
_BEGINS_CUT = re.compile(r"^[a-z0-9]+")
_LINES, _SENTENCES = re.compile(r"[\r\n]+"), re.compile(r"(?<=[.!?…])\s+")


@dataclass(frozen=True, slots=True)
class Marks:
    """What is kept of a text of `at`: hashes of the whole, of its lines and sentences and its ends (`exact`, the whole
    first), and of its blocks; each in Base64."""

    at: float
    exact: str = ""
    blocks: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """The letters of a text, sentence by sentence; `lines` are how many of them stand before the end of each line."""

    sentences: tuple[str, ...]
    lines: tuple[int, ...]

    @property
    def whole(self) -> str:
        """All letters."""
        return "".join(self.sentences)


def words_of(text: str) -> Words:
    """What is left of a text when all that a channel may change is taken away."""
    plain = _LINK.sub(" ", _NUMBER.sub("", _TAG.sub(" ", unescape(text[:LONGEST]))))
    found = [[one for part in _SENTENCES.split(line) if (one := _letters(part))] for line in _LINES.split(plain)]
    ends = accumulate(sum(map(len, line)) for line in found)
    return Words(tuple(one for line in found for one in line), tuple(ends))


def _letters(text: str) -> str:
    # Signs first: as letters some of them would be others.
    text = normalize("NFKC", "".join(one for one in text if category(one)[0] not in "SC"))
    return "".join(one for one in text.casefold() if category(one)[0] in "LN" and category(one) != "Lm")


def marks_of(words: Words, at: float, salt: str) -> Marks:
    """The marks of a text that has any letters."""
    whole = words.whole
    exact = [whole, *words.sentences, *(whole[before:end] for before, end in pairwise((0, *words.lines)))]
    if len(whole) >= CUT:
        exact += [whole[-n:] for n in range(1, BLOCKWISE)]
    blocks = [whole[n : n + BLOCK] for n in range(0, len(whole) - BLOCK + 1, BLOCK)] if len(whole) >= BLOCKWISE else []
    return Marks(at, *(_pack(mark(one, salt) for one in dict.fromkeys(part) if one) for part in (exact, blocks)))


def heard_of(words: Words, at: float, salt: str) -> Marks:
    """The same of a text that was heard: the whole and its sentences."""
    return Marks(at, _pack(mark(one, salt) for one in (words.whole, *words.sentences)))


def name_of(words: Words, salt: str) -> str:
    """A text as the marks of what was heard begin."""
    return b64encode(mark(words.whole, salt)).decode()[:5]


def mark(letters: str, salt: str) -> bytes:
    """One hash."""
    return blake2b(letters.encode(), digest_size=_SIZE, key=salt.encode()[:64]).digest()


def _pack(hashes: Iterable[bytes]) -> str:
    return b64encode(b"".join(hashes)).decode()


def unpack(packed: str) -> list[bytes]:
    """The hashes of a text."""
    raw = b64decode(packed)
    return [raw[n : n + _SIZE] for n in range(0, len(raw), _SIZE)]


def is_known(words: Words, said: Sequence[Marks], fresh: Sequence[Marks], salt: str) -> bool:
    """Whether a text is one that was `said`, a piece of one, or some of them with little else; what is short, only one
    of the `fresh` ones."""
    whole, exact, lately = words.whole, _all(said, "exact"), _all(fresh, "exact")

    def knows(letters: str) -> bool:
        return mark(letters, salt) in (exact if len(letters) >= SHORT else lately)

    if not exact or not whole:
        return False
    # It may begin with what is left of an address.
    if any(knows(one) for one in (whole, _BEGINS_CUT.sub("", whole)) if one):
        return True
    for end in range(max(1, len(whole) - SIGNATURE), len(whole)):
        if (end in words.lines or SHORT <= end >= len(whole) - end) and knows(whole[:end]):
            return True
    return len(whole) >= SHORT and _covered(words, exact, _all(said, "blocks"), salt) >= ENOUGH * len(whole)


def _all(marks: Iterable[Marks], part: str) -> set[bytes]:
    return {hash for one in marks for hash in unpack(getattr(one, part))}


def _covered(words: Words, exact: set[bytes], blocks: set[bytes], salt: str) -> int:
    """How many letters of a text are known."""
    whole, start = words.whole, 0
    known = bytearray(len(whole))
    for one in words.sentences:
        if mark(one, salt) in exact:
            known[start : start + len(one)] = b"\1" * len(one)
        start += len(one)
    place = 0
    while blocks and place <= len(whole) - BLOCK:
        if mark(whole[place : place + BLOCK], salt) in blocks:
            known[place : place + BLOCK] = b"\1" * BLOCK
            place += BLOCK
        else:
            place += 1
    return sum(known)
