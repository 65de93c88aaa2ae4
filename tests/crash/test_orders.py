"""kill -9 of processes that make orders: what was answered is there, whole, and each is made once."""

import pytest

from mirt_sitniks.core.orders import OrderRecord, OrdersAsked, OrderState
from tests.crash.crash_run import CrashRun
from tests.crash.waiting import wait_until

pytestmark = pytest.mark.crash

KILLS = 4
POINTS = ("recorded", "sent", "ahead", "applied", "answered", "sent")


def killed_while_they_write(crash_run: CrashRun) -> None:
    """Two write at once, and each is killed somewhere in the middle; another pair goes on beside what they left."""
    told: dict[str, int] = {}
    for pair in range(KILLS // 2):
        pids = [crash_run.start(orders=f"{pair}.{one}", enough=3 + pair + one) for one in range(2)]
        for pid in pids:
            crash_run.fork_server.hear(pid, "enough")
            crash_run.fork_server.kill(pid)
        said = [line["wrote"] for pid in pids for line in crash_run.fork_server.said(pid) if "wrote" in line]
        told |= dict(said)
    # The one that was being written when its process died, too, is there as it was or as it was to be.
    following = tuple(f"{name.rpartition(' ')[0]} {int(name.rpartition(' ')[2]) + 1}" for name in told)
    shown = crash_run.run(crash_run.store.orders(OrdersAsked(external_ids=(*told, *following))))  # type: ignore[attr-defined]
    found = {one.external_id: one for one in shown.records}
    assert len(told) >= KILLS * 3
    for name, version in told.items():
        assert found[name].version in (version, version + 1), found[name]
    assert len(found) - len(told) in range(KILLS + 1)
    for one in found.values():
        assert one.attempt == one.version
        assert [offer["sku"] for offer in one.body["offers"]] == [f"{one.version - 1} {place}" for place in range(99)]
        assert one.order_id == (one.external_id if one.version == 4 else None)
    after = crash_run.store.commit_order(OrderRecord("after", "d", {}))  # type: ignore[attr-defined]
    assert crash_run.run(after)


def test_killed_while_they_write_on_sqlite(on_sqlite: CrashRun) -> None:
    """Row 3: on SQLite."""
    killed_while_they_write(on_sqlite)


def test_killed_while_they_write_on_postgres(on_postgres: CrashRun) -> None:
    """Row 3: on Postgres."""
    killed_while_they_write(on_postgres)


def killed_while_they_make_them(crash_run: CrashRun) -> None:
    """Each makes an order and is killed at its point; one that lives finishes what can be known."""
    crash_run.sandbox.add_variation("dress", variation_id=1, price=450)
    for number, point in enumerate(POINTS):
        pid = crash_run.start(makes=[(f"{point} {number}", number + 1)], stop=point, worker=False, budget=20.0)
        crash_run.fork_server.hear(pid, "at")
        crash_run.fork_server.kill(pid)
    names = [f"{point} {number}" for number, point in enumerate(POINTS)]

    def rows() -> dict[str, OrderRecord]:
        seen = crash_run.run(crash_run.store.orders(OrdersAsked(external_ids=tuple(names))))  # type: ignore[attr-defined]
        return {one.external_id: one for one in seen.records}

    def left() -> list[str]:
        # The one that was about to be sent is looked for, half an hour long.
        return [name for name, one in rows().items() if one.state is not OrderState.CREATED and not one.attempt]

    pid = crash_run.start(work=True, sweep=0.1)
    try:
        wait_until(lambda: not left(), 30.0, left)
    finally:
        crash_run.fork_server.kill(pid)
    in_crm = {one["externalId"]: str(one["id"]) for one in crash_run.sandbox.orders()}
    assert len(crash_run.sandbox.orders()) == len(in_crm) == len(POINTS) - 1
    found = rows()
    assert {name: one.order_id for name, one in found.items() if one.order_id} == in_crm
    assert [name for name, one in found.items() if one.state is OrderState.SENT] == ["ahead 2"]


def test_killed_while_they_make_them_on_sqlite(on_sqlite: CrashRun) -> None:
    """Row 3: on SQLite."""
    killed_while_they_make_them(on_sqlite)


def test_killed_while_they_make_them_on_postgres(on_postgres: CrashRun) -> None:
    """Row 3: on Postgres."""
    killed_while_they_make_them(on_postgres)
