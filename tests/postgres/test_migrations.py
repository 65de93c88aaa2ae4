"""The migrations make a new project, upgrade an old one with its rows, and may run again at any time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from mirt_sitniks.core.record import Intent
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.stores.migrations import copy, migrations, script
from mirt_sitniks.stores.supabase import SupabaseStore
from tests.postgres.stack import Stack
from tests.stores.worlds import OPTIONS, migrate
from tests.tools import release

T = TypeVar("T")

# The table as the original's SQL made it, with its policy that let everybody in.
ORIGINAL = """
create table public.sitniks_chat_mappings (
    id {id},
    user_id text not null,
    instagram_username text,
    telegram_username text,
    sitniks_chat_id text unique,
    sitniks_manager_id integer,
    current_status text,
    first_touch_at {time},
    created_at {time} default now(),
    updated_at {time} default now()
);
alter table public.sitniks_chat_mappings enable row level security;
create policy "Service role can do everything" on public.sitniks_chat_mappings using (true);
"""
ID, TIME = "uuid primary key default gen_random_uuid()", "timestamptz"
ALL = "select to_jsonb(m) - 'updated_at' from public.sitniks_chat_mappings m order by 1"
STATE = """
select table_name, column_name, data_type, column_default, is_nullable from information_schema.columns
where table_schema = 'public' order by 1, 2;
select indexname, indexdef from pg_indexes where schemaname = 'public' order by 1;
select tablename, policyname, roles::text from pg_policies where schemaname = 'public' order by 1, 2;
select oid::regprocedure::text, proacl::text, md5(prosrc) from pg_proc
where pronamespace = 'public'::regnamespace order by 1;
select relname, relacl::text, relrowsecurity from pg_class where relnamespace = 'public'::regnamespace order by 1;
"""


def upgrade(stack: Stack) -> None:
    for one in migrations():
        stack.sql(one.sql)


async def alone(stack: Stack, verb: Callable[[SupabaseStore], Awaitable[T]]) -> T:
    """A verb of a store that is opened and closed for it."""
    store = SupabaseStore(stack.url, stack.keys.service_role)
    try:
        return await verb(store)
    finally:
        await store.aclose()


def original(stack: Stack, rows: str = "", *, id: str = ID, time: str = TIME) -> None:
    stack.reset(legacy_grants=True)
    stack.sql(ORIGINAL.format(id=id, time=time) + rows)


def test_they_are_flat_ordered_and_named_as_the_cli_names_them(tmp_path: Path) -> None:
    """`YYYYMMDDHHmmss_name.sql`, in order; copied once, and a file that is there already is left alone."""
    names = [one.name for one in migrations()]
    assert names == sorted(names)
    assert all(len(name.partition("_")[0]) == 14 and name.partition("_")[0].isdigit() for name in names)
    target = tmp_path / "supabase" / "migrations"
    assert [path.name for path in copy(target)] == names
    (target / names[0]).write_text("-- mine")
    assert copy(target) == ()
    assert (target / names[0]).read_text() == "-- mine"
    assert script().index(names[0]) < script().index(names[1])


def test_a_project_of_the_version_before_gets_what_is_behind_its_own(tmp_path: Path) -> None:
    """And nothing that was put between: the CLI takes no migration from before one that was applied."""
    released = release.sealed(release.SEALED.read_text("utf-8")).keys()
    names = [one.name for one in migrations()]
    for name in released & {*names}:
        (tmp_path / name).write_text("-- applied")
    fresh = [name for name in names if name not in {*released, *release.FOR_NEW_PROJECTS}]
    assert [path.name for path in copy(tmp_path)] == fresh
    assert len(fresh) == 3


def test_they_may_run_again(supabase_stack: Stack) -> None:
    """Twice in a row and each twice: tables, indexes, functions, policies and rights are the same."""
    migrate(supabase_stack)
    once = supabase_stack.sql(STATE)
    upgrade(supabase_stack)
    assert supabase_stack.sql(STATE) == once
    for one in migrations():
        supabase_stack.sql(one.sql + one.sql)
    assert supabase_stack.sql(STATE) == once


def test_they_run_as_one_text_in_one_transaction(supabase_stack: Stack) -> None:
    """As the SQL editor runs what `--print` prints."""
    supabase_stack.reset()
    supabase_stack.sql(f"begin; {script()}; commit;")
    once = supabase_stack.sql(STATE)
    migrate(supabase_stack)
    assert supabase_stack.sql(STATE) == once


def test_the_first_makes_the_original_table(supabase_stack: Stack) -> None:
    """Every column of the original, with its type, default and constraint."""
    columns = (
        "select column_name, data_type, column_default, is_nullable from information_schema.columns "
        "where table_name = 'sitniks_chat_mappings' order by ordinal_position"
    )
    supabase_stack.reset()
    supabase_stack.sql(ORIGINAL.format(id=ID, time=TIME))
    expected = supabase_stack.sql(columns)
    supabase_stack.reset()
    supabase_stack.sql(migrations()[0].sql)
    assert supabase_stack.sql(columns) == expected


def test_rows_of_the_original_are_kept_and_the_newest_stays_current(supabase_stack: Stack) -> None:
    """Ten thousand rows, duplicates of sessions and of chats among them: none is lost, and one of each is current."""
    original(
        supabase_stack,
        """
        insert into public.sitniks_chat_mappings
            (user_id, instagram_username, sitniks_chat_id, current_status, updated_at)
        select 'user ' || n % 4000, '@Name' || n % 4000,
            case when n % 5 > 0 then repeat(' ', n / 2000) || 'chat ' || n % 2000 end, 'status ' || n,
            '2026-01-01'::timestamptz + make_interval(mins => n)
        from generate_series(1, 10000) n
        """,
    )
    before = supabase_stack.sql("select id from public.sitniks_chat_mappings order by id")
    began = time.monotonic()
    upgrade(supabase_stack)
    took = time.monotonic() - began
    assert supabase_stack.sql("select id from public.sitniks_chat_mappings order by id") == before
    assert len(before) == 10_000
    assert took < 30, f"{took:.1f} s"
    check = supabase_stack.sql(
        """
        select count(*) filter (where is_current), count(distinct user_id), count(*) filter (where not is_current),
            count(*) filter (where not is_current and closed = 'superseded' and sitniks_chat_id is null)
        from public.sitniks_chat_mappings;
        -- The newest row of a session is the current one.
        select count(*) from (
            select is_current, row_number() over (partition by user_id order by updated_at desc) as place
            from public.sitniks_chat_mappings
        ) as ranked where is_current <> (place = 1);
        -- A chat is the newest current session's, trimmed.
        select count(*), count(distinct sitniks_chat_id),
            count(*) filter (where sitniks_chat_id <> btrim(sitniks_chat_id))
        from public.sitniks_chat_mappings where sitniks_chat_id is not null;
        select count(*) from public.sitniks_chat_mappings where instagram_username !~ '^name[0-9]+$';
        """
    )
    assert check[0] == ("4000", "4000", "6000", "6000")
    assert check[1] == ("0",)
    assert check[2][0] == check[2][1]
    assert check[2][2] == "0"
    assert check[3] == ("0",)
    state = supabase_stack.sql(ALL)
    upgrade(supabase_stack)
    assert supabase_stack.sql(ALL) == state


def test_who_loses_a_chat_is_closed_and_told_in_the_ledger(supabase_stack: Stack) -> None:
    """Chat ids that collide once trimmed: the newest row has the chat, and what the other had stands in the ledger."""
    original(
        supabase_stack,
        """
        insert into public.sitniks_chat_mappings (user_id, sitniks_chat_id, current_status, updated_at) values
            ('a', ' c1', 'old', '2026-01-01'), ('b', 'c1', 'new', '2026-01-02'),
            ('c', 'c2', 'first', '2026-01-01'), ('c', null, 'last', '2026-01-02'), ('d', '  ', null, '2026-01-01')
        """,
    )
    upgrade(supabase_stack)
    rows = supabase_stack.sql(
        "select user_id, sitniks_chat_id, current_status, is_current, closed from public.sitniks_chat_mappings "
        "order by user_id, is_current"
    )
    assert rows == [
        ("a", None, "old", "t", "superseded"),
        ("b", "c1", "new", "t", None),
        ("c", None, "first", "f", "superseded"),
        # The session's chat stood in its older row.
        ("c", "c2", "last", "t", None),
        ("d", None, None, "t", None),
    ]
    lines = supabase_stack.sql("select session, kind, who, before ->> 'chat_id' from public.sitniks_ledger order by 1")
    assert lines == [("a", "outcome", "migration", " c1"), ("c", "outcome", "migration", "c2")]


TRIGGER = """
create or replace function public.touch() returns trigger language plpgsql as $$
begin new.updated_at = now(); return new; end $$;
create trigger {0} before update on public.sitniks_chat_mappings for each row execute function public.touch();
"""


@pytest.mark.parametrize("comment", ["null", "'mine'"])
def test_a_trigger_that_tells_the_time_of_an_update_tells_none_of_the_upgrade(
    supabase_stack: Stack, comment: str
) -> None:
    """Which row is newest is told by the times before it, and they stay; afterwards the trigger works as it did."""
    original(
        supabase_stack,
        """
        insert into public.sitniks_chat_mappings (user_id, instagram_username, sitniks_chat_id, updated_at) values
            ('a', '@Olena', ' c1', '2026-01-01'), ('b', 'olena', 'c1', '2026-01-02'), ('c', '@Ivan', null, '2026-01-03')
        """,
    )
    on = "on public.sitniks_chat_mappings"
    supabase_stack.sql(TRIGGER.format("touched") + f"comment on trigger touched {on} is {comment};")
    supabase_stack.sql(TRIGGER.format("idle") + "alter table public.sitniks_chat_mappings disable trigger idle;")
    triggers = "select tgname, tgenabled, obj_description(oid, 'pg_trigger') from pg_trigger where tgname in " \
               "('touched', 'idle') order by 1"  # fmt: skip
    before = supabase_stack.sql(triggers)
    for _ in range(2):
        upgrade(supabase_stack)
        rows = supabase_stack.sql(
            "select user_id, sitniks_chat_id, to_char(updated_at, 'DD') from public.sitniks_chat_mappings order by 1"
        )
        assert rows == [("a", None, "01"), ("b", "c1", "02"), ("c", None, "03")]
        assert supabase_stack.sql(triggers) == before


def test_times_without_a_zone_are_utc(supabase_stack: Stack) -> None:
    """Whatever zone the database's session has."""
    for kind in ("timestamp", "text"):
        original(
            supabase_stack,
            "insert into public.sitniks_chat_mappings (user_id, first_touch_at, updated_at) "
            "values ('a', '2026-07-01 12:00:00', '2026-07-01 13:00:00')",
            time=kind,
        )
        supabase_stack.sql("set timezone = 'Europe/Kyiv';" + script())
        rows = supabase_stack.sql("select first_touch_at = '2026-07-01T12:00Z', updated_at = '2026-07-01T13:00Z' "
                                  "from public.sitniks_chat_mappings")  # fmt: skip
        assert rows == [("t", "t")]


