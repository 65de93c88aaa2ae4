"""Whatever a host hands over, or has around it: an outcome, and never an exception."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from mirt_sitniks.core.result import Outcome
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.stores.sqlite import SqliteStore
from tests.service.shop import Shop, synced, touch


def test_row24_a_hosts_logging_breaks_nothing(shop: Shop) -> None:
    """A record factory that writes `stage` and `session` itself, and a filter that raises: synced all the same."""
    before, logger = logging.getLogRecordFactory(), logging.getLogger("mirt_sitniks")

    def factory(*args: Any, **more: Any) -> logging.LogRecord:
        record = before(*args, **more)
        record.stage = record.session = record.code = "the host's own"
        return record

    def refuse(record: logging.LogRecord) -> bool:
        raise RuntimeError("a filter of the host")

    logging.setLogRecordFactory(factory)
    logger.addFilter(refuse)
    try:
        synced(touch(shop.service()))
        assert touch(shop.service(api_key="", rate_limit="9/10.5")).outcome is Outcome.DISABLED
    finally:
        logging.setLogRecordFactory(before)
        logger.removeFilter(refuse)


def test_row24_a_missing_user_name_is_said_with_where_to_put_it(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """The likeliest first mistake: skipped, and a warning that names the keys."""
    result = touch(shop.service(), telegram_username=None)
    assert (result.outcome, result.reason) == (Outcome.SKIPPED, "no_username")
    assert "instagram_username, telegram_username or user_nickname" in caplog.text


@pytest.mark.parametrize(
    ("stage", "session", "reason"),
    [
        ("no such stage", "s", "unknown_stage"),
        (None, "s", "unknown_stage"),
        (17, "s", "unknown_stage"),
        ("escalation", "", "no_session"),
        ("escalation", "   ", "no_session"),
        ("escalation", None, "no_session"),
    ],
)
def test_row24_what_makes_no_sense_is_skipped(shop: Shop, stage: Any, session: Any, reason: str) -> None:
    """With the reason, and never an exception."""
    result = touch(shop.service(), stage, session=session)
    assert (result.outcome, result.reason) == (Outcome.SKIPPED, reason)
    assert shop.sandbox.calls == ()


@pytest.mark.parametrize(
    "odd",
    [
        {"session": "сесія/../ї?#%00\x00\ud800"},
        {"session": "s" * 5000},
        {"chat_id": "../managers"},
        {"chat_id": "a/b?c=d#e"},
        {"chat_id": 17},
        {"reason": "x" * 100_000},
        {"reason": {"not": "text"}},
        {"intent": "\x00'; drop table sitniks_ledger; --"},
        {"instagram_username": 5},
        {"instagram_username": "\x00\ud800"},
    ],
    ids=lambda odd: next(iter(odd)),
)
def test_row24_odd_values_never_raise(shop: Shop, tmp_path: Path, odd: dict[str, Any]) -> None:
    """Any outcome but an exception; an id from outside never becomes part of a path unencoded."""
    store = SqliteStore(tmp_path / "s.sqlite3")
    service = shop.service(store=store, worker=False, reply_budget=0.3)
    result = touch(service, "escalation", **odd)
    assert result.outcome in Outcome
    assert shop.sandbox.count(None, r"/\.\./|chats/.*/.*/") == 0
    service.close()
    asyncio.run(store.aclose())


@pytest.mark.parametrize("session", [0, "сесія\ud800\x00"])
def test_row24_odd_sessions_are_answered_at_once(shop: Shop, session: Any) -> None:
    """A number, zero too, and text that no database holds: the caller hears of what became of it."""
    synced(touch(shop.service(), session=session))


@pytest.mark.parametrize("stage", ["First-Touch", "GIVE_REQUISITS", " escalation ", Stage.ESCALATION])
def test_row24_stages_as_people_write_them(shop: Shop, stage: Any) -> None:
    """Letter case, dashes, spaces and the original's spelling."""
    synced(touch(shop.service(), stage))


@pytest.mark.parametrize("around", ["{}\n", "  {}\t", "\r\n{}\r\n"])
def test_row26_white_space_around_the_key_is_stripped(shop: Shop, around: str) -> None:
    """As a file or a shell leaves it."""
    synced(touch(shop.service(api_key=around.format(shop.sandbox.key))))
