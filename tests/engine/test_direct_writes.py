"""Row 20: while the store is away an escalation's status is written all the same, seldom enough, and stands."""

import asyncio
from collections.abc import Iterator

import pytest

from mirt_sitniks.core.result import Outcome
from mirt_sitniks.core.stages import Stage, StageRule
from mirt_sitniks.crm.calls import SetStatus
from mirt_sitniks.engine import gate
from mirt_sitniks.engine.runtime import Runtime
from tests.engine.away import AWAY, BROKEN, Counter
from tests.model.crm import Trouble

FIRST, INVOICE, ALARM = Stage.FIRST_TOUCH, Stage.GIVE_REQUISITES, Stage.ESCALATION
BACK = gate.CAP + 60.0


@pytest.fixture
def shop() -> Iterator[Counter]:
    """A shop that ends with the test."""
    made = Counter()
    yield made
    made.close()


def statuses(shop: Counter) -> list[str]:
    """The statuses that were written, in order."""
    return [str(value) for _, _, value in shop.crm.writes if isinstance(value, str)]


@pytest.mark.parametrize("down", [AWAY, BROKEN])
def test_row20_the_status_alone_is_written_and_recorded_afterwards(shop: Counter, down: object) -> None:
    """A process that never heard of its store: written at once, told so; then the manager comes, nothing twice."""
    runtime = shop.process(down=down)  # type: ignore[arg-type]
    told = shop.sync(runtime, ALARM, chat_id="chat")
    assert told.status == "AI Увага" or down is BROKEN
    shop.loop.run_for(5.0)
    assert (shop.crm.chats["chat"].status, shop.crm.chats["chat"].manager_id) == ("AI Увага", None)
    assert shop.crm.by_kind() == {"SetStatus": 1}
    shop.fall(None)
    shop.loop.run_for(BACK)
    assert shop.crm.chats["chat"].manager_id == 102
    assert statuses(shop) == ["AI Увага"]
    assert shop.store.rows.entries[0].after == {"written": "AI Увага"}


@pytest.mark.parametrize("stage", [FIRST, INVOICE])
def test_row20_no_other_stage_is_written(shop: Counter, stage: Stage) -> None:
    """Nor is one whose chat nobody knows."""
    runtime = shop.process(down=AWAY)
    assert shop.sync(runtime, stage, chat_id="chat").outcome is Outcome.QUEUED
    assert shop.sync(runtime, ALARM).outcome is Outcome.QUEUED
    shop.loop.run_for(60.0)
    assert not shop.crm.calls


@pytest.mark.parametrize("respects", [True, False])
def test_row20_an_own_stage_is_written_only_if_it_goes_over_people(shop: Counter, respects: bool) -> None:
    """However urgent it is: nobody looks who has the chat while the store is away."""
    rule = StageRule("Скарга", urgency="first", respects_people=respects)
    runtime = shop.process(down=AWAY, stages={"complaint": rule})
    shop.sync(runtime, "complaint", chat_id="chat")  # type: ignore[arg-type]
    shop.loop.run_for(60.0)
    assert statuses(shop) == ["Скарга"] * (not respects)


def test_row20_the_first_one_waits_until_the_stores_last_answer_is_a_window_old(shop: Counter) -> None:
    """What this process was granted before the store went counts as long as it does for the CRM."""
    runtime = shop.process(worker=False)
    shop.sync(runtime, FIRST)
    answered = runtime.driver.gate.answered_at
    shop.fall()
    assert shop.sync(runtime, ALARM, chat_id="chat").outcome is Outcome.QUEUED
    shop.loop.run_for(60.0)
    at = [at for at, call in shop.crm.calls if isinstance(call, SetStatus)][-1]
    assert at - answered == pytest.approx(10.5, abs=0.1)
    assert shop.crm.chats["chat"].status == "AI Увага"


