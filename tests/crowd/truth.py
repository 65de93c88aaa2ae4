"""What was true of each chat of a simulated week, and what of it went wrong: counts, judged at the model CRM."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from math import inf

from mirt_sitniks.core.stages import BUILT_IN, Stage

FIRST, ESCALATION = BUILT_IN[Stage.FIRST_TOUCH].status, BUILT_IN[Stage.ESCALATION].status
AI_MANAGER = 101
# Seconds for which a write that was decided on may be on its way, and after which a hint has been looked at.
ON_ITS_WAY, LOOKED = 5.0, 5.0


# How a person takes a chat by writing in it.
WRITES = ("message", "phone")


@dataclass
class Held:
    """Who has a chat, as all would say who see everything.

    `since` is the last sign of a person's who has taken it, None: nobody has; `how` he took it (`assigned`, `message`,
    `phone`, or `escalation`: we gave it to him), `told_at` is when the store was told of what shows it, `ended_at` when
    it was given back, `back_told_at` when that was told. `status_at`: a person has set the status that it shows, then;
    `assigned_at` the same of who is responsible. `wrote`: the graph has written to it. `known_at`: when it was
    read, written or told of last, `blind_at` the same before the last change by a person's hand. `person`: from when to
    when a person was responsible by his own hand, last; `shown`: somebody of ours saw it, so that he can give it back.
    `begun_at`: the last first touch. `blurred`: he wrote after he had given it back, and nobody had looked between: a
    list of messages tells no order.
    """

    since: float | None = None
    took_at: float = 0.0
    how: str = ""
    told_at: float | None = None
    ended_at: float | None = None
    back_told_at: float | None = None
    status_at: float | None = None
    assigned_at: float | None = None
    wrote: bool = False
    known_at: float = 0.0
    blind_at: float = 0.0
    person: tuple[float, float] | None = None
    shown: bool = False
    blurred: bool = False
    begun_at: float = 0.0
    signs: list[tuple[float, str]] = field(default_factory=list)


@dataclass
class Truth:
    """All chats, and what is counted; `broken` are words for what must never be."""

    hold: float
    look_again: float
    on_its_way: float = ON_ITS_WAY
    looked: float = LOOKED
    chats: dict[str, Held] = field(default_factory=lambda: defaultdict(Held))
    counts: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def has(self, chat_id: str, now: float) -> bool:
        """Whether a person has the chat, in whatever way."""
        one = self.chats[chat_id]
        return one.since is not None and now - one.since <= self.hold

    # ------------------------------------------------------------------------------------------------ what people do

    def takes(self, chat_id: str, how: str, now: float) -> None:
        """A person shows a sign of life: he has the chat from now on, if the graph had it before."""
        one = self.chats[chat_id]
        one.signs.append((now, how))
        one.blurred = how in WRITES and one.since is None and one.known_at <= (one.ended_at or -inf)
        if how == "assigned":
            one.assigned_at, one.person, one.shown = now, (now, inf), False
        if not one.wrote or (how == "assigned" and one.how == "escalation" and self.has(chat_id, now)):
            # The person of an escalation is known by no name.
            return
        if not self.has(chat_id, now):
            one.took_at, one.how, one.told_at, one.blind_at = now, how, None, one.known_at
            one.ended_at = one.back_told_at = None
            self.counts[f"taken over: {how}"] += 1
        elif one.how == "escalation" or (one.how == "assigned" and how in WRITES):
            one.took_at, one.how, one.told_at, one.blind_at = now, how, None, one.known_at
        one.since = now

    def gives_back(self, chat_id: str, now: float) -> None:
        """A person assigns the AI manager."""
        one = self.chats[chat_id]
        one.signs.append((now, "back"))
        one.assigned_at = None
        one.person = one.person and (one.person[0], min(now, one.person[1]))
        if self.has(chat_id, now):
            self.counts["handed back"] += 1
        one.since, one.ended_at, one.back_told_at = None, now, None

    def sets(self, chat_id: str, now: float, *, takes: bool = False) -> None:
        """A person sets a status, for his books; where nobody can be assigned it `takes` the chat."""
        if takes:
            self.takes(chat_id, "assigned", now)
        self.chats[chat_id].status_at, self.chats[chat_id].blind_at = now, self.chats[chat_id].known_at
        self.chats[chat_id].signs.append((now, "status"))
        self.counts["statuses by people"] += 1

    def known(self, chat_id: str, at: float) -> None:
        """The chat was read, written or told of: what is changed later is newer than that."""
        one = self.chats[chat_id]
        one.known_at = max(at, one.known_at)
        one.shown |= one.person is not None and one.person[0] <= at < one.person[1]

    def is_history(self, chat_id: str, now: float) -> bool:
        """Whether what a person did may have been so long ago, by all that could be known, that it binds nobody."""
        return now - self.chats[chat_id].blind_at > self.hold

    def told(self, chat_id: str, at: float, now: float, *, by_person: bool) -> None:
        """The store has taken in an event of the time `at`."""
        self.known(chat_id, at)
        one = self.chats[chat_id]
        shows = at >= one.took_at and (by_person or one.how == "assigned")
        if one.since is not None and one.told_at is None and shows:
            one.told_at = now
        if one.ended_at is not None and one.back_told_at is None and at >= one.ended_at:
            one.back_told_at = now

    def read(self, chat_id: str, now: float) -> None:
        """The store has read a chat's messages: who wrote, not who is responsible. What came before a new session's
        first touch, to a chat that was not looked at any more, that has gone over."""
        one = self.chats[chat_id]
        if one.took_at < one.begun_at:
            return
        if one.since is not None and one.told_at is None and one.how in WRITES and not one.blurred:
            one.told_at = now

    # --------------------------------------------------------------------------------------------- what the graph does

    def written(self, chat_id: str, old: str | None, new: str, now: float) -> None:
        """A status of ours is there; `old` was before."""
        one, count = self.chats[chat_id], self.counts
        one.wrote = True
        age = None if one.status_at is None or old == new else now - one.status_at
        one.status_at = None
        one.begun_at = now if new == FIRST else one.begun_at
        taken = self.has(chat_id, now) and one.how != "escalation"
        if new == ESCALATION:
            one.since, one.took_at, one.how, one.told_at = now, now, "escalation", now
            count["statuses by people under an escalation"] += age is not None
        elif new == FIRST and self.has(chat_id, now) and not taken:
            count["first touches over an earlier session's escalation"] += 1
        elif taken and one.how == "assigned":
            self._over(chat_id, f"{new} over who has it", now - one.took_at, now)
        elif taken:
            count["written though a person writes"] += 1
        elif age is not None and new != FIRST and age <= self.hold:
            self._over(chat_id, f"{new} over {old}", age, now)
        elif age is not None:
            count["people's changes that were history"] += 1

    def assigned(self, chat_id: str, new: int, now: float) -> None:
        """Somebody of ours is responsible."""
        one = self.chats[chat_id]
        one.wrote = True
        held = self.has(chat_id, now)
        if new == AI_MANAGER:
            if held and one.how == "assigned" and one.assigned_at is not None:
                self._over(chat_id, "Павло over who has it", now - one.took_at, now)
            if not held or one.how == "escalation" or one.assigned_at is not None:
                one.since, one.ended_at, one.back_told_at = None, None, None
        else:
            one.since, one.took_at, one.how, one.told_at, one.person = now, now, "escalation", now, None
        one.assigned_at = None

    def _over(self, chat_id: str, what: str, age: float, now: float) -> None:
        if self.is_history(chat_id, now):
            self.counts["people's changes that were history"] += 1
        elif age > self.look_again + self.on_its_way:
            self.broken.append(f"{chat_id}: {what}, {age:.0f} s old")
            self.counts["people's changes overwritten, older"] += 1
        else:
            self.counts["people's changes overwritten, just made"] += 1

    def asked(self, chat_id: str, held: bool, now: float) -> None:
        """The graph has asked whether to keep silent, and does so if it is `held`."""
        one, count = self.chats[chat_id], self.counts
        if self.has(chat_id, now):
            known = one.told_at is not None and now - one.told_at > (0.0 if one.how in WRITES else self.looked)
            if held:
                count["kept silent"] += 1
            elif known and one.how == "assigned" and self.is_history(chat_id, now):
                count["answered: taken too long ago"] += 1
            elif known:
                count["answered over a person: told"] += 1
                self.broken.append(f"{chat_id}: answered over {one.how} of {now - one.took_at:.0f} s ago at {now:.0f}")
            else:
                # Of an assignment tells only the next message's event.
                count[f"answered over a person: {one.how}, not told yet"] += 1
        elif held:
            self._held_for_nothing(chat_id, one, now)
        else:
            count["answered"] += 1

    def _held_for_nothing(self, chat_id: str, one: Held, now: float) -> None:
        last = max((at for at, how in one.signs if how != "back"), default=None)
        # An assignment, or a status, has no time but that of the look which found it.
        found = one.told_at if one.how == "assigned" else None
        last = max((at for at in (last, one.since, found) if at is not None), default=None)
        if last is None or now - last > self.hold + self.looked:
            self.counts["held long after the last sign"] += 1
            self.broken.append(f"{chat_id}: still held at {now:.0f}, last sign {last}")
        elif one.person and not one.shown:
            self.counts["silent after a hand-back: nobody saw whom it was from"] += 1
        elif one.back_told_at is not None and now - one.back_told_at > self.looked:
            self.counts["silent after a hand-back: told"] += 1
            self.broken.append(f"{chat_id}: still held at {now:.0f}, handed back at {one.ended_at:.0f}")
        else:
            self.counts["silent after a hand-back: not told yet"] += 1
