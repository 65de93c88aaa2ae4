"""Row 20: whatever goes wrong with Supabase is told in one line with its cure, and no line holds the key."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from mirt_sitniks.core.budget import Limit
from mirt_sitniks.core.record import Intent
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import KeyVerdict, Recorded, Report, Verdict
from mirt_sitniks.errors import StoreError
from mirt_sitniks.stores.supabase import SupabaseStore
from mirt_sitniks.stores.supabase_project import CONNECTIONS, UNDONE_TRIES
from tests.conftest import Planted
from tests.postgres.stack import Stack, token
from tests.stores.contract import settlement
from tests.stores.worlds import EMPTY, OPTIONS, migrate

Run = Callable[[Coroutine[Any, Any, Any]], Any]
Make = Callable[..., SupabaseStore]
MIGRATE, KEY, REACH = "mirt-sitniks migrations --print", "set SUPABASE_KEY", "check SUPABASE_URL"


@pytest.fixture
def project(migrated: Stack) -> Stack:
    migrated.sql(EMPTY)
    return migrated


@pytest.fixture
def broken(supabase_stack: Stack, migrated: Stack) -> Iterator[Stack]:
    """A project of which the test may break something."""
    yield supabase_stack
    migrate(supabase_stack)


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
def make(run: Run) -> Iterator[Make]:
    """Makes stores that are closed after the test."""
    made: list[SupabaseStore] = []

    def make(*args: Any, **kwargs: Any) -> SupabaseStore:
        made.append(SupabaseStore(*args, **kwargs))
        return made[-1]

    yield make
    for store in made:
        run(store.aclose())


@pytest.fixture
def store(project: Stack, make: Make) -> SupabaseStore:
    return make(project.url, project.keys.service_role)


def intent(session: str = "s", stage: Stage = Stage.FIRST_TOUCH, key: str = "k") -> Intent:
    return Intent(session, stage, key, chat_id=f"chat of {session}")


def record(store: SupabaseStore, session: str = "s") -> Coroutine[Any, Any, Recorded]:
    return store.record(OPTIONS, intent(session))


def fails(run: Run, verb: Coroutine[Any, Any, Any], *words: str) -> StoreError:
    """The verb fails with our error, in one line that has the words."""
    with pytest.raises(StoreError) as caught:
        run(verb)
    assert caught.value.code == "store_unavailable"
    assert "\n" not in caught.value.message
    for word in words:
        assert word in caught.value.message
    return caught.value


def test_a_verb_asks_once_and_writes_once(project: Stack, store: SupabaseStore, run: Run) -> None:
    """No call to log in, none for the schema, the lease or the budget, and what was shown already is not asked for."""
    asked = project.gateway.requests

    def trips(verb: Coroutine[Any, Any, Any]) -> tuple[Any, list[str]]:
        before = len(asked)
        return run(verb), [line.removeprefix("POST /rpc/sitniks_") for line in asked[before:]]

    answer, of_record = trips(record(store))
    assert of_record == ["view", "commit"]
    news = Report(settlement(answer.record), key_verdict=KeyVerdict(), unused=answer.claim.grants)
    assert trips(store.settle(OPTIONS, replace(news, basis=answer.claim.basis)))[1] == ["commit"]
    assert trips(store.settle(OPTIONS, Report(calls=1)))[1] == ["view", "commit"]
    assert trips(store.claim(OPTIONS))[1] == ["view"]
    assert trips(store.observe("chat of s", status="x"))[1] == ["view", "commit"]
    assert trips(store.get("s"))[1] == ["view"]
    for name, verb in (
        ("lines", store.ledger("s")),
        ("counts", store.counts()),
        ("check", store.check()),
        ("prune", store.prune(1e6)),
        ("forget", store.forget("s")),
    ):
        assert trips(verb)[1] == [name]


def test_a_rush_has_few_connections(project: Stack, run: Run, make: Make) -> None:
    """Sixty at once share twenty: PostgREST has no more for anybody, and a crowded pool is slow to choose from."""
    store, options = make(project.url, project.keys.service_role, timeout=60.0), replace(OPTIONS, limit=Limit(9, 10.5))

    async def rush() -> list[Recorded]:
        return await asyncio.gather(*(store.record(options, intent(f"s{number}")) for number in range(60)))

    project.gateway.peak = 0
    assert {answer.verdict for answer in run(rush())} == {Verdict.NEW}
    assert 1 < project.gateway.peak <= CONNECTIONS


def test_a_rush_is_in_its_own_way_no_more_than_it_must(
    project: Stack, run: Run, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 17: those of one process who write the key take turns: sixty who all get calls undo none of each other."""
    # A machine that stands still would end a turn early.
    monkeypatch.setattr("mirt_sitniks.stores.supabase_project.TURN", 60.0)
    store, options = make(project.url, project.keys.service_role, timeout=60.0), replace(OPTIONS, limit=Limit(600, 1e4))
    run(record(store))
    project.gateway.requests.clear()

    async def rush() -> list[Recorded]:
        return await asyncio.gather(*(store.record(options, intent(f"s{number}")) for number in range(60)))

    assert sum(len(answer.claim.grants) for answer in run(rush()) if answer.claim) == 2 * 60
    assert len(project.gateway.requests) < 120 + 12


