"""Who is meant by a manager."""

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.managers import Assignee, Manager, NoManager, WantedManagers, pick
from mirt_sitniks.core.stages import Role

STAFF = (Manager(1, " павло "), Manager(2, "Олена"), Manager(3, "Марко"))


def test_row15_the_ai_is_found_by_name_and_the_human_is_not_the_ai() -> None:
    """Letter case and spaces do not matter; the list may begin with the AI."""
    assert pick(Role.AI, WantedManagers("Павло"), STAFF) == Assignee(1, " павло ")
    assert pick(Role.HUMAN, WantedManagers("Павло"), STAFF) == Assignee(2, "Олена")


def test_row15_ids_go_before_names() -> None:
    """An id needs no list; the name comes with it once the list is there."""
    assert pick(Role.AI, WantedManagers("?", ai_id=9), None) == Assignee(9)
    assert pick(Role.HUMAN, WantedManagers("?", human_ids=(3,)), STAFF) == Assignee(3, "Марко")
    assert pick(Role.AI, WantedManagers("Павло"), None) is None


def test_row15_with_the_ai_unknown_nobody_is_assigned() -> None:
    """The first of the list could be the AI itself; the message names setting and ids."""
    nobody = pick(Role.HUMAN, WantedManagers("Петро"), STAFF)
    assert isinstance(nobody, NoManager)
    assert "SITNIKS_AI_MANAGER_ID" in nobody.message
    assert "1, 2, 3" in nobody.message
    assert pick(Role.HUMAN, WantedManagers("Петро", ai_id=1), STAFF) == Assignee(2, "Олена")


def test_row15_two_of_one_name_are_nobody() -> None:
    """Both ids are in the message."""
    nobody = pick(Role.AI, WantedManagers("Павло"), (*STAFF, Manager(7, "ПАВЛО")))
    assert isinstance(nobody, NoManager)
    assert "1, 7" in nobody.message


def test_row15_no_human_manager_is_said() -> None:
    """The AI is never its own live manager."""
    nobody = pick(Role.HUMAN, WantedManagers("Павло"), STAFF[:1])
    assert isinstance(nobody, NoManager)
    assert "SITNIKS_HUMAN_MANAGER_ID" in nobody.message


def test_row15_a_person_is_told_by_id_else_by_name() -> None:
    """None when the chat tells neither."""
    olena = Assignee(2, "Олена")
    assert olena.shown_by(Chat("c", manager_id=2, manager_name="?")) is True
    assert olena.shown_by(Chat("c", manager_id=3, manager_name="Олена")) is False
    assert olena.shown_by(Chat("c", manager_name=" олена ")) is True
    assert olena.shown_by(Chat("c")) is None
    assert olena.shown_by(Chat("c", unassigned=True)) is False


def test_row38_a_name_that_the_list_does_not_have_contradicts_nobody() -> None:
    """It may be another spelling of the one who was assigned; a name that the list has is somebody else's."""
    olena = Assignee(2, "Олена", ("олена", "павло"))
    assert olena.shown_by(Chat("c", manager_name="Олена К.")) is None
    assert olena.shown_by(Chat("c", manager_name="Павло")) is False
    assert olena.shown_by(Chat("c", manager_name="Олена")) is True


def test_row15_a_name_is_the_same_however_it_was_typed() -> None:
    """Any apostrophe, composed or not, letter case, spaces, and what can't be seen: one person."""
    for wanted, shown in [
        ("Мар'яна", "Мар\u2019яна"),
        ("Мар'яна", "Мар\u02bcяна"),
        ("Андрій", "Андрі\u0438\u0306"),
        ("Зоя Й", "зоя\u00a0\u0418\u0306"),
        ("Павло", "\u200bПав\u00adло\ufeff"),
        ("Іра \U0001f33b", "Іра  \U0001f33b\ufe0f"),
    ]:
        assert pick(Role.AI, WantedManagers(wanted), (Manager(2, "Олена"), Manager(9, shown))) == Assignee(9, shown)


def test_row15_an_unknown_ai_takes_no_live_manager_away() -> None:
    """Who is named by id is assigned, whoever the AI is."""
    assert pick(Role.HUMAN, WantedManagers("Петро", human_ids=(3,)), STAFF) == Assignee(3, "Марко")
