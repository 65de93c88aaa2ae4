"""Whose chat it is, over real HTTP: names that change hands, pages of other brands, people who are told apart late."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mirt_sitniks.core.result import Outcome, SyncResult
from mirt_sitniks.sandbox import Sandbox, api
from mirt_sitniks.service import SitniksChatService
from tests.service.shop import Shop, synced, touch, wait_until


def code(result: SyncResult) -> str | None:
    """The code of its error."""
    return result.error["code"] if result.error else None


def shown(shop: Shop, chat: str) -> tuple[str, int | None]:
    """What the CRM shows of a chat."""
    found = shop.sandbox.chat(chat)
    return found["status"], found["assignedManagerId"]


def closed(shop: Shop, service: SitniksChatService) -> None:
    """End one service."""
    service.close()
    shop.services.remove(service)


def rename(shop: Shop, chat: str, name: str) -> None:
    """The customer takes another user name."""
    shop.sandbox.account.world.chat(chat).nickname = name


@pytest.mark.parametrize("had_session", [False, True])
@pytest.mark.parametrize("channel", ["instagram", "telegram"])
def test_row34_a_user_name_that_changed_hands(shop: Shop, channel: str, had_session: bool) -> None:
    """A was listed, or even served, under the name that is B's now: B's chat is written to, A's is left alone."""
    source = {"instagram": "instagram", "telegram": "telegram_private"}[channel]
    one = shop.sandbox.add_chat("olena.shop", source=source)
    service = shop.service()
    named: dict[str, Any] = {"instagram_username": None, f"{channel}_username": "olena.shop"}
    touch(service, **named) if had_session else touch(service, instagram_username="anna.shop")
    assert shop.store.rows.contact(one)
    shop.sandbox.person_sets(one, status="ОПЛАЧЕНО")
    before = shown(shop, one)
    rename(shop, one, "olena.new")
    other = shop.sandbox.add_chat("olena.shop", source=source)
    touch(service, "escalation", session="b", **named)
    shop.shows("AI Увага", 102, other)
    assert shown(shop, one) == before


def test_row34_a_hint_that_still_holds_costs_one_read(shop: Shop) -> None:
    """A chat that was listed for somebody else is read once, and no list is asked for."""
    mine = shop.sandbox.add_chat("vira")
    service = shop.service()
    synced(touch(service))
    lists = shop.sandbox.count("GET", "/chats$")
    assert synced(touch(service, session="v", instagram_username="vira")).chat_id == mine
    assert shop.sandbox.count("GET", f"/chats/{mine}$") == 1
    assert shop.sandbox.count("GET", "/chats$") == lists
    synced(touch(service, "give_requisites", session="v", instagram_username="vira"))
    assert shop.sandbox.count("GET", f"/chats/{mine}$") == 1


def test_row34_a_chat_listed_for_this_stage_needs_no_read(shop: Shop) -> None:
    """Three stages within a minute: a list, the managers, and five writes."""
    service = shop.service()
    for stage in ("first_touch", "give_requisites", "escalation"):
        synced(touch(service, stage))
    assert len(shop.sandbox.calls) == 7
    assert shop.sandbox.count("GET", "/chats/") == 0


@pytest.mark.parametrize("end", ["renamed", "deleted"])
@pytest.mark.parametrize("by", ["event", "scan"])
def test_row35_ambiguity_ends_when_the_rival_has_another_name(shop: Shop, end: str, by: str) -> None:
    """By the customer's next stage, or by what anybody's scan shows of the rival."""
    mine, rival = shop.sandbox.add_chat("vira"), shop.sandbox.add_chat("vira")
    service = shop.service()
    assert code(touch(service, instagram_username="vira")) == "chat_ambiguous"
    if end == "renamed":
        rename(shop, rival, "vira.old")
    else:
        del shop.sandbox.account.world._chats[rival]
    if by == "event" or end == "deleted":
        synced(touch(service, "give_requisites", instagram_username="vira"))
        shop.shows("Виставлено рахунок", 101, mine)
    else:
        touch(service, session="new", instagram_username="nobody")
        shop.shows("Взято в роботу", 101, mine)
    assert shop.sandbox.count("PATCH", rival) == shop.sandbox.count("PUT", rival) == 0


@pytest.mark.parametrize("by", ["scan", "the same event", "reconcile"])
def test_row35_absence_ends_when_the_crm_shows_the_chat(shop: Shop, by: str) -> None:
    """After `chat_not_found`: by anybody's scan, and then also by who asks again and by `reconcile`."""
    shop.options["rate_limit"], shop.sandbox.limit = "10/0.5", False
    first = shop.service(reply_budget=0.05)
    touch(first, instagram_username="vira")
    wait_until(lambda: shop.record().observed.given_up, 30.0)
    closed(shop, first)
    late = shop.sandbox.add_chat("vira")
    shop.sandbox.add_chat("zoe")
    if by == "scan":
        touch(shop.service(), session="other", instagram_username="zoe")
    else:
        other = shop.service(worker=False)
        wait_until(
            lambda: touch(other, "escalation", session="other", instagram_username="zoe", intent="once").success, 30.0
        )
        closed(shop, other)
        if by == "reconcile":
            again = shop.service(worker=False)
            done = ("Взято в роботу", 101)
            wait_until(lambda: asyncio.run(again.reconcile()) >= 0 and shown(shop, late) == done, 30.0)
        else:
            again = shop.service(worker=False)
            wait_until(lambda: touch(again, instagram_username="vira").success, 30.0)
    shop.shows("Взято в роботу", 101, late)


