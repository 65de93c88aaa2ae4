"""The controls over HTTP, the events, and the sandbox that is served in the foreground."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import mirt_sitniks
from mirt_sitniks.sandbox import Sandbox


@pytest.fixture
def control(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A client of the controls; it has no key."""
    with httpx.Client(base_url=sandbox.url + "/_sandbox", timeout=5, trust_env=False) as client:
        yield client


def test_another_process_can_do_all_that_a_test_can(control: httpx.Client, api: httpx.Client, sandbox: Sandbox) -> None:
    """Chats, people, messages, faults, calls and the way back to the beginning."""
    made = control.post("/chats", json={"nickname": "iryna.example", "source": "telegram_bot", "manager": "Павло"})
    assert made.status_code == 201
    chat = made.json()["id"]
    assert control.get("/chats").json()["data"] == [sandbox.chat(chat)]
    shown = control.post("/person", json={"chat": chat, "status": "ОПЛАЧЕНО"})
    assert (shown.status_code, shown.json()["status"]) == (200, "ОПЛАЧЕНО")
    assert control.get("/history", params={"chat": chat}).json()["data"] == sandbox.history(chat)
    control.post("/messages", json={"chat": chat, "text": "Добрий день"})
    control.post("/messages", json={"chat": chat, "text": "Вітаю!", "by": "person"})
    messages = control.get("/messages", params={"chat": chat}).json()["data"]
    assert [message.get("managerName") for message in messages] == [None, "Павло"]
    assert control.get("/notes", params={"chat": chat}).json() == {"data": []}

    fault = {"kind": "status", "method": "GET", "path": "chats", "times": None, "status": 503, "body": "later"}
    assert control.post("/faults", json=fault).status_code == 201
    (armed,) = control.get("/faults").json()["data"]
    assert (armed["kind"], armed["path"], armed["times"], armed["options"]["status"]) == ("status", "chats", None, 503)
    assert api.get("/chats").status_code == 503
    control.delete("/faults")
    assert api.get("/chats").status_code == 200

    calls = control.get("/calls").json()
    assert [(call["status"], call["fault"]) for call in calls["data"]] == [(503, "status"), (200, None)]
    assert calls["most_in_window"] == 2
    control.post("/reset", json={})
    assert control.get("/chats").json() == {"data": []}
    assert sandbox.calls == ()


def test_another_process_can_keep_a_shop(control: httpx.Client, api: httpx.Client, sandbox: Sandbox) -> None:
    """A catalogue, statuses, orders by hand and what a person does with them."""
    made = control.post("/variations", json={"sku": "SUKNYA-M", "price": "1299.50", "title": "Сукня"})
    assert made.status_code == 201
    variation = made.json()["id"]
    assert control.get("/variations").json()["data"] == sandbox.variations
    changed = control.put("/settings", json={"order_statuses": {"10": "Нове", "20": "Готово"}, "order_shows": "all"})
    assert (changed.status_code, sandbox.order_statuses) == (200, {10: "Нове", 20: "Готово"})
    body = {"client": {"fullname": "Олена К."}, "offers": [{"itemId": variation}], "externalId": "e1"}
    order = control.post("/orders", json={"body": body, "created_ago": 60}).json()["id"]
    assert control.post("/order", json={"order": order, "status": 20, "waybill": "2045"}).status_code == 200
    (shown,) = control.get("/orders").json()["data"]
    assert shown == api.get(f"/orders/{order}").json()
    assert (shown["totalPrice"], shown["status"]["title"]) == (1299.5, "Готово")
    assert control.post("/order", json={"order": order, "deleted": True}).status_code == 200
    assert control.get("/orders").json() == {"data": []}


def test_settings_can_be_read_and_changed(control: httpx.Client, sandbox: Sandbox) -> None:
    """Each habit, the key, the statuses and the managers; what is wrong changes nothing."""
    settings = control.get("/settings").json()
    assert (settings["limit"], settings["key"], settings["managers"]["101"]) == (False, "sandbox-key", "Павло")
    changed = control.put("/settings", json={"trial": True, "managers": {"5": "Ада"}, "key": "new"}).json()
    assert (changed["trial"], changed["managers"], sandbox.trial, sandbox.key) == (True, {"5": "Ада"}, True, "new")
    assert control.put("/settings", json={"colour": "red"}).status_code == 400
    assert control.put("/settings", json={"latency": "soon"}).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/history?chat=none", None, 404),
        ("GET", "/history", None, 404),
        ("GET", "/chat?chat=none", None, 404),
        ("POST", "/messages", {"chat": "none", "text": "a"}, 404),
        ("POST", "/messages", {"chat": "none", "text": "a", "by": "nobody"}, 400),
        ("POST", "/person", {"chat": "none", "status": "ОПЛАЧЕНО"}, 404),
        ("POST", "/chats", {"nickname": "a", "status": "none"}, 400),
        ("POST", "/chats", {"nickname": "a", "colour": "red"}, 400),
        ("POST", "/chats", [], 400),
        ("POST", "/order", {"order": 1, "status": 2}, 404),
        ("POST", "/orders", {"body": {"client": {}}}, 400),
        ("POST", "/variations", {"sku": "A", "price": "free"}, 400),
        ("PUT", "/settings", {"order_statuses": {"one": "Нове"}}, 400),
        ("POST", "/faults", {"kind": "none"}, 400),
        ("POST", "/faults", {"kind": "reset", "path": "("}, 400),
        ("GET", "/nowhere", None, 404),
    ],
)
def test_mistakes_are_named(control: httpx.Client, method: str, path: str, body: Any, status: int) -> None:
    """What is unknown is 404, what is wrong 400, and nothing is 500."""
    assert control.request(method, path, json=body).status_code == status


