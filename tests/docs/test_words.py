"""The repository speaks of the product alone, and holds no secret."""

import re
import subprocess
from pathlib import Path

import pytest

import mirt_sitniks
from tests.docs.notebook import ROOT

BINARY = {".png"}
MADE = {".build", ".venv", ".git", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", "__pycache__", "dist"}
# Written in parts, so that this file itself passes.
FORBIDDEN = {
    "a path of somebody's machine": r"(?<![\w.*])/(?:work|root|home/\w+|Users/\w+|mnt/\w+)/|[A-Z]:\\Users\\",
    "a host of packages": "py" + r"pi\.org|pythonhosted" + r"\.org|regi" + r"stry\.npmjs|proxy\.go" + r"lang",
    "a private key": "-----BEGIN " + "[A-Z ]*PRIVATE KEY",
    "a token": r"\beyJ[\w-]{12,}\.eyJ[\w-]{12,}\.[\w-]{16,}|\bgh[pousr]_\w{20,}|\bsk-[\w-]{20,}|\bAKIA[0-9A-Z]{16}\b"
    r"|\bsb" + r"_secret_(?!test_)\w{20,}|\bxox[abp]-[\w-]{10,}|\bAIza[\w-]{30,}",
    "who wrote it, and how": r"(?i)\b(?:clau" + r"de|anthr" + r"opic|chat" + r"gpt|co" + r"pilot|sub" + r"agent)\b",
    "work that is not done": r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b",
}


def files() -> list[Path]:
    """What is or will be in the repository; in a copy without git, all that is there, and the package in its place."""
    if (ROOT / ".git").exists():
        words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(words, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
        found = {ROOT / name for name in listed if name}
    else:
        found = {path for path in ROOT.rglob("*") if not MADE & set(path.relative_to(ROOT).parts)}
        package = Path(mirt_sitniks.__file__).parent
        found |= {path for path in package.rglob("*") if not MADE & set(path.relative_to(package).parts)}
    return sorted(path for path in found if path.is_file() and path.suffix not in BINARY)


FILES = files()


def test_there_is_something_to_read() -> None:
    """Pages, package and tests are all among the files that are read."""
    names = {path.name for path in FILES}
    assert {"README.md", "README.uk.md", "service.py", "test_words.py", "sitniks_sync.ipynb", "pyproject.toml"} <= names


@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_but_the_product_is_spoken_of(what: str) -> None:
    """No file holds what belongs to a machine, to an account or to the making of it."""
    found = []
    for path in FILES:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if hit := re.search(FORBIDDEN[what], line):
                found.append(f"{path.name}:{number}: {hit[0]}")
    assert not found, f"{what}: {found}"


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("a path of somebody's machine", "see /ho" + "me/olena/mirt and the rest"),
        ("a path of somebody's machine", "C:\\Us" + "ers\\olena"),
        ("a host of packages", "https://py" + "pi.org/simple"),
        ("a private key", "-----BEGIN RSA " + "PRIVATE KEY-----"),
        ("a token", "eyJhbGciOiJIUzI1NiJ9" + ".eyJyb2xlIjoiYW5vbiJ9.c2lnbmF0dXJlLXNpZ25hdHVyZQ"),
        ("a token", "sb" + "_secret_0123456789abcdefghij"),
        ("who wrote it, and how", "written by Clau" + "de"),
        ("work that is not done", "# TO" + "DO: later"),
    ],
)
def test_the_forbidden_would_be_found(what: str, text: str) -> None:
    """Each pattern finds what it is there for."""
    assert re.search(FORBIDDEN[what], text)
