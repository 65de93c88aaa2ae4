"""The commands that look, on a real Postgres behind PostgREST."""

import asyncio
import json

import pytest

from mirt_sitniks.core.record import Intent
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import StoreOptions
from mirt_sitniks.stores.migrations import script
from mirt_sitniks.stores.supabase import SupabaseStore
from tests.cli.conftest import Run
from tests.postgres.stack import Stack


def test_they_look_at_a_project_as_at_a_file(supabase_stack: Stack, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same words, and which project it was; none of them writes a row."""
    stack = supabase_stack
    stack.reset()
    stack.sql(script())
    stack.reload()

    async def record() -> None:
        store = SupabaseStore(stack.url, stack.keys.service_role)
        await store.record(StoreOptions("key"), Intent("s", Stage.FIRST_TOUCH, "k", instagram="iryna.example"))
        await store.aclose()

    asyncio.run(record())
    for name, value in {"URL": stack.url, "KEY": stack.keys.service_role}.items():
        monkeypatch.setenv(f"SUPABASE_{name}", value)
    rows = "select (select count(*) from sitniks_keys), (select max(id) from sitniks_ledger)"
    before = stack.sql(rows)
    _, out, _ = run("status", "--json")
    seen = json.loads(out)
    assert (seen["store"], seen["waiting"]) == ({"kind": "supabase", "place": stack.url, "account": "main"}, 1)
    for command in (["show", "@Iryna.example"], ["list", "--waiting"], ["export", "s"]):
        code, out, _ = run(*command, *["--json"] * (command[0] != "export"))
        assert (code, [one["session"] for one in json.loads(out)["sessions"]]) == (0, ["s"])
    code, out, _ = run("tail", "s", "--no-follow", "--json", "--since", "1h")
    assert (code, json.loads(out)["text"]) == (0, "first_touch was asked for")
    code, out, _ = run("show", "s")
    assert code == 0
    assert stack.url in out
    assert stack.sql(rows) == before
