"""The fixture's sandbox: what leads to it, what its assertions wait for, and what they say."""

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import pytest

from mirt_sitniks import StageRule, get_sitniks_chat_service
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.settings import SitniksSettings
from mirt_sitniks.stores.memory import MemoryStore
from mirt_sitniks.testing import SitniksSandbox
from mirt_sitniks.testing.judge import Judgement

# No stall of the machine is a fault of the CRM's.
PATIENT: dict[str, Any] = {"reply_budget": 60.0, "timeout": 20.0}
IRYNA = {"session": "s", "instagram_username": "iryna.example"}


def said(error: pytest.ExceptionInfo[AssertionError]) -> str:
    """The message, without times and ids."""
    return re.sub(r"\b[0-9a-f]{24}\b", "CHAT", re.sub(r"\d\d:\d\d:\d\d", "TIME", str(error.value)))


def test_what_a_stage_asks_for_is_there(crm: SitniksSandbox) -> None:
    """Status and manager of each stage in turn, whichever way the service was made."""
    crm.add_chat("iryna.example")
    other = crm.add_chat("olena.example")
    crm.service(**PATIENT).sync_blocking("first_touch", **IRYNA)
    crm.assert_synced("s", "first_touch")
    with SitniksChatService(crm.settings()) as service:
        service.sync_blocking("give_requisites", **IRYNA)
        crm.assert_synced("s", "give_requisites")
    service = get_sitniks_chat_service()
    service.sync_blocking("escalation", **IRYNA)
    crm.assert_synced("s", "escalation")
    crm.assert_untouched(other)


def test_a_stage_of_a_shops_own_is_known_by_its_settings(crm: SitniksSandbox) -> None:
    """Its status and its manager are those of the service that was asked."""
    crm.add_chat("iryna.example")
    service = crm.service(stages={"paid": StageRule("ОПЛАЧЕНО", "human")}, **PATIENT)
    service.sync_blocking("paid", **IRYNA)
    crm.assert_synced("s", "paid")
    assert crm.judge() == Judgement(1)


def test_the_environment_leads_there_and_back(
    monkeypatch: pytest.MonkeyPatch, crm: SitniksSandbox, tmp_path: Path
) -> None:
    """Nothing of a developer's `.env` is seen."""
    (tmp_path / ".env").write_text("SITNIKS_AI_MANAGER_ID=7\nSUPABASE_URL=https://x.supabase.co\nSUPABASE_KEY=k\n")
    settings = SitniksSettings()
    assert (settings.api_url, settings.store_kind, settings.ai_manager_id) == (crm.url, "sqlite", None)
    assert settings.database == str(tmp_path / "sitniks.sqlite3")
    assert crm.settings(status_escalation="Увага").statuses["escalation"] == "Увага"


def test_an_assertion_waits_for_what_is_under_way(crm: SitniksSandbox) -> None:
    """A failed write is made up for within hundredths, while the test waits."""
    crm.add_chat("iryna.example")
    crm.fault("status", method="PATCH", times=3)
    service = crm.service(reply_budget=0.0)
    assert service.sync_blocking("escalation", **IRYNA)["outcome"] == "queued"
    crm.assert_synced("s", "escalation")


def test_it_holds_in_a_coroutine(crm: SitniksSandbox) -> None:
    """A test that is async asserts as any other, and may let its own tasks go on meanwhile."""

    async def turn() -> None:
        crm.add_chat("iryna.example")
        async with crm.service() as service:
            await service.sync("first_touch", **IRYNA)
            crm.assert_synced("s", "first_touch")
            late = asyncio.create_task(service.sync("escalation", **IRYNA))
            await asyncio.gather(asyncio.to_thread(until_asked, crm), late)
            await asyncio.to_thread(crm.assert_synced, "s", "escalation")

    asyncio.run(turn())


def until_asked(crm: SitniksSandbox) -> None:
    crm.wait(lambda: crm.count("PATCH") > 1, 60.0)


def test_a_store_of_ones_own_is_asked_as_well(crm: SitniksSandbox) -> None:
    """Also a database that only one service has."""
    crm.add_chat("iryna.example")
    crm.add_chat("olena.example")
    crm.service(store=MemoryStore(time.monotonic, time.time)).sync_blocking("escalation", **IRYNA)
    memory = crm.service(database=":memory:")
    memory.sync_blocking("first_touch", session="t", instagram_username="olena.example")
    crm.assert_synced("s", "escalation")
    crm.assert_synced("t", "first_touch")


