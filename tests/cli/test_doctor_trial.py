"""The trial of one chat: whatever an account is like and whatever goes wrong, the chat is as it was before."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from mirt_sitniks.cli.trial import MOST, Trial
from mirt_sitniks.core.capabilities import Capabilities
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.survey import OverviewAsked
from mirt_sitniks.errors import CrmError
from mirt_sitniks.sandbox.request import Request
from mirt_sitniks.stores.memory import MemoryStore
from tests.cli.account import AI, OTHER, World

HABITS: dict[str, dict[str, Any]] = {
    "as usual": {},
    "answers show the chat before": {"write_body": "before"},
    "answers show nothing": {"write_body": "empty"},
    "answers say whether": {"write_body": "success"},
    "assigning is ignored": {"managers_refuse": True},
    "assigning is ignored, and said so": {"managers_refuse": True, "write_body": "success"},
    "assigning is refused": {"refuses": {"assign": 403}},
    "no way to assign": {"refuses": {"assign": 404}},
    "statuses are refused": {"refuses": {"status": 403}},
    "statuses are ignored": {"refuses": {"status": 200}},
    "managers are not listed": {"refuses": {"managers": 403}},
    "by creation": {"date_filter": "created"},
    "names alone": {"show_manager_id": False},
    "statuses as objects": {"status_shape": "object"},
    "short pages": {"page_size": 10},
    "wrong counts": {"shown_count": 0},
}
USUAL = {"list": "ok", "read": "ok", "managers": "ok", "status": "ok", "assign": "ok"}
# By habit what differs from the usual facts.
TOLD: dict[str, dict[str, Any]] = {
    "answers show the chat before": {"answers_show": {"status": "before", "assign": "before"}},
    "answers show nothing": {"answers_show": {"status": "nothing", "assign": "nothing"}},
    "answers say whether": {"answers_show": {"status": "nothing", "assign": "nothing"}},
    "assigning is ignored": {"kinds": {"assign": "ignored"}, "answers_show": {"assign": "unknown"}},
    "assigning is ignored, and said so": {
        "kinds": {"assign": "ignored"},
        "answers_show": {"status": "nothing", "assign": "unknown"},
    },
    "assigning is refused": {"kinds": {"assign": "refused"}, "answers_show": {"assign": "unknown"}},
    "no way to assign": {"kinds": {"assign": "missing"}, "answers_show": {"assign": "unknown"}},
    "statuses are refused": {"kinds": {"status": "refused"}, "answers_show": {"status": "unknown"}},
    "statuses are ignored": {"kinds": {"status": "ignored"}, "answers_show": {"status": "unknown"}},
    "managers are not listed": {"kinds": {"managers": "refused"}},
    "by creation": {"dates": "created"},
    "names alone": {"responsible_shown_by": "name"},
}


def run(world: World) -> Any:
    return asyncio.run(world.run())


@pytest.mark.parametrize("habit", HABITS)
def test_each_habit_is_told_and_nothing_is_left_behind(habit: str) -> None:
    """What the account does is said in the package's words, within fifteen calls; the chat is as it was."""
    world = World(**HABITS[habit])
    before = world.shows()
    trial = run(world)
    assert (world.shows(), trial.left, trial.trouble) == (before, {}, None)
    told, facts = TOLD.get(habit, {}), trial.facts()
    assert facts["kinds"] == USUAL | told.get("kinds", {})
    assert facts["answers_show"] == {"status": "after", "assign": "after"} | told.get("answers_show", {})
    assert facts["dates"] == told.get("dates", "last_message")
    assert facts["responsible_shown_by"] == told.get("responsible_shown_by", "id and name")
    # A refusal makes one call more, which tells whether it is the key's affair.
    assert len(world.calls) <= MOST + ("refuse" in habit or "not listed" in habit)


def fail(make: Callable[[World, Request], Any]) -> Callable[[World], Callable[[Request], Any]]:
    return lambda world: lambda request: make(world, request)


