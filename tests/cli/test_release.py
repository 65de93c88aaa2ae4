"""`mirt-sitniks release` gives a conversation back, and `show` says who has it."""

import json
from pathlib import Path

import pytest

from mirt_sitniks import SitniksChatService
from mirt_sitniks.sandbox import Sandbox
from tests.cli.conftest import Run
from tests.service.shop import wait_until


def test_a_conversation_goes_back_to_the_graph(crm: Sandbox, run: Run, tmp_path: Path) -> None:
    """After an escalation a person has it: `show` says so, `release` assigns the AI manager, the status stays."""
    chat = crm.add_chat("anna.shop")
    taken()
    assert "a person has it" in run("show", "s")[1]
    told = json.loads(run("show", "s", "--json")[1])["sessions"][0]
    assert (told["owner"], told["owner_by"]) == ("human", "wrote")
    assert "a person has the conversation: he was called by the graph" in [one["text"] for one in told["ledger"]]
    path = tmp_path / "sitniks.sqlite3"
    said = "s: the graph has the conversation again, Павло is responsible in Sitniks\n"
    assert run("release", "@anna.shop") == (0, said, f"in {path}\n")
    shown = crm.chat(chat)
    assert (shown["status"], shown["assignedManagerName"]) == ("AI Увага", "Павло")
    code, out, _ = run("release", "s")
    assert (code, out) == (1, "no person has the conversation: nothing to give back\n")
    with SitniksChatService() as service:
        again = service.sync_blocking("escalation", session="s", intent="m-1")
    assert (again.outcome, again.reason, again.owner) == ("skipped", "replay", "ai")
    assert crm.chat(chat)["assignedManagerName"] == "Павло"


def taken() -> None:
    """A first touch, an escalation: a person has the conversation."""
    with SitniksChatService() as service:
        service.sync_blocking("first_touch", session="s", instagram_username="anna.shop")
        assert service.sync_blocking("escalation", session="s", intent="m-1").owner == "human"


@pytest.mark.parametrize("answer", [503, 403, 200])
def test_what_sitniks_has_not_taken_is_no_success(
    crm: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, answer: int
) -> None:
    """It refuses, or takes it and does nothing: the line says so, the exit code too; asked again once it takes it, the
    command ends what it began."""
    monkeypatch.setenv("SITNIKS_RATE_LIMIT", "10/0.1")
    crm.limit = False
    chat = crm.add_chat("anna.shop")
    taken()
    fault = crm.fault("status", method="PUT", times=None) if answer == 503 else None
    crm.refuses = {} if fault else {"assign": answer}
    for _ in range(2):
        code, out, _ = run("release", "s")
        assert (code, "in Sitniks not yet: " in out) == (1, True)
        assert crm.chat(chat)["assignedManagerId"] != 101
    crm.clear_faults()
    crm.refuses = {}
    # The calls of a moment may be used up.
    wait_until(lambda: run("release", "s")[0] == 0)
    assert crm.chat(chat)["assignedManagerId"] == 101


def test_a_session_that_lost_its_chat_names_the_way_to_it(crm: Sandbox, run: Run) -> None:
    """The customer's later session has the conversation: that of before has nothing to give back."""
    crm.add_chat("anna.shop")
    taken()
    with SitniksChatService() as service:
        service.sync_blocking("first_touch", session="later", instagram_username="anna.shop")
    said = "the customer goes on in another session: give @user, or the id of the chat\n"
    assert run("release", "s")[:2] == (1, said)
    assert run("release", "@anna.shop")[1].startswith("later: the graph has the conversation again")


def test_a_name_that_nobody_has(crm: Sandbox, run: Run) -> None:
    """It is said, and nothing is written."""
    with SitniksChatService() as service:
        service.sync_blocking("first_touch", session="s", instagram_username="anna.shop")
    code, out, err = run("release", "nobody")
    assert (code, out) == (1, "")
    assert "nothing is known of “nobody”" in err


def test_a_key_is_needed(run: Run) -> None:
    """Without one Sitniks cannot be told: one line with the cure."""
    code, out, err = run("release", "s")
    assert (code, out) == (2, "")
    assert "SNITKIX_API_KEY" in err
