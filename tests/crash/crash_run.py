"""Processes that are killed at named points while they work for real customers, and the account of what came of it."""

import asyncio
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from mirt_sitniks.core.record import Record, pending
from mirt_sitniks.core.stages import BUILT_IN, Role
from mirt_sitniks.core.store import Store
from mirt_sitniks.errors import StoreError
from mirt_sitniks.sandbox import Sandbox
from mirt_sitniks.testing.judge import missed
from tests.crash.child import store_of
from tests.crash.midway import Midway
from tests.crash.waiting import wait_until

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
PEOPLE = {Role.AI: (101,), Role.HUMAN: (102, 103)}
TIMEOUT = 0.5
LEASE = 3 * TIMEOUT
# After the sender's death, before its lease ends.
LATE = 0.8
# Plenty: these tests are about crashes.
RATE = (400, 5.0)


class ForkServer:
    """Children of one fork server, by pid; `close()` ends all of them."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.fork_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
        )
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._heard = threading.Condition()
        self._said: dict[int, list[dict[str, Any]]] = {}
        self._living: set[int] = set()
        self._thread = threading.Thread(target=self._listen, name="fork-server", daemon=True)
        self._thread.start()

    def fork(self, job: dict[str, Any]) -> int:
        """Start a child; its pid."""
        self._order({"fork": job})
        pid = int(self._answers.get(timeout=30)["forked"])
        self._living.add(pid)
        return pid

    def said(self, pid: int) -> list[dict[str, Any]]:
        """All lines of a child."""
        with self._heard:
            return list(self._said.get(pid, ()))

    def hear(self, pid: int, word: str, seconds: float = 120.0) -> Any:
        """Wait until the child has said `word`, and return what it said of it."""

        def heard() -> bool:
            lines = self._said.get(pid, ())
            broke = next((line["broke"] for line in lines if "broke" in line), None)
            assert broke is None, f"the child broke:\n{broke}"
            return any(word in line for line in lines)

        with self._heard:
            if not self._heard.wait_for(heard, seconds):
                raise TimeoutError(f"no {word!r} from {pid} within {seconds} s; it said {self._said.get(pid)}")
            return next(line[word] for line in self._said[pid] if word in line)

    def kill(self, pid: int) -> None:
        """SIGKILL, and proof that it was what ended the child."""
        os.kill(pid, signal.SIGKILL)
        status = self.reap(pid)
        assert os.WIFSIGNALED(status), f"the child had ended by itself: {status}, {self.said(pid)}"
        assert os.WTERMSIG(status) == signal.SIGKILL

    def reap(self, pid: int) -> int:
        """Wait for a child's end; its wait status."""
        self._living.discard(pid)
        self._order({"reap": pid})
        return int(self._answers.get(timeout=30)["status"])

    def end(self) -> None:
        """End all children that are left: those of a test that failed would work on in the next one's store."""
        for pid in list(self._living):
            os.kill(pid, signal.SIGKILL)
            self.reap(pid)

    def close(self) -> None:
        """End the server, which ends the children that are left."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(10)
        self._thread.join(10)
        self._process.stdout.close()

    def _order(self, order: dict[str, Any]) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            said = json.loads(line)
            if "forked" in said or "reaped" in said:
                self._answers.put(said)
                continue
            with self._heard:
                self._said.setdefault(said["pid"], []).append(said)
                self._heard.notify_all()


@dataclass
class Account:
    """What a crash run came to; `kills` and `hits` by point."""

    store: str = ""
    kills: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    sessions: int = 0
    stages: int = 0
    missed: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def shown(self) -> dict[str, Any]:
        """The account as plain data."""
        return {
            "store": self.store,
            "kills": self.kills.total(),
            "kills that hit unconverged work": self.hits.total(),
            "by point": dict(self.hits),
            "sessions": self.sessions,
            "stages recorded": self.stages,
            "stages lost": len(self.lost),
            "end states that were not the newest": len(self.wrong),
            "seconds": round(self.seconds, 1),
        }


@dataclass
class CrashRun:
    """A sandbox, a store that `where` leads to, and children to kill. `midway` holds Postgres inside settle."""

    where: dict[str, str]
    sandbox: Sandbox
    fork_server: ForkServer
    runner: asyncio.Runner
    midway: Midway | None = None

    def __post_init__(self) -> None:
        self.store: Store = store_of(self.where)
        self.account = Account("SQLite" if "path" in self.where else "Postgres, through the Supabase store")
        self.chats: dict[str, str] = {}
        self._pids: set[int] = set()

    def customer(self, session: str, **how: Any) -> str:
        """A customer writes."""
        self.chats[session] = self.sandbox.add_chat(session, **how)
        return self.chats[session]

    def start(self, *talks: tuple[str, tuple[str, ...]], **how: Any) -> int:
        """A child that serves `talks`: a session and its stages each."""
        job = {
            "url": self.sandbox.url,
            "key": self.sandbox.key,
            "store": self.where,
            "timeout": TIMEOUT,
            "rate": RATE,
            "budget": 5.0,
            "worker": True,
            "sweep": 60.0,
            "work": False,
            "stop": None,
            "warm": None,
            "makes": [],
            "talks": [
                {"session": session, "stages": [(stage, f"{stage}:{session}", 0.0) for stage in stages]}
                for session, stages in talks
            ],
            **how,
        }
        pid = self.fork_server.fork(job)
        self._pids.add(pid)
        return pid

    def stop_at(self, point: str, *talks: tuple[str, tuple[str, ...]], **how: Any) -> int:
        """A child that has been stopped exactly at `point`."""
        # It goes on working when the first try fails, so that it comes to its point on a slow machine too; and soon,
        # for one of the dead may have promised to look for work next.
        pid = self.start(*talks, stop=point, work=True, sweep=1.0, **how)
        self.fork_server.hear(pid, "at")
        return pid

    def kill_at(self, point: str, *talks: tuple[str, tuple[str, ...]], **how: Any) -> list[str]:
        """SIGKILL a child at `point`, and count it if it left work behind; returns the sessions it had in hand."""
        if point == "settling" and self.midway:
            pid = self.stop_at("answered", *talks, **how)
            with self.midway.hold():
                os.kill(pid, signal.SIGCONT)
                self.midway.reached()
                self._killed(pid, point, talks)
                assert self.midway.holds(), "the kill came too late: the transaction was over"
        else:
            pid = self.stop_at(point, *talks, **how)
            self._killed(pid, point, talks)
        return [session for session, _ in talks]

    def _killed(self, pid: int, point: str, talks: tuple[tuple[str, tuple[str, ...]], ...]) -> None:
        self.fork_server.kill(pid)
        self.account.kills[point] += 1
        # A process that serves a customer also takes up what the dead have left.
        taken = [one for line in self.fork_server.said(pid) for one in line.get("holds", ())]
        in_hand = [session for session, _ in talks] + taken
        if self.midway.unfinished(in_hand) if self.midway else any(self.unfinished(one) for one in in_hand):
            self.account.hits[point] += 1
        else:
            self.account.missed.append(f"{point}: {in_hand}")

    def get(self, session: str) -> Record | None:
        """The session's record as it is now."""
        return self.runner.run(self.store.get(session))

    def unfinished(self, session: str) -> bool:
        """Whether the store has something left to be done for the session."""
        record = self.get(session)
        return record is not None and pending(record)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a verb of the store."""
        return self.runner.run(work)

    def settled(self, seconds: float = 180.0, every: float = 0.05) -> None:
        """Wait until nothing is left to be done; each look is a transaction."""
        wait_until(self._is_settled, seconds, self.left, every)

    def _is_settled(self) -> bool:
        try:
            return self.run(self.store.counts())["pending"] == 0
        except StoreError:
            # The store is away for a look as for anybody else.
            return False

    def finish(self, seconds: float = 180.0) -> None:
        """A fresh process works until nothing is left, and is stopped like any other."""
        pid = self.start(work=True, sweep=0.1)
        try:
            self.settled(seconds)
        finally:
            self.fork_server.kill(pid)

    def left(self) -> list[Record | None]:
        """The records with something left to be done."""
        return [self.get(session) for session in self.chats if self.unfinished(session)]

    def judge(self) -> Account:
        """Compare what was told as recorded, the ledger and the CRM."""
        told = {(s, key) for pid in self._pids for s, key in self._recorded(pid)}
        account = self.account
        for session, chat_id in self.chats.items():
            entries = [one for one in self.run(self.store.ledger(session)) if one.kind == "intent"]
            account.sessions += 1
            account.stages += len(entries)
            missing = {key for one, key in told if one == session} - {str(one.key) for one in entries}
            account.lost += [f"{session}: {key}" for key in missing]
            chat, stages = self.sandbox.chat(chat_id), [str(one.stage) for one in entries]
            shows = chat["status"], chat.get("assignedManagerId")
            if missed(stages, shows, BUILT_IN, PEOPLE):
                account.wrong.append(f"{session}: {stages}, but shows {shows}")
        return account

    def _recorded(self, pid: int) -> Iterator[tuple[str, str]]:
        for line in self.fork_server.said(pid):
            if "recorded" in line:
                session, key, _ = line["recorded"]
                yield session, key


@contextmanager
def crash_run(
    where: dict[str, str], fork_server: ForkServer, midway: Midway | None = None, sandbox: Sandbox | None = None
) -> Iterator[CrashRun]:
    """A crash run with a sandbox of its own, which does not count calls, or with a running one."""
    with ExitStack() as stack:
        sandbox = sandbox or stack.enter_context(Sandbox(limit=False))
        runner = stack.enter_context(asyncio.Runner())
        one = CrashRun(where, sandbox, fork_server, runner, midway)
        try:
            yield one
        finally:
            fork_server.end()
            runner.run(one.store.aclose())
