"""The list of managers: how long it is kept, and what becomes of one that may not be read or has two pages."""

from mirt_sitniks.core.managers import Assignee, Manager, NoManager, WantedManagers
from mirt_sitniks.core.stages import Role
from mirt_sitniks.crm.calls import Page
from mirt_sitniks.engine.managers import ManagerList

STAFF = (Manager(1, " павло "), Manager(2, "Олена"), Manager(3, "Марко"))


def test_row15_the_list_is_kept_ten_minutes_and_a_missing_name_one() -> None:
    """A renamed manager is found again soon, and one list serves all sessions."""
    now = [1000.0]
    listing = ManagerList(WantedManagers("Павло"), lambda: now[0])

    def read(*managers: Manager) -> None:
        listing.learn(listing.call(), Page(managers, len(managers), len(managers)))

    assert listing.pick(Role.AI) is None
    read(Manager(2, "Олена"))
    assert isinstance(listing.pick(Role.AI), NoManager)
    now[0] += 61.0
    assert listing.pick(Role.AI) is None
    read(*STAFF)
    now[0] += 599.0
    assert listing.pick(Role.AI) == Assignee(1, " павло ")
    now[0] += 2.0
    assert listing.pick(Role.AI) is None


def test_row15_a_list_of_two_pages_counts_once_both_are_in() -> None:
    """The AI may stand on the second page; an answer that comes twice is taken once."""
    listing = ManagerList(WantedManagers("Павло"), lambda: 1000.0)
    first = listing.call()
    listing.learn(first, Page((Manager(2, "Олена"),) * 50, 51, 50))
    assert listing.pick(Role.AI) is None
    assert listing.call().skip == 50
    listing.learn(first, Page((Manager(2, "Олена"),) * 50, 51, 50))
    listing.learn(listing.call(), Page((Manager(1, "Павло"),), 51, 1))
    assert listing.pick(Role.AI) == Assignee(1, "Павло")
