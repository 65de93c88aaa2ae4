"""What a sync reads from a state of any shape."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, messages_to_dict
from pydantic import BaseModel

from mirt_sitniks.core.record import intent_key
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.graph.reading import READ_KEYS, Reading, decide, is_under_way, read, stage_in
from mirt_sitniks.graph.turn import name_of

HUMAN, AI = HumanMessage("Привіт", id="h1"), AIMessage("Вітаю", id="a1")


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([HUMAN, AI, HumanMessage(" Хочу повернути ")], "Хочу повернути"),
        ([HUMAN, AI, HumanMessage("нове", name="classify")], "Привіт"),
        ([HumanMessage([{"type": "text", "text": "ось"}, {"type": "image_url", "image_url": "x"}, "так"])], "ось так"),
        ([HUMAN, HumanMessage([{"type": "image_url", "image_url": "x"}])], "Привіт"),
        (messages_to_dict([HUMAN]), "Привіт"),
        ([("user", "а" * 100_000)], "а" * 4000),
        ([AI], None),
        ([{"type": "human", "content": object()}], None),
    ],
)
def test_the_customers_last_words_are_read(messages: Any, words: str | None) -> None:
    """The text of his last message that has any; nobody else's, not all of very long ones, and no print shows them."""
    reading = read({"messages": messages}, nodes={"classify"})
    assert reading.words == words
    assert words is None or words not in repr(replace(reading, keys=(), chain=""))


class TestSources:
    @pytest.mark.parametrize(
        ("state", "thread_id", "session"),
        [
            ({"session_id": "a", "metadata": {"session_id": "b"}}, "c", "a"),
            ({"session_id": " ", "metadata": {"session_id": "b"}}, "c", "b"),
            ({"session_id": None, "metadata": None}, "c", "c"),
            ({}, 7, "7"),
            ({"session_id": 42}, None, "42"),
            ({"session_id": UUID(int=1)}, None, "00000000-0000-0000-0000-000000000001"),
            ({"session_id": True}, None, None),
            ({"session_id": ["a"]}, None, None),
            ({}, None, None),
        ],
    )
    def test_session_is_the_first_that_is_there(self, state: Any, thread_id: object, session: str | None) -> None:
        """The state's own session, else the metadata's, else the thread; blanks and wrong shapes do not count."""
        assert read(state, thread_id=thread_id).session == session

    @pytest.mark.parametrize(
        ("state", "instagram", "telegram"),
        [
            ({"instagram_username": "i", "metadata": {"instagram_username": "m"}}, "i", None),
            ({"metadata": {"instagram_username": " m "}}, "m", None),
            ({"telegram_username": "t", "user_nickname": "n"}, None, "t"),
            ({"user_nickname": "n", "metadata": {"telegram_username": "m"}}, None, "n"),
            ({"metadata": {"telegram_username": "t", "user_nickname": "n"}}, None, "t"),
            ({"metadata": {"user_nickname": "n"}}, None, "n"),
            ({"metadata": "instagram_username"}, None, None),
        ],
    )
    def test_user_names_are_read_from_state_then_metadata(
        self, state: Any, instagram: str | None, telegram: str | None
    ) -> None:
        """Each channel's name has its own places, looked at in the documented order."""
        reading = read(state)
        assert (reading.instagram_username, reading.telegram_username) == (instagram, telegram)

    def test_dict_dataclass_and_pydantic_read_alike(self) -> None:
        """The same values give the same reading, whatever holds them, also when metadata is a model."""

        class Metadata(BaseModel):
            instagram_username: str = "iryna.example"
            message_id: int = 5

        @dataclass
        class AsDataclass:
            session_id: str = "s"
            metadata: Any = field(default_factory=Metadata)
            escalation_reason: str = "брак"

        class AsModel(BaseModel):
            session_id: str = "s"
            metadata: Metadata = Metadata()
            escalation_reason: str = "брак"

        as_dict = {"session_id": "s", "metadata": Metadata().model_dump(), "escalation_reason": "брак"}
        expected = Reading(session="s", instagram_username="iryna.example", reason="брак", keys=("5",))
        found = [replace(read(state), chain="") for state in (as_dict, AsDataclass(), AsModel())]
        assert found == [expected] * 3

    def test_last_sync_gives_chat_and_first_touch(self) -> None:
        """The chat that is known and a first touch that was recorded come back from the thread's last sync."""
        reading = read({"sitniks": {"chat_id": "c1", "first_touch": True}})
        assert (reading.chat_id, reading.first_touch) == ("c1", True)

    @pytest.mark.parametrize("state", [{"sitniks_chat_id": 77}, {"metadata": {"sitniks_chat_id": "77"}}])
    def test_a_host_that_knows_the_chat_says_so(self, state: Any) -> None:
        """What the host says of the chat goes before what the last sync found."""
        assert read({**state, "sitniks": {"chat_id": "c1"}}).chat_id == "77"

    def test_text_that_no_store_can_hold_is_cleaned(self) -> None:
        """NUL and lone surrogates are cut out: PostgreSQL and SQLite refuse them."""
        assert read({"session_id": "a\x00b\ud800"}).session == "ab"

    def test_enum_is_read_by_its_value(self) -> None:
        """An Enum in state stands for its value."""

        class Channel(Enum):
            ONE = "one"

        assert read({"session_id": Channel.ONE}).session == "one"

    def test_a_holder_that_raises_counts_as_empty(self) -> None:
        """A property of the host that fails is no reason for a sync to fail."""

        class Broken:
            @property
            def session_id(self) -> str:
                raise RuntimeError

        assert read(Broken(), thread_id="t").session == "t"


