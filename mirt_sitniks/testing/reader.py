"""The stores of a test's services, read beside them."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from mirt_sitniks.core.record import Record
from mirt_sitniks.core.store import Entry, Store
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.settings import SitniksSettings

T = TypeVar("T")
SECONDS = 10.0


class Reader:
    """Reads the file that `settings` name, and the stores that only the services of `others` have."""

    def __init__(self, settings: Callable[[], SitniksSettings]) -> None:
        self._settings = settings
        self._own: SitniksChatService | None = None
        self.others: list[SitniksChatService] = []

    def get(self, session: str) -> Record | None:
        """The session's record, of the first store that knows it."""
        return next((one for one in self._all(lambda store: store.get(session)) if one), None)

    def ledger(self, session: str) -> list[Entry]:
        """The session's lines, the oldest first."""
        return [entry for lines in self._all(lambda store: store.ledger(session, limit=1000)) for entry in lines]

    def pending(self) -> int:
        """How many sessions have something left to be done."""
        return sum(counts["pending"] for counts in self._all(lambda store: store.counts()))

    def close(self) -> None:
        """Let go of the file."""
        if self._own:
            self._own.close()

    def _all(self, verb: Callable[[Store], Coroutine[Any, Any, T]]) -> list[T]:
        self._own = self._own or SitniksChatService(self._settings(), worker=False)
        begun = [one.begin(lambda runtime: verb(runtime.store)) for one in (self._own, *self.others)]
        return [one.result(SECONDS) for one in begun]
