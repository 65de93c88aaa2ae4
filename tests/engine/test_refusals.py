"""Whose affair a refusal is: told by what the CRM says of other calls, and by nothing older than the refusal."""

import asyncio
from typing import Any

import pytest

from mirt_sitniks.core.plan import WriteManager, WriteStatus
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.crm.calls import GetChat, ListManagers, SetStatus, UpdateChat
from mirt_sitniks.engine.refusals import ASK, Refusals
from mirt_sitniks.errors import CrmError, Forbidden, PlanRequired, Refused, Unauthorized, Unavailable

SET, PUT = SetStatus("chat", "AI Увага"), UpdateChat("chat", 102)
STATUS, MANAGER = WriteStatus("chat", Stage.ESCALATION, 1), WriteManager("chat", 1)
NO = PlanRequired("no", status=403)


class Ear(Refusals):
    """One with a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__(lambda: self.now)


@pytest.mark.parametrize("error", [Refused("422"), Unavailable("503")])
def test_what_is_no_refusal_is_itself(error: CrmError) -> None:
    """Nothing has to be known of the key for it."""
    assert Ear().explain(PUT, error, 1000.0) is error


def test_a_refused_list_of_chats_is_the_keys() -> None:
    """It explains itself, and each refusal of a call that went out before it or with it."""
    ear = Ear()
    assert ear.explain(ASK, NO, 1000.0) is NO
    ear.heard(ASK, NO, 1000.0)
    assert ear.explain(SET, NO, 1000.0) is NO
    assert ear.open


@pytest.mark.parametrize("call", [GetChat("chat"), SET, PUT, ListManagers()])
@pytest.mark.parametrize("error", [NO, Unauthorized("no", status=401)])
def test_a_refusal_beside_a_call_that_is_let_in_is_that_kinds(call: Any, error: CrmError) -> None:
    """Whatever was let in; the message names what the key may not do, and ends with the cure."""
    ear = Ear()
    assert ear.explain(call, error, 1000.0) is None
    ear.heard(ASK, None, 1000.0)
    found = ear.explain(call, error, 1000.0)
    assert isinstance(found, Forbidden)
    assert (found.code, found.status) == ("forbidden", error.status)
    assert "may not" in found.message
    assert found.message.endswith("SNITKIX_API_KEY.")


def test_what_was_let_in_before_says_nothing() -> None:
    """The plan may have ended in between."""
    ear = Ear()
    ear.heard(SET, None, 1000.0)
    assert ear.explain(SET, NO, 1000.1) is None


def test_of_two_words_on_calls_that_went_out_together_the_no_counts() -> None:
    """A list of chats that is refused is the key's affair, whatever else comes through."""
    ear = Ear()
    ear.heard(ASK, NO, 1000.0)
    ear.heard(SET, None, 1000.0)
    assert ear.open
    ear.heard(SET, None, 1000.1)
    assert not ear.open


def test_a_kind_is_remembered_for_a_minute_and_no_other() -> None:
    """So many sessions ask once; another kind, and a later minute, are asked about again."""
    ear = Ear()
    ear.heard(ASK, None, 1000.0)
    ear.explain(PUT, NO, 1000.0)
    ear.now = 1059.0
    assert isinstance(ear.explain(UpdateChat("other", 7), NO, 1059.0), Forbidden)
    assert ear.explain(SET, NO, 1059.0) is None
    ear.now = 1061.0
    assert ear.explain(PUT, NO, 1061.0) is None


def test_a_refused_key_forgets_what_was_thought_of_kinds_and_steps() -> None:
    """Once it is let in again, each is tried again: the key may have been all that was wrong."""
    ear = Ear()
    ear.heard(SET, None, 1000.0)
    ear.explain(PUT, NO, 1000.0)
    ear.keep(STATUS, SET, NO, 1000.5)
    ear.heard(ASK, NO, 1001.0)
    ear.heard(ASK, None, 1002.0)
    assert ear.meaning(STATUS) is None
    assert ear.explain(PUT, NO, 1002.5) is None


def test_a_step_is_told_once_what_its_refusal_meant() -> None:
    """It is tried again when it is due again."""
    ear = Ear()
    ear.keep(MANAGER, PUT, NO, 1000.0)
    ear.heard(SET, None, 1000.0)
    call, error = ear.meaning(MANAGER) or (None, None)
    assert (call, type(error)) == (PUT, Forbidden)
    assert ear.meaning(MANAGER) is None
    assert not ear.open


def test_the_key_is_asked_for_when_a_rounds_own_answers_did_not_explain_it() -> None:
    """Not while the calls beside it are under way; and not for ever, for another process may have taken the step."""
    ear = Ear()
    ear.keep(STATUS, SET, NO, 1000.0)
    assert not ear.open
    assert ear.meaning(STATUS) is None
    assert ear.waiting
    assert ear.open
    ear.now = 1061.0
    assert not ear.open


def test_an_asking_that_fails_is_what_the_step_has_met() -> None:
    """The key is as unknown as before: the step comes again later, and nobody asks at once."""
    ear, trouble = Ear(), Unavailable("503", status=503)
    ear.heard(ASK, NO, 999.0)
    ear.keep(STATUS, SET, NO, 1000.0)
    ear.meaning(STATUS)
    ear.heard(ASK, trouble, 1001.0)
    assert not ear.open
    assert ear.meaning(STATUS) == (SET, trouble)


@pytest.mark.parametrize(
    ("said", "code"),
    [(None, "forbidden"), (Unauthorized("no", status=401), "plan_required"), (Unavailable("503"), "unavailable")],
)
def test_a_call_of_a_hosts_own_is_explained_by_asking(said: CrmError | None, code: str) -> None:
    """One call more, which may be let in, be refused, or tell nothing; many at once make one."""
    ear, sent = Ear(), []

    async def send(call: Any) -> None:
        sent.append(call)
        await asyncio.sleep(0)
        ear.heard(call, said, 1001.0)
        if said:
            raise said

    async def many() -> list[CrmError]:
        return await asyncio.gather(*(ear.explained(PUT, NO, 1000.0, send) for _ in range(3)))

    assert {one.code for one in asyncio.run(many())} == {code}
    assert len(sent) == (3 if code == "unavailable" else 1)