def _raises(error: Exception) -> httpx.Response:
    raise error


def _lost(world: World, request: Request) -> httpx.Response:
    world.apply(request)
    return _raises(httpx.ReadError("reset"))


def _late(world: World, request: Request) -> httpx.Response:
    if request.method != "GET":
        # Longer than the rest of the trial takes, and sooner than nothing can land any more.
        world.crm.account.world.later(19.0, lambda: world.apply(request))
    return _raises(httpx.ReadTimeout("no answer"))


def _slow(world: World, request: Request) -> httpx.Response:
    """Answered well at once, and done only after some seconds."""
    if request.method == "GET":
        return world.apply(request)
    world.crm.account.world.later(1.0, lambda: world.apply(request))
    return httpx.Response(200)


def _page(world: World, request: Request) -> httpx.Response:
    return httpx.Response(200, html="<html>")


def _ignored(world: World, request: Request) -> httpx.Response:
    return world.apply(request) if request.method == "GET" else httpx.Response(200)


async def _cancelled(world: World, request: Request) -> httpx.Response:
    task = next(one for one in asyncio.all_tasks() if one.get_name() == "trial")
    task.cancel()
    await asyncio.sleep(0)
    raise AssertionError("cancelled before")


async def _cancelled_when_done(world: World, request: Request) -> httpx.Response:
    world.apply(request)
    return await _cancelled(world, request)


FAULTS = {
    "reset": fail(lambda world, request: _raises(httpx.ReadError("reset"))),
    "lost": fail(_lost),
    "late": fail(_late),
    "page": fail(_page),
    "ignored": fail(_ignored),
    "locked for long": fail(lambda world, request: world.refuse(429, {"retry-after": "300"})),
    "cancelled": fail(_cancelled),
    "cancelled when done": fail(_cancelled_when_done),
    **{
        str(status): fail(lambda world, request, status=status: world.refuse(status))
        for status in (401, 404, 422, 429, 502)
    },
}


EACH = [("as usual", fault) for fault in FAULTS]
EACH += [(habit, fault) for habit in ("assigning is ignored", "names alone") for fault in ("lost", "late", "cancelled")]


@pytest.mark.parametrize(("habit", "fault"), EACH)
def test_a_fault_at_any_call_leaves_the_chat_as_it_was(habit: str, fault: str) -> None:
    """Rows 4, 5, 6, 7, 8, 9, 10: any one call goes wrong, or is where the user ends it; all is put back."""
    for number in range(MOST + 1):
        world = World(**HABITS[habit])
        world.faults[number] = FAULTS[fault](world)
        before = world.shows()

        async def go(world: World = world) -> None:
            task = asyncio.create_task(world.run(), name="trial")
            await asyncio.wait([task])
            if not task.cancelled() and (error := task.exception()):
                # Nothing was tried on a chat that cannot be read.
                assert isinstance(error, CrmError)
                assert len(world.calls) <= 2

        asyncio.run(go())
        world.time += 60
        assert world.shows() == before, number
        assert world.trial is not None
        assert world.trial.left == {}, number


def test_what_is_done_long_after_a_good_answer_is_put_back_too() -> None:
    """A write that is answered 200 and done later is not taken for an ignored one that nobody has to look after."""
    world = World(refuses={"assign": 403})
    before = world.shows()
    calls = _calls_of(World(refuses={"assign": 403}))
    statuses = [number for number, request in enumerate(calls) if request.method == "PATCH"]
    world.faults[statuses[1]] = fail(_slow)(world)
    trial = run(world)
    world.time += 60
    assert (world.shows(), trial.left) == (before, {})


def _calls_of(world: World) -> list[Request]:
    run(world)
    return world.calls