@pytest.mark.parametrize(("processes", "each"), [(4, 2), (9, 5)])
def test_row20_many_processes_without_a_store_break_no_limit(shop: Counter, processes: int, each: int) -> None:
    """Each is busy when the store goes, and has several escalations: all are shown in the end, and no 429."""
    team = [shop.process() for _ in range(processes)]
    for number in range(processes * each):
        shop.crm.add(f"chat {number}", f"customer.{number}")

    async def crowd(stage: Stage) -> None:
        asked = (
            shop.intent(stage, session=f"s{number}", name=f"customer.{number}", chat_id=f"chat {number}")
            for number in range(processes * each)
        )
        await asyncio.gather(*(team[number % processes].sync(one) for number, one in enumerate(asked)))

    shop.loop.run(crowd(INVOICE))
    shop.loop.run_for(240.0)
    shop.fall()
    shop.loop.run(crowd(ALARM))
    shop.loop.run_for((each + 1) * 11.0)
    shown = [shop.crm.chats[f"chat {number}"].status for number in range(processes * each)]
    assert set(shown) == {"AI Увага"}
    shop.fall(None)
    shop.loop.run_for(600.0)
    assert shop.crm.limited == 0
    assert {shop.crm.chats[f"chat {number}"].manager_id for number in range(processes * each)} <= {102, 103}


@pytest.mark.parametrize("seconds", [15.0, 27.0])
def test_row20_a_store_that_comes_back_between_two_writes_breaks_no_limit(shop: Counter, seconds: float) -> None:
    """Nine processes have just written past it: who finds it back takes no calls before their writes are a window
    old."""
    team = [shop.process() for _ in range(9)]
    for number in range(45):
        shop.crm.add(f"chat {number}", f"customer.{number}")

    async def crowd(stage: Stage) -> None:
        names = [{"session": f"s{n}", "name": f"customer.{n}", "chat_id": f"chat {n}"} for n in range(45)]
        asked = (team[n % 9].sync(shop.intent(stage, **one)) for n, one in enumerate(names))
        await asyncio.gather(*asked)

    shop.loop.run(crowd(INVOICE))
    shop.loop.run_for(240.0)
    shop.fall()
    shop.loop.run(crowd(ALARM))
    shop.loop.run_for(seconds)
    shop.fall(None)
    shop.loop.run_for(600.0)
    assert shop.crm.limited == 0
    assert {shop.crm.chats[f"chat {n}"].status for n in range(45)} == {"AI Увага"}


@pytest.mark.parametrize("other", [False, True])
def test_row30_nothing_older_undoes_what_was_written_without_the_store(shop: Counter, other: bool) -> None:
    """An invoice is pending, the store goes, the escalation is written; the store is back, and it stays.

    Also where another process hears of the store first and takes the invoice up: then it is looked at, and put right.
    """
    runtime = shop.process()
    shop.sync(runtime, FIRST)
    shop.loop.run_for(20.0)
    shop.crm.trouble = [Trouble("500")] * 5
    assert shop.sync(runtime, INVOICE).outcome is Outcome.QUEUED
    shop.fall()
    shop.crm.trouble.clear()
    shop.sync(runtime, ALARM, chat_id="chat")
    shop.loop.run_for(30.0)
    assert shop.crm.chats["chat"].status == "AI Увага"
    if other:
        shop.process()
        shop.loop.run_for(20.0)
        assert shop.crm.chats["chat"].status == "Виставлено рахунок"
    shop.fall(None)
    shop.loop.run_for(BACK)
    assert shop.crm.chats["chat"].status == "AI Увага"
    assert other or "Виставлено рахунок" not in statuses(shop)


def test_row30_a_person_who_came_after_the_direct_write_is_not_overwritten(shop: Counter) -> None:
    """A manager moves the chat on while the store is still away: his status stays, and he is told apart."""
    runtime = shop.process()
    shop.sync(runtime, FIRST)
    shop.fall()
    shop.sync(runtime, ALARM, chat_id="chat")
    shop.loop.run_for(30.0)
    shop.loop.run(shop.crm.send(SetStatus("chat", "ОПЛАЧЕНО")))
    shop.fall(None)
    shop.loop.run_for(BACK)
    assert shop.crm.chats["chat"].status == "ОПЛАЧЕНО"


