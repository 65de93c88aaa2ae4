"""The SQL that makes and upgrades the tables and functions of the Supabase store."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: `name` is `YYYYMMDDHHmmss_name.sql`, as the Supabase CLI has it."""

    name: str
    sql: str


def migrations() -> tuple[Migration, ...]:
    """All of them, in the order in which they run. Each may run again: what is there already is left as it is."""
    found = (item for item in files(__name__).iterdir() if item.name.endswith(".sql"))
    return tuple(Migration(item.name, item.read_text("utf-8")) for item in sorted(found, key=lambda item: item.name))


def script() -> str:
    """All of them as one text, for Supabase's SQL editor."""
    return "\n".join(f"-- {one.name}\n{one.sql}" for one in migrations())


def copy(folder: str | Path) -> tuple[Path, ...]:
    """Write them to `folder` (a project's `supabase/migrations`), which is made if it is missing.

    Returns the files written: those behind the newest that is there. Applied migrations are never edited, and the
    Supabase CLI takes none that comes before one that was applied.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    newest = max((one.name for one in migrations() if (target / one.name).exists()), default="")
    fresh = [(target / one.name, one.sql) for one in migrations() if one.name > newest]
    for path, sql in fresh:
        path.write_text(sql, encoding="utf-8", newline="\n")
    return tuple(path for path, _ in fresh)
