"""How the board looks and follows what happens, in a real browser."""

import json
import re
from collections.abc import Callable

import httpx
import pytest

from mirt_sitniks.sandbox import Sandbox

from .browser import CONTRASTS, ESCAPE, Browser

# One browser serves them all.
pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def in_column(status: str, chat: str) -> str:
    return f"""document.querySelector('.column[data-status="{status}"] [data-chat="{chat}"]')"""


def test_a_card_moves_without_a_reload(browser: Browser, sandbox: Sandbox, api: httpx.Client) -> None:
    """A call moves the card, its column's count and the log follow, and the page is still the same one."""
    chat = sandbox.add_chat("iryna.example", name="Ірина К.")
    browser.open(sandbox.url)
    assert browser.js(f"return !!{in_column('Нові заявки', chat)}")
    browser.js("window.samePage = true")
    api.patch(f"/chats/{chat}/status", json={"status": "AI Увага"})
    api.put(f"/chats/{chat}", json={"assignedManagerId": 102})
    browser.until(f"{in_column('AI Увага', chat)}?.innerText.includes('Олена')")
    assert browser.js(f"return !{in_column('Нові заявки', chat)} && window.samePage")
    counts = browser.js("return [...document.querySelectorAll('.count')].map(node => node.textContent)")
    assert counts == ["0", "0", "1", "0", "0", "0"]
    browser.until("document.querySelectorAll('#lines li .chip.good').length === 2")
    assert "Відповідальний → Олена" in browser.js("return document.querySelector('#lines').innerText")
    # The copy that flies is gone in the end, and the card is there to be seen.
    browser.until(f"!document.querySelector('.ghost') && {in_column('AI Увага', chat)}.style.visibility === ''")
    assert browser.complaints() == []


def test_an_order_stands_on_its_chat_s_card(browser: Browser, sandbox: Sandbox, api: httpx.Client) -> None:
    """Number, total and status, the newest first and two at most, without a reload; the log says what was asked."""
    chat = sandbox.add_chat("olena.example", name="Олена К.")
    item = sandbox.add_variation("SUKNYA-M", price="1299.50")
    browser.open(sandbox.url)
    # An earlier page's, whose server has gone.
    browser.complaints()
    body = {"client": {"fullname": "<b>Олена</b>"}, "offers": [{"itemId": item}], "chatId": chat}
    api.post("/orders", json=body)
    browser.until("document.querySelector('.card .orders')")
    api.put("/orders/480001/status", json={"statusId": 2})
    browser.until("document.querySelector('.card .orders').innerText.includes('Очікуємо оплату')")
    shown = browser.js("return document.querySelector('.card .orders').innerText").replace("\xa0", " ")
    assert shown.split("\n") == ["№1001", "1 299,50 ₴", "Очікуємо оплату"]
    for quantity in (2, 4):
        api.post("/orders", json=body | {"offers": [{"itemId": item, "quantity": quantity}]})
    browser.until("document.querySelector('.card .orders .more')")
    numbers = browser.js("return [...document.querySelectorAll('.card .orders b')].map(node => node.textContent)")
    assert (numbers, browser.js("return total.textContent.endsWith('замовлень: 3')")) == (["№1003", "№1002"], True)
    browser.until("document.querySelectorAll('#lines li').length === 4")
    log = browser.js("return [...document.querySelectorAll('#lines li')].map(line => line.innerText).join(' ')")
    assert log.count("Створює замовлення") == 3
    assert "Замовлення → Очікуємо оплату" in log
    assert log.count("olena.example") == 4
    assert browser.complaints() == []


