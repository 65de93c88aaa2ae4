"""Proves the package on a machine that has Python and nothing else: `prove.py test|check|demo|bench|mutants`.

Standard library only. What it makes lives in `.venv` (the checkout, for `check`, `demo` and editors) and `.build`.
Packages come from the index that pip and uv are set up for; uv itself too, and pip does its work where it cannot.
"""

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".build"
DEV = ROOT / ".venv"
PAGES = ("README.md", "README.uk.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE")
STAGED = ("tests", "examples", "pyproject.toml", "Makefile", ".github", ".pre-commit-config.yaml", *PAGES)
HOUR = 3600.0
FAST = "not (slow or postgres or crash or browser)"
# Days of virtual time, which would be several times as long under the tracer of coverage.
SIMULATES = ("virtual", "auto")
# Who waits for a server, a browser or a process leaves half a core to others.
COMPUTES = ("not (virtual or alone or postgres or crash or browser)", "auto")
WAITS = ("(postgres or crash or browser) and not alone", "3")
# So many may fail the first time.
FEW = 3
# Only the last two together cover what they shall.
COVERS = (), ("--cov", "--cov-report=", "--cov-fail-under=0"), ("--cov", "--cov-append")


# pytest's word for: all was run, and some of it failed.
SOME_FAILED = 1


class Failed(Exception):
    """A stage that did not pass; its output stands above. `code` is the exit code, None when there was none."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


def run(*command: str | Path, cwd: Path = ROOT, **env: str) -> None:
    """Runs `command`, its output shown. Raises `Failed` for any exit code but 0, and after an hour."""
    words = [str(word) for word in command]
    print("$", shlex.join(words).replace(f"{ROOT}/", ""), flush=True)
    try:
        done = subprocess.run(
            words, cwd=cwd, env={**os.environ, **env}, stdin=subprocess.DEVNULL, timeout=HOUR, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(str(error)) from None
    if done.returncode:
        raise Failed(f"exit code {done.returncode}", done.returncode)


def uv() -> Path | None:
    """uv from PATH, else installed into `.build/boot`; None where that does not work."""
    if found := shutil.which("uv"):
        return Path(found)
    boot = BUILD / "boot"
    if not (boot / "bin/uv").exists():
        try:
            run(sys.executable, "-m", "venv", boot)
            run(boot / "bin/python", "-m", "pip", "install", "--quiet", "uv")
        except Failed:
            return None
    return boot / "bin/uv"


def install(venv: Path, *what: str | Path, fresh: bool = False) -> Path:
    """Installs `what` into `venv`, made when missing, and returns its python.

    `fresh`: in an environment made anew, with the newest versions that fit. Otherwise what was installed before stays
    good while neither `what` nor pyproject.toml changes.
    """
    python, stamp = venv / "bin/python", venv / "installed-by-prove"
    wish = hashlib.sha256(repr((what, sys.version)).encode() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if not fresh and python.exists() and stamp.exists() and wish in stamp.read_text():
        return python
    if fresh or not python.exists():
        run(sys.executable, "-m", "venv", "--clear", "--without-pip", venv)
    try:
        run(uv() or "uv", "pip", "install", "--quiet", "--python", python, *what)
    except Failed:
        run(python, "-m", "ensurepip", "--upgrade")
        run(python, "-m", "pip", "install", "--quiet", *what)
    with stamp.open("a") as file:
        file.write(f"{wish}\n")
    return python


class Proof:
    """Stages in order, all of them run, and what they found."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, float, str]] = []
        self.tests: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.again: list[str] = []

    def stage(self, name: str, work: Callable[[], None]) -> bool:
        """Runs `work`, and says whether it passed."""
        print(f"\n=== {name}", flush=True)
        began, verdict = time.monotonic(), "ok"
        try:
            work()
        except Failed as failed:
            verdict = f"FAILED, {failed}"
        self.stages.append((name, time.monotonic() - began, verdict))
        return verdict == "ok"

    def lint(self, python: Path) -> None:
        """The checks that run no code of ours."""
        self.stage("ruff check", lambda: run(python, "-m", "ruff", "check", "."))
        self.stage("ruff format", lambda: run(python, "-m", "ruff", "format", "--check", "."))
        self.stage("mypy --strict", lambda: run(python, "-m", "mypy"))
        self.stage("import rules", lambda: run(python.parent / "lint-imports", "--no-cache"))

    def pytest(self, python: Path, *options: str, cwd: Path = ROOT, **env: str) -> list[str]:
        """Runs the tests and adds what they report to the summary; the ids of those that failed, when they are few.

        Processes and servers that are real have a real clock: on a machine that stands still for a moment a test of
        theirs can fail. A few that do are run once more, alone, and the summary says so.
        """
        report = BUILD / "report.json"
        report.unlink(missing_ok=True)
        try:
            run(python, "-m", "pytest", *options, cwd=cwd, MIRT_SITNIKS_REPORT=str(report), **env)
        except Failed as failed:
            found = json.loads(report.read_text()) if report.exists() else {"bad": ()}
            # A run that broke off, at a file that cannot be collected say, has not run the others.
            if failed.code == SOME_FAILED and 0 < len(found["bad"]) <= FEW:
                return list(found["bad"])
            raise
        finally:
            if report.exists():
                found = json.loads(report.read_text())
                self.tests.update(found["tests"])
                self.left_out.update(found["left_out"])
        return []

    def strictly(self, python: Path, *options: str) -> None:
        """Runs tests of which none may fail."""
        if self.pytest(python, *options):
            raise Failed("tests failed")

    def once_more(self, python: Path, tests: Sequence[str], *options: str, cwd: Path, **env: str) -> None:
        """Runs a few that failed again, one after the other; raises when they fail again."""
        if self.pytest(python, *options, *tests, cwd=cwd, **env):
            raise Failed("tests failed twice")
        self.tests["failed"] -= len(tests)
        self.again += tests

    def close(self) -> int:
        """Prints the summary, what was left out last, and returns the exit code."""
        failed = [name for name, _, verdict in self.stages if verdict != "ok"]
        print(f"\n=== {len(self.stages) - len(failed)} of {len(self.stages)} stages passed")
        for name, seconds, verdict in self.stages:
            print(f"{seconds:7.1f} s  {name}: {verdict}")
        print(f"{sum(seconds for _, seconds, _ in self.stages):7.1f} s  in all\n")
        print(f"tests: {self.tests['passed']} passed, {self.tests['failed']} failed, {self.tests['skipped']} skipped")
        for reason, times in sorted(self.left_out.items()):
            print(f"left out: {reason} ({times} x)")
        for test in self.again:
            print(f"passed only when it was run again, alone: {test}")
        if not self.left_out:
            print("left out: nothing")
        return 1 if failed or (self.left_out and os.environ.get("MIRT_SITNIKS_REQUIRE_ALL")) else 0


