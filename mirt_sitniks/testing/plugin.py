"""pytest's plugin: the fixture `sitniks_sandbox`, and `--sitniks-chaos`. It is imported wherever pytest runs beside the
package, so it loads nothing until a test asks for the fixture."""

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mirt_sitniks.testing.door import SitniksSandbox

# Before anybody imports it: what a test of a store found is to be told.
pytest.register_assert_rewrite("mirt_sitniks.testing.store_contract")

OPTION = "--sitniks-chaos"
NAME = "sitniks_chaos"
CALM = "sitniks_calm: this test is left in peace by --sitniks-chaos"
COUNTS = ("lost", "backwards", "duplicated")
ANY = -1


def _seed(text: str) -> int:
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"the seed is a number: {OPTION}=7, or {OPTION} alone behind the paths")


def pytest_addoption(parser: pytest.Parser) -> None:
    help = "the CRM and the store of each test with sitniks_sandbox misbehave, by this seed (default: any)"
    parser.getgroup("sitniks").addoption(
        OPTION, nargs="?", type=_seed, const=ANY, metavar="SEED", dest=NAME, default=None, help=help
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", CALM)
    seed = getattr(config, "workerinput", {}).get(NAME, config.getoption(NAME))
    if seed == ANY:
        seed = random.SystemRandom().randrange(1_000_000)
    setattr(config.option, NAME, seed)
    if seed is not None:
        config.pluginmanager.register(_Chaos(seed), "sitniks-chaos-summary")


def pytest_report_header(config: pytest.Config) -> str | None:
    seed = config.getoption(NAME)
    return None if seed is None else f"sitniks chaos: seed {seed}, again with {OPTION}={seed}"


@pytest.fixture
def sitniks_sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> "Iterator[SitniksSandbox]":
    """A local Sitniks over real HTTP for this test, with `settings()`, `service()` and `assert_synced(session, stage)`.

    The environment leads to it, so that `get_sitniks_chat_service()` does too.
    """
    try:
        from mirt_sitniks.testing.chaos import schedule
        from mirt_sitniks.testing.door import opened
    except ImportError as error:
        pytest.fail(f"sitniks_sandbox needs an extra, pip install 'mirt-sitniks[testing]': {error}", pytrace=False)
    seed, test = request.config.getoption(NAME), request.node
    chaos = None if seed is None or test.get_closest_marker("sitniks_calm") else schedule(seed, test.nodeid)
    with opened(tmp_path, chaos) as crm:
        yield crm
        if chaos:
            judged = crm.judge()
            found = {name: list(getattr(judged, name)) for name in COUNTS}
            # The reports carry this to the process that sums up.
            test.user_properties.append((NAME, json.dumps({"asked": judged.asked, **found}, ensure_ascii=False)))


class _Chaos:
    """Sums up what the tests found, and fails the run if anything was lost, backwards or duplicated."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._tests = self._asked = 0
        self._found: dict[str, list[str]] = {name: [] for name in COUNTS}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "teardown":
            return
        for name, text in report.user_properties:
            if name == NAME:
                judged: dict[str, Any] = json.loads(str(text))
                self._tests += 1
                self._asked += judged["asked"]
                for count, found in self._found.items():
                    found += [f"{report.nodeid}: {one}" for one in judged[count]]

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """A worker of xdist has the seed of the whole run."""
        node.workerinput[NAME] = self._seed

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if any(self._found.values()) and not hasattr(session.config, "workerinput"):
            session.exitstatus = max(session.exitstatus, pytest.ExitCode.TESTS_FAILED)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.section("sitniks chaos")
        counts = ", ".join(f"{name} {len(found)}" for name, found in self._found.items())
        terminalreporter.line(f"seed {self._seed}, {self._tests} tests: stages asked for {self._asked}, {counts}")
        for name, found in self._found.items():
            for one in found:
                terminalreporter.line(f"  {name}: {one}")
