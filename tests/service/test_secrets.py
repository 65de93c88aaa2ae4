"""A key that is planted turns up nowhere but in the request's own header."""

import asyncio
import gc
import json
import logging
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph

from mirt_sitniks import SitniksState
from mirt_sitniks.core.record import Intent
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.crm.calls import SetStatus
from mirt_sitniks.crm.client import SitniksClient
from mirt_sitniks.engine import direct
from mirt_sitniks.engine.driver import Driver
from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.engine.worker import Worker
from mirt_sitniks.errors import CrmError, SitniksError
from mirt_sitniks.graph import build_subgraph
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.settings import SitniksSettings
from mirt_sitniks.stores.memory import MemoryStore
from mirt_sitniks.stores.sqlite import SqliteStore
from tests.service.shop import Shop, touch

TROUBLES = ("hang", "reset", "answer_lost", "html", "empty", "huge", "refuse_key", "trial", "rate_limited", "redirect")


@pytest.fixture
def guarded(shop: Shop, planted: Any) -> Shop:
    """A shop whose key is the planted one, as is its webhook's secret."""
    shop.sandbox.key = planted.crm_key
    shop.options["webhook_secrets"] = planted.webhook_secret
    return shop


def frames(error: BaseException | None) -> Iterator[FrameType]:
    """Every frame of a traceback, and of what it came from: what an error tracker sends, local variables and all."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        trace: TracebackType | None = error.__traceback__
        while trace:
            yield trace.tb_frame
            trace = trace.tb_next
        error = error.__cause__ or error.__context__


def held(thing: object) -> list[Any]:
    """An object of the package with all of the package's that it holds, however far down."""
    found: dict[int, Any] = {}
    left = [thing]
    while left:
        one = left.pop()
        if id(one) not in found and type(one).__module__.startswith("mirt_sitniks."):
            found[id(one)] = one
            left += vars(one).values() if hasattr(one, "__dict__") else gc.get_referents(one)
    return list(found.values())


def in_package(frame: FrameType) -> bool:
    return "site-packages" in frame.f_code.co_filename or "mirt_sitniks" in frame.f_code.co_filename


@pytest.mark.parametrize("kind", TROUBLES)
def test_the_key_is_in_no_log_no_result_and_no_file(
    guarded: Shop, planted: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """Whatever the CRM does: logs of all levels and libraries, results, ledger rows, the SQLite file and its WAL."""
    caplog.set_level(logging.DEBUG)
    store = SqliteStore(tmp_path / "s.sqlite3")
    service = guarded.service(store=store, worker=False, timeout=0.2, reply_budget=0.5)
    results = [touch(service)]
    guarded.sandbox.fault(kind, times=3)
    results += [touch(service, "escalation", reason=planted.crm_key[:3]), touch(service, "give_requisites")]
    guarded.sandbox.clear_faults()
    asyncio.run(service.aclose())
    entries = [one for session in ("s", "") for one in asyncio.run(store.ledger(session))]
    asyncio.run(store.aclose())
    files = [path.read_bytes() for path in tmp_path.iterdir() if path.is_file()]
    assert files
    assert any(entries)
    states = [json.dumps(result.to_state()) for result in results]
    planted.assert_absent(caplog.text, *[vars(one) for one in caplog.records], *results, *states, *entries, *files)


@pytest.mark.parametrize("kind", TROUBLES)
def test_a_customers_words_are_in_no_log_and_no_result(
    guarded: Shop, planted: Any, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """Why a customer needs a person stands in the ledger alone: in no result, no call's line, and no line of a log."""
    caplog.set_level(logging.DEBUG)
    service = guarded.service(worker=False, timeout=0.2, reply_budget=0.5)
    guarded.sandbox.fault(kind, times=3)
    result = touch(service, "escalation", reason=planted.customer_text)
    entries = asyncio.run(guarded.store.ledger("s"))
    asyncio.run(service.aclose())
    assert planted.customer_text in str(entries)
    planted.assert_absent(*[one for one in entries if one.kind == "try"], asyncio.run(guarded.store.ledger("")))
    planted.assert_absent(caplog.text, *[vars(one) for one in caplog.records], result, result.to_state())


def test_the_key_is_in_no_repr_and_no_attribute(guarded: Shop, planted: Any) -> None:
    """Services, settings, clients, drivers, stores: `repr()` and `vars()`, down to what they hold."""
    service = guarded.service()
    touch(service)
    things = held(service)
    assert {Runtime, SitniksClient, Driver, Worker, MemoryStore, SitniksSettings} <= {type(thing) for thing in things}
    for thing in things:
        planted.assert_absent(thing, *([vars(thing)] if hasattr(thing, "__dict__") else []))
    planted.assert_absent(service.settings.model_dump(), guarded.store.rows.keys)


@pytest.mark.parametrize("kind", TROUBLES)
def test_the_key_is_in_no_frame_of_a_traceback(guarded: Shop, planted: Any, kind: str) -> None:
    """The exception that leaves the client: its text, its causes, and the local variables of all its frames."""

    async def fail() -> None:
        runtime = Runtime(guarded.settings(timeout=0.2), guarded.store, own_store=False, worker=False)
        try:
            await runtime.sync(Intent("s", Stage.FIRST_TOUCH, "first_touch", instagram="anna.shop"))
            guarded.sandbox.fault(kind)
            await direct.call(runtime.driver, SetStatus(guarded.chat, "AI Увага"))
        finally:
            await runtime.aclose()

    caught: BaseException | None = None
    try:
        asyncio.run(fail())
    except CrmError as error:
        caught = error
    if kind != "empty":
        assert isinstance(caught, SitniksError)
    planted.assert_absent("".join(traceback.format_exception(caught)) if caught else "")
    for frame in frames(caught):
        if in_package(frame):
            planted.assert_absent(*(f"{name}={value!r}" for name, value in frame.f_locals.items() if name != "planted"))


def test_the_key_is_in_no_checkpoint_and_no_stream(guarded: Shop, planted: Any) -> None:
    """The graph's state, its stream events and its checkpoints."""

    class Host(SitniksState):
        session_id: str
        instagram_username: str

    service = guarded.service(reply_budget=0.5, timeout=0.2)
    saver = InMemorySaver()
    builder = StateGraph(Host)
    guarded.sandbox.fault("refuse_key", times=None)
    builder.add_node("sync", build_subgraph(service, stage="escalation"))
    builder.add_edge(START, "sync")
    graph: Any = builder.compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "t"}}
    state: Any = {"session_id": "s", "instagram_username": "anna.shop"}
    events = list(graph.stream(state, config, stream_mode=["custom", "updates", "debug"], subgraphs=True))
    assert "unauthorized" in str(events)
    planted.assert_absent(*events, *saver.list(config), saver.storage, saver.writes)


def test_nothing_that_python_can_reach_prints_it_when_a_service_breaks(
    guarded: Shop, planted: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: Any
) -> None:
    """A bug of ours: the type's name is logged, nothing else, and nothing is printed when the futures are collected."""

    async def broken(*args: Any, **more: Any) -> None:
        raise RuntimeError(f"key is {planted.crm_key}")

    monkeypatch.setattr("mirt_sitniks.engine.runtime.Runtime.sync", broken)
    service: SitniksChatService = guarded.service()
    result = touch(service)
    assert result.error
    assert result.error["code"] == "unavailable"
    gc.collect()
    out = capsys.readouterr()
    planted.assert_absent(result, caplog.text, out.out, out.err)
    assert sys.exc_info() == (None, None, None)
