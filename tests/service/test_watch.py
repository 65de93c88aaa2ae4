"""Without webhooks, over real HTTP: what people do in Sitniks is known though no stage is synced."""

import asyncio
from typing import Any

import pytest

from mirt_sitniks.core.talk import HUMAN
from tests.service.shop import Shop, synced, touch, wait_until


@pytest.mark.parametrize(("date", "years"), [("created", 0), ("created", 3), ("last_message", 3)])
def test_a_worker_sees_what_people_have_done(shop: Shop, date: Any, years: int) -> None:
    """A status, and a message of a manager; also in a chat that no list shows, for it is years old."""
    shop.sandbox.date_filter = date
    chat = shop.sandbox.add_chat("olena.example", created_ago=years * 365 * 86_400.0)
    synced(touch(shop.service(worker=False), instagram_username="olena.example", chat_id=chat))
    shop.sandbox.person_sets(chat, status="ОПЛАЧЕНО")
    shop.sandbox.person_writes(chat, "Вітаю!", manager=102)
    shop.service(watch=3600, watch_share=0.5, rate_limit="10/0.5").start()
    wait_until(lambda: shop.record().observed.status.value == "ОПЛАЧЕНО" and shop.record().talk.owner == HUMAN)
    assert shop.record().talk.why == "message"


def test_who_has_no_worker_watches_nothing(shop: Shop) -> None:
    """Its calls are those of its stages: a worker process watches, if there is one."""
    service = shop.service(worker=False, watch=15)
    synced(touch(service))
    calls = len(shop.sandbox.calls)
    asyncio.run(service.reconcile(9))
    assert len(shop.sandbox.calls) == calls
