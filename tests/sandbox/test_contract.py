"""The Open API's contract, over real HTTP."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from mirt_sitniks.sandbox import Sandbox

ApiOf = Callable[..., httpx.Client]
CAPTURED_KEYS = [
    "id",
    "assignedManagerName",
    "initialSource",
    "ownerId",
    "ownerName",
    "status",
    "tags",
    "userId",
    "userName",
    "userNickName",
    "lastMessageCreatedAt",
    "createdAt",
    "updatedAt",
]


def ids(answer: httpx.Response) -> list[Any]:
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["data"]]


@pytest.mark.parametrize(
    "header", [None, "Bearer other", "Bearer", "sandbox-key", "Basic sandbox-key", "Bearer  sandbox-key"]
)
def test_a_wrong_or_missing_key_is_401_everywhere(sandbox: Sandbox, header: str | None) -> None:
    """Without the key nothing is told, not even which paths there are, and nothing is changed."""
    chat = sandbox.add_chat("iryna.example")
    headers = {"Authorization": header} if header is not None else {}
    with httpx.Client(base_url=sandbox.url + "/open-api", headers=headers, trust_env=False) as api:
        answers = [
            api.get("/chats"),
            api.get("/nowhere"),
            api.patch(f"/chats/{chat}/status", json={"status": "AI Увага"}),
        ]
    assert {answer.status_code for answer in answers} == {401}
    assert sandbox.chat(chat)["status"] == "Нові заявки"
    assert [call.key_ok for call in sandbox.calls] == [False] * 3


def test_the_trial_plan_is_403_for_every_call(api: httpx.Client, sandbox: Sandbox) -> None:
    """An account on the trial plan has the right key and may do nothing."""
    sandbox.trial = True
    assert {api.get(path).status_code for path in ("/chats", "/managers", "/nowhere")} == {403}
    sandbox.trial = False
    assert api.get("/chats").status_code == 200


def test_a_new_key_replaces_the_old_one(sandbox: Sandbox, api: httpx.Client, api_of: ApiOf) -> None:
    """When the account's key is changed, the old one is wrong and the new one works at once."""
    sandbox.key = "another"
    assert api.get("/chats").status_code == 401
    assert api_of(sandbox).get("/chats").status_code == 200


