"""What a test's services were asked for, seen at their door: whoever made them, and whatever their store says."""

import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest

from mirt_sitniks import service
from mirt_sitniks.core.record import Intent, keys_of
from mirt_sitniks.core.result import Outcome, SyncResult
from mirt_sitniks.core.store import row_of
from mirt_sitniks.engine.intents import intent_of
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.errors import StoreError
from mirt_sitniks.settings import SitniksSettings
from mirt_sitniks.stores.sqlite import SqliteStore
from mirt_sitniks.testing.chaos import Lapse
from mirt_sitniks.testing.judge import Asked


@dataclass
class Watched:
    """One session: what was asked for, by which names and chats, with which settings, and what was answered last."""

    asked: list[Asked] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    settings: SitniksSettings | None = None
    under_way: int = 0
    told: SyncResult | None = None

    @property
    def hopeless(self) -> bool:
        """Whether nothing that was asked for is still on its way to the store."""
        return not self.under_way and (self.told is None or self.told.outcome is not Outcome.QUEUED)


class Watch:
    """Notes every sync of this process while `patch` lasts. Sessions are named as in the store."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.sessions: defaultdict[str, Watched] = defaultdict(Watched)
        # In the caller's own step, and where the store has been heard: what is between is under way.
        patch.setattr(service, "intent_of", self._asking(intent_of))
        patch.setattr(Runtime, "sync", self._telling(Runtime.sync))

    def _of(self, settings: SitniksSettings, intent: Intent) -> Watched:
        return self.sessions[row_of(settings.account, intent.session)]

    def _asking(self, made: Any) -> Any:
        def asking(settings: SitniksSettings, *args: Any, **about: Any) -> Any:
            intent = made(settings, *args, **about)
            if isinstance(intent, Intent):
                seen = self._of(settings, intent)
                seen.settings = settings
                seen.names |= {name for name in (intent.instagram, intent.telegram, intent.chat_id) if name}
                if seen.names:
                    # Without a name there is no chat to bring anywhere.
                    seen.asked.append(Asked(str(intent.stage), keys_of(intent), time.time()))
                seen.under_way += 1
            return intent

        return asking

    def _telling(self, sync: Any) -> Any:
        async def telling(runtime: Runtime, intent: Intent, budget: float | None = None) -> SyncResult:
            seen = self._of(runtime.settings, intent)
            try:
                seen.told = await sync(runtime, intent, budget)
                return seen.told
            finally:
                seen.under_way -= 1

        return telling


def lapses(patch: pytest.MonkeyPatch, store: dict[str, tuple[Lapse, ...]]) -> None:
    """While `patch` lasts, the first calls of the SQLite store's verbs meet what `store` says of them."""
    for verb, left in store.items():
        patch.setattr(SqliteStore, verb, _lapsing(getattr(SqliteStore, verb), list(left)))


def _lapsing(verb: Any, left: list[Lapse]) -> Any:
    async def lapsing(self: SqliteStore, *args: Any, **more: Any) -> Any:
        lapse = left.pop(0) if left else None
        if lapse == "before":
            raise StoreError("the store is away")
        answer = await verb(self, *args, **more)
        if lapse == "after":
            raise StoreError("the store's answer was lost")
        return answer

    return lapsing
