"""What every store promises of orders: claims for the model, SQLite and the real Postgres, and random lives of them."""

from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from mirt_sitniks.core.orders import Candidate, OrderRecord, OrdersAsked, OrdersSeen, OrderState
from mirt_sitniks.core.stages import Stage
from tests.stores.commands import alike
from tests.stores.contract import own
from tests.stores.worlds import START, World

BODY = {"client": {"fullname": "Олена 🙂", "phone": "380670000000"}, "offers": [{"price": 10.5, "quantity": 2}]}
FULL = OrderRecord(
    "full", "d", BODY, "shop", "shop/s", "c1", OrderState.SENT, "17", "1017", START, START + 5, 3, START + 0.125,
    START + 20, "timeout", "late", (Candidate("17", "1017", START + 0.5), Candidate("18", None, None)), "me",
    START + 30,
)  # fmt: skip


def show(world: World, *names: str, **asked: Any) -> OrdersSeen:
    return world.run(world.store.orders(OrdersAsked(external_ids=names, **asked)))


def commit(world: World, record: OrderRecord) -> bool:
    return world.run(world.store.commit_order(record))


def add(world: World, name: str, **fields: Any) -> OrderRecord:
    """A new order of the store, due now unless it is told."""
    record = replace(OrderRecord(name, "d", BODY, asked_at=world.clock.now, due_at=world.clock.now), **fields)
    assert commit(world, record)
    return replace(record, version=1)


