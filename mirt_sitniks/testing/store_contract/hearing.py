"""What every store promises of what the CRM tells by itself, and of who has a conversation."""

from dataclasses import replace
from typing import Any

from mirt_sitniks.core.capabilities import Heard
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.events import Event, Message
from mirt_sitniks.core.record import Claim, Intent, Observed, ObservedValue, Record, owes_look, pending
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import Recorded, Report, Settled, Settlement
from mirt_sitniks.core.talk import Sign, Talk, owner_of
from mirt_sitniks.core.text import iso
from mirt_sitniks.testing.store_contract.verbs import get
from mirt_sitniks.testing.store_world import OPTIONS, START, World

HOLD = 86_400.0
OLENA = Chat("c1", "olena", "instagram", "u1", status="Нові заявки", owner_id="p1")


def tell(world: World, chat: Chat, *, by: str | None = "u1", name: str = "", ago: float = 0.0, **message: Any) -> None:
    """A message in a chat that was written `ago` seconds ago, by who has this id; None: no message."""
    at = iso(world.clock.now - ago)
    told = None if by is None else Message("m", by, name or None, at=at, **message)
    world.run(world.store.hear(OPTIONS, (Event(chat, told, at),)))


def ask(world: World, session: str, stage: Stage, name: str | None = "olena", calls: int = 2) -> Recorded:
    """Record a stage of a customer of this name."""
    intent = Intent(session, stage, f"{session} {stage}", name)
    return world.run(world.store.record(OPTIONS, intent, calls=calls))


def written(world: World, held: Claim, *signs: Sign, status: str = "Взято в роботу", **seen: Any) -> Settled:
    """Settle a round that wrote status and manager, and told these signs."""
    mine = held.record
    assert mine is not None
    wish, now = mine.desired, world.clock.now
    observed = Observed(
        ObservedValue(status, wish.status.gen), ObservedValue(7, wish.manager.gen), due_at=now, seen_at=now
    )
    observed = replace(observed, **seen)
    base = Settlement(mine.session, mine.token, wish.generation, observed, chat_id=mine.chat_id, signs=signs)
    return world.run(world.store.settle(OPTIONS, Report(base, basis=held.basis)))


def taken_up(world: World) -> Record:
    """A session whose first touch was written: the graph has the conversation, and the AI manager was shown there."""
    tell(world, OLENA)
    held = ask(world, "s", Stage.FIRST_TOUCH).claim
    assert held is not None
    signs = (Sign("wrote", START, "ai"), Sign("put", START, "ai"), Sign("assigned", START, "ai"))
    settled = written(world, held, *signs)
    assert settled.record is not None
    return settled.record


def look(world: World, assignee: str) -> None:
    """The holder of the session's lease has read the chat now, and tells who is responsible."""
    held = world.run(world.store.claim(OPTIONS, limit=1)).claims
    token = held[0].record.token if held and held[0].record else get(world).token
    looked = replace(get(world).observed, looked_at=world.clock.now)
    base = Settlement("s", token, 1, looked, chat_id="c1", signs=(Sign("assigned", world.clock.now, assignee),))
    world.run(world.store.settle(OPTIONS, Report(base)))