def key(state: Any, stage: Stage = Stage.GIVE_REQUISITES, **more: Any) -> tuple[str, ...]:
    """The keys of the event that a state stands for."""
    return read(state, **more).intent(chained=stage is not Stage.ESCALATION) or ()


def said(text: str, number: int = 1, **more: Any) -> HumanMessage:
    """A message with an id of the channel's own."""
    return HumanMessage(text, id=f"h{number}", **more)


def made_up(text: str) -> HumanMessage:
    """A message as `add_messages` leaves one that came without an id."""
    return HumanMessage(text, id=str(uuid4()))


def known(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether the two are one event to the store."""
    return bool(set(one) & set(other))


class TestEvent:
    def test_the_hosts_own_word_comes_first_then_the_channels(self) -> None:
        """`event=`, else `metadata.message_id`, alone: messages with ids of their own add nothing."""
        state = {"metadata": {"message_id": "m7"}, "messages": [HUMAN]}
        assert key(state) == ("m7",)
        assert key(state, event=42) == ("42",)
        assert key(state, event=" ") == ("m7",)

    def test_the_customers_last_message_names_the_event(self) -> None:
        """The id of the customer's latest message, not that of a reply behind it; an edit under it is a new event."""
        messages = [HUMAN, AI, said("ще", 2), AI]
        (only,) = key({"messages": messages}, checkpoint_ns="node:1")
        assert only.startswith("h2/")
        assert key({"messages": [said("ще", 2)]}) == (only,)
        assert key({"messages": [*messages[:2], said("ще одну", 2)]}) != (only,)

    def test_a_human_message_of_a_node_is_not_the_customers(self) -> None:
        """An agent that speaks as a human, under its node's name, makes no event; a customer of that name does."""
        messages = [said("Беру", 1), said("нотатка", 2, name="agent")]
        assert key({"messages": messages}, nodes={"agent"}) == key({"messages": messages[:1]})
        assert key({"messages": messages}, nodes={"other"}) != key({"messages": messages[:1]})

    def test_an_example_is_nobodys(self) -> None:
        """A few-shot example in front is marked by LangChain's `example`, or by OpenAI's `example_user`."""
        shots = [said("Приклад", 8, example=True), said("Приклад", 9, name="example_user")]
        assert key({"messages": [HUMAN, *shots]}) == key({"messages": [HUMAN]})

    @pytest.mark.parametrize(
        "message",
        [
            HumanMessage("так"),
            {"role": "user", "content": "так"},
            {"type": "human", "content": "так"},
            messages_to_dict([HumanMessage("так")])[0],
            ("user", "так"),
            ["human", "так"],
            "так",
        ],
    )
    def test_a_message_without_id_is_known_by_the_chain(self, message: object) -> None:
        """All forms of one message give one event; the same words a turn later give another."""
        first = read({"messages": [message]})
        assert first.keys == (first.chain,) == key({"messages": [("human", "так")]})
        later = key({"messages": [message], "sitniks": {"event": first.chain}})
        assert len({first.keys, later, key({"messages": [message, AI, message]}), key({"messages": ["ні"]})}) == 4

    def test_an_id_that_is_new_at_every_run_is_not_alone(self) -> None:
        """Messages that come without ids get another uuid4 when a thread is replayed: the chain knows them."""
        before, again = key({"messages": [made_up("Беру")]}), key({"messages": [made_up("Беру")]})
        assert before[0] != again[0]
        assert known(before, again)
        assert not known(before, key({"messages": [made_up("Беру два")]}))
        assert len(key({"messages": [HumanMessage("Беру", id=str(uuid5(NAMESPACE_URL, "m1")))]})) == 1

    def test_a_window_of_a_history_without_ids_moves_on(self) -> None:
        """The last messages of a history as dicts: another order is another event, the same turn again is not."""
        history = [HumanMessage("Беру"), AIMessage("IBAN"), HumanMessage("Оплатила"), AIMessage("Дякуємо")]
        first = read({"messages": messages_to_dict(history[:1])})
        state = {"messages": messages_to_dict([*history, HumanMessage("Беру")][-3:]), "sitniks": {"event": first.chain}}
        assert key(state) == key(state)
        assert not known(key(state), first.keys)

    def test_what_the_graph_said_between_counts_for_the_first_link_only(self) -> None:
        """Once the thread has a link, answers that come out otherwise in a replay change nothing."""
        links = [{"messages": ["Беру", ("ai", answer)], "sitniks": {"event": "x"}} for answer in ("так", "авжеж")]
        assert key(links[0]) == key(links[1])
        assert key({**links[0], "sitniks": {}}) != key({**links[1], "sitniks": {}})

    def test_the_chain_does_not_count_for_an_escalation(self) -> None:
        """One that is lost is worse than one that comes twice: without an id the running task names it."""
        state = {"messages": [made_up("Де мої гроші?")]}
        assert len(key(state)) == 2
        assert key(state, Stage.ESCALATION) == key(state)[:1]
        assert key({"messages": ["Де?"]}, Stage.ESCALATION, checkpoint_ns="sync:1|x:2") == ("sync:1",)
        assert key({"messages": ["Де?"]}, Stage.ESCALATION) == ()

    def test_content_blocks_are_text_too(self) -> None:
        """A message of blocks is an event of its own, the same every time."""
        first, other = ([HumanMessage([{"type": "text", "text": text}])] for text in ("так", "ні"))
        assert key({"messages": first}) == key({"messages": first}) != key({"messages": other})

    def test_task_is_the_last_resort(self) -> None:
        """Without messages the host's node run names the event; the parts behind it change with every try."""
        assert key({}, checkpoint_ns="sync:1|inner:2") == key({}, checkpoint_ns="sync:1|inner:3") == ("sync:1",)
        assert read({}).intent(chained=False) is None

    def test_a_monstrous_id_is_hashed(self) -> None:
        """An id of any length makes a key of bounded length, and different ids different keys."""
        one, other = name_of("x" * 100_000), name_of("x" * 100_001)
        assert len(one) == 32
        assert one != other


class TestIntentKey:
    def test_first_touch_is_once_a_session(self) -> None:
        """The turn is no part of a first touch's key."""
        assert intent_key("first_touch", "m1", once=True) == intent_key("first_touch", "m2", once=True) == "first_touch"

    def test_other_stages_are_once_a_turn(self) -> None:
        """Stage and turn both tell events apart."""
        keys = {intent_key(stage, turn, once=False) for stage in list(Stage)[1:] for turn in ("m1", "m2")}
        assert keys == {"give_requisites:m1", "give_requisites:m2", "escalation:m1", "escalation:m2"}


# What a first touch leaves behind when nobody's name was known.
NAMELESS = {"stage": "first_touch", "outcome": "skipped", "reason": "no_username"}


class TestFirstTouch:
    @pytest.mark.parametrize(
        ("state", "under_way"),
        [
            ({}, False),
            ({"sitniks": {"first_touch": True}}, True),
            ({"sitniks": {"first_touch": False}}, False),
            ({"sitniks": {"stage": "escalation", "outcome": "synced"}, "messages": [HUMAN, HUMAN]}, True),
            ({"sitniks": {"stage": "give_requisites", "outcome": "queued"}}, True),
            ({"sitniks": {"stage": "escalation", "outcome": "partial"}}, True),
            ({"sitniks": {"stage": "escalation", "outcome": "skipped", "reason": "no_username"}}, False),
            ({"sitniks": {"stage": "escalation", "outcome": "disabled"}}, False),
            ({"sitniks": NAMELESS, "messages": [HUMAN, AI, HUMAN]}, True),
            ({"sitniks": NAMELESS, "messages": [HUMAN, AI, HUMAN], "instagram_username": "iryna"}, False),
            ({"sitniks": NAMELESS, "messages": [HUMAN, AI, HUMAN], "sitniks_chat_id": "c1"}, False),
            ({"sitniks": NAMELESS, "step_number": 9, "metadata": {"telegram_username": "iryna"}}, False),
            ({"sitniks": {"first_touch": True}, "messages": [HUMAN], "step_number": 1}, True),
            ({"messages": [HUMAN]}, False),
            ({"messages": [SystemMessage("x"), HUMAN]}, False),
            ({"messages": [HUMAN, AI]}, False),
            ({"messages": [HUMAN, AI, HUMAN]}, True),
            (
                {"messages": [("user", "a"), {"role": "assistant", "content": "b"}, {"type": "human", "content": "c"}]},
                True,
            ),
            ({"messages": [AI]}, False),
            ({"messages": [AI, HUMAN]}, False),
            ({"messages": [AI, HUMAN], "step_number": 1}, False),
            ({"messages": [AI, HUMAN, AI]}, False),
            ({"messages": [AI, HUMAN, AI, HUMAN]}, True),
            ({"messages": [said("Приклад", 8, example=True), AI, HUMAN]}, False),
            ({"messages": [{"role": "user", "name": "example_user", "content": "Приклад"}, AI, HUMAN]}, False),
            ({"messages": messages_to_dict([HUMAN, AI, HUMAN])}, True),
            ({"messages": [AI], "step_number": 3}, True),
            ({"messages": [HUMAN, HUMAN], "step_number": 9}, False),
            ({"messages": [HUMAN, AI, HUMAN], "step_number": 1}, False),
            ({"messages": [HUMAN, AI, HUMAN, AI, HUMAN], "step_number": 2}, True),
            ({"messages": [], "step_number": 3}, True),
            ({"step_number": 1}, False),
            ({"step_number": 2}, False),
            ({"step_number": 3}, True),
            ({"step_number": "3"}, False),
            ({"step_number": float("nan")}, False),
            ({"messages": "nonsense", "sitniks": "nonsense", "step_number": None}, False),
        ],
    )
    def test_is_past_when_the_conversation_is_under_way(self, state: Any, under_way: bool) -> None:
        """A recorded stage tells, or a first touch for which there was no name; else the customer's messages, else the
        steps: a greeting, or an example, is not the customer's, nor is what stands before the host's first step."""
        assert is_under_way(state) is under_way
        assert decide(state, Stage.FIRST_TOUCH) is (None if under_way else Stage.FIRST_TOUCH)
        assert decide(state, Stage.ESCALATION) is Stage.ESCALATION


class TestDecide:
    @pytest.mark.parametrize("asked", ["give_requisits", " Give-Requisites ", "GIVE REQUISITES", Stage.GIVE_REQUISITES])
    def test_spelling_is_forgiven(self, asked: str) -> None:
        """Letter case, dashes, spaces and the original's slip all mean the stage."""
        assert decide({}, asked) is Stage.GIVE_REQUISITES

    @pytest.mark.parametrize("asked", [None, "", "  "])
    def test_nothing_asked_goes_past(self, asked: object) -> None:
        """None and blank text are no stage, and no mistake."""
        assert decide({}, asked) is None

    @pytest.mark.parametrize("asked", ["refund", 7, [], {"stage": "escalation"}])
    def test_nonsense_is_told_apart_from_nothing(self, asked: object) -> None:
        """An unknown stage is to be reported as such."""
        assert decide({}, asked) == "unknown_stage"

    @pytest.mark.parametrize(
        ("state", "asked"),
        [
            ({"stage": "escalation", "metadata": {"stage": "first_touch"}}, "escalation"),
            ({"stage": "", "metadata": {"stage": "first_touch"}}, "first_touch"),
            ({"metadata": {"stage": "first_touch"}}, "first_touch"),
            ({"stage": None, "metadata": []}, None),
        ],
    )
    def test_stage_of_the_state(self, state: Any, asked: object) -> None:
        """The state's own stage, else the metadata's."""
        assert stage_in(state) == asked


_NAMES = [*READ_KEYS, "message_id", "chat_id", "first_touch", "type", "role", "content", "id", "human", "ai"]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_NAMES) | st.text(), inner, max_size=6),
    max_leaves=25,
)


