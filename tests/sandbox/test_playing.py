"""Both sides of a shop played by hand on the board, in a real browser."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from mirt_sitniks.sandbox import Sandbox

from .browser import DOWN, ENTER, ESCAPE, RIGHT, TAB, Browser
from .places import at, card, column, lies_in, opened

# One browser serves them all.
pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
STORY = "[...document.querySelectorAll('#story li:not(.day)')].map(line => line.innerText.replace(/\\s+/g, ' '))"


@pytest.fixture(autouse=True)
def no_complaints(browser: Browser, sandbox: Sandbox) -> Iterator[None]:
    """The console stays silent: the page's own policy stands in nobody's way."""
    browser.leave()
    yield
    said = browser.complaints()
    browser.leave()
    assert said == []


class TestDragging:
    """A card follows the mouse, or a finger, into another column."""

    def test_it_sets_the_status(self, browser: Browser, sandbox: Sandbox) -> None:
        """The column under it shows where it would go; let go there, a person has set that status, no chat opens."""
        chat = sandbox.add_chat("iryna.example", name="Ірина")
        browser.open(sandbox.url)
        browser.take(card(chat), column("ОПЛАЧЕНО"))
        assert browser.js("return document.querySelectorAll('.ghost').length") == 1
        assert browser.js("return document.querySelector('.over').dataset.status") == "ОПЛАЧЕНО"
        browser.let_go()
        browser.until(lies_in("ОПЛАЧЕНО", chat))
        assert [(one["after"], one["by"]) for one in sandbox.history(chat)] == [("ОПЛАЧЕНО", "person")]
        browser.until("!document.querySelector('.ghost, .over, .taken')")
        assert browser.js("return chat.hidden")

    def test_it_can_be_thought_better_of(self, browser: Browser, sandbox: Sandbox) -> None:
        """Escape, its own column, or a place that is no column: nothing is changed, no ghost stays."""
        chat = sandbox.add_chat("iryna.example")
        browser.open(sandbox.url, prefers_reduced_motion="reduce")
        browser.take(card(chat), column("ОПЛАЧЕНО"))
        browser.keys(ESCAPE)
        browser.let_go()
        for place in (column("Нові заявки"), "document.getElementById('lines')"):
            browser.take(card(chat), place)
            browser.let_go()
        assert browser.js("return !document.querySelector('.ghost, .over, .taken, .dragging')")
        assert sandbox.history(chat) == []
        browser.click(card(chat))
        browser.until("!chat.hidden")

    def test_a_finger_rests_first(self, browser: Browser, sandbox: Sandbox) -> None:
        """A finger that moves at once scrolls; one that rests takes the card."""
        chat = sandbox.add_chat("iryna.example")
        browser.open(sandbox.url, prefers_reduced_motion="reduce")
        # How long it has rested is for the test to say, on a machine that is as busy as it likes.
        browser.js("""const real = setTimeout;
          window.setTimeout = (act, after) => (after === 350 ? (window.rest = act, 0) : real(act, after));""")
        begin, end = browser.middle(card(chat)), browser.middle(column("ОПЛАЧЕНО"))
        # Down: to the side means “back” to this browser, whatever a page wants.
        below = begin | {"y": begin["y"] + 200}
        for rests in (False, True):
            browser.js("window.rest = null")
            browser.finger("touchStart", begin)
            browser.until("window.rest")
            if rests:
                browser.js("rest()")
            browser.finger("touchMove", end if rests else below)
            assert browser.js("return !!document.querySelector('.ghost')") is rests
            browser.finger("touchEnd")
        browser.until(lies_in("ОПЛАЧЕНО", chat))
        assert len(sandbox.history(chat)) == 1


def test_keys_do_all_that_a_mouse_does(browser: Browser, sandbox: Sandbox) -> None:
    """Arrows lead from card to card and it can be seen; Enter opens one; status and manager are set; Escape is back."""
    sandbox.add_chat("iryna.example", name="Ірина")
    chat = sandbox.add_chat("bohdan", name="Богдан", status="AI Увага")
    browser.open(sandbox.url, prefers_reduced_motion="reduce")
    browser.js("board.focus()")
    browser.keys(TAB + RIGHT)
    assert browser.js(f"return document.activeElement === {card(chat)}.querySelector('button')")
    assert "0px 0px 0px 2px" in browser.js(f"return getComputedStyle({card(chat)}).boxShadow")
    browser.keys(ENTER)
    assert browser.js("return [document.activeElement.id, document.activeElement.textContent]") == [
        "chat-name",
        "Богдан",
    ]
    browser.keys(TAB + TAB)
    assert browser.js("return document.activeElement.labels[0].textContent.trim().startsWith('Статус')")
    browser.keys(DOWN)
    browser.until(lies_in("Виставлено рахунок", chat))
    browser.keys(TAB + DOWN)
    browser.until(f"{card(chat)}.innerText.includes('Павло')")
    assert [(one["field"], one["by"]) for one in sandbox.history(chat)] == [("status", "person"), ("manager", "person")]
    browser.keys(ESCAPE)
    assert browser.js(f"return chat.hidden && document.activeElement === {card(chat)}.querySelector('button')")


class TestAChat:
    """An open chat tells its story and takes three pens."""

    def test_it_tells_all_in_its_order(self, browser: Browser, sandbox: Sandbox, api: httpx.Client) -> None:
        """Messages with who wrote them, notes and changes, as text, and what comes later by itself."""
        chat = sandbox.add_chat(
            "iryna.example", name="<img src=x onerror=alert(1)>", manager="Олена", text="<b>Є М?</b>"
        )
        api.patch(f"/chats/{chat}/status", json={"status": "AI Увага"})
        opened(browser, sandbox, chat)
        browser.until("document.querySelectorAll('#story .said').length === 1")
        api.post(f"/chats/{chat}/notes", json={"text": "<i>просить людину</i>"})
        api.post(f"/chats/{chat}/messages", json={"text": "Вітаю", "attachments": ["https://shop.example/1"]})
        sandbox.person_writes(chat, "Я Олена")
        sandbox.phone_writes(chat, "Є")
        sandbox.customer_writes(chat, "Дякую", comment_id="17")
        browser.until("document.querySelectorAll('#story .said').length === 5")
        lines = browser.js(f"return {STORY}")
        kinds = browser.js("return [...document.querySelectorAll('#story li:not(.day)')].map(line => line.className)")
        told = [(kind, [word for word in words if word in line]) for kind, line in zip(kinds, lines, strict=True)
                for words in [("<img", "<b>Є М?</b>", "AI Увага", "через API", "<i>просить", "Вкладень: 1", "Олена",
                               "сторінка магазину", "публічний коментар")]]  # fmt: skip
        assert sorted(told) == sorted([
            ("said customer", ["<img", "<b>Є М?</b>"]), ("change", ["AI Увага", "через API"]), ("note", ["<i>просить"]),
            ("said shop", ["Вкладень: 1"]), ("said shop", ["Олена"]), ("said shop", ["сторінка магазину"]),
            ("said customer", ["<img", "публічний коментар"]),
        ])  # fmt: skip
        assert browser.js("return document.querySelectorAll('#story :is(img, b > *, i)').length") == 0

    def test_three_can_write(self, browser: Browser, sandbox: Sandbox) -> None:
        """The customer, any manager, the phone's app: each message says so, and the sandbox has it."""
        chat = sandbox.add_chat("iryna.example", manager="Павло")
        opened(browser, sandbox, chat)
        for by, manager, text in (("customer", "", "Добрий день"), ("person", "103", "Вітаю!"), ("phone", "", "Є")):
            browser.click(f"{at(f'#compose [value={by}]')}.parentNode")
            if manager:
                browser.js(f"document.getElementById('compose-manager').value = '{manager}'")
            browser.click("document.getElementById('compose-text')")
            browser.keys(text + ENTER)
            browser.until(f"[...document.querySelectorAll('.said .text')].some(node => node.innerText === '{text}')")
        shown = sandbox.chat(chat)
        assert [(one["sentBy"], one.get("managerName"), one["text"]) for one in sandbox.messages(chat)] == [
            (shown["userId"], None, "Добрий день"),
            (shown["ownerId"], "Марко", "Вітаю!"),
            (shown["ownerId"], None, "Є"),
        ]
        assert browser.js("return document.getElementById('compose-manager').hidden")

    def test_it_fills_a_phone_and_gives_it_back(
        self, browser: Browser, screen: Callable[[int, int], None], sandbox: Sandbox
    ) -> None:
        """On 390 pixels nothing behind an open chat can be reached; closed, the focus is on its card again."""
        chat = sandbox.add_chat("iryna.example")
        screen(390, 844)
        opened(browser, sandbox, chat)
        whole = "const {left, top, right, bottom} = chat.getBoundingClientRect(); return [left, top, right, bottom]"
        assert browser.js(whole) == [0, 0, 390, 844]
        assert browser.js("return [board.inert, document.querySelector('footer').inert]") == [True, True]
        browser.click("document.getElementById('chat-close')")
        assert browser.js(f"return !board.inert && document.activeElement === {card(chat)}.querySelector('button')")