class HearingContract:
    """Each test is one claim; `world` as in `StoreContract`, of which this is a part."""

    def test_a_customer_who_has_just_written_needs_no_look(self, world: World) -> None:
        """Rule 6: his own message of the last minute tells the chat: two writes are granted at once, and no look."""
        tell(world, OLENA, ago=50.0)
        answer = ask(world, "s", Stage.FIRST_TOUCH)
        assert (answer.record.chat_id, answer.record.candidate) == ("c1", None)
        assert answer.claim is not None
        assert len(answer.claim.grants) == 2

    def test_an_older_message_is_a_hint(self, world: World) -> None:
        """Rule 6: what was told more than a minute before the stage is read before the first write."""
        tell(world, OLENA, ago=70.0)
        answer = ask(world, "s", Stage.FIRST_TOUCH)
        assert (answer.record.chat_id, answer.record.candidate) == (None, "c1")

    def test_neither_a_managers_message_nor_a_comment_proves_the_name(self, world: World) -> None:
        """A chat in which only somebody else wrote, or the customer for all to read, is read first."""
        for chat, by, comment in (("c1", "p1", False), ("c2", "u2", True)):
            tell(world, Chat(chat, chat, "instagram", f"u{chat[1]}"), by=by, name="Олена", comment=comment, ago=1.0)
            assert ask(world, chat, Stage.FIRST_TOUCH, chat).record.candidate == chat

    def test_an_event_that_comes_late_brings_no_old_name_back(self, world: World) -> None:
        """Its own time decides: who has the name by now keeps it, and nobody is written to by the old one."""
        tell(world, replace(OLENA, nickname="olena.new"), ago=5.0)
        tell(world, OLENA, ago=40.0)
        answer = ask(world, "s", Stage.FIRST_TOUCH)
        assert (answer.record.chat_id, answer.record.candidate) == (None, None)

    def test_a_name_that_changed_takes_no_proof_along(self, world: World) -> None:
        """That the customer wrote under his old name proves nothing of the new one."""
        tell(world, OLENA, ago=30.0)
        tell(world, replace(OLENA, nickname="olena.new"), by=None, ago=20.0)
        assert ask(world, "s", Stage.FIRST_TOUCH, "olena.new").record.candidate == "c1"

    def test_what_an_event_leaves_out_stays_known(self, world: World) -> None:
        """An older account tells the chat's id alone: its name, source and page stay in the directory."""
        tell(world, OLENA, ago=30.0)
        tell(world, Chat("c1", user_id="u1"), ago=1.0)
        assert ask(world, "s", Stage.FIRST_TOUCH).record.chat_id == "c1"

    def test_the_other_page_is_not_the_shops(self, world: World) -> None:
        """`SITNIKS_OWNER` binds what is told as well."""
        tell(world, OLENA)
        mine = replace(OPTIONS, owner="p2")
        answer = world.run(world.store.record(mine, Intent("s", Stage.FIRST_TOUCH, "k", "olena"), calls=2))
        assert (answer.record.chat_id, answer.record.candidate) == (None, None)

    def test_who_waits_for_a_chat_has_it_when_it_is_told(self, world: World) -> None:
        """A session that looks for its chat need not wait for the next scan."""
        held = ask(world, "s", Stage.FIRST_TOUCH).claim
        assert held is not None
        assert held.scan is not None
        tell(world, OLENA)
        assert get(world).chat_id == "c1"

    def test_who_waits_for_a_chat_that_a_newer_session_has_waits_no_more(self, world: World) -> None:
        """It is closed when the chat is told, once and for all: what it owed has passed to the other."""
        ask(world, "s", Stage.FIRST_TOUCH, calls=0)
        world.run(world.store.record(OPTIONS, Intent("t", Stage.ESCALATION, "k", chat_id="c1"), calls=0))
        tell(world, OLENA)
        assert (get(world).closed, get(world, "t").chat_id) == ("superseded", "c1")

    def test_a_search_that_was_given_up_begins_anew(self, world: World) -> None:
        """What an event shows ends what was given up for lack of a chat."""
        held = ask(world, "s", Stage.FIRST_TOUCH).claim
        assert held is not None
        nothing: dict[str, Any] = {"status": ObservedValue(), "manager": ObservedValue(), "given_up": 1}
        observed = Observed(due_at=START, **{name: nothing[name] for name in ("status", "manager", "given_up")})
        assert held.record is not None
        told = Settlement("s", held.record.token, 1, observed)
        world.run(world.store.settle(OPTIONS, Report(told, basis=held.basis)))
        assert not pending(get(world))
        tell(world, OLENA)
        assert (get(world).chat_id, pending(get(world))) == ("c1", True)

    def test_a_hint_is_looked_at_behind_all_other_work(self, world: World) -> None:
        """A chat that is told to be other than known is owed a look, after every stage that is due."""
        taken_up(world)
        world.clock.now += 30.0
        tell(world, replace(OLENA, status="ОПЛАЧЕНО"), by="p1")
        assert (owes_look(get(world)), pending(get(world))) == (True, False)
        ask(world, "other", Stage.ESCALATION, "ivan", calls=0)
        claims = world.run(world.store.claim(OPTIONS, limit=9)).claims
        assert [one.record.session if one.record else "scan" for one in claims] == ["scan", "s"]

    def test_what_is_as_it_was_is_no_hint(self, world: World) -> None:
        """Own writes that come back with the customer's next message cost no call."""
        taken_up(world)
        world.clock.now += 30.0
        tell(world, replace(OLENA, status="Взято в роботу", manager_name="Павло"))
        assert not owes_look(get(world))

    def test_an_event_that_tells_the_id_alone_is_a_hint_once_a_minute(self, world: World) -> None:
        """An older account says that somebody wrote, not how the chat is: who has it by now only a look tells."""
        taken_up(world)
        world.clock.now += 59.0
        tell(world, Chat("c1", user_id="u1"))
        assert not owes_look(get(world))
        world.clock.now += 2.0
        tell(world, Chat("c1", user_id="u1"))
        assert owes_look(get(world))
        held = world.run(world.store.claim(OPTIONS, limit=1)).claims[0]
        written(world, held, looked_at=world.clock.now)
        world.clock.now += 59.0
        tell(world, Chat("c1", user_id="u1"))
        assert not owes_look(get(world))

    def test_what_happened_before_the_last_look_is_no_hint(self, world: World) -> None:
        """A late event says what was before ours: nothing is looked at."""
        taken_up(world)
        world.clock.now += 30.0
        tell(world, OLENA, ago=35.0)
        assert not owes_look(get(world))

    def test_a_managers_message_takes_the_conversation(self, world: World) -> None:
        """It is a person's from the time of the message, while he shows signs of life; told twice it is one."""
        taken_up(world)
        world.clock.now += 100.0
        for _ in range(2):
            tell(world, replace(OLENA, status="Взято в роботу"), by="p1", name="Олена", ago=40.0)
        talk = get(world).talk
        assert (talk.owner, talk.signed_at, talk.why) == ("human", START + 60.0, "message")
        assert owner_of(talk, START + 60.0 + HOLD - 1, HOLD) == "human"
        assert owner_of(talk, START + 60.0 + HOLD, HOLD) == "ai"

    def test_the_ai_manager_who_is_told_again_has_the_conversation_at_once(self, world: World) -> None:
        """The customer's next message shows him: it is answered, and the look that is owed comes after. What is told
        of the time before the person had it gives nothing back."""
        taken_up(world)
        world.clock.now += 60.0
        shown = replace(OLENA, status="Взято в роботу", manager_name="Олена")
        tell(world, shown, by="p1", name="Олена")
        look(world, "олена")
        world.clock.now += 60.0
        tell(world, replace(shown, manager_name="Павло"), ago=70.0)
        assert get(world).talk.owner == "human"
        tell(world, replace(shown, manager_name="Павло"))
        assert (get(world).talk.owner, get(world).talk.why, owes_look(get(world))) == ("ai", "assigned", True)

    def test_who_had_it_by_a_message_and_was_assigned_gives_it_back(self, world: World) -> None:
        """That he was assigned is told together with a message, before the look that shows the AI manager or after."""
        taken_up(world)
        shown = replace(OLENA, status="Взято в роботу", manager_name="Павло")
        for late in (False, True):
            world.clock.now += 3600.0
            tell(world, shown, by="p1", name="Олена", ago=600.0)
            assert get(world).talk.owner == "human"
            if late:
                look(world, "ai")
                assert get(world).talk.owner == "human"
            tell(world, replace(shown, manager_name="Олена"), by="p1", name="Олена", ago=300.0)
            if not late:
                look(world, "ai")
            assert (get(world).talk.owner, get(world).talk.why) == ("ai", "assigned"), late

    def test_nobody_is_taken_over_without_an_own_write(self, world: World) -> None:
        """Before this session has written to a chat the messages of people mean nothing to it."""
        tell(world, OLENA)
        ask(world, "s", Stage.FIRST_TOUCH)
        tell(world, OLENA, by="p1", name="Олена")
        assert get(world).talk == Talk()

    def test_a_sign_that_comes_while_a_drive_is_under_way_stands(self, world: World) -> None:
        """The holder of the lease knows nothing of it, and takes nothing of it back."""
        taken_up(world)
        world.clock.now += 60.0
        held = ask(world, "s", Stage.GIVE_REQUISITES).claim
        assert held is not None
        tell(world, replace(OLENA, status="Взято в роботу"), by="p1", name="Олена")
        written(world, held, Sign("wrote", world.clock.now - 1.0), status="Виставлено рахунок")
        assert get(world).talk.owner == "human"

    def test_the_chat_takes_its_owner_to_the_next_session(self, world: World) -> None:
        """Rule 8: who has the conversation is the chat's affair; the customer's next session finds him there."""
        taken_up(world)
        world.clock.now += 60.0
        tell(world, replace(OLENA, status="Взято в роботу"), by="p1", name="Олена")
        tell(world, replace(OLENA, status="Взято в роботу"))
        answer = ask(world, "later", Stage.FIRST_TOUCH)
        assert (answer.record.chat_id, answer.record.talk.owner) == ("c1", "human")
        assert get(world, "s").closed == "superseded"

    def test_who_was_called_is_not_given_back_by_what_the_chat_showed_before(self, world: World) -> None:
        """The customer wrote between the two writes of an escalation: the AI manager, whom the chat showed then, has it
        back neither here nor in the next session."""
        taken_up(world)
        world.clock.now += 60.0
        held = ask(world, "s", Stage.ESCALATION).claim
        assert held is not None
        world.clock.now += 20.0
        tell(world, replace(OLENA, status="AI Увага", manager_name="Павло"))
        world.clock.now += 20.0
        signs = (Sign("wrote", START + 60.0, "human"), Sign("put", START + 100.0, "human"))
        written(world, held, *signs, status="AI Увага", seen_at=START + 60.0)
        answer = ask(world, "later", Stage.FIRST_TOUCH)
        assert (answer.record.chat_id, answer.record.talk.owner) == ("c1", "human")

    def test_a_status_that_took_the_chat_is_told_to_the_next_session(self, world: World) -> None:
        """Where nobody can be assigned a person takes a chat by a status: the customer's next session, which is the
        first to see it, finds him there; that of a first touch gives it back."""
        taken_up(world)
        no = Heard("assign", "missing", code="forbidden", message="404")
        world.run(world.store.settle(OPTIONS, Report(heard=(no,))))
        for session, status, owner in (("two", "ОПЛАЧЕНО", "human"), ("three", "Взято в роботу", "ai")):
            world.clock.now += 600.0
            tell(world, replace(OLENA, status=status))
            ask(world, session, Stage.FIRST_TOUCH)
            assert get(world, session).talk.owner == owner

    def test_the_chat_takes_a_persons_status_to_the_next_session(self, world: World) -> None:
        """Rule 8: what a person has set while an earlier session had the chat is his for the next one's invoice too."""
        taken_up(world)
        world.clock.now += 60.0
        held = ask(world, "s", Stage.GIVE_REQUISITES).claim
        assert held is not None
        written(world, held, status="ОПЛАЧЕНО", foreign_since=START + 50.0)
        world.clock.now += 600.0
        tell(world, replace(OLENA, status="ОПЛАЧЕНО"))
        answer = ask(world, "later", Stage.GIVE_REQUISITES)
        assert (answer.record.chat_id, answer.record.observed.foreign_since) == ("c1", START + 50.0)

    def test_taking_over_and_giving_back_stand_in_the_ledger(self, world: World) -> None:
        """Each turn of the conversation has a line with its evidence."""
        taken_up(world)
        world.clock.now += 60.0
        tell(world, replace(OLENA, status="Взято в роботу"), by="p1", name="Олена")
        world.run(world.store.release(OPTIONS, "s"))
        lines = [one for one in world.run(world.store.ledger("s")) if one.kind == "owner"]
        assert [(one.before["owner"], one.after["owner"], one.after["why"]) for one in lines] == [
            ("ai", "human", "message"),
            ("human", "ai", "released"),
        ]

    def test_a_release_wants_the_ai_manager_and_leaves_the_status(self, world: World) -> None:
        """The host gives a conversation back: one call for the manager is due, the status is not touched."""
        taken_up(world)
        tell(world, replace(OLENA, status="Взято в роботу"), by="p1", name="Олена", ago=-1.0)
        world.clock.now += 60.0
        answer = world.run(world.store.release(OPTIONS, "s"))
        assert (answer.record.talk.owner, answer.record.desired.manager.value) == ("ai", "ai")
        assert answer.claim is not None
        assert len(answer.claim.grants) == 1

    def test_nothing_is_released_that_nobody_has(self, world: World) -> None:
        """Neither a session that the graph has nor one that is not known owes a call by it; and what a person wrote
        before it does not take the chat when it is told late."""
        mine = taken_up(world)
        world.clock.now += 60.0
        assert world.run(world.store.release(OPTIONS, "nobody")).claim is None
        assert world.run(world.store.get("nobody")) is None
        assert world.run(world.store.release(OPTIONS, "s")).claim is None
        assert get(world).desired == mine.desired
        tell(world, replace(OLENA, status="Взято в роботу"), by="p1", name="Олена", ago=30.0)
        assert get(world).talk.owner == "ai"
