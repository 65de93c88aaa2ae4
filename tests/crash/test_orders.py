"""kill -9 of processes that write orders: what was answered is there, whole, and nothing is tied twice."""

import pytest

from mirt_sitniks.core.orders import OrderRecord, OrdersAsked
from tests.crash.crash_run import CrashRun

pytestmark = pytest.mark.crash

KILLS = 4


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
