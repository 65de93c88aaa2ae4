"""Settings are read from the places promised, wrong ones are refused with a cure, and no secret is ever shown."""

import asyncio
import base64
import copy
import json
import os
import pickle
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, get_args, get_type_hints
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from mirt_sitniks.core.budget import Limit
from mirt_sitniks.core.hours import parse_hours
from mirt_sitniks.core.notes import TEMPLATE
from mirt_sitniks.core.stages import BUILT_IN, Stage, StageRule
from mirt_sitniks.errors import ConfigError, SitniksError
from mirt_sitniks.settings import VARIABLES, SitniksSettings, look_alikes

URL, KEY = "https://crm.sitniks.com", "planted-key-7f3a9c"
SUPABASE = "https://abc.supabase.co"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each test starts in an empty folder, with none of our variables set."""
    ours = {name for names in VARIABLES.values() for name in names}
    for name in [name for name in os.environ if name.upper() in ours]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def refusal(**values: Any) -> str:
    """The message that these settings are refused with."""
    with pytest.raises(ConfigError) as caught:
        SitniksSettings(**values)
    return str(caught.value)


def defaults() -> SitniksSettings:
    """What nothing set gives."""
    return SitniksSettings.model_construct(rate_limit=Limit(9, 10.5), database=str(Path("sitniks.sqlite3").absolute()))


def jwt(role: object) -> str:
    """A key of Supabase's older kind, for a role."""
    claims = base64.urlsafe_b64encode(json.dumps({"iss": "supabase", "role": role}).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{claims}.c2lnbmF0dXJl"


# Where values come from


def test_defaults_are_those_of_the_design() -> None:
    """Nothing set: disabled, and every other value is the documented one."""
    got = SitniksSettings()
    assert not got.enabled
    assert got.model_dump() == {
        "api_url": "",
        "api_key": SecretStr(""),
        "ai_manager_name": "Павло",
        "ai_manager_id": None,
        "human_manager_id": None,
        "hours": None,
        "answer_within": None,
        "status_first_touch": "Взято в роботу",
        "status_give_requisites": "Виставлено рахунок",
        "status_escalation": "AI Увага",
        "stages": {},
        "reply_budget": 1.5,
        "timeout": 10.0,
        "rate_limit": "9/10.5",
        "lookback_minutes": 5,
        "status_new": ("Нові заявки", "Новый", "Новий"),
        "look_again": 60.0,
        "hold_hours": 24.0,
        "owner": "",
        "account": "main",
        "notes": True,
        "note_template": TEMPLATE,
        "retain_days": 90,
        "watch": 0.0,
        "watch_share": 0.1,
        "webhook_secrets": SecretStr(""),
        "store": None,
        "database": str(Path("sitniks.sqlite3").absolute()),
        "supabase_url": "",
        "supabase_key": SecretStr(""),
    }
    assert got.rate_limit == Limit(9, 10.5)


SAMPLES: dict[str, tuple[str, object]] = {
    "api_url": (f" {URL}/open-api \n", f"{URL}/open-api"),
    "api_key": (f"{KEY}\r\n", SecretStr(KEY)),
    "ai_manager_name": (" Олена ", "Олена"),
    "ai_manager_id": ("17", 17),
    "human_manager_id": (" 18 ", 18),
    "hours": (" Mon 9-18 Europe/Kyiv ", parse_hours("Mon 9-18 Europe/Kyiv", ZoneInfo)),
    "answer_within": (" 15 ", 15),
    "status_first_touch": ("a", "a"),
    "status_give_requisites": ("b", "b"),
    "status_escalation": ("c", "c"),
    "stages": (" stages.toml ", {"paid": StageRule("ОПЛАЧЕНО")}),
    "reply_budget": ("0", 0.0),
    "timeout": ("25", 25.0),
    "rate_limit": (" 8 / 10.5 ", Limit(8, 10.5)),
    "lookback_minutes": ("1440", 1440),
    "status_new": (" Новий , «Свіжі» ", ("Новий", "«Свіжі»")),
    "look_again": ("0", 0.0),
    "hold_hours": ("0.5", 0.5),
    "owner": (" 4711 ", "4711"),
    "account": ("shop-2", "shop-2"),
    "notes": ("false", False),
    "note_template": (" {words} ", "{words}"),
    "retain_days": ("30", 30),
    "watch": ("60", 60.0),
    "watch_share": ("0.25", 0.25),
    "webhook_secrets": (" one-secret_of.two~ , 'the-other-secret' ", SecretStr("one-secret_of.two~,the-other-secret")),
    "store": ("sqlite", "sqlite"),
    "database": (":memory:", ":memory:"),
    "supabase_url": (SUPABASE, SUPABASE),
    "supabase_key": ("sb_secret_x", SecretStr("sb_secret_x")),
}


@pytest.mark.parametrize("source", ["keyword", "environment", "file"])
def test_every_field_is_read_from_every_place(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keyword by field name, variable in the environment, variable in `.env`: the same values, stripped."""
    assert SAMPLES.keys() == VARIABLES.keys() == SitniksSettings.model_fields.keys()
    Path("stages.toml").write_text('[paid]\nstatus = "ОПЛАЧЕНО"\n', "utf-8")
    texts = {VARIABLES[field][0]: text for field, (text, _) in SAMPLES.items()}
    if source == "environment":
        for name, text in texts.items():
            monkeypatch.setenv(name, text)
    if source == "file":
        Path(".env").write_text("".join(f'{name}="{text.strip()}"\n' for name, text in texts.items()), "utf-8")
    got = SitniksSettings(**({field: text for field, (text, _) in SAMPLES.items()} if source == "keyword" else {}))
    assert {field: getattr(got, field) for field in SAMPLES} == {field: value for field, (_, value) in SAMPLES.items()}


def test_the_database_stays_where_it_was_when_the_settings_were_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that changes its folder later begins no other file; in a folder that is gone the name stays a name."""
    got = SitniksSettings(database="kept/s.sqlite3")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert got.database == str(tmp_path / "kept" / "s.sqlite3")
    assert SitniksSettings().database == "sitniks.sqlite3"


def test_a_secret_handed_over_wrapped_is_stripped_too() -> None:
    """A host that keeps its key as `SecretStr` gets the same forgiveness."""
    assert SitniksSettings(api_key=SecretStr(f" {KEY}\n")).api_key == SecretStr(KEY)


def test_variables_are_the_fields_in_capitals() -> None:
    """Field names are the variables in lower case without `SNITKIX_`/`SITNIKS_`; the two Supabase ones as they are."""
    for field, (first, *_) in VARIABLES.items():
        prefix = "" if field.startswith("supabase_") else "SNITKIX_" if field.startswith("api_") else "SITNIKS_"
        assert first == prefix + field.upper()


def test_keywords_go_before_the_environment_and_that_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearer place wins, value by value."""
    Path(".env").write_text("SITNIKS_TIMEOUT=3\nSITNIKS_REPLY_BUDGET=3\nSITNIKS_LOOKBACK_MINUTES=3\n")
    monkeypatch.setenv("SITNIKS_TIMEOUT", "2")
    monkeypatch.setenv("SITNIKS_REPLY_BUDGET", "2")
    got = SitniksSettings(timeout=1)
    assert (got.timeout, got.reply_budget, got.lookback_minutes) == (1.0, 2.0, 3)


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty or blank means the default, whatever the type of the field."""
    for names in VARIABLES.values():
        for name in names:
            monkeypatch.setenv(name, "  ")
    assert SitniksSettings() == defaults()


def test_an_empty_variable_hides_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """`SNITKIX_API_KEY= python app.py` switches the CRM off although `.env` has a key."""
    Path(".env").write_text(f"SNITKIX_API_URL={URL}\nSNITKIX_API_KEY={KEY}\n")
    assert SitniksSettings().enabled
    monkeypatch.setenv("SNITKIX_API_KEY", "")
    assert not SitniksSettings().enabled


@pytest.mark.parametrize("field", ["api_url", "api_key"])
@pytest.mark.parametrize("nothing", ["", "  ", None])
def test_no_address_or_no_key_is_disabled(field: str, nothing: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either one empty disables, as a keyword too, over what the environment says."""
    monkeypatch.setenv("SNITKIX_API_URL", URL)
    monkeypatch.setenv("SNITKIX_API_KEY", KEY)
    assert SitniksSettings().enabled
    assert not SitniksSettings(**{field: nothing}).enabled


def test_strangers_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown variables are no error, and a host's own DATABASE or TIMEOUT is not read."""
    for name in ("DATABASE", "TIMEOUT", "STORE", "API_URL", "api_key", "RATE_LIMIT", "SITNIKS_UNKNOWN"):
        monkeypatch.setenv(name, "stranger")
    Path(".env").write_text("OPENAI_API_KEY=x\nTIMEOUT=99\nSITNIKS_OTHER=1\nnonsense\n")
    assert SitniksSettings() == defaults()
    assert look_alikes() == {}


@pytest.mark.parametrize(
    ("keyword", "cure"),
    [
        ("url", "use api_url="),
        ("key", "use api_key="),
        ("base_url", "use api_url="),
        ("apikey", "use api_key="),
        ("SNITKIX_API_KEY", "use api_key="),
        ("reply_buget", "use reply_budget="),
        ("human_manager", "use human_manager_id="),
        ("webhook", "use webhook_secrets="),
        ("proxy", f"use one of {', '.join(VARIABLES)}"),
    ],
)
def test_a_keyword_that_is_no_field_is_refused_with_the_right_one(keyword: str, cure: str) -> None:
    """A slip of the pen is no disabled service; what was given for it is not shown."""
    values: Any = {"api_url": URL, keyword: KEY}
    assert refusal(**values) == f"SitniksSettings has no {keyword}: {cure}."


@pytest.mark.parametrize("place", ["environment", "file"])
@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("SITNIKS_API_URL", "SNITKIX_API_URL"),
        ("SITNIKS_KEY", "SNITKIX_API_KEY"),
        ("SITNIX_API_KEY", "SNITKIX_API_KEY"),
        ("SNITKIX_TIMEOUT", "SITNIKS_TIMEOUT"),
        ("SITNIKS_REPLY_BUGET", "SITNIKS_REPLY_BUDGET"),
    ],
)
def test_a_variable_that_only_looks_like_ours_is_known(
    name: str, right: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable under the wrong name of two that look alike is found, with the one that is read."""
    if place == "file":
        Path(".env").write_text(f"{name}=x\n")
    else:
        monkeypatch.setenv(name, "x")
    assert look_alikes() == {name: right}


@pytest.mark.parametrize("quote", ['"', "'"])
def test_one_pair_of_quotes_goes(quote: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's env file hands quotes on; a quote inside a name, or a second pair, is the value's own."""
    monkeypatch.setenv("SNITKIX_API_URL", f" {quote}{URL} {quote} ")
    monkeypatch.setenv("SNITKIX_API_KEY", quote * 2)
    monkeypatch.setenv("SITNIKS_STATUS_ESCALATION", f"{quote}Увага{quote}!")
    got = SitniksSettings(api_key=SecretStr(f"{quote}{KEY}{quote}"), ai_manager_name=f"{quote * 2}Оля{quote * 2}")
    assert (got.api_url, got.api_key.get_secret_value()) == (URL, KEY)
    assert not SitniksSettings().enabled
    assert got.status_escalation == f"{quote}Увага{quote}!"
    assert got.ai_manager_name == f"{quote}Оля{quote}"


@pytest.mark.parametrize("name", VARIABLES["supabase_key"])
def test_the_supabase_key_has_three_names(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them alone is enough."""
    monkeypatch.setenv(name, "sb_secret_x")
    assert SitniksSettings().supabase_key.get_secret_value() == "sb_secret_x"


def test_a_service_key_is_preferred_to_a_browser_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that keeps its anon key in SUPABASE_KEY and the service key beside it works as it is."""
    monkeypatch.setenv("SUPABASE_URL", SUPABASE)
    monkeypatch.setenv("SUPABASE_KEY", jwt("anon"))
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", jwt("service_role"))
    got = SitniksSettings()
    assert (got.store_kind, got.supabase_key.get_secret_value()) == ("supabase", jwt("service_role"))


# What is derived


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({}, "sqlite"),
        ({"supabase_url": SUPABASE}, "sqlite"),
        ({"supabase_key": "sb_secret_x"}, "sqlite"),
        ({"supabase_url": SUPABASE, "supabase_key": "sb_secret_x"}, "supabase"),
        ({"supabase_url": SUPABASE, "supabase_key": "sb_secret_x", "store": "sqlite"}, "sqlite"),
        ({"supabase_url": SUPABASE, "supabase_key": "sb_secret_x", "store": "supabase"}, "supabase"),
    ],
)
def test_the_store_is_supabase_when_its_address_and_key_are_there(values: dict[str, Any], kind: str) -> None:
    """Unset, the store follows from what is there; set, it stands."""
    assert SitniksSettings(**values).store_kind == kind


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "the file that it names cannot be read (FileNotFoundError): give the path of a TOML file in UTF-8"),
        ("a folder", "the file that it names cannot be read (IsADirectoryError): give the path"),
        ('[paid]\nstatus = "a"'.encode("utf-16"), "the file that it names cannot be read (UnicodeDecodeError): give"),
        pytest.param(b"#" * 10_000_000, "it has 1 MB or more: give a file that has nothing but stages", id="10 MB"),
        (b"[paid]\nstatus = 5", "paid.status cannot be right: give the name of a status"),
        (b"\xef\xbb\xbf[paid]\nstats = 'a'", "paid.stats is nothing a stage has: use status"),
        (b'[{"paid": {}}]', "give a table of stages, like"),
    ],
)
def test_a_file_of_stages_that_cannot_be_right(content: bytes | str | None, told: str) -> None:
    """One line: the variable, which key, and the cure; nothing of what stands in the file."""
    if isinstance(content, bytes):
        Path("stages.toml").write_bytes(content)
    elif content:
        Path("stages.toml").mkdir()
    with pytest.raises(ConfigError, match=rf"^SITNIKS_STAGES: {re.escape(told)}[^\n]*\.$"):
        SitniksSettings(stages="stages.toml")


