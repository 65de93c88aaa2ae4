"""Where things are on the board, as JavaScript that names them."""

import json

from mirt_sitniks.sandbox import Sandbox

from .browser import Browser


def at(selector: str) -> str:
    return f"document.querySelector({json.dumps(selector)})"


def card(chat: str) -> str:
    return at(f'[data-chat="{chat}"]')


def column(status: str) -> str:
    return at(f'.column[data-status="{status}"]')


def lies_in(status: str, chat: str) -> str:
    return f"{column(status)}.contains({card(chat)})"


def opened(browser: Browser, sandbox: Sandbox, chat: str) -> None:
    """The page, with this chat open."""
    browser.open(sandbox.url, prefers_reduced_motion="reduce")
    browser.js(f"{card(chat)}.querySelector('.name').click()")
    browser.until("!chat.hidden")