def test_row30_a_direct_write_that_lands_late_does_not_stay_on_top(shop: Counter) -> None:
    """It hangs, and again; the store comes back, an invoice is asked for and written; the write lands: it is found, and
    put right."""
    runtime = shop.process(down=AWAY)
    shop.crm.trouble = [Trouble("late", 19.0)] * 2
    shop.sync(runtime, ALARM, chat_id="chat")
    shop.loop.run_for(10.0)
    shop.fall(None)
    shop.loop.run_for(4.0)
    shop.sync(runtime, INVOICE)
    shop.loop.run_for(300.0)
    assert shop.crm.chats["chat"].status == "Виставлено рахунок"


@pytest.mark.parametrize(("kind", "most"), [("429", 2), ("401", 1), ("404", 1), ("500", 7)])
def test_row20_a_direct_write_that_fails_is_not_stormed(shop: Counter, kind: str, most: int) -> None:
    """A minute's outage: a lock is kept, what is refused is not tried again, a failure once in a window."""
    runtime: Runtime = shop.process(down=AWAY)
    shop.crm.trouble = [Trouble(kind)] * 20
    assert shop.sync(runtime, ALARM, chat_id="chat").outcome is Outcome.QUEUED
    shop.loop.run_for(65.0)
    assert 1 <= len(shop.crm.calls) <= most


@pytest.mark.parametrize("seed", [1, 174, 189, 247, 364])
def test_row20_calls_past_the_store_count_when_it_is_back(shop: Counter, seed: int) -> None:
    """A write that went past it takes one place in the budget that all share, also where the stage is recorded while
    the write is still under way: so with all seeds but the first."""
    shop.seed = seed
    runtime = shop.process(down=AWAY, worker=False)
    shop.sync(runtime, ALARM, chat_id="chat")
    shop.fall(None)
    shop.loop.run_for(gate.CAP + 1.0)
    (key,) = shop.store.rows.keys.values()
    assert shop.crm.by_kind()["SetStatus"] == 1
    assert len(key.budget.grants) == len(shop.crm.calls)


def tries(shop: Counter, session: str = "s") -> list[tuple[str | None, dict[str, object]]]:
    """Kind and answer of each call that the ledger has of a session."""
    return [(one.key, one.after) for one in shop.store.rows.entries if (one.session, one.kind) == (session, "try")]


def test_row20_what_was_tried_past_the_store_is_recorded_with_the_stage(shop: Counter) -> None:
    """Each call once, in the session's own story, behind the intent; then what was driven."""
    shop.process(down=AWAY)
    shop.crm.trouble = [Trouble("500", 0.2), Trouble("hang")]
    shop.sync(shop.team[0], ALARM, chat_id="chat")
    shop.loop.run_for(40.0)
    assert not shop.store.rows.entries
    shop.fall(None)
    shop.loop.run_for(BACK)
    failed: list[tuple[str, dict[str, object]]] = [
        ("status", {"seconds": 0.2, "status": 500, "code": "unavailable"}),
        ("status", {"seconds": 10.0, "code": "timeout"}),
    ]
    told = tries(shop)
    assert told[:3] == [*failed, ("status", {"seconds": 0.05})]
    kinds = [one.kind for one in shop.store.rows.entries if one.session == "s"]
    assert kinds[:4] == ["intent", "try", "try", "try"]
    assert len(told) + len(tries(shop, "")) == len(shop.crm.calls)


@pytest.mark.parametrize("seed", [174, 189])
def test_row20_a_call_past_the_store_that_ends_after_its_stage_was_recorded_is_told_of(
    shop: Counter, seed: int
) -> None:
    """It was under way when the store took the stage: its line is nobody's, and there once."""
    shop.seed = seed
    runtime = shop.process(down=AWAY)
    shop.crm.trouble = [Trouble(after=3.0)]
    shop.sync(runtime, ALARM, chat_id="chat")
    shop.fall(None)
    shop.loop.run_for(gate.CAP + BACK)
    assert ("status", {"seconds": 3.0}) in tries(shop, "")
    assert len(tries(shop)) + len(tries(shop, "")) == len(shop.crm.calls)