def test_a_file_of_stages_as_a_windows_editor_saves_it() -> None:
    """With a mark at its beginning and other ends of lines it says the same."""
    Path("stages.toml").write_bytes('\ufeff[paid]\r\nstatus = "ОПЛАЧЕНО"\r\n'.encode())
    assert SitniksSettings(stages="stages.toml").stages == {"paid": StageRule("ОПЛАЧЕНО")}


def test_each_stage_has_its_status() -> None:
    """From the settings, or else from the table of stages."""
    got = SitniksSettings(status_escalation="Увага!")
    assert got.statuses == {
        Stage.FIRST_TOUCH: BUILT_IN[Stage.FIRST_TOUCH].status,
        Stage.GIVE_REQUISITES: BUILT_IN[Stage.GIVE_REQUISITES].status,
        Stage.ESCALATION: "Увага!",
    }


@given(st.integers(1, 10), st.floats(1e-6, 3600).map(lambda seconds: round(seconds, 6)))
@example(9, 10.5)
@example(10, 10.0)
@example(1, 100.0)
def test_a_rate_limit_is_its_text(calls: int, seconds: float) -> None:
    """Text and value are the same thing: what is written is read back."""
    limit = Limit(calls, seconds)
    assert Limit.parse(str(limit)) == limit
    assert Limit.parse(limit) == limit