def test_what_cannot_be_put_back_is_told_with_what_it_was_and_is() -> None:
    """Every write after the trial's own is refused: after its last try it says both values, and the tries end."""
    world = World()
    writes = [number for number, request in enumerate(_calls_of(World())) if request.method != "GET"]
    for number in range(writes[3] + 1, 200):
        world.faults[number] = lambda request: world.apply(request) if request.method == "GET" else httpx.Response(500)
    trial = run(world)
    assert trial.left == {"status": ("ОПЛАЧЕНО", "Взято в роботу"), "assign": (102, AI)}
    assert world.shows()[:2] == ("Взято в роботу", AI)


def test_a_second_signal_ends_the_putting_back() -> None:
    """Cut off twice, it has not put back everything, and it says so."""
    world = World()
    writes = [number for number, request in enumerate(_calls_of(World())) if request.method != "GET"]
    for number in (writes[3], writes[3] + 1):
        world.faults[number] = FAULTS["cancelled when done"](world)

    async def go() -> None:
        task = asyncio.create_task(world.run(), name="trial")
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(go())
    assert world.trial is not None
    assert set(world.trial.left) == {"status", "assign"}


def test_a_persons_change_stands() -> None:
    """Somebody sets status and manager at any moment of the trial. What is seen stays; only a write that is under way
    at that moment, or the one right behind it, comes on top, and then what was there before stands."""
    for number, asked in enumerate(_calls_of(World())):
        world = World()

        def meddle(request: Request, world: World = world) -> httpx.Response:
            world.crm.person_sets(world.chat, status="Оформлено замовлення", manager=OTHER)
            return world.apply(request)

        world.faults[number] = meddle
        trial = run(world)
        assert trial.left == {}, number
        status, manager = world.shows()[:2]
        if asked.method == "GET" and "/chats/" in asked.path:
            assert (status, manager) == ("Оформлено замовлення", OTHER), number
            assert trial.is_as_before == (number == 0)
        assert status in ("Оформлено замовлення", "ОПЛАЧЕНО"), number
        assert manager in (OTHER, 102), number


def test_nobody_is_assigned_where_nobody_can_be_put_back() -> None:
    """The API has no way to take a manager away: a chat without one keeps none; its status is tried all the same."""
    world = World()
    world.chat = world.crm.add_chat("oksana.example", status="ОПЛАЧЕНО")
    trial = run(world)
    assert world.shows()[:2] == ("ОПЛАЧЕНО", None)
    assert trial.facts()["kinds"] == USUAL | {"assign": "untried"}
    assert not any(request.method == "PUT" for request in world.calls)


def test_two_managers_of_one_name_are_not_told_apart() -> None:
    """An account that shows names alone, and has two of one: whom it was would be guessed, so nothing is assigned."""
    world = World(show_manager_id=False)
    world.crm.managers = {**world.crm.managers, 104: "Олена"}
    trial = run(world)
    assert trial.facts()["kinds"]["assign"] == "untried"
    assert world.shows()[1] == 102


def test_no_other_chat_is_touched() -> None:
    """Neighbours, of the same customer too, keep everything, their dates included."""
    world = World()
    others = [world.crm.add_chat(name, status="ОПЛАЧЕНО", manager=AI) for name in ("iryna.example", "a.example")]
    before = [world.crm.chat(one) for one in others]
    run(world)
    assert [world.crm.chat(one) for one in others] == before
    assert all(world.chat in request.path for request in world.calls if request.method != "GET")


def test_the_shared_budget_is_kept() -> None:
    """Fifteen calls in more than one window of the rate limit: at most nine in any 10.5 seconds."""
    world = World()
    times: list[float] = []
    plain = world.apply

    def noted(request: Request) -> httpx.Response:
        times.append(world.time)
        return plain(request)

    world.apply = noted  # type: ignore[method-assign]
    run(world)
    assert len(times) > 12
    assert max(sum(1 for one in times if at <= one < at + 10.5) for at in times) <= 9