def test_a_chat_looks_like_the_captured_one(api: httpx.Client, sandbox: Sandbox) -> None:
    """Keys and their order are the captured chat's, times have milliseconds and Z, ids are text."""
    sandbox.show_manager_id = False
    chat_id = sandbox.add_chat("iryna.example", name="Ірина К.", manager="Олена", created_ago=66, last_message_ago=1)
    chat = api.get(f"/chats/{chat_id}").json()
    assert list(chat) == CAPTURED_KEYS
    assert re.fullmatch("[0-9a-f]{24}", chat_id)
    assert chat["userId"].isdigit()
    for key in ("lastMessageCreatedAt", "createdAt", "updatedAt"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", chat[key])
    assert chat["createdAt"] < chat["lastMessageCreatedAt"]
    assert (chat["assignedManagerName"], chat["userNickName"]) == ("Олена", "iryna.example")
    assert api.get("/chats").json() == {"data": [chat], "count": 1}


def test_the_open_questions_of_a_chat_can_be_answered_both_ways(api: httpx.Client, sandbox: Sandbox) -> None:
    """The manager's id is there or not, the status is text or an object, as the test chooses."""
    chat_id = sandbox.add_chat("iryna.example", manager=102)
    assert api.get(f"/chats/{chat_id}").json()["assignedManagerId"] == 102
    sandbox.show_manager_id = False
    sandbox.status_shape = "object"
    chat = api.get(f"/chats/{chat_id}").json()
    assert "assignedManagerId" not in chat
    assert chat["status"] == {"title": "Нові заявки"}


def test_pages_cover_all_chats_once(api: httpx.Client, sandbox: Sandbox) -> None:
    """`skip` and `limit` walk through all chats, `count` is the total, no page is longer than 50."""
    added = {sandbox.add_chat(f"guest{number}", created_ago=number) for number in range(120)}
    pages = [api.get("/chats", params={"limit": 50, "skip": skip}) for skip in (0, 50, 100, 150)]
    assert [len(ids(page)) for page in pages] == [50, 50, 20, 0]
    assert {page.json()["count"] for page in pages} == {120}
    assert {one for page in pages for one in ids(page)} == added


@pytest.mark.parametrize(
    "query",
    [
        "limit=51",
        "limit=0",
        "limit=-1",
        "limit=ten",
        "limit=",
        "skip=-1",
        "skip=1.5",
        "limit=10&limit=10",
        "startDate=&endDate=2026-06-05T13:18:06.940Z",
        "startDate=yesterday",
        "startDate=2026-13-05T13:18:06.940Z",
        "firstMessageEndDate=1780000000",
    ],
)
def test_a_query_that_makes_no_sense_is_400(api: httpx.Client, query: str) -> None:
    """Page sizes above 50, numbers that are none, and dates that are none are refused."""
    answer = api.get(f"/chats?{query}")
    assert answer.status_code == 400
    assert answer.json()["statusCode"] == 400


def test_unknown_query_parameters_are_ignored(api: httpx.Client, sandbox: Sandbox) -> None:
    """A filter that the service does not know filters nothing: 200 with the whole list, though it be named twice."""
    added = {sandbox.add_chat("iryna.example"), sandbox.add_chat("bohdan.example")}
    assert set(ids(api.get("/chats?search=iryna&userNickName=iryna&search=b&page=2&userName="))) == added
    assert api.get(f"/chats/{added.pop()}?fields=id").status_code == 200
    assert len(api.get("/managers?search=Олена").json()["data"]) == 3


def test_chats_are_filtered_by_exact_status_and_source(api: httpx.Client, sandbox: Sandbox) -> None:
    """`status` and `initialSource` match whole values, letter case included."""
    one = sandbox.add_chat("one", source="instagram", status="ОПЛАЧЕНО")
    two = sandbox.add_chat("two", source="telegram_bot", status="ОПЛАЧЕНО")
    assert set(ids(api.get("/chats", params={"status": "ОПЛАЧЕНО"}))) == {one, two}
    assert ids(api.get("/chats", params={"status": "ОПЛАЧЕНО", "initialSource": "telegram_bot"})) == [two]
    assert ids(api.get("/chats", params={"status": "оплачено"})) == []
    assert ids(api.get("/chats", params={"initialSource": "telegram"})) == []


def test_dates_filter_on_creation_or_on_the_last_message(sandbox: Sandbox, api: httpx.Client) -> None:
    """A returning customer's old chat is in the window unless the filter looks at the creation, by habit or by name."""
    old = sandbox.add_chat("old", created_ago=90_000, last_message_ago=10)
    new = sandbox.add_chat("new", created_ago=20, last_message_ago=20)
    now = sandbox.account.clock.now()
    window = _window("", sandbox, now - 300, now + 1)
    assert ids(api.get("/chats", params=window)) == [old, new]
    first = _window("firstMessage", sandbox, now - 300, now + 1)
    assert ids(api.get("/chats", params=first)) == [new]
    sandbox.date_filter = "created"
    assert ids(api.get("/chats", params=window)) == [new]


def _window(prefix: str, sandbox: Sandbox, since: float, until: float) -> dict[str, str]:
    start, end = (f"{prefix}{word}Date" if prefix else f"{word.lower()}Date" for word in ("Start", "End"))
    dates = [sandbox.account.clock.date(at).isoformat(timespec="milliseconds")[:-6] + "Z" for at in (since, until)]
    return {start: dates[0], end: dates[1]}


def test_the_edges_of_a_window_belong_to_it(api_of: ApiOf, clock: Any) -> None:
    """A chat that was made in the very millisecond of startDate or endDate is found."""
    with Sandbox(clock=clock) as sandbox:
        chat = sandbox.add_chat("edge")
        date = sandbox.chat(chat)["createdAt"]
        assert ids(api_of(sandbox).get("/chats", params={"startDate": date, "endDate": date})) == [chat]


# One moment, in the forms that programs send; none of the offsets moves it.
FORMS = [
    "2027-01-15T08:00:00.000Z",
    "2027-01-15T08:00:00Z",
    "2027-01-15T08:00:00%2B02:00",
    "2027-01-15T08:00:00.000000%2B00:00",
    "2027-01-15T08:00:00.000%2B0200",
    "2027-01-15T08:00:00+02:00",
    "2027-01-15T08:00:00-05:00",
    "2027-01-15T08:00:00",
    "2027-01-15T08:00:00.000000",
    "2027-01-15T08:00",
    "2027-01-15%2008:00:00",
]


@pytest.mark.parametrize("form", FORMS)
def test_a_date_may_have_any_form_and_its_offset_is_ignored(api_of: ApiOf, clock: Any, form: str) -> None:
    """The wall clock is read as UTC: a bound is neither a millisecond earlier nor an offset later. Ends may miss."""
    with Sandbox(clock=clock) as sandbox:
        at = [sandbox.add_chat(f"guest{number}", created_ago=number / 1000) for number in (1, 0, -1)]
        assert sandbox.account.clock.date().isoformat() == "2027-01-15T08:00:00+00:00"
        api = api_of(sandbox)
        sandbox.date_filter = "created"
        assert set(ids(api.get(f"/chats?startDate={form}"))) == set(at[1:])
        assert set(ids(api.get(f"/chats?endDate={form}"))) == set(at[:2])
        assert ids(api.get(f"/chats?startDate={form}&endDate={form}")) == [at[1]]
        assert set(ids(api.get(f"/chats?firstMessageStartDate={form}"))) == set(at[1:])
        assert len(ids(api.get("/chats"))) == 3


def test_a_day_without_a_time_begins_at_midnight_utc(api_of: ApiOf, clock: Any) -> None:
    """A date alone is its first moment, at both ends."""
    with Sandbox(clock=clock) as sandbox:
        api = api_of(sandbox)
        chat = sandbox.add_chat("iryna.example")
        assert ids(api.get("/chats?startDate=2027-01-15&endDate=2027-01-16")) == [chat]
        assert ids(api.get("/chats?endDate=2027-01-15")) == []


def test_no_match_is_an_empty_list(api: httpx.Client) -> None:
    """Nothing found is 200, not 404."""
    answer = api.get("/chats", params={"status": "Нові заявки"})
    assert (answer.status_code, answer.json()) == (200, {"data": [], "count": 0})


def test_a_chat_that_appears_later_is_hidden_until_then(api_of: ApiOf, clock: Any) -> None:
    """Before its time a chat is in no list and GET, PATCH and PUT answer 404; afterwards it is there."""
    with Sandbox(clock=clock) as sandbox:
        api = api_of(sandbox)
        chat = sandbox.add_chat("late", appears_in=30)
        clock.pass_by(29.9)
        assert ids(api.get("/chats")) == []
        assert api.get(f"/chats/{chat}").status_code == 404
        assert api.patch(f"/chats/{chat}/status", json={"status": "AI Увага"}).status_code == 404
        assert api.put(f"/chats/{chat}", json={"tags": []}).status_code == 404
        clock.pass_by(0.1)
        assert ids(api.get("/chats")) == [chat]
        assert api.get(f"/chats/{chat}").status_code == 200
        assert sandbox.history(chat) == []


def test_patch_sets_the_status(api: httpx.Client, sandbox: Sandbox) -> None:
    """A status that the account has is set and noted once; the same again changes nothing."""
    chat = sandbox.add_chat("iryna.example")
    for _ in range(2):
        answer = api.patch(f"/chats/{chat}/status", json={"status": "Взято в роботу"})
        assert (answer.status_code, answer.json()["status"]) == (200, "Взято в роботу")
    (change,) = sandbox.history(chat)
    assert {key: change[key] for key in ("field", "before", "after", "by")} == {
        "field": "status",
        "before": "Нові заявки",
        "after": "Взято в роботу",
        "by": "api",
    }


def test_a_write_may_answer_with_nothing(api: httpx.Client, sandbox: Sandbox) -> None:
    """With `write_body` "empty" a write has its effect and no body."""
    chat = sandbox.add_chat("iryna.example")
    sandbox.write_body = "empty"
    status = api.patch(f"/chats/{chat}/status", json={"status": "AI Увага"})
    manager = api.put(f"/chats/{chat}", json={"assignedManagerId": 102})
    assert [(answer.status_code, answer.content) for answer in (status, manager)] == [(200, b"")] * 2
    assert (sandbox.chat(chat)["status"], sandbox.chat(chat)["assignedManagerId"]) == ("AI Увага", 102)


@pytest.mark.parametrize("code", [400, 422])
def test_a_status_that_the_account_lacks_is_refused(api: httpx.Client, sandbox: Sandbox, code: Any) -> None:
    """An unknown status is 400, or 422 when the test says so, and the chat stays where it was."""
    chat = sandbox.add_chat("iryna.example")
    sandbox.unknown_status = code
    answer = api.patch(f"/chats/{chat}/status", json={"status": "взято в роботу"})
    assert answer.status_code == code
    assert sandbox.history(chat) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b'"AI"',
        b"{}",
        b'{"status": null}',
        b'{"status": 5}',
        b'{"status": ""}',
        b"\xff\xfe",
    ],
)
def test_a_status_body_of_another_shape_is_400(api: httpx.Client, sandbox: Sandbox, body: bytes) -> None:
    """The body is {"status": text}, whatever else it holds."""
    chat = sandbox.add_chat("iryna.example")
    answer = api.patch(f"/chats/{chat}/status", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert sandbox.history(chat) == []


def test_a_body_that_is_not_called_json_is_400(api: httpx.Client, sandbox: Sandbox) -> None:
    """JSON in means that its content type says so."""
    chat = sandbox.add_chat("iryna.example")
    content = '{"status": "AI Увага"}'.encode()
    assert api.patch(f"/chats/{chat}/status", content=content).status_code == 400
    assert api.patch(f"/chats/{chat}/status", data={"status": "AI Увага"}).status_code == 400


def test_put_sets_manager_and_tags(api: httpx.Client, sandbox: Sandbox) -> None:
    """Each key is optional; tags replace the whole list; both are noted."""
    chat = sandbox.add_chat("iryna.example")
    assert api.put(f"/chats/{chat}", json={"assignedManagerId": 103, "tags": ["a", "b"]}).status_code == 200
    shown = api.put(f"/chats/{chat}", json={"tags": ["c"]}).json()
    assert (shown["assignedManagerName"], shown["assignedManagerId"], shown["tags"]) == ("Марко", 103, ["c"])
    assert api.put(f"/chats/{chat}", json={}).status_code == 200
    changes = [(change["field"], change["before"], change["after"]) for change in sandbox.history(chat)]
    assert changes == [("manager", None, 103), ("tags", [], ["a", "b"]), ("tags", ["a", "b"], ["c"])]


@pytest.mark.parametrize(
    "body",
    [
        {"assignedManagerId": 999},
        {"assignedManagerId": "101"},
        {"assignedManagerId": True},
        {"assignedManagerId": None},
        {"assignedManagerId": 101, "tags": "vip"},
        {"assignedManagerId": 101, "tags": [1]},
    ],
)
def test_a_put_of_another_shape_is_400(api: httpx.Client, sandbox: Sandbox, body: dict[str, Any]) -> None:
    """Only a known manager's number and a list of texts are taken; a bad half spoils the whole."""
    sandbox.managers = {1: "True counts as 1 in Python", 101: "Павло"}
    chat = sandbox.add_chat("iryna.example")
    assert api.put(f"/chats/{chat}", json=body).status_code == 400
    assert sandbox.history(chat) == []


@pytest.mark.parametrize("body", [{"status": "AI Увага"}, {"managerId": 102}, {"assignedManagerName": "Олена"}])
def test_unknown_properties_are_ignored(api: httpx.Client, sandbox: Sandbox, body: dict[str, Any]) -> None:
    """PUT with what it does not know is 200 and changes nothing; beside what it knows it does no harm."""
    chat = sandbox.add_chat("iryna.example")
    before = sandbox.chat(chat)
    answer = api.put(f"/chats/{chat}", json=body)
    assert (answer.status_code, answer.json()) == (200, before)
    assert sandbox.history(chat) == []
    assert api.put(f"/chats/{chat}", json={**body, "tags": ["vip"]}).json() == {**before, "tags": ["vip"]} | {
        "updatedAt": sandbox.chat(chat)["updatedAt"]
    }
    assert api.patch(f"/chats/{chat}/status", json={"note": 1, **body, "status": "ОПЛАЧЕНО"}).status_code == 200
    assert [change["field"] for change in sandbox.history(chat)] == ["tags", "status"]


def test_a_plan_may_ignore_the_manager(api: httpx.Client, sandbox: Sandbox) -> None:
    """With `managers_refuse` PUT answers 200 and nobody is assigned, while tags are still set."""
    chat = sandbox.add_chat("iryna.example")
    sandbox.managers_refuse = True
    assert api.put(f"/chats/{chat}", json={"assignedManagerId": 102, "tags": ["x"]}).status_code == 200
    assert [change["field"] for change in sandbox.history(chat)] == ["tags"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/open-api/chats/{chat}"),
        ("GET", "/open-api/chats/"),
        ("GET", "/open-api/transactions"),
        ("GET", "/open-api/"),
        ("GET", "/open-api"),
        ("GET", "/open-api/chats/{chat}/notes/1"),
        ("POST", "/open-api/chats"),
        ("DELETE", "/open-api/chats/{chat}"),
        ("POST", "/open-api/chats/{chat}/status"),
        ("PUT", "/open-api/chats/{chat}/status"),
        ("GET", "/open-api/chats/{chat}/notes"),
        ("GET", "/open-api/open-api/chats"),
        ("GET", "/chats"),
        ("PUT", "/api/chats/{chat}"),
    ],
)
def test_what_is_no_endpoint_is_404_in_the_service_s_words(
    api: httpx.Client, sandbox: Sandbox, method: str, path: str
) -> None:
    """An unknown path and a known one with another method are the same; so is what lies outside /open-api."""
    path = path.format(chat=sandbox.add_chat("iryna.example"))
    answer = api.request(method, sandbox.url + path, json={"assignedManagerId": 101})
    assert answer.status_code == 404
    assert answer.json() == {"statusCode": 404, "message": f"Cannot {method} {path}", "error": "Not Found"}