def test_a_request_that_stalls_keeps_nobody_from_his_turn(
    project: Stack, store: SupabaseStore, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 29: one commit is long on its way, the next one of this process is done before it."""
    monkeypatch.setattr("mirt_sitniks.stores.supabase_project.TURN", 0.01)
    run(store.check())

    async def both() -> bool:
        slow = asyncio.create_task(record(store, "slow"))
        while not fault.hits:
            await store.get("slow")
        await record(store, "quick")
        before = slow.done()
        await slow
        return before

    with project.gateway.fault("sitniks_commit", delay=1.0, times=1) as fault:
        assert not run(both())


def test_an_answer_is_not_cut_at_a_thousand_rows(project: Stack, store: SupabaseStore, run: Run) -> None:
    """More than 1,000 rows in an answer, where PostgREST cuts without saying so: the rest is asked for."""
    project.sql(
        "insert into public.sitniks_ledger (session, kind, generation, who, at, before, after) "
        "select 's', 'outcome', n, 'test', now(), '{}', '{}' from generate_series(1, 1500) n"
    )
    assert len(run(store.ledger("s", limit=5000))) == 1500
    cut = httpx.get(f"{project.url}/rest/v1/sitniks_ledger", headers=project.headers("service_role"))
    assert len(cut.json()) == 1000


def test_an_address_that_nobody_answers_is_told(run: Run, make: Make) -> None:
    """Unreachable: refused and unknown alike, the line names the address's setting, at once."""
    fails(run, record(make("https://project.invalid", token("x"))), REACH, "ConnectError")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        fails(run, record(make(f"http://127.0.0.1:{closed.getsockname()[1]}", token("x"))), REACH, "ConnectError")


def test_a_slow_database_is_given_up(project: Stack, run: Run, make: Make) -> None:
    """Row 5: slow or hung, the verb ends with its timeout; the store works again when the database does."""
    store = make(project.url, project.keys.service_role, timeout=1.0)
    began = time.monotonic()
    with project.gateway.fault("sitniks_view", delay=20, drop="request"):
        fails(run, record(store), "in time", REACH)
    assert time.monotonic() - began < 10
    assert run(record(store)).verdict is Verdict.NEW


@pytest.mark.parametrize("kind", ["anon", "authenticated"])
def test_a_key_for_browsers_is_refused_with_the_cure(project: Stack, run: Run, make: Make, kind: str) -> None:
    """401 and 403 of the rights: the line names the setting and which key it is to hold."""
    fails(run, record(make(project.url, getattr(project.keys, kind))), KEY, "service_role", "42501")


@pytest.mark.parametrize(
    "key", [token("service_role", secret="s" * 40), token("service_role", exp=1)], ids=["forged", "expired"]
)
def test_a_wrong_key_is_told(project: Stack, run: Run, make: Make, key: str) -> None:
    """401: no JWT of this project, or one that ran out."""
    fails(run, record(make(project.url, key)), KEY, "PGRST301")


def test_a_key_that_no_header_holds_is_refused(project: Stack, run: Run, make: Make) -> None:
    """Row 26: a line end inside or letters of another script are refused before anything is sent."""
    before = len(project.gateway.requests)
    for key in ("a\nb", "ключ", "a b", ""):
        error = fails(run, record(make(project.url, key)), KEY)
        assert not key or key not in error.message
    assert len(project.gateway.requests) == before


def test_a_new_style_secret_key_works(project: Stack, run: Run, make: Make) -> None:
    """`sb_secret_...`, with a line end behind it as files have them; the oldest versions know no such keys."""
    store = make(project.url + "/", project.keys.secret + "\n")
    assert run(record(store)).verdict is Verdict.NEW


def test_an_unknown_or_publishable_key_is_told(project: Stack, run: Run, make: Make) -> None:
    """The gateway's 401 has no code of PostgREST's, and is told all the same."""
    fails(run, record(make(project.url, "sb_secret_of_another_project")), KEY, "401")
    fails(run, record(make(project.url, project.keys.publishable)), KEY, "42501")


@pytest.mark.parametrize(
    "sql",
    [
        "drop table public.sitniks_chat_mappings cascade",
        "drop table public.sitniks_keys cascade",
        "drop function public.sitniks_commit(jsonb)",
        "drop function public.sitniks_now()",
        "alter table public.sitniks_chat_mappings drop column urgent_at cascade",
        "drop schema public cascade; create schema public; grant usage on schema public to service_role",
    ],
    ids=["mappings", "keys", "verb", "helper", "column", "everything"],
)
def test_a_missing_table_or_function_is_told_with_the_command(broken: Stack, run: Run, make: Make, sql: str) -> None:
    """Nothing half migrated works silently: the line names the command that prints the SQL."""
    broken.sql(sql, user="supabase_admin")
    broken.reload()
    fails(run, record(make(broken.url, broken.keys.service_role)), "missing", MIGRATE)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("drop function public.sitniks_commit(jsonb)", ("missing: sitniks_commit",)),
        ("drop table public.sitniks_directory", ("missing: sitniks_directory",)),
        ("revoke update on public.sitniks_keys from service_role", ("no right to: sitniks_keys",)),
        ("grant select on public.sitniks_ledger to anon", ("open to anon or authenticated: sitniks_ledger",)),
        (
            "grant execute on function public.sitniks_forget to public",
            ("open to anon or authenticated: sitniks_forget",),
        ),
    ],
)
def test_check_names_what_is_not_as_it_must_be(
    broken: Stack, run: Run, make: Make, sql: str, words: tuple[str, ...]
) -> None:
    """Missing, denied and open to strangers: each is named, with the command that mends it."""
    store = make(broken.url, broken.keys.service_role)
    run(store.check())
    broken.sql(sql, user="supabase_admin")
    fails(run, store.check(), *words, MIGRATE)