@pytest.mark.parametrize(("width", "height"), [(320, 568), (390, 844), (1280, 720), (1440, 900)])
def test_orders_stay_inside_their_card(
    browser: Browser, screen: Callable[[int, int], None], sandbox: Sandbox, width: int, height: int
) -> None:
    """Endless statuses and sums are cut, not the card's neighbours."""
    sandbox.order_statuses = {1: "Очікуємо " + "передоплату" * 6, 10**9: "Готово"}
    chat = sandbox.add_chat("olena.example")
    item = sandbox.add_variation("A", price=999_999_999.99)
    sandbox.add_order({"client": {"fullname": "Олена"}, "offers": [{"itemId": item}], "chatId": chat})
    screen(width, height)
    browser.open(sandbox.url, prefers_reduced_motion="reduce")
    inside = browser.js("""const card = document.querySelector('.card').getBoundingClientRect();
      return [...document.querySelectorAll('.orders, .orders *')].filter(node => !node.closest('svg')).every(node => {
        const {left, right} = node.getBoundingClientRect(); return left >= card.left && right <= card.right; })""")
    assert inside


def test_columns_are_the_statuses_in_order_and_empty_ones_say_so(browser: Browser, sandbox: Sandbox) -> None:
    """Six columns in the board's order, with a placeholder where nothing is."""
    sandbox.add_chat("iryna.example", status="ОПЛАЧЕНО")
    browser.open(sandbox.url)
    empty = "[node.dataset.status, node.innerText.includes('порожньо')]"
    shown = f"return [...document.querySelectorAll('.column')].map(node => {empty})"
    assert browser.js(shown) == [[status, status != "ОПЛАЧЕНО"] for status in sandbox.statuses]


def test_a_board_without_chats_says_how_to_add_one(browser: Browser, sandbox: Sandbox) -> None:
    """The first column names the call, which adds a chat as it stands there; with a chat the hint is gone."""
    browser.open(sandbox.url)
    hint = browser.js("return document.querySelector('.empty').innerText")
    assert browser.js("return document.querySelector('main').textContent.split('POST').length") == 2
    found = re.search(r"POST (\S+)\s+(\{.*\})$", hint)
    assert found, hint
    assert httpx.post(sandbox.url + found[1], json=json.loads(found[2]), trust_env=False).is_success
    browser.until("document.querySelector('.card .nick')?.textContent === '@iryna.example'")
    assert "POST" not in browser.js("return document.querySelector('main').textContent")


def test_names_of_strangers_are_text(browser: Browser, sandbox: Sandbox) -> None:
    """A user name that is HTML is shown letter by letter and makes no element."""
    name = "<img src=x onerror='window.hacked=1'><b>Ірина</b>"
    sandbox.add_chat("<script>window.hacked=1</script>", name=name, source="<i>x</i>")
    browser.open(sandbox.url)
    assert browser.js("return document.querySelector('.card .name').textContent") == name
    assert browser.js("return document.querySelectorAll('main img, main b, main i, main script').length") == 0
    assert browser.js("return window.hacked") is None


def test_the_header_tells_how_the_api_is(browser: Browser, api_of: Callable[..., httpx.Client]) -> None:
    """Calls of the last ten seconds, the lock, the trial plan and the faults that wait."""
    with Sandbox() as sandbox:
        api = api_of(sandbox)
        browser.open(sandbox.url)
        waiting = "document.getElementById('faults-count')"
        assert browser.js(f"return [lock.hidden, {waiting}.hidden, trial.hidden]") == [True, True, True]
        for _ in range(3):
            api.get("/managers")
        browser.until("document.querySelectorAll('#bars .on').length === 3")
        for _ in range(8):
            api.get("/managers")
        sandbox.fault("hang", path="status$", times=None)
        sandbox.trial = True
        browser.until(f"!lock.hidden && !{waiting}.hidden && !trial.hidden")
        assert re.fullmatch(r"Ключ заблоковано ще (60|5\d) с", browser.js("return lock.textContent"))
        assert "Зависання" in browser.js("return document.querySelector('#faults-list').textContent")
        sandbox.key = sandbox.key
        sandbox.clear_faults()
        browser.until(f"lock.hidden && {waiting}.hidden")


