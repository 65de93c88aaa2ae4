"""The text of a note that tells a live manager why he is called: pure, and plain text whatever the customer wrote.

What comes from outside becomes one line without markup, links, invisible characters, phone and card numbers; the
template says what it is.
"""

import re
import unicodedata
from collections.abc import Mapping
from string import Formatter

TEMPLATE = (
    "Потрібна людина: агент передав цей чат.\n"
    "Причина: {reason}\n"
    "Статус до цього: {stage}\n"
    "Останні слова клієнта: «{words}»"
)
PLACEHOLDERS = ("reason", "stage", "words")
# Of a note in all, in UTF-16 units, as browsers count them; of a template; of a reason, and of any text that is looked
# at.
MOST, LONGEST, REASON, LOOKED_AT = 1000, 600, 200, 4000

CURE = f"give plain text of at most {LONGEST} characters with {', '.join(f'{{{one}}}' for one in PLACEHOLDERS)}"

_GAP = r"[ ().\-‐-―]{0,3}"
_DATE = r"(?!\d\d[./-]\d\d[./-]\d{4})"
_MASKS = (
    (re.compile(r"\bUA ?\d{2}(?: ?\d){25}(?!\d)", re.IGNORECASE), "[рахунок]"),
    (re.compile(rf"(?<!\d)\d(?:{_GAP}\d){{15}}(?!\d)"), "[картка]"),
    (re.compile(rf"(?<![\d+])(?:\+|00)?{_GAP}38{_GAP}0(?:{_GAP}\d){{9}}(?!\d)"), "[телефон]"),
    (re.compile(rf"(?<!\d)\+{_GAP}\d(?:{_GAP}\d){{8,14}}(?!\d)"), "[телефон]"),
    (re.compile(rf"(?<!\d){_DATE}(?:8{_GAP})?0{_GAP}[3-9](?:{_GAP}\d){{8}}(?!\d)"), "[телефон]"),
)
_MARKUP = str.maketrans({"<": "‹", ">": "›", "«": "“", "»": "”", "`": "'"})
_ENTITY = re.compile(r"&(?=#?\w{1,32};)")
_SCHEME = re.compile(r":(?=//)|(?<=\bjavascript):|(?<=\bmailto):|(?<=\bdata):|(?<=\btel):|(?<=\btg):", re.IGNORECASE)
_HOST = re.compile(r"(?<=\w)\.(?=[a-z]{2}|xn--|(?:укр|рф|бел)\b)", re.IGNORECASE)
# What belongs to the character before it.
_JOINER = "\u200d"


def note_of(template: str, *, reason: str | None, stage: str | None, words: str | None) -> str:
    """A note, at most `MOST` long. A line of the template whose placeholders all have nothing to say is left out."""
    values = {"reason": _plain(reason), "stage": _plain(stage), "words": _plain(words)}
    lines = [line for line in template.replace("\\n", "\n").splitlines() if _says(line, values)]
    # The customer's words give way to all that is said beside them.
    room = MOST - _units("\n".join(lines).format(**{**values, "words": ""}))
    times = sum("{words}" in line for line in lines)
    values["words"] = _cut(values["words"], room // max(1, times))
    return _cut("\n".join(line.format(**values) for line in lines).strip(), MOST)


def is_template(text: str) -> bool:
    """Whether a text can be the template of notes: it names nothing but the `PLACEHOLDERS`, without formats."""
    try:
        parts = [part for line in text.replace("\\n", "\n").splitlines() for part in Formatter().parse(line)]
    except ValueError:
        return False
    named = [part[1:] for part in parts if part[1] is not None]
    printable = text.replace("\n", "").replace("\r", "").isprintable()
    return (
        printable and len(text) <= LONGEST and all(one in [(name, "", None) for name in PLACEHOLDERS] for one in named)
    )


def _says(line: str, values: Mapping[str, str]) -> bool:
    named = [name for _, name, _, _ in Formatter().parse(line) if name]
    return not named or any(values[name] for name in named)


def _plain(text: str | None) -> str:
    """A text as one line of plain text: what could be read as anything else is written otherwise."""
    kept = "".join(map(_character, (text or "")[:LOOKED_AT]))
    line = " ".join(kept.split())
    if len(text or "") == REASON or len(text or "") >= LOOKED_AT:
        # It may be cut already, and a number that lost its end would not be known as one.
        line = re.sub(r"\+?\d[\d ().\-‐-―]{0,60}\Z", "…", line)
    for pattern, mask in _MASKS:
        line = pattern.sub(mask, line)
    line = _ENTITY.sub("＆", line.translate(_MARKUP))
    return _HOST.sub("[.]", _SCHEME.sub("[:]", line))


def _character(one: str) -> str:
    """A character as it may stand in a note: breaks are spaces, all digits ours, what is not seen is gone."""
    if one.isascii():
        return one if one.isprintable() else " "
    kind = unicodedata.category(one)
    if kind == "Nd":
        return str(unicodedata.decimal(one))
    if kind[0] == "Z":
        return " "
    return one if kind[0] != "C" or one == _JOINER else ""


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _cut(text: str, most: int) -> str:
    """At most so many UTF-16 units, without half a character; what is cut ends with an ellipsis."""
    if _units(text) <= most:
        return text
    end = len(text.encode("utf-16-le")[: 2 * max(0, most - 1)].decode("utf-16-le", "ignore"))
    while 0 < end < len(text) and (_extends(text[end]) or text[end - 1] == _JOINER or _halves_flag(text, end)):
        end -= 1
    return text[:end].rstrip() + "…" if most > 0 else ""


def _extends(one: str) -> bool:
    return one == _JOINER or unicodedata.category(one)[0] == "M" or "\U0001f3fb" <= one <= "\U0001f3ff"


def _halves_flag(text: str, end: int) -> bool:
    flags = re.search(r"[\U0001f1e6-\U0001f1ff]*\Z", text[:end])
    return "\U0001f1e6" <= text[end] <= "\U0001f1ff" and flags is not None and len(flags[0]) % 2 == 1