@pytest.mark.parametrize(
    "id",
    [
        "uuid primary key",
        "text primary key",
        "varchar(36)",
        "bigint primary key",
        "integer not null",
        "serial primary key",
        "bigserial",
        "bigint generated always as identity primary key",
    ],
)
def test_new_rows_number_themselves_whatever_the_id_is(supabase_stack: Stack, id: str) -> None:
    """An id without a default gets one that fits its type; the functions write beside the old rows."""
    value = "'6f0f7a52-0000-4000-8000-000000000001'" if id.startswith(("uuid", "text", "varchar")) else "1"
    over = "" if "always" not in id else "overriding system value"
    original(
        supabase_stack,
        f"insert into public.sitniks_chat_mappings (id, user_id) {over} values ({value}, 'a')"
        + ("; select setval('public.sitniks_chat_mappings_id_seq', 1)" if "serial" in id or "always" in id else ""),
        id=id,
    )
    upgrade(supabase_stack)
    upgrade(supabase_stack)
    supabase_stack.reload()
    for session in ("a", "b"):
        made = Intent(session, Stage.FIRST_TOUCH, "k", chat_id=session)
        asyncio.run(alone(supabase_stack, lambda store, made=made: store.record(OPTIONS, made)))
    rows = supabase_stack.sql("select user_id, id is not null, generation from public.sitniks_chat_mappings order by 1")
    assert rows == [("a", "t", "1"), ("b", "t", "1")]


