"""People in a shop who take chats over and hand them back, webhooks that tell of it, and what must hold for them."""

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mirt_sitniks.core.events import Event, Message
from mirt_sitniks.core.people import FoldContext
from mirt_sitniks.core.record import Record
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import StoreOptions
from mirt_sitniks.core.talk import HUMAN, owner_of
from mirt_sitniks.core.text import iso, unix
from mirt_sitniks.crm.calls import Call, SetStatus, UpdateChat
from tests.model.crm import MANAGERS, WALL

if TYPE_CHECKING:
    from tests.core.world import World

AI = MANAGERS[0]


@dataclass
class People:
    """What people did in the chats, and what the store was told of it.

    `acts` are what can take a chat over, `moved` when a status was set last, `assigned` who was made responsible last,
    and when. `vain` are statuses that were sent to a chat which had them already, when nobody knows whether they came:
    when, to which, and what. `had` are the chats that a person has as far as the store can know: since when, and since
    when it knows; `ended` is when the host said that nobody has one, `back` when that gave it back; `lost` are chats
    that were not there once.
    """

    world: "World"
    context: FoldContext
    options: StoreOptions
    acts: dict[str, list[tuple[float, str]]] = field(default_factory=lambda: defaultdict(list))
    moved: dict[str, float] = field(default_factory=dict)
    assigned: dict[str, tuple[float, int]] = field(default_factory=dict)
    vain: list[tuple[float, str, str]] = field(default_factory=list)
    had: dict[str, tuple[float, float]] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    back: dict[str, float] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    # ------------------------------------------------------------------------------------------------ what they do

    def take(self, chat_id: str, manager_id: int) -> None:
        """Somebody makes himself responsible, or another one; the AI manager: the graph has the chat again."""
        now = self.world.loop.time()
        self.world.crm.person_assigns(chat_id, manager_id)
        self.assigned[chat_id] = (now, manager_id)
        if manager_id == AI.id:
            self.had.pop(chat_id, None)
        else:
            self.acts[chat_id].append((now, "assigned"))

    def write(self, chat_id: str, manager_id: int | None) -> Event:
        """A person writes, or the customer (None); returns what a webhook tells of it."""
        name = None if manager_id is None else next(one.name for one in MANAGERS if one.id == manager_id)
        self.world.crm.write(chat_id, name)
        if manager_id not in (None, AI.id):
            self.acts[chat_id].append((self.world.loop.time(), "message"))
        message = self.world.crm.messages[chat_id][-1]
        return Event(self.world.crm.chats[chat_id], message, message.at)

    def before(self, chat_id: str, nickname: str) -> Event:
        """What a webhook told that is late since before the day: the customer wrote, when he had another name."""
        chat, at = self.world.crm.chats[chat_id], iso(WALL + 700.0)
        old = replace(chat, nickname=nickname, last_message_at=at, status="Нові заявки", manager_id=None)
        return Event(replace(old, manager_name=None, unassigned=True), Message("old", chat.user_id, None, "…", at), at)

    def tell(self, event: Event, delays: list[float]) -> None:
        """An event arrives after each of these delays, at any process; what the store does not take is gone."""
        for delay in delays:
            self.world.loop.call_later(delay, lambda: self.world.random.choice(self.world.team).begin_hearing(event))

    def sets(self, chat_id: str, status: str) -> None:
        """Somebody moves a chat on."""
        self.world.crm.person_sets(chat_id, status=status)
        self.moved[chat_id] = self.world.loop.time()
        self.acts[chat_id].append((self.world.loop.time(), "status"))

    def shows(self, chat_id: str) -> bool:
        """Whether a chat shows what a person has set."""
        ours = {rule.status for rule in self.context.stages.values()}
        return chat_id in self.moved and self.world.crm.chats[chat_id].status not in ours

    # ---------------------------------------------------------------------------------------- what the store hears

    def heard(self, event: Event, before: Record | None) -> None:
        """The store has taken in an event; `before` is the session's record of that moment."""
        chat_id, at = event.chat.id, (unix(event.at) or 0.0) - WALL
        assigned_at, who = self.assigned.get(chat_id, (0.0, AI.id))
        # What an event tells is told in milliseconds.
        back_at = assigned_at + 0.001 if who == AI.id else 0.0
        since = max(self.ended.get(chat_id, 0.0), self._wrote_at(chat_id), back_at)
        if before is None or not before.talk.wrote or at <= max(since, before.talk.signed_at):
            # What is told of before the last sign that counted, or before he gave it back, changes nothing.
            return
        name = event.message.manager_name if event.message else None
        assigned = event.chat.manager_id not in (None, AI.id) and before.talk.assignee == "ai" and before.talk.met_ai
        ours = (when for when, name, value in self.world.crm.writes if name == chat_id and isinstance(value, int))
        stands = who != AI.id and not any(when > assigned_at for when in ours)
        if (name and name != AI.name) or (assigned and stands):
            since, known = self._has(chat_id) or (at, self.world.loop.time())
            self.had[chat_id] = (max(at, since), known)

    def released(self, record: Record, *, anew: bool) -> None:
        """The graph has a chat again by the host's word; when nobody was known to have it (not `anew`), only what is
        told late of before counts no more."""
        if record.chat_id:
            self.had.pop(record.chat_id, None)
            self.ended[record.chat_id] = self.world.loop.time()
            if anew:
                self.back[record.chat_id] = self.world.loop.time()

    def gone(self, chat_id: str) -> None:
        """The CRM has said that a chat is not there: what was known of who has it goes with it."""
        self.had.pop(chat_id, None)
        self.ended[chat_id] = self.world.loop.time()
        self.lost.append(chat_id)

    def _wrote_at(self, chat_id: str) -> float:
        """When the graph has written to a chat for the first time."""
        return next((at for at, name, _ in self.world.crm.writes if name == chat_id), math.inf)

    def vain_of(self, call: Call) -> tuple[tuple[float, str, str], ...]:
        """The status of a call, if the chat has it already."""
        if not isinstance(call, SetStatus):
            return ()
        shown = self.world.crm.chats.get(call.chat_id)
        return ((self.world.loop.time(), call.chat_id, call.status),) if shown and shown.status == call.status else ()

    # --------------------------------------------------------------------------------------------- what must hold

    def overlook(self, call: Call) -> None:
        """Nothing that gives way goes over what a person did, nor over one who has the chat and of whom the store was
        told, unless that was moments ago or before the session knew the chat; who may not read it can't know."""
        if not isinstance(call, SetStatus | UpdateChat):
            return
        holder, now = self.world.store.rows.by_chat(call.chat_id), self.world.loop.time()
        if holder is None or holder.observed.looked_at > holder.observed.seen_at:
            return
        lately, seen = self.context.look_again + self.options.lease, holder.observed
        respects, gives_way = self._giving_way()
        over = None
        if isinstance(call, SetStatus) and call.status in respects and self.shows(call.chat_id):
            moved_at = self.moved[call.chat_id]
            wrote = seen.confirmed and self._wrote_at(call.chat_id) < moved_at
            if (wrote or 0 < seen.looked_at < moved_at) and now - moved_at > lately:
                over = f"what a person did at {moved_at}"
        bound = call.status in gives_way if isinstance(call, SetStatus) else call.manager_id == AI.id
        # Who calls a person after all that he did goes over him, though another stage's status has come since.
        wish, last = holder.desired.manager, max((at for at, _ in self.acts[call.chat_id]), default=0.0)
        had = self._has(call.chat_id) if bound and not (wish.value == "human" and wish.asked_at > last) else None
        if had and now - had[1] > lately:
            over = f"a person who has the chat since {had}"
        if over:
            self.world.broken.append(f"{holder.session}: {call} at {now} goes over {over}")

    def _has(self, chat_id: str) -> tuple[float, float] | None:
        had, turning = self.had.get(chat_id), self._turning()
        if had is None or self.world.loop.time() - had[0] > self.context.hold:
            return None
        # What was there already stands, whether the write of it has come or not.
        writes = (*self.world.crm.writes, *self.vain)
        turned = any(at >= had[0] and name == chat_id and value in turning for at, name, value in writes)
        return None if turned else had

    def _giving_way(self) -> tuple[set[str], set[str]]:
        """The statuses that are not written over a person's, and those that are not over who has the chat."""
        respects = {rule.status for rule in self.context.stages.values() if rule.respects_people}
        return respects, respects | {self.context.status_of(Stage.FIRST_TOUCH)}

    def _turning(self) -> set[str]:
        """The statuses that say whose a chat is: one that was on its way when a person came counts from then on."""
        return {rule.status for rule in self.context.stages.values() if rule.assign}

    def touched(self, chat_id: str, asked_at: float) -> bool:
        """Whether anybody may have had a chat since then, by all that could be known; by a status where that counts."""
        lines, of_chat = self.world.lines("owner"), self._of_chat()
        kinds = {"assigned", "message"} | {one.after["why"] for one in lines if of_chat(one.session) == chat_id}
        # Who takes a chat from whom the graph has called has no line of his own.
        holder = self.world.store.rows.by_chat(chat_id)
        kinds |= {holder.talk.why} if holder else set()
        back = self.back.get(chat_id, 0.0)
        if any(
            one.after["owner"] == HUMAN and one.at - WALL > back and of_chat(one.session) == chat_id for one in lines
        ):
            # It can be of before that, and have been seen since.
            back = math.inf
        return any((back > asked_at or at > back) and kind in kinds for at, kind in self.acts[chat_id])

    def _of_chat(self) -> Callable[[str], str]:
        names = {one.nickname: one.id for one in self.world.crm.chats.values() if one.id != "chat-other"}
        records = self.world.store.rows.records
        return lambda session: names[records[session].instagram or records[session].telegram]

    def check_owners(self) -> None:
        """Each line that says a person has a chat is of something that he did, and nothing of ours was taken for it."""
        of_chat = self._of_chat()
        # Who was told of again, after the chat had been gone, took it again.
        left = {chat_id: list(acts) * (1 + self.lost.count(chat_id)) for chat_id, acts in self.acts.items()}
        for line in self.world.lines("owner"):
            why = line.after["why"]
            if line.after["owner"] != HUMAN or why == "wrote":
                continue
            acts = left.get(of_chat(line.session), [])
            act = next((one for one in acts if one[1] == why and one[0] <= line.at - WALL), None)
            assert act, f"{line.session}: {line} was nobody"
            acts.remove(act)

    def check_holds(self) -> None:
        """No hold is for ever."""
        for record in self.world.store.rows.records.values():
            talk, end = record.talk, self.world.loop.time() + self.context.hold
            assert owner_of(talk, end, self.context.hold) != HUMAN, f"{record.session}: held for ever, {talk}"


