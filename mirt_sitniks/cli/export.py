"""`mirt-sitniks export`: all that is known of one customer."""

import os
import sys
from argparse import Namespace
from dataclasses import asdict
from typing import Any

from mirt_sitniks.cli.files import where, with_store
from mirt_sitniks.cli.looking import as_text, view_of, whom
from mirt_sitniks.core.orders import OrdersAsked
from mirt_sitniks.core.store import Store
from mirt_sitniks.core.story import as_json, entry_json
from mirt_sitniks.settings import SitniksSettings

MOST = 100_000


def run(arguments: Namespace) -> int:
    """Write it to standard output, or to a new file that nobody else can read."""
    settings = SitniksSettings()

    async def read(store: Store) -> dict[str, Any]:
        found = await whom(settings, store, arguments.who)
        sight = (await view_of(settings, store)).sight
        sessions = []
        for one in found:
            ledger = [entry_json(line, sight.statuses) for line in await store.ledger(one.session, limit=MOST)]
            sessions.append({**as_json(one, sight), "record": asdict(one), "ledger": ledger})
        keeps: Any = store
        asked = OrdersAsked(settings.account, sessions=tuple(one.session for one in found))
        orders = (await keeps.orders(asked)).records
        return {"store": where(settings), "sessions": sessions, "orders": [asdict(one) for one in orders]}

    text = as_text(with_store(settings, read, readonly=True))
    if arguments.to is None:
        print(text)
        return 0
    # Made anew: what is there may be readable by others, or a link to elsewhere.
    with os.fdopen(os.open(arguments.to, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        file.write(text + "\n")
    print(f"{arguments.to} holds personal data", file=sys.stderr)
    return 0
