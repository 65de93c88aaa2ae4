"""The demo: a stranger's first minute, and a check of the whole path that cannot lie."""

import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage
from langgraph.types import Command
from rich.console import Console

from mirt_sitniks import SitniksError, SitniksSettings, Stage, SyncResult
from mirt_sitniks.cli import demo
from mirt_sitniks.cli.demo_talk import CUSTOMERS, IRYNA, TARAS, Demo, TimedService
from mirt_sitniks.cli.demo_view import BADGES, Row, Turn, View
from mirt_sitniks.core.result import Outcome
from mirt_sitniks.sandbox import Sandbox
from tests.cli import process
from tests.cli.conftest import Run

# One run of the demo serves many tests.
pytestmark = pytest.mark.xdist_group("demo")


@dataclass(frozen=True)
class Shown:
    """What a whole run left: its transcript, how long it took, and who was called that should not have been."""

    code: int
    text: str
    err: str
    seconds: float
    strangers: int
    files: list[str]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Shown:
    """`demo` as a real process whose environment and `.env` are full of other people's settings."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / ".env").write_bytes(b"\xff\xfe SNITKIX_API_URL=http://127.0.0.1:9\n")
    with socket.socket() as trap:
        trap.bind(("127.0.0.1", 0))
        trap.listen()
        trap.setblocking(False)
        address = f"http://127.0.0.1:{trap.getsockname()[1]}"
        settings = {
            "SNITKIX_API_URL": address,
            "SNITKIX_API_KEY": "planted-real-key",
            "SITNIKS_TIMEOUT": "rubbish",
            "SITNIKS_REPLY_BUDGET": "60",
            "SITNIKS_AI_MANAGER_NAME": "Хтось",
            "SITNIKS_AI_MANAGER_ID": "999",
            "SITNIKS_STATUS_ESCALATION": "Інше",
            "SITNIKS_STORE": "supabase",
            "SITNIKS_DATABASE": str(folder / "real.sqlite3"),
            "SUPABASE_URL": address,
            "SUPABASE_KEY": "planted-real-key",
            "HTTP_PROXY": address,
            "ALL_PROXY": address,
            "LANGSMITH_TRACING": "true",
            "LANGSMITH_ENDPOINT": address,
            "LANGSMITH_API_KEY": "planted-real-key",
        }
        began = time.monotonic()
        with process.Command("demo", "--seconds", "600", folder=folder, **settings) as command:
            code = command.wait(60)
            seconds = time.monotonic() - began
        try:
            trap.accept()[0].close()
            strangers = 1
        except BlockingIOError:
            strangers = 0
    files = sorted(path.name for path in folder.iterdir())
    return Shown(code, command.out, command.err, seconds, strangers, files)


def test_it_ends_well_and_soon(shown: Shown) -> None:
    """Exit code 0, nothing on standard error, under half a minute, whatever the environment holds."""
    assert (shown.code, shown.err) == (0, "")
    assert shown.seconds < 30
    assert re.search(r"^Everything arrived +yes *$", shown.text, re.MULTILINE)


def test_it_meets_nobody(shown: Shown) -> None:
    """Neither the CRM, the database, the proxy nor the tracing of the environment is called; no file is left."""
    assert shown.strangers == 0
    assert shown.files == [".env", "stderr.txt", "stdout.txt"]
    assert "planted" not in shown.text


def test_without_a_terminal_nobody_waits(shown: Shown) -> None:
    """In a pipe the board closes at the end, whatever `--seconds` says; its address stands at the top."""
    assert "stays open" not in shown.text
    assert re.search(r"^Board in the browser: http://127\.0\.0\.1:\d+ \(closes at the end\)$", shown.text, re.MULTILINE)


def test_its_transcript(shown: Shown) -> None:
    """Each conversation shows what was said, how the sync went, and the CRM after it; only times and ports vary."""
    text = re.sub(r" +\n", "\n", shown.text)
    turns = re.findall(
        r"^ +(\S+)  (.*(?:\n {11}.*)*?)\n +Shop  (?:.*\n)+? +CRM  (.*?)(?: · reply held \d+ ms)?$", text, re.MULTILINE
    )
    # On a busy machine the reply may go out before the order is made.
    late = "queued · order" in text
    assert [(who, told) for who, _, told in turns] == [
        ("Ірина", "✓ synced · first_touch"),
        ("Ірина", "– nothing to tell, no call"),
        ("Ірина", "✓ synced · give_requisites"),
        ("Host", f"✓ {'queued' if late else 'created'} · order"),
        ("Оксана", "✓ synced · first_touch"),
        ("Оксана", "… queued, arrives later · give_requisites"),
        ("Тарас", "✓ synced · first_touch"),
        ("Тарас", "✓ synced · escalation"),
        ("Тарас", "– nothing to tell, no call"),
        ("Тарас", "– nothing to tell, no call"),
    ]
    silent = re.findall(r"(\S+  .*)\n +Shop  – silent, a person has the conversation$", text, re.MULTILINE)
    assert silent == ["Тарас  Оце так, дякую!"]
    statuses = re.findall(r"^ +▸  (\S+) +(Instagram|Telegram) +(.+?)  +(\S+)$", text, re.MULTILINE)
    assert statuses == [
        ("iryna.example", "Instagram", "Взято в роботу", "Павло"),
        ("iryna.example", "Instagram", "Виставлено рахунок", "Павло"),
        ("iryna.example", "Instagram", "Оформлено замовлення", "Павло"),
        ("oksana.example", "Instagram", "Взято в роботу", "Павло"),
        ("oksana.example", "Instagram", "Виставлено рахунок", "Павло"),
        ("taras_example", "Telegram", "Взято в роботу", "Павло"),
        ("taras_example", "Telegram", "AI Увага", "Олена"),
        ("taras_example", "Telegram", "AI Увага", "Павло"),
    ]
    assert "! The CRM hangs" in text
    assert re.search(r"queued, arrives later.*\n +chat .*\n.*\n +oksana.example +Instagram +Взято в роботу", text)
    assert re.search(r"CRM  ✓ arrived by itself after \d+\.\d s", text)
    assert re.search(r"^Longest hold +1\.\d s, while the CRM hung; the reply budget is 1\.5 s$", text, re.MULTILINE)
    joined = " ".join(text.split())
    for counted in ("2× list chats", "1× list managers", "1× leave a note", "1× find an item", "1× make an order"):
        assert counted in joined
    number = "Номер замовлення надішлемо згодом" if late else r"Ваше замовлення №\d+: зберемо його"
    assert re.search(number, " ".join(text.split()))


def test_in_a_pipe_it_is_plain(shown: Shown) -> None:
    """No colour codes, at most 80 columns."""
    assert "\x1b" not in shown.text
    # Emoji count as one character here and as two columns there, so nothing is longer in characters.
    assert max(map(len, shown.text.splitlines())) <= 80


@pytest.fixture
def ended() -> Iterator[Demo]:
    """A demo whose conversations are over, with a CRM that shows all that it must."""
    with Sandbox(limit=False) as sandbox:
        made = Demo(
            sandbox, TimedService(demo.settings_for(sandbox, Path("unused"))), None, View(Console(file=StringIO()))
        )
        for customer in CUSTOMERS:
            made.chats[customer] = sandbox.add_chat(customer.nickname)
            for status in customer.moves:
                sandbox.person_sets(made.chats[customer], status=status)
            sandbox.person_sets(made.chats[customer], manager=customer.manager)
        sandbox.add_order({"client": {"fullname": "Ірина Приклад"}})
        sandbox.fault("hang")
        key = {"Authorization": f"Bearer {sandbox.key}"}
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(sandbox.url + "/open-api/managers", headers=key, timeout=0.1, trust_env=False)
        made.holds.append(1.5)
        assert made.problems() == []
        yield made


def _forgets(it: Demo) -> None:
    del it.chats[TARAS]


def _goes_back(it: Demo) -> None:
    it.sandbox.person_sets(it.chats[IRYNA], status="Виставлено рахунок")


def _changes_manager(it: Demo) -> None:
    it.sandbox.person_sets(it.chats[TARAS], manager="Олена")


def _repeats(it: Demo) -> None:
    it.sandbox.person_sets(it.chats[TARAS], status="Взято в роботу")
    it.sandbox.person_sets(it.chats[TARAS], status="AI Увага")


def _meddles(it: Demo) -> None:
    it.sandbox.person_sets(it.others[0], status="AI Увага")


def _holds(it: Demo) -> None:
    it.holds.append(2.5)


def _asks_too_often(it: Demo) -> None:
    it.sandbox.fault("rate_limited")
    key = {"Authorization": f"Bearer {it.sandbox.key}"}
    httpx.get(it.sandbox.url + "/open-api/managers", headers=key, trust_env=False)


def _orders_twice(it: Demo) -> None:
    it.sandbox.add_order({"client": {"fullname": "Ірина Приклад"}})


def _misses_the_outage(it: Demo) -> None:
    it.sandbox.account.calls.clear()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_forgets, "taras_example never wrote"),
        (_goes_back, "iryna.example shows Виставлено рахунок, Павло instead of Оформлено замовлення, Павло"),
        (_orders_twice, "the CRM has 2 orders instead of 1"),
        (_changes_manager, "taras_example shows AI Увага, Олена instead of AI Увага, Павло"),
        (_repeats, "taras_example went Взято в роботу → AI Увага → Взято в роботу → AI Увага instead of"),
        (_meddles, "a chat of somebody else was changed"),
        (_holds, "a reply was held 2.50 s, more than the budget of 1.5 s"),
        (_asks_too_often, "the CRM was asked too often (429)"),
        (_misses_the_outage, "the outage met no call"),
    ],
)
def test_each_wrong_end_is_found(ended: Demo, spoil: Any, said: str) -> None:
    """Whatever is not as it must be is a line of its own."""
    spoil(ended)
    assert any(line.startswith(said) for line in ended.problems())


@dataclass(frozen=True)
class Deaf:
    """A graph that answers, and neither syncs nor stops at an interrupt; people move the chat instead."""

    sandbox: Sandbox
    chat: str

    def invoke(self, given: object, config: object) -> dict[str, Any]:
        if isinstance(given, Command):
            self.sandbox.person_sets(self.chat, status=IRYNA.moves[-1])
        return {"messages": [AIMessage("Вітаємо!")]}


def test_a_graph_that_does_nothing_is_found(ended: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing interrupt and an outage that held nothing back are lines of their own, whatever the CRM shows."""
    monkeypatch.setattr(ended, "graph", Deaf(ended.sandbox, ended.chats[IRYNA]))
    ended.purchase()
    ended.outage()
    assert ended.problems()[:2] == [
        "the graph did not stop at its interrupt",
        "what was recorded during the outage was not queued",
    ]


