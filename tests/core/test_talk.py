"""Who has the conversation, when a message in the phone turns out to be nobody's."""

from functools import reduce
from random import Random
from typing import Any

from mirt_sitniks.core.talk import PHONE, Sign, Talk, after, told, without

WROTE = after(Talk(met_ai=True, assignee="ai"), Sign("wrote", 1.0, "ai"))
KINDS: tuple[Any, ...] = (
    *(("message", None), ("message", PHONE), ("message", PHONE), ("message", PHONE)),
    *(("released", None), ("wrote", "human"), ("wrote", "ai")),
)


def facts(talk: Talk) -> tuple[Any, ...]:
    """Who has it since when, by what."""
    return talk.owner, talk.signed_at, talk.why, talk.by


def test_what_is_given_back_was_never_taken() -> None:
    """Whatever happened before and after, told in any order: without some of the phone's messages it is as if those had
    never been told."""
    random = Random(7)
    for _ in range(500):
        happened = [Sign(kind, float(at), who) for at in range(2, 9) for kind, who in [random.choice(KINDS)]]
        random.shuffle(happened)
        phone = [one for one in happened if one.who == PHONE]
        true = [one for one in phone if random.random() < 0.5]
        heard = reduce(after, happened, WROTE)
        right = reduce(after, (one for one in happened if one.who != PHONE or one in true), WROTE)
        assert facts(without(heard, [one.at for one in true])) == facts(right), happened


def test_where_the_phone_took_nothing_there_is_nothing_to_give_back() -> None:
    """A manager's hold stays, whatever the phone's messages were."""
    talk = after(after(WROTE, Sign("message", 5.0)), Sign("message", 3.0, PHONE))
    assert without(talk, ()) == talk


def test_who_was_assigned_after_his_message_gives_the_chat_back() -> None:
    """It is told when the AI manager is responsible again, or before; no one else can have given it back."""
    talk = after(WROTE, Sign("message", 5.0))
    assert told(talk, Sign("assigned", 6.0, "олена"), 9.0, 100.0).owner == "ai"
    then = told(talk, Sign("assigned", 6.0, "олена"), 4.0, 100.0)
    assert then.owner == "human"
    assert after(then, Sign("assigned", 9.0, "ai")).owner == "ai"


def test_what_was_before_the_message_or_after_the_hold_gives_nothing_back() -> None:
    """Nor does who is responsible as is known, nor that nobody is, nor what we have assigned ourselves."""
    talk = after(WROTE, Sign("message", 5.0))
    for late in (
        *(Sign("assigned", 4.0, "олена"), Sign("assigned", 200.0, "олена")),
        *(Sign("assigned", 6.0, who) for who in ("ai", "nobody", None)),
    ):
        assert told(talk, late, 300.0, 100.0) == talk
