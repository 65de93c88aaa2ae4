"""The store is away: what was asked for waits in memory, in order, and is recorded when it is back."""

import asyncio
import logging
from collections.abc import Iterator
from itertools import pairwise

import pytest

from mirt_sitniks.core.result import Outcome
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.engine import gate, recorder
from mirt_sitniks.errors import StoreError
from tests.engine.away import AWAY, BROKEN, NO, Counter
from tests.model.crm import Trouble

FIRST, INVOICE, ALARM = Stage.FIRST_TOUCH, Stage.GIVE_REQUISITES, Stage.ESCALATION


@pytest.fixture
def shop() -> Iterator[Counter]:
    """A shop that ends with the test."""
    made = Counter()
    yield made
    made.close()


@pytest.mark.parametrize("error", [AWAY, StoreError("57014", status=500), StoreError("the connection was reset")])
def test_row30_half_a_second_without_a_store_is_not_noticed(shop: Counter, error: StoreError) -> None:
    """It is tried again within the reply budget: `synced`."""
    runtime = shop.process(down=error)
    shop.loop.call_later(0.5, shop.fall, None)
    assert shop.sync(runtime, FIRST).outcome is Outcome.SYNCED
    assert shop.crm.chats["chat"].status == "Взято в роботу"


@pytest.mark.parametrize("seconds", [150.0, 600.0, 86_400.0])
def test_row30_however_long_the_store_is_away_nothing_is_lost(shop: Counter, seconds: float) -> None:
    """Three stages are told `queued` after the reply budget, and stand in their order seconds after the store does."""
    runtime = shop.process(down=AWAY)
    for stage in (FIRST, INVOICE, ALARM):
        began = shop.loop.time()
        told = shop.sync(runtime, stage)
        assert (told.outcome, told.error and told.error["code"]) == (Outcome.QUEUED, "store_unavailable")
        assert shop.loop.time() - began == pytest.approx(1.5, abs=0.01)
    shop.loop.run_for(seconds)
    shop.fall(None)
    shop.loop.run_for(gate.CAP + 1.0)
    assert shop.stages() == [FIRST, INVOICE, ALARM]
    # His message is as old as the trouble was long: it is looked for that far back.
    shop.loop.run_for(60.0)
    assert shop.crm.chats["chat"].status == "AI Увага"


def test_row30_nothing_is_sent_for_a_stage_that_was_overtaken_while_it_waited(shop: Counter) -> None:
    """Half a second without a store: all three are recorded, and the last alone is shown; its status is written past
    the store as well when that comes back meanwhile."""
    runtime = shop.process(down=AWAY)
    shop.loop.call_later(0.5, shop.fall, None)

    async def three() -> None:
        await asyncio.gather(*(runtime.sync(shop.intent(stage, chat_id="chat")) for stage in (FIRST, INVOICE, ALARM)))

    shop.loop.run(three())
    shop.loop.run_for(30.0)
    assert shop.stages() == [FIRST, INVOICE, ALARM]
    assert {value for _, _, value in shop.crm.writes if isinstance(value, str)} == {"AI Увага"}


def test_row30_one_at_a_time_tries_a_store_that_is_away(shop: Counter) -> None:
    """A hundred sessions wait for an hour: the store is asked as often as for one, and not in step."""
    runtime = shop.process(down=AWAY)

    async def crowd() -> None:
        await asyncio.gather(*(runtime.sync(shop.intent(FIRST, session=f"s{number}")) for number in range(100)))

    shop.loop.run(crowd())
    shop.loop.run_for(60.0)
    begun = len(shop.ways[0].tries)
    shop.loop.run_for(3600.0)
    tries = shop.ways[0].tries[begun:]
    assert 3600 / gate.CAP <= len(tries) <= 2.2 * 3600 / gate.CAP
    pauses = [after - before for before, after in pairwise(tries)]
    assert max(pauses) - min(pauses) > 1.0
    shop.fall(None)
    shop.loop.run_for(gate.CAP + 1.0)
    assert len(shop.store.rows.records) == 100


def test_row20_what_waiting_does_not_mend_is_told_at_once_and_kept(
    shop: Counter, caplog: pytest.LogCaptureFixture
) -> None:
    """A table is missing: `failed` with the command, said once; recorded when somebody has run it, hours later."""
    runtime = shop.process(down=BROKEN)
    for number in range(5):
        began = shop.loop.time()
        told = shop.sync(runtime, ALARM, f"{number}")
        assert (told.outcome, told.error and told.error["message"]) == (Outcome.FAILED, BROKEN.message)
        assert shop.loop.time() - began < 0.1
    shop.loop.run_for(7200.0)
    assert caplog.text.count(BROKEN.message) == 1
    shop.fall(None)
    shop.loop.run_for(gate.CAP + 1.0)
    assert len(shop.stages()) == 5
    shop.loop.run_for(30.0)
    assert shop.crm.chats["chat"].status == "AI Увага"


