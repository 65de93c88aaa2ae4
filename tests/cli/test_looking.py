"""What the commands that look print: tables that fit a terminal, JSON that stays, and lines that help."""

import asyncio
import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from syrupy.assertion import SnapshotAssertion

from mirt_sitniks.cli import status, tail
from mirt_sitniks.core.key_state import KeyState
from mirt_sitniks.core.orders import OrderRecord
from mirt_sitniks.core.store import Entry, Store
from mirt_sitniks.stores.sqlite import SqliteStore
from tests.cli import shop
from tests.cli.conftest import Run
from tests.docs.pages import ENGLISH, blocks


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """All clocks stand, two hours east, and the file is there."""
    monkeypatch.setattr("mirt_sitniks.cli.files.open_store", shop.opened)
    monkeypatch.setenv("TZ", "EET-2")
    time.tzset()
    shop.fill(tmp_path / "sitniks.sqlite3")
    yield
    monkeypatch.delenv("TZ")
    time.tzset()


@pytest.fixture
def told(run: Run, tmp_path: Path) -> Callable[..., str]:
    """What a command prints and its exit code, without the place of the file and the spaces at lines' ends."""

    def command(*arguments: str) -> str:
        code, out, err = run(*arguments)
        text = f"{out}{err and '--- stderr'}\n{err}exit code {code}".replace(str(tmp_path), "/shop")
        return "\n".join(line.rstrip() for line in text.splitlines())

    return command


@pytest.mark.parametrize("columns", ["80", "120"])
@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("list",),
        ("list", "--failed"),
        ("list", "--waiting", "--older-than", "10s"),
        ("list", "--held"),
        ("show", "example-2"),
        ("show", "@Iryna.example"),
        ("tail", "--no-follow", "-n", "4"),
    ],
    ids=lambda one: "-".join(one).replace("--", ""),
)
def test_tables(
    told: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    snapshot: SnapshotAssertion,
    command: tuple[str, ...],
    columns: str,
) -> None:
    """No line is wider than the terminal, and all is plain where nobody looks."""
    monkeypatch.setenv("COLUMNS", columns)
    text = told(*command)
    assert text == snapshot
    assert "\x1b" not in text
    if command[0] != "tail":
        assert max(map(len, text.splitlines())) <= int(columns)


