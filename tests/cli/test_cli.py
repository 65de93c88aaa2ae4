"""Commands, their wrong use, and the small ones that look after a store."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mirt_sitniks.cli import main as cli
from mirt_sitniks.core.record import Intent
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import StoreOptions
from mirt_sitniks.stores import migrations
from mirt_sitniks.stores.sqlite import SqliteStore
from tests.cli.conftest import Run
from tests.cli.process import Command, environment, ours

LOOKING = ["status", "list", "show", "tail", "diff", "export"]
COMMANDS = ["demo", "doctor", "worker", "sandbox", "migrations", "retry", "forget", "prune", *LOOKING]
# With WHO where it is needed.
LOOKS = [[name, *["someone"] * (name in ("show", "export"))] for name in LOOKING]


def record(path: Path, session: str, *, days_ago: float = 0.0) -> None:
    """A store in which the session's first touch was recorded, and not synced, so many days ago."""
    intent = Intent(session, Stage.FIRST_TOUCH, "first_touch", instagram="iryna.example")

    async def go() -> None:
        store = SqliteStore(path, wall=lambda: time.time() - days_ago * 86_400)
        await store.record(StoreOptions("key"), intent)
        await store.aclose()

    asyncio.run(go())


def amounts(path: Path) -> dict[str, int]:
    """What the store counts."""

    async def go() -> dict[str, int]:
        store = SqliteStore(path)
        counts = await store.counts()
        await store.aclose()
        return counts

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "name a command: demo, doctor"),
        (["dem"], "'dem'"),
        (["demo", "--port", "eighty"], "'eighty' is not a port: give a number from 0 to 65535"),
        (["demo", "--port", "70000"], "'70000' is not a port"),
        (["demo", "--port"], "--port"),
        (["demo", "--loud"], "--loud"),
        (["demo", "--kee"], "--kee"),
        (["sandbox", "--speed", "0"], "'0' is not a speed: give a number above 0"),
        (["sandbox", "--speed", "nan"], "'nan' is not a speed"),
        (["sandbox", "--key", "with space"], "a key is made of ASCII letters"),
        (["retry"], "name either WHO or --failed"),
        (["retry", "s", "--failed"], "name either WHO or --failed"),
        (["show"], "WHO"),
        (["show", " "], "WHO is empty"),
        (["list", "--failed", "--held"], "not allowed with argument"),
        (["list", "--code", "unknown"], "'unknown' is no error code: give one of unauthorized, plan_required"),
        (["list", "--older-than", "2y"], "'2y' is not a duration: give it like 30s, 10m, 2h"),
        (["list", "--limit", "0"], "'0' is not a number of them"),
        (["diff", "--adopt", "--reassert"], "not allowed with argument"),
        (["forget"], "session"),
        (["forget", " "], "the session id is empty"),
        (["prune", "--older-than", "30m"], "'30m' is not an age: give hours, days or weeks, like 12h"),
        (["prune", "--older-than", "0d"], "'0d' is not an age"),
        (["prune", "--older-than=-1d"], "'-1d' is not an age"),
        (["migrations"], "--print --copy"),
        (["migrations", "--print", "--copy", "x"], "not allowed with argument"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(run: Run, arguments: list[str], named: str) -> None:
    """The line goes to standard error, names the value and says where help is."""
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert named in err
    assert err.startswith("mirt-sitniks")
    assert "--help" in err


@pytest.mark.parametrize(
    "command", [["worker"], ["prune", "--older-than", "30d"], ["forget", "someone"], ["retry", "someone"], *LOOKS]
)
def test_a_wrong_setting_is_one_line_and_exit_code_2(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """Every command that reads settings names the variable and the cure, not the value: it may be a secret."""
    monkeypatch.setenv("SITNIKS_TIMEOUT", "soon")
    code, out, err = run(*command)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "SITNIKS_TIMEOUT cannot be right: give seconds from 0.1 to 25" in err
    assert "soon" not in err


@pytest.mark.parametrize("command", [["prune"], ["forget", "someone"], ["status"]])
def test_a_store_that_only_its_process_sees_is_refused(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """Nobody is told that a customer is unknown, or nothing is old, by a look into an empty store."""
    monkeypatch.setenv("SITNIKS_DATABASE", ":memory:")
    code, out, err = run(*command)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "SITNIKS_DATABASE is :memory:, which no other process sees: set it to the file of the host" in err


@pytest.mark.parametrize(
    "command", [["prune", "--older-than", "30d"], ["forget", "someone"], ["retry", "someone"], ["worker"], *LOOKS]
)
def test_looking_after_a_store_makes_none(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str]
) -> None:
    """In the wrong folder they name the file that is not there, instead of making an empty one."""
    monkeypatch.setenv("SNITKIX_API_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SNITKIX_API_KEY", "key")
    monkeypatch.setenv("SITNIKS_DATABASE", "elsewhere.sqlite3")
    code, out, err = run(*command)
    assert (code, out) == (2, "")
    assert "elsewhere.sqlite3" in err
    assert "SITNIKS_DATABASE" in err
    assert not (tmp_path / "elsewhere.sqlite3").exists()


def test_forget_erases_one_customer(run: Run, tmp_path: Path) -> None:
    """The session leaves record and ledger, others stay; a session that is not known is no failure."""
    path = tmp_path / "sitniks.sqlite3"
    record(path, "one")
    record(path, "two")
    code, out, _ = run("forget", "one")
    assert (code, out) == (0, "Erased rows: 2\n")
    assert amounts(path)["records"] == amounts(path)["ledger"] == 1
    assert run("forget", "one") == (0, f"Nothing is known about this session in {path}.\n", "")


def test_prune_deletes_what_is_old(run: Run, tmp_path: Path) -> None:
    """The ledger's old entries go, the young ones and whatever is unfinished stay."""
    path = tmp_path / "sitniks.sqlite3"
    record(path, "old", days_ago=40)
    record(path, "young", days_ago=20)
    assert run("prune", "--older-than", "30d") == (0, "Deleted rows: 1\n", "")
    assert (amounts(path)["ledger"], amounts(path)["records"]) == (1, 2)
    assert run("prune", "--older-than", "2w") == (0, "Deleted rows: 1\n", "")


@pytest.mark.parametrize(
    "command", [["worker"], ["prune", "--older-than", "30d"], ["forget", "someone"], *LOOKS], ids=lambda one: one[0]
)
def test_a_broken_store_is_one_line_and_exit_code_1(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str]
) -> None:
    """It names the file and the cure."""
    monkeypatch.setenv("SNITKIX_API_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SNITKIX_API_KEY", "key")
    (tmp_path / "sitniks.sqlite3").write_bytes(b"this is no database, whatever its name says" * 100)
    code, out, err = run(*command)
    assert (code, out) == (1, "")
    assert "sitniks.sqlite3" in err
    assert "set SITNIKS_DATABASE to another file" in err.splitlines()[-1]


def test_migrations_are_printed(run: Run) -> None:
    """`--print` shows the whole script for the SQL editor."""
    code, out, err = run("migrations", "--print")
    assert (code, out, err) == (0, migrations.script() + "\n", "")
    assert "sitniks_chat_mappings" in out


def test_migrations_are_copied_once(run: Run, tmp_path: Path) -> None:
    """`--copy` writes files named as the Supabase CLI wants them, prints their paths, and writes none twice."""
    folder = tmp_path / "supabase" / "migrations"
    code, out, _ = run("migrations", "--copy", str(folder))
    written = sorted(folder.iterdir())
    assert code == 0
    assert out.splitlines() == [str(path) for path in written]
    assert all(re.fullmatch(r"\d{14}_\w+\.sql", path.name) for path in written)
    assert "\n\n".join(path.read_text("utf-8") for path in written).count("create table") >= 3
    assert run("migrations", "--copy", str(folder)) == (0, f"All of them are in {folder} already.\n", "")


def test_migrations_need_a_folder_that_can_be_written(run: Run, tmp_path: Path) -> None:
    """A file in the folder's place is named, with exit code 2."""
    (tmp_path / "taken").write_text("")
    code, out, err = run("migrations", "--copy", "taken")
    assert (code, out) == (2, "")
    assert err.startswith("mirt-sitniks migrations: taken cannot be written")
    assert "name another folder" in err


def test_version_and_help(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--version` is one line, `--help` names every command and says what it does, as does each command's own."""
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run("--version")
    assert code == 0
    assert re.fullmatch(r"mirt-sitniks [0-9][0-9a-z.+]*\n", out)
    code, out, _ = run("--help")
    assert code == 0
    for command in COMMANDS:
        assert re.search(rf"^ +{command} +[A-Z]", out, re.MULTILINE)
        code, told, _ = run(command, "--help")
        assert code == 0
        assert max(map(len, told.splitlines())) < 80
        # What is to be typed stands whole.
        assert not re.search(r"mirt-$|show$", told, re.MULTILINE)


@pytest.mark.parametrize("command", ["sandbox", "demo"])
def test_a_taken_port_is_named(run: Run, command: str) -> None:
    """It is a matter of the machine: exit code 1, the port and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, _, err = run(command, "--port", port)
    assert (code, err) == (
        1,
        f"mirt-sitniks {command}: port {port} is taken: name another with --port, 0 for a free one\n",
    )


def test_a_webhook_to_another_machine_is_one_line(run: Run) -> None:
    """The sandbox is not served, and the line says what may be told."""
    code, out, err = run("sandbox", "--port", "0", "--webhook", "http://crm.example/")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "this machine only" in err


def test_the_sandbox_is_served_with_its_options(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Port, speed, key and webhook reach the sandbox."""
    served: list[object] = []
    monkeypatch.setattr("mirt_sitniks.sandbox.serve", lambda port, **options: served.append((port, options)))
    assert run("sandbox", "--port", "0", "--speed", "2.5", "--key", "mine") == (0, "", "")
    assert run("sandbox", "--webhook", "http://localhost:8000/")[0] == 0
    hook = "http://localhost:8000/"
    assert served == [
        (0, {"speed": 2.5, "key": "mine", "webhook": None}),
        (8765, {"speed": 1.0, "key": "sandbox-key", "webhook": hook}),
    ]


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (lambda: KeyboardInterrupt(), 130, ""),
        (
            lambda: OSError(28, "No space left on device", "/data"),
            1,
            "mirt-sitniks doctor: No space left on device: /data\n",
        ),
    ],
    ids=["interrupt", "disk"],
)
def test_no_command_ends_in_a_traceback(
    run: Run, monkeypatch: pytest.MonkeyPatch, raised: Callable[[], BaseException], code: int, said: str
) -> None:
    """Ctrl+C is silent, with exit code 130; what the machine refuses is one line, with exit code 1."""

    def fail(*_: object, **__: object) -> int:
        raise raised()

    monkeypatch.setattr("mirt_sitniks.cli.doctor.run", fail)
    assert run("doctor") == (code, "", said)


def test_a_bug_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that is missing but belongs to no extra is raised, not explained away."""

    def fail(*_: object, **__: object) -> int:
        raise ModuleNotFoundError("No module named 'mirt_sitniks.nothing'", name="mirt_sitniks.nothing")

    monkeypatch.setattr("mirt_sitniks.cli.doctor.run", fail)
    with pytest.raises(ModuleNotFoundError):
        cli.main(["doctor"])


def test_a_missing_extra_is_named() -> None:
    """Without rich or starlette the command that needs it names the extra; the others work without both."""
    code = (
        "import sys\n"
        "sys.modules |= {'rich': None, 'starlette': None}\n"
        "from mirt_sitniks.cli.main import main\n"
        "print([main([name]) for name in ('demo', 'sandbox', 'doctor', 'worker')])\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment(), timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[2, 2, 1, 2]"
    said = ours(done.stderr).splitlines()
    assert said[0].startswith("mirt-sitniks demo: needs rich")
    assert said[0].endswith('pip install "mirt-sitniks[cli,orders,sandbox]"')
    assert said[1].startswith("mirt-sitniks sandbox: needs starlette")
    assert said[1].endswith('pip install "mirt-sitniks[sandbox]"')
    assert len(said) == 3


@pytest.mark.parametrize("command", [["--help"], ["forget", "someone"], ["tail"]], ids=lambda one: one[0])
def test_a_reader_who_has_enough_is_no_error(tmp_path: Path, command: list[str]) -> None:
    """A pipe that nobody reads any more, as behind `| head`, is not complained of."""
    record(tmp_path / "sitniks.sqlite3", "someone")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "mirt_sitniks", *command],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(PYTHONUNBUFFERED=""),
        timeout=60,
        check=False,
    )
    os.close(writer)
    said = [line for line in ours(done.stderr).splitlines() if not line.startswith("sqlite ")]
    assert (done.returncode, said) == (1, [])


def test_a_tail_that_is_interrupted_has_ended_well(tmp_path: Path) -> None:
    """Ctrl+C is how it ends: exit code 0, nothing on standard error but the store."""
    record(tmp_path / "sitniks.sqlite3", "someone")
    with Command("tail", "--json", folder=tmp_path) as tail:
        tail.until("first_touch was asked for")
        tail.signal(signal.SIGINT)
        assert tail.wait() == 0
        assert tail.err == f"sqlite {tmp_path / 'sitniks.sqlite3'}\n"


@pytest.mark.slow
def test_a_real_process_is_interrupted_cleanly(tmp_path: Path) -> None:
    """Ctrl+C in the middle of the demo, while the CRM hangs: exit code 130, no traceback."""
    with Command("demo", folder=tmp_path) as demo:
        demo.until("The CRM hangs")
        demo.signal(signal.SIGINT)
        assert demo.wait() == 130
        assert demo.err == ""
