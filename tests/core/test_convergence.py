"""In the end the newest recorded stage stands: whatever is lost, repeated, late, refused, frozen or killed."""

from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mirt_sitniks.core.managers import fold_name
from mirt_sitniks.core.plan import plan
from mirt_sitniks.core.record import pending
from mirt_sitniks.core.stages import Role, Stage
from mirt_sitniks.crm.calls import GetChat, ListManagers, SetStatus, UpdateChat
from tests.core.world import STATUSES, World, intent
from tests.model.crm import ERRORS, MANAGERS, Trouble

# Session -> (channel, user name). Two sessions belong to one customer; one chat shows late; one customer has no chat.
SESSIONS = {
    "anna-1": ("instagram", "anna"),
    "anna-2": ("instagram", "anna"),
    "bohdan": ("telegram", "bohdan"),
    "vira": ("instagram", "vira"),
}
PLACES = st.integers(0, 1)

ALWAYS = ("ok", "lost", "late", "reset", "hang", "500", "502", "refused", "html", "429")
TROUBLES = st.builds(
    Trouble,
    st.sampled_from((*ALWAYS * 4, *ERRORS)),
    st.sampled_from((0.01, 0.05, 1.0, 5.0, 9.0, 15.0, 19.9)),
)


class Convergence(RuleBasedStateMachine):
    """Processes, faults and sessions in any order; at the end each chat shows what its session wanted last."""

    @initialize(seed=st.integers(0, 3))
    def begin(self, seed: int) -> None:
        self.world = World(seed=seed)
        self.crm = self.world.crm
        self.crm.add("chat-a", "anna")
        self.crm.add("chat-b", "bohdan", source="telegram_bot")
        self.crm.add("chat-other", "bohdan")
        self.crm.add("chat-v", "vira", appears_in=90.0)
        self.said: list[tuple[str, Stage, str]] = []

    @rule(session=st.sampled_from(sorted(SESSIONS)), stage=st.sampled_from(Stage), place=PLACES)
    def say(self, session: str, stage: Stage, place: int) -> None:
        """A conversation comes to a stage."""
        key = stage.value if stage is Stage.FIRST_TOUCH else f"{stage}:{len(self.said)}"
        self.said.append((session, stage, key))
        self._sync(len(self.said) - 1, place)

    @precondition(lambda self: self.said)
    @rule(number=st.integers(0, 30), place=PLACES)
    def say_again(self, number: int, place: int) -> None:
        """A node runs again, or is replayed."""
        self._sync(number % len(self.said), place)

    def _sync(self, number: int, place: int) -> None:
        session, stage, key = self.said[number]
        channel, name = SESSIONS[session]
        process = self.world.team[place]
        self.world.loop.call_soon(process.begin, intent(session, stage, key, name=name, channel=channel))
        self.world.loop.run_for(0.0)

    @rule(troubles=st.lists(TROUBLES, min_size=1, max_size=6))
    def trouble(self, troubles: list[Trouble]) -> None:
        """The next calls will not go well."""
        self.crm.trouble.extend(troubles)

    @rule(seconds=st.sampled_from((0.005, 0.02, 0.03, 0.06, 0.2, 1.0, 4.0, 9.0, 12.0, 25.0, 31.0, 70.0, 700.0)))
    def pass_time(self, seconds: float) -> None:
        """Time passes."""
        self.world.loop.run_for(seconds)

    @rule(place=PLACES)
    def kill(self, place: int) -> None:
        """A process dies where it stands."""
        self.world.loop.run(self.world.replace(place))

    @rule(place=PLACES)
    def freeze(self, place: int) -> None:
        """A process stops for a while."""
        self.world.team[place].freeze()

    @rule(place=PLACES)
    def wake(self, place: int) -> None:
        """It goes on, and does not know how long it slept."""
        self.world.team[place].wake()

    @rule(here=st.booleans())
    def staff(self, here: bool) -> None:
        """The AI manager is renamed, or has the old name again."""
        self.crm.managers = MANAGERS if here else MANAGERS[1:]

    @rule(ok=st.sampled_from((True, True, False)))
    def key(self, ok: bool) -> None:
        """The key is refused from now on, or accepted again."""
        self.crm.key_ok = ok

    @rule(kinds=st.sets(st.sampled_from((SetStatus, UpdateChat, GetChat, ListManagers, "chat-a", "chat-b"))))
    def rights(self, kinds: set[type | str]) -> None:
        """From now on the key may not make these calls, nor any for these chats; or it may again."""
        self.crm.refuses = set(kinds)

    @invariant()
    def holds(self) -> None:
        """A chat has one session, a lease one holder, a key its peace."""
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world, crm = self.world, self.crm
        crm.managers = MANAGERS
        world.settle()
        assert not world.pending(), f"stuck: {world.pending()}"
        records = world.store.rows.records
        for record in records.values():
            assert plan(record, world.loop.time() + 1e6) == (), "a call is planned for a record that is done"
            if record.closed or record.observed.given_up >= record.desired.generation:
                continue
            intents = [entry for entry in world.store.rows.entries if entry.kind == "intent"]
            newest = max((one for one in intents if one.session == record.session), key=lambda one: one.id)
            # Order belongs to the chat: what another session of the name still owed it goes before a first touch.
            gives_way = newest.stage == Stage.FIRST_TOUCH
            owed = {
                one.stage for one in intents if gives_way and SESSIONS[one.session][1] == SESSIONS[record.session][1]
            }
            assert record.chat_id
            chat = crm.chats[record.chat_id]
            assert chat.nickname == SESSIONS[record.session][1]
            assert chat.id != "chat-other", "another person's chat"
            wanted = record.desired.status.value
            assert wanted == newest.stage or wanted in owed, f"{record.session}: the newest stage does not stand"
            assert chat.status == STATUSES[Stage(wanted or "")], f"{record.session}: its stage does not stand"
            names = {one.id: one.name for one in MANAGERS}
            shown = fold_name(names.get(chat.manager_id or 0, ""))
            if record.role is Role.AI:
                assert shown == "павло"
            elif record.role is Role.HUMAN:
                assert shown not in ("", "павло")
        assert crm.chats["chat-other"].status == "Нові заявки", "another person's chat was written to"
        assert not any(pending(record) for record in records.values())
        before = len(crm.calls)
        world.loop.run_for(4000.0)
        assert len(crm.calls) == before, "calls for records that are done"
        world.finish()


