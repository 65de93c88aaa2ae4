"""The embedded store, as people read it with SQL."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from mirt_sitniks.stores.sqlite import SqliteStore
from tests.stores.connections import opened
from tests.stores.reading_contract import SESSIONS_VIEW, STORY_VIEW, check_views
from tests.stores.test_earlier_files import earlier_file
from tests.stores.worlds import sqlite_world


def test_the_views_tell_what_python_tells(tmp_path: Path) -> None:
    """Of every kind of session and every kind of line; times are ISO 8601."""

    def query(text: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(tmp_path / "store.sqlite3")) as file:
            return file.execute(text).fetchall()

    with sqlite_world(tmp_path) as world:
        check_views(world, query)
        ((at,),) = query("select at from sitniks_story where what = 'asked for'")
        assert at == "2027-01-15T08:00:00.000Z"


def test_a_file_of_an_earlier_version_gets_them(tmp_path: Path) -> None:
    """With all their columns, when it is upgraded; what that version has written is told by them."""
    store = SqliteStore(earlier_file(tmp_path))
    file = opened(store)
    for view, names in (("sitniks_sessions", SESSIONS_VIEW), ("sitniks_story", STORY_VIEW)):
        assert [row[1] for row in file.execute(f"pragma table_info({view})")] == list(names)
    assert file.execute("select session, state, account from sitniks_sessions").fetchall() == [("s", "waiting", "main")]
    file.close()
