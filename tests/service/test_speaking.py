"""Who spoke, over real HTTP: the graph says what it says, Sitniks tells of it, and of people, in its own shapes."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from mirt_sitniks.core.record import Record
from mirt_sitniks.core.voices import Voices
from mirt_sitniks.engine import speech
from mirt_sitniks.errors import StoreError
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.settings import SitniksSettings
from mirt_sitniks.stores.columns import to_row
from mirt_sitniks.stores.memory import MemoryStore
from tests.service.shop import Shop, synced, touch, wait_until

Host = Callable[..., SitniksChatService]
REPLY = "Є сукня «Волошка» з **м'якого льону**, 980 грн: [фото](https://shop.example/voloshka). На який зріст?"
SHOWN = "Є сукня «Волошка» з м'якого льону, 980 грн: фото. На який зріст?"
LONG = "\n".join(f"{number}. {REPLY} Також є {number} кольорів, пишіть, який до душі" for number in range(1, 16))
BY_HAND = "Це Олена, зараз сама все вам покажу"


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Waits until so many events are in the store."""
    events: list[Any] = []
    hear = MemoryStore.hear

    async def noted(store: MemoryStore, options: Any, told: Any) -> Any:
        answer = await hear(store, options, told)
        events.extend(told)
        return answer

    monkeypatch.setattr(MemoryStore, "hear", noted)
    return lambda times: wait_until(lambda: len(events) >= times)


def send(shop: Shop, text: str) -> None:
    """The host sends it by the API, in pieces as Instagram wants them."""
    for start in range(0, len(text), 1000):
        body = {"text": text[start : start + 1000], "attachments": []}
        headers = {"Authorization": f"Bearer {shop.sandbox.key}"}
        answer = httpx.post(f"{shop.sandbox.url}/open-api/chats/{shop.chat}/messages", json=body, headers=headers)
        assert answer.status_code == 201


def owners(shop: Shop) -> list[tuple[Any, ...]]:
    """Each turn of the conversation in the ledger."""
    lines = [one for one in shop.store.rows.entries if one.kind == "owner"]
    return [(one.before["owner"], one.after["owner"], one.after.get("by")) for one in lines]


def said(shop: Shop, texts: int, session: str = "s") -> Record:
    """The record when it keeps so many texts."""
    wait_until(lambda: (one := shop.store.rows.records.get(session)) and len(one.voices.said) >= texts)
    return shop.record(session)