def test_settings_are_frozen() -> None:
    """Nothing changes them after they were checked."""
    with pytest.raises(ValidationError, match="frozen"):
        SitniksSettings().timeout = 1.0


# What is refused


@pytest.mark.parametrize(
    "url",
    [
        "crm.sitniks.com",
        "ftp://crm.sitniks.com",
        "https://",
        "https:///open-api",
        f"{URL}?key=1",
        f"{URL}#x",
        "https://user@crm.sitniks.com",
        "https://:secret@crm.sitniks.com",
        "https://crm sitniks.com",
        "https://crm.sitniks.com/a\tb",
        "https://crm.sitniks.com:99999",
        "https://crm.sitniks.com:x",
        "https://[::1",
        "http://crm.sitniks.com",
        "http://localhost.example.com",
        "http://sandbox:8000",
        "\ud800",
    ],
)
def test_an_address_that_cannot_be_right_is_refused(url: str) -> None:
    """No host, another scheme, a query, a login, or plain http to another machine, where the key could be read."""
    assert refusal(api_url=url, api_key=KEY).startswith("SNITKIX_API_URL cannot be right: give the address")


@pytest.mark.parametrize(
    "url",
    [
        URL,
        f"{URL}/",
        f"{URL}/open-api",
        f"{URL}:8443/crm",
        "HTTPS://CRM.SITNIKS.COM",
        "http://127.0.0.1:8000",
        "http://localhost:8000/open-api",
        "http://[::1]:8000",
    ],
)
def test_an_address_that_can_be_right_is_kept(url: str) -> None:
    """With and without `/open-api`, any port, and plain http on this machine for a sandbox."""
    assert SitniksSettings(api_url=url, api_key=KEY).api_url == url


