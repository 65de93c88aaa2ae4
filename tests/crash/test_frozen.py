"""A process that stands still past its lease and goes on: what it learned is thrown away, the newest stage stands."""

import os
import signal

import pytest

from mirt_sitniks.core.record import pending
from mirt_sitniks.core.stages import BUILT_IN, Stage
from tests.crash.crash_run import LEASE, PEOPLE, CrashRun
from tests.crash.waiting import wait_until

pytestmark = pytest.mark.crash

POINTS = ("recorded", "sent", "applied", "answered")


def frozen_past_its_lease(crash_run: CrashRun, point: str) -> None:
    """Freeze a process at `point` of a first touch, have another one do the escalation, and let the first go on."""
    session, newest = f"frozen.{point}", BUILT_IN[Stage.ESCALATION]
    chat_id = crash_run.customer(session)
    crash_run.customer("other")
    helper = crash_run.start(("other", ("first_touch",)), work=True, sweep=0.1)
    crash_run.fork_server.hear(helper, "results")
    crash_run.customer("warm")
    # Ready to ask at once: before the lease is over, or the helper takes up the first touch with every right.
    second = crash_run.start((session, ("escalation",)), warm="warm", budget=10.0, sweep=0.1, work=True)
    crash_run.fork_server.hear(second, "warm")
    if point == "sent":
        # What the frozen process has sent comes to the CRM when its lease is long over.
        crash_run.sandbox.fault("applied_late", path=chat_id, method="PATCH", seconds=3 * LEASE)
    # Without a worker of its own: frozen inside a transaction of SQLite it would hold the file.
    frozen = crash_run.stop_at(point, (session, ("first_touch",)), worker=False)
    token = crash_run.get(session).token  # type: ignore[union-attr]
    os.kill(second, signal.SIGUSR1)

    def shows() -> tuple[str, bool]:
        chat = crash_run.sandbox.chat(chat_id)
        return chat["status"], chat["assignedManagerId"] in PEOPLE[newest.role]  # type: ignore[index]

    def converged() -> bool:
        record = crash_run.get(session)
        return record is not None and not pending(record) and record.desired.generation == 2

    wait_until(lambda: converged() and shows() == (newest.status, True), 20.0, lambda: crash_run.get(session))
    taken = crash_run.get(session)
    assert taken is not None
    assert taken.token > token
    if point == "sent":
        crash_run.sandbox.wait(lambda: shows()[0] == BUILT_IN[Stage.FIRST_TOUCH].status, 10.0)
    os.kill(frozen, signal.SIGCONT)
    # It has spoken with the store again when it reports; a doubt that it raised is settled when nothing is pending.
    crash_run.fork_server.hear(frozen, "results")
    wait_until(lambda: converged() and shows() == (newest.status, True), 20.0, lambda: crash_run.get(session))
    outcomes = [one for one in crash_run.run(crash_run.store.ledger(session)) if one.kind == "outcome"]
    said = {one.after["status"] for one in outcomes if one.generation == 2}
    # What was on its way when it froze did come, and was seen and put right.
    assert point == "sent" or BUILT_IN[Stage.FIRST_TOUCH].status not in said, "a stale answer was taken for the newest"
    for pid in (helper, frozen, second):
        crash_run.fork_server.kill(pid)
    crash_run.judge()
    assert not crash_run.account.lost
    assert not crash_run.account.wrong


@pytest.mark.parametrize("point", POINTS)
def test_a_process_frozen_past_its_lease_on_sqlite(on_sqlite: CrashRun, point: str) -> None:
    """Of a process that wakes up late nothing stands, wherever it was stopped, on SQLite."""
    frozen_past_its_lease(on_sqlite, point)


@pytest.mark.parametrize("point", POINTS)
def test_a_process_frozen_past_its_lease_on_postgres(on_postgres: CrashRun, point: str) -> None:
    """Of a process that wakes up late nothing stands, wherever it was stopped, on Postgres."""
    frozen_past_its_lease(on_postgres, point)
