"""What whoever carries on is told, is so: commands, workflows, forms, and what goes into the source distribution."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from packaging.requirements import Requirement

from tests.docs.notebook import ROOT
from tests.docs.pages import blocks, prose, quoted, rows

CONTRIBUTING, SECURITY, TESTS = ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "tests" / "README.md"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
TARGETS = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
GITHUB = ROOT / ".github"
WORKFLOWS = {path.stem: path.read_text("utf-8") for path in sorted((GITHUB / "workflows").glob("*.yml"))}
PINNED = r"[\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+"


def load(text: str) -> Any:
    """What a YAML file says."""
    return yaml.safe_load(text)


def known(line: str) -> bool:
    """Whether a line of a `bash` block can be typed: what it names is there."""
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z]+=.*", words[0]):
        del words[0]
    match words:
        case [] | ["cd", _] | ["git", "clone" | "tag" | "push", *_]:
            return True
        case ["make", target]:
            return target in TARGETS
        case ["pip", "install", "pre-commit"] | ["pre-commit", "install"]:
            return (ROOT / ".pre-commit-config.yaml").exists()
        case ["pip", "install", "-e", what]:
            extras = Requirement(f"it{what.removeprefix('.')}").extras
            return extras <= set(PROJECT["project"]["optional-dependencies"])
        case ["python", "-m", module]:
            return (ROOT / module.replace(".", "/")).with_suffix(".py").exists()
        case ["python", script, *_]:
            return (ROOT / script).exists()
        case ["pytest", *options]:
            return all((ROOT / path).exists() for path in options if path.startswith("tests"))
    return False


@pytest.mark.parametrize("page", [CONTRIBUTING, TESTS, ROOT / "tests" / "FAULTS.md"], ids=lambda page: page.name)
def test_commands_are_there(page: Path) -> None:
    """Each line of the blocks names what exists: a target, module, script, folder, extra. An unknown line fails."""
    lines = [line for block in blocks(page) for line in block.text.splitlines()]
    assert lines
    assert [line for line in lines if not known(line)] == []


@pytest.mark.parametrize("page", [CONTRIBUTING, SECURITY, TESTS], ids=lambda page: page.name)
def test_what_is_named_in_passing_is_there(page: Path) -> None:
    """`make x` is a target, `python x.py` a file, `python -m x` a module."""
    for words in map(str.split, quoted(prose(page.read_text("utf-8")))):
        match words:
            case ["make", target, *_]:
                assert target in TARGETS, target
            case ["python", *_]:
                assert known(" ".join(words)), words


def test_the_commands_take_as_long_on_both_pages() -> None:
    """CONTRIBUTING.md and tests/README.md name the same commands, all that prove something, with the same times."""
    contributing, tests = ({cells[0]: cells[2] for cells in rows(page, "command")} for page in (CONTRIBUTING, TESTS))
    assert contributing == tests
    assert {name.strip("`").removeprefix("make ") for name in tests} == TARGETS - {"help", "demo", "clean"}


def test_ci_runs_on_every_promised_python() -> None:
    """The classifiers name the versions of CI, and the oldest is the one that the package requires."""
    ci = load(WORKFLOWS["ci"])["jobs"]["test"]["strategy"]["matrix"]["python"]
    named = [one.rpartition(" ")[2] for one in PROJECT["project"]["classifiers"] if re.search(r":: 3\.\d+$", one)]
    assert ci == named
    assert PROJECT["project"]["requires-python"] == f">={ci[0]}"
    page = " ".join(CONTRIBUTING.read_text("utf-8").split())
    assert f"on Python {ci[0]} to {ci[-1]}" in page


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_runs_nobody_elses_latest(name: str) -> None:
    """Every action is pinned by its full commit, with its version as a comment, or is our own."""
    used = re.findall(r"uses: (.+)$", WORKFLOWS[name], re.MULTILINE)
    assert used
    assert [one for one in used if not one.startswith("./") and not re.fullmatch(PINNED, one)] == []


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_may_do_little(name: str) -> None:
    """It reads, and has no secret; only the step that publishes, which runs nothing of ours, may sign for it."""
    workflow = load(WORKFLOWS[name])
    assert workflow["permissions"] in ({}, {"contents": "read"})
    assert "secrets." not in WORKFLOWS[name]
    for job, said in workflow["jobs"].items():
        if said.get("permissions", {}) in ({}, {"contents": "read"}):
            continue
        assert (name, job, said["environment"]) == ("release", "publish", "pypi")
        assert said["permissions"] == {"id-token": "write", "attestations": "write"}
        assert [step for step in said["steps"] if "run" in step or "checkout" in step["uses"]] == []


def test_a_release_waits_for_all_that_proves_it() -> None:
    """Nothing is published before CI and the build have passed, and the build asks whether the tag is the version."""
    jobs = load(WORKFLOWS["release"])["jobs"]
    assert set(jobs["publish"]["needs"]) == {"test", "build"}
    assert jobs["test"]["uses"] == "./.github/workflows/ci.yml"
    assert [step for step in jobs["build"]["steps"] if "tests/tools/release.py" in step.get("run", "")]


def test_a_bug_report_asks_for_what_is_needed() -> None:
    """Versions, store, durability and the doctor's words have to be given; log lines come without secrets."""
    fields = {one.get("id"): one for one in load((GITHUB / "ISSUE_TEMPLATE" / "bug.yml").read_text("utf-8"))["body"]}
    for name in ("versions", "store", "durability", "doctor"):
        assert fields[name]["validations"]["required"], name
    assert "mirt-sitniks doctor" in fields["doctor"]["attributes"]["label"]
    assert "without secrets" in fields["log"]["attributes"]["description"]


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_an_issue_form_is_one(name: str) -> None:
    """It has what GitHub needs: a name, a description, and fields with a label and an id of their own."""
    form = load((GITHUB / "ISSUE_TEMPLATE" / f"{name}.yml").read_text("utf-8"))
    assert form["name"]
    assert form["description"]
    fields = [one for one in form["body"] if one["type"] != "markdown"]
    assert all(one["attributes"]["label"] for one in fields)
    assert len({one["id"] for one in fields}) == len(fields)


def test_hooks_call_the_projects_own_ruff() -> None:
    """What runs before a commit is what `make check` runs; what is not ours is pinned by its commit."""
    local, *others = load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    assert local["repo"] == "local"
    assert all(hook["entry"].startswith(".venv/bin/python -m ruff ") for hook in local["hooks"])
    assert all(re.fullmatch("[0-9a-f]{40}", one["rev"]) for one in others)


def test_the_newest_version_is_supported() -> None:
    """SECURITY.md names the version that pyproject.toml has."""
    minor = PROJECT["project"]["version"].rpartition(".")[0]
    assert rows(SECURITY, "version")[0] == [minor, "yes"]


def test_the_source_distribution_has_what_its_tests_read() -> None:
    """Each page, and what only the tests of the pages read."""
    packed = {*PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["only-include"], PROJECT["project"]["readme"]}
    pages = {path.name for path in ROOT.glob("*.md")}
    assert pages | {"tests", "examples", "Makefile", ".github", ".pre-commit-config.yaml"} <= packed
