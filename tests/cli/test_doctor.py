"""The doctor finds each trouble by itself, says the cure, and shows no secret."""

import asyncio
import contextlib
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from mirt_sitniks import SitniksChatService, SitniksSettings
from mirt_sitniks.cli.main import main
from mirt_sitniks.core.orders import Candidate, OrderRecord, OrdersAsked, OrderState
from mirt_sitniks.sandbox import Sandbox
from mirt_sitniks.stores.sqlite import SqliteStore
from tests.cli.process import environment, ours

CHECKED = r"(?m)^All \d checks passed\.$"


class Doctor:
    """Asks the doctor about a sandbox; whatever it says is looked through for secrets."""

    def __init__(self, sandbox: Sandbox, capsys, planted) -> None:
        self.sandbox, self._capsys, self._planted = sandbox, capsys, planted

    def ask(self) -> tuple[int, str]:
        """Exit code and output, with its line breaks for the terminal's width undone."""
        self._capsys.readouterr()
        code = main(["doctor"])
        out, err = self._capsys.readouterr()
        self._planted.assert_absent(out, err)
        assert err == ""
        return code, re.sub(r"\n {18,20}(?=[^ →])", " ", out)


def make_database(path: Path) -> None:
    """A host's database, empty yet."""

    async def make() -> None:
        store = SqliteStore(path)
        await store.check()
        await store.aclose()

    asyncio.run(make())


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys, planted) -> Iterator[Doctor]:
    """A doctor whose settings lead to a running sandbox, with the planted key."""
    monkeypatch.setenv("COLUMNS", "100")
    make_database(tmp_path / "sitniks.sqlite3")
    with Sandbox(key=planted.crm_key) as sandbox:
        monkeypatch.setenv("SNITKIX_API_URL", sandbox.url)
        monkeypatch.setenv("SNITKIX_API_KEY", planted.crm_key)
        yield Doctor(sandbox, capsys, planted)


def test_all_is_well(doctor: Doctor, tmp_path: Path) -> None:
    """Every check has its tick, the exit code is 0; the CRM was asked for its managers and a page of chats."""
    code, out = doctor.ask()
    assert code == 0
    assert re.search(CHECKED, out)
    for said in (
        "✓ Settings      from the environment and .env (none here)",
        f"✓ Store         0 sessions, 0 unfinished (sqlite, schema 2, {tmp_path / 'sitniks.sqlite3'})",
        f"✓ Address       {doctor.sandbox.url}",
        "✓ Key           accepted",
        "✓ Plan          has the Open API",
        "✓ AI manager    Павло (101), by name",
        "✓ Live manager  Олена (102), the first who is not the AI; SITNIKS_HUMAN_MANAGER_ID names another",
    ):
        assert said in out
    assert "✗" not in out
    paths = [(call.method, call.path) for call in doctor.sandbox.calls]
    assert paths == [("GET", "/open-api/managers"), ("GET", "/open-api/chats")]


def test_a_file_of_another_program_stays_as_it_is(doctor: Doctor, tmp_path: Path) -> None:
    """It gets no table of ours; the cure names the setting."""
    path = tmp_path / "sitniks.sqlite3"
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("create table notes (text)")
    before = path.read_bytes()
    code, text = doctor.ask()
    assert code == 1
    assert "this is no file of ours → set SITNIKS_DATABASE to the file of the host" in " ".join(text.split())
    assert path.read_bytes() == before


