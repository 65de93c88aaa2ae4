"""What the arguments of commands may be; a wrong one becomes a line that says what is right."""

import re
from argparse import ArgumentTypeError

from mirt_sitniks.core.health import CODES

AGES = {"h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}
SPANS = {"s": 1.0, "m": 60.0, **AGES}


def port(text: str) -> int:
    """A port, 0 for a free one."""
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > 65_535:
        raise ArgumentTypeError(f"{text!r} is not a port: give a number from 0 to 65535, 0 for a free one")
    return int(text)


def speed(text: str) -> float:
    """How many times faster a clock runs."""
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", text) or float(text) == 0:
        raise ArgumentTypeError(f"{text!r} is not a speed: give a number above 0, like 10")
    return float(text)


def seconds(text: str) -> float:
    """How long something stays."""
    if not re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,3})?", text):
        raise ArgumentTypeError(f"{text!r} is no number of seconds: give one from 0 to 99999")
    return float(text)


def key(text: str) -> str:
    """A key of the API."""
    if not re.fullmatch("[!-~]+", text):
        raise ArgumentTypeError("a key is made of ASCII letters, digits and signs, without spaces")
    return text


def session(text: str) -> str:
    """A session's id."""
    if not text.strip():
        raise ArgumentTypeError("the session id is empty: give it as the graph has it")
    return text


def who(text: str) -> str:
    """Whom a command is about."""
    if not text.strip():
        raise ArgumentTypeError("WHO is empty: give a session, @user or the id of a chat")
    return text.strip()


def age(text: str) -> float:
    """Seconds, from hours, days or weeks."""
    return _seconds(text, AGES, "an age: give hours, days or weeks, like 12h, 30d or 8w")


def duration(text: str) -> float:
    """Seconds, from seconds, minutes, hours, days or weeks."""
    return _seconds(text, SPANS, "a duration: give it like 30s, 10m, 2h, 3d or 1w")


def _seconds(text: str, units: dict[str, float], what: str) -> float:
    found = re.fullmatch(f"([0-9]{{1,5}})([{''.join(units)}])", text)
    if not found or int(found[1]) == 0:
        raise ArgumentTypeError(f"{text!r} is not {what}")
    return int(found[1]) * units[found[2]]


def count(text: str) -> int:
    """How many."""
    if not re.fullmatch("[0-9]{1,6}", text) or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} is not a number of them: give one from 1 to 999999")
    return int(text)


def code(text: str) -> str:
    """A code of the public list."""
    if text not in CODES:
        raise ArgumentTypeError(f"{text!r} is no error code: give one of {', '.join(CODES)}")
    return text