def test_row36_who_is_not_found_is_told_how_many_were_read(shop: Shop) -> None:
    """An old chat under the creation filter: the number, and what finds it."""
    shop.sandbox.date_filter = "created"
    day = 86_400.0
    for number in range(120):
        shop.sandbox.add_chat(f"guest{number}", created_ago=number / 10 * day, last_message_ago=0.0)
    shop.sandbox.add_chat("vira", created_ago=90 * day, last_message_ago=0.0)
    shop.sandbox.limit = False
    service = shop.service(reply_budget=0.05, rate_limit="10/0.5")
    touch(service, instagram_username="vira")
    wait_until(lambda: shop.record().observed.given_up, 30.0)
    result = touch(service, instagram_username="vira")
    assert code(result) == "chat_not_found"
    assert result.error
    assert "121 chats of the last 30 days" in result.error["message"]
    assert "sitniks_chat_id" in result.error["message"]


def test_row36_an_old_customer_is_found_within_30_days(shop: Shop) -> None:
    """600 chats under the creation filter, his is 20 days old: the last search finds him."""
    shop.sandbox.date_filter = "created"
    day = 86_400.0
    for number in range(600):
        shop.sandbox.add_chat(f"guest{number}", created_ago=number / 20 * day, last_message_ago=0.0)
    old = shop.sandbox.add_chat("vira", created_ago=20.02 * day, last_message_ago=0.0)
    shop.sandbox.limit = False
    touch(shop.service(reply_budget=0.05, rate_limit="10/0.5"), instagram_username="vira")
    wait_until(lambda: shown(shop, old) == ("Взято в роботу", 101), 60.0)


def test_row34_the_page_of_another_brand(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """One person in two chats of one account: `SITNIKS_OWNER` says which page is the shop's."""
    mine, other = shop.sandbox.add_chat("vira"), shop.sandbox.add_chat("vira")
    show = api.show_chat
    page = {"ownerId": "22", "ownerName": "Brand.Two"}
    monkeypatch.setattr(
        api, "show_chat", lambda account, chat: show(account, chat) | (page if chat.id == other else {})
    )
    assert code(touch(shop.service(), instagram_username="vira")) == "chat_ambiguous"
    for owner, chat in (("brand.two", other), (str(shop.sandbox.chat(mine)["ownerId"]), mine)):
        result = touch(shop.service(owner=owner), session=owner, instagram_username="vira")
        assert synced(result).chat_id == chat


@pytest.mark.parametrize("name", ["\u212aira", "https://instagram.com/p/kira/"])
def test_row34_look_alikes_and_posts_are_nobody(shop: Shop, name: str) -> None:
    """Neither a Kelvin sign nor the address of a post leads to `kira`."""
    shop.sandbox.add_chat("kira")
    touch(shop.service(reply_budget=0.2), instagram_username=name)
    assert shop.sandbox.count("PATCH") == shop.sandbox.count("PUT") == 0


def test_row34_a_chat_that_the_host_knows_is_read_not_looked_for(shop: Shop) -> None:
    """With a name it must fit; without one the host's word stands; what is not there is nobody."""
    mine = shop.sandbox.add_chat("vira")
    nameless = shop.sandbox.add_chat(None, source="viber_private")
    service = shop.service()
    assert synced(touch(service, session="v", instagram_username="vira", chat_id=mine)).chat_id == mine
    assert synced(touch(service, session="n", instagram_username=None, chat_id=nameless)).chat_id == nameless
    assert shop.sandbox.count("GET", "/chats$") == 0
    assert synced(touch(service, session="a", chat_id=mine)).chat_id == shop.chat
    assert code(touch(service, session="z", instagram_username=None, chat_id="f" * 24)) == "chat_not_found"


def test_row37_two_shops_on_one_database(shop: Shop, tmp_path: Path) -> None:
    """The second shop's key is refused with the cure; with an account of its own neither meets the other's chats."""
    database = str(tmp_path / "two.sqlite3")
    synced(touch(shop.service(database=database)))
    before = shown(shop, shop.chat)
    with Sandbox(limit=False, key="another") as second:
        second.managers = [(501, "Павло"), (502, "Ірина")]
        theirs = second.add_chat("Anna.Shop")
        strange: dict[str, Any] = {"api_url": second.url, "api_key": second.key, "database": database}
        refused = touch(shop.service(**strange), "escalation", session="two")
        assert (refused.outcome, code(refused)) == (Outcome.FAILED, "account_mismatch")
        assert second.count("PATCH") == second.count("PUT") == second.count("GET", "/chats") == 0
        apart = touch(shop.service(**strange, account="two"), "escalation")
        assert (synced(apart).chat_id, apart.manager_id) == (theirs, 502)
    assert shown(shop, shop.chat) == before
