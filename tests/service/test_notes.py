"""The note of an escalation over real HTTP: what staff read, what its faults cost, and that there are never two."""

import asyncio
import json
import logging
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from mirt_sitniks.core.result import Outcome
from mirt_sitniks.errors import StoreError
from mirt_sitniks.settings import SitniksSettings
from tests.service.shop import Shop, synced, touch, wait_until
from tests.service.test_store_away import AWAY, Away

ROUTE = "/notes$"


def escalate(service: Any, **more: Any) -> Any:
    """Call a person, in the customer's words."""
    about = {"reason": "повернення", "words": "Верніть гроші на 4149 4999 1234 5678 <b>!</b>", "intent": "e"}
    return touch(service, "escalation", **{**about, **more})


def fates(shop: Shop, session: str = "s") -> list[str]:
    """What the ledger says of a session's notes."""
    lines = asyncio.run(shop.store.ledger(session))
    return [line.after["note"] for line in lines if "note" in line.after]


def at_rest(shop: Shop, session: str) -> bool:
    """Whether nobody works on a session, and it owes no note."""
    return not shop.record(session).notes and shop.record(session).lease_until == 0.0


def left(shop: Shop) -> list[str]:
    """The notes that the chat has."""
    return [str(one["text"]) for one in shop.sandbox.notes(shop.chat)]


def test_an_escalation_leaves_a_note(shop: Shop, snapshot: SnapshotAssertion) -> None:
    """One call behind its two, and what it says; an invoice and a first touch leave none."""
    service = shop.service(notes=True)
    for stage in ("first_touch", "give_requisites"):
        synced(touch(service, stage))
    synced(escalate(service))
    wait_until(lambda: fates(shop)[-1:] == ["sent"])
    synced(escalate(service))
    (call,) = [one for one in shop.sandbox.calls if one.path.endswith("/notes")]
    assert shop.sandbox.calls[-1] is call
    line = f"{call.method} {call.path.replace(shop.chat, '<chat>')}"
    assert f"{line} {json.dumps(call.body, ensure_ascii=False, indent=1)} -> {call.status}" == snapshot
    assert not shop.record().notes


def test_notes_can_be_turned_off_and_worded(shop: Shop) -> None:
    """`SITNIKS_NOTES=false`, a template of the shop's, and a stage's own note, or none."""
    shop.options["rate_limit"] = "10/0.1"
    quiet = {"escalation": {"status": "AI Увага", "assign": "human", "respects_people": False, "note": ""}}
    synced(escalate(shop.service(notes=False), session="a"))
    synced(escalate(shop.service(notes=True, stages=quiet), session="b", intent="b"))
    own = {"paid": {"status": "ОПЛАЧЕНО", "note": "Оплата: {words}"}}
    service = shop.service(notes=True, note_template="{stage} -> {reason}", stages=own)
    synced(escalate(service, session="c", intent="c"))
    synced(touch(service, "paid", session="c", intent="p", words="ось чек"))
    wait_until(lambda: len(left(shop)) == 2)
    assert left(shop) == ["-> повернення", "Оплата: ось чек"]


@pytest.mark.parametrize("status", [403, 404, 405])
def test_row39_an_account_that_takes_no_notes(shop: Shop, status: int, caplog: pytest.LogCaptureFixture) -> None:
    """The stage is synced, one line at WARNING has the cure; so has the status once it is the account's affair."""
    caplog.set_level(logging.WARNING, "mirt_sitniks")
    service = shop.service(notes=True, rate_limit="10/0.1")
    shop.sandbox.fault("refuse", method="POST", path=ROUTE, times=None, status=status)
    for number in range(4):
        shop.sandbox.add_chat(f"n{number}")
        done = escalate(service, session=f"s{number}", instagram_username=f"n{number}", intent=str(number))
        assert done.outcome is Outcome.SYNCED, done
        wait_until(partial(at_rest, shop, f"s{number}"))
    (line,) = [one.getMessage() for one in caplog.records if "note" in one.getMessage()]
    assert line.startswith(
        f"sitniks: no note was left, all else goes on: Sitniks answered {status} to CreateNote: this"
    )
    assert "give it this right in Sitniks" in line
    assert shop.sandbox.count("POST", ROUTE) <= 3
    health = asyncio.run(service.status())
    assert health["ok"]
    assert any(one["kind"] == "note" for one in health["refused"])