@pytest.mark.parametrize("flaw", [" ", "\n", "\x00", "\x7f", "ї", "Bearer ", "\u200b", "\ud800"])
def test_a_key_that_no_header_can_carry_is_refused_unseen(flaw: str) -> None:
    """Whitespace inside, control characters, letters beyond ASCII: named by its variable alone."""
    assert refusal(api_url=URL, api_key=f"{KEY}{flaw}{KEY}").startswith("SNITKIX_API_KEY cannot be right: copy the key")


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("timeout", ["0", "0.09", "25.1", "-1", "nan", "inf", "soon", [], "1e400"]),
        ("reply_budget", ["-0.1", "60.1", "nan", "inf", "soon"]),
        ("lookback_minutes", ["0", "1441", "-5", "1.5", "soon"]),
        ("ai_manager_id", ["0", "-1", "1.5", "Павло", str(2**63), "9" * 5000]),
        ("human_manager_id", ["0", "-1", "x", ",", "5,x", "5;6", [5, 0], ",".join(map(str, range(1, 52)))]),
        ("answer_within", ["0", "1441", "1.5", "soon"]),
        ("status_first_touch", ["", " ", "a\nb", "x" * 201, 5]),
        ("status_give_requisites", ["", "\x00"]),
        ("status_escalation", ["", "\ud800"]),
        ("ai_manager_name", ["", "a\tb"]),
        ("status_new", ["", " , ", "a\nb", "x" * 201, 5, ["a", 5], []]),
        ("look_again", ["-1", "86401", "nan", "soon"]),
        ("hold_hours", ["-1", "8761", "nan"]),
        ("owner", ["a\nb", "x" * 201, 1.5]),
        ("account", ["", "a/b", "крамниця", "x" * 65, "a b", 5]),
        ("notes", ["maybe", "2", 5]),
        ("note_template", ["{name}", "{words", "{reason!r}", "x" * 601, "a\x00b", 5]),
        ("retain_days", ["0", "3651", "1.5"]),
        ("watch", ["14", "-1", "3601", "nan", "often"]),
        ("watch_share", ["0", "0.51", "-0.1", "nan"]),
        ("store", ["postgres", "", 5]),
        ("database", [""]),
        ("rate_limit", ["", "9", "0/10", "11/10", "9/0", "-9/10", "9/-1", "9/nan", "9/10/2", "9/4000", "a/b", 9]),
        ("rate_limit", ["10/9.9", "5/4", "9/1", "2/1", "1/0.5"]),
    ],
)
def test_a_value_out_of_its_range_is_refused(field: str, values: list[object]) -> None:
    """One line that names the variable and says what would be right."""
    for value in values:
        message = refusal(**{field: value})
        assert message.startswith(f"{VARIABLES[field][0]} cannot be right: give ")
        assert "\n" not in message
        assert "pydantic" not in message.lower()