@dataclass(frozen=True)
class Contrary:
    """A graph that answers while a person has the conversation, and then does not."""

    sandbox: Sandbox
    chat: str

    def invoke(self, given: Any, config: object) -> dict[str, Any]:
        (asked,) = given["messages"]
        silent = self.sandbox.chat(self.chat)["assignedManagerName"] == TARAS.manager
        return {"messages": [asked] if silent else [AIMessage("Вітаємо!")]}


def test_an_ai_that_speaks_out_of_turn_is_found(ended: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer while a person has the conversation is a line, silence after it was given back another."""
    ended.sandbox.person_sets(ended.chats[TARAS], manager="Олена")
    monkeypatch.setattr(ended, "graph", Contrary(ended.sandbox, ended.chats[TARAS]))
    ended.complaint()
    assert ended.problems()[:2] == [
        "the AI answered while a person had the conversation",
        "the AI was silent after the conversation was given back",
    ]


def test_a_wrong_end_is_exit_code_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """When something does not arrive, the summary says so and names it, and the exit code is 1."""

    def fail(self: Demo) -> None:
        raise TimeoutError

    monkeypatch.setattr(Demo, "run", fail)
    code, out, err = run("demo")
    assert (code, err) == (1, "")
    assert "! Something did not arrive within 20 s." in out
    assert re.search(r"^Everything arrived +no *$", out, re.MULTILINE)
    assert "✗ iryna.example never wrote" in out


def test_a_slow_crm_changes_no_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """When even a first touch outlasts the reply budget, the next message waits for it, and no status is skipped."""
    settings = demo.settings_for

    def hasty(*arguments: Any) -> SitniksSettings:
        return settings(*arguments).model_copy(update={"reply_budget": 0.25})

    monkeypatch.setattr(demo, "settings_for", hasty)
    monkeypatch.setattr(demo, "ANSWERS_AFTER", 0.35)
    monkeypatch.setattr(Demo, "run", Demo.purchase)
    _, out, _ = run("demo")
    assert "… queued, arrives later · first_touch" in out
    assert "did not arrive" not in out
    assert "✗ iryna.example" not in out


def test_an_interrupt_does_not_wait_for_the_crm(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever presses Ctrl+C during the outage: the sandbox lets go of what hangs before the service drains."""
    armed: list[object] = []

    def interrupted(self: Demo) -> None:
        self.sandbox.fault("hang", times=None)
        sandboxes.append(self.sandbox)
        raise KeyboardInterrupt

    def close(self: TimedService) -> None:
        armed.append(sandboxes[0].account.faults.armed)

    sandboxes: list[Sandbox] = []
    monkeypatch.setattr(Demo, "run", interrupted)
    monkeypatch.setattr(TimedService, "close", close)
    assert run("demo")[0] == 130
    assert armed == [()]


def test_the_example_is_found_where_it_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Run) -> None:
    """In an installed package within it, in a checkout beside it, the installed one first; else one line says so."""
    package = tmp_path / "mirt_sitniks"
    monkeypatch.setattr(demo, "__file__", str(package / "cli" / "demo.py"))
    with pytest.raises(SitniksError, match="install mirt-sitniks again"):
        demo.load_example()
    assert run("demo")[0] == 1
    for place in (tmp_path / "examples", package / "examples"):
        place.mkdir(parents=True)
        (place / "main_graph.py").write_text(f"here = {place.parent.name!r}")
        assert demo.load_example().here == place.parent.name