@pytest.mark.parametrize("kind", ["answer_lost", "reset_body", "hang", "reset", "html", "applied_late"])
def test_row04_a_note_without_an_answer_is_not_repeated(shop: Shop, kind: str) -> None:
    """Left or not, nobody knows: one call, and the ledger says so; the stage is synced."""
    service = shop.service(notes=True, timeout=0.5 if kind in ("hang", "applied_late") else 10.0)
    options: dict[str, Any] = {"seconds": 0.05} if kind == "applied_late" else {}
    shop.sandbox.fault(kind, method="POST", path=ROUTE, **options)
    synced(escalate(service))
    wait_until(lambda: fates(shop) == ["unknown"] * 2)
    synced(escalate(service))
    synced(touch(service, "give_requisites", intent="later"))
    assert shop.sandbox.count("POST", ROUTE) == 1
    assert len(left(shop)) <= 1


def test_row07_a_note_that_met_the_limit_is_left_later(shop: Shop) -> None:
    """A 429 has done nothing: the key rests, then the note is left once."""
    service = shop.service(notes=True)
    shop.sandbox.fault("rate_limited", method="POST", path=ROUTE, retry_after="1")
    synced(escalate(service))
    wait_until(lambda: fates(shop)[-1:] == ["sent"])
    assert len(left(shop)) == 1
    assert shop.sandbox.count("POST", ROUTE) == 2


def test_row03_a_note_is_not_sent_again_after_a_crash(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process ends between the grant and the answer: the file has no word of the note, and another process, with
    more to do in that session, does not send it again."""
    monkeypatch.setattr("mirt_sitniks.engine.runtime.DRAIN", 0.0)
    path = str(tmp_path / "s.sqlite3")
    first = shop.service(notes=True, database=path, timeout=20.0)
    shop.sandbox.fault("hang", method="POST", path=ROUTE)
    synced(escalate(first, words="мої слова"))
    wait_until(lambda: shop.sandbox.count("POST", ROUTE) == 1)
    asyncio.run(first.aclose())
    with sqlite3.connect(path) as file:
        details = str(file.execute("select details from sitniks_chat_mappings").fetchall())
        ledger = file.execute("select after from sitniks_ledger where kind = 'note'").fetchall()
        file.execute("update sitniks_chat_mappings set lease_until = 0")
    file.close()
    assert "слова" not in details
    assert json.loads(ledger[-1][0]) == {"note": "unknown"}
    second = shop.service(notes=True, database=path, sweep=0.05)
    synced(escalate(second))
    synced(touch(second, "give_requisites", intent="later"))
    assert shop.sandbox.count("POST", ROUTE) == 1


def test_row30_a_note_waits_for_a_store_that_is_away(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The status is written past the store; the note comes once the stage is recorded, once."""
    monkeypatch.setattr("mirt_sitniks.engine.direct.MOMENT", 0.0)
    store = Away(shop)
    service = shop.service(notes=True, store=store, reply_budget=0.5, rate_limit="10/0.2")
    synced(touch(service))
    store.error = AWAY
    told = escalate(service, chat_id=shop.chat)
    shop.shows("AI Увага", 101)
    assert told.outcome is not Outcome.FAILED
    assert left(shop) == []
    store.error = None
    wait_until(lambda: fates(shop)[-1:] == ["sent"])
    assert len(left(shop)) == 1


def test_a_template_that_cannot_be_right_is_refused_at_the_start() -> None:
    """One line with the variable and the cure, and without the text."""
    with pytest.raises(Exception, match="SITNIKS_NOTE_TEMPLATE cannot be right: give plain text") as caught:
        SitniksSettings(note_template="{secret}", _env_file=None)
    assert "secret" not in str(caught.value)
    assert not isinstance(caught.value, StoreError)
