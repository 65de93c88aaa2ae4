"""Eight real processes, one key, sixty customers at once, and a CRM that counts."""

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mirt_sitniks.core.stages import BUILT_IN, Stage
from mirt_sitniks.sandbox import Sandbox
from tests.crash.crash_run import CrashRun, ForkServer, crash_run
from tests.crash.waiting import wait_until
from tests.postgres.stack import Stack
from tests.stores.worlds import migrate

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.alone]

PROCESSES, SESSIONS, SPEED = 8, 60, 4.0
CALLS, WINDOW = 9, 10.5
# Stage, intent, and not before when.
Turn = tuple[str, str, float]
# What has been granted when an escalation comes is still sent.
UNDER_WAY = 3.0
# Sandbox seconds in which the stages are recorded.
WITHIN = {Stage.FIRST_TOUCH: (0.0, 10.0), Stage.GIVE_REQUISITES: (15.0, 50.0), Stage.ESCALATION: (30.0, 70.0)}


def rush(crowd: CrashRun) -> dict[str, Any]:
    """Have every process serve its turns of all customers; the numbers, once everything is done."""
    rng = Random(60)
    turns: list[dict[str, list[Turn]]] = [{} for _ in range(PROCESSES)]
    for number in range(SESSIONS):
        session = f"customer{number}"
        for stage, (first, last) in WITHIN.items():
            turn = rng.choice(turns).setdefault(session, [])
            turn.append((stage.value, f"{stage}:{session}", rng.uniform(first, last) / SPEED))
    pids = []
    for number, served in enumerate(turns):
        talks: list[dict[str, Any]] = []
        for session, stages in served.items():
            talks.append({"session": session, "stages": sorted(stages, key=_when)})
        crowd.customer(f"warm{number}")
        how = {"warm": f"warm{number}", "rate": (CALLS, WINDOW / SPEED), "timeout": 5.0, "budget": 0.0, "work": True}
        pids.append(crowd.start(talks=talks, **how))
    for pid in pids:
        crowd.fork_server.hear(pid, "warm", 60.0)
    crowd.settled()
    # The window of the warming up is over, and what is counted begins.
    end = time.monotonic() + WINDOW / SPEED
    wait_until(lambda: time.monotonic() > end, 60.0)
    before = len(crowd.sandbox.calls)
    for number in range(SESSIONS):
        crowd.customer(f"customer{number}")
    for pid in pids:
        os.kill(pid, signal.SIGUSR1)
    outcomes = Counter(one for pid in pids for talk in crowd.fork_server.hear(pid, "results", 60.0) for one in talk)
    crowd.settled(120.0, every=0.25)
    for pid in pids:
        crowd.fork_server.kill(pid)
    account = crowd.judge()
    calls = sorted(call.at for call in crowd.sandbox.calls[before:])
    whole = int((calls[-1] - calls[0]) / WINDOW)
    last = sum(1 for at in calls if at >= calls[0] + whole * WINDOW)
    waits, overtaken = order(crowd)
    allowed = CALLS * whole + min(CALLS, last)
    return {
        "store": account.store,
        "processes": PROCESSES,
        "sessions": account.sessions,
        "stages recorded": account.stages,
        "outcomes": dict(outcomes),
        "clock": f"{SPEED} times real",
        "429 answers": sum(1 for call in crowd.sandbox.calls if call.status == 429),
        "most calls in 10 s": crowd.sandbox.most_in_window(10.0),
        "sessions that end right": account.sessions - len(account.wrong) - len(account.lost),
        "calls sent": len(calls),
        "calls the budget allows until the last is needed": allowed,
        "used": round(len(calls) / allowed, 4),
        "waited, median and longest, sandbox seconds": waits,
        "escalations overtaken": overtaken,
    }


def _when(stage: Turn) -> float:
    return stage[2]


def order(crowd: CrashRun) -> tuple[dict[str, list[float]], int]:
    """Median and longest wait of each stage that was shown, in sandbox seconds, and the escalations overtaken.

    An escalation is overtaken when a chat that has none yet is served although it was there first, and not in the same
    moment.
    """
    shown: list[tuple[str, float, float]] = []
    others: list[float] = []
    for session, chat_id in crowd.chats.items():
        if session.startswith("warm"):
            continue
        recorded = {one.stage: one.at for one in crowd.run(crowd.store.ledger(session)) if one.kind == "intent"}
        for change in crowd.sandbox.history(chat_id):
            stage = next((one.value for one in Stage if BUILT_IN[one].status == change["after"]), None)
            if stage:
                real = crowd.sandbox.account.clock.date(change["at"]).timestamp()
                shown.append((stage, recorded[stage] * SPEED, real * SPEED))
                if recorded[stage] < recorded[Stage.ESCALATION.value]:
                    others.append(real * SPEED)
    waits: dict[str, list[float]] = {}
    for stage in Stage:
        found = sorted(end - began for one, began, end in shown if one == stage)
        waits[stage.value] = [round(found[len(found) // 2], 1), round(found[-1], 1)]
    overtaken = [
        began
        for stage, began, end in shown
        if stage == Stage.ESCALATION and any(began + UNDER_WAY < other < end - UNDER_WAY for other in others)
    ]
    return waits, len(overtaken)


def proved(numbers: dict[str, Any], folder: Path, name: str) -> None:
    """Write the numbers down, and hold them to what is promised."""
    text = json.dumps(numbers, ensure_ascii=False, indent=1)
    (Path(os.environ.get("MIRT_SITNIKS_CACHE") or folder) / f"crowd-{name}.json").write_text(text)
    print(text)
    assert numbers["429 answers"] == 0
    assert numbers["sessions that end right"] == numbers["sessions"] == SESSIONS + PROCESSES
    assert numbers["stages recorded"] == 3 * SESSIONS + PROCESSES
    assert numbers["used"] >= 0.95
    assert numbers["escalations overtaken"] == 0


@pytest.fixture
def sqlite_where(tmp_path: Path) -> dict[str, str]:
    """A file that all processes share."""
    return {"path": str(tmp_path / "crowd.sqlite3")}


def test_eight_processes_share_one_key_on_sqlite(
    fork_server: ForkServer, sqlite_where: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """No 429 at a server that counts, all sessions end right, the budget is used up, escalations go first (SQLite)."""
    with Sandbox(speed=SPEED) as sandbox, crash_run(sqlite_where, fork_server, sandbox=sandbox) as crowd:
        proved(rush(crowd), tmp_path, request.node.name)


def test_eight_processes_share_one_key_on_postgres(
    fork_server: ForkServer, supabase_stack: Stack, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """No 429 at a server that counts, all sessions end right, the budget is used, escalations go first (Postgres)."""
    migrate(supabase_stack)
    where = {"url": supabase_stack.url, "key": supabase_stack.keys.service_role}
    with Sandbox(speed=SPEED) as sandbox, crash_run(where, fork_server, sandbox=sandbox) as crowd:
        proved(rush(crowd), tmp_path, request.node.name)
