"""A host's sandbox, and runs of pytest that have the kit's plugin, installed or not."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mirt_sitniks.testing import plugin
from mirt_sitniks.testing.door import SitniksSandbox, opened

# By its module: an editable install that is older than the entry point does not know it.
PLUGIN = ("-p", "no:mirt_sitniks", "-p", plugin.__name__, "-p", "no:cacheprovider")
Run = Callable[..., pytest.RunResult]


@pytest.fixture
def crm(tmp_path: Path) -> Iterator[SitniksSandbox]:
    """What a host's test gets as `sitniks_sandbox`."""
    with opened(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """All that a host's test loads is there before the first run in this process, which forgets what it has loaded:
    whoever keeps a part of that would not know its errors again."""
    with opened(tmp_path_factory.mktemp("loaded")) as made, made.service() as service:
        made.add_chat("iryna.example")
        service.sync_blocking("first_touch", session="s", instagram_username="iryna.example")
        made.assert_synced("s", "first_touch")


@pytest.fixture
def run(pytester: pytest.Pytester, loaded: None) -> Run:
    """A run of pytest in this process: a host's tests, then options."""

    def runs(tests: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(tests)
        return pytester.runpytest_inprocess(*PLUGIN, *options)

    return runs