@pytest.mark.parametrize("function", ["view", "commit"])
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"status": 502, "body": b"<html>bad gateway</html>"}, ("502", REACH)),
        ({"status": 503, "body": b'{"code": "PGRST002", "message": "no schema"}'}, ("PGRST002", REACH)),
        ({"status": 504, "body": b""}, ("504", REACH)),
        ({"status": 540, "body": b'{"message": "project paused"}'}, ("540", "not paused")),
        ({"status": 402, "body": b'{"message": "exceed_egress_quota"}'}, ("402", "billing page")),
        ({"status": 406, "body": b'{"code": "PGRST106", "message": "schema"}'}, ("PGRST106", "exposed schemas")),
        (
            {"status": 401, "body": b'{"code": "PGRST303", "message": "JWT issued at future"}'},
            ("PGRST303", "the clock"),
        ),
        ({"status": 405, "body": b'{"code": "25006", "message": "read-only transaction"}'}, ("25006", "make room")),
        ({"status": 500, "body": b'{"code": "54000", "message": "index row too large"}'}, ("54000", "at most 200")),
        ({"status": 500, "body": b'{"code": "57014", "message": "canceling"}'}, ("57014", "statement_timeout")),
        ({"status": 404, "body": b'{"code": "PGRST202", "message": "no function"}'}, ("PGRST202", MIGRATE)),
        ({"status": 403, "body": b'{"code": "42501", "message": "permission denied"}'}, ("42501", KEY, MIGRATE)),
        ({"status": 200, "body": b"<html>log in to the hotel's network</html>"}, ("no answer", REACH)),
        ({"status": 200, "body": b'{"done": true}'}, ("no answer", REACH)),
        ({"status": 200, "body": b"[]"}, ("no answer", REACH)),
        ({"status": 200, "body": b'{"now": 1e999, "key": [1], "waiting": {}, "view": 7}'}, ("no answer", REACH)),
    ],
)
def test_strange_answers_are_our_error(
    project: Stack, store: SupabaseStore, run: Run, function: str, how: dict[str, Any], words: tuple[str, ...]
) -> None:
    """Nothing foreign escapes, whatever stands between us and the database says."""
    with project.gateway.fault(f"sitniks_{function}", **how):
        fails(run, record(store), *words)


