"""Orders are made once: what each answer, each loss and each death comes to, in virtual time."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from mirt_sitniks.core.orders import OrderState
from mirt_sitniks.crm.orders import CreateOrder, ListOrders
from mirt_sitniks.errors import CrmError, StoreError
from tests.engine.away import AWAY, BROKEN
from tests.engine.counter import OrderCounter, body, draft, orders
from tests.model.crm import TIMEOUT, Trouble

# An order that cannot be made is looked for so long.
HALF_AN_HOUR = 1_900.0


def test_an_order_costs_one_call_and_a_new_sku_one_more(counter: OrderCounter) -> None:
    """The first order of a sku is two calls, the next one; both are told with the number that the CRM gave."""
    runtime = counter.process()
    first, second = counter.create(runtime), counter.create(runtime, external_id="e2")
    assert [(one.state, one.order_number) for one in (first, second)] == [("created", "1"), ("created", "2")]
    assert counter.crm.by_kind() == {"ListVariations": 1, "CreateOrder": 2}


def test_the_same_id_again_gives_the_first_result_and_sends_nothing(counter: OrderCounter) -> None:
    """One id is one order, also for another process, and while the first call is under way."""
    one, two = counter.process(), counter.process()

    async def both() -> list[Any]:
        return await asyncio.gather(*(orders(one).create(draft(), 1.5) for _ in range(3)))

    told = counter.loop.run(both())
    again = counter.create(two)
    assert {row.order_id for row in [*told, again]} == {"000001"}
    assert counter.made() == 1


@pytest.mark.parametrize("kind", ["lost", "reset", "late"])
def test_row04_an_order_whose_answer_was_lost_is_found_and_not_made_again(counter: OrderCounter, kind: str) -> None:
    """Row 4: it was made and nobody heard of it: one look finds it by its content alone."""
    counter.crm.tells_ids = False
    runtime = counter.process()
    counter.befalls(kind)
    told = counter.create(runtime)
    assert told.state is not OrderState.CREATED
    counter.loop.run_for(4 * TIMEOUT)
    assert (counter.row().state, counter.row().order_id) == ("created", "000001")
    assert counter.crm.by_kind() == {"ListVariations": 1, "CreateOrder": 1, "ListOrders": 1}


def test_an_order_that_lands_minutes_late_is_found(counter: OrderCounter) -> None:
    """It is looked for again with growing pauses."""
    runtime = counter.process()
    counter.befalls("reset", after=400.0)
    counter.create(runtime)
    counter.loop.run_for(390.0)
    assert counter.row().state is OrderState.SENT
    counter.loop.run_for(800.0)
    assert (counter.row().state, counter.made()) == ("created", 1)


@pytest.mark.parametrize("kind", ["hang", "503", "html"])
def test_an_order_that_nobody_finds_in_half_an_hour_is_a_person_s(counter: OrderCounter, kind: str) -> None:
    """Whether it was made is not known: it ends as unknown, and is never sent again by itself."""
    runtime = counter.process()
    counter.befalls(kind)
    counter.create(runtime)
    counter.loop.run_for(HALF_AN_HOUR)
    row = counter.row()
    assert (row.state, row.error_code, row.candidates, row.due_at) == ("unknown", "order_unknown", (), None)
    assert counter.crm.by_kind()["CreateOrder"] == 1
    assert 5 <= counter.crm.by_kind()["ListOrders"] <= 12
    counter.loop.run_for(HALF_AN_HOUR)
    assert counter.made() == 0


@pytest.mark.parametrize("kind", ["refused", "429"])
def test_what_was_certainly_not_taken_is_made_later(counter: OrderCounter, kind: str) -> None:
    """No connection, or a key that must rest: it is sent again, without a look."""
    runtime = counter.process()
    counter.befalls(kind, kind)
    assert counter.create(runtime).state is OrderState.NEW
    counter.loop.run_for(300.0)
    assert (counter.row().state, counter.made()) == ("created", 1)
    assert "ListOrders" not in counter.crm.by_kind()


def test_an_order_that_the_crm_will_not_have_ends(counter: OrderCounter) -> None:
    """A 400 is the last word, with its code; the same id tells it again and sends nothing."""
    runtime = counter.process()
    counter.befalls("400")
    first = counter.create(runtime)
    assert (first.state, first.due_at, counter.create(runtime).state) == ("refused", None, "refused")
    assert counter.crm.by_kind()["CreateOrder"] == 1


def test_row08_orders_wait_for_a_key_that_is_refused(counter: OrderCounter) -> None:
    """Row 8: with a wrong key nothing is made and nothing is lost; once it is right all is made."""
    runtime = counter.process()
    counter.crm.key_ok = False
    row = counter.create(runtime)
    assert (row.state, row.error_code) == ("new", "unauthorized")
    counter.crm.key_ok = True
    counter.loop.run_for(1300.0)
    assert counter.row().state is OrderState.CREATED
    assert counter.row().body == {}, "what it says is not kept longer than it is needed"


def test_row39_orders_that_a_key_may_not_make_are_tried_once_in_ten_minutes(counter: OrderCounter) -> None:
    """Row 39: ten orders are one call in ten minutes, not ten; the chats' calls go on."""
    runtime = counter.process()
    counter.crm.refuses = {CreateOrder}
    for number in range(10):
        counter.create(runtime, external_id=f"e{number}")
    tried = counter.crm.by_kind()["CreateOrder"]
    assert counter.row("e9").error_code == "forbidden"
    counter.loop.run_for(1_200.0)
    assert (tried, counter.crm.by_kind()["CreateOrder"]) == (1, 3)
    counter.crm.refuses = set()
    counter.loop.run_for(1_300.0)
    assert counter.made() == 10


