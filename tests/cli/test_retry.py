"""`mirt-sitniks retry` takes up one session, says what came of it, and shows no secret."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mirt_sitniks import SitniksChatService
from mirt_sitniks.sandbox import Sandbox
from tests.cli.conftest import Run


@pytest.fixture
def crm(monkeypatch: pytest.MonkeyPatch, planted: Any) -> Iterator[Sandbox]:
    """A sandbox to which the settings of the environment lead."""
    with Sandbox(key=planted.crm_key) as sandbox:
        monkeypatch.setenv("SNITKIX_API_URL", sandbox.url)
        monkeypatch.setenv("SNITKIX_API_KEY", planted.crm_key)
        monkeypatch.setenv("SITNIKS_RATE_LIMIT", "10/2")
        yield sandbox


def test_a_session_that_was_given_up_is_finished(crm: Sandbox, run: Run, tmp_path: Path) -> None:
    """Two people of one name; once one is renamed the stage arrives, and again it is only reported."""
    mine, other = (crm.add_chat("anna.shop") for _ in range(2))
    with SitniksChatService() as service:
        failed = service.sync_blocking("escalation", session="s", instagram_username="anna.shop")
    assert failed.error
    path = tmp_path / "sitniks.sqlite3"
    code, out, err = run("retry", "s")
    assert (code, err) == (1, f"in {path}\n")
    assert out.startswith("failed: several people in Sitniks have this user name")
    crm.account.world.chat(other).nickname = "other"
    for who in ("s", "@Anna.shop"):
        assert run("retry", who) == (0, "synced: AI Увага\n", f"in {path}\n")
    assert crm.chat(mine)["status"] == "AI Увага"
    code, out, err = run("retry", "x")
    assert (code, out) == (1, "")
    assert f"nothing is known of “x” in {path}" in err


def test_what_cannot_be_done_now_is_on_its_way(crm: Sandbox, run: Run, planted: Any) -> None:
    """A CRM that is down: queued, with the reason, for whoever works on."""
    crm.add_chat("anna.shop")
    crm.fault("status", times=None)
    with SitniksChatService() as service:
        service.sync_blocking("escalation", session="s", instagram_username="anna.shop")
    code, out, err = run("retry", "s")
    assert code == 0
    assert out.startswith("queued: ")
    planted.assert_absent(out, err)


def test_a_key_is_needed(run: Run) -> None:
    """Without one nothing can be tried: one line with the cure."""
    code, out, err = run("retry", "s")
    assert (code, out) == (2, "")
    assert "SNITKIX_API_KEY" in err
