"""What the tests of the command line share."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mirt_sitniks.cli.main import main
from mirt_sitniks.sandbox import Sandbox

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process; returns its exit code, standard output and standard error."""

    def command(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return command


@pytest.fixture
def crm(monkeypatch: pytest.MonkeyPatch, planted: Any) -> Iterator[Sandbox]:
    """A sandbox to which the settings of the environment lead."""
    with Sandbox(key=planted.crm_key) as sandbox:
        monkeypatch.setenv("SNITKIX_API_URL", sandbox.url)
        monkeypatch.setenv("SNITKIX_API_KEY", planted.crm_key)
        monkeypatch.setenv("SITNIKS_RATE_LIMIT", "10/2")
        yield sandbox