def test_the_page_finds_its_server_again(browser: Browser, sandbox: Sandbox) -> None:
    """While the server is away the page says so; afterwards it shows what happened meanwhile, without a reload."""
    chat = sandbox.add_chat("iryna.example")
    browser.open(sandbox.url)
    browser.js("window.samePage = true")
    sandbox.stop()
    browser.until("document.querySelector('#link.off')")
    sandbox.person_sets(chat, status="ОПЛАЧЕНО")
    sandbox.start()
    browser.until(in_column("ОПЛАЧЕНО", chat))
    assert browser.js("return window.samePage && !document.querySelector('#link.off')")
    browser.complaints()


@pytest.mark.parametrize(("width", "height"), [(320, 568), (390, 844), (844, 390), (1440, 900)])
def test_all_that_opens_is_on_screen(
    browser: Browser, screen: Callable[[int, int], None], sandbox: Sandbox, width: int, height: int
) -> None:
    """On phones and desktops, in both languages: each dialog and an open chat are inside, and nothing scrolls aside."""
    sandbox.fault("applied_late", method="PATCH", path="status$", times=None)
    chat = sandbox.add_chat("iryna.example", name="Ірина " * 9, text="довгеслово" * 30)
    sandbox.person_writes(chat, "https://shop.example/" + "a" * 200)
    screen(width, height)
    browser.open(sandbox.url, prefers_reduced_motion="reduce")
    inside = """const outside = node => { const {left, right} = node.getBoundingClientRect();
      return left < 0 || right > innerWidth + .5; };
      const found = [...arguments[0].querySelectorAll('*'), arguments[0]].filter(node => !node.closest('.hidden'));
      return [document.documentElement.scrollWidth > innerWidth].concat(found.filter(outside).map(one => one.id))"""
    for _ in range(2):
        for dialog in ("add", "faults", "webhook"):
            found = browser.js(f"{dialog}.showModal(); return (function () {{ {inside} }})({dialog})")
            high = browser.js(
                f"const {{top, bottom}} = {dialog}.getBoundingClientRect(); {dialog}.close(); "
                "return top >= 0 && bottom <= innerHeight"
            )
            assert (dialog, found, high) == (dialog, [False], True)
        browser.js(f"document.querySelector('[data-chat=\"{chat}\"] .name').click()")
        browser.until("document.querySelectorAll('.said').length === 2")
        assert browser.js(f"return (function () {{ {inside} }})(chat)") == [False]
        browser.js("document.getElementById('chat-close').click(); language.click()")
    browser.js("document.getElementById('filters-open').click()")
    assert browser.js("return document.documentElement.scrollWidth") <= width


def test_dialogs_close(browser: Browser, sandbox: Sandbox) -> None:
    """Escape closes one and gives the focus back to its button; so does a click beside it, but none inside."""
    browser.open(sandbox.url)
    for close in (lambda: browser.keys(ESCAPE), lambda: browser.click("document.querySelector('.brand h1')")):
        browser.click("document.getElementById('faults-open')")
        browser.click("document.getElementById('faults-title')")
        assert browser.js("return faults.open")
        close()
        browser.until("!faults.open")
        assert browser.js("return document.activeElement.id") == "faults-open"


