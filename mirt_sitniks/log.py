"""What the package tells the log: a line with its facts beside it, and a host's logging breaks no dialogue."""

import logging
from contextlib import suppress
from typing import Any

logger = logging.getLogger("mirt_sitniks")

PREFIX = "sitniks_"


def log(level: int, message: str, *values: object, **facts: Any) -> None:
    """Log `message % values` behind `sitniks: `; each of `facts` is a field of the record, `sitniks_<name>`.

    A record factory, filter or handler of the host that raises is not heard of: it would end a reply, or a drive.
    """
    with suppress(Exception):
        fields = {PREFIX + name: value for name, value in facts.items()}
        logger.log(level, "sitniks: " + message, *values, extra=fields, stacklevel=2)
