"""What the account tells a host by itself: each message, at least once, not always in order, to this machine only."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from mirt_sitniks.sandbox import Sandbox

from .conftest import HandClock


class Host(ThreadingHTTPServer):
    """A host's webhook: what came, and what is answered to it (None: nothing at all)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.came: list[tuple[str, str, bytes]] = []
        self.answers: list[int | None] = []
        self.free = threading.Event()
        self.free.set()

    @property
    def address(self) -> str:
        """Where it listens, with a secret in the path."""
        return f"http://127.0.0.1:{self.server_address[1]}/sitniks/a-secret?shop=1"

    def bodies(self) -> list[Any]:
        """What came, read as JSON."""
        return [json.loads(body) for _, _, body in self.came]

    def texts(self) -> list[str]:
        """The messages that came."""
        return [body["message"]["text"] for body in self.bodies()]


class _Handler(BaseHTTPRequestHandler):
    server: Host

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.free.wait()
        self.server.came.append((self.path, self.headers["content-type"], body))
        status = self.server.answers.pop(0) if self.server.answers else 204
        if status is not None:
            self.send_response(status)
            self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def host() -> Iterator[Host]:
    """A host that listens."""
    with Host() as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield running
        running.free.set()
        running.shutdown()


@pytest.fixture
def crm(clock: HandClock, host: Host) -> Iterator[Sandbox]:
    """An account whose clock a test moves, and which tells the host."""
    with Sandbox(clock=clock, webhook=host.address, limit=False) as running:
        yield running


def tried(crm: Sandbox, times: int) -> None:
    """Wait until so many tries were made, and see that there are no more."""
    crm.wait(lambda: len(crm.deliveries) >= times, seconds=60)
    assert len(crm.deliveries) == times


def test_each_message_is_told_with_its_chat(
    crm: Sandbox, host: Host, api_of: Callable[[Sandbox], httpx.Client]
) -> None:
    """Whoever writes: {"chat", "message"} as the API shows them at that moment, to the address as it was given."""
    chat = crm.add_chat("iryna.example", text="Добрий день")
    crm.person_writes(chat, "Вітаю!", manager="Олена")
    crm.phone_writes(chat, "Є")
    crm.customer_writes(chat, "Клас", comment_id="17")
    path = f"/chats/{chat}/messages"
    api_of(crm).post(path, json={"text": "Оформити?", "attachments": []})
    crm.person_sets(chat, nickname="renamed.example")
    tried(crm, 5)
    assert host.came[0][:2] == ("/sitniks/a-secret?shop=1", "application/json")
    assert all(list(body) == ["chat", "message"] for body in host.bodies())
    assert [body["message"] for body in host.bodies()] == crm.messages(chat)
    assert [body["message"].get("managerName") for body in host.bodies()] == [None, "Олена", None, None, ""]
    assert host.bodies()[0]["chat"].keys() == crm.chat(chat).keys()
    assert {body["chat"]["userNickName"] for body in host.bodies()} == {"iryna.example"}
    assert {(one.chat, one.status, one.error) for one in crm.deliveries} == {(chat, 204, None)}


def test_older_accounts_send_the_chat_s_id_only(crm: Sandbox, host: Host) -> None:
    """{"chatId", "message"}."""
    crm.webhook_shape = "chat_id"
    chat = crm.add_chat("iryna.example", text="Добрий день")
    tried(crm, 1)
    assert host.bodies() == [{"chatId": chat, "message": crm.messages(chat)[0]}]


def test_it_pings_and_sends_what_it_is_told_to(crm: Sandbox, host: Host) -> None:
    """A ping, an empty body, any JSON, and bytes that are none."""
    crm.webhook_sends()
    crm.webhook_sends(None)
    crm.webhook_sends([1])
    crm.webhook_sends(b"\xff{")
    tried(crm, 4)
    assert [body for _, _, body in host.came] == [b'{"test": "ping"}', b"", b"[1]", b"\xff{"]
    assert {one.chat for one in crm.deliveries} == {None}


def test_an_event_may_come_twice_and_late(crm: Sandbox, host: Host, clock: HandClock) -> None:
    """Twice, ten seconds after the message and behind a later one, with the chat as it was then."""
    crm.webhook_times, crm.webhook_delay = 2, 10
    chat = crm.add_chat("iryna.example", text="late")
    crm.webhook_delay = 0
    crm.person_sets(chat, status="ОПЛАЧЕНО")
    crm.customer_writes(chat, "now")
    tried(crm, 2)
    clock.pass_by(10)
    tried(crm, 4)
    told = [(body["message"]["text"], body["chat"]["status"]) for body in host.bodies()]
    assert told == [("now", "ОПЛАЧЕНО")] * 2 + [("late", "Нові заявки")] * 2


def test_events_may_come_out_of_order(crm: Sandbox, host: Host, clock: HandClock) -> None:
    """In pairs the second goes first; one that has no second goes after three seconds."""
    crm.webhook_swapped = True
    chat = crm.add_chat("iryna.example")
    for number in range(5):
        crm.customer_writes(chat, str(number))
    tried(crm, 4)
    (lonely,) = crm.webhooks._due
    assert lonely[0] == clock() + 3
    clock.pass_by(3)
    tried(crm, 5)
    assert host.texts() == ["1", "0", "3", "2", "4"]


