"""What every test has: the guards around it, planted secrets, the Supabase stack, and a report of what was left out."""

import errno
import importlib.util
import json
import os
import re
import socket
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from blockbuster import BlockBuster, BlockingError
from packaging.requirements import Requirement

from tests.postgres import stack as supabase

pytest.register_assert_rewrite("mirt_sitniks.testing.store_contract")

# A developer's own keys and databases are none of the tests' business.
for _name in [name for name in os.environ if name.startswith(("SNITKIX_", "SITNIKS_", "SUPABASE_"))]:
    del os.environ[_name]

# A busy machine is no fault of a test's.
PATIENT: dict[str, Any] = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("dev", **PATIENT)
# What fails is named with what repeats it; to make it small can take longer than all the rest.
FOUND = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
hypothesis.settings.register_profile("ci", **PATIENT, derandomize=True, database=None, print_blob=True, phases=FOUND)
hypothesis.settings.load_profile("dev")


def pytest_configure(config: pytest.Config) -> None:
    spec = importlib.util.find_spec("mirt_sitniks")
    found = Path(spec.origin) if spec and spec.origin else None
    if os.environ.get("MIRT_SITNIKS_WHEEL") and not (found and found.is_relative_to(sys.prefix)):
        pytest.exit(f"mirt_sitniks is to be the installed wheel's, but is {found}", returncode=3)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "supabase_stack" in metafunc.fixturenames:
        versions = supabase.chosen() or [0]
        if any(mark.name == "long" for mark in metafunc.definition.iter_markers()):
            versions = versions[:1]
        names = [f"pg{major}" for major in versions]
        metafunc.parametrize("supabase_stack", versions, ids=names, indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks what uses the stack, leaves away what the installed versions are not meant to do; the longest come first,
    so that several workers end together."""
    kept: list[pytest.Item] = []
    away: list[pytest.Item] = []
    for item in items:
        if "supabase_stack" in getattr(item, "fixturenames", ()):
            item.add_marker("postgres")
        needs = [Requirement(mark.args[0]) for mark in item.iter_markers("requires")]
        fits = all(need.specifier.contains(version(need.name), prereleases=True) for need in needs)
        (kept if fits else away).append(item)
    items[:] = sorted(kept, key=lambda item: (not item.get_closest_marker("long"), not item.get_closest_marker("slow")))
    config.hook.pytest_deselected(items=away)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Writes counts, the reasons of skips and what failed to the file that MIRT_SITNIKS_REPORT names."""
    if path := os.environ.get("MIRT_SITNIKS_REPORT"):
        stats = terminalreporter.stats
        skipped = stats.get("skipped", [])
        tests = {
            "passed": len(stats.get("passed", [])),
            "failed": len(stats.get("failed", [])) + len(stats.get("error", [])),
            "skipped": len(skipped),
        }
        reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
        # Without the group in which xdist keeps a test.
        bad = {report.nodeid.split("@demo")[0] for report in (*stats.get("failed", []), *stats.get("error", []))}
        Path(path).write_text(json.dumps({"tests": tests, "left_out": reasons, "bad": sorted(bad)}))


@pytest.fixture(scope="session")
def supabase_stack(request: pytest.FixtureRequest) -> Iterator[supabase.Stack]:
    """A real PostgreSQL behind PostgREST, once a session and version; the test calls `reset()` first."""
    try:
        stack = supabase.Stack(request.param)
    except supabase.Missing as missing:
        pytest.skip(f"Supabase stack: {missing}")
    yield stack
    stack.close()


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working folder is empty and the test's own: no `.env` is read and no database is left in the checkout."""
    monkeypatch.chdir(tmp_path)


@dataclass(frozen=True, slots=True)
class Planted:
    """Secrets to hand to the code under test; none of them may turn up anywhere else."""

    crm_key: str = "planted-crm-7Jq2vX9sLw4RzT8b"
    supabase_key: str = supabase.token("service_role", secret="planted" * 6, exp=4_102_444_800)
    webhook_secret: str = "planted-webhook-Vn5cPz8Ry3Lm"
    customer_text: str = "planted-customer-words-Kd83hQ"

    def assert_absent(self, *texts: object) -> None:
        """Fails when a secret, or its tell-tale part, stands in the str() or repr() of a text."""
        marks = {
            "CRM key": self.crm_key.rpartition("-")[2],
            "Supabase key": self.supabase_key.rpartition(".")[2],
            "webhook's secret": self.webhook_secret.rpartition("-")[2],
            "customer's text": self.customer_text.rpartition("-")[2],
        }
        for text in texts:
            for name, mark in marks.items():
                where = re.search(rf".{{0,80}}{re.escape(mark)}", f"{text}\n{text!r}")
                assert where is None, f"{name} leaked: {where.group()}"


@pytest.fixture
def planted() -> Planted:
    """Secrets that are planted to be looked for."""
    return Planted()


_strangers: list[str] = []


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> Iterator[None]:
    """No test reaches beyond this machine: a strange address is unreachable, a strange name unknown, at once."""
    patch = pytest.MonkeyPatch()
    for verb in ("connect", "connect_ex"):
        patch.setattr(socket.socket, verb, _guarded(getattr(socket.socket, verb)))
    lookup = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if _is_loopback(host):
            return lookup(host, *args, **kwargs)
        # Names below .invalid are for tests of a DNS that fails.
        name = host.decode() if isinstance(host, bytes) else str(host)
        if not name.endswith(".invalid"):
            _strangers.append(str(host))
        raise socket.gaierror(socket.EAI_NONAME, f"tests know no host {host}")

    patch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def _no_strangers() -> Iterator[list[str]]:
    """Fails the test in which somebody tried to reach beyond this machine, even if the code swallowed the error."""
    _strangers.clear()
    yield _strangers
    assert not _strangers, f"tried to reach {_strangers}; tests use loopback only"


ARMED = ("agent", "crm", "engine", "graph", "orders", "postgres", "process", "service", "stores", "webhook")
"""The folders whose tests run with a guard on every event loop, as everything does under LangGraph's dev server."""

_refused: list[str] = []


@pytest.fixture(scope="session")
def _guard(_loopback_only: None) -> BlockBuster:
    """blockbuster, stricter than the dev server arms it: that one lets files be read and locks be waited for."""

    def noted(self: BlockingError, function: str) -> None:
        frames = [frame for frame in traceback.extract_stack()[:-1] if "blockbuster" not in frame.filename]
        places = (f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames[-12:]))
        _refused.append(f"{function} in {threading.current_thread().name}, called by\n  " + "\n  ".join(places))
        init(self, function)

    init, BlockingError.__init__ = BlockingError.__init__, noted  # type: ignore[assignment, method-assign]
    guard = BlockBuster()
    for function in ("io.TextIOWrapper.write", "io.BufferedWriter.write"):
        # Where log lines go is the host's affair; pytest's go to a file.
        guard.functions[function].can_block_in("logging/__init__.py", ("emit", "flush"))
    for blocking in guard.functions.values():
        # A test's own look at its database, in the middle of what it tests.
        blocking.can_block_in("tests/postgres/stack.py", "sql")
        # What measures the tests is no part of them.
        blocking.can_block_in("coverage/collector.py", "lock_data")
    # LangGraph 1.0.4 reads the source of a host's nodes when a graph is built.
    guard.functions["os.stat"].can_block_in("langgraph/pregel/_utils.py", "get_function_nonlocals")
    # Hypothesis traces what an example runs through, and asks of each file where it lies.
    for function in ("os.path.abspath", "os.stat"):
        guard.functions[function].can_block_in("hypothesis/internal/escalation.py", "accept")
    return guard


@pytest.fixture(autouse=True)
def _unblocked(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails the test in which something would have blocked an event loop, even if the code swallowed the refusal."""
    if request.path.parent.name not in ARMED or request.node.get_closest_marker("blocks"):
        yield
        return
    guard = request.getfixturevalue("_guard")
    _refused.clear()
    guard.activate()
    yield
    guard.deactivate()
    assert not _refused, "\n".join(_refused[:3])


def _guarded(connect: Any) -> Any:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            _strangers.append(str(address[0]))
            raise OSError(errno.ENETUNREACH, f"tests reach no host {address[0]}")
        return connect(self, address)

    return guarded


def _is_loopback(host: Any) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    return name in (None, "", "localhost", "::1", "0.0.0.0") or str(name).startswith("127.")
