"""What live programs send, request by request, and what they build on in the answers."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from mirt_sitniks.sandbox import Sandbox

from .conftest import HandClock

NEW, CHOICE, HOT = "Новий", "Вибір товару", "🔥 Гарячий лід від Агента"
KYIV = timezone(timedelta(hours=2))


@pytest.fixture
def crm(clock: HandClock) -> Iterator[Sandbox]:
    """An account with statuses of its own, at eight in the morning UTC; its limit counts."""
    with Sandbox(clock=clock) as crm:
        crm.statuses = (NEW, CHOICE, HOT, "Взято в роботу")
        yield crm


@pytest.fixture
def program(crm: Sandbox) -> Iterator[httpx.Client]:
    """They all name JSON in every request, also where there is no body."""
    headers = {"Authorization": f"Bearer {crm.key}", "Content-Type": "application/json"}
    with httpx.Client(base_url=crm.url, headers=headers, trust_env=False) as client:
        yield client


def utc(clock: HandClock) -> datetime:
    return datetime.fromtimestamp(clock.seconds, UTC)


def data(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def nicknames(answer: httpx.Response) -> set[str]:
    return {chat["userNickName"] for chat in data(answer)}


class TestAnalytics:
    """Reads a day's chats and their messages, answers some, and moves them on."""

    def test_naive_dates_find_the_chats_that_were_active(
        self, crm: Sandbox, program: httpx.Client, clock: HandClock
    ) -> None:
        """Two days back in local wall clock with microseconds, page by page until one is short."""
        crm.limit = False
        for number in range(60):
            crm.add_chat(f"guest{number}", created_ago=90 * 86_400, last_message_ago=number * 60)
        crm.add_chat("quiet.example", created_ago=90 * 86_400, last_message_ago=3 * 86_400)
        until = utc(clock).replace(tzinfo=None) + timedelta(microseconds=123)
        window = {"startDate": (until - timedelta(days=2)).isoformat(), "endDate": until.isoformat(), "limit": 50}
        pages = [data(program.get("/open-api/chats", params={**window, "skip": skip})) for skip in (0, 50)]
        assert [len(page) for page in pages] == [50, 10]
        assert "quiet.example" not in {chat["userNickName"] for page in pages for chat in page}

    def test_a_day_of_kyiv_is_shifted_by_its_offset(self, crm: Sandbox, program: httpx.Client) -> None:
        """From 00:00+02:00 to 23:59+02:00 is read as the UTC day: an hour past midnight in Kyiv is the day before."""
        crm.add_chat("night.example", created_ago=9 * 3600, last_message_ago=9 * 3600)  # 23:00 UTC, 01:00 in Kyiv
        crm.add_chat("morning.example", created_ago=3600, last_message_ago=3600)
        day = datetime(2027, 1, 15, tzinfo=KYIV)
        window = {"startDate": day.isoformat(), "endDate": (day + timedelta(days=1, microseconds=-1)).isoformat()}
        assert nicknames(program.get("/open-api/chats", params={**window, "limit": 50, "skip": 0})) == {
            "morning.example"
        }

    def test_new_chats_are_those_with_a_first_message_in_the_window(
        self, crm: Sandbox, program: httpx.Client, clock: HandClock
    ) -> None:
        """A returning customer is active but not new."""
        crm.add_chat("returning.example", created_ago=30 * 86_400, last_message_ago=60)
        crm.add_chat("new.example", created_ago=60, last_message_ago=60)
        dates = [(utc(clock) - timedelta(days=1)).isoformat(), utc(clock).isoformat()]
        first = {"firstMessageStartDate": dates[0], "firstMessageEndDate": dates[1], "limit": 50, "skip": 0}
        assert nicknames(program.get("/open-api/chats", params=first)) == {"new.example"}
        active = {"startDate": dates[0], "endDate": dates[1], "limit": 50, "skip": 0}
        assert program.get("/open-api/chats", params=active).json()["count"] == 2

    def test_messages_tell_who_wrote(self, crm: Sandbox, program: httpx.Client, clock: HandClock) -> None:
        """Newest first by fifty; the customer by `sentBy`, a manager by a name, the API by an empty one."""
        chat_id = crm.add_chat("iryna.example", manager="Олена")
        for number in range(51):
            clock.pass_by(1)
            crm.customer_writes(chat_id, f"питання {number}")
        crm.person_writes(chat_id, "Добрий день!")
        clock.pass_by(1)
        path = f"/open-api/chats/{chat_id}/messages"
        sent = program.post(path, json={"text": "Підкажіть розмір", "attachments": []})
        assert (sent.status_code, sent.json()["managerName"]) == (201, "")
        pages = [data(program.get(path, params={"limit": 50, "skip": skip})) for skip in (0, 50)]
        assert [len(page) for page in pages] == [50, 3]
        chat = program.get(f"/open-api/chats/{chat_id}").json()
        api, person, customer = pages[0][:3]
        assert [api["sentBy"], person["sentBy"], customer["sentBy"]] == [
            chat["ownerId"],
            chat["ownerId"],
            chat["userId"],
        ]
        assert [one.get("managerName") or "" for one in (api, person, customer)] == ["", "Олена", ""]
        assert pages[0] + pages[1] == sorted(pages[0] + pages[1], key=lambda one: one["createdAt"], reverse=True)
        assert program.get(path, params={"limit": 100}).status_code == 400

    def test_only_a_later_get_proves_a_status(self, crm: Sandbox, program: httpx.Client) -> None:
        """PUT with a status is 200 and changes nothing; PATCH takes a name with an emoji, and back again."""
        chat_id = crm.add_chat("iryna.example", status=NEW)
        path = f"/open-api/chats/{chat_id}"
        assert program.put(path, json={"status": HOT}).json()["status"] == NEW
        assert program.get(path).json()["status"] == NEW
        for status in (HOT, NEW):
            assert program.patch(f"{path}/status", json={"status": status}).status_code == 200
            assert program.get(path).json()["status"] == status

    def test_tags_are_read_merged_and_written(self, crm: Sandbox, program: httpx.Client) -> None:
        """PUT replaces the list and answers with JSON; what was not sent again is gone."""
        chat_id = crm.add_chat("iryna.example")
        path = f"/open-api/chats/{chat_id}"
        program.put(path, json={"tags": ["120253775599570059"]})
        tags = [*program.get(path).json()["tags"], "🚫 SPAM"]
        assert program.put(path, json={"tags": tags}).json()["tags"] == ["120253775599570059", "🚫 SPAM"]
        assert program.put(path, json={"tags": ["🚫 SPAM"]}).json()["tags"] == ["🚫 SPAM"]

    def test_a_hundred_managers_come_at_once(self, crm: Sandbox, program: httpx.Client) -> None:
        """Their ids lead to names; without a limit ten come."""
        crm.managers = [(number, f"Менеджер {number}") for number in range(1, 61)]
        assert len(data(program.get("/open-api/managers", params={"limit": 100}))) == 60
        assert len(data(program.get("/open-api/managers"))) == 10