def test_an_unknown_sku_is_told_with_what_is_near_and_nothing_is_recorded(counter: OrderCounter) -> None:
    """The caller hears at once which are not there; no order is sent, and no row is made."""
    runtime = counter.process()
    with pytest.raises(CrmError, match=r"'DRES-S'.*dress-s") as caught:
        counter.create(runtime, sku="DRES-S")
    assert (caught.value.code, counter.store.made.written, counter.made()) == ("unknown_sku", {}, 0)


def test_a_sku_that_cannot_be_asked_for_in_time_is_asked_for_later(counter: OrderCounter) -> None:
    """The order is recorded by its sku, and made when the catalogue answers; one that is not there is refused then."""
    runtime = counter.process()
    counter.crm.trouble = [Trouble("hang"), Trouble("hang")]
    assert counter.create(runtime).state is OrderState.NEW
    counter.crm.trouble = [Trouble("hang")]
    counter.create(runtime, external_id="e2", sku="NONE")
    counter.loop.run_for(120.0)
    assert [(counter.row(name).state, counter.row(name).error_code) for name in ("e1", "e2")] == [
        ("created", None),
        ("refused", "unknown_sku"),
    ]


def test_the_reply_is_held_no_longer_than_its_budget(counter: OrderCounter) -> None:
    """A CRM that hangs holds a reply for the budget; the order goes on by itself."""
    runtime = counter.process()
    counter.befalls("late", after=5.0)
    began = counter.loop.time()
    row = counter.create(runtime, 1.5)
    assert counter.loop.time() - began < 1.6
    assert row.state in (OrderState.NEW, OrderState.SENT)
    counter.loop.run_for(120.0)
    assert (counter.row().state, counter.made()) == ("created", 1)


def kill(runtime: Any) -> None:
    """Not another line of a process's code runs."""
    for task in [*orders(runtime)._drives.values(), orders(runtime)._loop]:
        if task:
            task.cancel()


@pytest.mark.parametrize("moment", [0.005, 0.03, 0.05, 0.07, 0.09, 0.11, 0.13, 0.15, 0.17, 0.19, 0.21, 0.3])
def test_row03_a_process_that_dies_at_any_moment_leaves_its_order_to_the_others(moment: float) -> None:
    """Row 3: it was not recorded, or it is made once; what was sent is looked for, and never sent again."""
    counter = OrderCounter()
    one = counter.process(worker=False)
    counter.loop.create_task(orders(one).create(draft(), 1.5))
    counter.loop.run_for(moment)
    kill(one)
    counter.process()
    counter.loop.run_for(3_000.0)
    rows = counter.store.made.written
    assert counter.made() <= 1
    if rows:
        state = counter.row().state
        assert state is (OrderState.CREATED if counter.made() else OrderState.UNKNOWN)
    counter.close()


