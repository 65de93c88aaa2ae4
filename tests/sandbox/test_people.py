"""What the object in a test's hand can do: people who act, history, waiting, and many threads at once."""

import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from mirt_sitniks.sandbox import Sandbox

ApiOf = Callable[..., httpx.Client]


def test_a_person_acts_without_the_api(clock: Any) -> None:
    """A person's change is in the history under "person", takes names and ids, and is no call."""
    with Sandbox(clock=clock) as sandbox:
        chat = sandbox.add_chat("iryna.example", manager="Павло")
        clock.pass_by(7)
        sandbox.person_sets(chat, status="ОПЛАЧЕНО", manager="Марко")
        sandbox.person_sets(chat, manager=102)
        sandbox.person_sets(chat)
        at = clock.seconds
        assert sandbox.history(chat) == [
            {"at": at, "field": "status", "before": "Нові заявки", "after": "ОПЛАЧЕНО", "by": "person"},
            {"at": at, "field": "manager", "before": 101, "after": 103, "by": "person"},
            {"at": at, "field": "manager", "before": 103, "after": 102, "by": "person"},
        ]
        assert sandbox.calls == ()
        assert sandbox.chat(chat)["updatedAt"] > sandbox.chat(chat)["createdAt"]


def test_a_persons_typing_error_changes_nothing(sandbox: Sandbox) -> None:
    """An unknown manager, status or chat is refused before anything is done."""
    chat = sandbox.add_chat("iryna.example")
    with pytest.raises(ValueError, match="there is no manager 'Ніхто'"):
        sandbox.person_sets(chat, status="ОПЛАЧЕНО", manager="Ніхто")
    with pytest.raises(ValueError, match="has no status"):
        sandbox.person_sets(chat, status="Оплачено", manager=102)
    with pytest.raises(KeyError):
        sandbox.person_sets("ffffffffffffffffffffffff", status="ОПЛАЧЕНО")
    with pytest.raises(ValueError, match="already"):
        sandbox.add_chat("iryna.example", chat_id=chat)
    assert sandbox.history(chat) == []


def test_the_account_may_have_other_people_and_statuses(api: httpx.Client, sandbox: Sandbox) -> None:
    """Managers are pairs or a dict, may be renamed while chats are theirs, and statuses can be the account's own."""
    sandbox.managers = {7: "Олена"}
    chat = sandbox.add_chat("iryna.example", manager=7)
    sandbox.managers = [(7, "Олена Приклад")]
    assert api.get(f"/chats/{chat}").json()["assignedManagerName"] == "Олена Приклад"
    sandbox.statuses = ("Новый", "Готово")
    assert api.patch(f"/chats/{chat}/status", json={"status": "Готово"}).status_code == 200
    assert api.patch(f"/chats/{chat}/status", json={"status": "AI Увага"}).status_code == 400
    with Sandbox(managers=[]) as nobody:
        assert nobody.managers == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [("date_filter", "updated"), ("unknown_status", 404), ("trial", 1), ("latency", -1), ("latency", True)],
)
def test_a_habit_that_cannot_be_is_refused(sandbox: Sandbox, name: str, value: Any) -> None:
    """A misspelt habit would silently test nothing."""
    with pytest.raises(ValueError, match=name):
        setattr(sandbox, name, value)


def test_waiting_ends_with_the_condition_or_its_time(sandbox: Sandbox) -> None:
    """A change from another thread wakes the waiting one; what never comes is a TimeoutError."""
    chat = sandbox.add_chat("iryna.example")
    threading.Timer(0.01, sandbox.person_sets, (chat, "ОПЛАЧЕНО")).start()
    sandbox.wait(lambda: sandbox.history(chat))
    with pytest.raises(TimeoutError):
        sandbox.wait(lambda: sandbox.count(), seconds=0.01)


def test_threads_and_calls_do_not_disturb_each_other(sandbox: Sandbox, api_of: ApiOf) -> None:
    """Calls and people from eight threads at once: every call is recorded and every change continues the one before."""
    chat = sandbox.add_chat("iryna.example")
    failures: list[object] = []

    def work(number: int, api: httpx.Client) -> None:
        try:
            for turn in range(10):
                status = sandbox.statuses[(number + turn) % 6]
                answer = api.patch(f"/chats/{chat}/status", json={"status": status})
                sandbox.person_sets(chat, manager=101 + (number + turn) % 3)
                if answer.status_code != 200:
                    failures.append(answer)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number, api_of(sandbox))) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sandbox.count("PATCH") == 80
    moves = [change for change in sandbox.history(chat) if change["field"] == "status"]
    assert [move["before"] for move in moves[1:]] == [move["after"] for move in moves[:-1]]
    assert moves[-1]["after"] == sandbox.chat(chat)["status"]


def test_the_sandbox_listens_on_loopback_only_and_comes_back(sandbox: Sandbox) -> None:
    """The address is 127.0.0.1; stopped it refuses, started again it has the same port and the same chats."""
    chat, url = sandbox.add_chat("iryna.example"), sandbox.url
    assert urlsplit(url).hostname == "127.0.0.1"
    sandbox.stop()
    with pytest.raises(RuntimeError, match="with Sandbox"):
        _ = sandbox.url
    sandbox.start()
    assert sandbox.url == url
    headers = {"Authorization": f"Bearer {sandbox.key}"}
    assert httpx.get(f"{url}/open-api/chats/{chat}", headers=headers, trust_env=False).status_code == 200


def test_a_taken_port_is_an_error(sandbox: Sandbox) -> None:
    """Two sandboxes cannot have one port."""
    with pytest.raises(OSError, match="in use"):
        Sandbox(port=urlsplit(sandbox.url).port or 0).start()