@pytest.mark.parametrize(
    ("given", "held", "in_turn"),
    [
        (None, None, ()),
        (5, 5, (5,)),
        ("5", 5, (5,)),
        (" 7, '5' ,6,5", (7, 5, 6), (7, 5, 6)),
        ([6, 5], (6, 5), (6, 5)),
        ((5, 5), 5, (5,)),
    ],
)
def test_live_managers_are_one_or_several(given: Any, held: object, in_turn: tuple[int, ...]) -> None:
    """One is an id as ever; several are in turn, in their order and each once."""
    got = SitniksSettings(human_manager_id=given)
    assert (got.human_manager_id, got.human_manager_ids) == (held, in_turn)


@pytest.mark.parametrize(
    ("hours", "why"),
    [
        (5, "give them as text"),
        ("Mon-Fri 09:00-19:00", "it ends with no time zone: give"),
        ("Mon 09:00-19:00 Europe/Kiyv", "there is no time zone of this name: name one like Europe/Kyiv"),
        ("Mon 09:00-19:00 ../../etc/passwd", "there is no time zone of this name"),
        ("Mon 09:00-19:00 /etc/passwd", "there is no time zone of this name"),
        ("Mon-Fri secret Europe/Kyiv", "group 1 names something that is no weekday: give"),
    ],
)
def test_hours_that_cannot_be_right_are_refused(hours: Any, why: str) -> None:
    """With what is wrong and the cure; the value is not shown."""
    message = refusal(hours=hours)
    assert message.startswith(f"SITNIKS_HOURS: {why}")
    assert "secret" not in message
    assert "passwd" not in message