def test_a_lost_answer_of_the_store_makes_no_order_unknown(counter: OrderCounter) -> None:
    """Each commit is done and its answer lost: it is known again by what it wrote, and the order is made once."""
    runtime = counter.process()
    for number in range(6):
        counter.ways[0].deaf = number  # type: ignore[attr-defined]
        counter.create(runtime, 30.0, external_id=f"e{number}")
        counter.loop.run_for(30.0)
        assert counter.row(f"e{number}").state is OrderState.CREATED
    assert counter.made() == 6


def test_row20_an_order_waits_for_a_store_that_is_away(counter: OrderCounter) -> None:
    """Row 20: nothing is sent before it is recorded; when the store is back it is made. What waiting does not mend is
    told at once."""
    runtime = counter.process()
    counter.fall(AWAY)
    task = counter.loop.create_task(orders(runtime).create(draft(), 1.5))
    counter.loop.run_for(60.0)
    assert (task.done(), counter.crm.by_kind()["CreateOrder"]) == (False, 0)
    counter.fall(None)
    counter.loop.run_for(30.0)
    assert (task.result().external_id, counter.made()) == ("e1", 1)
    counter.fall(BROKEN)
    with pytest.raises(StoreError, match="table is missing"):
        counter.create(runtime, external_id="e2")


def test_a_store_that_goes_away_after_the_call_is_told_when_it_is_back(counter: OrderCounter) -> None:
    """What the CRM answered is not lost while the process lives, and needs no look."""
    runtime = counter.process()
    counter.crm.usually = lambda call: Trouble("ok", 0.5)
    counter.loop.create_task(orders(runtime).create(draft(), 1.5))
    counter.loop.run_for(1.0)
    counter.fall(AWAY)
    counter.loop.run_for(200.0)
    counter.fall(None)
    counter.loop.run_for(10.0)
    assert (counter.row().state, counter.made()) == ("created", 1)
    assert "ListOrders" not in counter.crm.by_kind()


def test_equal_orders_of_one_customer_take_one_each(counter: OrderCounter) -> None:
    """Two that say the same are both in doubt and both made: each takes one, and neither is anybody's twice."""
    counter.crm.tells_ids = False
    runtime = counter.process()
    counter.befalls("lost", "lost")
    for name in ("e1", "e2"):
        counter.create(runtime, external_id=name)
    counter.loop.run_for(60.0)
    assert {counter.row(name).order_id for name in ("e1", "e2")} == {"000001", "000002"}


def test_an_order_of_another_id_is_never_taken(counter: OrderCounter) -> None:
    """The customer bought the same an hour ago, and that is tied: what is in doubt now takes nothing of it."""
    counter.crm.tells_ids = False
    runtime = counter.process()
    counter.create(runtime, external_id="e0")
    counter.befalls("hang")
    counter.create(runtime)
    counter.loop.run_for(HALF_AN_HOUR)
    assert (counter.row("e0").order_id, counter.row().state, counter.row().candidates) == ("000001", "unknown", ())


@pytest.mark.parametrize("first", ["e1", "e2"])
def test_an_order_that_may_be_another_s_is_not_taken(counter: OrderCounter, first: str) -> None:
    """The same goods to two places, both in doubt, one made: as the list shows no place neither takes it, whoever looks
    first; both are told of it."""
    counter.crm.tells_ids = False
    runtime = counter.process()
    counter.befalls(*("lost" if name == "e1" else "hang" for name in sorted(("e1", "e2"), reverse=first == "e2")))
    for name in sorted(("e1", "e2"), reverse=first == "e2"):
        said = replace(draft(name), digest=draft(name).digest + name)
        counter.loop.run(orders(runtime).create(said, 0.1))
        counter.loop.run_for(0.5)
    counter.loop.run_for(HALF_AN_HOUR)
    assert counter.made() == 1
    found = [(counter.row(name).state, [one.id for one in counter.row(name).candidates]) for name in ("e1", "e2")]
    assert found == [("unknown", ["000001"])] * 2


def test_several_that_fit_are_a_person_s_to_tell_apart(counter: OrderCounter) -> None:
    """A manager made the same order by hand meanwhile: both are named, and `settle` takes the right one over."""
    counter.crm.tells_ids = False
    runtime = counter.process()
    counter.befalls("lost")
    counter.create(runtime)
    counter.crm.make(body(""))
    counter.loop.run_for(60.0)
    assert (counter.row().state, [one.id for one in counter.row().candidates]) == ("unknown", ["000001", "000002"])
    settled = counter.loop.run(orders(runtime).settle("e1", counter.crm.orders["000002"]))
    assert (settled.state, settled.order_id) == ("created", "000002")  # type: ignore[union-attr]