def test_the_readme_shows_what_is_printed(told: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The output that stands there is that of the command, letter by letter."""
    monkeypatch.setenv("COLUMNS", "80")
    (shown,) = (block.text for block in blocks(ENGLISH) if block.text.startswith("mirt-sitniks show "))
    line, _, printed = shown.partition("\n\n")
    assert told(*line.split()[1:]).startswith(printed.rstrip())


@pytest.mark.parametrize(
    "command",
    [("status",), ("list", "--code", "unknown_status"), ("show", "65f3"), ("tail", "--no-follow", "-n", "2")],
    ids=lambda one: one[0],
)
def test_json(told: Callable[..., str], snapshot: SnapshotAssertion, command: tuple[str, ...]) -> None:
    """The same keys each time, without an extra."""
    assert told(*command, "--json") == snapshot


def test_a_table_without_rich_names_the_extra_and_json_needs_none(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line with the cure."""
    for name in ("rich", "rich.console", "rich.text", "rich.table", "rich.live"):
        monkeypatch.setitem(sys.modules, name, None)
    # Whether another test has loaded it by now is a matter of the order.
    monkeypatch.delitem(sys.modules, "mirt_sitniks.cli.tables", raising=False)
    monkeypatch.delattr("mirt_sitniks.cli.tables", raising=False)
    for command in (["status"], ["list"], ["show", "s-held"], ["tail", "--no-follow"]):
        assert run(*command, "--json")[0] in (0, 1)
        code, _, err = run(*command)
        assert code == 2
        assert 'pip install "mirt-sitniks[cli]"' in err


def test_looking_changes_nothing(run: Run, tmp_path: Path) -> None:
    """Neither the file nor anything beside it."""
    path = tmp_path / "sitniks.sqlite3"
    before, files = path.read_bytes(), sorted(tmp_path.iterdir())
    for command in (["status"], ["list"], ["show", "s-held"], ["tail", "--no-follow"], ["export", "s-held"]):
        assert run(*command)[0] in (0, 1)
    assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == files


@pytest.mark.parametrize("command", [["show"], ["tail"], ["export"]])
def test_who_is_not_known_is_told_where_and_how_to_find(run: Run, tmp_path: Path, command: list[str]) -> None:
    """One line, exit code 1: the database, and the command that names sessions."""
    code, out, err = run(*command, "@nobody.example")
    assert (code, out, err.count("\n")) == (1, "", 1)
    for part in ("“@nobody.example”", str(tmp_path / "sitniks.sqlite3"), "account main", "mirt-sitniks list"):
        assert part in err


@pytest.mark.parametrize("who", ["example-2", "@marko.example", "@Marko.Example", "marko.example", "65f3"])
def test_who_is_a_session_a_user_or_a_chat(run: Run, who: str) -> None:
    """However people write the name."""
    code, out, _ = run("show", who, "--json")
    assert (code, [one["session"] for one in json.loads(out)["sessions"]]) == (0, ["example-2"])


def test_filters_narrow_and_the_limit_says_that_there_are_more(run: Run) -> None:
    """What failed counts as in the overview, also where it is tried again; none is exit code 1."""

    def listed(*arguments: str) -> tuple[int, list[str], bool]:
        code, out, _ = run("list", *arguments, "--json")
        found = json.loads(out)
        return code, [one["session"] for one in found["sessions"]], found["more"]

    assert listed("--failed") == (0, ["example-2", "s-twins"], False)
    assert listed("--failed", "--code", "chat_ambiguous") == (0, ["s-twins"], False)
    assert listed("--failed", "--older-than", "30m") == (0, ["s-twins"], False)
    assert listed("--waiting") == (0, ["s-soon", "s-search"], False)
    assert listed("--held") == (0, ["s-held"], False)
    assert listed("--code", "forbidden") == (1, [], False)
    assert listed("--limit", "2")[1:] == (["example-2", "s-held"], True)


@pytest.mark.parametrize(
    ("records", "key", "code"),
    [
        (shop.RECORDS[:2], shop.KeyState(), 0),
        (shop.RECORDS[3:4], KeyState(), 1),
        (shop.RECORDS[5:], KeyState(), 0),
    ],
    ids=["well", "failed", "on its way"],
)
def test_the_exit_code_of_status(run: Run, tmp_path: Path, records: Any, key: KeyState, code: int) -> None:
    """1 when a person has to do something."""
    (tmp_path / "sitniks.sqlite3").unlink()
    shop.fill(tmp_path / "sitniks.sqlite3", records, (), key)
    assert run("status", "--json")[0] == code


@pytest.mark.parametrize(
    ("key", "calm"),
    [
        (KeyState(), "do, if the host or a worker runs"),
        (KeyState(lookout_at=shop.NOW + 4, lookout_by="host:1/1"), "do\n"),
    ],
)
def test_status_is_calm_only_where_somebody_works(run: Run, tmp_path: Path, key: KeyState, calm: str) -> None:
    """Work that is young, and that nobody has promised to look for, is all right only if a host runs."""
    (tmp_path / "sitniks.sqlite3").unlink()
    shop.fill(tmp_path / "sitniks.sqlite3", shop.RECORDS[5:], (), key)
    told = "\n".join(line.rstrip() for line in run("status")[1].splitlines())
    assert f"nothing that a person has to {calm}" in told


@pytest.mark.parametrize("as_json", [True, False])
def test_status_is_watched_until_somebody_stops_it(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    """Every two seconds; Ctrl+C is how it ends, and no failure."""
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    assert status.run(Namespace(watch=True, json=as_json), sleep=sleep) == 0
    out, err = capsys.readouterr()
    assert (pauses, err) == ([2.0] * 3, "")
    assert out.count("chat_ambiguous") >= (3 if as_json else 1)
    assert (len(out.splitlines()) == 3) is as_json


def test_tail_follows_what_is_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """New lines come once, in their order; of one customer only his."""
    pauses: list[float] = []
    lines = shop.STORY[7], replace(shop.STORY[8], kind="outcome", key=None)

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt
        await asyncio.to_thread(shop.fill, tmp_path / "sitniks.sqlite3", (), lines, None)

    asked = Namespace(who="@petro.example", lines=5, since=None, no_follow=False, json=True)
    assert tail.run(asked, sleep=sleep) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line)["id"] for line in out.splitlines()] == [9, 11, 13]
    assert (pauses, err) == ([1.0] * 3, f"sqlite {tmp_path / 'sitniks.sqlite3'}\n")


def test_tail_begins_as_long_ago_as_it_is_told(run: Run) -> None:
    """`--since` counts on the store's clock, and takes however many there are."""
    for since, ids in (("1m", [8, 9]), ("1h", [4, 5, 6, 7, 8, 9]), ("2d", [*range(1, 10)])):
        code, out, _ = run("tail", "--no-follow", "--json", "--since", since)
        assert (code, [json.loads(line)["id"] for line in out.splitlines()]) == (0, ids)
    _, out, _ = run("tail", "example-2", "--no-follow", "--json", "--since", "1h")
    assert [json.loads(line)["id"] for line in out.splitlines()] == [4, 5, 6, 7]


