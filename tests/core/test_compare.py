"""What Sitniks shows beside what is known of a chat, and whose change a difference is."""

from dataclasses import replace
from typing import Any

import pytest

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.compare import Found, InSync, OutOfSync, Unknown, compare
from mirt_sitniks.core.record import Record
from mirt_sitniks.core.stages import Stage
from tests.core.records import AI, CONTEXT, HUMAN, LISTED, NAMES, record_at

TOUCHED = NAMES[Stage.FIRST_TOUCH]


def touched(**observed: Any) -> Record:
    """A session whose first touch was confirmed, on a chat that was new before."""
    return record_at(Stage.FIRST_TOUCH, confirmed=1, **{"before": "Нові заявки", **observed})


def chat(status: str | None = TOUCHED, manager: int | None = AI.id, name: str | None = None) -> Chat:
    """How Sitniks shows it."""
    return Chat("chat", "iryna", status=status, manager_id=manager, manager_name=name)


@pytest.mark.parametrize(
    ("shown", "found"),
    [
        (chat(), InSync()),
        (chat(manager=None, name="Павло"), InSync()),
        (None, Unknown("not_listed")),
        (chat(None), Unknown("not_shown")),
        (chat("ОПЛАЧЕНО"), (OutOfSync("status", "person", TOUCHED, "ОПЛАЧЕНО", TOUCHED),)),
        (chat("Нові заявки"), (OutOfSync("status", "person", TOUCHED, "Нові заявки", TOUCHED),)),
        (chat(manager=HUMAN.id), (OutOfSync("manager", "person", AI.id, HUMAN.id, AI.id),)),
        (
            chat("ОПЛАЧЕНО", HUMAN.id),
            (
                OutOfSync("status", "person", TOUCHED, "ОПЛАЧЕНО", TOUCHED),
                OutOfSync("manager", "person", AI.id, HUMAN.id, AI.id),
            ),
        ),
    ],
)
def test_a_confirmed_chat_is_in_sync_or_says_what_differs(shown: Chat | None, found: Found) -> None:
    """Field by field; a name that no list explains is no difference."""
    assert compare(touched(), shown, CONTEXT) == found


def test_what_we_wrote_before_and_shows_again_is_a_write_of_ours_that_was_lost() -> None:
    """The status of the session's earlier stage is nobody's but ours; and nobody responsible is no person's doing."""
    later = record_at(Stage.FIRST_TOUCH, Stage.GIVE_REQUISITES, confirmed=2)
    invoiced = NAMES[Stage.GIVE_REQUISITES]
    assert compare(later, chat(), CONTEXT) == (OutOfSync("status", "ours", invoiced, TOUCHED, invoiced),)
    nobody = Chat("chat", status=TOUCHED, unassigned=True)
    assert compare(touched(), nobody, CONTEXT) == (OutOfSync("manager", "ours", AI.id, None, AI.id),)
    other = chat(manager=None, name="Олена")
    assert compare(touched(), other, CONTEXT, LISTED) == InSync()


def test_whose_a_change_is_does_not_age() -> None:
    """A person's change that nobody has looked at for months is a person's; with no respect for people it is none."""
    old = touched(seen_at=1.0)
    (found,) = compare(old, chat("ОПЛАЧЕНО"), CONTEXT)  # type: ignore[misc]
    assert found.whose == "person"
    (found,) = compare(old, chat("ОПЛАЧЕНО"), replace(CONTEXT, hold=0))  # type: ignore[misc]
    assert found.whose == "ours"


def test_what_a_person_holds_is_in_sync_until_it_changes_again() -> None:
    """What is known counts, not what was asked for; the graph's own status in its place is a person's hand as well."""
    held = touched()
    held = replace(held, observed=replace(held.observed, status=replace(held.observed.status, value="ОПЛАЧЕНО")))
    assert compare(held, chat("ОПЛАЧЕНО"), CONTEXT) == InSync()
    assert compare(held, chat(), CONTEXT) == (OutOfSync("status", "person", "ОПЛАЧЕНО", TOUCHED, TOUCHED),)


def test_what_is_still_to_be_written_says_nothing() -> None:
    """Neither what is on its way nor what was given up is a difference."""
    assert compare(record_at(Stage.FIRST_TOUCH), chat("Нові заявки"), CONTEXT) == Unknown("on_its_way")
    lost = record_at(Stage.FIRST_TOUCH, given_up=1)
    assert compare(lost, chat("Нові заявки"), CONTEXT) == Unknown("given_up")
    assert compare(record_at(Stage.FIRST_TOUCH, chat_id=None), None, CONTEXT) == Unknown("no_chat")