def test_pages_of_other_sites_cannot_use_the_controls(control: httpx.Client, sandbox: Sandbox) -> None:
    """A form of another page cannot send JSON, and a name that leads here by trickery is not served."""
    form = control.post("/chats", content='{"nickname": "a"}', headers={"Content-Type": "text/plain"})
    assert form.status_code == 400
    assert control.get("/calls", headers={"Host": "evil.example"}).status_code == 400
    assert httpx.get(sandbox.url, headers={"Host": "evil.example"}, trust_env=False).status_code == 400
    assert sandbox.chats() == []


def events(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    return (json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: "))


def test_the_board_is_told_of_every_change(control: httpx.Client, sandbox: Sandbox) -> None:
    """The first event has all there is; a change, and a chat that appears by time alone, come by themselves."""
    chat = sandbox.add_chat("iryna.example", name="Ірина К.")
    with control.stream("GET", "/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        stream = events(answer)
        (card,) = next(stream)["chats"]
        assert (card["id"], card["status"], card["by"]) == (chat, "Нові заявки", None)
        sandbox.person_sets(chat, status="ОПЛАЧЕНО")
        (card,) = next(stream)["chats"]
        assert (card["status"], card["by"]) == ("ОПЛАЧЕНО", "person")
        late = sandbox.add_chat("late", appears_in=0.1)
        assert any(late in [card["id"] for card in view["chats"]] for view, _ in zip(stream, range(5), strict=False))


def test_what_the_board_is_told_stays_small(control: httpx.Client, api: httpx.Client, sandbox: Sandbox) -> None:
    """Sixty lines at most, a message's first words, and of a body what the log says of it."""
    chat = sandbox.add_chat("iryna.example", text="x" * 100_000)
    for _ in range(70):
        api.post(f"/chats/{chat}/notes", json={"text": "x" * 10_000})
    api.patch(f"/chats/{chat}/status", json={"status": "AI Увага", "more": "x" * 10_000})
    with control.stream("GET", "/events") as answer:
        view = next(events(answer))
    assert len(json.dumps(view)) < 30_000
    assert (len(view["log"]), view["log_total"], view["chats"][0]["notes"]) == (60, 71, 70)
    assert view["log"][-1]["body"] == {"status": "AI Увага"}


def test_the_board_page_needs_nothing_from_elsewhere(sandbox: Sandbox) -> None:
    """Its files name no other place, run nothing that stands in a text, and are held to both by their policy."""
    with httpx.Client(base_url=sandbox.url, trust_env=False) as client:
        names = [file.name for file in Path(mirt_sitniks.__file__).parent.joinpath("sandbox", "page").iterdir()]
        assert {"main.js", "look.css", "words.js"} < set(names)
        for name in names:
            page = client.get(f"/page/{name}")
            policy = page.headers["content-security-policy"]
            assert (page.status_code, "default-src 'none'" in policy, "unsafe" in policy) == (200, True, False)
            assert not re.search("https:|innerHTML|outerHTML|insertAdjacentHTML|style=| on[a-z]+=[\"']", page.text)
            linked = re.findall(r"""(?:from|href=|src=) ?"(?:page/|\./)([^"]+)""", page.text)
            assert set(linked) <= set(names)
        assert client.get("/").text == client.get("/page/index.html").text
        for name in ("board.py", "%2e%2e%2fboard.py", "__init__.py", ""):
            assert client.get(f"/page/{name}").status_code == 404


def test_an_open_chat_shows_names_and_dates(control: httpx.Client, api: httpx.Client, sandbox: Sandbox) -> None:
    """Its messages say whether the customer wrote, its changes when they were and whom they name."""
    chat = sandbox.add_chat("iryna.example", text="Є?")
    api.put(f"/chats/{chat}", json={"assignedManagerId": 101})
    sandbox.person_writes(chat, "Так")
    shown = control.get("/chat", params={"chat": chat}).json()
    assert [(one["text"], one["customer"]) for one in shown["messages"]] == [("Є?", True), ("Так", False)]
    (change,) = shown["history"]
    assert [change[name] for name in ("field", "before", "after", "by")] == ["manager", None, "Павло", "api"]
    assert change["date"] >= shown["messages"][0]["createdAt"]


def test_it_can_be_served_in_the_foreground() -> None:
    """`serve` says where it is and with which key, serves, and ends cleanly on SIGTERM."""
    code = "from mirt_sitniks.sandbox import serve; serve(0, key='shown-key')"
    env = {**os.environ, "PYTHONPATH": str(Path(mirt_sitniks.__file__).parents[1])}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        said = dict(line.strip().split("=") for line in [process.stdout.readline() for _ in range(3)] if "=" in line)
        headers = {"Authorization": f"Bearer {said['SNITKIX_API_KEY']}"}
        url = said["SNITKIX_API_URL"] + "/open-api/managers"
        assert httpx.get(url, headers=headers, trust_env=False).json()["count"] == 3
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