def test_a_redirect_is_not_followed_with_the_key(project: Stack, store: SupabaseStore, run: Run) -> None:
    """The key goes to the address that was set and nowhere else."""
    elsewhere = f"{project.url}/rest/v1/rpc/elsewhere"
    with project.gateway.fault("sitniks_view", status=307, headers={"Location": elsewhere}):
        fails(run, record(store), REACH)
    assert not any("elsewhere" in request for request in project.gateway.requests)


def test_a_dead_idle_connection_is_opened_anew(project: Stack, store: SupabaseStore, run: Run) -> None:
    """supabase-py#1064: what only reads is asked again, and the ledger too; there is an end to it."""
    run(store.check())
    with project.gateway.fault("sitniks_view", drop="request", times=1):
        assert run(record(store, "a")).verdict is Verdict.NEW
    with project.gateway.fault("sitniks_view", drop="answer", times=1):
        assert run(record(store, "b")).verdict is Verdict.NEW
    with project.gateway.fault("sitniks_lines", drop="answer", times=1):
        assert len(run(store.ledger("a"))) == 1
    with project.gateway.fault("sitniks_view", drop="request") as fault:
        fails(run, record(store, "c"), REACH)
    assert fault.hits == UNDONE_TRIES


@pytest.mark.parametrize("code", ["40P01", "40001", "23505", "55P03"])
@pytest.mark.parametrize("function", ["view", "commit"])
def test_what_postgres_undid_is_tried_again(
    project: Stack, store: SupabaseStore, run: Run, function: str, code: str
) -> None:
    """All of it was undone, so any verb may be tried again, several times: a crowd meets in one row more than once."""
    body = json.dumps({"code": code, "message": "undone"}).encode()
    match = f"sitniks_{function}"
    with project.gateway.fault(match, status=409, body=body, times=UNDONE_TRIES - 1) as fault:
        assert run(record(store)).verdict is Verdict.NEW
    assert fault.hits == UNDONE_TRIES - 1
    with project.gateway.fault(match, status=409, body=body) as fault, pytest.raises(StoreError):
        run(record(store, "t"))
    assert fault.hits == UNDONE_TRIES


