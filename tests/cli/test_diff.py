"""`mirt-sitniks diff` says what Sitniks shows differently and whose change that is, and makes one of both right."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from mirt_sitniks.cli import diff
from mirt_sitniks.core.record import DesiredValue
from mirt_sitniks.core.stages import BUILT_IN, Stage
from mirt_sitniks.sandbox import Sandbox
from tests.cli import shop
from tests.cli.conftest import Run

NAMES = ("iryna.example", "olena.example", "marko.example")
Json = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def chats(crm: Sandbox, tmp_path: Path) -> dict[str, str]:
    """Three customers whose first touch is in the CRM, by name; the third of them went on."""
    made = {name: crm.add_chat(name) for name in NAMES}
    stages = {NAMES[2]: (Stage.FIRST_TOUCH, Stage.GIVE_REQUISITES)}
    records = []
    for name, chat in made.items():
        mine = stages.get(name, (Stage.FIRST_TOUCH,))
        record = shop.named(shop.record_at(*mine, confirmed=len(mine)), name, 60, name, chat)
        records.append(replace(record, desired=replace(record.desired, asked_at=time.time())))
        crm.person_sets(chat, BUILT_IN[mine[-1]].status, 101)
    shop.fill(tmp_path / "sitniks.sqlite3", records, (), None)
    return made


@pytest.fixture
def told(run: Run) -> Json:
    """What `diff --json` says."""

    def compared(*arguments: str) -> tuple[int, dict[str, Any]]:
        code, out, _ = run("diff", *arguments, "--json")
        return code, json.loads(out)

    return compared


def writes(crm: Sandbox) -> int:
    """How many writes the CRM has seen."""
    return crm.count("PATCH") + crm.count("PUT")


def test_all_is_in_sync(crm: Sandbox, chats: dict[str, str], told: Json, run: Run) -> None:
    """One page of chats for all of them, nothing written, exit code 0."""
    before, asked = writes(crm), len(crm.calls)
    code, found = told()
    assert (code, found["compared"], found["in_sync"], found["differences"]) == (0, 3, 3, [])
    assert (writes(crm), len(crm.calls)) == (before, asked + 1)
    assert found["store"]["kind"] == "sqlite"


def test_a_difference_names_field_and_whose_change_it_is(
    crm: Sandbox,
    chats: dict[str, str],
    told: Json,
    run: Run,
    snapshot: SnapshotAssertion,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a person set is a person's; our own earlier status in place of the later one is a write that was lost."""
    crm.person_sets(chats[NAMES[0]], "ОПЛАЧЕНО", 102)
    crm.person_sets(chats[NAMES[2]], "Взято в роботу")
    code, found = told()
    assert (code, found["in_sync"], found["out_of_sync"]) == (1, 1, 2)
    seen = {(one["session"], one["field"]): (one["whose"], one["known"], one["shown"]) for one in found["differences"]}
    assert seen == {
        (NAMES[0], "status"): ("person", "Взято в роботу", "ОПЛАЧЕНО"),
        (NAMES[0], "manager"): ("person", 101, 102),
        (NAMES[2], "status"): ("ours", "Виставлено рахунок", "Взято в роботу"),
    }
    code, found = told("--whose", "ours")
    assert [one["session"] for one in found["differences"]] == [NAMES[2]]
    monkeypatch.setenv("COLUMNS", "120")
    code, out, _ = run("diff")
    assert (code, "\n".join(line.rstrip() for line in out.splitlines()[:-1])) == (1, snapshot)


def test_what_the_crm_shows_is_adopted(crm: Sandbox, chats: dict[str, str], told: Json, run: Run) -> None:
    """Nothing is written there; the session reads as held, and the ledger says so."""
    crm.person_sets(chats[NAMES[0]], "ОПЛАЧЕНО", 102)
    before = writes(crm)
    code, found = told("--adopt", "--dry-run")
    assert (code, found["done"], found["cost"]["calls"]) == (1, 0, {})
    code, found = told("--adopt")
    assert (code, found["done"], writes(crm)) == (0, 1, before)
    assert told()[0] == 0
    (session,) = json.loads(run("show", NAMES[0], "--json")[1])["sessions"]
    assert (session["outcome"], session["observed"]["manager_id"]) == ("held", 102)
    assert session["ledger"][-1]["text"] == "a person set “ОПЛАЧЕНО”, which stays; responsible is manager 102"


