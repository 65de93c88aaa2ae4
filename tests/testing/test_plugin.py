"""pytest's plugin, as a host's tests meet it."""

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mirt_sitniks.testing import plugin
from mirt_sitniks.testing.chaos import schedule
from tests.testing.conftest import PLUGIN, Run

ROOT = Path(__file__).parents[2]
TALK = """
def sync(service, stage, session="s"):
    return service.sync_blocking(stage, session=session, instagram_username="iryna.example")

def test_talk(sitniks_sandbox):
    sitniks_sandbox.add_chat("iryna.example")
    service = sitniks_sandbox.service()
    for stage in ("first_touch", "escalation"):
        sync(service, stage)
    sitniks_sandbox.assert_synced("s", "escalation")
"""
# A host that asks no more after a failure: its second stage never comes to the package.
LOSES = TALK.replace("        sync(service, stage)", "        if not sync(service, stage): break")


def told(result: pytest.RunResult) -> str:
    """The line that sums up."""
    (line,) = re.findall(r"^seed .*", result.stdout.str(), re.MULTILINE)
    return str(line)


def test_the_fixture_works_in_tests_of_every_kind(run: Run) -> None:
    """Plain ones, coroutines, and those of classes; each has a CRM and a store of its own."""
    run(
        """
        import pytest

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        def test_plain(sitniks_sandbox):
            sitniks_sandbox.add_chat("iryna.example")
            assert not sitniks_sandbox.database.exists()
            service = sitniks_sandbox.service()
            service.sync_blocking("first_touch", session="s", instagram_username="iryna.example")
            sitniks_sandbox.assert_synced("s", "first_touch")

        @pytest.mark.anyio
        async def test_coroutine(sitniks_sandbox):
            sitniks_sandbox.add_chat("iryna.example")
            async with sitniks_sandbox.service() as service:
                await service.sync("first_touch", session="s", instagram_username="iryna.example")
            sitniks_sandbox.assert_synced("s", "first_touch")

        class TestMethods:
            def test_method(self, sitniks_sandbox):
                assert sitniks_sandbox.chats() == []
        """
    ).assert_outcomes(passed=3)


def test_chaos_ends_well_and_says_its_seed(run: Run) -> None:
    """A host that leaves all to the package loses nothing, and how to run it again is said."""
    result = run(TALK, "--sitniks-chaos=13")
    result.assert_outcomes(passed=1)
    assert told(result) == "seed 13, 1 tests: stages asked for 2, lost 0, backwards 0, duplicated 0"
    result.stdout.fnmatch_lines(["sitniks chaos: seed 13, again with --sitniks-chaos=13"])


def test_chaos_finds_a_host_that_loses_a_stage(run: Run) -> None:
    """Who swallows a stage when the CRM fails is told so, by test, session and stage, and the run fails."""
    result = run(LOSES, "--sitniks-chaos=4")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert told(result).endswith("lost 1, backwards 0, duplicated 0")
    result.stdout.fnmatch_lines(["  lost: test_chaos_finds*::test_talk: s: escalation, asserted"])
    result.stdout.fnmatch_lines(["*this session was never brought to 'escalation'; is a sync wired behind that node*"])


def test_what_was_written_past_the_package_fails_a_run_that_passed(run: Run) -> None:
    """An older stage on top of a newer, and a chat of nobody's: though no test has looked."""
    result = run(
        """
        def call(crm, method, path, body):
            import http.client, json
            there = http.client.HTTPConnection(crm.url.removeprefix("http://"))
            headers = {"Authorization": f"Bearer {crm.key}", "Content-Type": "application/json"}
            there.request(method, f"/open-api/chats/{path}", json.dumps(body), headers)
            assert there.getresponse().status == 200
            there.close()

        def test_older_on_top(sitniks_sandbox):
            chat = sitniks_sandbox.add_chat("iryna.example")
            stray = sitniks_sandbox.add_chat("olena.example")
            service = sitniks_sandbox.service()
            service.sync_blocking("escalation", session="s", instagram_username="iryna.example")
            sitniks_sandbox.assert_synced("s", "escalation")
            sitniks_sandbox.clear_faults()
            call(sitniks_sandbox, "PATCH", f"{chat}/status", {"status": "Взято в роботу"})
            call(sitniks_sandbox, "PUT", stray, {"assignedManagerId": 101})
        """,
        "--sitniks-chaos=4",
    )
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert told(result).endswith("stages asked for 1, lost 0, backwards 1, duplicated 1")
    result.stdout.fnmatch_lines(["  duplicated: *::test_older_on_top: chat * of olena.example, nobody's"])