class TestMover:
    """Scans one column of one channel every half minute and moves the chats that nobody needs to see."""

    def scan(self, program: httpx.Client, clock: HandClock) -> list[dict[str, Any]]:
        chats: list[dict[str, Any]] = []
        since = (utc(clock) - timedelta(days=1)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        while True:
            query = {"status": CHOICE, "initialSource": "facebook", "skip": len(chats), "limit": 50, "startDate": since}
            # Encoded as a form is: a space is a plus.
            page = program.get(f"/open-api/chats?{urlencode(query)}")
            chats += data(page)
            if not page.json()["data"] or len(chats) >= page.json()["count"]:
                return chats

    def test_a_scan_has_a_start_alone_and_two_filters(
        self, crm: Sandbox, program: httpx.Client, clock: HandClock
    ) -> None:
        """By exact status and channel, until as many have come as `count` says."""
        for number in range(70):
            crm.add_chat(f"guest{number}", source="facebook", status=CHOICE)
        crm.add_chat("channel.example", source="instagram", status=CHOICE)
        crm.add_chat("status.example", source="facebook", status=NEW)
        crm.add_chat("old.example", source="facebook", status=CHOICE, created_ago=2 * 86_400, last_message_ago=90_000)
        chats = self.scan(program, clock)
        assert {chat["userNickName"] for chat in chats} == {f"guest{number}" for number in range(70)}
        assert crm.count() == 2

    def test_what_is_moved_leaves_the_scan(self, crm: Sandbox, program: httpx.Client, clock: HandClock) -> None:
        """A chat with comments alone: one comment is asked for, the tag added, the status written, no answer read."""
        chat_id = crm.add_chat("iryna.example", source="facebook", status=CHOICE)
        crm.customer_writes(chat_id, "ціна?", comment_id="17900000000000000")
        crm.write_body, crm.list_comments = "empty", False
        (chat,) = self.scan(program, clock)
        path = f"/open-api/chats/{chat_id}"
        (comment,) = data(program.get(f"{path}/messages", params={"limit": "1", "isComment": "true"}))
        assert comment["sentBy"] == chat["userId"]
        # It counts on the list to be of direct messages when it does not ask for comments.
        assert data(program.get(f"{path}/messages", params={"limit": "50", "skip": "0"})) == []
        tagged = program.put(path, content='{"tags":["Reels"]}')
        moved = program.patch(f"{path}/status", content=f'{{"status":"{NEW}"}}'.encode())
        assert (tagged.is_success, moved.is_success) == (True, True)
        assert self.scan(program, clock) == []
        assert (crm.chat(chat_id)["status"], crm.chat(chat_id)["tags"]) == (NEW, ["Reels"])

    def test_after_a_refusal_it_rests_and_asks_once_more(
        self, crm: Sandbox, program: httpx.Client, clock: HandClock
    ) -> None:
        """The eleventh call in ten seconds is 429 and so is all of the next minute; after 70 seconds it is let in."""
        codes = [program.get("/open-api/chats", params={"limit": 1}).status_code for _ in range(11)]
        assert codes == [200] * 10 + [429]
        clock.pass_by(59)
        assert program.get("/open-api/chats").status_code == 429
        clock.pass_by(11)
        assert self.scan(program, clock) == []


class TestShopOrders:
    """Three programs that make orders: a form on a site, a shop's till and a bot, each with its own body."""

    def test_the_smallest_order_is_a_client_and_a_comment(self, crm: Sandbox, program: httpx.Client) -> None:
        """The form counts on a 2xx and on the number in the answer."""
        body = {"client": {"fullname": "Ірина", "phone": "+380671234567"}, "clientComment": "Передзвоніть мені"}
        made = program.post("/open-api/orders", json=body)
        assert (made.status_code, made.json()["orderNumber"]) == (201, 1001)
        (order,) = crm.orders()
        assert (order["totalPrice"], order["products"], order["clientComment"]) == (0, [], "Передзвоніть мені")

    def test_the_till_sends_products_and_reads_the_day(
        self, crm: Sandbox, program: httpx.Client, clock: HandClock
    ) -> None:
        """The older body; a Kyiv day is asked for a day wider, cut by `createdAt`, and summed up by what was paid."""
        variation = crm.add_variation("SUKNYA-M", price=1299, title="Сукня")
        product = {"productVariationId": variation, "isUpsale": False, "price": 1299, "quantity": 2, "title": "Сукня"}
        delivery = {
            "integrationNovaposhtaId": 3,
            "price": 0,
            "seatsAmount": 1,
            "city": "Київ",
            "serviceType": "WarehouseWarehouse",
            "payerType": "Recipient",
            "cargoType": "Parcel",
        }
        body = {
            "client": {"fullname": "Олена К.", "phone": "380671234567", "email": "olena@shop.example"},
            "products": [product],
            "npDelivery": delivery,
            "managerComment": "Сайт shop.example",
            "discountAmount": 98,
            "externalId": "site-17",
        }
        assert program.post("/open-api/orders", json=body).json()["externalId"] == "site-17"
        crm.add_order(body, created_ago=12 * 3600)
        day = utc(clock).astimezone(KYIV).replace(hour=0, minute=0)
        asked = {
            "createdAtFrom": (day - timedelta(days=1)).isoformat(),
            "createdAtTo": (day + timedelta(days=2)).isoformat(),
            "limit": 50,
            "skip": 0,
        }
        orders = data(program.get("/open-api/orders", params=asked))
        mine = [one for one in orders if datetime.fromisoformat(one["createdAt"]) >= day]
        assert (len(orders), len(mine)) == (2, 1)
        assert (mine[0]["totalPriceDiscount"], mine[0]["managerComment"]) == (2500, "Сайт shop.example")
        assert mine[0]["products"][0]["productVariation"]["sku"] == "SUKNYA-M"

    def test_the_bot_finds_the_item_and_sends_offers(self, crm: Sandbox, program: httpx.Client) -> None:
        """Variation by sku, status by name, the order, then the status by its id: four calls; a wrong item is 400."""
        crm.add_variation("SUKNYA-M", price=1299, title="Сукня")
        (item,) = data(program.get("/open-api/products/variations", params={"sku": "SUKNYA-M", "limit": 1}))
        statuses = {one["title"]: one["id"] for one in data(program.get("/open-api/orders/statuses"))}
        offer = {
            "itemId": item["id"],
            "itemType": "variation",
            "isUpsale": False,
            "title": "Сукня",
            "price": 1299,
            "quantity": 1,
        }
        body = {"client": {"fullname": "Богдан", "phone": "380501234567"}, "offers": [offer], "externalId": "bot-1"}
        order_id = program.post("/open-api/orders", json=body).json()["id"]
        moved = program.put(f"/open-api/orders/{order_id}/status", json={"statusId": statuses["В роботі"]})
        assert (moved.status_code, crm.count()) == (200, 4)
        assert program.get(f"/open-api/orders/{order_id}").json()["status"]["title"] == "В роботі"
        assert program.post("/open-api/orders", json=body | {"offers": [offer | {"itemId": 1}]}).status_code == 400

    def test_four_posts_with_one_id_make_four_orders(self, crm: Sandbox, program: httpx.Client) -> None:
        """A program that tries again on every bad answer counts on no duplicate; nothing says that there is none."""
        crm.fault("status", status=500, applied=True, times=3)
        body = {"client": {"fullname": "Ірина", "phone": "380671234567"}, "externalId": "site-18"}
        assert [program.post("/open-api/orders", json=body).status_code for _ in range(4)] == [500, 500, 500, 201]
        assert len(crm.orders()) == 4


class TestOriginalService:
    """The chat service that this package took over from."""

    def test_its_search_finds_a_chat_of_the_last_five_minutes(
        self, crm: Sandbox, program: httpx.Client, clock: HandClock
    ) -> None:
        """Dates with microseconds and `+00:00`, fifty at most, the name compared without regard to letter case."""
        clock.pass_by(0.123456)
        found = crm.add_chat("Iryna.Example", created_ago=200, last_message_ago=200)
        crm.add_chat("earlier.example", created_ago=400, last_message_ago=400)
        now = utc(clock)
        window = {"startDate": (now - timedelta(minutes=5)).isoformat(), "endDate": now.isoformat(), "limit": 50}
        assert window["endDate"].endswith(".123456+00:00")
        (chat,) = data(program.get("/open-api/chats", params=window))
        assert (chat["id"], chat["userNickName"].lower()) == (found, "iryna.example")

    def test_its_writes(self, crm: Sandbox, program: httpx.Client) -> None:
        """The status is taken; the route by which it meant to assign does not exist."""
        chat_id = crm.add_chat("iryna.example")
        managers = {one["user"]["fullname"]: one["id"] for one in data(program.get("/open-api/managers"))}
        path = f"/open-api/chats/{chat_id}"
        assert program.patch(f"{path}/status", json={"status": "Взято в роботу"}).status_code == 200
        guess = program.patch(path, json={"assignedManagerId": managers["Павло"]})
        assert (guess.status_code, guess.json()["message"]) == (404, f"Cannot PATCH {path}")
        assert program.put(path, json={"assignedManagerId": managers["Павло"]}).status_code == 200
        assert [change["field"] for change in crm.history(chat_id)] == ["status", "manager"]
