"""What every store promises of who spoke: the graph's own words take nothing, a person's in the phone do."""

from dataclasses import replace

import pytest

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.marks import marks_of, words_of
from mirt_sitniks.core.record import Record
from mirt_sitniks.core.repeats import CHATS
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.talk import Sign
from mirt_sitniks.core.voices import DAY, Spoken, Voices
from mirt_sitniks.testing.store_contract.hearing import OLENA, ask, taken_up, tell, written
from mirt_sitniks.testing.store_contract.verbs import get
from mirt_sitniks.testing.store_world import OPTIONS, START, World

REPLY = "Є сукня «Волошка» з льону, 980 грн. На який зріст шукаєте?"
BY_HAND = "Це Олена, зараз сама все вам покажу й підкажу"
AUTOMATIC = "Дякуємо за повідомлення! Ми відповімо протягом години."
TAKEN = replace(OLENA, status="Взято в роботу")


def say(world: World, *texts: str, session: str = "s", ago: float = 0.0) -> tuple[str, ...]:
    """The graph has told its customer this, so many seconds ago; the sessions that are not recorded yet."""
    marks = tuple(marks_of(words_of(text), ago, OPTIONS.account) for text in texts)
    return world.run(world.store.said(OPTIONS, (Spoken(session, marks),)))


def page(
    world: World, text: str, chat: Chat = TAKEN, *, ago: float = 0.0, name: str = "", comment: bool = False
) -> None:
    """The shop's page has written it in a chat."""
    tell(world, chat, by="p1", name=name, ago=ago, text=text, comment=comment)


def chatting(world: World, number: int) -> Chat:
    """A customer whose first touch was written, and to whom the graph has said something."""
    name, session = f"olena{number}", f"s{number}"
    chat = replace(OLENA, id=f"c{number}", user_id=f"u{number}", nickname=name)
    tell(world, chat, by=chat.user_id)
    held = ask(world, session, Stage.FIRST_TOUCH, name).claim
    assert held is not None
    written(world, held, Sign("wrote", world.clock.now, "ai"))
    say(world, REPLY, session=session)
    world.clock.now += 60.0
    return replace(chat, status="Взято в роботу")


def turns(world: World, session: str = "s") -> list[tuple[str, str, str | None]]:
    """Who had the conversation after each turn of it, by what, and where that person wrote."""
    lines = [one.after for one in world.run(world.store.ledger(session)) if one.kind == "owner"]
    return [(one["owner"], one["why"], one.get("by")) for one in lines]