@pytest.mark.parametrize("code", ["57P01", "PGRST001"])
def test_a_database_that_went_away_is_asked_again_where_that_is_safe(
    project: Stack, store: SupabaseStore, run: Run, code: str
) -> None:
    """A restart cuts connections: recording twice is recording once, claiming twice would hold two claims."""
    body = json.dumps({"code": code, "message": "terminating connection"}).encode()
    for function in ("view", "commit"):
        with project.gateway.fault(f"sitniks_{function}", status=500, body=body, times=1):
            assert run(store.record(OPTIONS, intent(function), calls=0)).verdict is Verdict.NEW
    with project.gateway.fault("sitniks_commit", status=500, body=body, times=1) as fault, pytest.raises(StoreError):
        run(store.claim(OPTIONS))
    assert fault.hits == 1


def test_one_store_serves_many_loops(project: Stack) -> None:
    """Row 23: `asyncio.run` several times in one process: a client of its own each time, no "loop is closed"."""
    store = SupabaseStore(project.url, project.keys.service_role)
    for number in range(3):
        assert asyncio.run(both(record(store, f"s{number}"), store.aclose())).verdict is Verdict.NEW


async def both(verb: Coroutine[Any, Any, Recorded], then: Coroutine[Any, Any, None]) -> Recorded:
    answer = await verb
    await then
    return answer


def test_a_closed_store_opens_again(project: Stack, store: SupabaseStore, run: Run) -> None:
    """`aclose()` closes the connections only."""
    run(store.check())
    run(store.aclose())
    run(store.aclose())
    run(store.check())


def test_a_cancelled_verb_leaves_the_store_usable(project: Stack, store: SupabaseStore, run: Run) -> None:
    """A caller that gives up takes nothing with it but its own call."""
    run(store.check())

    async def cancelled() -> None:
        with project.gateway.fault("sitniks_view", delay=20, drop="request"):
            task = asyncio.ensure_future(record(store))
            while not project.gateway.requests:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    project.gateway.requests.clear()
    run(cancelled())
    run(store.check())


@pytest.mark.parametrize("fault", ["refused", "wrong", "slow", "dropped", "html", "shape", "unsendable"])
def test_the_key_is_in_no_sink(
    project: Stack, run: Run, make: Make, planted: Planted, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    """No attribute, message, log line or local variable of a frame that escapes holds the key, whatever fails."""
    caplog.set_level("WARNING", logger="mirt_sitniks")
    url, key, how = project.url, planted.supabase_key, {}
    if fault == "refused":
        url = "http://127.0.0.1:1"
    elif fault == "slow":
        how = {"delay": 5.0, "drop": "request"}
    elif fault == "dropped":
        how = {"drop": "request"}
    elif fault == "html":
        how = {"status": 502, "body": b"<html>"}
    elif fault == "shape":
        how = {"status": 200, "body": b"[1]"}
    elif fault == "unsendable":
        key = f"{key}\n{key}"
    store = make(url, key, timeout=1.0 if fault == "slow" else 5.0)
    # What only a slow first use would hide is opened before.
    with project.gateway.fault("sitniks_view", **how) if how else project.gateway.fault("no such request"):
        try:
            run(record(store))
        except StoreError as error:
            caught = error
        else:
            pytest.fail("it was to fail")
    assert caught.__cause__ is None
    planted.assert_absent(
        store, vars(store), caught, vars(caught), caplog.text, *locals_of(caught), *traceback.format_exception(caught)
    )


def locals_of(error: BaseException | None) -> Iterator[str]:
    """The local variables of every frame below this file's, as error trackers send them."""
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename != __file__ and frame.f_code.co_name != "run":
                yield json.dumps({name: repr(value) for name, value in frame.f_locals.items()})
        error = None if error.__suppress_context__ else error.__context__


def test_nothing_of_supabase_is_loaded_before_its_first_use() -> None:
    """Who uses SQLite does not pay for it: neither the package nor the store's module loads any part of it."""
    program = (
        "import sys, mirt_sitniks, mirt_sitniks.stores.supabase; print({'supabase', 'postgrest'} & {*sys.modules})"
    )
    command = [sys.executable, "-W", "ignore", "-c", program]
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=paths)
    assert done.stdout.strip() == "set()"