def test_a_wrong_folder_gets_no_database(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where there is no file yet none is made: the path that was looked at is named, and the rest is checked."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    code, out = doctor.ask()
    assert code == 0
    assert (
        f"· Store         no database {tmp_path / 'elsewhere' / 'sitniks.sqlite3'} yet: the first sync makes it" in out
    )
    assert "set SITNIKS_DATABASE" in out
    assert "✓ AI manager" in out
    assert list(Path().iterdir()) == []


def test_a_session_that_failed(doctor: Doctor) -> None:
    """Two people of one name: given up, so nothing is overdue; it is named, with its code and the way back."""
    doctor.sandbox.limit = False
    for _ in range(2):
        doctor.sandbox.add_chat("anna.shop")
    # Each looks at both chats before it is given up.
    with SitniksChatService(SitniksSettings(rate_limit="10/0.1", reply_budget=5)) as service:
        for number in range(7):
            service.sync_blocking("escalation", session=f"s{number}", instagram_username="anna.shop")
    code, out = doctor.ask()
    assert code == 1
    assert "✗ Failed        7 sessions failed, and nothing is tried until the next stage: s" in out
    assert out.count("(chat_ambiguous)") == 5
    assert "and 2 more" in out
    assert "`mirt-sitniks retry SESSION`" in out
    assert "1 of 9 checks failed." in out


def test_a_session_that_waits_long(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stage that is tried again and again for more than half an hour is said, although nothing is late."""
    chat = doctor.sandbox.add_chat("anna.shop")
    doctor.sandbox.fault("status", path="/status$", times=None)
    with SitniksChatService(SitniksSettings(reply_budget=5)) as service:
        service.sync_blocking("escalation", session="s", instagram_username="anna.shop")
    assert chat
    with sqlite3.connect(tmp_path / "sitniks.sqlite3") as database:
        database.execute("update sitniks_chat_mappings set asked_at = asked_at - 1900, due_at = due_at + 600")
    code, out = doctor.ask()
    assert code == 1
    assert "✗ Waiting       1 session waiting for more than half an hour: s (unavailable)" in out


def test_orders_that_a_person_has_to_look_at(doctor: Doctor, tmp_path: Path) -> None:
    """One line for those that nobody knows of, with what each may be, and one for those that wait; the rest is well."""

    async def leave() -> None:
        store = SqliteStore(tmp_path / "sitniks.sqlite3")
        now = (await store.orders(OrdersAsked())).now
        two = (Candidate("17", "1017", now), Candidate("18", None, None))
        unknown = OrderRecord("a", "d", {}, state=OrderState.UNKNOWN, candidates=two, due_at=None)
        late = OrderRecord(
            "late", "d", {}, state=OrderState.SENT, asked_at=now - 1900, due_at=now, error_code="timeout"
        )
        orders = [replace(unknown, asked_at=now), replace(unknown, external_id="b", candidates=())]
        orders += [late, replace(late, external_id="new", asked_at=now), replace(unknown, account="shop")]
        orders += [replace(unknown, external_id=f"made {state}", state=state) for state in ("created", "refused")]
        for one in orders:
            assert await store.commit_order(one)
        await store.aclose()

    assert "Orders" not in doctor.ask()[1]
    asyncio.run(leave())
    code, out = doctor.ask()
    assert code == 1
    assert "✗ Orders        2 orders sent, and nobody knows whether made: a (1017 or 18), b (none fits)" in out
    assert "→ look in Sitniks, then `settle(external_id, order_id)`" in out
    assert "✗ Orders        1 order waiting for more than half an hour: late (timeout)" in out
    assert "2 of 10 checks failed." in out


def test_a_variable_that_only_looks_like_a_setting(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing reads it, so it is named with the one that was meant."""
    monkeypatch.setenv("SITNIKS_API_KEY", "x")
    code, out = doctor.ask()
    assert code == 1
    assert "✗ Settings      SITNIKS_API_KEY is not read by anything" in out
    assert "→ rename it to SNITKIX_API_KEY, or remove it" in out


def test_a_managers_name_commands_no_terminal(doctor: Doctor) -> None:
    """What comes from the CRM is shown escaped: a name can hold what a terminal obeys."""
    doctor.sandbox.managers = {101: "Павло", 102: "Ола\x1b]0;x\x07"}
    _, out = doctor.ask()
    assert "Ола\\x1b]0;x\\x07" in out
    assert "\x1b" not in out


def test_statuses_are_left_to_the_reader(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API has no list of statuses: the names that will be set are shown for comparing, and nothing is claimed."""
    monkeypatch.setenv("SITNIKS_STATUS_ESCALATION", "Потрібна людина")
    code, out = doctor.ask()
    assert code == 0
    assert (
        "· Statuses      not seen yet: “Взято в роботу” (first_touch), “Виставлено рахунок” (give_requisites), "
        "“Потрібна людина” (escalation); the API cannot list them, so compare with Sitniks, letter by letter" in out
    )


def test_a_long_list_of_managers_is_read_whole(doctor: Doctor) -> None:
    """The AI is found on the second page."""
    doctor.sandbox.managers = {number: f"Людина {number}" for number in range(1, 60)} | {60: "Павло"}
    code, out = doctor.ask()
    assert code == 0
    assert "✓ AI manager    Павло (60)" in out
    assert doctor.sandbox.count(path="/managers") == 2


@pytest.mark.parametrize(
    ("variable", "name"), [("SNITKIX_API_URL", "Address"), ("SNITKIX_API_KEY", "Key")], ids=["address", "key"]
)
def test_disabled_says_which_variable_to_set(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, variable: str, name: str
) -> None:
    """Without address or key nothing is called, the store is checked all the same."""
    monkeypatch.delenv(variable)
    code, out = doctor.ask()
    assert code == 1
    assert f"✗ {name:<13} not set: the plugin is disabled, it only logs what it would do" in out
    assert f"→ set {variable} in the environment or in .env" in out
    assert "✓ Store" in out
    assert "· Managers      not checked" in out
    assert not doctor.sandbox.calls


def test_a_wrong_key(doctor: Doctor) -> None:
    """401: the address is right, the key is not; a second call tells that it is not only the managers' list."""
    doctor.sandbox.key = "another"
    code, out = doctor.ask()
    assert code == 1
    assert "✓ Address" in out
    assert "✓ Store" in out
    assert "✗ Key           Sitniks refuses it (401)" in out
    assert "→ copy the key again from Sitniks into SNITKIX_API_KEY" in out
    assert "· Managers      not checked: fix the above first" in out
    assert doctor.sandbox.count() == 2


def test_a_trial_plan(doctor: Doctor) -> None:
    """403: the key is right, the plan has no Open API."""
    doctor.sandbox.trial = True
    code, out = doctor.ask()
    assert code == 1
    assert "✓ Key           accepted" in out
    assert "✗ Plan          has no Open API (403)" in out
    assert "→ upgrade to a plan that has the Open API" in out


def test_a_key_that_may_not_list_managers(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """403 of that list alone: key and plan are good, and the ids do without it."""
    doctor.sandbox.fault("forbidden", path="/managers", times=None)
    code, out = doctor.ask()
    assert code == 1
    assert "✓ Key           accepted" in out
    assert "✓ Plan          has the Open API" in out
    assert "✗ Managers      this key may not list them (403)" in out
    assert "→ set SITNIKS_AI_MANAGER_ID and SITNIKS_HUMAN_MANAGER_ID" in out
    monkeypatch.setenv("SITNIKS_AI_MANAGER_ID", "101")
    monkeypatch.setenv("SITNIKS_HUMAN_MANAGER_ID", "102")
    code, out = doctor.ask()
    assert code == 0
    assert "· Managers      not checked: this key may not list them (403)" in out


def test_a_refused_key_is_asked_again_and_ends_its_rest(doctor: Doctor, tmp_path: Path) -> None:
    """After a 403 the key rests for ten minutes; who asks the doctor has changed something, and a yes frees the key."""
    doctor.sandbox.trial = True
    assert doctor.ask()[0] == 1
    doctor.sandbox.trial = False
    calls = doctor.sandbox.count(path="/managers")
    assert doctor.ask()[0] == 0
    assert doctor.sandbox.count(path="/managers") == calls + 1

    async def sync() -> bool:
        settings = SitniksSettings(database=str(tmp_path / "sitniks.sqlite3"))
        async with SitniksChatService(settings) as service:
            return bool(await service.get_managers())

    assert asyncio.run(sync())


def test_a_resting_key(doctor: Doctor) -> None:
    """429 says nothing about the key but that it must wait."""
    doctor.sandbox.fault("rate_limited")
    code, out = doctor.ask()
    assert code == 1
    assert "✓ Address" in out
    assert "✗ Key           locked for now after too many calls" in out
    assert "→ wait a minute" in out


@pytest.mark.parametrize("kind", ["reset", "html", "status"])
def test_an_address_that_is_no_crm(doctor: Doctor, kind: str) -> None:
    """No answer, a page, or a CRM in trouble: the address has the cross, and nothing is said of key and plan."""
    doctor.sandbox.fault(kind, times=None)
    code, out = doctor.ask()
    assert code == 1
    assert re.search(rf"✗ Address +{doctor.sandbox.url}: ", out)
    assert re.search(r"→ .*SNITKIX_API_URL", out)
    assert "Key " not in out
    assert "Plan " not in out


def test_no_ai_manager(doctor: Doctor) -> None:
    """Who the AI is must be known to tell the live manager from it; ids and settings are named."""
    doctor.sandbox.managers = {102: "Олена", 103: "Марко"}
    code, out = doctor.ask()
    assert code == 1
    assert "✗ AI manager    Sitniks has no manager named “Павло” (ids there: 102, 103)" in out
    assert "→ set SITNIKS_AI_MANAGER_NAME or SITNIKS_AI_MANAGER_ID" in out
    assert "✗ Live manager  nobody, while it is not known who the AI is" in out
    assert "→ fix the above, or set SITNIKS_HUMAN_MANAGER_ID" in out


def test_two_of_one_name(doctor: Doctor) -> None:
    """Both ids are named."""
    doctor.sandbox.managers = {101: "Павло", 102: "Олена", 104: "ПАВЛО"}
    code, out = doctor.ask()
    assert code == 1
    assert "✗ AI manager    Sitniks has several managers named “Павло”" in out
    assert "→ set SITNIKS_AI_MANAGER_ID to one of 101, 104" in out


def test_nobody_but_the_ai(doctor: Doctor) -> None:
    """The AI is found, a live manager is not."""
    doctor.sandbox.managers = {101: "Павло"}
    code, out = doctor.ask()
    assert code == 1
    assert "✓ AI manager    Павло (101)" in out
    assert "✗ Live manager  Sitniks has no manager besides the AI" in out


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"SITNIKS_AI_MANAGER_ID": "101"}, "✓ AI manager    Павло (101), by SITNIKS_AI_MANAGER_ID"),
        ({"SITNIKS_HUMAN_MANAGER_ID": "103"}, "✓ Live manager  Марко (103), by SITNIKS_HUMAN_MANAGER_ID"),
        ({"SITNIKS_AI_MANAGER_ID": "7"}, "✗ AI manager    Sitniks has no manager with the id in SITNIKS_AI_MANAGER_ID"),
        (
            {"SITNIKS_HUMAN_MANAGER_ID": "7"},
            "✗ Live manager  Sitniks has no manager with the id in SITNIKS_HUMAN_MANAGER_ID (ids there: 101, 102, 103)",
        ),
        ({"SITNIKS_HUMAN_MANAGER_ID": "101"}, "✗ Live manager  Павло (101) is the AI manager, so nobody would see"),
    ],
    ids=["ai", "human", "strange ai", "strange human", "ai as human"],
)
def test_managers_by_id(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], said: str) -> None:
    """An id is looked up in the account, and the AI is no live manager."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    code, out = doctor.ask()
    assert said in out
    assert code == ("✗" in said)


def test_row15_each_of_several_live_managers(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a line of his own, with his place; who is not there, or is the AI, has a cross."""
    monkeypatch.setenv("SITNIKS_HUMAN_MANAGER_ID", "103, 7, 101")
    code, out = doctor.ask()
    assert code == 1
    assert "✓ Live manager  Марко (103), by SITNIKS_HUMAN_MANAGER_ID, 1 of 3 in turn" in out
    assert "✗ Live manager  Sitniks has no manager 7 (ids there: 101, 102, 103)" in out
    assert "→ correct SITNIKS_HUMAN_MANAGER_ID or remove it" in out
    assert "✗ Live manager  Павло (101) is the AI manager, so nobody would see" in out


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ("2026-11-27T12:00+02:00", "open now"),
        ("2026-11-28T12:00+02:00", "closed, opens 2026-11-30 09:00"),
    ],
)
def test_the_hours_are_told(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, now: str, said: str) -> None:
    """On the clock of their zone, whichever this machine has."""
    monkeypatch.setenv("SITNIKS_HOURS", "Mon-Fri 09:00-19:00 Europe/Kyiv")
    at = datetime.fromisoformat(now).timestamp()
    monkeypatch.setattr("mirt_sitniks.cli.doctor.time", SimpleNamespace(time=lambda: at))
    code, out = doctor.ask()
    assert code == 0
    assert f"✓ Hours         Mon-Fri 09:00-19:00 Europe/Kyiv: {said}" in out