def test() -> int:
    """All there is to prove, on the built wheel, with the newest versions and the lowest, PostgreSQL's included."""
    proof = Proof()
    made: list[Path] = []
    if proof.stage("build", lambda: made.append(_wheel())):
        wheel, python = made[0], BUILD / "newest/bin/python"
        if proof.stage("install, newest versions", lambda: _install(BUILD / "newest", f"{wheel}[dev]")):
            proof.lint(python)
            proof.stage("tests, newest versions", lambda: _whole(proof, python, long=True, PG="newest"))
        lowest = BUILD / "lowest"
        pins = ("-c", str(ROOT / "tests/tools/lowest.txt"))
        if proof.stage("install, lowest versions", lambda: _install(lowest, f"{wheel}[dev]", *pins)):
            proof.stage("tests, lowest versions", lambda: _whole(proof, lowest / "bin/python"))
        proof.stage("install and demo, no checkout near", lambda: _user(proof, wheel))
    return proof.close()


def check() -> int:
    """The inner loop: the static checks and the fast tests, from the checkout."""
    proof = Proof()
    python = install(DEV, "-e", f"{ROOT}[dev]")
    proof.lint(python)
    proof.stage("fast tests", lambda: proof.strictly(python, "-q", "-n", "auto", "-m", FAST))
    return proof.close()


