"""A Supabase project, as people read it with SQL."""

import json
from typing import Any

from tests.postgres.stack import Stack
from tests.stores.reading_contract import SESSIONS_VIEW, STORY_VIEW, check_views
from tests.stores.worlds import migrate, supabase_world


def test_the_views_tell_what_python_tells(supabase_stack: Stack) -> None:
    """Of every kind of session and every kind of line, to the service role; with the columns that SQLite has."""
    migrate(supabase_stack)

    def query(text: str) -> list[tuple[Any, ...]]:
        inner = text.rstrip().removesuffix(";")
        listed = f"set role service_role; select to_json(array(select to_json(row_) from ({inner}) row_)); reset role;"
        ((answer,),) = supabase_stack.sql(listed)
        return [tuple(row.values()) for row in json.loads(answer or "[]")]

    with supabase_world(supabase_stack) as world:
        check_views(world, query)
    for view, names in (("sitniks_sessions", SESSIONS_VIEW), ("sitniks_story", STORY_VIEW)):
        found = supabase_stack.sql(
            f"select column_name from information_schema.columns where table_name = '{view}' order by ordinal_position"
        )
        assert [name for (name,) in found] == list(names)
