"""What did not work is one line at WARNING, with session, chat, code and cure in it."""

import asyncio
import copy
import logging
import pickle
import traceback
from typing import Any

import pytest

from mirt_sitniks.core.result import Outcome
from mirt_sitniks.service import SitniksChatService
from tests.service.shop import Shop, touch, wait_until


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Any:
    """The messages at WARNING or above so far."""
    caplog.set_level(logging.INFO, "mirt_sitniks")
    return lambda: [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


def test_several_people_of_one_name(shop: Shop, warnings: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Row 13: given up, not arrived; the line says what to do in Sitniks."""
    shop.sandbox.add_chat("anna.shop")
    assert touch(shop.service()).outcome is Outcome.FAILED
    (line,) = warnings()
    assert line.startswith("sitniks: given up until the next stage (chat_ambiguous): several people in Sitniks")
    assert line.endswith("session=s stage=first_touch code=chat_ambiguous")
    assert "arrived" not in caplog.text


def test_a_chat_that_is_not_there(shop: Shop, warnings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 11: said when the search begins, and when a scan, of which nobody was the driver, ends it."""
    monkeypatch.setattr("mirt_sitniks.core.scanning.search_delay", lambda attempt: 0.05 if attempt < 3 else None)
    touch(shop.service(reply_budget=0.05, rate_limit="10/0.5"), instagram_username="nobody")
    wait_until(lambda: len(warnings()) == 2)
    begun, ended = warnings()
    assert begun.startswith("sitniks: not synced yet (chat_not_found): no chat has this user name yet")
    assert ended.startswith("sitniks: given up until the next stage (chat_not_found): no chat in Sitniks has this user")
    assert all(line.endswith("session=s stage=first_touch code=chat_not_found") for line in (begun, ended))


def test_no_call_is_left(shop: Shop, warnings: Any) -> None:
    """Row 7: when the budget is used up the caller's reply is queued, and the line says for what it waits."""
    service = shop.service(reply_budget=0.0, rate_limit="1/600")
    touch(service)
    wait_until(lambda: shop.sandbox.calls)
    assert touch(service, session="t", instagram_username="vira", chat_id="c9").outcome is Outcome.QUEUED
    wait_until(lambda: any("session=t" in one for one in warnings()))
    line = next(one for one in warnings() if "session=t" in one)
    assert line.startswith("sitniks: not synced yet (rate_limited): the calls of this moment are used up")
    assert line.endswith("session=t stage=first_touch chat=c9 code=rate_limited")


def test_a_stage_that_does_not_exist(shop: Shop, warnings: Any) -> None:
    """Row 24: from plain code as from a graph; the stages that there are stand in the line."""
    assert touch(shop.service(), "refund", chat_id="c1").reason == "unknown_stage"
    (line,) = warnings()
    assert line.startswith(
        "sitniks: nothing is synced, the state, or a stage function, names a stage that the settings"
    )
    assert (
        "first_touch, give_requisites, escalation, or add it to SITNIKS_STAGES session=s chat=c1 reason=unknown_stage"
        in line
    )


def test_a_stage_that_was_given_up(shop: Shop, warnings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 9: the last of many tries says that it is the last, and what is missing in Sitniks."""
    monkeypatch.setattr("mirt_sitniks.core.backoff.REFUSED_TRIES", 1)
    result = touch(shop.service(status_escalation="Немає такого"), "escalation")
    assert result.outcome is Outcome.FAILED
    line = warnings()[-1]
    assert line.startswith("sitniks: given up until the next stage (unknown_status): Sitniks has no status “Немає")
    assert line.endswith(f"session=s stage=escalation chat={shop.chat} code=unknown_status")


def test_retry_takes_up_what_was_given_up(shop: Shop) -> None:
    """Once the cause is mended the stage that was given up is finished; what is done is only reported again."""
    other = shop.sandbox.add_chat("anna.shop")
    service = shop.service()
    assert asyncio.run(service.retry("s")) is None
    assert touch(service).outcome is Outcome.FAILED
    shop.sandbox.account.world.chat(other).nickname = "someone.else"
    result = asyncio.run(service.retry("s"))
    assert result is not None
    assert (result.outcome, result.stage) == (Outcome.SYNCED, "first_touch")
    calls = len(shop.sandbox.calls)
    again = asyncio.run(service.retry("s"))
    assert again is not None
    assert again.outcome is Outcome.SYNCED
    assert len(shop.sandbox.calls) == calls


@pytest.mark.parametrize("take", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_service_is_not_copied(shop: Shop, take: Any) -> None:
    """A copy would be a file, or frames, with the key in them: refused, and nothing of it shows the key."""
    service: SitniksChatService = shop.service()
    with pytest.raises(TypeError, match="make one where it is used") as caught:
        take({"service": service} if take is not copy.copy else service)
    frame = caught.value.__traceback__
    while frame:
        told = "".join(f"{value!r}{getattr(value, '__dict__', '')!r}" for value in frame.tb_frame.f_locals.values())
        assert shop.sandbox.key not in told or frame.tb_frame.f_code.co_filename == __file__
        frame = frame.tb_next
    assert shop.sandbox.key not in "".join(traceback.format_exception(caught.value))


def test_a_variable_that_only_looks_like_ours_is_named(
    monkeypatch: pytest.MonkeyPatch, warnings: Any, tmp_path: Any
) -> None:
    """The one service of a process says it, with the variable that is read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SITNIKS_API_URL", "https://crm.sitniks.com")
    assert not SitniksChatService().enabled
    assert warnings() == ["sitniks: SITNIKS_API_URL is not read: rename it to SNITKIX_API_URL"]
