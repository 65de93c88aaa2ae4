"""The demo's three conversations, and what is not as it must be after them."""

import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.types import Command
from langsmith import tracing_context

from mirt_sitniks.cli.demo_ear import told
from mirt_sitniks.cli.demo_view import Row, Turn, View
from mirt_sitniks.core.result import Outcome, SyncResult
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.process.off_loop import Wait
from mirt_sitniks.sandbox import Sandbox
from mirt_sitniks.service import SitniksChatService

PATIENCE = 20.0
# Beyond the reply budget; a busy machine's scheduling is not the plugin's.
SLACK = 0.5

KINDS = (
    ("list chats", "GET", re.compile("/chats$")),
    ("read a chat", "GET", re.compile("/chats/[^/]+$")),
    ("list managers", "GET", re.compile("/managers$")),
    ("set a status", "PATCH", re.compile("/status$")),
    ("assign a manager", "PUT", re.compile("/chats/[^/]+$")),
    ("leave a note", "POST", re.compile("/notes$")),
    ("find an item", "GET", re.compile("/variations$")),
    ("make an order", "POST", re.compile("/orders$")),
)


@dataclass(frozen=True, slots=True)
class Customer:
    """One who writes: `channel` is `instagram` or `telegram`.

    The chat's status must go through `moves`, once each, and end with them; `manager` must be responsible at the end.
    """

    name: str
    nickname: str
    channel: str
    moves: tuple[str, ...]
    manager: str

    @property
    def session(self) -> str:
        """The thread of the conversation."""
        return f"demo-{self.nickname}"


BOUGHT = ("Взято в роботу", "Виставлено рахунок", "ОПЛАЧЕНО", "Оформлено замовлення")
IRYNA = Customer("Ірина", "iryna.example", "instagram", BOUGHT, "Павло")
OKSANA = Customer("Оксана", "oksana.example", "instagram", ("Взято в роботу", "Виставлено рахунок"), "Павло")
TARAS = Customer("Тарас", "taras_example", "telegram", ("Взято в роботу", "AI Увага"), "Павло")
CUSTOMERS = (IRYNA, OKSANA, TARAS)


class TimedService(SitniksChatService):
    """The service with a stopwatch on what nodes wait for: `last` is a turn's latest sync, and how long all took."""

    last: tuple[SyncResult, float] | None = None

    def sync_blocking(self, stage: Stage | str, **arguments: Any) -> SyncResult:
        """The same, timed."""
        began = time.perf_counter()
        result = super().sync_blocking(stage, **arguments)
        self.last = result, time.perf_counter() - began + (self.last[1] if self.last else 0.0)
        return result

    async def holds(self, wait: Wait, session: str, **who: Any) -> bool | None:
        """The same, however busy the machine is."""
        return await super().holds(lambda begun, seconds: wait(begun, PATIENCE), session, **who)


