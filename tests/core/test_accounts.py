"""Whoever renames, swaps or shares a name: nobody's chat but the customer's own is written to."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.account import Account


def played(seed: int) -> Account:
    """A random account at its end."""
    account = Account(seed)
    account.live()
    account.world.check()
    account.world.check_tries()
    return account


def judged(seed: int) -> None:
    """No write to a chat that is not the customer's, and every customer whose chat the CRM shows ends right."""
    account = played(seed)
    asked, bad = account.judge()
    account.world.finish()
    assert not account.wrong, account.wrong
    assert not bad, f"{len(bad)} of {asked}: {bad}"


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**6))
def test_row34_row35_no_chat_but_the_customers_own_is_written(seed: int) -> None:
    """Renames, swaps, merges, two pages, look-alikes, pages that move while they are read."""
    judged(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1050))
@pytest.mark.virtual
def test_row34_row35_fifty_accounts(seed: int) -> None:
    """The same, for accounts that are always the same."""
    judged(seed)
