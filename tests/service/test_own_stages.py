"""A shop's own stages: asked for by name, shown as their table says, refused where nobody knows them."""

import asyncio
from typing import Any

import pytest
from langgraph.graph import END, START, StateGraph

from mirt_sitniks import ConfigError, SitniksState, StageRule, add_subgraph
from mirt_sitniks.core.result import Outcome
from tests.service.shop import Shop, synced, touch

STAGES = {
    "paid": StageRule("ОПЛАЧЕНО", replaces=("Виставлено рахунок",)),
    "ordered": {"status": "Оформлено замовлення", "once": True},
    "complaint": StageRule("AI Увага", assign="human", urgency="first", respects_people=False),
}


class State(SitniksState, total=False):
    session_id: str
    instagram_username: str
    escalation_reason: str
    stage: str


def host(service: Any, **how: Any) -> Any:
    builder = StateGraph(State).add_node("memory", lambda state: {}).add_edge(START, "memory")
    return add_subgraph(builder, service=service, after="memory", then=END, **how).compile()


def test_a_stage_shows_what_its_table_says(shop: Shop) -> None:
    """Its status, who is assigned, and its name in the result, however it is spelled."""
    service = shop.service(stages=STAGES)
    result = synced(touch(service, "Paid"))
    assert (result.stage, result.status, result.manager_id) == ("paid", "ОПЛАЧЕНО", None)
    shop.shows("ОПЛАЧЕНО")
    synced(touch(service, "complaint"))
    shop.shows("AI Увага", 102)


def test_what_comes_once_is_one_event_a_session(shop: Shop) -> None:
    """However often, and for whatever message, it is asked for."""
    service = shop.service(stages=STAGES)
    for message in ("m1", "m2"):
        synced(touch(service, "ordered", intent=message))
    lines = asyncio.run(shop.store.ledger("s"))
    assert [line.key for line in lines if line.kind == "intent"] == ["ordered"]


def test_a_built_in_stage_is_replaced_whole(shop: Shop) -> None:
    """What is set goes before SITNIKS_STATUS_*, and says all there is of the stage."""
    service = shop.service(stages={"escalation": StageRule("Скарга")}, status_escalation="Увага")
    shop.sandbox.statuses = (*shop.sandbox.statuses, "Скарга")
    synced(touch(service, "escalation"))
    shop.shows("Скарга", None)


def test_a_graph_asks_for_a_stage_by_its_name(shop: Shop) -> None:
    """Fixed, or named by the state; the reason goes with each stage that calls a person."""
    service = shop.service(stages=STAGES)
    names = {"session_id": "s", "instagram_username": "anna.shop"}
    assert host(service, stage="paid").invoke(names)["sitniks"]["status"] == "ОПЛАЧЕНО"
    asked = {**names, "stage": "Complaint", "escalation_reason": "скарга"}
    assert host(service).invoke(asked)["sitniks"]["stage"] == "complaint"
    lines = [line for line in asyncio.run(shop.store.ledger("s")) if line.kind == "intent"]
    assert [(line.stage, line.after.get("reason")) for line in lines] == [("paid", None), ("complaint", "скарга")]


def test_a_stage_that_the_service_does_not_have_is_refused_at_build(shop: Shop) -> None:
    """The message names those that there are, and where another one is added."""
    with pytest.raises(ConfigError, match=r"stage='refund' is unknown: use one of .*escalation, paid.*SITNIKS_STAGES"):
        host(shop.service(stages={"paid": STAGES["paid"]}), stage="refund")


def test_a_stage_of_another_process_is_left_to_it(shop: Shop) -> None:
    """Who has no rule for it writes nothing and says where it is added; who has one finishes it."""
    assert touch(shop.service(stages=STAGES, worker=False, reply_budget=0.0), "paid").outcome is Outcome.QUEUED
    strange = shop.service(worker=False)
    result = asyncio.run(strange.retry("s"))
    assert result is not None
    assert (result.outcome, (result.error or {})["code"]) == (Outcome.FAILED, "unknown_status")
    assert "add it to SITNIKS_STAGES there" in (result.error or {})["message"]
    result = asyncio.run(shop.service(stages=STAGES, worker=False).retry("s"))
    assert result is not None
    assert result.outcome is Outcome.SYNCED
    shop.shows("ОПЛАЧЕНО")
