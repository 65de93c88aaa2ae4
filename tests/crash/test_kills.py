"""kill -9 at every point between recording a stage and settling its answer, on the real stores."""

from collections.abc import Callable

import pytest

from tests.crash.crash_run import Account, CrashRun
from tests.crash.plan import kill_everywhere

pytestmark = pytest.mark.crash

POINTS = {"recorded": 30, "sent": 30, "applied": 30, "answered": 30, "settling": 30, "scanning": 20, "holding": 30}
FEW = dict.fromkeys(POINTS, 3)


def survived(account: Account, kills: int, each: int) -> None:
    """All kills hit, nothing is lost, and every chat shows the newest stage."""
    assert not account.missed, account.missed[0]
    assert account.kills.total() == account.hits.total() == kills, account.shown()
    assert min(account.hits[point] for point in POINTS) >= each
    assert not account.lost
    assert not account.wrong


def test_a_few_kills_on_sqlite(on_sqlite: CrashRun) -> None:
    """A process that is killed at any point leaves its stages to the next one, on SQLite."""
    survived(kill_everywhere(on_sqlite, FEW), kills=21, each=3)


def test_a_few_kills_on_postgres(on_postgres: CrashRun) -> None:
    """A process that is killed at any point leaves its stages to the next one, on Postgres."""
    survived(kill_everywhere(on_postgres, FEW), kills=21, each=3)


@pytest.mark.slow
@pytest.mark.long
def test_two_hundred_kills_on_sqlite(on_sqlite: CrashRun, write_down: Callable[[Account], None]) -> None:
    """200 of 200 SIGKILLs that hit unfinished work lose nothing, at least 20 at each point, on SQLite."""
    account = kill_everywhere(on_sqlite, POINTS, rounds=5)
    write_down(account)
    survived(account, kills=200, each=20)


@pytest.mark.slow
@pytest.mark.long
def test_two_hundred_kills_on_postgres(on_postgres: CrashRun, write_down: Callable[[Account], None]) -> None:
    """200 of 200 SIGKILLs that hit unfinished work lose nothing, at least 20 at each point, on Postgres."""
    account = kill_everywhere(on_postgres, POINTS, rounds=5)
    write_down(account)
    survived(account, kills=200, each=20)
