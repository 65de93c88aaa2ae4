"""Who has the conversation: what each sign changes, in any order in which signs are told."""

from dataclasses import replace
from functools import reduce
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirt_sitniks.core.capabilities import Capabilities, Refusal, lend
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.fold import fold
from mirt_sitniks.core.folding import Answer, Folded
from mirt_sitniks.core.plan import Read, WriteStatus
from mirt_sitniks.core.record import Observed, ObservedValue, Record, Unconfirmed, stale
from mirt_sitniks.core.signs import assignee_of, talk_after
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.talk import AI, HUMAN, NOBODY, OURS, Owner, Sign, Talk, after, is_taken, owner_of
from mirt_sitniks.errors import Forbidden
from tests.core.records import CONTEXT, bad, folded, record_at
from tests.core.records import HUMAN as OLENA

HOLD = 86_400.0
# A first touch was written at 10, and the AI manager shown.
FIRST_TOUCH = (Sign("wrote", 10.0, AI), Sign("put", 10.0, AI), Sign("assigned", 10.0, AI))
BY_ID = (Sign("wrote", 10.0, AI), Sign("put", 10.0, AI, id="101"), Sign("assigned", 10.0, "101"))
ESCALATION = (Sign("wrote", 20.0, HUMAN), Sign("put", 20.0, HUMAN), Sign("assigned", 20.0, "олена"))


def shown(at: float, who: str | None, *, old: bool = False) -> Sign:
    """Who is responsible, as the CRM shows it."""
    return Sign("assigned", at, who, old=old)