def test_a_failure_tells_the_story_and_the_cure(crm: SitniksSandbox) -> None:
    """What the chat shows, what it shall, the last error, the ledger, and what to do."""
    crm.statuses = tuple(one for one in crm.statuses if one != "AI Увага")
    crm.add_chat("iryna.example")
    service = crm.service(notes=False, **PATIENT)
    service.sync_blocking("first_touch", **IRYNA)
    service.sync_blocking("escalation", **IRYNA)
    with pytest.raises(AssertionError) as error:
        crm.assert_synced("s", "escalation", seconds=0.0)
    lines = [line for line in said(error).splitlines() if " call: " not in line]
    assert lines[:4] == [
        "the chat of session 's' does not show 'escalation'",
        "  it shows:  Взято в роботу, Олена (iryna.example, CHAT)",
        "  it shall:  AI Увага, Олена or Марко",
        "  outcome:   failed, unknown_status: Sitniks has no status “AI Увага”: create it there or set "
        "SITNIKS_STATUS_ESCALATION",
    ]
    assert lines[4:] == [
        "  ledger:    TIME first_touch was asked for",
        "  ledger:    TIME its chat is CHAT",
        "  ledger:    TIME the status is “Взято в роботу”; responsible is manager 101",
        "  ledger:    TIME escalation was asked for",
        "  ledger:    TIME responsible is manager 102; error unknown_status",
        "  ledger:    TIME a person has the conversation: he was called by the graph",
        "  cure:      the outcome's message ends with it",
    ]


def test_what_was_never_asked_for_fails_at_once(crm: SitniksSandbox) -> None:
    """No stage, or not this one, or a later one: each is said, and nothing is waited for."""
    crm.add_chat("iryna.example")
    service = crm.service(**PATIENT)
    service.sync_blocking("first_touch", **IRYNA)
    service.sync_blocking("first_touch", session="nameless")
    began = time.monotonic()
    for session, stage, cure in (
        (
            "other",
            "first_touch",
            "no stage of this session was recorded (asked for by: 's', 'nameless'); is a sync wired behind",
        ),
        ("nameless", "first_touch", "no user name of the customer is known: set instagram_username"),
        ("s", "escalation", "this session was never brought to 'escalation'; is a sync wired behind that node"),
    ):
        with pytest.raises(AssertionError, match=re.escape(cure)):
            crm.assert_synced(session, stage, seconds=600.0)
    service.sync_blocking("escalation", **IRYNA)
    with pytest.raises(AssertionError, match="'escalation' came after it"):
        crm.assert_synced("s", "first_touch", seconds=600.0)
    assert time.monotonic() - began < 300.0


def test_what_a_person_changed_is_said(crm: SitniksSandbox) -> None:
    """A stage that respects people is held."""
    chat = crm.add_chat("iryna.example")
    service = crm.service(look_again=0.0, **PATIENT)
    service.sync_blocking("first_touch", **IRYNA)
    crm.person_sets(chat, status="ОПЛАЧЕНО")
    service.sync_blocking("give_requisites", **IRYNA)
    with pytest.raises(AssertionError, match="a person has changed the chat"):
        crm.assert_synced("s", "give_requisites")


def test_a_chat_that_is_not_there_is_named(crm: SitniksSandbox) -> None:
    """The cure is the line that adds it."""
    service = crm.service(reply_budget=0.0)
    service.sync_blocking("first_touch", **IRYNA)
    with pytest.raises(AssertionError, match=re.escape("sitniks_sandbox.add_chat('iryna.example')")):
        crm.assert_synced("s", "first_touch", seconds=0.0)


def test_a_chat_that_was_written_to_is_told(crm: SitniksSandbox) -> None:
    """A person's own changes do not count."""
    chat, other = crm.add_chat("iryna.example"), crm.add_chat("olena.example")
    crm.person_sets(other, status="ОПЛАЧЕНО")
    crm.service(**PATIENT).sync_blocking("escalation", **IRYNA)
    crm.assert_untouched(other)
    with pytest.raises(AssertionError, match="status: Нові заявки -> AI Увага"):
        crm.assert_untouched(chat)


def test_a_stage_that_does_not_exist_is_refused(crm: SitniksSandbox) -> None:
    """A misspelled stage is the test's own mistake, and names those that there are."""
    with pytest.raises(ValueError, match=r"'escalate'.*first_touch, give_requisites, escalation"):
        crm.assert_synced("s", "escalate")
