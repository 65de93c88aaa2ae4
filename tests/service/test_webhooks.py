"""Sitniks tells, the graph's stage comes: with the real store, and a CRM over real HTTP."""

import asyncio
import time
from collections.abc import Callable

import pytest

from examples import webhook as example
from mirt_sitniks.core.result import SyncResult
from mirt_sitniks.sandbox import Sandbox
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.webhook import Author, Event, author_of
from tests.sandbox.conftest import HandClock
from tests.service.shop import Shop, synced, touch, wait_until


def asked(crm: Sandbox) -> list[tuple[str, str]]:
    """What was asked of the CRM, in order of its words."""
    return sorted((call.method, call.path) for call in crm.calls)


def known(shop: Shop, times: int) -> None:
    """Wait until so many events are in the directory, or were told of a chat that is there."""
    wait_until(lambda: len(shop.sandbox.deliveries) >= times)
    assert {one.status for one in shop.sandbox.deliveries} == {200}


def test_a_first_touch_needs_no_look_up(shop: Shop, hosted: Callable[..., SitniksChatService]) -> None:
    """Name and chat are known from the event: one call for the status and one for the manager, and none to read."""
    service = hosted(shop)
    shop.sandbox.customer_writes(shop.chat, "Добрий день")
    known(shop, 1)
    synced(touch(service))
    path = f"/open-api/chats/{shop.chat}"
    assert asked(shop.sandbox) == [("PATCH", f"{path}/status"), ("PUT", path)]


def test_a_host_that_sitniks_feeds_syncs_within_the_event(
    shop: Shop,
    hosted: Callable[..., SitniksChatService],
) -> None:
    """The turn begins behind the answer, with the chat that the event names: two calls again."""
    results: list[SyncResult] = []

    async def turn(event: Event) -> None:
        if event.message and author_of(event.chat, event.message) is Author.CUSTOMER:
            name, chat = event.chat.nickname, event.chat.id
            results.append(
                await service.sync("first_touch", session="s", instagram_username=name, chat_id=chat, intent="m")
            )

    service = hosted(shop, turn)
    shop.sandbox.customer_writes(shop.chat, "Добрий день")
    wait_until(lambda: results)
    synced(results[0])
    assert len(asked(shop.sandbox)) == 2


def test_row45_an_old_name_writes_nothing_wrong(hosted: Callable[..., SitniksChatService]) -> None:
    """Late, twice and swapped: a chat that had the name before is not the customer's, whatever comes last."""
    clock = HandClock(time.time() - 60)
    with Sandbox(clock=clock, limit=False) as crm:
        shop = Shop(crm)
        service = hosted(shop)
        crm.webhook_times, crm.webhook_delay = 2, 30
        crm.customer_writes(shop.chat, "I was anna")
        crm.webhook_delay, crm.webhook_swapped = 0, True
        clock.pass_by(1)
        crm.person_sets(shop.chat, nickname="somebody.else")
        crm.customer_writes(shop.chat, "I am not anna")
        other = crm.add_chat("anna.shop", text="I am anna")
        known(shop, 4)
        synced(touch(service))
        clock.pass_by(29)
        known(shop, 6)
        synced(touch(service, "escalation"))
        assert {call.path.split("/")[3] for call in crm.calls if call.method != "GET"} == {other}
        shop.close()


def test_a_person_is_seen_without_a_stage(shop: Shop, hosted: Callable[..., SitniksChatService]) -> None:
    """A manager's message is told once, and nothing of it is written."""
    service = hosted(shop)
    synced(touch(service))
    before = len(shop.sandbox.calls)
    shop.sandbox.person_writes(shop.chat, "Вітаю, я Олена", manager=102)
    wait_until(lambda: shop.record().talk.owner == "human")
    assert {call.method for call in shop.sandbox.calls[before:]} <= {"GET"}


def test_the_example_answers_a_message_once(shop: Shop, hosted: Callable[..., SitniksChatService]) -> None:
    """Of a message that is told twice, a manager's and a public one only the customer's gets an answer, and one."""
    shop.sandbox.webhook_times = 2
    sent: list[tuple[str, str]] = []

    async def send(chat: str, text: str) -> None:
        sent.append((chat, text))

    hosted(shop, make_app=lambda service: example.build_app(service, send))
    shop.sandbox.customer_writes(shop.chat, "Гарно!", comment_id="17")
    shop.sandbox.customer_writes(shop.chat, "Добрий день")
    shop.sandbox.person_writes(shop.chat, "Вітаю!", manager=102)
    known(shop, 6)
    wait_until(lambda: sent)
    assert sent == [(shop.chat, "Вітаю! Що шукаєте?")]
    shop.shows("Взято в роботу", 101)


@pytest.mark.blocks
def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """As a file: a customer writes, the graph answers, the board shows it."""
    asyncio.run(example._main())
    assert capsys.readouterr().out.splitlines()[1:] == ["Вітаю! Що шукаєте?", "  [CRM: Взято в роботу]"]