def test_a_chat_can_be_added(browser: Browser, sandbox: Sandbox) -> None:
    """A customer with a channel, a manager and a first message; an @ before the nickname is nobody's name."""
    browser.open(sandbox.url, prefers_reduced_motion="reduce")
    browser.click("document.getElementById('add-open')")
    browser.keys("@olena.example" + TAB + "Олена")
    browser.js("document.getElementById('add-source').value = 'telegram_bot'")
    browser.js("document.getElementById('add-manager').value = '103'")
    browser.click(at("#add [name=text]"))
    browser.keys("Добрий день")
    browser.click(at("#add [type=submit]"))
    browser.until("document.querySelector('.card .last')?.innerText === 'Добрий день'")
    (made,) = sandbox.chats()
    names = ("userNickName", "userName", "initialSource", "assignedManagerName", "status")
    assert [made[name] for name in names] == ["olena.example", "Олена", "telegram_bot", "Марко", "Нові заявки"]
    assert browser.js("return !add.open")


def test_faults_are_armed_and_cleared_by_a_button(browser: Browser, sandbox: Sandbox, api: httpx.Client) -> None:
    """So many times, for such calls, or until cleared; the list and the button's count follow."""
    browser.open(sandbox.url, prefers_reduced_motion="reduce")
    browser.click("document.getElementById('faults-open')")
    set_ = "document.getElementById('fault-{}').value = '{}';"
    browser.js(set_.format("kind", "too_fast_503") + set_.format("calls", "managers"))
    browser.click(at("#faults [type=submit]"))
    browser.until("document.getElementById('faults-count').textContent === '1'")
    browser.js(
        set_.format("kind", "forbidden")
        + set_.format("calls", "list")
        + "document.querySelector('#faults [name=times]').value = ''"
    )
    browser.click(at("#faults [type=submit]"))
    browser.until("document.getElementById('faults-count').textContent === '2'")
    listed = browser.js("return document.getElementById('faults-list').innerText").split("\n")
    assert ("503 «надто швидко»" in listed, "доки не знято" in listed, "ще 1 ×" in listed) == (True, True, True)
    assert [api.get(path).status_code for path in ("/managers", "/managers", "/chats", "/chats")] == [
        503,
        200,
        403,
        403,
    ]
    # The one that was used up has left the list, which moves what is below.
    browser.until("document.querySelectorAll('#faults-list li').length === 1")
    browser.click("document.getElementById('faults-clear')")
    browser.until("document.getElementById('faults-count').hidden")
    assert api.get("/chats").status_code == 200