TestConvergence = Convergence.TestCase
TestConvergence.settings = settings(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


# With each of these conversations an earlier version of the core lost a stage, got stuck or spun.
LESSONS = (97, 252, 264, 276, 346, 421, 517, 613, 648, 738, 806, 870, 937, 1072, 1348, 1437, 1487, 11778)


def bad_day(seed: int) -> None:
    """One bad day that only `seed` decides: the same rules, but troubles and talk come thicker than by even chance."""
    random, day = Random(seed), Convergence()
    day.begin(seed=seed % 4)
    rare = ["429", "401", "404", "400"] if random.random() < 0.2 else []
    kinds = ["ok", "lost", "reset", "late", "reset", "late", "500", "html", "502", *rare]
    sessions = sorted(SESSIONS)[:2] if random.random() < 0.5 else sorted(SESSIONS)
    pauses = (0.005, 0.02, 0.03, 0.06, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 9.0, 12.0, 25.0, 31.0, 70.0)
    for _ in range(random.randrange(5, 45)):
        chance = random.random()
        if chance < 0.35:
            day.say(session=random.choice(sessions), stage=random.choice(list(Stage)), place=random.randrange(2))
        elif chance < 0.38 and day.said:
            day.say_again(number=random.randrange(30), place=random.randrange(2))
        elif chance < 0.55:
            count, afters = random.randrange(1, 5), (0.01, 0.05, 1.0, 5.0, 9.0, 15.0, 19.9)
            day.trouble(troubles=[Trouble(random.choice(kinds), random.choice(afters)) for _ in range(count)])
        elif chance < 0.85:
            day.pass_time(seconds=random.choice(pauses))
        elif chance < 0.90:
            day.kill(place=random.randrange(2))
        elif chance < 0.94:
            day.freeze(place=random.randrange(2))
        elif chance < 0.98:
            day.wake(place=random.randrange(2))
        elif chance < 0.99:
            day.staff(here=random.random() < 0.5)
        else:
            day.key(ok=random.random() < 0.6)
    day.teardown()


@pytest.mark.parametrize("seed", LESSONS)
def test_bad_days_that_taught_something(seed: int) -> None:
    """They end well now."""
    bad_day(seed)


def test_three_hundred_bad_days() -> None:
    """Each ends with every chat at its newest stage."""
    for seed in range(30_000, 30_300):
        bad_day(seed)


@pytest.mark.slow
@pytest.mark.long
def test_two_thousand_bad_days() -> None:
    """The same, for those who have a minute."""
    for seed in range(40_000, 42_000):
        bad_day(seed)