TABLE: dict[str, tuple[tuple[Sign, ...], Owner | None, bool]] = {
    "nothing is known before the first write": ((), None, False),
    "a first touch gives it to the graph": (FIRST_TOUCH, AI, False),
    "a person is assigned": ((*FIRST_TOUCH, shown(30.0, "олена")), HUMAN, True),
    "nobody is assigned any more": ((*FIRST_TOUCH, shown(30.0, NOBODY)), AI, False),
    "a person is assigned where no names are shown": (
        (*BY_ID, shown(30.0, "102")), HUMAN, True,
    ),
    "handed back there": (
        (*BY_ID, shown(30.0, "102"), shown(40.0, "101")), AI, False,
    ),
    "an answer does not say who": ((*FIRST_TOUCH, shown(30.0, None)), AI, False),
    "a new chat came assigned": ((shown(5.0, "олена"), Sign("wrote", 10.0), shown(30.0, "марко")), AI, False),
    "the AI manager was never shown": ((*FIRST_TOUCH[:2], shown(30.0, "олена")), AI, False),
    "assigned before the session's first write": ((shown(3.0, AI), shown(5.0, "олена")), None, False),
    "written before the session's first write": ((Sign("message", 5.0), *FIRST_TOUCH), AI, False),
    "assigned so long ago, perhaps, that it is history": (
        (*FIRST_TOUCH, shown(30.0, "олена", old=True), shown(31.0, "олена")), AI, False,
    ),
    "another is assigned after that": (
        (*FIRST_TOUCH, shown(30.0, "олена", old=True), shown(31.0, "марко")), HUMAN, True,
    ),
    "a manager writes": ((*FIRST_TOUCH, Sign("message", 30.0)), HUMAN, True),
    "a manager's message of before is told late": (
        (*FIRST_TOUCH, shown(30.0, "олена"), shown(40.0, AI), Sign("message", 35.0)), AI, False,
    ),
    "handed back by assigning the AI manager": ((*FIRST_TOUCH, shown(30.0, "олена"), shown(40.0, AI)), AI, False),
    "handed back, and taken again": (
        (*FIRST_TOUCH, shown(30.0, "олена"), shown(40.0, AI), shown(50.0, "олена")), HUMAN, True,
    ),
    "he writes on after he has handed it back": (
        (*FIRST_TOUCH, shown(30.0, "олена"), shown(40.0, AI), Sign("message", 50.0)), HUMAN, True,
    ),
    "released": ((*FIRST_TOUCH, shown(30.0, "олена"), Sign("released", 40.0)), AI, False),
    "told late of what was before a release": (
        (*FIRST_TOUCH, Sign("released", 40.0), Sign("message", 30.0)), AI, False,
    ),
    "an escalation gives it to a person": ((*FIRST_TOUCH, *ESCALATION), HUMAN, False),
    "a person is called whose stage's status never came": ((*FIRST_TOUCH, Sign("put", 20.0, HUMAN)), HUMAN, False),
    "the person of the escalation is no news": ((*FIRST_TOUCH, *ESCALATION, shown(30.0, "олена")), HUMAN, False),
    "another takes it from him": ((*FIRST_TOUCH, *ESCALATION, shown(30.0, "марко")), HUMAN, True),
    "the person of the escalation writes": ((*FIRST_TOUCH, *ESCALATION, Sign("message", 30.0)), HUMAN, True),
    "after an escalation the AI manager is assigned": ((*FIRST_TOUCH, *ESCALATION, shown(30.0, AI)), AI, False),
    "an invoice leaves it where it is": ((*FIRST_TOUCH, shown(20.0, "олена"), Sign("wrote", 30.0)), HUMAN, True),
    "a person's status, where nobody can be assigned": (
        (FIRST_TOUCH[0], Sign("status", 30.0, HUMAN)), HUMAN, True,
    ),
    "the first touch's status gives it back there": (
        (FIRST_TOUCH[0], Sign("status", 30.0, HUMAN), Sign("status", 40.0, AI)), AI, False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_what_signs_say(name: str) -> None:
    """Who has the chat after these signs, and whether he has taken it by himself: then what gives way gives way."""
    signs, owner, taken = TABLE[name]
    talk = talk_after(Talk(), signs)
    assert owner_of(talk, 60.0, HOLD) == owner
    assert is_taken(talk, 60.0, HOLD) is taken


@pytest.mark.parametrize("name", TABLE)
def test_what_is_told_twice_is_one(name: str) -> None:
    """Each sign once more, at once or at the end of all that is no change of who is responsible, changes nothing."""
    signs = TABLE[name][0]
    talk = talk_after(Talk(), signs)
    assert talk_after(Talk(), tuple(two for one in signs for two in (one, one))) == talk
    again = tuple(one for one in signs if one.kind not in ("assigned", "put") and one.at < talk.signed_at)
    assert talk_after(talk, again) == talk


TOLD = st.lists(
    st.builds(
        Sign,
        st.sampled_from(("message", "released", "wrote")),
        st.integers(11, 40).map(float),
        st.sampled_from((None, HUMAN)),
    ).map(lambda one: one if one.kind == "wrote" else replace(one, who=None)),
    min_size=1,
    max_size=4,
    unique_by=lambda one: one.at,
)


@given(TOLD)
def test_late_signs_change_nothing_of_what_came_after(signs: list[Sign]) -> None:
    """Messages, releases and our own writes may be told in any order: who has the chat is the same."""
    begun = talk_after(Talk(), FIRST_TOUCH)
    ends = {(one.owner, one.signed_at, one.why) for one in (reduce(after, some, begun) for some in permutations(signs))}
    assert len(ends) == 1


SIGNS = st.lists(
    st.builds(
        Sign,
        st.sampled_from(("wrote", "put", "assigned", "message", "status", "released")),
        st.integers(0, 1000).map(float),
        st.sampled_from((None, AI, HUMAN, NOBODY, "олена", "марко")),
        st.booleans(),
    ),
    max_size=12,
)


@given(SIGNS)
def test_every_hold_ends(signs: list[Sign]) -> None:
    """Whatever was told: a hold after the last sign nobody has the chat but the graph, or nobody has written to it."""
    talk = talk_after(Talk(), tuple(signs))
    last = max((one.at for one in signs), default=0.0)
    assert owner_of(talk, last + HOLD, HOLD) in (AI, None)
    assert not is_taken(talk, last + HOLD, HOLD)


@given(SIGNS, st.sampled_from(("олена", "марко", NOBODY)), st.lists(st.integers(1001, 5000).map(float), max_size=5))
def test_who_stays_responsible_gives_no_sign_of_life(signs: list[Sign], who: str, times: list[float]) -> None:
    """However often the same assignee is seen again: it is no change, and no hold grows by it."""
    talk = after(talk_after(Talk(), tuple(signs)), shown(1000.5, who))
    for at in times:
        assert after(talk, shown(at, who)) == talk


# ----------------------------------------------------------------------------------------------- what a chat says of it


def looked(record: Record, at: float, known: Capabilities | None = None, **shows: object) -> Folded:
    """What comes of a look at a chat that shows this."""
    chat = Chat("chat", "iryna", **{"status": "Взято в роботу", **shows})  # type: ignore[arg-type]
    answer = Answer(Read("chat"), chat, None, at, OLENA)
    return fold(record, [answer], CONTEXT, now=at, random=0.5, known=known)


RESTS = Capabilities(refused={"assign": Refusal("forbidden", "403", whole=True)})
TOUCHED = replace(record_at(Stage.FIRST_TOUCH, confirmed=1, seen_at=10.0), talk=talk_after(Talk(), FIRST_TOUCH))


def test_a_person_who_is_responsible_before_the_next_write_keeps_the_chat() -> None:
    """Our manager is still to be written, and the look shows another: a person has taken the chat, and has both."""
    returns = record_at(Stage.FIRST_TOUCH, seen_at=500.0)
    returns = replace(returns, talk=TOUCHED.talk, hinted_at=900.0)
    told = looked(returns, 1000.0, manager_name="Марко", manager_id=103)
    assert owner_of(talk_after(returns.talk, told.signs), 1001.0, HOLD) == HUMAN
    assert (told.observed.status.gen, told.observed.manager.gen) == (1, 1)


@pytest.mark.parametrize(("alike_at", "owner"), [(0.0, AI), (100_000.0, HUMAN)])
def test_what_changed_while_nobody_looked_for_a_hold_is_history(alike_at: float, owner: Owner) -> None:
    """A person who became responsible may have done so days ago, and forgotten: as with a status, only what changed
    since the chat was known within the hold binds; that it was told to be as it was is knowing it."""
    hinted = replace(TOUCHED, hinted_at=150_000.0, alike_at=alike_at)
    told = looked(hinted, 150_001.0, manager_name="Марко", manager_id=103)
    assert owner_of(talk_after(hinted.talk, told.signs), 150_002.0, HOLD) == owner


@pytest.mark.parametrize(("alike_at", "held"), [(0.0, False), (100_000.0, True)])
def test_a_status_is_as_old_as_what_was_last_told(alike_at: float, held: bool) -> None:
    """A person's status is the baseline when the chat was not known for a hold before; it was when it was told of."""
    second = record_at(Stage.FIRST_TOUCH, Stage.GIVE_REQUISITES, confirmed=1, seen_at=10.0)
    second = replace(second, talk=TOUCHED.talk, alike_at=alike_at)
    told = looked(second, 150_001.0, status="ОПЛАЧЕНО", manager_name="Павло", manager_id=101)
    assert (told.observed.status.gen == 2) is held


def test_where_nobody_can_be_assigned_a_status_takes_the_chat_and_gives_it_back() -> None:
    """The account refuses to assign: a person's own status takes the conversation, that of the first touch returns it;
    where assigning works, a status is bookkeeping."""
    begun = replace(TOUCHED, hinted_at=100.0, talk=after(Talk(), FIRST_TOUCH[0]))
    assert not looked(begun, 101.0, status="ОПЛАЧЕНО").signs[1:]
    taken = looked(begun, 101.0, RESTS, status="ОПЛАЧЕНО")
    talk = talk_after(begun.talk, taken.signs)
    assert owner_of(talk, 102.0, HOLD) == HUMAN
    back = replace(begun, hinted_at=200.0, observed=taken.observed, talk=talk)
    assert owner_of(talk_after(talk, looked(back, 201.0, RESTS).signs), 202.0, HOLD) == AI


def test_whoever_tries_again_to_assign_knows_whose_the_chat_is_by_its_status() -> None:
    """The refusal is lent to the session that tries: its look, before it has tried, judges as all others do."""
    begun = replace(TOUCHED, hinted_at=100.0, talk=after(Talk(), FIRST_TOUCH[0]))
    lent = lend(RESTS, ["assign"], "s", 100.0, 30.0)[1]
    assert [one.who for one in looked(begun, 101.0, lent, status="ОПЛАЧЕНО").signs if one.kind == "status"] == [HUMAN]


@pytest.mark.parametrize(("chat", "kinds"), [("chat", ["status"]), ("another", [])])
def test_one_chats_refusal_makes_a_status_of_that_chat_a_sign(chat: str, kinds: list[str]) -> None:
    """Before the account is known not to assign, the chat that was refused is judged so, and no other."""
    begun = replace(TOUCHED, hinted_at=100.0, talk=after(Talk(), FIRST_TOUCH[0]))
    known = Capabilities(refused={"assign": Refusal("forbidden", "403", chats=(chat,))})
    told = looked(begun, 101.0, known, status="ОПЛАЧЕНО").signs
    assert [one.kind for one in told if one.kind == "status"] == kinds


@pytest.mark.parametrize("confirmed", [0, 1])
def test_a_lost_write_that_has_landed_takes_the_chat_from_nobody(confirmed: int) -> None:
    """The look that finds the status there finds a person responsible as well: he came after it; so much more when the
    write was repeated and confirmed long before."""
    lost = record_at(Stage.FIRST_TOUCH, confirmed=confirmed, seen_at=10.0, unconfirmed=Unconfirmed(1, 30.0))
    lost = replace(lost, talk=TOUCHED.talk, hinted_at=100.0)
    told = looked(lost, 101.0, manager_name="Марко", manager_id=103)
    assert owner_of(talk_after(lost.talk, told.signs), 102.0, HOLD) == HUMAN


def test_what_an_earlier_session_wrote_is_known_to_who_found_it_there() -> None:
    """The status was as asked for when the chat was read to see whose it is: what is other than that soon after is a
    person's, though this session has written nothing itself."""
    agreed = record_at(Stage.FIRST_TOUCH, seen_at=10.0, status=ObservedValue("Взято в роботу", 1))
    agreed = replace(agreed, talk=TOUCHED.talk, hinted_at=100.0)
    told = looked(agreed, 101.0, RESTS, status="ОПЛАЧЕНО")
    assert owner_of(talk_after(agreed.talk, told.signs), 102.0, HOLD) == HUMAN
    asked = replace(agreed, desired=record_at(Stage.FIRST_TOUCH, Stage.GIVE_REQUISITES).desired)
    assert looked(asked, 101.0, status="ОПЛАЧЕНО").observed.status == ObservedValue("ОПЛАЧЕНО", 2)


@pytest.mark.parametrize(
    ("stage", "at", "held"), [("give_requisites", 700.0, True), ("give_requisites", 90_000.0, False),
                              ("first_touch", 700.0, False), ("escalation", 700.0, False)],
)  # fmt: skip
def test_a_status_that_an_earlier_session_saw_a_person_set_stays(stage: str, at: float, held: bool) -> None:
    """The next session's invoice gives way to it as long as to one of its own chat; what goes over people does not."""
    found = Observed(ObservedValue("ОПЛАЧЕНО", 0), foreign_since=50.0)
    asked = replace(record_at(Stage(stage)), observed=found)
    told = looked(asked, at, status="ОПЛАЧЕНО", manager_name="Павло", manager_id=101)
    assert ("status" not in stale(replace(asked, observed=told.observed))) is held


def test_a_lost_write_that_is_seen_late_takes_nothing_from_who_came_since() -> None:
    """The first touch was lost and is there; when it is seen, a manager has written long after it."""
    seen = replace(TOUCHED.observed, unconfirmed=Unconfirmed(1, 40.0))
    taken = replace(TOUCHED, observed=seen, hinted_at=900.0, talk=after(TOUCHED.talk, Sign("message", 900.0)))
    talk = talk_after(taken.talk, looked(taken, 1000.0, manager_name="Павло", manager_id=101).signs)
    assert (talk.owner, talk.why) == (HUMAN, "message")


def test_a_lost_write_of_the_same_manager_is_not_written_over_who_came_since() -> None:
    """An escalation's write was lost: its manager can have landed, and nobody else; another one was put by a person."""
    lost = record_at(
        Stage.FIRST_TOUCH, Stage.ESCALATION, Stage.GIVE_REQUISITES, confirmed=2, unconfirmed=Unconfirmed(2, 40.0)
    )
    told = looked(lost, 1000.0, status="AI Увага", manager_name="Марко", manager_id=103)
    assert stale(replace(lost, observed=told.observed)) == ("status",)


def test_who_has_a_chat_that_may_not_be_read_keeps_it() -> None:
    """A webhook told that a manager has written: a stage that respects people is held, though no look can say so."""
    asked = record_at(Stage.FIRST_TOUCH, Stage.GIVE_REQUISITES, confirmed=1, seen_at=10.0)
    asked = replace(asked, talk=after(TOUCHED.talk, Sign("message", 900.0)))
    refused = bad(asked, Read("chat"), Forbidden("no right", status=403), at=1000.0)
    assert stale(replace(asked, observed=folded(asked, refused, now=1000.0).observed)) == ()
    free = replace(asked, talk=TOUCHED.talk)
    assert stale(replace(free, observed=folded(free, refused, now=1000.0).observed)) == ("status",)


def test_an_escalation_calls_a_person_whatever_status_the_chat_has() -> None:
    """Somebody set a status and gave the chat back to the AI manager: that he has it is no takeover."""
    asked = record_at(Stage.ESCALATION, Stage.ESCALATION, confirmed=1, seen_at=10.0)
    told = looked(asked, 1000.0, status="ОПЛАЧЕНО", manager_name="Павло", manager_id=101)
    assert "manager" in stale(replace(asked, observed=told.observed))


def test_what_the_host_has_released_is_the_graphs_whoever_is_there() -> None:
    """A person set a status and made himself responsible before the release: the AI manager is still to be written."""
    asked = record_at(Stage.FIRST_TOUCH, seen_at=10.0, looked_at=10.0)
    asked = replace(asked, talk=replace(TOUCHED.talk, met_ai=False))
    shows: dict[str, Any] = {"status": "ОПЛАЧЕНО", "manager_name": "Марко", "manager_id": 103}
    assert "manager" not in stale(replace(asked, observed=looked(asked, 1000.0, **shows).observed))
    freed = replace(asked, talk=after(asked.talk, Sign("released", 900.0)))
    assert "manager" in stale(replace(freed, observed=looked(freed, 1000.0, **shows).observed))


def test_whoever_is_shown_after_an_escalation_is_whom_it_called() -> None:
    """Under whatever name; another after him has taken the chat by himself."""
    called = talk_after(Talk(), (*FIRST_TOUCH, *ESCALATION[:2]))
    assert called.assignee == OURS
    seen = after(called, shown(30.0, "олена к."))
    assert (seen.owner, seen.why) == (HUMAN, "wrote")
    assert after(seen, shown(40.0, "марко")).why == "assigned"


@pytest.mark.parametrize(("name", "owner"), [("Олена", HUMAN), ("Павло", AI), (None, AI)])
def test_the_answer_to_a_status_tells_who_is_responsible(name: str | None, owner: Owner) -> None:
    """A person who was assigned since the last look is seen by the next write, without a call for it."""
    due = replace(record_at(Stage.FIRST_TOUCH, Stage.GIVE_REQUISITES, confirmed=1, seen_at=10.0), talk=TOUCHED.talk)
    shows = Chat("c1", "anna", status="Виставлено рахунок", manager_name=name)
    answer = Answer(WriteStatus("c1", Stage.GIVE_REQUISITES, due.desired.status.gen), shows, None, 20.0)
    folded = fold(due, (answer,), CONTEXT, now=21.0, random=0.5)
    assert owner_of(talk_after(due.talk, folded.signs), 22.0, HOLD) == owner


@pytest.mark.parametrize(
    ("shows", "who"),
    [
        ({"manager_id": 101, "manager_name": "Павло"}, AI),
        ({"manager_id": 102, "manager_name": "Павло"}, "павло"),
        ({"manager_id": 101, "manager_name": "Павло К."}, AI),
        ({"manager_name": "ПАВЛО"}, AI),
        ({"manager_id": 102}, "102"),
        ({"unassigned": True}, NOBODY),
        ({}, None),
    ],
)
def test_a_namesake_of_the_ai_manager_is_a_person(shows: dict[str, Any], who: str | None) -> None:
    """The id is set because two have the name: whoever shows another is somebody else."""
    assert assignee_of(Chat("c", **shows), "Павло", 101) == who
