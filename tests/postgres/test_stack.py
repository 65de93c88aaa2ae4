"""The stack under the store's tests is what it says it is."""

import time

import httpx
import pytest

from tests.postgres.stack import SqlError, Stack, token

TABLE = """
create table public.notes (id int primary key, body text);
alter table public.notes enable row level security;
create policy notes_service on public.notes to service_role using (true) with check (true);
grant select, insert, update, delete on public.notes to service_role;
grant select on public.notes to authenticated;
insert into public.notes values (1, 'привіт'), (2, null);
"""


@pytest.fixture
def client(supabase_stack: Stack):
    supabase_stack.reset()
    supabase_stack.sql(TABLE)
    supabase_stack.reload()
    with httpx.Client(base_url=f"{supabase_stack.url}/rest/v1", timeout=10) as client:
        yield client


def test_rls_and_grants_hold(supabase_stack: Stack, client: httpx.Client) -> None:
    """service_role reads the rows, a granted role without a policy reads none, anon is denied."""
    answers = {
        role: client.get("/notes", headers=supabase_stack.headers(role))
        for role in ("service_role", "authenticated", "anon")
    }
    assert answers["service_role"].json() == [{"id": 1, "body": "привіт"}, {"id": 2, "body": None}]
    assert answers["authenticated"].json() == []
    assert (answers["anon"].status_code, answers["anon"].json()["code"]) == (401, "42501")


def test_nothing_is_granted_by_itself(supabase_stack: Stack, client: httpx.Client) -> None:
    """A new table is closed to service_role too, unless the project is of the old kind."""
    supabase_stack.sql("create table public.bare (id int)")
    supabase_stack.reload()
    answer = client.get("/bare", headers=supabase_stack.headers("service_role"))
    assert (answer.status_code, answer.json()["code"]) == (403, "42501")

    supabase_stack.reset(legacy_grants=True)
    supabase_stack.sql("create table public.bare (id int)")
    supabase_stack.reload()
    assert client.get("/bare", headers=supabase_stack.headers("anon")).json() == []


def test_reset_empties_the_project(supabase_stack: Stack, client: httpx.Client) -> None:
    """After a reset no table of before is left, in `public` or beside it."""
    supabase_stack.sql("create schema other; create table other.thing (id int)")
    supabase_stack.reset()
    assert supabase_stack.sql("select 1 from pg_tables where schemaname in ('public', 'other')") == []
    assert client.get("/notes", headers=supabase_stack.headers("service_role")).status_code == 404


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, None),
        ({"apikey": "sb_secret_of_another_project"}, None),
        ({"apikey": "x", "Authorization": f"Bearer {token('service_role', exp=1)}"}, "PGRST301"),
        ({"apikey": "x", "Authorization": f"Bearer {token('service_role', secret='s' * 40)}"}, "PGRST301"),
    ],
    ids=["none", "unknown", "expired", "forged"],
)
def test_wrong_keys_are_refused(client: httpx.Client, headers: dict[str, str], code: str | None) -> None:
    """No key, a stranger's, an expired and a forged one are all 401."""
    answer = client.get("/notes", headers=headers)
    assert (answer.status_code, answer.json().get("code")) == (401, code)


def test_new_style_keys_work_as_on_a_hosted_project(supabase_stack: Stack, client: httpx.Client) -> None:
    """A secret key, which is no JWT, reads as service_role, alone or repeated as Bearer."""
    key = supabase_stack.keys.secret
    for headers in ({"apikey": key}, {"apikey": key, "Authorization": f"Bearer {key}"}):
        assert len(client.get("/notes", headers=headers).json()) == 2


def test_faults_come_when_asked_for(supabase_stack: Stack, client: httpx.Client) -> None:
    """A status keeps the request from the database, a dropped answer does not, and both end with their block."""
    client.headers.update(supabase_stack.headers("service_role"))
    with supabase_stack.gateway.fault("POST /notes", status=503, times=1) as fault:
        assert client.post("/notes", json={"id": 3}).status_code == 503
        assert client.post("/notes", json={"id": 4}).status_code == 201
    assert fault.hits == 1
    with supabase_stack.gateway.fault(drop="request"), pytest.raises(httpx.TransportError):
        client.post("/notes", json={"id": 5})
    with supabase_stack.gateway.fault(drop="answer"), pytest.raises(httpx.TransportError):
        client.post("/notes", json={"id": 6})
    with supabase_stack.gateway.fault(delay=30), pytest.raises(httpx.ReadTimeout):
        client.get("/notes", timeout=0.05)
    assert [row["id"] for row in client.get("/notes?order=id").json()] == [1, 2, 4, 6]
    assert supabase_stack.gateway.requests[-1] == "GET /notes?order=id"


def test_a_paused_database_hangs_and_comes_back(supabase_stack: Stack, client: httpx.Client) -> None:
    """While it is frozen no answer comes; afterwards it does."""
    client.headers.update(supabase_stack.headers("service_role"))
    supabase_stack.pause()
    try:
        with pytest.raises(httpx.ReadTimeout):
            client.get("/notes", timeout=0.05)
    finally:
        supabase_stack.resume()
    assert client.get("/notes").status_code == 200


def test_sql_runs_as_the_owner_who_is_no_superuser(supabase_stack: Stack, client: httpx.Client) -> None:
    """Migrations have the rights that they have on a hosted project, and an error carries its SQLSTATE."""
    assert supabase_stack.sql("select id, body from public.notes order by id") == [("1", "привіт"), ("2", None)]
    assert supabase_stack.sql("select rolsuper from pg_roles where rolname = current_user") == [("f",)]
    assert supabase_stack.sql("show server_version_num")[0][0].startswith(str(supabase_stack.major))
    with pytest.raises(SqlError, match=r"^ERROR:  42P01:"):
        supabase_stack.sql("select * from public.no_such_table")


def test_close_leaves_nothing(supabase_stack: Stack) -> None:
    """A second stack starts beside the first, and after `close()` its processes and folder are gone."""
    began = time.monotonic()
    second = Stack(supabase_stack.major)
    processes, home = second._processes, second._home
    second.close()
    assert all(process.poll() is not None for process in processes)
    assert not home.exists()
    assert time.monotonic() - began < 30
