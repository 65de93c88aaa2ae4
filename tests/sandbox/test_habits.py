"""What accounts do where the contract is open: writes that show, ignore, refuse or lose something, and odd pages."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from mirt_sitniks.sandbox import Sandbox

from .conftest import HandClock

ApiOf = Callable[..., httpx.Client]


@pytest.fixture
def chat(sandbox: Sandbox) -> str:
    """A chat that nobody has touched."""
    return sandbox.add_chat("iryna.example")


def set_status(api: httpx.Client, chat: str, status: str = "AI Увага") -> httpx.Response:
    return api.patch(f"/chats/{chat}/status", json={"status": status})


def assign(api: httpx.Client, chat: str, **more: Any) -> httpx.Response:
    return api.put(f"/chats/{chat}", json={"assignedManagerId": 102, **more})


def shown(sandbox: Sandbox, chat: str) -> tuple[str, int | None, list[str]]:
    found = sandbox.chat(chat)
    return found["status"], found["assignedManagerId"], found["tags"]


ANSWERS = {
    "chat": ("AI Увага", 102),
    "before": ("Нові заявки", None),
    "empty": None,
    "success": True,
}


@pytest.mark.parametrize("body", ANSWERS)
@pytest.mark.parametrize("way", ["habit", "fault"])
def test_a_write_answers_with_the_chat_after_before_nothing_or_a_word(
    api: httpx.Client, sandbox: Sandbox, chat: str, body: Any, way: str
) -> None:
    """Whatever it shows, it is 200 and has its effect, as the account's habit and as a fault of some calls."""
    if way == "habit":
        sandbox.write_body = body
    else:
        sandbox.fault("shows", body=body, method="PATCH|PUT", times=2)
    status, manager = set_status(api, chat), assign(api, chat)
    assert (status.status_code, manager.status_code) == (200, 200)
    match ANSWERS[body]:
        case None:
            assert (status.content, manager.content) == (b"", b"")
        case True:
            assert (status.json(), manager.json()) == ({"success": True}, {"success": True})
        case expected:
            assert (status.json()["status"], manager.json()["assignedManagerId"]) == expected
    assert shown(sandbox, chat)[:2] == ("AI Увага", 102)


def test_the_manager_alone_can_be_ignored_or_refused(api: httpx.Client, sandbox: Sandbox, chat: str) -> None:
    """200 and nobody is assigned while tags are set; 403, or no such route, and tags alone still go."""
    sandbox.refuses = {"assign": 200}
    answer = assign(api, chat, tags=["vip"])
    assert (answer.status_code, answer.json()["assignedManagerId"]) == (200, None)
    assert shown(sandbox, chat) == ("Нові заявки", None, ["vip"])
    for status, words in ((403, "forbidden_resource"), (404, f"Cannot PUT /open-api/chats/{chat}"), (501, None)):
        sandbox.refuses = {"assign": status}
        refused = assign(api, chat, tags=["new"])
        assert refused.status_code == refused.json()["statusCode"] == status
        assert words is None or refused.json()["message"] == words
    assert api.put(f"/chats/{chat}", json={"tags": ["new"]}).status_code == 200
    assert shown(sandbox, chat) == ("Нові заявки", None, ["new"])
    sandbox.refuses = {}
    assert assign(api, chat).json()["assignedManagerId"] == 102


def test_a_status_can_be_ignored(api: httpx.Client, sandbox: Sandbox, chat: str) -> None:
    """200 with the old value, with nothing, or with `success: false`; as a fault for one chat alone."""
    sandbox.refuses = {"status": 200}
    assert set_status(api, chat).json()["status"] == "Нові заявки"
    sandbox.write_body = "success"
    assert set_status(api, chat).json() == {"success": False}
    sandbox.refuses, sandbox.write_body = {}, "chat"
    other = sandbox.add_chat("bohdan.example")
    sandbox.fault("ignored", path=chat, times=None)
    assert [set_status(api, one).json()["status"] for one in (chat, other)] == ["Нові заявки", "AI Увага"]
    sandbox.clear_faults()
    sandbox.fault("ignored", path=chat, body="success")
    assert set_status(api, chat).json() == {"success": False}
    assert sandbox.history(chat) == []


