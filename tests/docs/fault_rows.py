"""Which test holds which row of the fault table: `python -m tests.docs.fault_rows` brings tests/FAULTS.md up to date.

A test says its rows by itself: `row07` in its name, or in its class's if it says none; or a docstring of it, of its
class or of its module that begins with `Row 7:`. Other tests are named in the table by hand, and stay there.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from mirt_sitniks.testing import store_contract
from tests.docs.notebook import ROOT

TESTS = ROOT / "tests"
PAGE = TESTS / "FAULTS.md"
# What hosts run as well stands in the package, and is named by who runs it here.
SHIPPED = {"stores/contract.py": Path(store_contract.__file__).parent}
# The row, what happens and what must come of it, the tests.
LINE = re.compile(r"^\| (\d+) \| (.+ \| .+) \| (.*?) ?\|$", re.MULTILINE)

Tests = Mapping[str, dict[int, str]]
"""Test, as `folder/file.py::test_name` -> the rows that it says it holds, each with the entry for the table."""


def read(folder: Path) -> Tests:
    """All tests below a folder, read from the source."""
    found: dict[str, dict[int, str]] = {}
    for path in sorted(folder.rglob("*.py")):
        file = path.relative_to(folder).as_posix()
        parts = sorted(SHIPPED[file].glob("*.py")) if file in SHIPPED else [path]
        tree = ast.parse("\n".join(one.read_text("utf-8") for one in parts))
        whole = dict.fromkeys(_said(tree), f"{file}::*")
        for function, inherited in _functions(tree, set()):
            name = f"{file}::{function.name}"
            own = {row: f"{file}::*row{row:02}*" for row in _numbered(function.name)}
            own |= {row: name for row in _said(function) | (inherited if not own else set()) if row not in own}
            found[name] = found.get(name, {}) | own | whole
    return found


def _functions(node: ast.Module | ast.ClassDef, rows: set[int]) -> Iterator[tuple[ast.FunctionDef, set[int]]]:
    for one in node.body:
        if isinstance(one, ast.ClassDef):
            yield from _functions(one, rows | _said(one) | _numbered(one.name))
        elif isinstance(one, ast.FunctionDef) and one.name.startswith("test_"):
            yield one, rows


def _said(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> set[int]:
    """The rows with which a docstring begins."""
    head = re.match(r"(?:Fault r|R)ows? (\d+(?:(?:, | and | to )\d+)*)\b", ast.get_docstring(node) or "")
    return {int(row) for row in re.findall(r"\d+", head[1])} if head else set()


def _numbered(name: str) -> set[int]:
    return {int(row) for row in re.findall(r"[Rr]ow(\d\d)", name)}


def table(page: str) -> dict[int, list[str]]:
    """Row -> what the page names for it, as `folder/file.py::test_name`, `*` standing for any text."""
    return {int(row): list(_entries(cell)) for row, _, cell in LINE.findall(page)}


def _entries(cell: str) -> Iterator[str]:
    for part in cell.split("<br>"):
        if found := re.fullmatch(r"\[([^]]+)\]\([^)]+\)(?:: (.+))?", part):
            yield from (f"{found[1]}::{_name(words)}" for words in (found[2] or "`*`").split("; "))


def _cell(entries: list[str]) -> str:
    """What `_entries` reads: a link for each file, and behind it its tests in words; no words for all of them."""
    files: dict[str, list[str]] = {}
    for entry in entries:
        file, _, name = entry.partition("::")
        files.setdefault(file, []).append(_words(name))
    return "<br>".join(
        f"[{file}]({file})" + ("" if "`*`" in names else ": " + "; ".join(names)) for file, names in files.items()
    )


def _words(name: str) -> str:
    """`test_it_holds` in words that a page can break, `*row07*` as its row, any other pattern as it is."""
    if found := re.fullmatch(r"test_(\w+)|\*(row\d\d)\*", name):
        return found[1].replace("_", " ") if found[1] else found[2]
    return f"`{name}`"


def _name(words: str) -> str:
    """The other way round."""
    if re.fullmatch(r"row\d\d", words):
        return f"*{words}*"
    return words.strip("`") if words.startswith("`") else "test_" + words.replace(" ", "_")


def named(entry: str, known: Tests) -> list[str]:
    """The tests that an entry of the table names."""
    return [name for name in known if fnmatchcase(name, entry)]


def complete(entries: Mapping[int, list[str]], known: Tests) -> dict[int, list[str]]:
    """The table with what the tests say, and without what is not there any more."""
    full = {row: [entry for entry in given if named(entry, known)] for row, given in entries.items()}
    # The widest entries first: what a whole file holds needs no names.
    said = sorted({(row, entry) for rows in known.values() for row, entry in rows.items()}, key=lambda one: len(one[1]))
    for row, entry in said:
        if not any(set(named(entry, known)) <= set(named(other, known)) for other in full[row]):
            full[row].append(entry)
    return {row: sorted(given) for row, given in full.items()}


def store() -> None:
    """Write the completed table into the page."""
    page = PAGE.read_text("utf-8")
    full = complete(table(page), read(TESTS))

    def line(found: re.Match[str]) -> str:
        return f"| {found[1]} | {found[2]} | {_cell(full[int(found[1])])} |"

    PAGE.write_text(LINE.sub(line, page), "utf-8")


if __name__ == "__main__":
    store()