def test_a_machine_without_time_zones_is_told_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """No database at all is another trouble than a misspelt name; one of before 2022 knows Kyiv by its old spelling."""
    zones: set[str] = {"Europe/Kiev"}

    def zone(name: str) -> ZoneInfo:
        if name not in zones:
            raise KeyError(name)
        return ZoneInfo("Europe/Kyiv")

    monkeypatch.setattr("mirt_sitniks.settings.kinds.ZoneInfo", zone)
    monkeypatch.setattr("mirt_sitniks.settings.kinds.available_timezones", lambda: zones)
    assert SitniksSettings(hours="Mon 9-18 Europe/Kyiv").hours
    zones.clear()
    assert refusal(hours="Mon 9-18 Europe/Kyiv") == (
        "SITNIKS_HOURS: this machine has no database of time zones: pip install tzdata."
    )


@pytest.mark.parametrize("limit", ["10/10", "9/10.5", "5/5", "3/4", "1/1", "1/3600"])
def test_a_rate_within_the_vendors_is_taken(limit: str) -> None:
    """At most ten calls in any ten seconds, however they are spread."""
    assert str(SitniksSettings(rate_limit=limit).rate_limit) == limit


def test_a_sandbox_may_be_asked_faster() -> None:
    """A local server with a faster clock takes more, but never more calls at once."""
    assert SitniksSettings(api_url="http://127.0.0.1:1", rate_limit="9/0.5").rate_limit == Limit(9, 0.5)
    assert refusal(api_url="http://127.0.0.1:1", rate_limit="99/10").startswith("SITNIKS_RATE_LIMIT")


