"""A running sandbox, a client that has its key, and a clock that tests move by hand."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest

from mirt_sitniks.sandbox import Sandbox

from .browser import Browser, chromium


@dataclass
class HandClock:
    """A clock that stands still until a test moves it."""

    seconds: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds


@pytest.fixture
def clock() -> HandClock:
    """A clock at a fixed date in 2027."""
    return HandClock()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox without the limit, so that a test may ask as often as it likes."""
    with Sandbox(limit=False) as running:
        yield running


@pytest.fixture
def api_of() -> Iterator[Callable[..., httpx.Client]]:
    """Makes clients for a sandbox's Open API; closes them at the end."""
    made: list[httpx.Client] = []

    def make(sandbox: Sandbox, key: str | None = None) -> httpx.Client:
        headers = {"Authorization": f"Bearer {sandbox.key if key is None else key}"}
        made.append(httpx.Client(base_url=sandbox.url + "/open-api", headers=headers, timeout=60, trust_env=False))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def api(sandbox: Sandbox, api_of: Callable[..., httpx.Client]) -> httpx.Client:
    """A client of the running sandbox with the right key."""
    return api_of(sandbox)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests here."""
    with chromium(tmp_path_factory.mktemp("profile")) as running:
        if running is None:
            pytest.skip("no Chromium")
        yield running


@pytest.fixture
def screen(browser: Browser) -> Iterator[Callable[..., None]]:
    """Changes the screen's size until the end of the test."""
    yield browser.resize
    browser.resize(0, 0)