CALLS: dict[str, tuple[str, str, Any]] = {
    "list": ("GET", "/chats", None),
    "read": ("GET", "/chats/{chat}", None),
    "status": ("PATCH", "/chats/{chat}/status", {"status": "AI Увага"}),
    "assign": ("PUT", "/chats/{chat}", {"assignedManagerId": 102}),
    "tags": ("PUT", "/chats/{chat}", {"tags": ["vip"]}),
    "messages": ("GET", "/chats/{chat}/messages", None),
    "message": ("POST", "/chats/{chat}/messages", {"text": "Вітаю", "attachments": []}),
    "note": ("POST", "/chats/{chat}/notes", {"text": "примітка"}),
    "managers": ("GET", "/managers", None),
}


@pytest.mark.parametrize("kind", CALLS)
def test_rights_are_per_kind_of_call(api: httpx.Client, sandbox: Sandbox, chat: str, kind: str) -> None:
    """The kind that is refused answers 403 `forbidden_resource` and changes nothing; all others work."""
    sandbox.refuses = {kind: 403}
    answers = {
        one: api.request(method, path.format(chat=chat), json=body) for one, (method, path, body) in CALLS.items()
    }
    assert {one: answer.status_code for one, answer in answers.items() if answer.is_error} == {kind: 403}
    assert answers[kind].json() == {"statusCode": 403, "message": "forbidden_resource", "error": "Forbidden"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("refuses", {"deals": 403}),
        ("refuses", {"orders": 200}),
        ("order_shows", "lists"),
        ("same_external_id", 500),
        ("refuses", {"list": 200}),
        ("refuses", {"assign": 302}),
        ("page_size", 0),
        ("shown_count", 2),
        ("write_body", "after"),
        ("padding", -1),
    ],
)
def test_a_habit_that_makes_no_sense_is_refused(sandbox: Sandbox, name: str, value: Any) -> None:
    """A typing error in a test must not change nothing in silence."""
    with pytest.raises(ValueError, match=r"must be|there is no|cannot be"):
        setattr(sandbox, name, value)


@pytest.mark.parametrize("code", [400, 422])
def test_a_closed_chat_is_read_and_refuses_writes(api: httpx.Client, sandbox: Sandbox, chat: str, code: Any) -> None:
    """A person closes it: every write to it alone is refused, until the person opens it again."""
    sandbox.closed_chat = code
    sandbox.person_sets(chat, closed=True)
    writes = ("status", "assign", "tags", "message", "note")
    answers = [api.request(CALLS[one][0], CALLS[one][1].format(chat=chat), json=CALLS[one][2]) for one in writes]
    assert {(answer.status_code, answer.json()["message"]) for answer in answers} == {(code, "chat is closed")}
    assert api.get(f"/chats/{chat}").status_code == 200
    assert sandbox.history(chat) == []
    sandbox.person_sets(chat, closed=False)
    assert set_status(api, chat).status_code == 200


def test_refusals_by_kind_by_chat_and_by_chance(api: httpx.Client, sandbox: Sandbox, chat: str) -> None:
    """Any code and words for the methods named; by chance the same calls meet the same faults after a reset."""
    sandbox.fault("refuse", method="PUT|PATCH", path=chat, status=422, message="chat is archived", times=2)
    answers = [set_status(api, chat), assign(api, chat), api.get(f"/chats/{chat}"), set_status(api, chat)]
    assert [answer.status_code for answer in answers] == [422, 422, 200, 200]
    assert answers[0].json()["message"] == "chat is archived"

    def lot() -> list[int]:
        sandbox.reset()
        sandbox.fault("refuse", chance=0.3, times=None)
        return [api.get("/managers").status_code for _ in range(60)]

    first = lot()
    assert 6 <= first.count(403) <= 30
    assert lot() == first
    with pytest.raises(ValueError, match="chance"):
        sandbox.fault("refuse", chance=0)


