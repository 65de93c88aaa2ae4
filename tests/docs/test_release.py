"""A release is what its tag says, and no migration that was released is edited."""

from pathlib import Path

import mirt_sitniks
from tests.tools import release

PACKAGE = Path(mirt_sitniks.__file__).parent
CHANGES = "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-12-01\n\n- This.\n\n## [0.1.0] - 2026-11-01\n"
HELD = {"20260101000000_a.sql": "1" * 64, "20260201000000_b.sql": "2" * 64}


def test_no_released_migration_is_edited() -> None:
    """Projects have run them: each is, byte for byte, what its checksum was made of, and new ones come behind."""
    held = release.sealed(release.SEALED.read_text("utf-8"))
    found = release.migrations(PACKAGE)
    assert held.keys() & found.keys(), "the migrations of the package are found"
    assert [*release.broken(held, found)] == []


def test_a_whole_release_has_no_faults() -> None:
    """Version, changes and checksums fit the tag."""
    assert [*release.faults("v0.2.0", "0.2.0", CHANGES, HELD, HELD)] == []


def test_a_tag_of_another_version_is_refused() -> None:
    """Both versions are named."""
    (fault,) = release.faults("v0.2.1", "0.2.0", CHANGES, HELD, HELD)
    assert "v0.2.1" in fault
    assert "0.2.0" in fault


def test_a_version_without_changes_is_refused() -> None:
    """The section is missing, has no date, or is empty."""
    for changes in ("", CHANGES.replace("] - 2026-12-01", "]"), CHANGES.replace("- This.\n", "")):
        (fault,) = release.faults("v0.2.0", "0.2.0", changes, HELD, HELD)
        assert "## [0.2.0]" in fault


def test_an_edited_migration_is_refused() -> None:
    """It is named; one that has left the package is nobody's fault."""
    (fault,) = release.broken(HELD, HELD | {"20260101000000_a.sql": "3" * 64})
    assert "20260101000000_a.sql" in fault
    assert [*release.broken(HELD, {"20260201000000_b.sql": "2" * 64})] == []


def test_a_new_migration_comes_behind_and_gets_a_checksum() -> None:
    """One with an earlier time is refused at once, one without a checksum at the release."""
    later, earlier = "20260301000000_c.sql", "20260115000000_c.sql"
    assert [*release.broken(HELD, HELD | {later: "3" * 64})] == []
    (fault,) = release.broken(HELD, HELD | {earlier: "3" * 64})
    assert earlier in fault
    (fault,) = release.faults("v0.2.0", "0.2.0", CHANGES, HELD, HELD | {later: "3" * 64})
    assert later in fault
    assert "--seal" in fault


def test_the_checksums_are_written_as_they_are_read(tmp_path: Path) -> None:
    """`--seal` adds what is new; `sha256sum` has the same form."""
    folder = tmp_path / "stores" / "migrations"
    folder.mkdir(parents=True)
    (folder / "20260301000000_c.sql").write_bytes(b"select 1;\n")
    found = release.migrations(tmp_path)
    assert found == {"20260301000000_c.sql": "4a45092ccf992ea92250053a80b931b787924ba61648f420555511b84f10ab6c"}
    assert release.sealed(release.written(HELD | found)) == HELD | found


def test_what_the_workflow_asks_is_answered() -> None:
    """This very tree: a tag of another version is refused with exit code 1, a call without one with 2."""
    assert release.main(["v0.0.0"]) == 1
    assert release.main([]) == 2