@pytest.mark.parametrize(
    ("values", "variable"),
    [
        ({}, "SUPABASE_URL"),
        ({"supabase_url": " ", "supabase_key": "sb_secret_x"}, "SUPABASE_URL"),
        ({"supabase_url": SUPABASE}, "SUPABASE_KEY"),
        ({"supabase_url": SUPABASE, "supabase_key": "\n"}, "SUPABASE_KEY"),
    ],
)
def test_a_supabase_that_lacks_a_part_says_which(values: dict[str, Any], variable: str) -> None:
    """What is not there is not called wrong."""
    message = refusal(store="supabase", **values)
    assert message.startswith(f"{variable} is not set: ")
    assert message.endswith("or set SITNIKS_STORE=sqlite.")


@pytest.mark.parametrize(
    ("values", "variable"),
    [
        ({"supabase_url": "abc.supabase.co", "supabase_key": "sb_secret_x"}, "SUPABASE_URL"),
        ({"supabase_url": "http://abc.supabase.co", "supabase_key": "sb_secret_x"}, "SUPABASE_URL"),
        ({"supabase_url": SUPABASE, "supabase_key": "sb_secret x"}, "SUPABASE_KEY"),
        ({"supabase_url": SUPABASE, "supabase_key": "sb_publishable_x"}, "SUPABASE_KEY"),
        ({"supabase_url": SUPABASE, "supabase_key": jwt("anon")}, "SUPABASE_KEY"),
        ({"supabase_url": SUPABASE, "supabase_key": jwt("authenticated")}, "SUPABASE_KEY"),
    ],
)
def test_supabase_needs_an_address_and_a_servers_key(values: dict[str, Any], variable: str) -> None:
    """A key for browsers can do nothing with our tables: refused, with the keys that work."""
    message = refusal(store="supabase", **values)
    assert message.startswith(f"{variable} cannot be right: ")
    assert message.endswith("or set SITNIKS_STORE=sqlite.")
    assert "service_role" in message or variable == "SUPABASE_URL"


@pytest.mark.parametrize("key", ["sb_secret_x", jwt("service_role"), jwt(None), jwt(["anon"]), "a.b.c", "x", "a.W10.c"])
@pytest.mark.parametrize("url", [SUPABASE, "http://127.0.0.1:54321", "http://kong:8000"])
def test_other_supabase_keys_are_taken(url: str, key: str) -> None:
    """What is not surely a browser's key is tried, also on a self-hosted instance in one network."""
    assert SitniksSettings(supabase_url=url, supabase_key=key).store_kind == "supabase"


def test_a_hosts_browser_key_is_its_own_business_while_sqlite_is_used() -> None:
    """The host may have Supabase for something else."""
    values = {"supabase_url": "anything", "supabase_key": jwt("anon")}
    assert SitniksSettings(store="sqlite", **values).store_kind == "sqlite"
    assert refusal(**values).startswith("SUPABASE_URL")


@pytest.mark.parametrize("content", [b"SNITKIX_API_KEY=\xff\xfe\xff", "SNITKIX_API_KEY=ї".encode("utf-16")])
def test_a_file_that_is_no_text_is_a_config_error(content: bytes) -> None:
    """A `.env` saved in another encoding is named, not thrown at the host as a UnicodeDecodeError."""
    Path(".env").write_bytes(content)
    assert refusal() == "The file .env cannot be read (UnicodeDecodeError); save it as UTF-8 text, or remove it."


def test_a_config_error_is_caught_as_ours_and_as_a_value_error() -> None:
    """Hosts may catch either."""
    for kind in (SitniksError, ValueError):
        with pytest.raises(kind):
            SitniksSettings(timeout=99)


ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.lists(st.text())


# In a fresh checkout the first text that Hypothesis draws builds its table of characters, for a second or more.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(sorted(VARIABLES)), ANYTHING, max_size=4))
def test_any_keywords_make_settings_or_a_config_error(values: dict[str, Any]) -> None:
    """Nothing foreign is raised, and what is accepted is within its range."""
    try:
        got = SitniksSettings(**values)
    except ConfigError:
        return
    assert 0.1 <= got.timeout <= 25
    assert 0 <= got.reply_budget <= 60
    assert all(name.strip() for name in got.statuses.values())
    assert str(got.api_key.get_secret_value()).isascii()


