"""`doctor --chat ID`: whether one chat may be tried, and what the trial says, in words."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

from mirt_sitniks.cli.doctor_crm import Caller
from mirt_sitniks.cli.doctor_findings import Finding
from mirt_sitniks.cli.trial import MOST, Meddled, Trial
from mirt_sitniks.cli.trial_facts import lessons
from mirt_sitniks.core.managers import Assignee, Manager, WantedManagers, pick
from mirt_sitniks.core.record import Record, pending
from mirt_sitniks.core.stages import Role
from mirt_sitniks.core.store import Report, Store
from mirt_sitniks.core.survey import OverviewAsked, SessionsAsked
from mirt_sitniks.errors import SitniksError, StoreError
from mirt_sitniks.settings import SitniksSettings

ABOUT = (
    f"up to {MOST} calls on this chat, within half a minute: its status and manager change for a moment and are put "
    "back; no note and no message is written."
)
OPEN = "give the key this right in Sitniks"
NAMES = {"status": "status", "assign": "manager"}
WORDS = {
    "ok": "works",
    "refused": "refused: this key may not do it",
    "missing": "refused: this account has no such call",
    "ignored": "answered 200, and nothing changes",
    "untried": "not tried: what the chat shows could not be told apart or put back",
    "unknown": "not known: no answer that tells",
    "unknown_status": "refused: the account has no such status",
    "manager_not_found": "refused: the account has no such manager",
    "chat_refused": "refused: the chat is closed",
}
CURES = {
    "refused": OPEN,
    "missing": "nothing helps but the vendor; what needs it is `partial`",
    "ignored": "ask the vendor to enable it; what needs it is `partial`",
    "unknown_status": "correct SITNIKS_STATUS_*",
    "manager_not_found": "correct SITNIKS_AI_MANAGER_ID or SITNIKS_HUMAN_MANAGER_ID",
    "chat_refused": "name an open chat",
}
SHOWN = {
    "after": "its answer shows the chat after it",
    "before": "its answer shows the chat as it was before",
    "nothing": "its answer shows nothing of the chat",
    "unknown": "what its answer shows is not known",
}
DATES = {
    "created": "startDate and endDate filter on the chat's creation",
    "last_message": "startDate and endDate filter on the last message",
    "none": "startDate and endDate are not heeded",
    "other": "startDate and endDate filter on something else than creation or last message",
    "unknown": "what startDate and endDate filter on is not told by these chats: name one older than its last message",
}
HEEDED = {True: ", as asked", False: ", not as asked", None: ""}
COUNTS = {
    "total": "; `count` is the total",
    "page": "; `count` is that of the page",
    "wrong": "; `count` is wrong",
    "none": "; no `count`",
    "unknown": "",
}


class Watch:
    """What the store has to do with a chat; without a store, nothing."""

    def __init__(self, settings: SitniksSettings, store: Store | None, chat_id: str) -> None:
        self._settings, self._store, self._chat = settings, store, chat_id
        self._begun: dict[str, tuple[int, int]] = {}

    async def is_busy(self) -> bool:
        """Whether a session of this chat is worked on or has something left to do; from here on what is new counts."""
        if self._store is None:
            return False
        records = await self._records(self._store)
        now = (await self._store.overview(OverviewAsked(self._settings.account, counted=False))).now
        self._begun = {one.session: _generations(one) for one in records}
        return any(pending(one) or one.lease_until > now for one in records)

    async def mine(self, ids: Callable[[Role], int | None]) -> dict[str, Any]:
        """What stages that came since want of the chat, by kind of write; nothing when the store is away."""
        if self._store is None:
            return {}
        try:
            records = await self._records(self._store)
        except StoreError:
            return {}
        wanted: dict[str, Any] = {}
        for one in records:
            status, manager = self._begun.get(one.session, (0, 0))
            if one.desired.status.gen > status and (
                name := self._settings.statuses.get(one.desired.status.value or "")
            ):
                wanted["status"] = name
            if one.desired.manager.gen > manager and one.role and (person := one.desired.manager.who or ids(one.role)):
                wanted["assign"] = person
        return wanted

    async def _records(self, store: Store) -> list[Record]:
        asked = SessionsAsked(self._settings.account, who=self._chat)
        return [one for one in await store.sessions(asked) if self._chat in (one.chat_id, one.candidate)]


def _generations(record: Record) -> tuple[int, int]:
    return record.desired.status.gen, record.desired.manager.gen


class ChatTrial:
    """One trial. `facts` is what it told of the account; `not_put_back` names what is not as it was."""

    def __init__(
        self,
        settings: SitniksSettings,
        store: Store | None,
        chat_id: str,
        managers: Sequence[Manager] | None,
        say: Callable[[str], None],
    ) -> None:
        self.settings, self.chat_id, self.managers, self._say = settings, chat_id.strip(), managers, say
        self.facts: dict[str, Any] | None = None
        self._watch = Watch(settings, store, self.chat_id)
        self._trial: Trial | None = None

    async def findings(self, call: Caller) -> AsyncIterator[Finding]:
        """Try, and say what came of it."""
        if await self._watch.is_busy():
            text = "not tried: a stage of this chat is under way or waits in the store"
            yield Finding("Chat", False, text, "try again when it is done, or name another chat")
            return
        self._say(ABOUT)
        people = [one for one in (self._person(Role.AI), self._person(Role.HUMAN)) if one]
        self._trial = trial = Trial(
            call,
            self.chat_id,
            tuple(self.settings.statuses.values()),
            people,
            self.managers,
            2 * self.settings.timeout,
            lambda: self._watch.mine(self._person),
            self._say,
        )
        try:
            await trial.look()
            self._say(f"It shows {', '.join(map(self._named, trial.was.values()))}.")
            await trial.run()
        except SitniksError as error:
            yield Finding("Chat", False, f"not tried, it cannot be read: {error.message}")
            return
        finally:
            self.facts = trial.facts()
        await call.tell(Report(heard=lessons(trial.writes)))
        for finding in _said(trial, self.facts):
            yield finding

    @property
    def statuses(self) -> set[str]:
        """Those that its chats showed."""
        trial = self._trial
        chats = [chat for page in trial.listings for chat in page.chats] if trial else []
        shown = {str(one.after) for one in trial.writes if one.after and one.kind == "status"} if trial else set()
        return shown | {chat.status for chat in chats if chat.status}

    @property
    def not_put_back(self) -> str | None:
        """What it was and what it is now, of all that could not be put back."""
        left = self._trial.left if self._trial else {}
        told = [f"{NAMES[kind]} was {self._named(was)}, is {self._named(now)}" for kind, (was, now) in left.items()]
        return f"NOT PUT BACK, set it in Sitniks: {'; '.join(told)}" if told else None

    def _named(self, value: object) -> str:
        known = {one.id: one.name for one in self.managers or ()}
        if value is None:
            return "nobody that can be told"
        return f"{known.get(value, 'manager')} ({value})" if isinstance(value, int) else f"“{value}”"

    def _person(self, role: Role) -> int | None:
        settings = self.settings
        wanted = WantedManagers(settings.ai_manager_name, settings.ai_manager_id, settings.human_manager_ids)
        found = pick(role, wanted, self.managers or ())
        return found.id if isinstance(found, Assignee) else None


def _said(trial: Trial, facts: dict[str, Any]) -> Iterable[Finding]:
    if isinstance(trial.trouble, Meddled):
        text = "somebody else changed it meanwhile: the rest was not tried"
        yield Finding("Chat", False, text, "name a chat that nobody works in")
    elif trial.trouble:
        yield Finding("Chat", False, f"the trial broke off: {trial.trouble.message}")
    else:
        changed = "it is as it was" if trial.is_as_before else "what others have changed meanwhile stays"
        yield Finding("Chat", not trial.left, f"every call tried; {changed}")
    for kind, name in (("status", "Status"), ("assign", "Assigning")):
        word = facts["kinds"][kind]
        text = WORDS.get(word, f"refused ({word})")
        told = f"; {SHOWN[facts['answers_show'][kind]]}" if word == "ok" else ""
        ok = {"ok": True, "untried": None, "unknown": None}.get(word, False)
        yield Finding(name, ok, text + told, CURES.get(word))
    if (word := facts["kinds"].get("list", "unknown")) not in ("ok", "unknown"):
        yield Finding("List", False, WORDS.get(word, f"refused ({word})"), CURES.get(word))
    yield Finding("Dates", None, DATES[facts["dates"]])
    for name, page in facts["pages"].items():
        told = HEEDED[page["obeyed"]] + COUNTS[page["count"]]
        yield Finding("Pages", None, f"{name}: {page['brought']} came where {page['asked']} were asked for{told}")
    yield Finding("Responsible", None, f"chats show who has them by {facts['responsible_shown_by']}")
