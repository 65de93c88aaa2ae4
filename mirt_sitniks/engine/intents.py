"""The intent that a stage of a session is, or the result that says why there is none, or that it is not recorded."""

import time
import uuid
from collections.abc import Sequence
from logging import INFO, WARNING
from typing import Required

from mirt_sitniks.core.chats import normalise_username
from mirt_sitniks.core.notes import LOOKED_AT, REASON
from mirt_sitniks.core.record import Intent, intent_key
from mirt_sitniks.core.result import SKIPS, Outcome, SyncResult, iso
from mirt_sitniks.core.stages import Stage, parse_stage
from mirt_sitniks.core.text import clean
from mirt_sitniks.engine.holding import Who
from mirt_sitniks.errors import SitniksError, StoreError
from mirt_sitniks.log import log
from mirt_sitniks.settings import SitniksSettings

AWAY = "the store has not answered yet: the stage is recorded as soon as it does"
NOT_YET = {"code": StoreError.code, "message": AWAY}


class About(Who, total=False):
    """What a sync is about, and how its caller names the event."""

    session: Required[str]
    reason: str | None
    intent: str | Sequence[str] | None
    words: str | None


def intent_of(
    settings: SitniksSettings,
    stage: Stage | str,
    *,
    session: str,
    instagram_username: str | None = None,
    telegram_username: str | None = None,
    reason: str | None = None,
    chat_id: str | None = None,
    intent: str | Sequence[str] | None = None,
    words: str | None = None,
) -> Intent | SyncResult:
    """The intent to record, or the result that says why there is none."""
    rules = settings.rules
    known = parse_stage(stage, rules)
    name = "" if session is None else clean(str(session))
    if known is None or not name.strip():
        why = "no_session" if known else "unknown_stage"
        log(
            WARNING,
            "nothing is synced, %s",
            SKIPS[why],
            session=name or None,
            chat=chat_id,
            stage=known,
            reason=why,
        )
        return SyncResult(known, iso(time.time()), Outcome.SKIPPED, reason=why)
    if not settings.enabled:
        role = rules[known].role
        would = f"“{rules[known].status}”" + (f" and assign the {role} manager" if role else "")
        log(INFO, "disabled, would set status %s", would, session=name, chat=chat_id, stage=str(known))
        return SyncResult(known, iso(time.time()), Outcome.DISABLED)
    once = rules[known].once or known == Stage.FIRST_TOUCH
    first, *more = intent if isinstance(intent, list | tuple) and intent else [intent]
    return Intent(
        session=name,
        stage=known,
        key=intent_key(known, str(first or uuid.uuid4().hex), once=once),
        also=intent_key(known, str(more[0]), once=once) if more and not once else None,
        instagram=normalise_username(instagram_username),
        telegram=normalise_username(telegram_username),
        chat_id=chat_id,
        reason=str(reason)[:REASON] if reason else None,
        words=str(words)[:LOOKED_AT] if words and rules[known].note else None,
    )


def not_recorded(intent: Intent, error: SitniksError | None) -> SyncResult:
    """What is told of a stage that is not recorded yet: it will be, unless that needs a person or cannot be."""
    mended = error is None or (isinstance(error, StoreError) and error.kind == "away")
    return SyncResult(
        intent.stage,
        iso(time.time()),
        Outcome.QUEUED if mended else Outcome.FAILED,
        chat_id=intent.chat_id,
        status=intent.written,
        error={"code": error.code, "message": error.message} if error else NOT_YET,
    )
