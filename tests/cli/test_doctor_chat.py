"""`doctor --chat`, its report and its JSON, over real HTTP: what a person reads, and what is sent on."""

import asyncio
import json
import re
import signal
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mirt_sitniks import SitniksChatService, SitniksSettings
from mirt_sitniks.cli import trial_back
from mirt_sitniks.cli.doctor_findings import Finding, show
from mirt_sitniks.cli.doctor_report import default_path
from mirt_sitniks.cli.doctor_settings import judge_versions, versions
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.events import Event
from mirt_sitniks.core.store import StoreOptions
from mirt_sitniks.core.survey import Overview, OverviewAsked
from mirt_sitniks.sandbox import Sandbox
from mirt_sitniks.stores.sqlite import SqliteStore
from tests.cli.conftest import Run
from tests.cli.process import Command

CUSTOMER = {"nickname": "planted.nick.q7", "name": "Planted Customer Q8"}
SESSION = "planted-session-q3"
AI, LIVE = "Planted Manager Q9", "Planted Live Q5"
STATUS = "Planted Status Q4"
OWN = "planted_stage_q2"
FOUR_MINUTES = 240.0


@pytest.fixture
def crm(monkeypatch: pytest.MonkeyPatch, planted: Any, tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox full of names, and the environment of a host that uses it."""
    monkeypatch.setenv("COLUMNS", "80")
    with Sandbox(limit=False, key=planted.crm_key, managers={101: AI, 102: LIVE}) as running:
        running.statuses = (*running.statuses, STATUS)
        for name, value in {
            "SNITKIX_API_URL": running.url,
            "SNITKIX_API_KEY": planted.crm_key,
            "SITNIKS_AI_MANAGER_NAME": AI,
            "SITNIKS_STATUS_FIRST_TOUCH": STATUS,
            "SITNIKS_STAGES": json.dumps({OWN: {"status": "ОПЛАЧЕНО"}}),
            "SITNIKS_OWNER": running.account.world.chat(_chat(running)).owner_name,
            "SITNIKS_RATE_LIMIT": "10/0.05",
            "SITNIKS_TIMEOUT": "25",
            "SUPABASE_KEY": planted.supabase_key,
            "SITNIKS_STORE": "sqlite",
        }.items():
            monkeypatch.setenv(name, value)
        yield running


def _chat(crm: Sandbox) -> str:
    return crm.add_chat(CUSTOMER["nickname"], name=CUSTOMER["name"], manager=102, created_ago=9e5, last_message_ago=99)


def chat_of(crm: Sandbox) -> str:
    """The one chat of the account."""
    (only,) = crm.chats()
    return str(only["id"])


def make_store(*chats: Chat) -> None:
    """A host's database in this folder, empty yet but for what these chats showed."""

    async def make() -> None:
        store = SqliteStore("sitniks.sqlite3")
        await store.hear(StoreOptions("key"), tuple(map(Event, chats)))
        await store.aclose()

    asyncio.run(make())


def said(out: str) -> str:
    """The output with its line breaks for the terminal's width undone."""
    return re.sub(r"\n {18,20}(?=[^ →])", " ", out)


def test_a_trial_as_a_person_reads_it(crm: Sandbox, run: Run) -> None:
    """It says first what it will do and what is there, then how the account answers; it fits 80 columns; all is as it
    was, and its status is one of those that were seen."""
    chat = chat_of(crm)
    before = crm.chat(chat)
    code, out, err = run("doctor", "--chat", chat)
    assert (code, err) == (0, "")
    told = said(out)
    for line in (
        "· Trial         up to 15 calls on this chat, within half a minute: its status and manager change for a moment "
        "and are put back; no note and no message is written.",
        f"· Trial         It shows “Нові заявки”, {LIVE} (102).",
        "✓ Chat          every call tried; it is as it was",
        "✓ Status        works; its answer shows the chat after it",
        "✓ Assigning     works; its answer shows the chat after it",
        "· Dates         startDate and endDate filter on the last message",
        "· Pages         managers: 1 came where 1 were asked for, as asked; `count` is the total",
        "· Responsible   chats show who has them by id and name",
    ):
        assert line in told
    assert told.index("up to 15 calls") < told.index("Chat    ")
    assert STATUS not in told.partition("not seen yet")[2]
    assert all(len(line) <= 80 or "sqlite3" in line for line in out.splitlines())
    assert {**crm.chat(chat), "updatedAt": ""} == {**before, "updatedAt": ""}
    assert [one["field"] for one in crm.history(chat)].count("status") == 2
    assert crm.notes(chat) == []
    assert crm.count() <= 17


@pytest.mark.parametrize(
    ("habits", "line"),
    [
        ({"write_body": "before"}, "✓ Status        works; its answer shows the chat as it was before"),
        ({"write_body": "empty"}, "✓ Assigning     works; its answer shows nothing of the chat"),
        ({"managers_refuse": True}, "✗ Assigning     answered 200, and nothing changes"),
        ({"refuses": {"assign": 403}}, "✗ Assigning     refused: this key may not do it"),
        ({"refuses": {"assign": 404}}, "✗ Assigning     refused: this account has no such call"),
        ({"refuses": {"status": 403}}, "✗ Status        refused: this key may not do it"),
        ({"date_filter": "created"}, "· Dates         startDate and endDate filter on the chat's creation"),
    ],
)
def test_what_differs_is_said(crm: Sandbox, run: Run, habits: dict[str, Any], line: str) -> None:
    """One habit, one line; what does not work is a cross, and the exit code says so."""
    for name, value in habits.items():
        setattr(crm, name, value)
    code, out, _ = run("doctor", "--chat", chat_of(crm))
    assert line in said(out)
    assert code == ("✗" in line)
    assert (crm.chats()[0]["status"], crm.chats()[0]["assignedManagerId"]) == ("Нові заявки", 102)


def test_a_chat_that_the_store_works_on_is_let_alone(crm: Sandbox, run: Run) -> None:
    """A stage that waits, or a lease: nothing but the usual checks is sent, and it is said when to come back."""
    crm.fault("status", path="/status$", times=None)
    with SitniksChatService(SitniksSettings(reply_budget=20), worker=False) as service:
        service.sync_blocking("escalation", session=SESSION, instagram_username=CUSTOMER["nickname"])
    crm.clear_faults()
    writes = crm.count("PATCH") + crm.count("PUT")
    code, out, _ = run("doctor", "--chat", chat_of(crm))
    line = "✗ Chat          not tried: a stage of this chat is under way or waits in the store"
    assert (code, line in said(out)) == (1, True)
    assert "→ try again when it is done, or name another chat" in said(out)
    assert crm.count("PATCH") + crm.count("PUT") == writes
    # Nothing is left to do: somebody is still at work, then nobody.
    for until, told in ((1e12, line), (0, "✓ Chat          every call tried; it is as it was")):
        with sqlite3.connect("sitniks.sqlite3") as database:
            database.execute("update sitniks_chat_mappings set parked = 9, lease_until = ?", (until,))
        assert told in said(run("doctor", "--chat", chat_of(crm))[1])


def test_a_chat_that_is_not_there(crm: Sandbox, run: Run) -> None:
    """An id that no chat has, or that can be none: nothing is written, and the reason is said."""
    for chat in ("f" * 24, "../managers", ""):
        code, out, _ = run("doctor", "--chat", chat)
        assert (code, "✗ Chat          not tried, it cannot be read: " in said(out)) == (1, True)
    assert crm.count("PATCH") + crm.count("PUT") == 0


def test_the_last_line_says_what_could_not_be_put_back(crm: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chat is closed by a person between a write and its way back."""
    monkeypatch.setattr(trial_back, "PAUSES", (0.0,))
    chat = chat_of(crm)
    for more in ([], ["--json"]):
        # The third is the way back.
        crm.fault("slow", method="PATCH", seconds=0.0, times=2)
        crm.fault("refuse", method="PATCH", status=422, message="chat is closed", times=None)
        code, out, err = run("doctor", "--chat", chat, *more)
        last = f"NOT PUT BACK, set it in Sitniks: status was “Нові заявки”, is “{STATUS}”"
        assert (code, (err if more else out).splitlines()[-1]) == (1, last)
        assert crm.chat(chat)["assignedManagerId"] == 102
        crm.clear_faults()
        crm.person_sets(chat, "Нові заявки")
    assert json.loads(out)["facts"]["put_back"] is False


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["term", "int"])
def test_a_signal_puts_back_first(crm: Sandbox, tmp_path: Path, number: signal.Signals, code: int) -> None:
    """A process that is told to end while the chat shows another status ends when it shows its own again."""
    chat = chat_of(crm)
    # The way back waits for the third look at it.
    crm.fault("slow", method="GET", path=f"{chat}$", seconds=0.0, times=2)
    crm.fault("hang", method="GET", path=f"{chat}$", times=1)
    with Command("doctor", "--chat", chat, folder=tmp_path) as process:
        crm.wait(lambda: crm.count("GET", f"{chat}$") == 3, 120)
        assert crm.chat(chat)["status"] == STATUS
        process.signal(number)
        assert process.wait(120) == code
        assert "Putting the chat back" in process.out
        assert "The chat is as it was." in process.out
    assert (crm.chat(chat)["status"], crm.chat(chat)["assignedManagerId"]) == ("Нові заявки", 102)


def test_the_report_holds_no_secret_and_no_name(
    crm: Sandbox, run: Run, planted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys, addresses, paths, ids and names stand in every input, errors and a session included: none is in the file,
    and no key and no customer is in what is printed. Names of managers and statuses are printed for who runs it."""
    monkeypatch.setenv("SITNIKS_API_KEY", planted.crm_key)
    with SitniksChatService(SitniksSettings(reply_budget=20)) as service:
        service.sync_blocking("escalation", session=SESSION, instagram_username=CUSTOMER["nickname"])
    chat = chat_of(crm)
    crm.person_sets(chat, manager=101)
    for arguments in (["--report", "one.json"], ["--report", "two.json", "--json"]):
        _, out, err = run("doctor", "--chat", chat, *arguments)
        planted.assert_absent(out, err)
        for name in (*CUSTOMER.values(), chat):
            assert name not in out + err
        text = Path(arguments[1]).read_text("utf-8")
        planted.assert_absent(text)
        names = (*CUSTOMER.values(), chat, SESSION, AI, LIVE, STATUS, OWN, crm.url, str(tmp_path), "shop.example")
        for name in (*names, crm.url.rpartition(":")[2], *crm.statuses):
            assert name not in text, name


def test_what_the_report_says(crm: Sandbox, run: Run, tmp_path: Path) -> None:
    """How the account answers, what is installed, which settings are set, what the store has; and of each check
    whether it is well. Without a name for the file it has one of its own, which is printed."""
    make_store()
    _, out, _ = run("doctor", "--chat", chat_of(crm), "--report")
    found = re.search(r"^Report: (.*)$", out, re.MULTILINE)
    assert found
    path = Path(found[1])
    assert path.parent == tmp_path
    assert re.fullmatch(r"sitniks-report-\d{8}-\d{6}\.json", path.name)
    report = json.loads(path.read_text("utf-8"))
    assert report["account"]["kinds"] == dict.fromkeys(("list", "read", "managers", "status", "assign"), "ok")
    assert report["account"]["dates"] == "last_message"
    assert report["put_back"] is True
    assert (report["store"]["kind"], report["store"]["schema"], report["store"]["counts"]["records"]) == (
        "sqlite",
        2,
        0,
    )
    assert report["crm"] == {"managers": 2, "clock_ahead_s": 0.0}
    assert report["settings"]["SNITKIX_API_KEY"] == report["settings"]["SITNIKS_RATE_LIMIT"] == "set"
    assert report["settings"]["SITNIKS_HOLD_HOURS"] == "default"
    assert report["settings"]["SITNIKS_HUMAN_MANAGER_ID"] == "not set"
    assert report["statuses_seen"] == {
        **{"first_touch": True, "give_requisites": False, "escalation": False},
        **{"own": 1, "own_seen": 0},
    }
    assert set(report["versions"]) >= {"mirt-sitniks", "python", "langgraph", "langchain-core", "httpx", "supabase"}
    assert {"name": "Assigning", "ok": True} in report["checks"]


def test_a_report_that_cannot_be_written(crm: Sandbox, run: Run) -> None:
    """It is one more cross, behind all that was found."""
    code, out, err = run("doctor", "--report", "nowhere/report.json")
    assert (code, err) == (1, "")
    assert "✗ Report        nowhere/report.json cannot be written (No such file or directory)" in said(out)
    assert "1 of 8 checks failed." in out


def test_everything_as_json(crm: Sandbox, run: Run) -> None:
    """Standard output is one document, findings and facts; what is said meanwhile goes to standard error; the exit
    code is the same."""
    crm.managers_refuse = True
    code, out, err = run("doctor", "--chat", chat_of(crm), "--json")
    document = json.loads(out)
    assert code == 1
    assert "up to 15 calls" in err
    cross = [one for one in document["findings"] if one["ok"] is False]
    assert cross == [
        {
            "name": "Assigning",
            "ok": False,
            "text": "answered 200, and nothing changes",
            "cure": "ask the vendor to enable it; what needs it is `partial`",
        }
    ]
    assert document["facts"]["account"]["kinds"]["assign"] == "ignored"
    code, out, err = run("doctor", "--json")
    assert (code, err, json.loads(out)["facts"]["account"]) == (0, "", None)


@pytest.mark.parametrize(("ahead", "how"), [(FOUR_MINUTES, "behind"), (-FOUR_MINUTES, "ahead of")])
def test_a_clock_that_is_wrong(crm: Sandbox, run: Run, ahead: float, how: str) -> None:
    """Minutes between this machine and the CRM's `Date` hide chats: they are said; a second is not."""
    crm.clock_ahead = ahead
    code, out, _ = run("doctor")
    assert code == 1
    assert re.search(rf"✗ Clock         this machine's clock is 2\d\d s {how} the CRM's", said(out))
    crm.clock_ahead = 1.0
    assert "Clock" not in run("doctor")[1]


def test_statuses_that_were_seen(crm: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that chats show are known; one that differs in letter case alone is a mistake, with the setting's name."""
    for status in (STATUS, "Виставлено рахунок", "AI Увага", "ОПЛАЧЕНО"):
        crm.add_chat("one.example", status=status)
    told = said(run("doctor")[1])
    assert f"✓ Statuses      all 4 were seen in this account: “{STATUS}” (first_touch), “Вис" in told
    monkeypatch.setenv("SITNIKS_STATUS_ESCALATION", "AI увага")
    code, out, _ = run("doctor")
    assert code == 1
    assert "✗ Statuses      “AI увага” (escalation) was not seen, but “AI Увага” was" in said(out)
    assert "→ write it as Sitniks does, in SITNIKS_STATUS_ESCALATION" in said(out)
    monkeypatch.setenv("SITNIKS_STATUS_ESCALATION", "AI Увага")
    monkeypatch.setenv("SITNIKS_STAGES", json.dumps({OWN: {"status": "оплачено"}}))
    assert "→ write it as Sitniks does, in SITNIKS_STAGES" in said(run("doctor")[1])


def test_statuses_that_were_seen_by_others(crm: Sandbox, run: Run) -> None:
    """What the directory knows counts as well: no chat of today shows it any more."""
    make_store(Chat("1", "olena.example", "instagram", status="ОПЛАЧЕНО"))
    assert f"✓ Statuses      1 of 4 were seen in this account: “ОПЛАЧЕНО” ({OWN})" in said(run("doctor")[1])


def test_a_store_whose_clock_is_another(crm: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database server's clock is compared with this machine's, too."""
    make_store()
    overview = SqliteStore.overview

    async def late(store: SqliteStore, asked: OverviewAsked) -> Overview:
        found = await overview(store, asked)
        return replace(found, wall=found.wall - FOUR_MINUTES)

    monkeypatch.setattr(SqliteStore, "overview", late)
    assert re.search(r"✗ Clock         this machine's clock is 2\d\d s ahead of the store's", said(run("doctor")[1]))


def test_nobody_left_to_read_it_changes_nothing(crm: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed while the chat is changed can't be written any more: the chat is as it was all the same."""

    def broken(finding: Finding) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("mirt_sitniks.cli.doctor.show", lambda one: broken(one) if one.name == "Trial" else show(one))
    chat = chat_of(crm)
    assert run("doctor", "--chat", chat)[0] == 0
    assert [one["field"] for one in crm.history(chat)].count("status") == 2
    assert crm.chat(chat)["status"] == "Нові заявки"


def test_what_was_refused_lately_and_who_is_held(crm: Sandbox, run: Run) -> None:
    """What the store knows is said: sessions where a person's status stays, and a kind of call that rests."""
    asked: dict[str, Any] = {"instagram_username": CUSTOMER["nickname"], "chat_id": chat_of(crm)}
    with SitniksChatService(SitniksSettings(reply_budget=20, look_again=0)) as service:
        assert service.sync_blocking("escalation", session=SESSION, **asked)
        crm.person_sets(asked["chat_id"], "ОПЛАЧЕНО")
        assert service.sync_blocking("give_requisites", session=SESSION, **asked).outcome == "held"
        code, out, _ = run("doctor")
        assert (code, "· Held          1 session with a status that a person has set: it stays" in said(out)) == (
            0,
            True,
        )
        crm.refuses = {"assign": 404}
        service.sync_blocking("escalation", session=SESSION, **asked)
    code, out, _ = run("doctor")
    assert code == 1
    assert "✗ Rights        Sitniks answered 404 to UpdateChat" in said(out)


def test_versions_outside_the_bounds() -> None:
    """What is installed is compared with what the package asks for; extras and markers are no requirement."""
    known = {"langgraph": "1.0.3", "httpx": "0.28.1", "pydantic": "2.11", "mirt-sitniks": "1", "python": "3.11"}
    known["supabase"] = "2.9.1"
    needs = ["langgraph<2,>=1.0.4", "httpx<1,>=0.27", "pydantic>=2.11", 'supabase>=9; extra == "all"', "other>=1"]
    found = judge_versions(known, needs)
    assert (found.ok, found.text) == (False, "langgraph<2,>=1.0.4 is needed, 1.0.3 is installed")
    assert found.cure == 'pip install "langgraph<2,>=1.0.4"'
    assert judge_versions({**known, "langgraph": "2.0"}, needs).ok is False
    assert judge_versions({**known, "langgraph": "1.2.24rc1"}, needs).ok is True
    assert judge_versions({**known, "langgraph": "not installed"}, needs).ok is False
    assert judge_versions(versions()).ok is not False
    assert default_path() != default_path().with_suffix(".txt")
