"""How long the demo's board stays: tried on terminals of this machine's own, without waiting."""

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import httpx
import pytest

from mirt_sitniks.cli import demo_hold
from tests.cli import process
from tests.cli.conftest import Run

# A demo of no conversations, whose terminal is the one on its standard input.
BRIEF = """
import fcntl, sys, termios
from mirt_sitniks.cli import demo_talk, main
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
demo_talk.Demo.run = lambda self: None
demo_talk.Demo.problems = lambda self: []
sys.exit(main.main(["demo"]))
"""


class Terminal(NamedTuple):
    """A terminal on which this process stands; keys are pressed at `keyboard`."""

    keyboard: int
    streams: SimpleNamespace


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """As if the command had been started there."""
    master, slave = pty.openpty()
    with open(slave, encoding="utf-8") as stdin, open(os.dup(slave), "w", encoding="utf-8") as stdout:
        # pytest itself puts its own streams into `sys`.
        streams = SimpleNamespace(stdin=stdin, stdout=stdout)
        monkeypatch.setattr(demo_hold, "sys", streams)
        yield Terminal(master, streams)
    os.close(master)


@pytest.mark.parametrize("pressed", [b"\n", b"\x04", "дякую\n".encode(), b"\xff\n"])
def test_enter_and_the_end_of_input_end_it(pressed: bytes, terminal: Terminal) -> None:
    """Enter, whatever was typed before it, and Ctrl+D; not before it was said that the board stays."""
    said: list[str] = []
    os.write(terminal.keyboard, pressed)
    assert demo_hold.on_terminal()
    demo_hold.hold(None, lambda: said.append("stays"))
    assert said == ["stays"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seconds", [None, 99_999.0])
def test_a_signal_ends_it(number: signal.Signals, seconds: float | None, terminal: Terminal) -> None:
    """Without a word, and what the process does at that signal afterwards is what it did before."""
    before = signal.getsignal(number)
    demo_hold.hold(seconds, lambda: signal.raise_signal(number))
    assert signal.getsignal(number) is before


def test_seconds_are_waited_for_instead(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as were said; no key is read."""
    waited: list[float | None] = []
    monkeypatch.setattr(threading.Event, "wait", lambda self, timeout=None: waited.append(timeout))
    demo_hold.hold(2.5, lambda: None)
    assert waited == [2.5]


@pytest.mark.parametrize("name", ["stdin", "stdout"])
@pytest.mark.parametrize("gone", ["a pipe", "closed", "none"])
def test_half_a_terminal_is_none(name: str, gone: str, terminal: Terminal) -> None:
    """Where either side leads elsewhere, nobody is there who could look."""
    with open(os.devnull) as other:
        setattr(terminal.streams, name, None if gone == "none" else other)
        if gone == "closed":
            other.close()
        assert not demo_hold.on_terminal()


@pytest.mark.parametrize("wrong", ["soon", "-1", "1e9", "nan", ""])
def test_wrong_seconds_are_told(wrong: str, run: Run) -> None:
    """One line with what is right; nothing is begun."""
    code, out, err = run("demo", f"--seconds={wrong}")
    assert (code, out) == (2, "")
    assert "is no number of seconds: give one from 0 to 99999" in err


def test_a_demo_on_a_terminal(tmp_path: Path) -> None:
    """A whole process: the board is there after the demo, and Ctrl+C on the keyboard ends it with the demo's own
    exit code, in silence."""
    master, slave = pty.openpty()
    fcntl.fcntl(master, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    command = subprocess.Popen(
        [sys.executable, "-c", BRIEF],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=tmp_path,
        env=process.environment(TERM="dumb"),
        start_new_session=True,
    )
    try:
        os.close(slave)
        text = read(master, "until you press Enter.")
        found = re.search(r"The board stays open at (http://127\.0\.0\.1:\d+) until", text)
        assert found
        assert "(closes at the end)" not in text
        assert "<html" in httpx.get(found[1], trust_env=False).text
        os.write(master, b"\x03")
        assert "Traceback" not in read(master, None)
        assert command.wait(60) == 0
    finally:
        command.kill()
        command.wait(10)
        os.close(master)


def read(master: int, wanted: str | None) -> str:
    """What is shown on a terminal until `wanted` is, None: until its last program ends."""
    text = b""
    while wanted is None or wanted.encode() not in text:
        assert select.select([master], [], [], 60)[0], text
        try:
            text += os.read(master, 65536)
        except OSError:
            assert wanted is None, text
            break
    return text.decode()