@pytest.mark.parametrize(
    ("width", "height"), [(844, 390), (720, 450), (568, 320), (390, 844), (320, 481), (1280, 480), (1280, 481)]
)
def test_a_card_can_be_seen_on_any_screen(
    browser: Browser, screen: Callable[[int, int], None], sandbox: Sandbox, width: int, height: int
) -> None:
    """Also on a phone that lies, and on a page that is zoomed in, a whole card is there without any scrolling."""
    sandbox.add_chat("iryna.example", name="Ірина", manager="Павло")
    screen(width, height)
    browser.open(sandbox.url, prefers_reduced_motion="reduce")
    room = browser.js("""const card = document.querySelector('.card').getBoundingClientRect();
      const list = document.querySelector('.cards').getBoundingClientRect();
      return [card.top - list.top, list.bottom - card.bottom, innerHeight - card.bottom, card.left,
        innerWidth - card.right]""")
    assert min(room) >= 0, room
    # What does not fit is reached by scrolling the page.
    assert (
        browser.js("scrollTo(0, 9999); return document.querySelector('footer').getBoundingClientRect().bottom")
        < height + 1
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(browser: Browser, sandbox: Sandbox, api: httpx.Client, scheme: str) -> None:
    """In light and in dark each text has the contrast of WCAG AA (4.5), and the two differ."""
    sandbox.add_chat("iryna.example", manager="Павло")
    paid = sandbox.add_chat("bohdan", source="telegram_bot", status="ОПЛАЧЕНО")
    for _ in range(3):
        sandbox.add_order({"client": {"fullname": "Богдан"}, "chatId": paid})
    sandbox.customer_writes(paid, "Добрий день", comment_id="1")
    sandbox.person_writes(paid, "Вітаю!")
    sandbox.phone_writes(paid, "Вже їде")
    sandbox.webhook = "http://127.0.0.1:1"
    api.post(f"/chats/{paid}/messages", json={"text": "Дякуємо", "attachments": ["https://shop.example/1"]})
    api.post(f"/chats/{paid}/notes", json={"text": "Постійний клієнт"})
    sandbox.person_sets(paid, status="AI Увага")
    sandbox.fault("status", status=500)
    sandbox.fault("hang", path="status$", times=None)
    sandbox.trial = True
    for path in ("/chats", "/chats", "/nowhere"):
        api.get(path)
    sandbox.trial = False
    api.get("/managers")
    browser.open(sandbox.url, prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
    browser.js(f"document.querySelector('[data-chat=\"{paid}\"] .name').click()")
    browser.until("document.querySelectorAll('.said').length === 4")
    browser.js("for (const one of document.querySelectorAll('dialog')) one.show(); toast.textContent = 'Ні'")
    contrasts = browser.js(CONTRASTS)
    assert len(contrasts) > 35
    assert {name: value for name, value in contrasts.items() if value < 4.5} == {}
    dark = browser.js("return getComputedStyle(document.body).color") == "rgb(233, 238, 244)"
    assert dark is (scheme == "dark")


def test_nothing_moves_for_those_who_asked_for_it(browser: Browser, sandbox: Sandbox) -> None:
    """With reduced motion a card is in its new column at once: no copy flies and no animation runs."""
    chat = sandbox.add_chat("iryna.example")
    browser.open(sandbox.url, prefers_reduced_motion="reduce")
    sandbox.person_sets(chat, status="ОПЛАЧЕНО")
    browser.until(in_column("ОПЛАЧЕНО", chat))
    assert browser.js("return [document.getAnimations().length, document.querySelectorAll('.ghost').length]") == [0, 0]
    assert browser.js(f"return {in_column('ОПЛАЧЕНО', chat)}.classList.contains('fresh')")


def test_long_names_and_full_columns_stay_inside(
    browser: Browser, sandbox: Sandbox, screen: Callable[[int, int], None]
) -> None:
    """Twelve cards and endless names: no card is wider than its column, and the page itself never scrolls."""
    screen(1280, 800)
    for number in range(12):
        sandbox.add_chat("n" * 60, name="Анна-Марія " + "Великодворська" * (1 + number % 4))
    browser.open(sandbox.url)
    assert browser.js("return document.querySelectorAll('.card').length") == 12
    wide = "[...document.querySelectorAll('.card')].some(card => card.scrollWidth > card.parentNode.clientWidth)"
    page = "document.documentElement.scrollHeight > innerHeight || document.documentElement.scrollWidth > innerWidth"
    browser.until(f"!({wide}) && !({page})")
    browser.js("window.list = document.querySelector('.cards'); list.focus()")
    assert browser.js("list.scrollTop = 50; return list.scrollTop === 50 && document.activeElement === list")