def test_a_look_that_fails_late_changes_nothing_of_what_has_ended(counter: OrderCounter) -> None:
    """While one process's list is under way another one ends the order: it stays ended, and is due no more."""
    runtime = counter.process()
    counter.befalls("hang")
    counter.create(runtime)
    counter.crm.usually = lambda call: Trouble("503", 5.0)
    counter.loop.run_for(30.0)
    while "ListOrders" not in counter.crm.by_kind():
        counter.loop.run_for(1.0)
    row = replace(counter.row(), state=OrderState.UNKNOWN, due_at=None, lease_until=0.0)
    assert counter.store.made.commit(row, 0.0)
    counter.loop.run_for(60.0)
    assert (counter.row().state, counter.row().due_at) == ("unknown", None)


def test_an_order_that_was_made_for_what_a_person_has_settled_is_told(
    counter: OrderCounter, caplog: pytest.LogCaptureFixture
) -> None:
    """A person ties another order while the call is under way: his word stands, and the one too many is named."""
    runtime = counter.process()
    counter.befalls("ok", after=8.0)
    counter.create(runtime)
    by_hand = counter.crm.make(body(""))
    row = replace(counter.row(), state=OrderState.CREATED, order_id=by_hand.id, due_at=None, lease_until=0.0)
    assert counter.store.made.commit(row, 0.0)
    counter.loop.run_for(20.0)
    assert (counter.row().order_id, counter.made()) == (by_hand.id, 2)
    assert "order 000002 of the CRM was made for one that has ended otherwise" in caplog.text


def test_settled_with_none_it_is_made(counter: OrderCounter) -> None:
    """A person looked and there is none: the order is sent again, once."""
    runtime = counter.process()
    counter.befalls("hang")
    counter.create(runtime)
    counter.loop.run_for(60.0)
    assert isinstance(counter.loop.run(orders(runtime).settle("e1", None)), str), "it may still be found"
    counter.loop.run_for(HALF_AN_HOUR)
    counter.loop.run(orders(runtime).settle("e1", None))
    counter.loop.run_for(5.0)
    assert (counter.row().state, counter.made()) == ("created", 1)


def test_no_order_is_tied_twice_by_a_person(counter: OrderCounter) -> None:
    """An order that is another record's is refused, and so is another one for what is made."""
    runtime = counter.process()
    counter.create(runtime, external_id="e0")
    counter.befalls("hang")
    counter.create(runtime)
    counter.loop.run_for(HALF_AN_HOUR)
    other = counter.crm.orders["000001"]
    assert "another record's" in str(counter.loop.run(orders(runtime).settle("e1", other)))
    made = counter.crm.make(body(""))
    assert "000001" in str(counter.loop.run(orders(runtime).settle("e0", made)))
    assert counter.loop.run(orders(runtime).settle("nobody", made)) is None


def test_many_in_doubt_at_once_share_one_look(counter: OrderCounter) -> None:
    """Five orders whose answers were lost at a time are found by one list."""
    runtime = counter.process(rate_limit="10/1")
    counter.befalls(*["lost"] * 5)

    async def five() -> None:
        await asyncio.gather(*(orders(runtime).create(draft(f"e{n}", price=100 + n), 1.5) for n in range(5)))

    counter.loop.run(five())
    counter.loop.run_for(60.0)
    assert {counter.row(f"e{n}").state for n in range(5)} == {OrderState.CREATED}
    assert counter.crm.by_kind()["ListOrders"] <= 2


def test_a_list_that_cannot_be_had_is_not_asked_for_by_each(counter: OrderCounter) -> None:
    """Twenty orders in doubt, and a CRM that lists none for half an hour: one call in half a minute, not twenty."""
    runtime = counter.process(rate_limit="10/1")
    counter.befalls(*["lost"] * 20)

    async def twenty() -> None:
        await asyncio.gather(*(orders(runtime).create(draft(f"e{n}", price=100 + n), 1.5) for n in range(20)))

    counter.loop.run(twenty())
    counter.crm.usually = lambda call: Trouble("503" if isinstance(call, ListOrders) else "ok")
    counter.loop.run_for(1_800.0)
    assert counter.crm.by_kind()["ListOrders"] <= 61
    counter.crm.usually = lambda call: Trouble()
    counter.loop.run_for(200.0)
    assert {counter.row(f"e{n}").state for n in range(20)} == {OrderState.CREATED}


