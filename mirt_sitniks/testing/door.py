"""The local Sitniks of one test: settings and services that lead to it, and what can be said of its chats."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mirt_sitniks import service as doors
from mirt_sitniks.core.chats import normalise_username
from mirt_sitniks.core.managers import Assignee, Manager, WantedManagers, pick
from mirt_sitniks.core.record import pending
from mirt_sitniks.core.result import result_of
from mirt_sitniks.core.stages import Role, Stage
from mirt_sitniks.core.store import Store
from mirt_sitniks.sandbox import Sandbox
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.settings import VARIABLES, SitniksSettings
from mirt_sitniks.testing.chaos import Schedule
from mirt_sitniks.testing.judge import Case, Judgement, People, judge, summed
from mirt_sitniks.testing.pace import PACE
from mirt_sitniks.testing.reader import Reader
from mirt_sitniks.testing.told import Look, told
from mirt_sitniks.testing.watch import Watch, Watched, lapses

# For a machine whose cores are all busy: nothing waits so long without need.
PATIENCE = 30.0
SPEED = 10.0
# In seconds, of a call; and where calls are made to hang.
TIMEOUT, IN_CHAOS = 1.0, 0.5


class SitniksSandbox(Sandbox):
    """A `Sandbox` for one test, with all that it can do, and with what a test needs of the package around it.

    It counts no calls (`limit = True` makes it), and its seconds pass ten times as fast. All services that `settings()`
    or the environment lead here share one SQLite file. The assertions wait until what they say is so, at most
    `seconds`, or until nothing is left that could make it so. They hold up the thread: where tasks of the test's own
    event loop must go on meanwhile, `await asyncio.to_thread(sitniks_sandbox.assert_synced, ...)`.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, timeout: float) -> None:
        super().__init__(limit=False, speed=SPEED)
        self._timeout = timeout
        self.database = folder / "sitniks.sqlite3"
        self._watch = Watch(patch)
        self._reader = Reader(self.settings)
        self._services: list[SitniksChatService] = []
        self._failed: list[str] = []

    def settings(self, **more: Any) -> SitniksSettings:
        """Settings that lead here, with short times; `more` are the host's own, and go first."""
        return SitniksSettings(**{**self._leading(), **more}, _env_file=None)

    def service(self, *, store: Store | None = None, sweep: float = 1.0, **more: Any) -> SitniksChatService:
        """A service with `settings(**more)`, which is closed when the test is over."""
        made = SitniksChatService(self.settings(**more), store=store, sweep=sweep)
        self._services.append(made)
        if store is not None or "database" in more:
            # Nobody else knows its sessions.
            self._reader.others.append(made)
        return made

    def assert_synced(self, session: str, stage: Stage | str, *, seconds: float = PATIENCE) -> None:
        """The session's chat shows the stage's status and whoever that makes responsible, and nothing is left to do."""
        __tracebackhide__ = True
        looks: list[Look] = []

        def ended() -> bool:
            looks.append(self._look(session, str(stage)))
            return looks[-1].right or looks[-1].over

        self.account.changes.wait(ended, seconds)
        if not looks[-1].right:
            self._failed.append(f"{session}: {stage}, asserted")
            raise AssertionError(told(looks[-1], self._reader.ledger(session), self.settings().statuses))

    def assert_untouched(self, chat_id: str, *, seconds: float = PATIENCE) -> None:
        """Nobody but people has changed the chat, and nothing is left to do that could."""
        __tracebackhide__ = True
        self.account.changes.wait(lambda: not self._reader.pending(), seconds)
        written = [f"{one['field']}: {one['before']} -> {one['after']}" for one in self._ours(chat_id)]
        written += [f"note: {note['text']}" for note in self.notes(chat_id) if note["managerName"] == API]
        if written:
            raise AssertionError("\n  ".join([f"chat {chat_id} was written to", *written]))

    def judge(self) -> Judgement:
        """What has come of all that was asked for, once all is done that can be done."""
        self.clear_faults()
        with self.service(sweep=0.2):
            self.account.changes.wait(lambda: not self._unfinished(), PATIENCE)
        judgements = [self._judged(session, seen) for session, seen in self._watch.sessions.items() if seen.asked]
        named = {name for seen in self._watch.sessions.values() for name in seen.names}
        strays = [
            f"chat {chat['id']} of {chat['userNickName']}, nobody's"
            for chat in self.chats()
            if not named & {chat["id"], _name(chat)} and self._ours(chat["id"])
        ]
        return summed([*judgements, Judgement(lost=tuple(self._failed), duplicated=tuple(strays))])

    def close(self) -> None:
        """End what the test has left open."""
        self.clear_faults()
        default = doors._default.get(None)
        for service in (*self._services, *([default] if default else ())):
            service.close()
        self._reader.close()
        self.stop()

    def _leading(self) -> dict[str, Any]:
        """What leads a service here, by setting."""
        return {
            "api_url": self.url,
            "api_key": self.key,
            "store": "sqlite",
            "database": str(self.database),
            "rate_limit": "10/0.25",
            "reply_budget": PATIENCE,
            "timeout": self._timeout,
        }

    def _look(self, session: str, stage: str) -> Look:
        seen = self._watch.sessions.get(session) or Watched()
        settings = seen.settings or self.settings()
        people = self._people(settings)
        if stage not in settings.rules:
            raise ValueError(f"there is no stage {stage!r}; there are: {', '.join(settings.rules)}")
        rule = settings.rules[stage]
        names = tuple(self.managers.get(one, str(one)) for one in people[rule.role]) if rule.role else ()
        # Before the store is asked: what is told by now is there. What another process does is not seen here.
        known, over, under_way = tuple(self._watch.sessions), seen.hopeless, seen.under_way
        look = Look(session, stage, rule.status, names, known=known, last=seen.told, over=bool(known) and over)
        record = self._reader.get(session)
        if record is None:
            return look
        outcome = result_of(record, stage=stage, at=0.0, statuses=settings.statuses)
        chat = self.chat(record.chat_id) if record.chat_id else None
        done = not pending(record)
        right = bool(
            chat
            and done
            and (record.desired.status.value, chat["status"]) == (stage, rule.status)
            and (record.role is None or chat.get("assignedManagerId") in people[record.role])
        )
        return replace(look, record=record, outcome=outcome, chat=chat, right=right, over=done and not under_way)

    def _judged(self, session: str, seen: Watched) -> Judgement:
        settings, record = seen.settings or self.settings(), self._reader.get(session)
        keys = tuple(str(line.key) for line in self._reader.ledger(session) if line.kind in ("intent", "also"))
        case = Case(session, tuple(seen.asked), keys)
        if record and record.chat_id:
            chat = self.chat(record.chat_id)
            clock = self.account.clock
            history = [{**one, "at": clock.date(one["at"]).timestamp()} for one in self.history(record.chat_id)]
            case = replace(case, shows=(chat["status"], chat.get("assignedManagerId")), history=tuple(history))
        return judge(case, settings.rules, self._people(settings))

    def _unfinished(self) -> bool:
        """Whether there is work left that can end: for a chat that is not there it cannot."""
        there = {one for chat in self.chats() for one in (chat["id"], _name(chat))}
        for session, seen in self._watch.sessions.items():
            record = self._reader.get(session)
            if seen.names & there and (record is None or pending(record)):
                return True
        return False

    def _ours(self, chat_id: str) -> list[dict[str, Any]]:
        return [change for change in self.history(chat_id) if change["by"] == "api"]

    def _people(self, settings: SitniksSettings) -> People:
        listed = [Manager(number, name) for number, name in self.managers.items()]
        wanted = WantedManagers(settings.ai_manager_name, settings.ai_manager_id, settings.human_manager_ids)
        ai = pick(Role.AI, wanted, listed)
        ais = {ai.id} if isinstance(ai, Assignee) else set()
        return {Role.AI: ais, Role.HUMAN: set(settings.human_manager_ids) or {*self.managers} - ais}


API = "Open API"


def _name(chat: dict[str, Any]) -> str | None:
    return normalise_username(chat["userNickName"])


@contextmanager
def opened(folder: Path, chaos: Schedule | None = None) -> Iterator[SitniksSandbox]:
    """A running sandbox to which the environment leads; with `chaos` it and the store misbehave."""
    with pytest.MonkeyPatch.context() as patch:
        for place, name, value in PACE:
            patch.setattr(place, name, value)
        # A service that was made before the test leads elsewhere.
        patch.delitem(doors._default, None, raising=False)
        crm = SitniksSandbox(folder, patch, IN_CHAOS if chaos else TIMEOUT)
        crm.start()
        leading = crm._leading()
        for field, names in VARIABLES.items():
            for name in names:
                # An empty variable counts as unset, and hides its twin in `.env`.
                patch.setenv(name, str(leading.get(field, "")))
        if chaos:
            lapses(patch, chaos.store)
            for fault in chaos.faults:
                crm.fault(**fault)
        try:
            yield crm
        finally:
            crm.close()
