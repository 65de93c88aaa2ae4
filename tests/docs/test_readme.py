"""What is written, runs; and what is written of names, defaults and codes is what the code has."""

import ast
import doctest
import importlib
import json
import os
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path

import httpx
import pytest
from packaging.requirements import Requirement

import mirt_sitniks
from mirt_sitniks.core.notes import TEMPLATE
from mirt_sitniks.core.order_result import OrderOutcome
from mirt_sitniks.core.result import SKIPS, Outcome, SyncResult
from mirt_sitniks.core.stage_table import parse_stages
from mirt_sitniks.core.stages import BUILT_IN, Role, Stage
from mirt_sitniks.core.store import Verdict
from mirt_sitniks.sandbox import Sandbox
from mirt_sitniks.settings import VARIABLES, SitniksSettings
from mirt_sitniks.stores.migrations import migrations
from tests.docs import notebook
from tests.docs.notebook import ROOT
from tests.docs.pages import ENGLISH, UKRAINIAN, anchors, blocks, links, quoted, rows

PACKAGE = Path(mirt_sitniks.__file__).parent
NAMES = ("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "tests/README.md", "tests/FAULTS.md")
PAGES = [page for page in (ENGLISH, UKRAINIAN, *map(ROOT.joinpath, NAMES)) if page.exists()]
BOTH = pytest.mark.parametrize("page", [ENGLISH, UKRAINIAN], ids=lambda page: page.name)
WRITTEN_URL = "http://127.0.0.1:8765"
# Whatever serves would do as much with the README's `lifespan`.
SERVER = """
import asyncio
from types import SimpleNamespace
from shop import HELLO

async def main():
    app = SimpleNamespace(state=SimpleNamespace())
    async with lifespan(app):
        service = get_sitniks_chat_service()
        state = await app.state.graph.ainvoke(HELLO)
        print(state["sitniks"]["outcome"])
    assert get_sitniks_chat_service() is not service

asyncio.run(main())
"""

# Whoever has a model hands it in; this one needs no key.
AGENT = """
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from shop import HELLO

class Model(GenericFakeChatModel):
    def bind_tools(self, tools, **kwargs):
        return self

state = build_agent(Model(messages=iter([AIMessage("Вітаю!")])), []).invoke(HELLO)
print(state["sitniks"]["outcome"])
"""

# Sitniks, as it posts to the README's address.
HOOK = """
import asyncio
import httpx

async def post(secret):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://shop.example") as sitniks:
        return (await sitniks.post(f"/sitniks/{secret}", json={"test": "ping"})).status_code

print(asyncio.run(post("the-secret-of-the-path")), asyncio.run(post("another")))
"""

# The host's flag from before is over, for nobody has the conversation.
SILENT = """
graph = builder.add_edge("memory", END).compile()
print(graph.invoke({"session_id": "example-9", "escalated": True})["escalated"])
"""
DRIVERS = {"server.py": SERVER, "agent.py": AGENT, "hook.py": HOOK, "silent.py": SILENT}


class Terminal:
    """A reader who types the blocks of a page, one after the other, in an empty folder."""

    def __init__(self, folder: Path, crm: Sandbox) -> None:
        self.folder, self.crm = folder, crm
        # What each line and file has printed so far, and what the last one has logged.
        self.printed: dict[str, list[str]] = {}
        self.logged = ""
        self.env = {
            **os.environ,
            "PYTHONPATH": str(PACKAGE.parent),
            "PYTHONIOENCODING": "utf-8",
            # Older versions of the libraries warn of each other.
            "PYTHONWARNINGS": "ignore",
            "SITNIKS_WEBHOOK_SECRETS": "the-secret-of-the-path",
        }

    def run(self, *words: str) -> str:
        """What a command prints; it has to end well."""
        done = subprocess.run(
            words, cwd=self.folder, env=self.env, capture_output=True, text=True, encoding="utf-8", timeout=120
        )
        assert done.returncode == 0, f"{words} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        self.logged = done.stderr
        return done.stdout

    def python(self, code: str) -> None:
        """Save a block, and run it: a server is started and asked once, tests are left to `pytest`."""
        kinds = {
            "def test_": "test_shop.py",
            "(StoreContract)": "test_store.py",
            "def lifespan": "server.py",
            "def build_graph": "shop.py",
            "def paid_order": "orders.py",
            "def build_agent": "agent.py",
            '"payment_confirmed"': "paid.py",
            "webhook_routes": "hook.py",
            "human_has_chat": "silent.py",
        }
        name = next((name for mark, name in kinds.items() if mark in code), "plain.py")
        (self.folder / name).write_text(code + DRIVERS.get(name, ""), "utf-8")
        if not name.startswith("test_"):
            self.printed.setdefault(name, []).append(self._python(name))

    def _python(self, name: str) -> str:
        return self.run(sys.executable, name)

    def _pytest(self, *words: str) -> str:
        # An editable install from before the entry point has the plugin all the same.
        known = entry_points(group="pytest11", name="mirt_sitniks") or "MIRT_SITNIKS_WHEEL" in os.environ
        plugin = () if known else ("-p", "mirt_sitniks.testing.plugin")
        return self.run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugin, *words)

    def type(self, line: str) -> str:
        """What one line of a `bash` block prints. A line that nobody knows how to run fails."""
        words = shlex.split(line.replace(WRITTEN_URL, self.crm.url), comments=True)
        command = getattr(self, f"_{words[0].replace('-', '_')}", None)
        assert command, f"this line of the README is run by no test: {line}"
        printed = command(*words[1:])
        assert isinstance(printed, str)
        self.printed.setdefault(" ".join(words), []).append(printed)
        return printed

    def _make(self, target: str) -> str:
        # Run by whoever runs the tests: `make test` is what runs this, and `make demo` installs.
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        return ""

    def _pip(self, verb: str, what: str) -> str:
        # `make test` installs this form from a git repository on this machine.
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        wanted = Requirement(what.replace("<you>", "you"))
        assert (verb, wanted.name) == ("install", project["name"])
        assert wanted.extras <= set(project["optional-dependencies"])
        return ""

    def _export(self, assignment: str) -> str:
        name, _, value = assignment.partition("=")
        # Ten times faster, so that no block waits for the calls of the one before; refused for anything but loopback.
        self.env |= {name: value, "SITNIKS_RATE_LIMIT": "9/1.05"}
        return ""

    def _curl(self, *words: str) -> str:
        (place,) = (place for place, word in enumerate(words) if word.startswith(self.crm.url))
        options = words[:place] + words[place + 1 :]
        given = {"-X": "POST", "-d": "", "-H": "Accept: */*", **dict(zip(options[::2], options[1::2], strict=True))}
        name, _, value = given["-H"].partition(": ")
        with httpx.Client(trust_env=False) as http:
            answer = http.request(given["-X"], words[place], headers={name: value}, content=given["-d"].encode())
        assert answer.is_success, answer.text
        return answer.text

    def _mirt_sitniks(self, command: str, *options: str) -> str:
        if command == "sandbox":
            # The one that a test already has listens on a free port.
            return self._sandbox(*options)
        script = shutil.which("mirt-sitniks", path=os.fspath(Path(sys.executable).parent))
        return self.run(*([script] if script else [sys.executable, "-m", "mirt_sitniks"]), command, *options)

    def _sandbox(self, *options: str) -> str:
        assert options == ("--port", WRITTEN_URL.rpartition(":")[2])
        with served(self) as url, httpx.Client(trust_env=False) as http:
            assert "<html" in http.get(url).text
        return ""


