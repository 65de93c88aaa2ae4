"""A process's first sync holds up no event loop, neither the host's nor our own: LangGraph's dev server refuses it."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

import mirt_sitniks
from mirt_sitniks.sandbox import Sandbox
from mirt_sitniks.service import get_sitniks_chat_service
from mirt_sitniks.stores.sqlite import SqliteStore
from tests.docs.pages import ENGLISH, blocks
from tests.postgres.stack import Stack
from tests.stores.worlds import migrate

PACKAGE = Path(mirt_sitniks.__file__).parent
GRAPH = next(block.text for block in blocks(ENGLISH) if "def build_graph" in block.text)
STEP = 0.1
"""Seconds that a thread may compute between two turns of its loop: LangGraph itself takes a tenth of that; what is
loaded for a first sync takes several times as much."""


def first_sync(crm: Sandbox, folder: Path, **variables: str) -> None:
    """A process that reads these from `.env` and runs the README's graph is told `synced`, and held up nothing."""
    crm.add_chat("iryna.example")
    variables |= {"SNITKIX_API_URL": crm.url, "SNITKIX_API_KEY": crm.key, "SITNIKS_REPLY_BUDGET": "20"}
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()), "utf-8")
    (folder / "shop.py").write_text(GRAPH, "utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(Path(__file__).with_name("cold.py")), str(PACKAGE)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["held up"] == []
    assert told["sitniks"]["outcome"] == "synced"
    assert max(told["steps"].values()) < STEP, told["steps"]


def test_with_sqlite(sandbox: Sandbox, tmp_path: Path) -> None:
    """`.env`, the database's folder and file, imports, certificates: all is read, and nothing on a loop."""
    first_sync(sandbox, tmp_path)


@pytest.mark.parametrize("key", ["service_role", "secret"])
def test_with_supabase(sandbox: Sandbox, tmp_path: Path, supabase_stack: Stack, key: str) -> None:
    """The same with the PostgREST client, for keys of both kinds."""
    migrate(supabase_stack)
    first_sync(sandbox, tmp_path, SUPABASE_URL=supabase_stack.url, SUPABASE_KEY=getattr(supabase_stack.keys, key))


def test_wrong_settings_are_told_on_a_running_loop(caplog: pytest.LogCaptureFixture) -> None:
    """The service never raises there either: it is disabled, and says what is wrong in `.env`."""
    Path(".env").write_text("SNITKIX_API_URL=https://crm.sitniks.com\nSNITKIX_API_KEY=k\nSITNIKS_TIMEOUT=soon\n")

    async def host() -> None:
        service = get_sitniks_chat_service()
        assert not service.enabled
        await service.aclose()

    asyncio.run(host())
    assert "SITNIKS_TIMEOUT" in caplog.text


def test_a_database_may_be_named_on_a_running_loop(tmp_path: Path) -> None:
    """A store that is made in async code knows where its file is, wherever the process goes."""

    async def host() -> None:
        store = SqliteStore("s.sqlite3")
        await store.check()
        await store.aclose()

    asyncio.run(host())
    assert (tmp_path / "s.sqlite3").exists()