def test_what_failed_is_tried_again(crm: Sandbox, host: Host, clock: HandClock) -> None:
    """Three tries, five seconds apart, after a 5xx or no answer; other refusals stand. Each try is written down."""
    host.answers = [503, None, 500, 404]
    crm.webhook_sends()
    for times in (1, 2, 3):
        tried(crm, times)
        clock.pass_by(5)
    crm.webhook_sends()
    tried(crm, 4)
    clock.pass_by(5)
    crm.webhook_sends()
    tried(crm, 5)
    assert [one.status for one in crm.deliveries] == [503, None, 500, 404, 204]
    assert [one.error is not None for one in crm.deliveries] == [False, True, False, False, False]
    assert [one.at - crm.deliveries[0].at for one in crm.deliveries] == [0, 5, 10, 15, 20]


def test_nobody_waits_for_a_host_that_hangs(
    crm: Sandbox, host: Host, api_of: Callable[[Sandbox], httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API answers and messages are written while the host holds an event; nothing is lost of what follows."""
    monkeypatch.setattr("mirt_sitniks.sandbox.webhooks.PATIENCE", 600.0)
    host.free.clear()
    chat = crm.add_chat("iryna.example", text="0")
    for number in range(1, 4):
        crm.customer_writes(chat, str(number))
    assert api_of(crm).get(f"/chats/{chat}").status_code == 200
    assert crm.deliveries == ()
    host.free.set()
    tried(crm, 4)
    assert host.texts() == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    "address",
    [
        "http://crm.example/hook", "http://10.0.0.1/", "https://127.0.0.1/", "http://127.0.0.1.crm.example/",
        "http://user@127.0.0.1/", "http://127.0.0.1:0/", "http://127.0.0.1:99999/", "http://127.0.0.1/a b",
        "http://127.0.0.1/\r\nX: 1", "http://[::2]/", "http://0.0.0.0/", "ftp://localhost/", "http:///",
        "http://127.0.0.1@crm.example/", "127.0.0.1:80",
    ],
)  # fmt: skip
def test_no_other_machine_is_told(sandbox: Sandbox, address: str) -> None:
    """An address that is not plain HTTP to this machine is refused, by class, attribute and controls."""
    with pytest.raises(ValueError, match="this machine only"):
        Sandbox(webhook=address)
    with pytest.raises(ValueError, match="this machine only"):
        sandbox.webhook = address
    url = sandbox.url + "/_sandbox/settings"
    assert httpx.put(url, json={"webhook": address}, trust_env=False).status_code == 400
    assert sandbox.webhook is None


def test_without_an_address_nobody_is_told(sandbox: Sandbox, host: Host) -> None:
    """What happens before one is set, or after it is taken away, is not sent; a ping then says what is missing."""
    chat = sandbox.add_chat("iryna.example", text="0")
    sandbox.webhook = host.address
    sandbox.customer_writes(chat, "1")
    tried(sandbox, 1)
    sandbox.webhook = None
    sandbox.customer_writes(chat, "2")
    with pytest.raises(ValueError, match="set its address"):
        sandbox.webhook_sends()
    sandbox.webhook = host.address
    sandbox.customer_writes(chat, "3")
    tried(sandbox, 2)
    assert host.texts() == ["1", "3"]


def test_a_reset_forgets_and_a_stop_waits(crm: Sandbox, host: Host) -> None:
    """After `reset` what waited is gone and the first address is back; stopped, events wait for the next start."""
    crm.webhook_delay = 10
    crm.add_chat("iryna.example", text="forgotten")
    crm.webhook = None
    crm.reset()
    assert (crm.webhook, crm.webhook_delay, crm.deliveries) == (host.address, 0, ())
    crm.stop()
    assert crm.webhooks._thread is None
    crm.add_chat("iryna.example", text="kept")
    assert len(crm.webhooks._due) == 1
    crm.start()
    tried(crm, 1)
    assert host.texts() == ["kept"]


def test_another_process_can_set_and_ask(sandbox: Sandbox, host: Host) -> None:
    """The controls set the address and the habits, send a ping or an empty body, and show what was answered."""
    with httpx.Client(base_url=sandbox.url + "/_sandbox", trust_env=False) as control:
        assert control.post("/webhook", json={}).status_code == 400
        changed = control.put("/settings", json={"webhook": host.address, "webhook_times": 2}).json()
        assert (changed["webhook"], changed["webhook_times"]) == (host.address, 2)
        assert control.put("/settings", json={"webhook_times": 0}).status_code == 400
        assert control.post("/webhook", json={}).status_code == 202
        tried(sandbox, 2)
        assert control.post("/webhook", json={"body": None}).status_code == 202
        tried(sandbox, 4)
        shown = control.get("/webhook").json()["data"]
    assert [(one["body"], one["status"]) for one in shown] == [('{"test": "ping"}', 204)] * 2 + [("", 204)] * 2