@given(state=st.dictionaries(st.sampled_from(READ_KEYS), _JSON) | _JSON, thread_id=_JSON, checkpoint_ns=_JSON)
@example(
    state={"session_id": 10**5000, "messages": [{"type": "human", "content": {1: 2, "a": 3}}]},
    thread_id=1,
    checkpoint_ns=2,
)
@example(state={"messages": [["user", []], [], {"type": {}}, None]}, thread_id=None, checkpoint_ns=None)
def test_reading_never_raises(state: Any, thread_id: Any, checkpoint_ns: Any) -> None:
    """Any JSON is read into clean text or nothing; the decision is a stage, the word for nonsense, or None; the input
    stays as it was."""
    before = pickle.dumps(state)
    reading = read(state, thread_id=thread_id, checkpoint_ns=checkpoint_ns)
    decision = decide(state, stage_in(state))
    for text in (
        reading.session,
        reading.instagram_username,
        reading.telegram_username,
        reading.chat_id,
        *reading.keys,
    ):
        assert text is None or (text and "\x00" not in text and text.encode())
    assert decision in (None, "unknown_stage", *Stage)
    assert isinstance(reading.first_touch, bool)
    assert pickle.dumps(state) == before


class Hostile:
    """An object that raises whatever it is asked."""

    def __bool__(self) -> bool:
        raise RuntimeError("bool")

    def __str__(self) -> str:
        raise RuntimeError("str")


@pytest.mark.parametrize(
    "message", [{"type": Hostile()}, {"type": "human", "content": [Hostile()]}, {"role": Hostile(), "content": 1}]
)
def test_a_hostile_value_is_no_value(message: Any) -> None:
    """Objects inside messages may raise when they are compared or printed: nothing of it reaches the dialogue."""
    state = {"messages": [message], "session_id": "s", "step_number": Hostile()}
    assert read(state).session == "s"
    assert is_under_way(state) is False


def test_a_mapping_that_is_no_dict_is_read_like_one() -> None:
    """Hosts may keep metadata in a mapping of their own."""

    class Own(Mapping[str, str]):
        def __getitem__(self, key: str) -> str:
            return {"instagram_username": "iryna.example"}[key]

        def __iter__(self) -> Any:
            return iter(())

        def __len__(self) -> int:
            return 0

    assert read({"metadata": Own()}).instagram_username == "iryna.example"