@pytest.mark.parametrize(
    ("live", "hours", "said"),
    [
        ("102,103", "", "✓ Answers       after 15 min without one an escalation goes to the next"),
        ("102,103", "0-24 Europe/Kyiv", "✓ Answers       after 15 min of working hours without one an escalation goes"),
        ("102", "", "✗ Answers       after 15 min without one it is only said at ERROR"),
    ],
)
def test_whether_there_is_anybody_to_pass_an_escalation_to(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, live: str, hours: str, said: str
) -> None:
    """The clock needs a second live manager, and counts working hours where there are any; without one it says so."""
    assert "Answers" not in doctor.ask()[1]
    monkeypatch.setenv("SITNIKS_ANSWER_WITHIN", "15")
    monkeypatch.setenv("SITNIKS_HUMAN_MANAGER_ID", live)
    monkeypatch.setenv("SITNIKS_HOURS", hours)
    code, out = doctor.ask()
    assert said in out
    assert code == ("✗" in said)


def test_wrong_settings_hide_nothing(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each wrong setting has its own cross and cure, and the rest is checked with what is right."""
    monkeypatch.setenv("SITNIKS_TIMEOUT", "soon")
    monkeypatch.setenv("SITNIKS_RATE_LIMIT", "many")
    monkeypatch.setenv("SITNIKS_STAGES", "{")
    monkeypatch.setenv("SITNIKS_HOURS", "Mon-Fri 09:00-19:00")
    code, out = doctor.ask()
    assert code == 1
    assert "✗ Settings      SITNIKS_TIMEOUT cannot be right\n                  → give seconds from 0.1 to 25" in out
    assert "✗ Settings      SITNIKS_RATE_LIMIT cannot be right" in out
    assert "✗ Settings      SITNIKS_HOURS: it ends with no time zone\n                  → give days, times and" in out
    assert "✗ Settings      SITNIKS_STAGES: it is no JSON, line 1\n                  → correct it there" in out
    assert "✓ Live manager" in out
    assert "4 of 11 checks failed." in out


def test_a_key_in_the_wrong_place_is_not_shown(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, planted) -> None:
    """Whatever stands in a variable that cannot be right stays unsaid; what depends on it is not checked."""
    monkeypatch.setenv("SNITKIX_API_URL", f"https://user:{planted.crm_key}@crm.example")
    monkeypatch.setenv("SNITKIX_API_KEY", f"Bearer {planted.crm_key}")
    monkeypatch.setenv("SITNIKS_STORE", planted.supabase_key)
    code, out = doctor.ask()
    assert code == 1
    for variable in ("SNITKIX_API_URL", "SNITKIX_API_KEY", "SITNIKS_STORE"):
        assert f"✗ Settings      {variable} cannot be right" in out
    assert "· Store         not checked: its settings come first" in out
    assert "· Managers      not checked: address and key come first" in out


def test_supabase_settings_are_checked(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, planted) -> None:
    """A Supabase key for browsers is refused, no other store is checked in its place, and the CRM is checked."""
    monkeypatch.setenv("SITNIKS_STORE", "supabase")
    monkeypatch.setenv("SUPABASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SUPABASE_KEY", "sb_publishable_abc")
    code, out = doctor.ask()
    assert code == 1
    assert "✗ Settings      SUPABASE_KEY cannot be right" in out
    assert "· Store         not checked" in out
    assert "✓ AI manager" in out


def test_a_supabase_that_is_only_half_set(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is said to be missing, each with its own cure."""
    monkeypatch.setenv("SITNIKS_STORE", "supabase")
    code, out = doctor.ask()
    assert code == 1
    assert "✗ Settings      SUPABASE_URL is not set\n                  → give the address of the project" in out
    monkeypatch.setenv("SUPABASE_URL", "http://127.0.0.1:9")
    _, out = doctor.ask()
    assert "✗ Settings      SUPABASE_KEY is not set\n                  → use the service_role key" in out
    assert "· Store         not checked" in out


def test_supabase_that_is_away(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, planted) -> None:
    """The store has its cross, and the CRM is checked without it."""
    monkeypatch.setenv("SUPABASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SUPABASE_KEY", planted.supabase_key)
    code, out = doctor.ask()
    assert code == 1
    assert "✗ Store         Supabase cannot be reached" in out
    assert "→ check SUPABASE_URL" in out
    assert "✓ AI manager" in out


def test_an_unreadable_dotenv(doctor: Doctor, tmp_path: Path) -> None:
    """A `.env` that is no text is named, and the environment alone is used."""
    (tmp_path / ".env").write_bytes(b"\xff\xfe\x00SNITKIX")
    code, out = doctor.ask()
    assert code == 1
    assert "✗ Settings      The file .env cannot be read" in out
    assert "→ save it as UTF-8 text, or remove it" in out
    assert "✓ AI manager" in out


@pytest.mark.parametrize("trouble", ["missing folder", "folder", "no database"])
def test_a_store_that_cannot_be_used(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trouble: str
) -> None:
    """The file and the cure are named, and the CRM is checked without it."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "no database").write_text("words " * 1000)
    path = {"missing folder": tmp_path / "nowhere" / "s.sqlite3"}.get(trouble, tmp_path / trouble)
    monkeypatch.setenv("SITNIKS_DATABASE", str(path))
    code, out = doctor.ask()
    assert code == 1
    assert f"✗ Store         {path}: the file" in out
    assert re.search("→ .*SITNIKS_DATABASE", out)
    assert "✓ AI manager" in out
    assert doctor.sandbox.count() == 2


def test_late_records_hint_at_a_missing_worker(doctor: Doctor, tmp_path: Path) -> None:
    """Work that nobody does for ten minutes has a cross and the command that does it."""
    path = tmp_path / "sitniks.sqlite3"
    doctor.sandbox.fault("status", times=None)

    async def leave() -> None:
        async with SitniksChatService(SitniksSettings(database=str(path)), worker=False) as service:
            await service.handle_first_touch("one", instagram_username="iryna.example")
            await service.handle_first_touch("two", instagram_username="oksana.example")

    asyncio.run(leave())
    doctor.sandbox.clear_faults()
    code, out = doctor.ask()
    assert code == 0
    assert "2 sessions, 2 unfinished" in out
    assert "Worker" not in out
    with sqlite3.connect(path) as database:
        database.execute("update sitniks_chat_mappings set due_at = due_at - 700")
    database.close()
    code, out = doctor.ask()
    assert code == 1
    assert "✗ Worker        2 sessions overdue by ten minutes or more: nothing is finishing them" in out
    assert "→ run `mirt-sitniks worker`" in out


def test_it_fits_the_terminal(doctor: Doctor, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is wider than a terminal of 80 columns; colour is for terminals only, and not with NO_COLOR."""
    monkeypatch.setenv("COLUMNS", "80")
    main(["doctor"])
    plain = capsys.readouterr().out
    # The folder of this test may be longer than that, and is not broken, so that it can be copied.
    assert all(len(line) <= 80 or "sitniks.sqlite3" in line for line in plain.splitlines())
    assert "\x1b" not in plain
    for no_color, coloured in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", no_color)
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        main(["doctor"])
        assert ("\x1b[32m✓\x1b[0m" in capsys.readouterr().out) is coloured


def test_letters_that_the_terminal_lacks_are_no_failure(tmp_path: Path) -> None:
    """In a process whose output is ASCII a `?` stands in their place."""
    command = [sys.executable, "-m", "mirt_sitniks", "doctor"]
    env = environment(PYTHONUTF8="0", PYTHONIOENCODING="ascii", LC_ALL="C")
    done = subprocess.run(command, capture_output=True, env=env, cwd=tmp_path, timeout=60, check=False)
    assert (done.returncode, ours(done.stderr.decode())) == (1, "")
    assert b"? Address" in done.stdout