@pytest.mark.parametrize("slow", ["PUT", "PATCH"])
def test_of_writes_that_cross_one_is_lost(api_of: ApiOf, clock: HandClock, slow: str) -> None:
    """The CRM saves the whole chat that it read before: what came meanwhile is undone, and both are answered 200."""
    writes = {"PUT": assign, "PATCH": set_status}
    quick = writes["PATCH" if slow == "PUT" else "PUT"]
    with Sandbox(clock=clock, limit=False) as sandbox, ThreadPoolExecutor(1) as pool:
        chat = sandbox.add_chat("iryna.example")
        sandbox.fault("whole", method=slow, seconds=1)
        crossing = pool.submit(writes[slow], api_of(sandbox), chat)
        sandbox.wait(lambda: sandbox.count(slow), seconds=60)
        assert quick(api_of(sandbox), chat).status_code == 200
        clock.pass_by(1)
        assert crossing.result().status_code == 200
        assert shown(sandbox, chat)[:2] == (("Нові заявки", 102) if slow == "PUT" else ("AI Увага", None))
        assert quick(api_of(sandbox), chat).status_code == 200
        assert shown(sandbox, chat)[:2] == ("AI Увага", 102)


@pytest.mark.parametrize(("habit", "count"), [("total", 25), ("page", 10), (0, 0), (1, 1)])
def test_a_list_may_be_wrong_about_its_length(api: httpx.Client, sandbox: Sandbox, habit: Any, count: int) -> None:
    """`count` is the total, the page's own length, 0 or 1; the pages are the same."""
    for number in range(25):
        sandbox.add_chat(f"guest{number}")
    sandbox.shown_count = habit
    pages = [api.get("/chats", params={"skip": skip}).json() for skip in (0, 10, 20)]
    assert pages[0]["count"] == count
    assert len({one["id"] for page in pages for one in page["data"]}) == 25


def test_pages_may_be_shorter_or_heavier_than_asked_for(api: httpx.Client, sandbox: Sandbox) -> None:
    """Ten come although fifty were asked for; fifty weigh more than a megabyte."""
    for number in range(60):
        sandbox.add_chat(f"guest{number}")
    sandbox.page_size = 10
    assert len(api.get("/chats?limit=50&skip=5").json()["data"]) == 10
    sandbox.page_size, sandbox.padding = 50, 25_000
    assert len(api.get("/chats?limit=50").content) > 1_000_000


def test_a_page_of_the_shop_has_its_own_owner_and_a_person_other_ids(api: httpx.Client, sandbox: Sandbox) -> None:
    """Two brands of one account: one person has two chats with two owners and two user ids."""
    one = sandbox.add_chat("iryna.example")
    two = sandbox.add_chat("iryna.example", owner_id="17841400000000001", owner_name="brand.example")
    shown = [api.get(f"/chats/{chat}").json() for chat in (one, two)]
    assert [chat["ownerName"] for chat in shown] == ["shop.example", "brand.example"]
    assert len({chat["userId"] for chat in shown}) == 2
    assert sandbox.person_writes(two, "Вітаю")["sentBy"] == "17841400000000001"


def test_another_process_switches_habits_on(sandbox: Sandbox, api: httpx.Client, chat: str) -> None:
    """All of it goes through the controls, as JSON."""
    with httpx.Client(base_url=sandbox.url + "/_sandbox", trust_env=False) as control:
        changed = control.put("/settings", json={"refuses": {"note": 403}, "write_body": "before", "page_size": 10})
        assert (changed.status_code, changed.json()["refuses"]) == (200, {"note": 403})
        assert control.put("/settings", json={"refuses": ["note"]}).status_code == 400
        person = control.post("/person", json={"chat": chat, "closed": True, "nickname": "iryna.new"})
        assert person.json()["userNickName"] == "iryna.new"
        fault = control.post("/faults", json={"kind": "whole", "method": "PUT", "chance": 0.5, "seconds": 1})
        assert (fault.json()["chance"], fault.json()["options"]) == (0.5, {"seconds": 1})
    assert set_status(api, chat).json()["message"] == "chat is closed"


@pytest.mark.parametrize("ahead", [0.0, 240.0, -240.0])
def test_the_clock_of_its_answers_is_a_habit(api: httpx.Client, sandbox: Sandbox, ahead: float) -> None:
    """Each answer has a `Date`, of now or so far from it."""
    sandbox.clock_ahead = ahead
    before = datetime.now(UTC)
    told = parsedate_to_datetime(api.get("/managers").headers["date"])
    assert -1 <= (told - before).total_seconds() - ahead <= (datetime.now(UTC) - before).total_seconds()