def test_a_table_without_columns_or_constraints_is_completed(supabase_stack: Stack) -> None:
    """What an early version of the table did not have is added, and chats are unique from now on."""
    supabase_stack.reset()
    supabase_stack.sql(
        "create table public.sitniks_chat_mappings "
        "(id uuid, user_id varchar(80) not null, sitniks_chat_id varchar(80), sitniks_manager_id text, note text); "
        "insert into public.sitniks_chat_mappings values (null, 'a', 'c1', '17', 'mine'), (null, 'b', 'c1', 'x', null)"
    )
    upgrade(supabase_stack)
    rows = supabase_stack.sql(
        "select user_id, sitniks_manager_id, note from public.sitniks_chat_mappings where id is not null order by 1"
    )
    assert rows == [("a", "17", "mine"), ("b", None, None)]
    assert supabase_stack.sql("select count(sitniks_chat_id) from public.sitniks_chat_mappings") == [("1",)]
    unique = "select count(*) from pg_index where indrelid = 'public.sitniks_chat_mappings'::regclass and indisunique"
    assert supabase_stack.sql(unique) == [("3",)]


def test_a_policy_that_let_everybody_in_is_gone(supabase_stack: Stack) -> None:
    """The original's `using (true)` has no role: it goes; a policy for another role stays."""
    original(supabase_stack)
    supabase_stack.sql("create policy mine on public.sitniks_chat_mappings for select to postgres using (true)")
    upgrade(supabase_stack)
    policies = supabase_stack.sql(
        "select policyname, roles::text from pg_policies where tablename = 'sitniks_chat_mappings' order by 1"
    )
    assert policies == [("mine", "{postgres}"), ("sitniks_service", "{service_role}")]
