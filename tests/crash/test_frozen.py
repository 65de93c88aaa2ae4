"""A process that stands still past its lease and goes on: what it learned is thrown away, the newest stage stands."""

import os
import signal

import pytest

from mirt_sitniks.core.record import pending
from mirt_sitniks.core.stages import EFFECTS, Stage
from tests.crash.ordeal import LEASE, PEOPLE, Ordeal
from tests.crash.waiting import wait_until

pytestmark = pytest.mark.crash

POINTS = ("recorded", "sent", "applied", "answered")


def frozen_past_its_lease(ordeal: Ordeal, point: str) -> None:
    """Freeze a process at `point` of a first touch, have another one do the escalation, and let the first go on."""
    session, newest = f"frozen.{point}", EFFECTS[Stage.ESCALATION]
    chat_id = ordeal.customer(session)
    ordeal.customer("other")
    helper = ordeal.start(("other", ("first_touch",)), work=True, sweep=0.1)
    ordeal.nursery.hear(helper, "results")
    if point == "sent":
        # What the frozen process has sent comes to the CRM when its lease is long over.
        ordeal.sandbox.fault("applied_late", path=chat_id, method="PATCH", seconds=3 * LEASE)
    # Without a worker of its own: frozen inside a transaction of SQLite it would hold the file.
    frozen = ordeal.stop_at(point, (session, ("first_touch",)), worker=False)
    token = ordeal.get(session).token  # type: ignore[union-attr]
    second = ordeal.start((session, ("escalation",)), budget=10.0, sweep=0.1, work=True)

    def shows() -> tuple[str, bool]:
        chat = ordeal.sandbox.chat(chat_id)
        return chat["status"], chat["assignedManagerId"] in PEOPLE[newest.role]  # type: ignore[index]

    def converged() -> bool:
        record = ordeal.get(session)
        return record is not None and not pending(record) and record.desired.generation == 2

    wait_until(lambda: converged() and shows() == (newest.status, True), 20.0, lambda: ordeal.get(session))
    taken = ordeal.get(session)
    assert taken is not None
    assert taken.token > token
    if point == "sent":
        ordeal.sandbox.wait(lambda: shows()[0] == EFFECTS[Stage.FIRST_TOUCH].status, 10.0)
    os.kill(frozen, signal.SIGCONT)
    # It has spoken with the store again when it reports; a doubt that it raised is settled when nothing is pending.
    ordeal.nursery.hear(frozen, "results")
    wait_until(lambda: converged() and shows() == (newest.status, True), 20.0, lambda: ordeal.get(session))
    outcomes = [one for one in ordeal.run(ordeal.store.ledger(session)) if one.kind == "outcome"]
    said = {one.after["status"] for one in outcomes if one.generation == 2}
    # What was on its way when it froze did come, and was seen and put right.
    assert point == "sent" or EFFECTS[Stage.FIRST_TOUCH].status not in said, "a stale answer was taken for the newest"
    for pid in (helper, frozen, second):
        ordeal.nursery.kill(pid)
    ordeal.judge()
    assert not ordeal.account.lost
    assert not ordeal.account.wrong


@pytest.mark.parametrize("point", POINTS)
def test_a_process_frozen_past_its_lease_on_sqlite(on_sqlite: Ordeal, point: str) -> None:
    """Of a process that wakes up late nothing stands, wherever it was stopped, on SQLite."""
    frozen_past_its_lease(on_sqlite, point)


@pytest.mark.parametrize("point", POINTS)
def test_a_process_frozen_past_its_lease_on_postgres(on_postgres: Ordeal, point: str) -> None:
    """Of a process that wakes up late nothing stands, wherever it was stopped, on Postgres."""
    frozen_past_its_lease(on_postgres, point)
