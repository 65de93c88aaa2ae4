"""Which processes are killed where: customers, stages, faults of the CRM, and the order of it all."""

import os
import time
from collections.abc import Mapping
from typing import Any

from tests.crash.crash_run import LATE, Account, CrashRun

NEWER = ("escalation", "give_requisites")


def kill_everywhere(crash_run: CrashRun, counts: Mapping[str, int], rounds: int = 1) -> Account:
    """Kill as many processes at each point as `counts` says, in rounds.

    Every process serves a customer and takes up what the dead before it have left. A round ends when one that is left
    in peace has finished everything. Of three customers one has a stage behind her, and one comes to a newer stage
    while the dead hold her lease. The CRM applies half of the requests that were under way at a kill late and half
    never, and of the answers some are lost.
    """
    began = time.monotonic()
    deaths = _spread(counts)
    for one in range(rounds):
        _round(crash_run, one, deaths[one::rounds])
    account = crash_run.judge()
    account.seconds = time.monotonic() - began
    return account


def _spread(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """All (point, number), each point's kills spread evenly."""
    order = sorted((number / count, point, number) for point, count in counts.items() for number in range(count))
    return [(point, number) for _, point, number in order]


def _round(crash_run: CrashRun, number: int, deaths: list[tuple[str, int]]) -> None:
    for point, customer in deaths:
        if point != "scanning":
            crash_run.customer(f"{point}.{customer}")
        if point == "holding":
            crash_run.customer(f"{point}.{customer}b")
            crash_run.customer(f"{point}.{customer}c")
    # Its scan puts all of them into the directory.
    crash_run.customer(f"first.{number}")
    _serve(crash_run, [(f"first.{number}", ("first_touch",))])
    newer: list[tuple[str, tuple[str, ...]]] = []
    for point, customer in deaths:
        session, single = f"{point}.{customer}", point in ("sent", "scanning", "holding") or customer % 3 != 1
        if point == "scanning":
            crash_run.customer(session)
        elif point == "sent":
            _under_way(crash_run, session, late=bool(customer % 2))
        elif point == "answered" and single and customer % 2:
            crash_run.sandbox.fault("answer_lost", path=crash_run.chats[session], method="PATCH")
        stages = ("first_touch",) if single else ("first_touch", "escalation")
        talks: list[tuple[str, tuple[str, ...]]] = [(session, stages)]
        if point == "holding":
            talks += [(f"{session}b", ("first_touch",)), (f"{session}c", ("escalation",))]
        crash_run.kill_at(point, *talks)
        if customer % 3 == 2:
            newer.append((session, (NEWER[customer % 2],)))
    _serve(crash_run, newer, budget=0.0, worker=False)
    crash_run.finish()


def _under_way(crash_run: CrashRun, session: str, *, late: bool) -> None:
    """What is sent for the session next is not applied while the sender lives: later, or never."""
    for method in ("PATCH", "PUT"):
        how: dict[str, Any] = {"kind": "applied_late", "seconds": LATE} if late else {"kind": "hang"}
        crash_run.sandbox.fault(path=crash_run.chats[session], method=method, **how)


def _serve(crash_run: CrashRun, talks: list[tuple[str, tuple[str, ...]]], **how: object) -> None:
    """A process that serves, and ends by itself."""
    pid = crash_run.start(*talks, **how)
    crash_run.fork_server.hear(pid, "done")
    assert os.waitstatus_to_exitcode(crash_run.fork_server.reap(pid)) == 0
