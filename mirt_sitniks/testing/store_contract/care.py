"""What every store promises of its ledger, of what it forgets and prunes, and of any text."""

from dataclasses import replace

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.record import ObservedValue, Try
from mirt_sitniks.core.store import Report, Verdict
from mirt_sitniks.testing.store_contract.verbs import (
    ESCALATION,
    FIRST,
    INVOICE,
    UNSEEN,
    claim,
    claimed,
    get,
    of,
    own,
    record,
    scan_page,
    settle,
    settlement,
)
from mirt_sitniks.testing.store_world import OPTIONS, START, World


class CareContract:
    """Each test is one claim."""

    def test_intents_and_outcomes_are_in_the_ledger(self, world: World) -> None:
        """Who, what, when, before, after; the reason of an escalation stands there and nowhere else."""
        answer = record(world, "s", ESCALATION, "k", chat_id="c1", reason="size")
        world.clock.now += 1
        settle(world, claimed(answer))
        intent, outcome = world.run(world.store.ledger("s"))
        assert (intent.kind, intent.key, intent.stage, intent.generation) == ("intent", "k", "escalation", 1)
        assert (intent.who, intent.at, intent.before, intent.after) == ("test", START, {}, {"reason": "size"})
        assert (outcome.kind, outcome.key, outcome.stage, outcome.generation) == ("outcome", None, "escalation", 1)
        nothing = {"chat_id": "c1", "status": None, "manager_id": None, "error": None}
        assert (outcome.at, outcome.before) == (START + 1, nothing)
        assert outcome.after == {**nothing, "status": "shown", "manager_id": 7}
        assert intent.id < outcome.id
        assert world.run(world.store.ledger("s", limit=1)) == (outcome,)

    def test_every_call_is_a_line_of_its_session_or_of_none(self, world: World) -> None:
        """Before the outcome that it brought, of the stage that stands by then; what is nothing is left out. What was
        made for all, or outside a drive, is nobody's."""
        held = claimed(own(world, "s", INVOICE, "olena"))
        record(world, "s", ESCALATION)
        assert held.record
        tries = (
            Try("status", 0.08349, 429, "rate_limited"),
            Try("assign", 0.1),
            Try("managers", 10.0, code="timeout", for_all=True),
        )
        world.run(world.store.settle(OPTIONS, Report(settlement(held.record), tries=tries, basis=held.basis)))
        world.run(world.store.settle(OPTIONS, Report(tries=(Try("orders", 0.25, 500, "unavailable"),))))
        mine = world.run(world.store.ledger("s"))
        assert [line.kind for line in mine[-3:]] == ["try", "try", "outcome"]
        status, assign = mine[-3:-1]
        assert (status.key, status.stage, status.generation, status.who) == ("status", "escalation", 2, "test")
        assert (status.at, status.before) == (START, {})
        assert status.after == {"seconds": 0.083, "status": 429, "code": "rate_limited"}
        assert (assign.key, assign.after) == ("assign", {"seconds": 0.1})
        managers, orders = world.run(world.store.ledger(""))
        assert (managers.kind, managers.key, managers.stage, managers.generation) == ("try", "managers", None, 0)
        assert managers.after == {"seconds": 10.0, "code": "timeout"}
        assert (orders.key, orders.after) == ("orders", {"seconds": 0.25, "status": 500, "code": "unavailable"})

    def test_tries_are_told_of_by_whoever_lost_the_lease_and_bring_back_nobody(self, world: World) -> None:
        """A stale holder's answers are thrown away, its calls were made; of a forgotten customer nothing is written.
        A try is known to no intent."""
        held = claimed(own(world, "s", INVOICE, "olena"))
        assert held.record
        world.clock.now += OPTIONS.lease
        assert claim(world).claims
        told = Report(settlement(held.record), tries=(Try("status", 0.1),), basis=held.basis)
        world.run(world.store.settle(OPTIONS, told))
        assert [one.key for one in world.run(world.store.ledger("s")) if one.kind == "try"] == ["status"]
        assert record(world, "s", ESCALATION, "status").verdict is Verdict.NEW
        world.run(world.store.forget("s"))
        world.run(world.store.settle(OPTIONS, replace(told, basis=None)))
        assert world.run(world.store.ledger("s")) == ()
        assert [one.key for one in world.run(world.store.ledger(""))] == ["status"]
        world.clock.now += 60.0
        world.run(world.store.prune(59.0))
        assert world.run(world.store.ledger("")) == ()

    def test_an_own_write_past_the_plan_is_noted(self, world: World) -> None:
        """`observe` tells what the chat shows without confirming any generation, and the ledger tells of it; unknown
        chats are left out."""
        record(world, "s", FIRST, chat_id="c1")
        world.run(world.store.observe("c1", status="paid", manager_id=9))
        world.run(world.store.observe("c1", status="sent"))
        world.run(world.store.observe("elsewhere", status="paid"))
        seen = get(world, "s").observed
        assert (seen.status, seen.manager) == (ObservedValue("sent", 0), ObservedValue(9, 0))
        assert [one.kind for one in world.run(world.store.ledger("s"))] == ["intent", "outcome", "outcome"]

    def test_counts_tell_how_much_is_there(self, world: World) -> None:
        """Records, pending ones, those ten minutes late, ledger lines and chats."""
        held = claimed(record(world, "a", FIRST, instagram="olena"))
        record(world, "b", FIRST, chat_id="c2", calls=0)
        settle(world, held, page=scan_page(held, Chat("c1", "olena", "instagram")), calls=0)
        assert world.run(world.store.counts()) == {
            "records": 2, "pending": 1, "overdue": 0, "ledger": 3, "directory": 1, "orders": 0
        }  # fmt: skip
        world.clock.now += 601
        assert world.run(world.store.counts())["overdue"] == 1

    def test_forget_erases_one_customer_everywhere(self, world: World) -> None:
        """Record, ledger and every chat of the names: nothing of one customer is left, all of the other is."""
        held = claimed(record(world, "a", FIRST, instagram="olena", telegram="lena"))
        record(world, "b", FIRST, chat_id="c9", calls=0)
        page = scan_page(
            held, Chat("c1", "olena", "instagram"), Chat("c2", "lena", "x"), Chat("c3", "ivan", "instagram")
        )
        settle(world, held, page=page, **UNSEEN)
        lines = len(world.run(world.store.ledger("a")))
        assert world.run(world.store.forget("a")) == 1 + lines + 2
        assert world.run(world.store.get("a")) is None
        assert world.run(world.store.ledger("a")) == ()
        left = world.run(world.store.counts())
        assert (left["records"], left["ledger"], left["directory"]) == (1, 1, 1)
        assert world.run(world.store.forget("a")) == 0

    def test_forget_erases_what_outlived_the_record(self, world: World) -> None:
        """Where the wall's clock was set back, a record is pruned before its ledger lines: they are erased as well."""
        held = claimed(record(world, "a", FIRST, chat_id="c1"))
        world.clock.now -= 100
        settle(world, held)
        world.clock.now += 80
        world.run(world.store.prune(50))
        assert world.run(world.store.get("a")) is None
        assert len(world.run(world.store.ledger("a"))) == 1
        assert world.run(world.store.forget("a")) == 1
        assert world.run(world.store.ledger("a")) == ()
        assert world.run(world.store.forget("a")) == 0

    def test_prune_keeps_what_is_unfinished_or_young(self, world: World) -> None:
        """Converged records, ledger lines and chats that were not touched for that long go; the rest stays."""
        settle(world, claimed(record(world, "done", FIRST, chat_id="c1")))
        record(world, "open", FIRST, chat_id="c2", calls=0)
        world.clock.now += 100
        settle(world, claimed(record(world, "young", INVOICE, chat_id="c3")))
        assert world.run(world.store.prune(100.5)) == 0
        assert world.run(world.store.prune(50, records=False)) == 3
        assert get(world, "done").session == "done"
        assert world.run(world.store.prune(50)) == 1
        assert world.run(world.store.get("done")) is None
        assert (get(world, "open").session, get(world, "young").session) == ("open", "young")
        # Beyond the window a replay is not known any more.
        assert record(world, "done", FIRST, chat_id="c1").verdict is Verdict.NEW

    def test_any_text_is_only_text(self, world: World) -> None:
        """Quotes, wildcards, commas, line ends and Ukrainian come back as they went in and match nothing else."""
        strange = "o'Лена%_\"\\,().*&or=\n{}"
        record(world, "plain", FIRST, chat_id="c1", calls=0)
        answer = record(world, strange, ESCALATION, strange, instagram=strange, chat_id=strange, reason=strange)
        assert answer.record == get(world, strange)
        assert (answer.record.session, answer.record.instagram, answer.record.candidate) == (strange,) * 3
        assert world.run(world.store.ledger(strange))[0].after == {"reason": strange}
        assert world.run(world.store.get("%")) is None
        assert world.run(world.store.forget(strange)) == 2
        assert get(world, "plain").chat_id == "c1"

    def test_text_that_no_database_holds_is_cleaned(self, world: World) -> None:
        """NUL and half surrogates, as a chat can bring them, do not stop a sync."""
        held = claimed(record(world, "s", FIRST, instagram="olena"))
        page = scan_page(held, Chat("c1", "a\0b\ud83d", "instagram"), Chat("c2", "olena", "instagram"))
        settled = settle(world, held, page=page, **UNSEEN)
        assert of(settled).chat_id == "c2"
        assert record(world, "t", ESCALATION, chat_id="c3", reason="\ud83d\0").verdict is Verdict.NEW
