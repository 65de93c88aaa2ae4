"""The board in a real browser (headless Chromium, driven over the WebDriver protocol)."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from mirt_sitniks.sandbox import Sandbox

# One browser serves them all.
pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Every text's contrast with what is painted behind it; colours are resolved by painting one pixel.
CONTRASTS = """
const pixel = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d');
const paint = colours => { pixel.clearRect(0, 0, 1, 1); for (const colour of colours) { pixel.fillStyle = colour;
  pixel.fillRect(0, 0, 1, 1); } return [...pixel.getImageData(0, 0, 1, 1).data].slice(0, 3); };
const light = rgb => rgb.map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
const found = {};
for (const node of document.querySelectorAll('body *')) {
  const text = [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim());
  if (!text || !node.getClientRects().length || node.closest('.hidden, script, style')) continue;
  const behind = [];
  for (let up = node; up; up = up.parentElement) behind.unshift(getComputedStyle(up).backgroundColor);
  const one = light(paint(behind)), two = light(paint([...behind, getComputedStyle(node).color]));
  const name = node.tagName + '.' + node.className;
  found[name] = Math.min(found[name] ?? 99, (Math.max(one, two) + .05) / (Math.min(one, two) + .05));
}
return found;
"""


class Browser:
    """A browser with one page; `js` runs a script, `until` waits for a JavaScript expression to come true."""

    def __init__(self, chromium: str, chromedriver: str, profile: Path) -> None:
        self._driver = subprocess.Popen([chromedriver, "--port=0"], stdout=subprocess.PIPE, text=True)
        assert self._driver.stdout is not None
        ports = (re.search(r"successfully on port (\d+)", line) for line in self._driver.stdout)
        port = next(match[1] for match in ports if match)
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False)
        flags = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
        args = [f"--{flag}" for flag in f"{flags} disable-component-update disable-sync".split()]
        options = {"binary": chromium, "args": [*args, f"--user-data-dir={profile}", "--window-size=1440,900"]}
        capabilities = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self._session = ""
        self._session = "/session/" + self._post("/session", capabilities={"alwaysMatch": capabilities})["sessionId"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.delete(self._session)
        self._http.close()
        self._driver.terminate()
        self._driver.communicate()

    def _post(self, path: str, **body: Any) -> Any:
        answer = self._http.post(self._session + path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]

    def open(self, url: str, **media: str) -> None:
        """Load a page in which the media features have these values; returns when the board has its first state."""
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
        self._post("/goog/cdp/execute", cmd="Emulation.setEmulatedMedia", params={"features": features})
        self._post("/url", url=url)
        self.until("document.querySelectorAll('.column').length > 0")

    def resize(self, width: int, height: int) -> None:
        """Give the page a screen of this size; 0 times 0 is the window's own again."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._post("/goog/cdp/execute", cmd="Emulation.setDeviceMetricsOverride", params=size)

    def js(self, script: str) -> Any:
        """What the script returns."""
        return self._post("/execute/sync", script=script, args=[])

    def until(self, condition: str) -> None:
        """Wait for the condition, ten seconds at most."""
        script = """const done = arguments[0], end = performance.now() + 10000;
        (function look() { if (%s) done(true); else if (performance.now() > end) done(false);
        else setTimeout(look, 20); })()"""
        assert self._post("/execute/async", script=script % condition, args=[]), f"never came true: {condition}"

    def complaints(self) -> list[str]:
        """What the console has said since the last time."""
        return [entry["message"] for entry in self._post("/se/log", type="browser")]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests here."""
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    chromedriver = shutil.which("chromedriver")
    if not chromium or not chromedriver:
        pytest.skip("no Chromium")
    with Browser(chromium, chromedriver, tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def screen(browser: Browser) -> Iterator[Callable[[int, int], None]]:
    """Changes the screen's size until the end of the test."""
    yield browser.resize
    browser.resize(0, 0)


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
        assert browser.js("return [lock.hidden, faults.hidden, trial.hidden]") == [True, True, True]
        for _ in range(3):
            api.get("/managers")
        browser.until("document.querySelectorAll('#bars .on').length === 3")
        for _ in range(8):
            api.get("/managers")
        sandbox.fault("hang", path="status$", times=None)
        sandbox.trial = True
        browser.until("!lock.hidden && !faults.hidden && !trial.hidden")
        assert re.fullmatch(r"Ключ заблоковано ще (60|5\d) с", browser.js("return lock.textContent"))
        assert "зависання" in browser.js("return document.querySelector('#faults-list').textContent")
        sandbox.key = sandbox.key
        sandbox.clear_faults()
        browser.until("lock.hidden && faults.hidden")


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


@pytest.mark.parametrize(
    ("width", "height"), [(320, 568), (390, 844), (760, 900), (844, 390), (1000, 700), (1001, 700), (1440, 900)]
)
@pytest.mark.parametrize("crowded", [False, True], ids=["alone", "with other news"])
def test_the_list_of_faults_is_on_screen(
    browser: Browser, screen: Callable[[int, int], None], sandbox: Sandbox, width: int, height: int, crowded: bool
) -> None:
    """On phones and desktops every line of the open list lies inside the screen, with nothing above it."""
    sandbox.fault("applied_late", method="PATCH", path="status$", times=None)
    sandbox.fault("reset_body", times=2)
    sandbox.trial = crowded
    screen(width, height)
    browser.open(sandbox.url, prefers_reduced_motion="reduce")
    browser.js("faults.open = true")
    lines = browser.js("""return [...document.querySelectorAll('.sheet li')].map(line => {
      const {left, right, top, bottom} = line.getBoundingClientRect();
      const shown = [[left + 1, top + 1], [right - 1, bottom - 1]].map(([x, y]) => document.elementFromPoint(x, y));
      return [left, innerWidth - right, top, innerHeight - bottom].every(room => room >= 0)
        && shown.every(node => node && line.contains(node));
    })""")
    assert lines == [True, True]
    assert browser.js("return document.documentElement.scrollWidth") <= width


def test_the_list_of_faults_closes(browser: Browser, sandbox: Sandbox) -> None:
    """Escape closes it and leaves the focus on its button; a click elsewhere closes it, one inside does not."""
    sandbox.fault("hang", times=None)
    browser.open(sandbox.url)
    browser.js("faults.open = true; document.querySelector('.sheet li').click()")
    assert browser.js("return faults.open")
    browser.js("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))")
    assert browser.js("return [faults.open, document.activeElement.id]") == [False, "faults-title"]
    browser.js("faults.open = true; board.click()")
    assert not browser.js("return faults.open")
    # With the list closed Escape takes the focus from nobody.
    browser.js("board.focus(); document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))")
    assert browser.js("return document.activeElement.id") == "board"


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
    sandbox.fault("status", status=500)
    sandbox.fault("hang", path="status$", times=None)
    sandbox.trial = True
    for path in ("/chats", "/chats", "/nowhere"):
        api.get(path)
    sandbox.trial = False
    api.get("/managers")
    browser.open(sandbox.url, prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
    browser.js("faults.open = true")
    contrasts = browser.js(CONTRASTS)
    assert len(contrasts) > 15
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