def test_what_is_looked_for_is_found(browser: Browser, sandbox: Sandbox) -> None:
    """By name, nickname or words, status, manager and channel; the counts say of how many, and all comes back."""
    sandbox.add_chat("iryna.example", name="Ірина", manager="Павло", text="Чи є розмір M?")
    sandbox.add_chat("bohdan", name="Богдан", source="telegram_bot")
    sandbox.add_chat("olena", name="Олена", status="ОПЛАЧЕНО", manager="Марко")
    browser.open(sandbox.url, prefers_reduced_motion="reduce")
    shown = """[...document.querySelectorAll('.card:not([hidden]) .name')]
      .filter(node => node.getClientRects().length).map(node => node.textContent)"""
    for field, value, names in (
        ("search", "ІРИН", ["Ірина"]), ("search", "@bohd", ["Богдан"]), ("search", "розмір", ["Ірина"]),
        ("search", "немає", []), ("by-status", "ОПЛАЧЕНО", ["Олена"]), ("by-manager", "101", ["Ірина"]),
        ("by-manager", "nobody", ["Богдан"]),
        ("by-source", "telegram_bot", ["Богдан"]),
    ):  # fmt: skip
        browser.js(f"const field = document.getElementById('{field}'); field.value = '{value}'; "
                   "field.dispatchEvent(new Event('input'))")  # fmt: skip
        assert (value, browser.js(f"return {shown}")) == (value, names)
        if value == "101":
            assert browser.js(f"return {column('Нові заявки')}.querySelector('.count').textContent") == "1 / 2"
        browser.click("document.getElementById('filters-clear')")
        assert (value, browser.js(f"return {shown}.length")) == (value, 3)