def test_a_chat_that_is_not_there_is_404(api: httpx.Client, sandbox: Sandbox) -> None:
    """Its words differ from those of a missing route; an id's letters may be large."""
    answer = api.get("/chats/ffffffffffffffffffffffff")
    assert (answer.status_code, answer.json()["message"]) == (404, "Chat not found")
    chat = sandbox.add_chat("iryna.example", chat_id="6a22cc8ee056c3833dba0c2e")
    assert api.patch("/chats/6A22CC8EE056C3833DBA0C2E/status", json={"status": "ОПЛАЧЕНО"}).json()["id"] == chat


def test_an_encoded_id_stays_one_segment(api: httpx.Client, sandbox: Sandbox) -> None:
    """An id is read from its own segment: an encoded slash leads nowhere else, and is found when it is the id."""
    sandbox.add_chat("one", chat_id="a/b")
    assert api.get("/chats/a%2Fb").json()["id"] == "a/b"
    assert api.get("/chats/a/b").status_code == 404
    assert api.patch("/chats/a%2Fb%2Fstatus", json={"status": "AI Увага"}).status_code == 404


def test_messages_come_newest_first_in_pages_of_ten_without_count(api: httpx.Client, sandbox: Sandbox) -> None:
    """The list has no `count`; `isComment` tells comments from direct messages; the sender tells who wrote."""
    chat = sandbox.add_chat("iryna.example", manager="Олена")
    for number in range(11):
        sandbox.customer_writes(chat, f"повідомлення {number}")
    sandbox.customer_writes(chat, "під постом", comment_id="17900000000000000")
    sandbox.person_writes(chat, "Добрий день!")
    page = api.get(f"/chats/{chat}/messages").json()
    assert list(page) == ["data"]
    assert [message["text"] for message in page["data"]][:3] == ["Добрий день!", "під постом", "повідомлення 10"]
    assert len(page["data"]) == 10
    assert len(api.get(f"/chats/{chat}/messages?skip=10").json()["data"]) == 3
    assert [one["text"] for one in api.get(f"/chats/{chat}/messages?isComment=true").json()["data"]] == ["під постом"]
    assert len(api.get(f"/chats/{chat}/messages?isComment=false&limit=50").json()["data"]) == 12
    assert api.get(f"/chats/{chat}/messages?isComment=1").status_code == 400
    shown = api.get(f"/chats/{chat}").json()
    assert (page["data"][0]["sentBy"], page["data"][0]["managerName"]) == (shown["ownerId"], "Олена")
    assert page["data"][1]["sentBy"] == shown["userId"]
    assert "managerName" not in page["data"][1]


