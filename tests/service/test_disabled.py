"""Without settings, or with wrong ones, nothing is sent and nothing raises; the log says so."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import END, START, StateGraph

from mirt_sitniks import SitniksState, add_subgraph
from mirt_sitniks.core.result import Outcome
from mirt_sitniks.service import get_sitniks_chat_service
from tests.service.shop import Shop, touch


class State(SitniksState):
    session_id: str


@pytest.mark.parametrize("missing", [{"api_url": ""}, {"api_key": ""}, {"api_key": "  \n"}])
def test_row24_without_address_or_key_it_only_says_what_it_would_do(
    shop: Shop, caplog: pytest.LogCaptureFixture, missing: Any
) -> None:
    """Disabled: one line at INFO with status and role, no network, no file."""
    caplog.set_level(logging.INFO, "mirt_sitniks")
    service = shop.service(rate_limit="9/10.5", **missing)
    assert not service.enabled
    assert touch(service, "escalation").outcome is Outcome.DISABLED
    assert "AI Увага" in caplog.text
    assert asyncio.run(service.get_managers()) == []
    assert asyncio.run(service.find_chat_by_username(instagram_username="anna.shop")) is None
    assert asyncio.run(service.update_chat_status(shop.chat, "ОПЛАЧЕНО")) is False
    assert asyncio.run(service.assign_manager(shop.chat, 101)) is False
    assert asyncio.run(service.reconcile()) == 0
    assert shop.sandbox.calls == ()
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ({"api_url": ""}, ["SNITKIX_API_URL"]),
        ({"api_key": ""}, ["SNITKIX_API_KEY"]),
        ({"api_url": "", "api_key": ""}, []),
    ],
)
def test_row24_half_a_configuration_is_said_loudly(
    shop: Shop, caplog: pytest.LogCaptureFixture, missing: Any, named: list[str]
) -> None:
    """An address without a key, or a key without an address, is a mistake; neither of them is a choice."""
    shop.service(rate_limit="9/10.5", **missing)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [f"sitniks: disabled, nothing will reach the CRM: {name} is not set" for name in named]


def test_row24_wrong_settings_disable_the_default_service_loudly(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The process's one service never raises; it is made anew after it was closed."""
    monkeypatch.setenv("SNITKIX_API_URL", "ftp://crm")
    monkeypatch.setenv("SNITKIX_API_KEY", "key")
    service = get_sitniks_chat_service()
    assert not service.enabled
    assert "SNITKIX_API_URL" in caplog.text
    assert get_sitniks_chat_service() is service
    asyncio.run(service.aclose())
    monkeypatch.setenv("SNITKIX_API_URL", "http://127.0.0.1:9")
    again = get_sitniks_chat_service()
    assert again.enabled
    asyncio.run(again.aclose())


@pytest.mark.parametrize("stages", ["stages.toml", '{"paid": {"status": "ОПЛАЧЕНО"}}'])
def test_row24_wrong_settings_keep_the_stages_that_a_graph_names(stages: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose timeout is nonsense runs without a CRM, its own stages included: it is built, and answers."""
    Path("stages.toml").write_text('[paid]\nstatus = "ОПЛАЧЕНО"\n', "utf-8")
    monkeypatch.setenv("SITNIKS_STAGES", stages)
    monkeypatch.setenv("SITNIKS_TIMEOUT", "nonsense")
    monkeypatch.setenv("SNITKIX_API_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SNITKIX_API_KEY", "key")
    service = get_sitniks_chat_service()
    try:
        assert not service.enabled
        builder = StateGraph(State).add_node("before", lambda state: {}).add_edge(START, "before")
        graph = add_subgraph(builder, service=service, after="before", stage="paid", then=END).compile()
        state = graph.invoke({"session_id": "s1"})
        assert (state["sitniks"]["stage"], state["sitniks"]["outcome"]) == ("paid", "disabled")
    finally:
        service.close()


def test_row24_wrong_stages_leave_the_built_in_ones(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says which key is wrong, and the service has the others."""
    monkeypatch.setenv("SITNIKS_STAGES", '{"paid": {"status": "ОПЛАЧЕНО", "assign": "bot"}}')
    service = get_sitniks_chat_service()
    service.close()
    assert "SITNIKS_STAGES: paid.assign cannot be right: give ai or human" in caplog.text
    assert list(service.settings.rules) == ["first_touch", "give_requisites", "escalation"]