@dataclass
class Evening:
    """After the day all chats are taken over and handed back in all ways, and each does what it should."""

    world: "World"
    asked: int = 0

    def run(self) -> None:
        """All of it."""
        world, people = self.world, self.world.people
        mine = [one for one in world.store.rows.records.values() if one.chat_id and one.talk.wrote and not one.closed]
        chats = {one.session: one.chat_id or "" for one in mine}
        statuses = {name: rule.status for name, rule in people.context.stages.items()}
        for one in mine:
            # What somebody set today protects the status alone.
            world.crm.person_sets(one.chat_id or "", status=statuses[one.desired.status.value or ""])
        # Where nobody could be assigned, that of a first touch gives a chat back.
        self.each(chats, lambda chat_id: people.tell(people.write(chat_id, None), [0.1]), 60.0)
        self.each(chats, lambda chat_id: people.take(chat_id, 102))
        self.each(chats, lambda chat_id: people.tell(people.write(chat_id, 102), [0.1]), 200.0)
        self.stays(chats, Stage.GIVE_REQUISITES, 102)
        self.each(chats, lambda chat_id: people.take(chat_id, AI.id))
        self.each(chats, lambda chat_id: people.tell(people.write(chat_id, None), [0.1, 60.0]), 200.0)
        self.shows(chats, "paid", statuses["paid"])
        self.each(chats, lambda chat_id: people.tell(people.write(chat_id, 103), [0.1]), 200.0)
        self.stays(chats, Stage.GIVE_REQUISITES, AI.id)
        for session in chats:
            world.loop.run(world.team[0].release(session))
        world.loop.run_for(200.0)
        self.shows(chats, Stage.GIVE_REQUISITES, statuses[Stage.GIVE_REQUISITES])
        # Where one write undoes the other and no answer says so, that is learned by a second try.
        self.say(chats, Stage.ESCALATION, 2000.0 if world.crm.whole else 200.0)
        for chat_id in chats.values():
            chat = world.crm.chats[chat_id]
            assert chat.status == statuses[Stage.ESCALATION], f"{chat_id}: the escalation does not show"
            assert chat.manager_id not in (None, AI.id), f"{chat_id}: nobody was called"

    def each(self, chats: dict[str, str], do: Any, seconds: float = 1.0) -> None:
        """Something happens in all chats, and time passes."""
        for chat_id in chats.values():
            do(chat_id)
        self.world.loop.run_for(seconds)

    def say(self, chats: dict[str, str], stage: str, seconds: float = 200.0) -> None:
        """All sessions come to a stage, and time passes."""
        for session in chats:
            self.asked += 1
            record = self.world.store.rows.records[session]
            self.world.ask(session, stage, f"{stage}:evening {self.asked}", record)
        # What was refused is tried again once in ten minutes.
        refused = any(key.known.refused for key in self.world.store.rows.keys.values())
        self.world.loop.run_for(max(seconds, 700.0 * refused))

    def stays(self, chats: dict[str, str], stage: str, manager_id: int) -> None:
        """A person has the chats: the stage is not shown."""
        before = {chat_id: self.world.crm.chats[chat_id].status for chat_id in chats.values()}
        self.say(chats, stage)
        for session, chat_id in chats.items():
            chat, talk = self.world.crm.chats[chat_id], self.world.store.rows.records[session].talk
            assert owner_of(talk, self.world.loop.time(), self.world.people.context.hold) == HUMAN, f"{session}: {talk}"
            assert (chat.status, chat.manager_id) == (before[chat_id], manager_id), f"{session}: over a person, {talk}"

    def shows(self, chats: dict[str, str], stage: str, status: str) -> None:
        """The graph has the chats again: the stage is shown."""
        for session in chats:
            talk = self.world.store.rows.records[session].talk
            assert owner_of(talk, self.world.loop.time(), self.world.people.context.hold) != HUMAN, f"{session}: {talk}"
        self.say(chats, stage)
        for session, chat_id in chats.items():
            chat, talk = self.world.crm.chats[chat_id], self.world.store.rows.records[session].talk
            assert (chat.status, chat.manager_id) == (status, AI.id), (
                f"{session}: {stage} does not show, {chat}, {talk}"
            )