class OrderContract:
    """Each test is one claim; `world` is an empty store whose clock stands."""

    def test_an_order_comes_back_as_it_was_written(self, world: World) -> None:
        """Every field, with the next version; what is absent stays absent."""
        bare = OrderRecord("bare", "", {}, due_at=None)
        for record in (FULL, bare):
            assert commit(world, record)
            (found,) = show(world, record.external_id, account=record.account).records
            assert found == replace(record, version=1)
            assert commit(world, replace(found, attempt=9))
            assert show(world, record.external_id, account=record.account).records[0].attempt == 9

    def test_of_two_who_have_seen_the_same_one_writes(self, world: World) -> None:
        """An order is recorded once, and a stale version changes nothing: also one from before it was deleted."""
        one = add(world, "a")
        assert not commit(world, OrderRecord("a", "other", BODY))
        assert commit(world, replace(one, state=OrderState.SENT))
        assert not commit(world, replace(one, state=OrderState.REFUSED))
        assert not commit(world, replace(one, external_id="none"))
        (found,) = show(world, "a", "none").records
        assert (found.state, found.digest, found.version) == (OrderState.SENT, "d", 2)

    def test_an_order_of_the_crm_is_tied_once(self, world: World) -> None:
        """A second tie is refused, to a new row and to a known one, which stays as it was; another account is free."""
        add(world, "a", order_id="17")
        other = add(world, "b")
        assert not commit(world, replace(other, order_id="17", state=OrderState.CREATED))
        assert not commit(world, OrderRecord("c", "d", BODY, order_id="17"))
        assert commit(world, OrderRecord("c", "d", BODY, "shop", order_id="17"))
        assert show(world, "b", "c").records == (other,)
        assert [one.external_id for one in show(world, order_ids=("17", "18")).records] == ["a"]

    def test_orders_of_sessions_are_shown(self, world: World) -> None:
        """Those of the account alone, whatever their state."""
        add(world, "a", session="s", due_at=None, state=OrderState.CREATED)
        add(world, "b", session="t")
        add(world, "c", session="s", account="shop")
        assert [one.external_id for one in show(world, sessions=("s", "u")).records] == ["a"]

    def test_alike_are_those_whose_fate_is_open(self, world: World) -> None:
        """Of a digest that begins so, sent or unknown, in the account."""
        add(world, "new", account="shop")
        for name, digest in (("a", "d1"), ("b", "d2"), ("c", "e")):
            add(world, name, state=OrderState.SENT, digest=digest, lease_until=START + 30)
        add(world, "told", state=OrderState.UNKNOWN, due_at=None)
        add(world, "made", state=OrderState.CREATED, due_at=None)
        add(world, "elsewhere", state=OrderState.SENT, account="shop")
        assert [one.external_id for one in show(world, alike="d").records] == ["a", "b", "told"]

    def test_names_belong_to_an_account(self, world: World) -> None:
        """Two accounts have an order of one name each, and neither sees nor changes the other's."""
        mine, other = add(world, "a"), add(world, "a", account="shop", digest="theirs")
        assert commit(world, replace(other, attempt=1))
        assert show(world, "a", due=9).records == (mine,)
        assert show(world, "a", account="shop").records == (replace(other, attempt=1, version=2),)

    def test_due_is_what_nobody_works_on(self, world: World) -> None:
        """Who could be worked on longest comes first; not what ended, is due later, or is leased for now."""
        add(world, "later", due_at=START + 50)
        add(world, "leased", due_at=START - 90, lease_by="me", lease_until=START + 30)
        add(world, "ended", due_at=None)
        for name, ago in (("c", 10), ("a", 30), ("b", 20)):
            add(world, name, due_at=START - ago, lease_until=START - 40)
        assert [one.external_id for one in show(world, due=9).records] == ["a", "b", "c"]
        assert [one.external_id for one in show(world, "c", "ended", due=2).records] == ["a", "b", "c", "ended"]
        assert show(world).records == ()
        world.clock.now = START + 30
        assert [one.external_id for one in show(world, due=9).records] == ["a", "b", "c", "leased"]

    def test_it_tells_when_there_will_be_work(self, world: World) -> None:
        """The store's time, and when the next order is due or its lease ends: None when all ended."""
        add(world, "ended", due_at=None)
        assert show(world) == OrdersSeen(START, (), None)
        add(world, "other", account="shop")
        add(world, "leased", due_at=START - 90, lease_until=START + 30)
        add(world, "later", due_at=START + 50)
        assert show(world).next_at == START + 30

    def test_troubled_is_what_a_person_should_look_at(self, world: World) -> None:
        """Unknown ones, and those asked for half an hour ago that are not ended, the newest first."""
        add(world, "unknown", state=OrderState.UNKNOWN, due_at=None)
        add(world, "refused", state=OrderState.REFUSED, due_at=None, asked_at=START - 3600)
        add(world, "made", state=OrderState.CREATED, due_at=None, asked_at=START - 3600)
        add(world, "waits", asked_at=START - 1801)
        add(world, "new", asked_at=START - 1800)
        assert [one.external_id for one in show(world, troubled=9).records] == ["waits", "unknown"]
        assert [one.external_id for one in show(world, troubled=1).records] == ["unknown"]

    def test_forget_leaves_what_keeps_an_order_from_being_made_again(self, world: World) -> None:
        """Of a customer's orders, by session or chat, stay name, state and the CRM's id: nothing that says who
        or what; nobody works on them, a holder's commit is refused, and the other's are what they were."""
        own(world, "s", Stage.FIRST_TOUCH, "olena", "c1")
        add(world, "chat's", chat_id="c1")
        mine = replace(FULL, account="main", session="s", chat_id=None)
        held = replace(mine, version=1)
        assert commit(world, mine)
        other = add(world, "other", session="t", chat_id="c2")
        before = world.run(world.store.counts())
        erased = before["records"] + before["ledger"] + before["directory"] + 2
        assert world.run(world.store.forget("s")) == erased
        assert show(world, "chat's").records == (
            replace(OrderRecord("chat's", "", {}, asked_at=START, due_at=None), version=2),
        )
        left = OrderRecord(
            "full", "", {}, state=OrderState.SENT, order_id="17", order_number="1017", asked_at=START, due_at=None,
            version=2,
        )  # fmt: skip
        assert show(world, "full", "other").records == (other, left)
        assert not commit(world, replace(held, state=OrderState.CREATED))
        assert show(world, due=9, troubled=9).records == (other,)
        assert world.run(world.store.forget("s")) == 0

    def test_prune_deletes_what_ended_and_is_old(self, world: World) -> None:
        """By when it was written last; what is not ended stays however old it is, and so does what ended lately."""
        open_, late = add(world, "open"), add(world, "late")
        add(world, "ended", state=OrderState.CREATED, due_at=None)
        world.clock.now += 100
        assert commit(world, replace(late, state=OrderState.CREATED, due_at=None))
        assert world.run(world.store.prune(99.0, records=False)) == 1
        assert [one.external_id for one in show(world, "open", "late", "ended").records] == ["open", "late"]
        assert world.run(world.store.counts())["orders"] == 2
        world.clock.now += 100
        assert world.run(world.store.prune(99.0)) == 1
        assert show(world, "open", "late").records == (open_,)

    def test_text_that_no_database_holds_is_cleaned(self, world: World) -> None:
        """NUL and halves of surrogate pairs, in names and however deep in a body, stop no order."""
        add(world, "a\0b", body={"client": [{"fullname": "O\ud83d\0"}]})
        assert show(world, "a\0b").records[0].body == {"client": [{"fullname": "O?"}]}