@pytest.mark.parametrize("width", [390, 1440])
def test_a_line_of_the_log_leads_to_its_card(
    browser: Browser, screen: Callable[[int, int], None], sandbox: Sandbox, api: httpx.Client, width: int
) -> None:
    """Far to the right, low in its column, hidden by a filter: the card is in sight, glows and has the focus."""
    chats = [sandbox.add_chat(f"guest{number}", status="Оформлено замовлення") for number in range(9)]
    api.get(f"/chats/{chats[0]}")
    api.get("/managers")
    screen(width, 844)
    browser.open(sandbox.url, prefers_reduced_motion="reduce")
    browser.js("search.value = 'nobody'; search.dispatchEvent(new Event('input')); log.open = true")
    leads = """[...document.querySelectorAll('#lines li')]
      .map(line => line.querySelector('[data-leads]')?.dataset.leads ?? null)"""
    assert browser.js(f"return {leads}") == [None, chats[0]]
    browser.click(at("#lines [data-leads]"))
    browser.until(f"{card(chats[0])}.classList.contains('fresh')")
    seen = f"""const {{left, right, top, bottom}} = {card(chats[0])}.getBoundingClientRect();
      return left >= 0 && right <= innerWidth && top >= 0 && bottom <= board.getBoundingClientRect().bottom"""
    assert browser.js(seen)
    assert browser.js(f"return document.activeElement === {card(chats[0])}.querySelector('button')")


def test_it_speaks_two_languages(browser: Browser, sandbox: Sandbox) -> None:
    """The browser's is the first; the switch is remembered; no fault, field or line is left without words."""
    sandbox.add_chat("iryna.example", manager="Павло")
    for wanted, language, status in (("en-US,en", "en", "Status"), ("de,uk", "uk", "Статус"), ("de", "en", "Status")):
        browser.languages(wanted)
        browser.open(sandbox.url)
        told = browser.js(
            "return [document.documentElement.lang, document.querySelector('.chat-set span').textContent]"
        )
        assert told == [language, status]
    for language in ("uk", "en"):
        browser.js("language.click()")
        browser.open(sandbox.url)
        assert browser.js("return document.documentElement.lang") == language
        bare = """return [...document.querySelectorAll('#fault-kind option')].filter(one => one.text === one.value)
          .concat([...document.querySelectorAll('[data-t]')].filter(one => !one.textContent)).map(one => one.id)"""
        assert browser.js(bare) == []
        assert ("undefined" in browser.js("return document.body.innerText")) is False
    browser.languages("uk")


def test_the_webhook_is_set_on_the_board(browser: Browser, sandbox: Sandbox) -> None:
    """Another machine is refused in words; this one is taken with its habits; failures stand in the log."""
    chat = sandbox.add_chat("iryna.example")
    browser.open(sandbox.url, prefers_reduced_motion="reduce")
    browser.click("document.getElementById('webhook-open')")
    browser.until("webhook.open")
    fill = "document.querySelector('#webhook [name={}]').value = '{}';"
    browser.js(fill.format("webhook", "http://crm.example/hook"))
    browser.click(at("#webhook [type=submit]"))
    browser.until("toast.textContent.includes('http://crm.example/hook')")
    assert sandbox.webhook is None
    # That the sandbox refused is a line of the console's.
    assert ["400" in line for line in browser.complaints()] == [True]
    browser.js(fill.format("webhook", "http://127.0.0.1:1/hook") + fill.format("webhook_times", "2"))
    browser.click("document.getElementById('webhook-ping')")
    browser.until("document.querySelectorAll('#lines .out .chip.bad').length === 2")
    assert "ping" in browser.js("return document.getElementById('lines').innerText")
    browser.click(at("#webhook [type=submit]"))
    browser.until("!webhook.open && !document.getElementById('webhook-on').hidden")
    assert (sandbox.webhook, sandbox.webhook_times) == ("http://127.0.0.1:1/hook", 2)
    sandbox.customer_writes(chat, "Добрий день")
    browser.until(f"document.querySelectorAll('#lines .out [data-leads=\"{chat}\"]').length === 2")
