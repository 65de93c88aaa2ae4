"""What the package tells the log: one line with its facts in it, and a host's logging breaks no dialogue."""

import json
import logging
import re
from contextlib import suppress
from typing import Any

logger = logging.getLogger("mirt_sitniks")

PREFIX = "sitniks_"


def log(level: int, message: str, *values: object, **facts: Any) -> None:
    """Log `message % values` behind `sitniks: `, and the `facts` that are not None behind it as `name=value`.

    Each fact is a field of the record as well, `sitniks_<name>`. Values are shown as `shown` shows them. A record
    factory, filter or handler of the host that raises is not heard of: it would end a reply, or a drive.
    """
    with suppress(Exception):
        fields = {PREFIX + name: value for name, value in facts.items()}
        told = "".join(f" {name}={_fact(str(value))}" for name, value in facts.items() if value is not None)
        seen = (shown(value) if isinstance(value, str) else value for value in values)
        logger.log(level, f"sitniks: {message}%s", *seen, told, extra=fields, stacklevel=2)


def shown(text: str) -> str:
    """`text` as one line that no terminal obeys: what cannot be printed is written as Python escapes it."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _fact(text: str) -> str:
    return text if re.fullmatch(r"[\w.:@/+-]+", text) else shown(json.dumps(text, ensure_ascii=False))
