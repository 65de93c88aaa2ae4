"""A running sandbox with a shop around it; retries that do not keep tests waiting."""

from collections.abc import Iterator

import pytest

from mirt_sitniks.core import backoff, fold, scanning
from mirt_sitniks.core.record import Error
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.sandbox import Sandbox
from tests.service.shop import Shop


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox that keeps every rule but the limit."""
    with Sandbox(limit=False) as running:
        yield running


@pytest.fixture
def shop(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A shop whose services try again after hundredths of a second where they would after seconds."""

    def hasty(error: Error, attempt: int, random: float) -> float | None:
        delay = backoff.next_try(error, attempt, random)
        return delay if delay is None or error.code in backoff.SETTINGS_CODES else 0.03

    def search(attempt: int) -> float | None:
        return None if backoff.search_delay(attempt) is None else 0.03

    monkeypatch.setattr(fold, "next_try", hasty)
    monkeypatch.setattr(scanning, "search_delay", search)
    monkeypatch.setattr("mirt_sitniks.engine.driver.retry_delay", lambda attempt, random: 0.03)
    monkeypatch.setattr("mirt_sitniks.engine.gate.CAP", 0.03)
    made = Shop(sandbox)
    yield made
    made.close()


@pytest.fixture
def closings(monkeypatch: pytest.MonkeyPatch) -> list[Runtime]:
    """The runtimes that have begun to end."""
    begun: list[Runtime] = []
    aclose = Runtime.aclose

    async def noted(runtime: Runtime) -> None:
        begun.append(runtime)
        await aclose(runtime)

    monkeypatch.setattr(Runtime, "aclose", noted)
    return begun
