"""The board on a phone, by fingers alone, in a real browser."""

from collections.abc import Callable
from typing import Any

import pytest

from mirt_sitniks.sandbox import Sandbox

from .browser import DOWN, Browser
from .places import at, card, lies_in

# One browser serves them all.
pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def test_a_finger_is_enough(browser: Browser, screen: Callable[..., None], sandbox: Sandbox) -> None:
    """On a phone all that is touched is as wide as a finger (44 pixels), and taps do the whole of it: a card is opened,
    its status set, three write, it is closed; what one writes with stays above the phone's keyboard."""
    chat = sandbox.add_chat("iryna.example", name="Ірина")
    screen(390, 844, touch=True)
    browser.open(sandbox.url, prefers_reduced_motion="reduce")
    assert too_small(browser) == []
    browser.tap(f"{card(chat)}.querySelector('.name')")
    browser.until("!chat.hidden && document.activeElement.id === 'chat-name'")
    # The list that opens is the phone's own.
    browser.js("const status = document.getElementById('chat-status'); status.focus()")
    browser.keys(DOWN)
    browser.until(lies_in("Взято в роботу", chat))
    for by, text in (("customer", "Є?"), ("person", "Вітаю"), ("phone", "Так")):
        browser.tap(f"{at(f'#compose [value={by}]')}.parentNode")
        browser.tap("document.getElementById('compose-text')")
        screen(390, 420, touch=True)
        assert browser.js(
            "const box = document.getElementById('compose').getBoundingClientRect(); return box.bottom <= innerHeight"
        )
        browser.keys(text)
        assert too_small(browser) == []
        browser.tap("document.querySelector('#compose [type=submit]')")
        browser.until(f"[...document.querySelectorAll('.said .text')].some(node => node.innerText === '{text}')")
        screen(390, 844, touch=True)
    assert [one["text"] for one in sandbox.messages(chat)] == ["Є?", "Вітаю", "Так"]
    assert browser.js("return document.documentElement.scrollWidth") == 390
    browser.tap("document.getElementById('chat-close')")
    browser.until("chat.hidden")


def too_small(browser: Browser) -> list[Any]:
    """What can be touched now and is no 44 pixels wide or high; a radio button is as large as its label."""
    found: list[Any] = browser.js("""return [...document.querySelectorAll('button, select, textarea, input')]
      .filter(node => node.getClientRects().length && !node.closest('[inert]') && !node.closest('.card'))
      .map(node => node.type === 'radio' ? node.parentNode : node)
      .map(node => [node.id || node.className || node.textContent, node.getBoundingClientRect()])
      .map(([name, box]) => [name, Math.round(box.width), Math.round(box.height)])
      .filter(([_, width, height]) => width < 44 || height < 44)""")
    return found
