"""The table of tests/FAULTS.md is true: every row is held by tests that exist."""

from pathlib import Path

import pytest

from tests.docs import fault_rows

KNOWN = fault_rows.read(fault_rows.TESTS)
TABLE = fault_rows.table(fault_rows.PAGE.read_text("utf-8"))
HOW = "bring it up to date: python -m tests.docs.fault_rows"


def test_the_rows_are_numbered() -> None:
    """None of the first 28 is missing, and those that came later follow in order."""
    assert list(TABLE) == sorted({*range(1, 29), *TABLE})


@pytest.mark.parametrize("row", TABLE)
def test_each_row_is_held_by_tests_that_exist(row: int) -> None:
    """A row names at least one test, and each name fits a test that is there."""
    assert TABLE[row], f"row {row} of tests/FAULTS.md names no test: name one by hand, or {HOW}"
    for entry in TABLE[row]:
        assert fault_rows.named(entry, KNOWN), f"row {row} of tests/FAULTS.md names {entry}, which is not there; {HOW}"


def test_each_test_stands_in_the_rows_that_it_says() -> None:
    """A test that says a row, in its name or its docstring, is named in that row."""
    for name, rows in KNOWN.items():
        for row in rows:
            assert row in TABLE, f"{name} says a row that does not exist"
            assert any(name in fault_rows.named(entry, KNOWN) for entry in TABLE[row]), f"{name} lacks {row}; {HOW}"


def test_rows_are_read_from_names_and_docstrings(tmp_path: Path) -> None:
    """A test's name, its docstring, its class and its module can say a row; one that a text mentions is none."""
    (tmp_path / "test_a.py").write_text(
        '"""Fault rows 1 and 2 at the door."""\n'
        'class TestRow03:\n    def test_x(self):\n        """Row 4: it holds."""\n'
        "    def test_row08_z(self): ...\n"
        'def test_row05_row06_y():\n    """As row 7 does."""\n'
        "def helper(): ...\n"
    )
    every = {1: "test_a.py::*", 2: "test_a.py::*"}
    assert fault_rows.read(tmp_path) == {
        "test_a.py::test_x": {3: "test_a.py::test_x", 4: "test_a.py::test_x", **every},
        "test_a.py::test_row08_z": {8: "test_a.py::*row08*", **every},
        "test_a.py::test_row05_row06_y": {5: "test_a.py::*row05*", 6: "test_a.py::*row06*", **every},
    }


def test_the_page_is_written_as_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell names each file once and its tests in words, a whole file without; the rest of the page stays as it is."""
    (tmp_path / "a.py").write_text("def test_row01_x(): ...\ndef test_y_1(): ...\ndef test_y_2(): ...\n")
    (tmp_path / "b.py").write_text('"""Row 1: all of it."""\ndef test_z(): ...\n')
    page = tmp_path / "PAGE.md"
    row = "A `word`.\n\n| 1 | it `breaks` | it holds | {} |\n".format
    page.write_text(row("[a.py](a.py): y 1; gone; `*_2`<br>[c.py](c.py)"))
    monkeypatch.setattr(fault_rows, "PAGE", page)
    monkeypatch.setattr(fault_rows, "TESTS", tmp_path)
    fault_rows.store()
    assert page.read_text() == row("[a.py](a.py): `*_2`; row01; y 1<br>[b.py](b.py)")
    assert fault_rows.table(page.read_text()) == {1: ["a.py::*_2", "a.py::*row01*", "a.py::test_y_1", "b.py::*"]}


def test_bringing_up_to_date_adds_and_removes() -> None:
    """What tests say is added once, what is gone is dropped, what was named by hand stays."""
    known = {
        "a.py::test_row01_x": {1: "a.py::*row01*"},
        "a.py::test_row01_y": {1: "a.py::*row01*"},
        "a.py::test_z": {2: "a.py::test_z"},
        "a.py::test_by_hand": {},
    }
    table = {1: ["a.py::test_by_hand", "a.py::test_gone"], 2: ["a.py::test_*"]}
    assert fault_rows.complete(table, known) == {1: ["a.py::*row01*", "a.py::test_by_hand"], 2: ["a.py::test_*"]}