def test_a_message_writes_to_the_customer(api: httpx.Client, sandbox: Sandbox) -> None:
    """POST answers 201 with the Message, which then stands in the chat; an empty text is refused."""
    chat = sandbox.add_chat("iryna.example", created_ago=60, last_message_ago=60)
    before = sandbox.chat(chat)["lastMessageCreatedAt"]
    answer = api.post(f"/chats/{chat}/messages", json={"text": "Доброго дня", "attachments": ["https://a.example/1"]})
    assert answer.status_code == 201
    assert sandbox.messages(chat) == [answer.json()]
    assert sandbox.chat(chat)["lastMessageCreatedAt"] > before
    assert api.post(f"/chats/{chat}/messages", json={"text": " "}).status_code == 400
    assert api.post(f"/chats/{chat}/messages", json={"text": "a", "attachments": [1]}).status_code == 400


def test_a_message_without_attachments_breaks_the_service(api: httpx.Client, sandbox: Sandbox) -> None:
    """500 without the list, be it empty, and in TikTok's chats always; nothing is written."""
    chat, tiktok = sandbox.add_chat("iryna.example"), sandbox.add_chat("olena.example", source="tiktok")
    plain = api.post(f"/chats/{chat}/messages", json={"text": "a"})
    always = api.post(f"/chats/{tiktok}/messages", json={"text": "a", "attachments": []})
    # The contract's refusal, and no crash of the sandbox, which would be a 500 as well.
    assert [one.status_code for one in (plain, always)] == [500, 500]
    assert plain.json()["statusCode"] == always.json()["statusCode"] == 500
    assert sandbox.messages(chat) + sandbox.messages(tiktok) == []