NAMES, ACCOUNTS, IDS = ("a", "b", "c", "d"), ("main", "shop"), ("17", "18", "19")


@dataclass(frozen=True)
class Commit:
    """A commit by who has seen the row `behind` versions ago."""

    record: OrderRecord
    behind: int

    def run(self, world: World) -> Any:
        (*_, seen) = (
            OrderRecord("", "", {}),
            *show(world, self.record.external_id, account=self.record.account).records,
        )
        made = replace(self.record, asked_at=START, version=max(0, seen.version - self.behind))
        shift = {name: START + at for name in ("due_at", "lease_until") if (at := getattr(made, name)) is not None}
        return commit(world, replace(made, **shift))


@dataclass(frozen=True)
class Ask:
    asked: OrdersAsked

    def run(self, world: World) -> Any:
        return world.run(world.store.orders(self.asked))


@dataclass(frozen=True)
class Forget:
    session: str

    def run(self, world: World) -> Any:
        return world.run(world.store.forget(self.session))


@dataclass(frozen=True)
class Prune:
    older_than: float

    def run(self, world: World) -> Any:
        return world.run(world.store.prune(self.older_than))


@dataclass(frozen=True)
class Wait:
    seconds: float

    def run(self, world: World) -> Any:
        world.clock.now += self.seconds


_records = st.builds(
    OrderRecord,
    st.sampled_from(NAMES),
    st.sampled_from(("d", "e", "")),
    st.sampled_from((BODY, {})),
    st.sampled_from(ACCOUNTS),
    st.sampled_from(("s", "t", None)),
    st.sampled_from(("c1", "c2", None)),
    st.sampled_from(OrderState),
    st.sampled_from((*IDS, None, None, None)),
    due_at=st.sampled_from((None, -40.0, 0.0, 30.0, 2000.0)),
    attempt=st.integers(0, 3),
    unconfirmed_until=st.sampled_from((None, START + 20.0)),
    error_code=st.sampled_from((None, "timeout")),
    candidates=st.sampled_from(((), FULL.candidates)),
    lease_by=st.sampled_from(("", "me")),
    lease_until=st.sampled_from((-START, 0.0, 30.0)),
)
_asked = st.builds(
    OrdersAsked,
    st.sampled_from(ACCOUNTS),
    st.lists(st.sampled_from(NAMES), max_size=3).map(tuple),
    st.lists(st.sampled_from(IDS), max_size=2).map(tuple),
    st.sampled_from((None, "d", "e")),
    st.integers(0, 3),
    st.integers(0, 2),
)
_commits = st.builds(Commit, _records, st.sampled_from((0, 0, 0, 0, 1)))
order_lives = st.lists(
    st.one_of(
        _commits,
        _commits,
        _commits,
        st.builds(Ask, _asked),
        st.builds(Wait, st.sampled_from((0.25, 31.0, 2000.0))),
        st.builds(Forget, st.sampled_from(("s", "t"))),
        st.builds(Prune, st.sampled_from((5.0, 800.0))),
    ),
    min_size=4,
    max_size=40,
)


def live_orders(commands: list[Any], model: World, other: World) -> None:
    """Runs the commands on both, and compares every answer and, at the end, everything that is stored."""
    start = model.clock.now
    for world in (model, other):
        world.clear()
        world.clock.now = start
    whole = [Ask(OrdersAsked(account, NAMES, due=9, troubled=9)) for account in ACCOUNTS]
    for number, command in enumerate([*commands, *whole]):
        alike(command.run(model), command.run(other), f"{number}: {command}")
    alike(*(world.run(world.store.counts()) for world in (model, other)), "counts")
    model.clock.now = other.clock.now = start