def test_a_status_that_the_account_lacks_is_named_as_such() -> None:
    """A name of ours that is refused with 422 is no missing right."""
    world = World(settings={"status_first_touch": "Немає такого"}, unknown_status=422)
    trial = run(world)
    assert trial.facts()["kinds"]["status"] == "unknown_status"
    assert world.shows()[0] == "ОПЛАЧЕНО"


def test_a_closed_chat_is_told() -> None:
    """Nothing is changed on a chat that refuses writes, and that is what is said."""
    world = World()
    world.crm.person_sets(world.chat, closed=True)
    assert run(world).facts()["kinds"] == USUAL | {"status": "chat_refused", "assign": "chat_refused"}


def test_proof_is_in_the_read_not_in_the_answer() -> None:
    """An answer that shows the new value proves nothing: a read that shows the old one makes it ignored."""
    world = World(refuses={"status": 200})
    trial = run(world)
    assert [one.after for one in trial.writes if one.kind == "status"] == ["ОПЛАЧЕНО", "ОПЛАЧЕНО"]
    trial.writes = [replace(one, told=True, shown=one.value) for one in trial.writes]
    assert trial.facts()["kinds"]["status"] == "ignored"


@pytest.mark.parametrize("drive", [True, False], ids=["driven", "recorded"])
def test_a_stage_that_comes_meanwhile_stands(drive: bool) -> None:
    """A host's escalation of this very chat, at any call but the last: what it wants is what the chat shows in the
    end, though it may still have to be written by the host, and never a value of the trial's."""
    for number in range(14):
        world = World()

        async def come(request: Request, world: World = world) -> httpx.Response:
            world.time += 1
            await world.host(Stage.ESCALATION, drive=drive)
            return world.apply(request)

        async def go(world: World = world, number: int = number, come: Any = come) -> Trial:
            await world.host(Stage.FIRST_TOUCH)
            world.crm.person_sets(world.chat, "ОПЛАЧЕНО", 103)
            world.time += 30
            world.faults[number] = come
            return await world.run()

        trial = asyncio.run(go())
        assert trial.left == {}, number
        # What came before its first write keeps it from trying anything.
        assert number > 1 or trial.writes == []
        status, manager = world.shows()[:2]
        assert status in ("AI Увага", *([] if drive else ["ОПЛАЧЕНО"])), number
        assert manager in (102, *([] if drive else [103])), number


def test_what_the_package_learns_by_itself_is_what_the_trial_says() -> None:
    """An account that ignores assigning, and one that answers with the state before: host and trial agree."""
    for habits in ({"write_body": "before"}, {"managers_refuse": True}, {"refuses": {"assign": 404}}):
        world = World(**habits)

        async def go(world: World = world) -> tuple[Trial, Capabilities]:
            await world.host(Stage.ESCALATION)
            world.time += 100
            (key,) = (await world.store.overview(OverviewAsked())).keys.values()
            world.crm.person_sets(world.chat, "ОПЛАЧЕНО", 103)
            world.store = MemoryStore(world.clock, world.clock)
            return await world.run(), key.known

        trial, known = asyncio.run(go())
        facts = trial.facts()
        assert ("status" in known.before) == (facts["answers_show"]["status"] == "before")
        assert bool(known.rests("assign")) == (facts["kinds"]["assign"] == "missing")
        assert ("assign" in known.refused) == (facts["kinds"]["assign"] in ("refused", "missing"))


@pytest.mark.parametrize("refused", [2, 6])
def test_a_key_that_is_refused_for_a_while_does_not_keep_it_from_putting_back(refused: int) -> None:
    """Row 8: the key, the list of chats with it, is answered 401 for some calls: it rests for all, and what was there
    is put back all the same, as soon as it is let in again."""
    for number in range(2, 11):
        world = World()
        world.faults |= {number + more: FAULTS["401"](world) for more in range(refused)}
        before = world.shows()
        trial = run(world)
        assert (world.shows(), trial.left) == (before, {}), number