def test_the_writer_shows_in_a_message(api: httpx.Client, sandbox: Sandbox) -> None:
    """The customer by `sentBy`, a manager by a name, the API by an empty one, a phone's app by none."""
    chat = sandbox.add_chat("iryna.example", manager="Павло", text="Є?")
    sandbox.person_writes(chat, "Так")
    sandbox.person_writes(chat, "Є", manager=102)
    sandbox.phone_writes(chat, "Беріть")
    api.post(f"/chats/{chat}/messages", json={"text": "Оформити?", "attachments": []})
    shown = api.get(f"/chats/{chat}").json()
    told = [(one["sentBy"] == shown["userId"], one.get("managerName")) for one in sandbox.messages(chat)]
    assert told == [(True, None), (False, "Павло"), (False, "Олена"), (False, None), (False, "")]
    with pytest.raises(ValueError, match="no manager"):
        sandbox.person_writes(chat, "?", manager="Ніхто")


def test_a_note_is_for_staff(api: httpx.Client, sandbox: Sandbox) -> None:
    """POST answers with the Note; it is no message."""
    chat = sandbox.add_chat("iryna.example")
    note = api.post(f"/chats/{chat}/notes", json={"text": "просить менеджера"}).json()
    assert list(note) == ["text", "managerName", "createdAt"]
    assert sandbox.notes(chat) == [note]
    assert sandbox.messages(chat) == []
    assert api.post(f"/chats/{chat}/notes", json={}).status_code == 400


