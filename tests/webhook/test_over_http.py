"""The door behind a real server, told by the sandbox as Sitniks tells: late, twice, out of order, in either shape."""

import socket
import tracemalloc
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from mirt_sitniks.sandbox import Sandbox
from mirt_sitniks.sandbox.notifier import ChangeNotifier
from mirt_sitniks.sandbox.thread import ServerThread
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.webhook import webhook_routes
from tests.sandbox.conftest import HandClock
from tests.service.shop import wait_until
from tests.webhook.conftest import Heard
from tests.webhook.events import NEW


@pytest.fixture
def server(service: SitniksChatService) -> Iterator[ServerThread]:
    """A host on a free port."""
    app = Starlette(routes=[Mount("/sitniks", webhook_routes(service))])
    running = ServerThread(lambda transport_of: app, ChangeNotifier())
    running.start()
    yield running
    running.stop()


@pytest.fixture
def crm(server: ServerThread) -> Iterator[tuple[Sandbox, HandClock]]:
    """An account that tells the host, and its clock, which a test moves."""
    clock = HandClock()
    with Sandbox(clock=clock, webhook=f"http://127.0.0.1:{server.port}/sitniks/{NEW}", limit=False) as sandbox:
        yield sandbox, clock


def told(heard: Heard, times: int) -> list[tuple[str, str]]:
    """By event its text and the status of its chat, when so many have come."""
    wait_until(lambda: len(heard.events()) >= times)
    return [(one.message.text if one.message else "", one.chat.status or "") for one in heard.events()]


def test_what_sitniks_tells_is_heard(crm: tuple[Sandbox, HandClock], heard: Heard) -> None:
    """Each message with its chat as it was then; a ping, an empty body and rubbish are answered and tell nothing."""
    sandbox, _ = crm
    chat = sandbox.add_chat("Iryna.example", text="Добрий день")
    sandbox.webhook_sends()
    sandbox.webhook_sends(None)
    sandbox.webhook_sends(b"\xff{")
    sandbox.person_sets(chat, status="ОПЛАЧЕНО")
    sandbox.person_writes(chat, "Вітаю!", manager="Олена")
    assert told(heard, 2) == [("Добрий день", "Нові заявки"), ("Вітаю!", "ОПЛАЧЕНО")]
    first, second = heard.events()
    assert (first.chat.id, first.chat.nickname) == (chat, "iryna.example")
    assert second.message
    assert (second.message.manager_name, second.at) == ("Олена", second.message.at)
    wait_until(lambda: len(sandbox.deliveries) == 5)
    assert [one.status for one in sandbox.deliveries] == [200, 200, 200, 400, 200]


def test_events_come_late_twice_and_out_of_order(crm: tuple[Sandbox, HandClock], heard: Heard) -> None:
    """Row 45: each carries its own time, by which the store knows what is older."""
    sandbox, clock = crm
    sandbox.webhook_times, sandbox.webhook_delay = 2, 10
    chat = sandbox.add_chat("iryna.example", text="late")
    sandbox.webhook_delay = 0
    clock.pass_by(1)
    sandbox.person_sets(chat, status="ОПЛАЧЕНО")
    sandbox.customer_writes(chat, "now")
    assert told(heard, 2) == [("now", "ОПЛАЧЕНО")] * 2
    clock.pass_by(10)
    assert told(heard, 4)[2:] == [("late", "Нові заявки")] * 2
    now, _, late, _ = heard.events()
    assert now.at
    assert late.at
    assert late.at < now.at


def test_an_older_account_names_the_chat_alone(crm: tuple[Sandbox, HandClock], heard: Heard) -> None:
    """`chatId` at the top: of the chat nothing else is known."""
    sandbox, _ = crm
    sandbox.webhook_shape = "chat_id"
    chat = sandbox.add_chat("iryna.example", text="Добрий день")
    assert told(heard, 1) == [("Добрий день", "")]
    assert (heard.events()[0].chat.id, heard.events()[0].chat.nickname) == (chat, None)


def test_a_wrong_secret_is_heard_by_nobody(crm: tuple[Sandbox, HandClock], heard: Heard) -> None:
    """404 for each; with the right one the next is heard."""
    sandbox, _ = crm
    right, sandbox.webhook = sandbox.webhook, f"{sandbox.webhook}x"
    chat = sandbox.add_chat("iryna.example", text="lost")
    wait_until(lambda: [one.status for one in sandbox.deliveries] == [404])
    sandbox.webhook = right
    sandbox.customer_writes(chat, "heard")
    assert told(heard, 1) == [("heard", "Нові заявки")]


@pytest.mark.parametrize("secret", [NEW, "wrong"])
@pytest.mark.parametrize("chunked", [False, True])
def test_ten_megabytes_are_refused_by_a_real_server(server: ServerThread, secret: str, chunked: bool) -> None:
    """413, or 404 without the secret, whether or not a length was told; a good megabyte is what h11 itself takes."""
    piece = bytes(65_536)
    length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 10485760"
    framed = b"10000\r\n" + piece + b"\r\n" if chunked else piece
    head = f"POST /sitniks/{secret} HTTP/1.1\r\nHost: shop.example\r\n".encode() + length + b"\r\n\r\n"
    tracemalloc.start()
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(head)
            for _ in range(160):
                connection.sendall(framed)
            answer = connection.recv(1000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.startswith(b"HTTP/1.1 413 " if secret == NEW else b"HTTP/1.1 404 ")
    assert peak < 2_000_000