# Secrets


def frames(trace: TracebackType | None) -> Iterator[Any]:
    """The frames of a traceback but for this file's own."""
    while trace:
        if trace.tb_frame.f_code.co_filename != __file__:
            yield trace.tb_frame
        trace = trace.tb_next


def shown(value: object) -> str:
    """A value's repr with its attributes', or nothing for an object that is only half made."""
    try:
        return f"{value!r} {getattr(value, '__dict__', '')!r}"
    except Exception:
        return ""


def test_settings_never_show_a_secret() -> None:
    """repr, str, vars, JSON, dumps and copies show the keys' places, not the keys."""
    got = SitniksSettings(api_url=URL, api_key=KEY, supabase_url=SUPABASE, supabase_key=f"sb_secret_{KEY}")
    sinks = (got, got.model_copy(), vars(got), got.model_dump(), dict(got), got.model_fields_set)
    for sink in sinks:
        assert KEY not in f"{sink!r}{sink!s}{sink}"
    assert KEY not in got.model_dump_json()
    assert json.loads(got.model_dump_json())["rate_limit"] == "9/10.5"
    assert copy.copy(got) == copy.deepcopy([got])[0] == got
    assert got.model_copy(update={"timeout": 3.0}, deep=True).timeout == 3.0 != got.timeout


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_settings_are_not_pickled(protocol: int) -> None:
    """A pickle would be a file with the keys in it: refused, and no frame of the refusal shows one."""
    with pytest.raises(TypeError, match="make them in the process that uses them") as caught:
        pickle.dumps({"settings": SitniksSettings(api_url=URL, api_key=KEY)}, protocol)
    for frame in frames(caught.value.__traceback__):
        assert KEY not in "".join(map(shown, frame.f_locals.values()))


def test_every_keyword_is_typed_for_editors() -> None:
    """What a type checker accepts are the fields."""
    hints = get_type_hints(SitniksSettings.__init__)["values"]
    keywords = get_args(hints)[0].__annotations__
    assert keywords.keys() == SitniksSettings.model_fields.keys() | {"_env_file"}


FLAWS: list[dict[str, Any]] = [
    {"timeout": 99},
    {"api_url": f"ftp://{KEY}"},
    {"api_url": f"https://{KEY}:{KEY}@x"},
    {"api_key": f"{KEY} {KEY}"},
    {"api_key": KEY.encode() + b"\xff"},
    {"api_key": [KEY]},
    {"ai_manager_id": KEY},
    {"rate_limit": KEY},
    {"store": KEY},
    {"store": "supabase", "supabase_url": SUPABASE, "supabase_key": f"sb_publishable_{KEY}"},
]


@pytest.mark.parametrize("place", ["keyword", "environment", "event loop"])
@pytest.mark.parametrize("flaw", FLAWS, ids=lambda flaw: next(iter(flaw)))
def test_a_refusal_never_shows_a_secret(flaw: dict[str, Any], place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the message, the chain or a local of any frame, whichever variable the key was pasted into."""
    values = {"api_url": URL, "api_key": KEY, **flaw}
    if place == "environment":
        for field in [field for field, value in values.items() if isinstance(value, str)]:
            monkeypatch.setenv(VARIABLES[field][0], values.pop(field))

    def refused() -> ConfigError:
        with pytest.raises(ConfigError) as caught:
            SitniksSettings(**values)
        return caught.value

    async def refused_on_a_loop() -> ConfigError:
        return refused()

    exc = asyncio.run(refused_on_a_loop()) if place == "event loop" else refused()
    assert (exc.__cause__, exc.__context__) == (None, None)
    assert KEY not in f"{exc!r}{vars(exc)}{''.join(traceback.format_exception_only(exc))}"
    for frame in frames(exc.__traceback__):
        for name, value in frame.f_locals.items():
            assert KEY not in shown(value), f"{frame.f_code.co_qualname} {name}"
    assert len(list(frames(exc.__traceback__))) == 1