def test_a_test_is_left_in_peace_on_request(run: Run) -> None:
    """What makes its own faults, or counts calls, says so."""
    result = run(
        """
        import pytest

        @pytest.mark.sitniks_calm
        def test_calm(sitniks_sandbox):
            chat = sitniks_sandbox.add_chat("iryna.example")
            service = sitniks_sandbox.service(reply_budget=60.0, timeout=20.0)
            assert service.sync_blocking("escalation", session="s", instagram_username="iryna.example")
            assert sitniks_sandbox.count() == len([call for call in sitniks_sandbox.calls if call.fault is None])
        """,
        "--sitniks-chaos=4",
        "--strict-markers",
    )
    result.assert_outcomes(passed=1)
    assert told(result).startswith("seed 4, 0 tests:")


def test_a_seed_is_drawn_where_none_is_given(run: Run) -> None:
    """And no path is taken for one."""
    result = run("def test_nothing(): pass", "--sitniks-chaos")
    assert re.match(r"seed \d+, 0 tests", told(result))
    wrong = run("def test_nothing(): pass", "--sitniks-chaos", "tests")
    assert wrong.ret == pytest.ExitCode.USAGE_ERROR
    wrong.stderr.fnmatch_lines(["*--sitniks-chaos alone behind the paths"])


def test_a_seed_says_which_faults_there_are() -> None:
    """The same for a test and a seed, others for another of either; and they end."""
    assert schedule(1, "a") == schedule(1, "a")
    assert len({str(schedule(seed, test)) for seed in range(20) for test in "ab"}) == 40
    assert all(fault.get("times", 1) == 1 for fault in schedule(1, "a").faults)


def test_workers_of_xdist_share_the_seed(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests of two workers meet the seed of the whole run, and are summed up in one line."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    test = """
        import json

        def test_one(request):
            found = {"lost": [f"by {request.config.option.sitniks_chaos}"], "backwards": [], "duplicated": []}
            request.node.user_properties.append(("sitniks_chaos", json.dumps({"asked": 2, **found})))
    """
    pytester.makepyfile(test_one=test, test_two=test)
    result = pytester.runpytest_subprocess(*PLUGIN, "-p", "xdist", "-n", "2", "--sitniks-chaos")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    (seed,) = re.findall(r"seed (\d+), 2 tests: stages asked for 4, lost 2, backwards 0, duplicated 0$", told(result))
    result.stdout.fnmatch_lines_random([f"  lost: test_{one}.py::test_one: by {seed}" for one in ("one", "two")])


def test_it_costs_nothing_where_it_is_not_used() -> None:
    """Beside pytest, the plugin alone is loaded: nothing of the package's, of LangGraph, httpx or starlette."""
    code = "import sys, pytest; before = {*sys.modules}; import mirt_sitniks.testing.plugin; "
    code += "print(*sorted({*sys.modules} - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = {"mirt_sitniks", "mirt_sitniks.testing", "mirt_sitniks.testing.plugin"}
    assert {name for name in done.stdout.split() if "." not in name or name in ours} <= ours | {"argparse", "json"}


def test_a_missing_extra_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test fails with the command that helps; those that do not use the fixture run."""
    monkeypatch.setitem(sys.modules, "mirt_sitniks.testing.door", None)
    result = run("def test_a(sitniks_sandbox): pass\ndef test_b(): pass")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*sitniks_sandbox needs an extra, pip install 'mirt-sitniks*testing*"])


def test_pytest_finds_the_plugin() -> None:
    """Where the package is installed as it is now, its entry point is the plugin."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"mirt_sitniks": plugin.__name__}
    found = importlib.metadata.entry_points(group="pytest11", name="mirt_sitniks")
    if os.environ.get("MIRT_SITNIKS_WHEEL") or found:
        (entry,) = found
        assert entry.load() is plugin
