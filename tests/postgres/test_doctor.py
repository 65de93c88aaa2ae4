"""The doctor on a real Supabase: what it reads there, and a chat that is worked on there."""

import json
from pathlib import Path
from typing import Any

import pytest

from mirt_sitniks import SitniksChatService, SitniksSettings
from mirt_sitniks.cli.main import main
from mirt_sitniks.sandbox import Sandbox
from mirt_sitniks.stores.columns import SCHEMA
from tests.postgres.stack import Stack
from tests.stores.worlds import migrate


@pytest.mark.blocks
def test_what_it_says_of_a_project(
    supabase_stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], planted: Any
) -> None:
    """Kind, schema and counts are the project's; a chat with a stage that waits in it is let alone; the report has
    neither the project's address nor its key."""
    migrate(supabase_stack)
    with Sandbox(limit=False, key=planted.crm_key) as crm:
        for name, value in {
            "SNITKIX_API_URL": crm.url,
            "SNITKIX_API_KEY": planted.crm_key,
            "SUPABASE_URL": supabase_stack.url,
            "SUPABASE_KEY": supabase_stack.keys.service_role,
            "SITNIKS_RATE_LIMIT": "10/0.05",
        }.items():
            monkeypatch.setenv(name, value)
        chat = crm.add_chat("anna.example", manager=102, created_ago=9e5, last_message_ago=99)

        def ask() -> tuple[int, dict[str, Any]]:
            code = main(["doctor", "--chat", chat, "--json", "--report", "report.json"])
            text = Path("report.json").read_text("utf-8")
            assert supabase_stack.url not in text
            assert supabase_stack.keys.service_role not in text
            return code, json.loads(capsys.readouterr().out)

        code, said = ask()
        assert (code, said["facts"]["account"]["dates"]) == (0, "last_message")
        store = said["facts"]["store"]
        assert (store["kind"], store["schema"], store["clock_ahead_s"]) == ("supabase", SCHEMA, 0.0)
        crm.fault("status", path="/status$", times=None)
        with SitniksChatService(SitniksSettings(reply_budget=1), worker=False) as service:
            service.sync_blocking("escalation", session="s", instagram_username="anna.example")
        writes = crm.count("PATCH") + crm.count("PUT")
        code, said = ask()
        assert (code, said["facts"]["store"]["counts"]["pending"]) == (1, 1)
        assert [one["name"] for one in said["findings"] if one["ok"] is False] == ["Chat"]
        assert crm.count("PATCH") + crm.count("PUT") == writes