def test_the_command_is_named_as_it_can_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By its name where a shell finds it, by its path from here where not, else as a module."""
    monkeypatch.setattr("sys.argv", [str(tmp_path / ".venv" / "bin" / "mirt-sitniks")])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert demo.command_name() == ".venv/bin/mirt-sitniks"
    monkeypatch.chdir("/")
    assert demo.command_name() == str(tmp_path / ".venv" / "bin" / "mirt-sitniks").lstrip("/")
    monkeypatch.setattr("sys.argv", ["/somewhere/__main__.py"])
    assert demo.command_name() == "python -m mirt_sitniks"
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert demo.command_name() == "mirt-sitniks"


def rendered(width: int, **options: Any) -> str:
    """A chapter with a turn of each outcome, and the end, as a terminal of that width gets them."""
    file = StringIO()
    console = Console(file=file, width=width, highlight=False, **options)
    view = View(console)
    view.begin("http://127.0.0.1:8765", 0.08)
    view.chapter("A purchase", "What it is about.")
    rows = [Row("iryna.example", "instagram", "Виставлено рахунок", "Павло"), Row("x", "viber", "AI Увага", "")]
    for outcome in Outcome:
        result = SyncResult(Stage.FIRST_TOUCH, "2026-01-01T00:00:00.000Z", outcome)
        view.turn(Turn("Ірина", "Добрий вечір! " * 12, "Вітаємо 🌿 " * 20, result, 0.1), rows)
    view.turn(Turn("Ірина", "Дякую", "І вам", None, 0.0), rows)
    view.note("Something happens outside of the conversation, and it takes some words to say what it was.")
    view.trouble("Trouble.")
    view.arrival("arrived", rows)
    view.end(rows=rows, calls={"list chats": 3}, busiest=9, longest=1.5, budget=1.5, seconds=4, problems=["a problem"])
    view.stays("http://127.0.0.1:8765", 99_999)
    return file.getvalue()


@pytest.mark.parametrize(("width", "widest"), [(80, 80), (120, 100)])
def test_it_fits_the_terminal(width: int, widest: int) -> None:
    """Nothing is wider than the terminal or cut off, and long lines stay readable on a wide one."""
    text = rendered(width)
    assert max(map(len, text.splitlines())) <= widest
    assert "…\n" not in re.sub(" +\n", "\n", text)
    for words in (badge for badge, _ in BADGES.values()):
        assert words in text
    for words in ("Виставлено рахунок", "viber", "✗ a problem", "mirt-sitniks doctor"):
        assert words in text


def test_only_the_terminals_own_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The 16 colours that a theme defines, no background; none with NO_COLOR."""
    codes = set(re.findall(r"\x1b\[([\d;]*)m", rendered(80, force_terminal=True, color_system="standard")))
    used = {int(part) for code in codes for part in code.split(";") if part}
    assert {1, 32} <= used
    assert used <= {0, 1, 2, 3, *range(30, 38)}
    monkeypatch.setenv("NO_COLOR", "1")
    codes = set(re.findall(r"\x1b\[([\d;]*)m", rendered(80, force_terminal=True, color_system="standard")))
    assert {int(part) for code in codes for part in code.split(";") if part} <= {0, 1, 2, 3}
