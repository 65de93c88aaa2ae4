"""What a sync reads from a state of any shape."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from pydantic import BaseModel

from mirt_sitniks.core.record import intent_key
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.graph.reading import READ_KEYS, Reading, decide, is_under_way, read, stage_in
from mirt_sitniks.graph.turn import turn_of

HUMAN, AI = HumanMessage("Привіт", id="h1"), AIMessage("Вітаю", id="a1")


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
        expected = Reading(session="s", instagram_username="iryna.example", reason="брак", turn="5")
        assert [read(state) for state in (as_dict, AsDataclass(), AsModel())] == [expected] * 3

    def test_last_sync_gives_chat_and_first_touch(self) -> None:
        """The chat that is known and a first touch that was recorded come back from the thread's last sync."""
        reading = read({"sitniks": {"chat_id": "c1", "first_touch": True}})
        assert (reading.chat_id, reading.first_touch) == ("c1", True)

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


class TestTurn:
    def test_message_id_of_the_channel_comes_first(self) -> None:
        """`metadata.message_id` names the turn also when messages have ids."""
        assert read({"metadata": {"message_id": "m7"}, "messages": [HUMAN]}).turn == "m7"

    def test_last_human_message_names_the_turn(self) -> None:
        """The id of the customer's latest message, not that of a reply behind it."""
        messages = [HUMAN, AI, HumanMessage("ще", id="h2"), AI]
        assert read({"messages": messages}, checkpoint_ns="node:1").turn == "h2"

    @pytest.mark.parametrize(
        "message",
        [
            HumanMessage("так"),
            {"role": "user", "content": "так"},
            {"type": "human", "content": "так"},
            ("user", "так"),
            ["human", "так"],
            "так",
        ],
    )
    def test_message_without_id_is_known_by_place_and_text(self, message: object) -> None:
        """All forms of one message give one turn; the same words a turn later give another."""
        once = read({"messages": [message]}).turn
        assert once == read({"messages": [("human", "так")]}).turn
        assert once not in (read({"messages": [message, AI, message]}).turn, read({"messages": [("human", "ні")]}).turn)

    def test_content_blocks_are_text_too(self) -> None:
        """A message of blocks has a turn of its own, the same every time."""
        first, other = ([HumanMessage([{"type": "text", "text": text}])] for text in ("так", "ні"))
        assert read({"messages": first}).turn == read({"messages": first}).turn != read({"messages": other}).turn

    def test_task_is_the_last_resort(self) -> None:
        """Without messages the host's node run names the turn; the parts behind it change with every try."""
        assert (
            read({}, checkpoint_ns="sync:1|inner:2").turn == read({}, checkpoint_ns="sync:1|inner:3").turn == "sync:1"
        )
        assert read({}).turn is None

    def test_a_monstrous_id_is_hashed(self) -> None:
        """An id of any length makes a key of bounded length, and different ids different keys."""
        one, other = turn_of(message_id="x" * 100_000), turn_of(message_id="x" * 100_001)
        assert one is not None
        assert len(one) == 32
        assert one != other


class TestIntentKey:
    def test_first_touch_is_once_a_session(self) -> None:
        """The turn is no part of a first touch's key."""
        assert intent_key(Stage.FIRST_TOUCH, "m1") == intent_key(Stage.FIRST_TOUCH, "m2") == "first_touch"

    def test_other_stages_are_once_a_turn(self) -> None:
        """Stage and turn both tell events apart."""
        keys = {intent_key(stage, turn) for stage in list(Stage)[1:] for turn in ("m1", "m2")}
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
            ({"messages": [AI]}, True),
            ({"messages": [HUMAN, HUMAN], "step_number": 9}, False),
            ({"messages": [HUMAN, AI, HUMAN], "step_number": 1}, True),
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
        """A recorded stage tells, or a first touch for which there was no name; else the messages, else the steps."""
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
    for text in (reading.session, reading.instagram_username, reading.telegram_username, reading.chat_id, reading.turn):
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
