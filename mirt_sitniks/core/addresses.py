"""Where a key may be sent, and whether it can be: judged by the text alone."""

import base64
import json
import re
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit


def is_loopback(url: str) -> bool:
    """Whether `url` leads to this very machine."""
    with suppress(ValueError):
        host = _host(url)
        return host == "localhost" or host.endswith(".localhost") or ip_address(host).is_loopback
    return False


def is_address(url: str, *, in_network: bool = False) -> bool:
    """Whether a key may be sent to `url`; `in_network` also takes http to a bare name, as self-hosted Supabase has."""
    try:
        parts = urlsplit(url)
        host = _host(url)
        # A key over plain http can be read on the way, and one in the address ends up in logs.
        near = is_loopback(url) or (in_network and "." not in host and ":" not in host)
        safe = parts.scheme == "https" or (parts.scheme == "http" and near)
        bare = not parts.query and not parts.fragment and parts.username is None and parts.password is None
        return safe and bare and bool(host) and parts.port != 0 and url.isprintable() and " " not in url
    except ValueError:
        return False


def is_sendable(key: str) -> bool:
    """Whether the key can stand in a header; "Illegal header value" messages have leaked keys that cannot."""
    return re.fullmatch(r"[!-~]*", key) is not None


def is_public(key: str) -> bool:
    """Whether this is a Supabase key for browsers, which may read and write nothing here."""
    if key.startswith("sb_publishable_"):
        return True
    with suppress(ValueError, RecursionError, AttributeError):
        payload = f"{key}.".split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return claims.get("role") in ("anon", "authenticated")
    return False


def _host(url: str) -> str:
    """The host that a client would go to: in lower case, without brackets. `ValueError` when the text names none."""
    host = urlsplit(url).hostname or ""
    if not re.fullmatch(r"[\w.:-]*", host):
        raise ValueError("not a host name")
    return host