def test_managers_come_in_pages(api: httpx.Client, sandbox: Sandbox) -> None:
    """The default account has three people; two may bear one name."""
    assert api.get("/managers").json() == {
        "data": [
            {"id": 101, "user": {"fullname": "Павло"}},
            {"id": 102, "user": {"fullname": "Олена"}},
            {"id": 103, "user": {"fullname": "Марко"}},
        ],
        "count": 3,
    }
    sandbox.managers = [(number, "Олена") for number in range(120)]
    assert ids(api.get("/managers?limit=100&skip=100")) == list(range(100, 120))
    assert ids(api.get("/managers?limit=100")) == list(range(100))
    assert len(ids(api.get("/managers"))) == 10
    assert api.get("/managers?limit=101").status_code == 400


def test_calls_are_recorded_as_they_came(api: httpx.Client, sandbox: Sandbox, api_of: ApiOf) -> None:
    """Each call has method, path, query, body and status; the count can be narrowed; the key is nowhere."""
    chat = sandbox.add_chat("iryna.example")
    api.get("/chats", params={"status": "AI Увага"})
    api.patch(f"/chats/{chat}/status", json={"status": "AI Увага"})
    api_of(sandbox, key="wrong").get("/managers")
    listing, write, wrong = sandbox.calls
    assert (listing.path, listing.query, listing.body) == ("/open-api/chats", {"status": "AI Увага"}, None)
    assert (write.method, write.body, write.status) == ("PATCH", {"status": "AI Увага"}, 200)
    assert (wrong.status, wrong.key_ok, wrong.fault) == (401, False, None)
    assert (sandbox.count(), sandbox.count("GET"), sandbox.count(path="status$")) == (3, 2, 1)
    assert sandbox.count("PATCH", f"/chats/{chat}/") == 1
    assert sandbox.key not in repr(sandbox.calls)