def test_ours_is_written_again_at_the_operators_word(crm: Sandbox, chats: dict[str, str], told: Json) -> None:
    """Also over what a person set; of one customer alone if he is named; what it costs is said first."""
    for name in NAMES[:2]:
        crm.person_sets(chats[name], "ОПЛАЧЕНО", 102)
    before = writes(crm)
    code, found = told("--reassert", "--dry-run")
    assert (code, found["cost"]["calls"], writes(crm)) == (1, {"read": 2, "status": 2, "assign": 2}, before)
    code, found = told(NAMES[0], "--reassert")
    assert (code, found["compared"], found["done"], writes(crm)) == (0, 1, 1, before + 2)
    chat = crm.chat(chats[NAMES[0]])
    assert (chat["status"], chat["assignedManagerId"]) == ("Взято в роботу", 101)
    assert crm.chat(chats[NAMES[1]])["status"] == "ОПЛАЧЕНО"
    assert [one["session"] for one in told()[1]["differences"]] == [NAMES[1]] * 2


def test_what_changed_since_the_list_was_read_is_left_alone(
    crm: Sandbox, chats: dict[str, str], told: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a person's newer change is written over, nor is an old list noted over what a host did meanwhile."""
    crm.person_sets(chats[NAMES[0]], "ОПЛАЧЕНО")
    do = diff._do

    async def later(work: diff.Work, out: Any) -> Any:
        crm.person_sets(chats[NAMES[2]], "ОПЛАЧЕНО")
        await work.store.observe(chats[NAMES[0]], status="Оформлено замовлення")
        return await do(work, out)

    monkeypatch.setattr(diff, "_do", later)
    before = writes(crm)
    code, found = told(NAMES[0], "--adopt")
    assert (code, found["done"], list(found["failed"])) == (1, 0, [NAMES[0]])
    crm.person_sets(chats[NAMES[2]], "Взято в роботу")
    code, found = told("--whose", "ours", "--reassert")
    assert (code, found["done"], list(found["failed"]), writes(crm)) == (1, 0, [NAMES[2]], before)
    assert told(NAMES[0])[1]["differences"][0]["known"] == "Оформлено замовлення"


def test_nobody_is_not_said_to_be_noted(crm: Sandbox, chats: dict[str, str], told: Json) -> None:
    """A store has no place for nobody: exit code 1, and the cure."""
    crm.account.world._chats[chats[NAMES[0]]].manager_id = None
    code, found = told("--adopt")
    assert (code, found["done"], list(found["failed"])) == (1, 0, [NAMES[0]])
    assert "--reassert" in found["failed"][NAMES[0]]


def test_a_stage_without_a_status_here_is_not_written(
    crm: Sandbox, chats: dict[str, str], told: Json, tmp_path: Path
) -> None:
    """Another process knows the shop's stage, this one does not: nothing is sent, and the message says so."""
    touched = shop.named(shop.record_at(Stage.FIRST_TOUCH, confirmed=1), NAMES[0], 60, NAMES[0], chats[NAMES[0]])
    status = replace(touched.desired.status, value="paid")
    paid = replace(touched, desired=replace(touched.desired, status=status, manager=DesiredValue()))
    paid = shop.held(paid, "ОПЛАЧЕНО")
    (tmp_path / "sitniks.sqlite3").unlink()
    shop.fill(tmp_path / "sitniks.sqlite3", [paid], (), None)
    before = writes(crm)
    code, found = told(NAMES[0], "--reassert")
    assert (code, found["done"], writes(crm)) == (1, 0, before)
    assert "stage paid" in found["failed"][NAMES[0]]


def test_a_write_that_is_refused_is_named_and_the_others_go_on(crm: Sandbox, chats: dict[str, str], told: Json) -> None:
    """Exit code 1, with the message of the one that failed."""
    for name in NAMES[:2]:
        crm.person_sets(chats[name], "ОПЛАЧЕНО")
    crm.fault("refuse", method="PATCH", path=chats[NAMES[0]], times=None, status=422, message="chat is closed")
    code, found = told("--reassert")
    assert (code, found["done"], list(found["failed"])) == (1, 1, [NAMES[0]])


def test_a_chat_that_is_not_listed_is_unknown(crm: Sandbox, chats: dict[str, str], told: Json, run: Run) -> None:
    """So is one that is gone, when it is asked for by name."""
    del crm.account.world._chats[chats[NAMES[0]]]
    code, found = told()
    assert (code, found["unknowns"]) == (0, [{"session": NAMES[0], "reason": "not_listed"}])
    assert told(NAMES[0])[1]["unknowns"] == found["unknowns"]
    assert "2 in sync, 0 out of sync, 1 unknown (not listed)" in run("diff")[1]


def test_a_crm_that_cannot_be_read_is_one_line(crm: Sandbox, chats: dict[str, str], run: Run, tmp_path: Path) -> None:
    """Exit code 1, and nothing is compared with half a list."""
    crm.fault("status", times=None)
    code, out, err = run("diff", "--adopt")
    assert (code, out) == (1, "")
    assert "500" in err