@contextmanager
def served(terminal: Terminal) -> Iterator[str]:
    """The address of `mirt-sitniks sandbox`, run as a process on a free port."""
    words = [sys.executable, "-m", "mirt_sitniks", "sandbox", "--port", "0"]
    process = subprocess.Popen(
        words, cwd=terminal.folder, env=terminal.env, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert process.stdout is not None
    try:
        settings = [process.stdout.readline().strip() for _ in range(3)]
        assert settings[2] == "SNITKIX_API_KEY=sandbox-key"
        yield settings[1].removeprefix("SNITKIX_API_URL=")
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.mark.slow
def test_the_readme_works_from_top_to_bottom(tmp_path: Path) -> None:
    """A reader who types every block in order gets what the page promises: disabled, synced, queued, then erased."""
    with Sandbox(speed=10.0) as crm:
        terminal = Terminal(tmp_path, crm)
        shown = terminal.printed
        for block in blocks(ENGLISH):
            if block.language == "python":
                terminal.python(block.text)
            elif block.language == "toml":
                (tmp_path / "stages.toml").write_text(block.text, "utf-8")
            elif block.language == "bash":
                for line in filter(str.strip, block.text.splitlines()):
                    terminal.type(line)
                if "export SNITKIX" in block.text:
                    assert terminal.type("python shop.py") == "synced\n"
                    assert "httpx" not in terminal.logged
                    assert [chat["status"] for chat in crm.chats()] == ["Взято в роботу"]
                    assert (tmp_path / "sitniks.sqlite3").exists()
                elif "faults" in block.text:
                    assert shown["python shop.py"][:2] == ["synced\n", "queued\n"]
                    # A process that ended in the middle of a call holds its lease for half a minute.
                    assert any(terminal.type("python shop.py") == "synced\n" for _ in range(20))
            elif block.text.startswith("INFO:"):
                logged = re.findall(r"^[A-Z]+:.*\n", terminal.logged, re.MULTILINE)
                assert block.text == "".join(logged) + shown["shop.py"][0]
        bought, chat = crm.chats()
        assert shown["python paid.py"] == ["synced ОПЛАЧЕНО\n"]
        assert (bought["userNickName"], bought["status"]) == ("olena.example", "ОПЛАЧЕНО")
        assert shown["shop.py"] == ["disabled\n"]
        assert shown["server.py"] == ["synced\n"]
        assert shown["orders.py"] == ["created\n"]
        assert shown["agent.py"] == ["synced\n"]
        assert shown["silent.py"] == ["False\n"]
        assert shown["hook.py"] == ["200 404\n"]
        assert [order["client"]["phone"] for order in crm.orders()] == ["380671234567"]
        assert "1 passed" in shown["pytest test_shop.py"][0]
        assert " passed" in shown["pytest test_store.py"][0]
        assert "lost 0, backwards 0, duplicated 0" in shown["pytest test_shop.py --sitniks-chaos=7"][0]
        assert "checks passed" in shown["mirt-sitniks doctor"][0]
        for erased in shown["mirt-sitniks forget example-1"]:
            assert re.search(r"\b[1-9]", erased), "some rows are erased"
        (pruned,) = (text for line, (text, *_) in shown.items() if "prune" in line)
        assert re.search(r"\d", pruned), "how many rows are pruned is told"
        assert shown["plain.py"] == [f"True synced {chat['id']}\n"]
        assert (chat["status"], chat["assignedManagerName"]) == ("AI Увага", "Олена")
        copied = sorted((tmp_path / "supabase" / "migrations").iterdir())
        assert [path.read_text("utf-8") for path in copied] == [one.sql for one in migrations()]
        assert all(one.sql in shown["mirt-sitniks migrations --print"][0] for one in migrations())


def test_both_readmes_have_the_same_code() -> None:
    """Code is not translated: the blocks of README.uk.md are those of README.md, in the same order."""

    def code(page: Path) -> list[tuple[str, str]]:
        return [(block.language, block.text) for block in blocks(page) if block.language != "mermaid"]

    assert code(UKRAINIAN) == code(ENGLISH)
    assert {language for language, _ in code(ENGLISH)} == {"bash", "python", "text", "toml"}


def test_the_stages_of_the_readme_are_stages() -> None:
    """What it shows of a file of stages is taken, and says what each wants."""
    (table,) = (block.text for block in blocks(ENGLISH) if block.language == "toml")
    stages = parse_stages(table)
    assert stages["paid"].replaces == ("Виставлено рахунок",)
    assert stages["complaint"].role is Role.HUMAN


def test_docstring_examples_run() -> None:
    """Every `>>>` in the package gives what stands below it."""
    modules = [module.name for module in pkgutil.walk_packages([str(PACKAGE)], "mirt_sitniks.")]
    for name in ("mirt_sitniks", *modules):
        if not name.endswith("__main__") and ">>> " in _source(name):
            assert doctest.testmod(importlib.import_module(name)).failed == 0, name


def _source(name: str) -> str:
    path = PACKAGE.joinpath(*name.split(".")[1:])
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Files and headings that a page links to are there."""
    for goal in links(page.read_text("utf-8")):
        _follow(page, goal)


def test_links_of_the_notebook_lead_somewhere() -> None:
    """The same for what the notebook says."""
    for cell in notebook.read().cells:
        if cell.cell_type == "markdown":
            for goal in links(cell.source):
                _follow(notebook.NOTEBOOK, goal)


def _follow(page: Path, goal: str) -> None:
    if goal.startswith("https://"):
        return
    name, _, anchor = goal.partition("#")
    target = page.parent / name if name else page
    assert target.exists(), f"{page.name} links to {goal}"
    assert not anchor or anchor in anchors(target), f"{page.name} links to {goal}"


@BOTH
def test_the_settings_table_is_complete(page: Path) -> None:
    """Each variable that is read stands in the table once, with the default that the field has."""
    nothing = {"empty": "", "none": None, "порожньо": "", "не задано": None}
    # Shown in a section of its own.
    nothing |= {"in Ukrainian": TEMPLATE, "українською": TEMPLATE}
    assert TEMPLATE in page.read_text("utf-8")
    table = rows(page, "variable" if page == ENGLISH else "змінна")
    listed = [name for cells in table for name in (*quoted(cells[0]), *_also(cells[2]))]
    assert sorted(listed) == sorted(name for names in VARIABLES.values() for name in names)
    for cells in table:
        for name in quoted(cells[0]):
            field = next(field for field, names in VARIABLES.items() if name in names)
            default = SitniksSettings.model_fields[field].get_default(call_default_factory=True)
            default = default.get_secret_value() if hasattr(default, "get_secret_value") else default
            if cells[1] in nothing:
                assert default in (nothing[cells[1]], {}), name
            else:
                text = (
                    ",".join(default)
                    if isinstance(default, tuple)
                    else f"{default:g}"
                    if isinstance(default, float)
                    else default
                )
                assert [str(text).lower() if isinstance(text, bool) else str(text)] == quoted(cells[1]), name


def _also(text: str) -> list[str]:
    """Further names of a variable stand in brackets in what is said of it."""
    _, _, more = text.partition("(")
    return [word for word in quoted(more) if word.startswith("SUPABASE_")]


@BOTH
def test_the_stages_are_those_of_the_code(page: Path) -> None:
    """Statuses and who becomes responsible are as a new account gets them."""
    people = {Role.AI: "`Павло`", Role.HUMAN: ("a live manager", "живий менеджер"), None: ("unchanged", "без змін")}
    table = rows(page, "stage" if page == ENGLISH else "етап")
    assert [quoted(cells[0])[0] for cells in table] == [stage.value for stage in Stage]
    for cells, effect in zip(table, BUILT_IN.values(), strict=True):
        assert quoted(cells[2]) == [effect.status]
        expected = people[effect.role]
        assert expected in cells[3] if isinstance(expected, str) else cells[3] in expected


@BOTH
def test_the_words_of_a_result_are_those_of_the_code(page: Path) -> None:
    """Keys, outcomes and reasons of `sitniks`, the outcomes of orders, and the codes of their errors are named
    completely, and no others."""
    table = {name: cells[1] for cells in rows(page, "key" if page == ENGLISH else "ключ") for name in quoted(cells[0])}
    assert set(table) == set(SyncResult(None, "", Outcome.SYNCED).to_state())
    assert [word for word in quoted(table["outcome"]) if word in set(Outcome)] == [one.value for one in Outcome]
    reasons = [name for cells in rows(page, "reason" if page == ENGLISH else "причина") for name in quoted(cells[0])]
    assert sorted(reasons) == sorted(reasons_of_the_code())
    heads = ("code", "order's code") if page == ENGLISH else ("код", "код замовлення")
    codes = [code for head in heads for cells in rows(page, head) for code in quoted(cells[0])]
    outcomes = rows(page, "outcome" if page == ENGLISH else "результат")
    assert [quoted(cells[0])[0] for cells in outcomes] == [one.value for one in OrderOutcome]
    assert sorted(codes) == sorted(codes_of_the_code())


def reasons_of_the_code() -> set[str]:
    """What a store's verdict can be beside recording, what has a cure, and what `SKIPPED` is given literally."""
    found = {verdict.value for verdict in Verdict} - {Verdict.NEW.value, Verdict.KNOWN.value} | set(SKIPS)
    for node in _nodes():
        if isinstance(node, ast.Tuple) and any(getattr(one, "attr", None) == "SKIPPED" for one in node.elts):
            found |= _texts(node.elts)
    return found


def codes_of_the_code() -> set[str]:
    """The codes of the exceptions and of the errors that are made without one.

    `config` is only raised while a graph is built or settings are read; `refused` is told as `bad_response`.
    """
    found: set[str] = set()
    given: list[ast.expr]
    for node in _nodes():
        if isinstance(node, ast.ClassDef):
            given = [one.value for one in node.body if isinstance(one, ast.Assign) and _names(one) == ["code"]]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", None) == "Error":
            given = node.args[:1]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", None) == "_failed":
            given = node.args[1:2]
        elif isinstance(node, ast.keyword) and node.arg == "code":
            given = [node.value]
        else:
            continue
        found |= _texts(given)
    return found - {"config"}


def _texts(nodes: Iterable[ast.AST]) -> set[str]:
    return {one.value for one in nodes if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def _names(assign: ast.Assign) -> list[str]:
    return [target.id for target in assign.targets if isinstance(target, ast.Name)]


def _nodes() -> Iterator[ast.AST]:
    others = {path for folder in ("sandbox", "examples", "testing") for path in PACKAGE.glob(f"{folder}/*.py")}
    for path in {*PACKAGE.rglob("*.py")} - others:
        yield from ast.walk(ast.parse(path.read_text("utf-8")))


def test_the_pictures_are_light() -> None:
    """The board is there in light, in dark, on a phone and in four frames, and no picture weighs a page down."""
    for scheme in ("light", "dark", "phone", "handover-light", "handover-dark"):
        picture = ROOT / "examples" / f"board-{scheme}.png"
        assert picture.read_bytes().startswith(b"\x89PNG"), picture.name
        assert picture.stat().st_size < 150_000, picture.name


def test_the_page_of_the_tests_names_every_folder_and_marker() -> None:
    """Each folder with code has its line, and every `-m` of the commands is a marker that exists."""
    page = ROOT / "tests" / "README.md"
    named = {quoted(cells[0])[0] for cells in rows(page, "folder")}
    assert {path.parent.name for path in (ROOT / "tests").glob("*/*.py")} <= named
    markers = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]["ini_options"]["markers"]
    asked = re.findall(r'-m (?:"not )?(\w+)', "".join(block.text for block in blocks(page)))
    assert asked
    assert set(asked) <= {re.split(r"\W", marker)[0] for marker in markers}


def test_the_notebook_is_one_json_document() -> None:
    """GitHub shows it: format 4, and nothing but plain outputs."""
    document = json.loads(notebook.NOTEBOOK.read_text("utf-8"))
    assert document["nbformat"] == 4
    kinds = {kind for cell in document["cells"] for out in cell.get("outputs", ()) for kind in out.get("data", ())}
    assert kinds <= {"text/plain", "text/html", "image/svg+xml"}