def test_export_holds_all_of_a_customer_and_nobody_else_reads_it(run: Run, tmp_path: Path) -> None:
    """Records, ledger, orders; a file is made anew with the mode 0600, and never written over."""
    order = OrderRecord("cart-7", "d", {"total": "980"}, session="example-2", asked_at=shop.WALL)
    asyncio.run(SqliteStore(tmp_path / "sitniks.sqlite3", wall=lambda: shop.WALL).commit_order(order))
    code, out, _ = run("export", "@marko.example")
    told = json.loads(out)
    assert (code, [one["session"] for one in told["sessions"]]) == (0, ["example-2"])
    assert len(told["sessions"][0]["ledger"]) == 7
    assert [(one["external_id"], one["body"]) for one in told["orders"]] == [("cart-7", {"total": "980"})]
    assert told["sessions"][0]["record"]["desired"]["generation"] == 2
    path = tmp_path / "marko.json"
    code, out, err = run("export", "@marko.example", "--to", str(path))
    assert (code, out, path.stat().st_mode & 0o777) == (0, "", 0o600)
    assert "personal data" in err
    assert json.loads(path.read_text("utf-8")) == told
    code, _, err = run("export", "@iryna.example", "--to", str(path))
    assert code == 1
    assert f"File exists: {path}" in err
    assert json.loads(path.read_text("utf-8")) == told


def test_what_came_from_outside_cannot_steer_a_terminal(run: Run, tmp_path: Path) -> None:
    """Escape signs in names and messages are shown, not obeyed."""
    wild = shop.named(shop.record_at(shop.FIRST, given_up=1, error=shop.Error("bad_response", "a\x1b]0;x\x07[red]b")),
                      "s\x1b[31m", 60, "eve\x1b[2J")  # fmt: skip
    shop.fill(tmp_path / "sitniks.sqlite3", [wild], [])
    for command in (["list", "--failed"], ["show", "s\x1b[31m"]):
        code, out, _ = run(*command)
        assert code == 0
        assert "\x1b" not in out
        assert "[red]b" in out


@pytest.mark.parametrize("command", [["list"], ["show", "s\x9b31m"], ["tail", "--no-follow"], ["export", "s\x9b31m"]])
def test_json_cannot_steer_a_terminal_either(run: Run, tmp_path: Path, command: list[str]) -> None:
    """JSON itself escapes only what is below 32: here all that cannot be printed is, and reads back as it was."""
    wild = shop.named(shop.record_at(shop.FIRST), "s\x9b31m", 60, "a\x7f\u202e\x85\u2028\U000e0001")
    line = replace(shop.STORY[0], session=wild.session)
    shop.fill(tmp_path / "sitniks.sqlite3", [wild], [line])
    code, out, _ = run(*command, *[] if command[0] == "export" else ["--json"])
    assert (code, out.replace("\n", "").isprintable()) == (0, True)
    lines = out.splitlines() if command[0] == "tail" else [out]
    assert wild.session in json.dumps([json.loads(one) for one in lines], ensure_ascii=False)


def test_a_command_that_is_named_can_be_pasted(run: Run, tmp_path: Path) -> None:
    """A session that a shell would take for more than one word is quoted."""
    odd = shop.named(shop.record_at(shop.FIRST, given_up=1, error=shop.TWO), "a b;$(id)", 60, "eve")
    shop.fill(tmp_path / "sitniks.sqlite3", [odd], [])
    assert "mirt-sitniks show 'a b;$(id)'" in run("list", "--failed")[1]
    assert "mirt-sitniks retry 'a b;$(id)'" in json.loads(run("show", "a b;$(id)", "--json")[1])["sessions"][0]["why"]


def test_tail_tells_no_line_twice() -> None:
    """One that is written between its two looks at the store comes with those that follow."""
    first, second = replace(shop.STORY[0], id=1), replace(shop.STORY[0], id=2)

    class Between:
        async def lines(self, *_: Any, **__: Any) -> list[Entry]:
            return [first]

        async def ledger(self, *_: Any, **__: Any) -> list[Entry]:
            return [first, second]

    asked = Namespace(since=None, lines=20)
    told: Any = asyncio.run(tail._last(cast("Store", Between()), "main", {first.session}, asked))
    assert told == (1, [first])