def test_orders_keep_the_shared_budget_with_the_chats(counter: OrderCounter) -> None:
    """Forty orders at once from two processes: no 429, all are made."""
    team = [counter.process(), counter.process()]

    async def forty() -> None:
        drafts = [draft(f"e{number}", price=100 + number) for number in range(40)]
        await asyncio.gather(*(orders(team[n % 2]).create(one, 1.5) for n, one in enumerate(drafts)))

    counter.loop.run(forty())
    counter.loop.run_for(300.0)
    assert (counter.made(), counter.crm.limited) == (40, 0)
    assert {counter.row(f"e{n}").state for n in range(40)} == {OrderState.CREATED}


def test_a_grant_that_grew_old_over_a_slow_commit_is_not_used(counter: OrderCounter) -> None:
    """The store takes a second to say that an order is sent: the call goes out with a grant of its own time."""
    runtime = counter.process()
    counter.create(runtime, external_id="e0")
    counter.loop.run_for(30.0)
    way = counter.ways[0]
    way.takes = 1.0
    counter.loop.create_task(orders(runtime).create(draft(), 1.5))
    counter.loop.run_for(20.0)
    assert "CreateOrder" not in [type(call).__name__ for at, call in counter.crm.calls if at > 1_030.0]
    way.takes = 0.01
    counter.loop.run_for(60.0)
    assert (counter.row().state, counter.made()) == ("created", 2)


def test_closing_waits_for_no_call_that_has_not_begun(counter: OrderCounter) -> None:
    """An order that waits for a key that must rest is another process's: closing takes moments, nothing is in doubt."""
    runtime = counter.process()
    counter.befalls("429")
    counter.create(runtime)
    counter.create(runtime, external_id="e2")
    began = counter.loop.time()
    counter.loop.run(runtime.aclose())
    assert counter.loop.time() - began < 0.5
    counter.process()
    counter.loop.run_for(200.0)
    assert [counter.row(name).state for name in ("e1", "e2")] == ["created", "created"]


def test_closing_waits_until_what_was_asked_for_is_recorded(counter: OrderCounter) -> None:
    """A reply budget of 0 and a slow store: the order is in the store when closing ends."""
    runtime = counter.process(reply_budget=0.0)
    counter.ways[0].takes = 1.0
    task = counter.loop.create_task(orders(runtime).create(draft(), 0.0))
    counter.loop.run_for(0.1)
    counter.loop.run(runtime.aclose())
    assert task.done()
    counter.process()
    counter.loop.run_for(200.0)
    assert (counter.row().state, counter.made()) == ("created", 1)


def test_closing_lets_the_call_under_way_end(counter: OrderCounter) -> None:
    """A service that ends within its seconds hears the CRM's answer first, and the row is told of it."""
    runtime = counter.process()
    counter.befalls("ok", after=2.0)
    counter.create(runtime, 0.5)
    began = counter.loop.time()
    counter.loop.run(runtime.aclose())
    assert (counter.row().state, counter.loop.time() - began < 5.0) == ("created", True)


def test_row23_who_waits_for_an_order_when_its_service_ends_is_told_that_it_is_recorded(counter: OrderCounter) -> None:
    """Row 23: the CRM hangs for longer than closing may take: the order goes on elsewhere, and its caller hears so."""
    runtime = counter.process()
    counter.befalls("hang")
    task = counter.loop.create_task(orders(runtime).create(draft(), 20.0))
    counter.loop.run_for(1.0)
    began = counter.loop.time()
    counter.loop.run(runtime.aclose())
    assert counter.loop.time() - began < 5.0
    assert task.result().external_id == "e1"
    assert counter.row().state is OrderState.SENT


def test_row20_who_asks_for_an_order_does_not_wait_for_a_store_that_is_away(counter: OrderCounter) -> None:
    """Row 20: to find or to settle one is told at once that the store is away; making one waits."""
    runtime = counter.process()
    counter.create(runtime)
    counter.fall(AWAY)
    for asking in (orders(runtime).find("e1"), orders(runtime).settle("e1", None)):
        began = counter.loop.time()
        with pytest.raises(StoreError):
            counter.loop.run(asyncio.wait_for(asking, 60.0))
        assert counter.loop.time() - began < 1.0
