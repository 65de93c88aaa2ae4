"""What a release needs: `release.py v0.2.0` checks this tree for a tag, `release.py --seal` writes the checksums.

Standard library only. A migration that was released is never edited, because projects have run it: its checksum stands
in `migrations.sha256`, which a test and every release compare.
"""

import hashlib
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SEALED = Path(__file__).with_name("migrations.sha256")


def migrations(package: Path) -> dict[str, str]:
    """The package's migrations: name -> SHA-256."""
    found = sorted(package.rglob("migrations/*.sql"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


# What only a project needs that has none yet: `copy` gives it to no other.
FOR_NEW_PROJECTS = ("20260110090050_sitniks_times.sql",)


def sealed(text: str) -> dict[str, str]:
    """The same from `migrations.sha256`, which is in the form of `sha256sum`."""
    return {name: digest for digest, name in (line.split() for line in text.splitlines())}


def written(held: dict[str, str]) -> str:
    """The other way round."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(held.items()))


def broken(held: dict[str, str], found: dict[str, str]) -> Iterator[str]:
    """What no later version may do to released migrations, each with the cure. One may leave the package."""
    for name, digest in held.items():
        if found.get(name, digest) != digest:
            yield f"{name} was released and is edited: restore it, and put the change into a new file"
    for name in sorted(found.keys() - held):
        if name < max(held, default="") and name not in FOR_NEW_PROJECTS:
            yield f"{name} would run before released ones: give it a later time"


def faults(tag: str, version: str, changes: str, held: dict[str, str], found: dict[str, str]) -> Iterator[str]:
    """Why this tree can't be released as `tag`, each with the cure."""
    if tag != f"v{version}":
        yield f"the tag is {tag}, but pyproject.toml says {version}: they have to be the same version"
    section = re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## |\Z)", changes, re.M | re.S)
    if not section or not section[1].strip():
        yield f"CHANGELOG.md has nothing under `## [{version}] - YYYY-MM-DD`: move there what is under Unreleased"
    yield from broken(held, found)
    for name in sorted(found.keys() - held):
        yield f"{name} has no checksum: python tests/tools/release.py --seal"


def main(words: list[str]) -> int:
    """Does what is asked, and returns the exit code."""
    found = migrations(ROOT / "mirt_sitniks")
    held = sealed(SEALED.read_text("utf-8"))
    if words == ["--seal"]:
        if wrong := [*broken(held, found)]:
            print("\n".join(wrong), file=sys.stderr)
            return 1
        SEALED.write_text(written(held | found), "utf-8")
        return 0
    if len(words) != 1 or not words[0].startswith("v"):
        print("usage: release.py vVERSION | --seal", file=sys.stderr)
        return 2
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wrong = [*faults(words[0], project["version"], (ROOT / "CHANGELOG.md").read_text("utf-8"), held, found)]
    print("\n".join(wrong) or f"{words[0]} may be released", file=sys.stderr if wrong else sys.stdout)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