class SpeakingContract:
    """Each test is one claim; `world` as in `StoreContract`, of which this is a part."""

    @pytest.mark.parametrize("name", ["", "Павло", "Олена"])
    def test_the_graphs_own_words_take_nothing(self, world: World, name: str) -> None:
        """Whoever they come under: what came back is what was said, told once or twice."""
        taken_up(world)
        assert say(world, REPLY) == ()
        world.clock.now += 5.0
        before = get(world).talk
        for _ in range(2):
            page(world, REPLY, name=name)
        assert (get(world).talk, turns(world)) == (before, [])

    def test_a_person_in_the_phone_takes_the_conversation(self, world: World) -> None:
        """The CRM names nobody there; the ledger says that it was in the phone."""
        taken_up(world)
        say(world, REPLY)
        world.clock.now += 60.0
        page(world, BY_HAND, ago=10.0)
        talk = get(world).talk
        assert (talk.owner, talk.signed_at, talk.by) == ("human", START + 50.0, "phone")
        page(world, BY_HAND, name="Олена")
        assert turns(world) == [("human", "message", "phone")]
        assert get(world).talk.by == "manager"

    def test_where_the_graph_tells_nothing_the_page_takes_nothing(self, world: World) -> None:
        """Without `said` a text of the page may be the graph's own; a manager's is a person's all the same."""
        taken_up(world)
        world.clock.now += 60.0
        page(world, BY_HAND)
        assert turns(world) == []
        page(world, BY_HAND, name="Олена")
        assert turns(world) == [("human", "message", "manager")]

    def test_a_comment_takes_nothing(self, world: World) -> None:
        """What stands for all to read is no conversation, whoever wrote it."""
        taken_up(world)
        say(world, REPLY)
        world.clock.now += 60.0
        page(world, BY_HAND, comment=True)
        page(world, BY_HAND, comment=True, name="Олена")
        assert turns(world) == []

    def test_what_was_said_in_no_session_is_given_back(self, world: World) -> None:
        """A greeting comes before the first touch is recorded: it makes no record, and is kept once there is one."""
        assert say(world, REPLY) == ("s",)
        assert world.run(world.store.get("s")) is None
        taken_up(world)
        assert say(world, REPLY, ago=3.0) == ()
        assert [one.at for one in get(world).voices.said] == [START - 3.0]

    def test_words_that_are_told_of_late_give_back_what_they_took(self, world: World) -> None:
        """A text came back before the store had heard that it was said: the conversation is the graph's again."""
        taken_up(world)
        say(world, "Вітаю! Що саме вас цікавить сьогодні?")
        world.clock.now += 60.0
        page(world, REPLY, ago=2.0)
        say(world, REPLY, ago=3.0)
        assert turns(world) == [("human", "message", "phone"), ("ai", "own_text", None)]
        assert get(world).voices.heard == ()

    def test_a_person_who_wrote_as_well_keeps_the_conversation(self, world: World) -> None:
        """Given back is only what the graph's own words took, also from a hold that began before."""
        taken_up(world)
        say(world, "Вітаю! Що саме вас цікавить сьогодні?")
        world.clock.now += 60.0
        page(world, BY_HAND, ago=20.0, name="Олена")
        page(world, REPLY, ago=2.0)
        say(world, REPLY, ago=3.0)
        talk = get(world).talk
        assert (talk.owner, talk.signed_at, talk.by) == ("human", START + 40.0, "manager")

    def test_an_auto_reply_takes_nothing_once_it_is_known(self, world: World) -> None:
        """The same text in three chats within a day is nobody's: what it took goes back, and it takes no more."""
        chats = [chatting(world, number) for number in range(CHATS + 1)]
        for chat in chats[:-1]:
            page(world, AUTOMATIC, chat)
        gone = [("human", "message", "phone"), ("ai", "auto_reply", None)]
        assert [turns(world, f"s{number}") for number in range(CHATS)] == [gone, gone, []]
        page(world, AUTOMATIC, chats[-1])
        page(world, BY_HAND, chats[0])
        assert turns(world, f"s{CHATS}") == []
        assert get(world, "s0").talk.owner == "human"

    def test_what_many_write_by_hand_is_no_auto_reply(self, world: World) -> None:
        """Few letters are written by people as well, unless they come right behind the customer's."""
        chats = [chatting(world, number) for number in range(CHATS)]
        for number, chat in enumerate(chats):
            page(world, "Добрий день", chat)
            assert turns(world, f"s{number}") == [("human", "message", "phone")]

    def test_an_auto_reply_is_one_of_the_same_day(self, world: World) -> None:
        """The same words on three days are a person's."""
        for number in range(CHATS):
            page(world, AUTOMATIC, chatting(world, number))
            world.clock.now += 0.6 * DAY
            assert turns(world, f"s{number}") == [("human", "message", "phone")]

    def test_the_next_session_of_a_chat_knows_what_was_said_in_it(self, world: World) -> None:
        """A customer's new thread: what the old one said still comes back."""
        taken_up(world)
        say(world, REPLY)
        world.clock.now += 60.0
        tell(world, TAKEN)
        assert ask(world, "later", Stage.FIRST_TOUCH).record.chat_id == "c1"
        page(world, REPLY)
        assert (turns(world, "later"), get(world, "s").voices) == ([], Voices())

    def test_forgetting_erases_what_was_said(self, world: World) -> None:
        """Neither marks nor the chat in which a text was counted are left of whom was forgotten."""
        chats = [chatting(world, number) for number in range(CHATS)]
        for chat in chats[:-1]:
            page(world, AUTOMATIC, chat)
        world.run(world.store.forget("s0"))
        tell(world, chats[0], by="u0")
        held = ask(world, "s0", Stage.FIRST_TOUCH, "olena0").claim
        assert held is not None
        assert held.record is not None
        assert held.record.voices == Voices()
        page(world, AUTOMATIC, chats[2])
        assert turns(world, "s2") == [("human", "message", "phone")]

    def test_pruning_erases_what_was_said_long_ago(self, world: World) -> None:
        """Records that stay lose their marks when nothing has touched them for as long."""
        taken_up(world)
        say(world, REPLY)
        world.clock.now += 90.0 * DAY
        chatting(world, 2)
        world.run(world.store.prune(80.0 * DAY, records=False))
        left: list[Record] = [get(world), get(world, "s2")]
        assert [one.voices == Voices() for one in left] == [True, False]