class Demo:
    """Three conversations, one after the other; `problems` says afterwards what is not as it must be."""

    def __init__(self, sandbox: Sandbox, service: TimedService, graph: Any, view: View) -> None:
        self.sandbox, self.service, self.graph, self.view = sandbox, service, graph, view
        self.stopped = threading.Event()
        self.chats: dict[Customer, str] = {}
        self.others = [
            sandbox.add_chat("maria.example", name="Марія", status="Оформлено замовлення", manager="Марко"),
            sandbox.add_chat("bohdan_example", source="telegram_bot", name="Богдан"),
        ]
        sandbox.add_variation("VOLOSHKA", price=980, title="Сукня «Волошка»")
        self.holds: list[float] = []
        self.missed: list[str] = []

    def run(self) -> None:
        """Hold the conversations; TimeoutError when something does not arrive, KeyboardInterrupt after Ctrl+C."""
        with tracing_context(enabled=False), _ctrl_c(self.stopped):
            self.purchase()
            self.outage()
            self.complaint()

    def purchase(self) -> None:
        """First touch, questions, payment details with a real interrupt, its resume, and the order."""
        self.view.chapter("A purchase", "The stages move the chat; questions in between cost no call.")
        self.says(IRYNA, "Добрий вечір! Побачила у вас лляну сукню, вона ще є?")
        self.says(IRYNA, "Доньці чотири роки, зріст 104. Який розмір порадите?")
        state = self.says(IRYNA, "Беру блакитну на 104! Надішліть, будь ласка, реквізити")
        if not state.get("__interrupt__"):
            self.missed.append("the graph did not stop at its interrupt")
        self.view.note(
            "The graph waits in interrupt(). Олена, a manager, sees the payment and sets ОПЛАЧЕНО in the CRM by hand."
        )
        self.sandbox.person_sets(self.chats[IRYNA], status="ОПЛАЧЕНО")
        self.resumes(IRYNA, True, "Command(resume=True): the payment has come")
        self._wait(lambda: bool(self.sandbox.orders()))

    def outage(self) -> None:
        """The CRM hangs while the payment details are shown, and what was recorded arrives by itself."""
        self.view.chapter("The CRM fails", "The customer gets the reply all the same, and nothing is lost.")
        self.says(OKSANA, "Вітаю! Шукаю святкову сукню доньці на випускний у садочку")
        self.view.trouble("The CRM hangs: it takes requests and never answers.")
        self.sandbox.fault("hang", times=None)
        self.says(OKSANA, "Молочну, на зріст 116. Беру, скиньте реквізити", waits=False)
        if not self.service.last or self.service.last[0].outcome is not Outcome.QUEUED:
            self.missed.append("what was recorded during the outage was not queued")
        self.view.note("The CRM is back. Nobody writes, nobody clicks.")
        began = time.perf_counter()
        self.sandbox.clear_faults()
        self.arrived(OKSANA)
        self.view.arrival(f"arrived by itself after {time.perf_counter() - began:.1f} s", self.rows())

    def complaint(self) -> None:
        """An escalation: a live manager becomes responsible, writes, and gives the conversation back."""
        self.view.chapter("A complaint", "Another channel; a live manager takes over from the AI, and hands back.")
        with told(self.sandbox, self.service):
            self.says(TARAS, "Добрий день! Підкажіть, скільки днів їде доставка в Полтаву?")
            self.says(TARAS, "Посилка приїхала, але костюм не той: просив оливковий, а поклали сірий")
            self._wait(lambda: self._shown(TARAS) == (TARAS.moves[-1], "Олена"))
            words = "Тарасе, перепрошую! Оливковий уже пакуємо, сірий залиште собі."
            self.view.note(
                f"Олена writes to him in Sitniks: «{words}» While she has the conversation, the AI is silent."
            )
            self._heard(self.sandbox.person_writes(self.chats[TARAS], words, manager="Олена"))
            if self._answer(self.says(TARAS, "Оце так, дякую!")):
                self.missed.append("the AI answered while a person had the conversation")
            self.view.note("Олена is done: on the board she makes Павло responsible again. No other tool is needed.")
            self.sandbox.person_sets(self.chats[TARAS], manager=TARAS.manager)
            if not self._answer(self.says(TARAS, "А доставка за який день?")):
                self.missed.append("the AI was silent after the conversation was given back")
        self.arrived(TARAS)

    def says(self, customer: Customer, text: str, *, waits: bool = True) -> dict[str, Any]:
        """The customer writes: into the CRM's chat, as the messenger does, and to the graph; returns its state.

        With `waits` the next message comes after the CRM has moved, for people write slower than a busy machine works.
        """
        if customer not in self.chats:
            source = {"telegram": "telegram_bot"}.get(customer.channel, customer.channel)
            self.chats[customer] = self.sandbox.add_chat(customer.nickname, source=source, name=customer.name)
        self._heard(self.sandbox.customer_writes(self.chats[customer], text))
        message = {
            "messages": [HumanMessage(text)],
            "session_id": customer.session,
            "metadata": {
                f"{customer.channel}_username": customer.nickname,
                "client": {"fullname": f"{customer.name} Приклад", "phone": "0671234567"},
            },
        }
        return self._turn(customer, customer.name, text, message, waits=waits)

    def resumes(self, customer: Customer, value: object, text: str) -> None:
        """A person answers the interrupt, and the chat comes to its last status."""
        self._turn(customer, "Host", text, Command(resume=value), shows=customer.moves[-1])

    def _turn(
        self, customer: Customer, who: str, text: str, given: Any, *, waits: bool = True, shows: str | None = None
    ) -> dict[str, Any]:
        self.service.last = None
        state: dict[str, Any] = self.graph.invoke(given, {"configurable": {"thread_id": customer.session}})
        self._heed()
        if answer := self._answer(state):
            # The channel shows it as the page's own, of which nobody can tell who wrote it.
            self._heard(self.sandbox.phone_writes(self.chats[customer], answer))
        result, held = self.service.last or (None, 0.0)
        self.holds.append(held)
        order = state.get("sitniks_order", {}).get("outcome") if shows else None
        if waits and result is not None and result.stage and not shows:
            shows = self.service.settings.statuses[result.stage]
        if shows:
            self._wait(lambda: self._shown(customer)[0] == shows)
        self.view.turn(Turn(who, text, answer, result, held, order), self.rows())
        return state

    @staticmethod
    def _answer(state: dict[str, Any]) -> str | None:
        """What the graph has answered; None when it kept silent."""
        last = state["messages"][-1]
        return last.text if isinstance(last, AIMessage) else None

    def _heard(self, message: dict[str, Any]) -> None:
        """Wait until the host was told of a message, if Sitniks tells of any."""
        if self.sandbox.webhook:
            self._wait(lambda: any(message["id"].encode() in one.body for one in self.sandbox.deliveries))

    def arrived(self, customer: Customer) -> None:
        """Wait until the CRM shows what it must show at the end of the conversation."""
        self._wait(lambda: self._shown(customer) == (customer.moves[-1], customer.manager))

    def _wait(self, condition: Callable[[], bool]) -> None:
        def there() -> bool:
            self._heed()
            return condition()

        self.sandbox.wait(there, PATIENCE)

    def _heed(self) -> None:
        if self.stopped.is_set():
            raise KeyboardInterrupt

    def _shown(self, customer: Customer) -> tuple[str, str | None]:
        chat = self.sandbox.chat(self.chats[customer])
        return chat["status"], chat.get("assignedManagerName")

    def rows(self) -> list[Row]:
        """The chats of this demo's customers as the CRM has them."""
        found = [self.sandbox.chat(chat_id) for chat_id in self.chats.values()]
        return [
            Row(one["userNickName"], one["initialSource"], one["status"], one.get("assignedManagerName") or "")
            for one in found
        ]

    def calls(self) -> dict[str, int]:
        """The calls that the CRM counted, by kind."""
        counted = Counter(
            next((kind for kind, method, path in KINDS if call.method == method and path.search(call.path)), "others")
            for call in self.sandbox.calls
        )
        return {kind: counted[kind] for kind in (*(kind for kind, _, _ in KINDS), "others") if counted[kind]}

    def problems(self) -> list[str]:
        """What is not as it must be, one line each; empty when all is well."""
        found = list(self.missed)
        for customer in CUSTOMERS:
            if customer not in self.chats:
                found.append(f"{customer.nickname} never wrote")
                continue
            status, manager = self._shown(customer)
            if (status, manager) != (customer.moves[-1], customer.manager):
                wanted = f"{customer.moves[-1]}, {customer.manager}"
                found.append(f"{customer.nickname} shows {status}, {manager} instead of {wanted}")
            history = self.sandbox.history(self.chats[customer])
            moves = tuple(change["after"] for change in history if change["field"] == "status")
            if moves != customer.moves:
                found.append(f"{customer.nickname} went {' → '.join(moves)} instead of {' → '.join(customer.moves)}")
        if (made := len(self.sandbox.orders())) != 1:
            found.append(f"the CRM has {made} orders instead of 1")
        if any(self.sandbox.history(chat_id) for chat_id in self.others):
            found.append("a chat of somebody else was changed")
        if any(call.status == 429 for call in self.sandbox.calls):
            found.append("the CRM was asked too often (429)")
        if not any(call.fault == "hang" for call in self.sandbox.calls):
            found.append("the outage met no call")
        budget = self.service.settings.reply_budget
        if max(self.holds, default=0.0) > budget + SLACK:
            found.append(f"a reply was held {max(self.holds):.2f} s, more than the budget of {budget:g} s")
        return found


@contextmanager
def _ctrl_c(stopped: threading.Event) -> Iterator[None]:
    """The first Ctrl+C only sets `stopped`, the second one interrupts.

    Raised in the middle of a thread's start, as LangGraph starts some in each turn, a `KeyboardInterrupt` would leave
    the interpreter waiting for ever for a thread that it does not know.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def hear(*_: object) -> None:
        signal.signal(signal.SIGINT, before)
        stopped.set()

    before = signal.signal(signal.SIGINT, hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
