"""Row 3: an answer is lost after Postgres has done the work, or PostgREST dies before: once done, nothing lost."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mirt_sitniks.core.budget import Limit
from mirt_sitniks.core.record import Intent, ObservedValue
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import Recorded, Report, Verdict
from mirt_sitniks.errors import StoreError
from tests.postgres.stack import Stack
from tests.stores.contract import settlement
from tests.stores.worlds import OPTIONS, START, World

WIDE = replace(OPTIONS, limit=Limit(9, 10.5))
COUNTS = """
select cardinality(grants), (select count(*) from public.sitniks_ledger where kind = 'intent'),
    (select count(*) from public.sitniks_ledger where kind = 'outcome'),
    (select sum(generation) from public.sitniks_chat_mappings)
from public.sitniks_keys
"""


@pytest.fixture(params=["cut", "killed"])
def lost(migrated: Stack, request: pytest.FixtureRequest) -> Callable[[], Any]:
    """Loses the answer of one commit: the connection is cut behind it, or PostgREST killed."""
    how = {"drop": "answer", "times": 1, "then": migrated.kill if request.param == "killed" else None}
    return lambda: migrated.gateway.fault("sitniks_commit", **how)


def record(world: World, session: str = "s", stage: Stage = Stage.FIRST_TOUCH) -> Recorded:
    return world.run(world.store.record(WIDE, Intent(session, stage, str(stage), chat_id=f"c of {session}")))


def counts(project: Stack) -> tuple[int, ...]:
    """(grants, intents, outcomes, generations)."""
    return tuple(int(value or 0) for value in project.sql(COUNTS)[0])


def repeated(project: Stack, work: Callable[[], Any]) -> Any:
    """What `work` comes to, asked again as a caller does when the store was away; one cut connection it stands."""
    try:
        return work()
    except StoreError:
        if not project.restart():
            raise
        return work()


def test_a_stage_is_recorded_once(migrated: Stack, world: World, lost: Callable[[], Any]) -> None:
    """The claim that was lost with the answer ends by itself; the intent is known, and is driven after the lease."""
    with lost() as fault:
        answer = repeated(migrated, lambda: record(world))
    assert fault.hits == 1
    assert (answer.verdict, answer.claim, answer.record.desired.generation) == (Verdict.KNOWN, None, 1)
    assert counts(migrated) == (2, 1, 0, 1)
    world.clock.now += OPTIONS.lease
    (claim,) = world.run(world.store.claim(WIDE)).claims
    assert claim.record == replace(answer.record, token=2, lease_until=START + 2 * OPTIONS.lease)


def test_a_round_is_settled_once(migrated: Stack, world: World, lost: Callable[[], Any]) -> None:
    """Its confirmation stands, its line in the ledger is one, and the call that was not used is free again once."""
    held = record(world).claim
    other = record(world, "t").claim
    assert held is not None
    assert other is not None
    assert held.record is not None
    report = Report(settlement(held.record), unused=held.grants[:1], basis=held.basis)
    again = [report, replace(report, unused=())]
    with lost() as fault:
        settled = repeated(migrated, lambda: world.run(world.store.settle(WIDE, again.pop(0))))
    assert fault.hits == 1
    assert settled.record.observed.status == ObservedValue("shown", 1)
    assert (settled.claim, settled.record.lease_until) == (None, 0.0)
    assert counts(migrated) == (3, 2, 1, 2)


def test_a_round_that_goes_on_does_so_once(migrated: Stack, world: World, lost: Callable[[], Any]) -> None:
    """The calls of the claim that was lost are not taken back, so that no more than the limit go out; the lease is the
    same, and whoever holds it goes on.
    """
    held = record(world).claim
    assert held is not None
    assert held.record is not None
    report = Report(settlement(held.record, manager=ObservedValue()), calls=2, basis=held.basis)
    with lost():
        settled = repeated(migrated, lambda: world.run(world.store.settle(WIDE, report)))
    assert settled.claim.record.token == held.record.token
    assert len(settled.claim.grants) == 1
    assert counts(migrated) == (4, 1, 1, 1)
    last = Report(settlement(settled.claim.record), basis=settled.claim.basis)
    assert world.run(world.store.settle(WIDE, last)).record.observed.manager == ObservedValue(7, 1)


def test_a_claim_is_taken_once(migrated: Stack, world: World, lost: Callable[[], Any]) -> None:
    """Taking more in its place would hold both: what was taken comes back after its lease, and only then."""
    world.run(world.store.record(WIDE, Intent("s", Stage.ESCALATION, "k", chat_id="c1"), calls=0))
    with lost(), pytest.raises(StoreError):
        world.run(world.store.claim(WIDE))
    migrated.restart()
    assert counts(migrated) == (2, 1, 0, 1)
    assert world.run(world.store.claim(WIDE)).claims == ()
    world.clock.now += OPTIONS.lease
    (claim,) = world.run(world.store.claim(WIDE)).claims
    assert claim.record is not None
    assert (claim.record.session, claim.record.token) == ("s", 2)


def test_what_was_not_ended_is_undone(migrated: Stack, world: World) -> None:
    """PostgREST dies while its commit waits for a row: nothing of it is there, and the same again is new."""
    record(world, "other")
    holding = threading.Thread(
        target=lambda: migrated.sql("begin; select 1 from public.sitniks_keys for update; select pg_sleep(1.5)")
    )
    waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"

    def kill() -> None:
        while migrated.sql(waits, user="supabase_admin") == [("0",)]:
            time.sleep(0.01)
        migrated.kill()

    holding.start()
    while migrated.sql("select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == [("0",)]:
        time.sleep(0.01)
    killing = threading.Thread(target=kill)
    killing.start()
    with pytest.raises(StoreError):
        record(world)
    killing.join()
    holding.join()
    migrated.restart()
    assert counts(migrated) == (2, 1, 0, 1)
    assert record(world).verdict is Verdict.NEW
    assert counts(migrated) == (4, 2, 0, 2)
