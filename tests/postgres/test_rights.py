"""Least privilege: the service role may work, nobody else may do anything."""

import json
from collections.abc import Iterator

import httpx
import pytest

from mirt_sitniks.stores.migrations import script
from mirt_sitniks.stores.supabase import TABLES, VERBS
from tests.postgres.earlier import store as earlier
from tests.postgres.stack import SqlError, Stack
from tests.stores.worlds import migrate

STRANGERS = ("anon", "authenticated")
VIEWS = ("sitniks_sessions", "sitniks_story")


@pytest.fixture(scope="module", params=["new", "legacy", "upgraded"])
def project(supabase_stack: Stack, request: pytest.FixtureRequest) -> Stack:
    """A migrated project of today, one where every right is granted on what is made, and one of the released version
    that was upgraded and keeps its functions.
    """
    if request.param == "upgraded":
        supabase_stack.reset(legacy_grants=True)
        supabase_stack.sql(earlier.script() + script())
        supabase_stack.reload()
    else:
        migrate(supabase_stack, legacy_grants=request.param == "legacy")
    return supabase_stack


@pytest.fixture
def http(project: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{project.url}/rest/v1", timeout=10) as client:
        yield client


@pytest.mark.parametrize("role", [*STRANGERS, "publishable"])
def test_strangers_are_denied_every_table(project: Stack, http: httpx.Client, role: str) -> None:
    """Reading, writing, changing and deleting: permission denied, for each table."""
    headers = project.headers(role)
    for table, column in zip(TABLES, ("user_id", "session", "chat_id", "key", "digest"), strict=True):
        for answer in (
            http.get(f"/{table}", headers=headers),
            http.post(f"/{table}", headers=headers, json={column: "x"}),
            http.patch(f"/{table}?{column}=eq.x", headers=headers, json={column: "y"}),
            http.delete(f"/{table}?{column}=eq.x", headers=headers),
        ):
            assert answer.json()["code"] == "42501", f"{answer.request.method} {table}: {answer.text}"


@pytest.mark.parametrize("role", STRANGERS)
def test_strangers_are_denied_every_right_in_sql(project: Stack, role: str) -> None:
    """Every table, view, column, sequence and function, by the rights themselves: nothing is left to PostgREST's
    mercy."""
    open_ = project.sql(
        f"""
        select c.relname from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v') and (
            has_table_privilege('{role}', c.oid, 'select, insert, update, delete, truncate, references, trigger')
            or has_any_column_privilege('{role}', c.oid, 'select, insert, update, references'));
        select c.relname from pg_class c
        where c.relnamespace = 'public'::regnamespace
            and case when c.relkind = 'S' then has_sequence_privilege('{role}', c.oid, 'usage, select, update') end;
        select p.proname from pg_proc p
        where p.pronamespace = 'public'::regnamespace and has_function_privilege('{role}', p.oid, 'execute');
        """
    )
    assert open_ == []


@pytest.mark.parametrize("role", [*STRANGERS, "publishable"])
def test_strangers_are_denied_every_function(project: Stack, http: httpx.Client, role: str) -> None:
    """Called with the arguments that they have: permission denied, for the verbs and for their helpers."""
    rows = project.sql(
        "select proname, array_to_json(coalesce(proargnames[:pronargs], '{}')) from pg_proc "
        "where pronamespace = 'public'::regnamespace"
    )
    assert {f"sitniks_{verb}" for verb in VERBS} <= {name for name, _ in rows}
    for name, arguments in rows:
        request = dict.fromkeys(json.loads(arguments or "[]"))
        answer = http.post(f"/rpc/{name}", headers=project.headers(role), json=request)
        assert answer.json()["code"] == "42501", f"{name}: {answer.text}"


def test_the_service_role_may_work(project: Stack, http: httpx.Client) -> None:
    """Every table and view can be read by the service role, by its JWT and by the new-style secret key."""
    for key in ("service_role", "secret"):
        for table in (*TABLES, *VIEWS):
            answer = http.get(f"/{table}", headers=project.headers(key))
            assert (answer.status_code, answer.json()) == (200, [])


def test_functions_cannot_be_tricked(project: Stack) -> None:
    """Each is `security invoker` with an empty search path, so nobody's objects are used in place of ours."""
    rows = project.sql(
        "select proname, prosecdef, proconfig::text from pg_proc where pronamespace = 'public'::regnamespace"
    )
    assert {definer for _, definer, _ in rows} == {"f"}
    assert all(config.strip("{}").split(",")[0] == '"search_path=\\"\\""' for _, _, config in rows)


def test_every_table_has_rls_and_one_policy_for_the_service_role(project: Stack) -> None:
    """RLS is on, so that a right that somebody grants by mistake still shows nothing."""
    on = project.sql("select tablename, rowsecurity from pg_tables where schemaname = 'public'")
    assert sorted(on) == sorted((table, "t") for table in TABLES)
    policies = project.sql("select tablename, roles::text, cmd, qual, with_check from pg_policies")
    assert sorted(policies) == sorted((table, "{service_role}", "ALL", "true", "true") for table in TABLES)
    for role in STRANGERS:
        project.sql(f"grant select on public.sitniks_ledger to {role}", user="supabase_admin")
        seen = project.sql(f"set role {role}; select * from public.sitniks_ledger", user="supabase_admin")
        project.sql(f"revoke select on public.sitniks_ledger from {role}", user="supabase_admin")
        assert seen == []


def test_a_view_shows_only_what_its_reader_may_see(project: Stack) -> None:
    """It runs with its reader's rights, and is for reading only: so a right to it that somebody gives by mistake shows
    nothing of the tables."""
    for view in VIEWS:
        ((options,),) = project.sql(f"select reloptions::text from pg_class where relname = '{view}'")
        assert options == "{security_invoker=true}"
        rights = ["select", "insert", "update", "delete", "truncate", "references", "trigger"]
        asked = ", ".join(f"has_table_privilege('service_role', 'public.{view}', '{right}')" for right in rights)
        assert project.sql(f"select {asked}") == [("t", *"f" * 6)]
        project.sql(f"grant select on public.{view} to anon", user="supabase_admin")
        with pytest.raises(SqlError, match="42501"):
            project.sql(f"set role anon; select * from public.{view}", user="supabase_admin")
        project.sql(f"revoke select on public.{view} from anon", user="supabase_admin")


def test_what_only_reads_cannot_write(project: Stack) -> None:
    """Postgres itself refuses a write in these: they are `stable`."""
    found = project.sql(
        "select proname from pg_proc where pronamespace = 'public'::regnamespace and provolatile = 's' "
        "and proname in ('sitniks_overview', 'sitniks_sessions', 'sitniks_lines', 'sitniks_counts', 'sitniks_check')"
    )
    assert len(found) == 5


def test_no_verb_waits_for_a_lock_without_end(project: Stack) -> None:
    """Row 20: a table that somebody holds locked takes no connection from the rest of the project for long; what is no
    verb itself is called by one."""
    names = ", ".join(f"'sitniks_{verb}'" for verb in VERBS if verb != "locks")
    rows = project.sql(
        "select proname from pg_proc where pronamespace = 'public'::regnamespace "
        f"and proname in ({names}) and not coalesce(proconfig, '{{}}') @> '{{lock_timeout=2s}}'"
    )
    assert rows == []
    assert project.sql(f"select count(*) from pg_proc where proname in ({names})") == [(str(len(VERBS) - 1),)]
