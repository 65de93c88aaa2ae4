"""The frame around the tests holds: it stops strangers, finds planted secrets and tells what it left out."""

import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import mirt_sitniks
from tests.conftest import pytest_collection_modifyitems
from tests.tools.mutants import MUTANTS, Mutant
from tests.tools.prove import Failed, Proof


def test_a_strange_address_is_refused_and_told(request: pytest.FixtureRequest) -> None:
    """No socket leaves the machine, and a test whose code swallows the refusal fails all the same."""
    told = request.node.funcargs["_no_strangers"]
    with socket.socket() as plug, pytest.raises(OSError, match="tests reach no host"):
        plug.connect(("192.0.2.1", 80))
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("example.com", 443)
    assert told == ["192.0.2.1", "example.com"]
    told.clear()


def test_a_planted_secret_is_found(planted) -> None:
    """A key is found within longer text and within the repr of an object; its absence passes."""
    planted.assert_absent("nothing here", {"a": b"bytes"})
    for secret in (planted.crm_key, planted.supabase_key, planted.customer_text):
        with pytest.raises(AssertionError, match="leaked"):
            planted.assert_absent(ValueError(f"header {secret}!"))


def test_the_working_folder_is_the_tests_own(tmp_path: Path) -> None:
    """A test starts in an empty folder and sees none of the developer's settings."""
    assert list(Path.cwd().iterdir()) == []
    assert Path.cwd() == tmp_path
    assert not [name for name in os.environ if name.startswith(("SNITKIX_", "SITNIKS_", "SUPABASE_"))]


def test_what_was_left_out_is_the_last_line(capsys, monkeypatch) -> None:
    """A skip is named in the closing lines, and fails the run where nothing may be left out."""
    monkeypatch.delenv("MIRT_SITNIKS_REQUIRE_ALL", raising=False)
    proof = Proof()
    proof.stage("one", lambda: None)
    assert proof.close() == 0
    assert capsys.readouterr().out.endswith("left out: nothing\n")
    proof.left_out["no Chromium"] += 2
    assert proof.close() == 0
    assert capsys.readouterr().out.endswith("left out: no Chromium (2 x)\n")
    monkeypatch.setenv("MIRT_SITNIKS_REQUIRE_ALL", "1")
    assert proof.close() == 1


def test_a_failed_stage_does_not_hide_the_next(capsys) -> None:
    """Later stages run after a failure, which decides the exit code."""

    def broken() -> None:
        raise Failed("exit code 7")

    proof, ran = Proof(), []
    assert not proof.stage("broken", broken)
    assert proof.stage("next", lambda: ran.append(1))
    assert ran == [1]
    assert proof.close() == 1
    assert "broken: FAILED, exit code 7" in capsys.readouterr().out


def test_what_a_version_is_not_meant_to_do_is_left_away(request: pytest.FixtureRequest) -> None:
    """A test for another version is deselected, not skipped, so that nothing counts as left out; others stay."""
    fits, older = (
        pytest.Function.from_parent(request.node.parent, name=spec, callobj=lambda: None)
        for spec in ("pytest>=8", "pytest>=99")
    )
    for item in (fits, older):
        item.add_marker(pytest.mark.requires(item.name))
    items, away = [fits, older], []
    told = SimpleNamespace(hook=SimpleNamespace(pytest_deselected=lambda items: away.extend(items)))
    pytest_collection_modifyitems(told, items)
    assert (items, away) == ([fits], [older])


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_deliberate_break_fits_the_code(mutant: Mutant) -> None:
    """What `make mutants` changes stands in the package once, and the tests that are to notice are there."""
    source = Path(mirt_sitniks.__file__).parent / mutant.file
    assert source.read_text("utf-8").count(mutant.old) == 1
    assert (Path(__file__).parents[1] / mutant.tests.split()[0]).exists()


FLAKY = """
from pathlib import Path

import pytest

SEEN = Path({folder!r})


@pytest.mark.parametrize("number", range({bad}))
def test_the_machine_stood_still(number):
    again = SEEN / str(number)
    before = again.exists()
    again.touch()
    assert before and not {always}
"""
# It cannot be collected the first time.
BROKEN = """
from pathlib import Path

MARK = Path({folder!r}, "collected")
BEFORE = MARK.exists()
MARK.touch()
assert BEFORE


def test_fine():
    pass
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bad", "always", "passes"),
    [(3, False, True), (4, False, False), (2, True, False), (0, False, False)],
    ids=["few", "many", "again", "broken off"],
)
def test_a_few_that_fail_are_run_once_more_and_told(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    bad: int,
    always: bool,
    passes: bool,
) -> None:
    """More than three, one that fails again, or a run that broke off end it; the last lines name those that passed only
    the second time."""
    monkeypatch.setattr("tests.tools.prove.BUILD", tmp_path)
    (tmp_path / "seen").mkdir()
    where = tmp_path / "suite"
    where.mkdir()
    (where / "test_flaky.py").write_text(FLAKY.format(folder=str(tmp_path / "seen"), bad=bad, always=always))
    if not bad:
        (where / "test_broken.py").write_text(BROKEN.format(folder=str(tmp_path / "seen")))
    (where / "conftest.py").write_text((Path(__file__).parent / "conftest.py").read_text("utf-8"), "utf-8")
    proof, python = Proof(), Path(sys.executable)
    how: dict[str, Any] = {"cwd": where, "PYTHONPATH": str(Path(__file__).parents[1])}

    def part() -> None:
        if failed := proof.pytest(python, "-q", "-p", "no:cacheprovider", **how):
            proof.once_more(python, failed, "-q", "-p", "no:cacheprovider", **how)

    assert proof.stage("tests", part) is passes
    assert proof.close() == (0 if passes else 1)
    told = capfd.readouterr().out.splitlines()
    named = [line for line in told if line.startswith("passed only when it was run again, alone: ")]
    assert len(named) == (bad if passes else 0)
    assert (f"tests: {bad} passed, 0 failed, 0 skipped" in told) is passes