def demo() -> int:
    """The demo, from the checkout."""
    run(install(DEV, "-e", f"{ROOT}[all]").parent / "mirt-sitniks", "demo", *sys.argv[2:])
    return 0


def bench() -> int:
    """The measurements in tests/bench, or the parts that are named."""
    python = install(DEV, "-e", f"{ROOT}[dev]")
    run(python, "-m", "tests.bench", *sys.argv[2:], PYTHONPATH=str(ROOT), MIRT_SITNIKS_CACHE=str(BUILD))
    return 0


def mutants() -> int:
    """The deliberate breaks of tests/tools/mutants.py."""
    run(install(DEV, "-e", f"{ROOT}[dev]"), "tests/tools/mutants.py", *sys.argv[2:])
    return 0


def _wheel() -> Path:
    """Builds the wheel: with uv from the source distribution, which shows that this one is whole."""
    dist = BUILD / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    try:
        run(uv() or "uv", "build", "--quiet", "--out-dir", dist)
    except Failed:
        run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", dist, ROOT)
    return next(dist.glob("*.whl"))


def _install(venv: Path, *what: str) -> None:
    install(venv, *what, fresh=True)


def _whole(proof: Proof, python: Path, *, long: bool = False, **env: str) -> None:
    """Every test, in a copy that lacks the package, so that only the wheel's can be imported: simulated days and all
    that computes on all cores, then those that wait side by side. `long`: with what one run of several is enough for,
    and what is covered; first of all what needs the machine for itself."""
    with tempfile.TemporaryDirectory(prefix="mirt-tests-") as folder:
        for name in STAGED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, Path(folder, name), ignore=shutil.ignore_patterns("__pycache__"))
            elif (ROOT / name).exists():
                shutil.copy2(ROOT / name, folder)
        env |= {"MIRT_SITNIKS_WHEEL": "1", "MIRT_SITNIKS_CACHE": str(BUILD)}
        parts: list[tuple[str, ...]] = [("-m", "alone")] if long else []
        for (mark, workers), covers in zip((SIMULATES, COMPUTES, WAITS), COVERS, strict=True):
            which = ("-m", mark, *covers) if long else ("-m", f"({mark}) and not long")
            parts.append((*which, "-n", workers, "--dist", "loadgroup"))
        failed: list[Failed] = []
        for part in parts:
            how, where = ("-q", "--hypothesis-profile=ci"), Path(folder)
            try:
                if bad := proof.pytest(python, *how, "--durations=10", *part, cwd=where, **env):
                    proof.once_more(python, bad, *how, cwd=where, **env)
                    if "--cov-append" in part:
                        run(python, "-m", "coverage", "report", "--skip-covered", cwd=where)
            except Failed as one:
                failed.append(one)
        if failed:
            raise failed[0]


def _user(proof: Proof, wheel: Path) -> None:
    """A user's machine: the package from git, where git shows this very tree, and the demo in an empty folder."""
    what = f"{wheel}[all]"
    try:
        state = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, check=False)
        clean = state.returncode == 0 and not state.stdout
    except OSError:
        clean = False
    if clean:
        # pip before 24.1 takes a file address here only with a host in it.
        what = f"mirt-sitniks[all] @ git+{ROOT.as_uri().replace('://', '://localhost', 1)}"
    else:
        proof.left_out["install from git: no git here, or changes that are not committed"] += 1
    python = install(BUILD / "user", what, fresh=True)
    with tempfile.TemporaryDirectory(prefix="mirt-demo-") as folder:
        run(python.parent / "mirt-sitniks", "demo", "--seconds", "0", cwd=Path(folder))


def main() -> int:
    """Runs the command that is named, and returns its exit code."""
    commands = {work.__name__: work for work in (test, check, demo, bench, mutants)}
    if sys.version_info < (3, 11):  # noqa: UP036
        print("Python 3.11 or newer is needed: make PYTHON=python3.11 ...", file=sys.stderr)
        return 2
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        print(f"usage: prove.py {'|'.join(commands)}", file=sys.stderr)
        return 2
    BUILD.mkdir(exist_ok=True)
    try:
        return commands[sys.argv[1]]()
    except Failed as failed:
        print(f"prove.py {sys.argv[1]}: {failed}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