def test_own_messages_are_nobodys_and_the_phones_are_a_persons(
    shop: Shop, hosted: Host, heard: Callable[[int], None]
) -> None:
    """Sent by the API in two pieces, shown without markup, under the name of a manager's key: the graph keeps the
    conversation. One message from the phone, and a person has it; no call was made for any of that."""
    service = hosted(shop)
    synced(touch(service))
    assert service.said("s", [LONG, REPLY])
    send(shop, LONG)
    shop.sandbox.phone_writes(shop.chat, SHOWN)
    shop.sandbox.person_writes(shop.chat, SHOWN.upper(), manager=102)
    heard(len(LONG) // 1000 + 3)
    assert (owners(shop), shop.record().talk.owner) == ([], "ai")
    before = len(shop.sandbox.calls)
    shop.sandbox.phone_writes(shop.chat, BY_HAND)
    wait_until(lambda: shop.record().talk.owner == "human")
    assert owners(shop) == [("ai", "human", "phone")]
    assert len(shop.sandbox.calls) == before


def test_where_nothing_is_said_the_page_tells_nothing(shop: Shop, hosted: Host, heard: Callable[[int], None]) -> None:
    """A host that does not tell what it says is not taken over by its own words."""
    synced(touch(hosted(shop)))
    send(shop, REPLY)
    shop.sandbox.phone_writes(shop.chat, BY_HAND)
    heard(2)
    assert owners(shop) == []


def test_a_greeting_before_the_first_touch_is_kept_for_it(shop: Shop) -> None:
    """The graph answers before its session is recorded: its words wait here, and go to the store behind the record."""
    service = shop.service()
    assert service.said("s", "Вітаю! Я Павло, допоможу обрати.")
    assert service.said("never", "Вітаю!")
    synced(touch(service))
    said(shop, 1)
    assert "never" not in shop.store.rows.records


def test_what_is_said_in_a_session_of_which_nothing_is_recorded_stands_where_the_chat_is(shop: Shop) -> None:
    """The customer came back while a person had the chat, so no stage of his new session was recorded: by his name his
    words go to the session that has it, and of nobody else's."""
    service = shop.service()
    synced(touch(service))
    assert service.said("later", REPLY, instagram_username="Anna.Shop")
    said(shop, 1)
    assert service.said("other", [LONG], instagram_username="olena.example")
    assert service.said("later", "Ще одне, на прощання", instagram_username="anna.shop")
    assert len(said(shop, 2).voices.said) == 2
    assert not {"later", "other"} & shop.store.rows.records.keys()


def test_a_greeting_waits_also_where_nobody_can_be_looked_for(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store does not say who has the customer's chat: his words are kept for the record of his own session."""

    async def away(store: MemoryStore, asked: Any) -> Any:
        raise RuntimeError(asked)

    monkeypatch.setattr(MemoryStore, "sessions", away)
    service = shop.service()
    assert service.said("s", REPLY, instagram_username="anna.shop")
    synced(touch(service))
    said(shop, 1)


def test_words_go_to_the_store_together(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one write is under way more is said, in several sessions: the next one has all of it."""
    batches: list[int] = []
    keep, go = MemoryStore.said, threading.Event()

    async def slow(store: MemoryStore, options: Any, spoken: Any) -> Any:
        batches.append(len(spoken))
        await asyncio.to_thread(go.wait)
        return await keep(store, options, spoken)

    service = shop.service()
    for session in ("s", "s2", "s3"):
        touch(service, session=session)
    monkeypatch.setattr(MemoryStore, "said", slow)
    service.said("s", "Перше")
    wait_until(lambda: batches == [1])
    for session in ("s", "s2", "s3"):
        service.said(session, ["Друге", "Третє"])
    go.set()
    said(shop, 3)
    said(shop, 2, "s3")
    assert batches == [1, 3]


def test_a_reply_never_waits_for_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that stands still holds nobody up, whether or not an event loop runs."""
    go = threading.Event()

    async def stuck(store: MemoryStore, options: Any, spoken: Any) -> Any:
        await asyncio.to_thread(go.wait)
        return ()

    monkeypatch.setattr(MemoryStore, "said", stuck)
    service = shop.service()

    async def turn() -> bool:
        return service.said("s", REPLY)

    assert asyncio.run(turn())
    assert service.said("s", REPLY)
    synced(touch(service))
    go.set()


def test_words_outlive_a_store_that_is_away(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be kept is kept when the store answers again, as said when it was said."""
    keep, failed = MemoryStore.said, list[float]()

    async def away(store: MemoryStore, options: Any, spoken: Any) -> Any:
        if len(failed) < 2:
            failed.append(time.monotonic())
            raise StoreError("away", status=503)
        return await keep(store, options, spoken)

    service = shop.service()
    synced(touch(service))
    monkeypatch.setattr(MemoryStore, "said", away)
    service.said("s", REPLY)
    assert said(shop, 1).voices.said[0].at <= failed[0]


def test_a_store_that_keeps_no_words_is_left_alone(shop: Shop) -> None:
    """A store of a host's own, of before there was the verb, works on."""

    class Old:
        def __init__(self, store: MemoryStore) -> None:
            self._store = store

        def __getattr__(self, name: str) -> Any:
            if name in ("said", "commit_order"):
                raise AttributeError(name)
            return getattr(self._store, name)

    service = shop.service(store=Old(shop.store))
    assert service.said("s", REPLY)
    synced(touch(service))
    assert shop.record().voices == Voices()


@pytest.mark.parametrize("text", [None, "", [], [None, 5], 17, ["", ""]])
def test_what_is_no_text_is_not_said(shop: Shop, text: Any) -> None:
    """Whatever a graph hands over, nothing is raised."""
    assert shop.service().said("s", text) is False


def test_nobody_says_anything_without_a_session_or_a_crm(shop: Shop) -> None:
    """A disabled service and a missing session keep nothing; a closed service begins anew."""
    assert shop.service().said("  ", REPLY) is False
    assert shop.service().said(None, REPLY) is False  # type: ignore[arg-type]
    disabled = SitniksChatService(SitniksSettings(api_url="", api_key="", _env_file=None))
    assert disabled.said("s", REPLY) is False
    service = shop.service()
    synced(touch(service))
    asyncio.run(service.aclose())
    assert service.said("s", REPLY)
    said(shop, 1)


def test_no_text_is_kept(shop: Shop, hosted: Host, heard: Callable[[int], None]) -> None:
    """Neither what the graph has said nor what a person wrote stands in a row or a line."""
    service = hosted(shop)
    synced(touch(service))
    service.said("s", REPLY)
    said(shop, 1)
    shop.sandbox.phone_writes(shop.chat, BY_HAND)
    heard(1)
    wait_until(lambda: shop.record().voices.heard)
    stored = json.dumps(to_row(shop.record()), default=str) + repr(shop.store.rows.entries)
    assert not any(word in stored for word in ("Волошка", "волошка", "Олена, зараз"))


def test_waiting_words_are_few(monkeypatch: pytest.MonkeyPatch, shop: Shop) -> None:
    """Of sessions that are never recorded the oldest goes."""
    monkeypatch.setattr(speech, "MOST", 2)
    service = shop.service(reply_budget=0.0)
    for session in ("a", "b", "s"):
        service.said(session, REPLY)
    for session in ("a", "b", "s"):
        touch(service, session=session, telegram_username=session)
    said(shop, 1, "s")
    said(shop, 1, "b")
    assert shop.record("a").voices == Voices()