@pytest.mark.parametrize("refusal", [NO, StoreError("a strange 400", status=400)])
def test_row30_what_the_store_refuses_for_itself_stops_nobody(
    shop: Counter, caplog: pytest.LogCaptureFixture, refusal: StoreError
) -> None:
    """One intent is refused, at once or whenever it is tried: it leaves with an ERROR that names it; the others go."""
    runtime = shop.process()
    shop.ways[0].refuses = lambda intent: refusal if intent.key.endswith("bad") else None

    async def three() -> list[Outcome]:
        asked = (shop.intent(FIRST), shop.intent(ALARM, "bad"), shop.intent(INVOICE))
        return [one.outcome for one in await asyncio.gather(*map(runtime.sync, asked))]

    told = shop.loop.run(three())
    shop.loop.run_for(300.0)
    assert shop.stages() == [FIRST, INVOICE]
    assert told[1] is Outcome.FAILED or refusal is not NO
    assert [one.levelname for one in caplog.records if "escalation of session s is lost" in one.message] == ["ERROR"]


def test_row30_memory_has_an_end(
    shop: Counter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten wait, and no more may: the eleventh is `failed`, with an ERROR; the ten are recorded."""
    monkeypatch.setattr(recorder, "MOST", 10)
    runtime = shop.process(down=AWAY, reply_budget=0.0)
    told = [shop.sync(runtime, ALARM, f"{number:02}").outcome for number in range(11)]
    assert told == [Outcome.QUEUED] * 10 + [Outcome.FAILED]
    assert any(one.levelname == "ERROR" and "session s" in one.message for one in caplog.records)
    shop.fall(None)
    shop.loop.run_for(gate.CAP + 1.0)
    assert len(shop.stages()) == 10


@pytest.mark.parametrize("seed", [0, 2])
def test_row30_what_the_crm_has_answered_is_kept_for_the_store(shop: Counter, seed: int) -> None:
    """The store goes while a call is under way, for ten minutes: then the answer is settled, and no call repeated.

    Where the worker finds the store back first it takes no work yet.
    """
    shop.seed = seed
    runtime = shop.process()
    shop.crm.trouble = [Trouble("ok", 1.0)] * 4
    shop.loop.call_later(0.5, shop.fall)
    assert shop.sync(runtime, ALARM, chat_id="chat").outcome is Outcome.QUEUED
    shop.loop.run_for(600.0)
    shop.fall(None)
    shop.loop.run_for(30.0)
    assert shop.store.rows.records["s"].observed.status.gen == 1
    assert [shop.crm.by_kind()[kind] for kind in ("GetChat", "SetStatus", "UpdateChat")] == [1, 1, 1]


def test_row30_the_store_comes_back_to_many(shop: Counter) -> None:
    """Not all at once: no more ask it side by side than it serves."""
    runtime, under_way, most = shop.process(down=AWAY, reply_budget=0.0), 0, 0

    async def crowd() -> None:
        await asyncio.gather(*(runtime.sync(shop.intent(FIRST, session=f"s{number}")) for number in range(200)))

    shop.loop.run(crowd())
    record = shop.store.record

    async def counted(*args: object, **more: object) -> object:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.05)
        under_way -= 1
        return await record(*args, **more)  # type: ignore[arg-type]

    shop.store.record = counted  # type: ignore[assignment, method-assign]
    shop.fall(None)
    shop.loop.run_for(30.0)
    assert len(shop.store.rows.records) == 200
    assert most <= gate.WIDTH


class TestClosing:
    """Closing drains, and says what it could not save."""

    def test_row30_closing_records_what_waits(self, shop: Counter) -> None:
        """The store comes back a second after closing began: all is recorded before it ends."""
        runtime = shop.process(down=AWAY, reply_budget=0.0)
        for stage in (FIRST, INVOICE, ALARM):
            shop.sync(runtime, stage)
        shop.loop.run_for(60.0)
        shop.loop.call_later(1.0, shop.fall, None)
        shop.loop.run(runtime.aclose())
        assert shop.stages() == [FIRST, INVOICE, ALARM]

    def test_row30_closing_says_what_it_could_not_save(self, shop: Counter, caplog: pytest.LogCaptureFixture) -> None:
        """Within five seconds, with ERROR, naming sessions and stages."""
        runtime = shop.process(down=AWAY, reply_budget=0.0)
        for number, stage in enumerate((FIRST, INVOICE, ALARM)):
            shop.sync(runtime, stage, session=f"s{number}")
        began = shop.loop.time()
        shop.loop.run(runtime.aclose())
        assert shop.loop.time() - began <= 5.0
        lost = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
        assert len(lost) == 3
        for number, stage in enumerate((FIRST, INVOICE, ALARM)):
            assert any(f"session s{number}" in line and stage in line for line in lost)

    def test_row30_who_waits_while_it_closes_is_told_queued(self, shop: Counter) -> None:
        """Fifty syncs are under way, the CRM is slow: recorded, and each is told so."""
        runtime = shop.process(reply_budget=60.0)
        shop.crm.trouble = [Trouble("ok", 15.0)] * 200

        async def fifty() -> list[Outcome]:
            syncs = [
                asyncio.ensure_future(runtime.sync(shop.intent(FIRST, session=f"s{number}"))) for number in range(50)
            ]
            await asyncio.sleep(0)
            await runtime.aclose()
            return [one.result().outcome for one in syncs]

        assert shop.loop.run(fifty()) == [Outcome.QUEUED] * 50
        assert len(shop.store.rows.records) == 50
