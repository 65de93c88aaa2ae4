"""Random accounts: whose chat was written to, who ended right, and what that cost."""

from collections import Counter
from pathlib import Path

from tests.bench.report import Book
from tests.core.account import Account

ACCOUNTS = 500


def measure(book: Book, folder: Path) -> None:
    """Accounts in which people rename, swap and share names, on a virtual clock over the real core."""
    customers = stages = wrong = astray = 0
    calls: Counter[str] = Counter()
    for seed in range(ACCOUNTS):
        account = Account(seed)
        account.live()
        asked, bad = account.judge()
        customers, astray, wrong = customers + asked, astray + len(bad), wrong + len(account.wrong)
        stages += sum(1 for entry in account.world.store.rows.entries if entry.kind == "intent")
        calls += account.crm.by_kind()
        account.world.finish()
    book.keep("accounts", "calls", dict(calls))
    book.goal("writes to a chat that is not the customer's", 0, wrong)
    book.goal("customers whose chat does not end right", 0, astray)
    rows = [
        ("customers", customers, f"in {ACCOUNTS} accounts, {stages} stages"),
        ("ended right", customers - astray, f"{wrong} writes to another one's chat"),
        ("calls a stage", f"{calls.total() / stages:.2f}", f"{dict(calls)}"),
    ]
    book.table("The right chat", ("what", "counted", "of it"), rows)
