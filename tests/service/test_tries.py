"""Over real HTTP: what the ledger says of each call, whatever became of it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from mirt_sitniks.core.store import Entry
from mirt_sitniks.service import SitniksChatService
from tests.service.shop import Shop, synced, touch

FAULTS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("rate_limited", {}, {"status": 429, "code": "rate_limited"}),
    ("status", {"status": 500}, {"status": 500, "code": "unavailable"}),
    ("status", {"status": 403}, {"status": 403, "code": "plan_required"}),
    ("status", {"status": 422}, {"status": 422, "code": "unknown_status"}),
    ("html", {"status": 200}, {"status": 200, "code": "bad_response"}),
    ("hang", {}, {"code": "timeout"}),
    ("reset", {}, {"code": "unavailable"}),
]


def tries(shop: Shop, session: str) -> list[Entry]:
    """The lines of calls that are this session's."""
    return [line for line in asyncio.run(shop.store.ledger(session)) if line.kind == "try"]


def told(line: Entry) -> dict[str, Any]:
    """What was wrong; how long it took is no more than a test lasts."""
    assert 0.0 <= line.after["seconds"] < 60.0
    return {name: value for name, value in line.after.items() if name != "seconds"}


@pytest.mark.parametrize(("kind", "options", "said"), FAULTS)
def test_a_call_says_what_was_wrong_with_it(
    shop: Shop, kind: str, options: dict[str, Any], said: dict[str, Any]
) -> None:
    """Of each call that the CRM has counted there is one line; of the first write it says what came of it."""
    service = shop.service(timeout=0.3 if kind == "hang" else 10.0)
    shop.sandbox.fault(kind, method="PATCH", **options)
    touch(service, "give_requisites", chat_id=shop.chat)
    asyncio.run(service.aclose())
    mine, all_ = tries(shop, "s"), [*tries(shop, "s"), *tries(shop, "")]
    assert len(all_) == len(shop.sandbox.calls)
    status = next(line for line in mine if line.key == "status")
    assert (status.stage, status.generation, told(status)) == ("give_requisites", 1, said)
    assert status.after["seconds"] >= (0.25 if kind == "hang" else 0.0)


def test_a_good_call_says_how_long_it_took(shop: Shop) -> None:
    """And nothing else; the process that made it stands beside it."""
    synced(touch(shop.service()))
    lines = tries(shop, "s")
    assert {line.key for line in lines} >= {"status", "assign"}
    assert [told(line) for line in lines] == [{}] * len(lines)
    assert len({line.who for line in lines}) == 1


VERBS: dict[str, Callable[[SitniksChatService, str], Any]] = {
    "managers": lambda service, chat: service.get_managers(),
    "list": lambda service, chat: service.find_chat_by_username(instagram_username="anna.shop"),
    "status": lambda service, chat: service.update_chat_status(chat, "AI Увага"),
    "assign": lambda service, chat: service.assign_manager(chat, 101),
}


@pytest.mark.parametrize("kind", VERBS)
def test_what_a_host_calls_leaves_its_line_too(shop: Shop, kind: str) -> None:
    """It is nobody's; so with an answer, so with an error."""
    service = shop.service(worker=False)
    asyncio.run(VERBS[kind](service, shop.chat))
    shop.sandbox.fault("status", status=500)
    asyncio.run(VERBS[kind](service, shop.chat))
    lines = tries(shop, "")
    assert [(line.key, told(line)) for line in lines] == [
        (kind, {}),
        (kind, {"status": 500, "code": "unavailable"}),
    ]
    assert len(shop.sandbox.calls) == 2
