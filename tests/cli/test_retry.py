"""`mirt-sitniks retry` takes up one session, says what came of it, and shows no secret."""

import json
from pathlib import Path
from typing import Any

from mirt_sitniks import SitniksChatService
from mirt_sitniks.core.budget import Budget
from mirt_sitniks.core.key_state import KeyState
from mirt_sitniks.sandbox import Sandbox
from tests.cli import shop
from tests.cli.conftest import Run


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


def test_all_that_failed_become_due_for_those_who_work(crm: Sandbox, run: Run, tmp_path: Path) -> None:
    """`--failed` makes no call by itself: it says how many, what it costs, and who is going to do it."""
    path = tmp_path / "sitniks.sqlite3"
    shop.fill(path, key=KeyState(Budget()))
    before = path.read_bytes()
    code, out, err = run("retry", "--failed", "--dry-run")
    assert (code, err) == (0, f"in {path}\n")
    assert (
        out == "2 sessions, 5 calls at least (2 assign, 1 list, 2 status), the last in 0 ms\n  example-2\n  s-twins\n"
    )
    assert path.read_bytes() == before
    code, out, _ = run("retry", "--failed", "--code", "chat_ambiguous", "--json")
    told = json.loads(out)
    assert (code, told["sessions"], told["reopened"], told["calls"]) == (
        0,
        ["s-twins"],
        1,
        {"assign": 1, "list": 1, "status": 1},
    )
    assert crm.calls == ()
    _, out, _ = run("list", "--failed", "--json")
    assert [one["session"] for one in json.loads(out)["sessions"]] == ["example-2"]
    code, out, _ = run("retry", "--failed")
    assert (code, out.splitlines()[1]) == (0, "all are due now: start mirt-sitniks worker, or the host, to finish them")


def test_more_than_the_limit_is_said(crm: Sandbox, run: Run, tmp_path: Path) -> None:
    """Who asks for all that failed learns that these are not all."""
    shop.fill(tmp_path / "sitniks.sqlite3", key=KeyState(Budget()))
    code, out, _ = run("retry", "--failed", "--limit", "1", "--dry-run")
    assert (code, out.splitlines()[1:]) == (0, ["  example-2", "There are more than 1: --limit takes them up."])
    told = [json.loads(run("retry", "--failed", "--limit", n, "--dry-run", "--json")[1])["more"] for n in ("1", "2")]
    assert told == [True, False]


def test_nobody_to_retry_is_told(crm: Sandbox, run: Run, tmp_path: Path) -> None:
    """Exit code 1, and where it was looked."""
    shop.fill(tmp_path / "sitniks.sqlite3")
    code, out, _ = run("retry", "--failed", "--code", "forbidden")
    assert (code, out) == (1, f"no session is like that in {tmp_path / 'sitniks.sqlite3'}\n")
    assert json.loads(run("retry", "--failed", "--code", "forbidden", "--json")[1])["sessions"] == []
