"""Every exception that leaves this package, below one root; and what a process has around it that no call survives."""

import os
import ssl
from typing import Literal


class SitniksError(Exception):
    """Root of all exceptions of this package; the message ends with the cure.

    `code` is one of the error codes that `SyncResult.error` shows. `status` is the HTTP status, if there was an answer.
    `retryable`: the same call may succeed later. `retry_after`: seconds to wait, when the other side named them.
    `unconfirmed`: a write may have been applied although no good answer came.
    """

    code = "unavailable"
    retryable = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
        unconfirmed: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = self.code if code is None else code
        self.status = status
        self.retryable = self.retryable if retryable is None else retryable
        self.retry_after = retry_after
        self.unconfirmed = unconfirmed


class ConfigError(SitniksError, ValueError):
    """A setting, an argument or the wiring of a graph that cannot be right.

    Raised where settings are read and where a graph is built, never in a dialogue.
    """

    code = "config"


class StoreError(SitniksError):
    """The store did not do what it was asked.

    `kind` says what helps: `away`, waiting does; `setup`, only a person (a table that is missing, a wrong key);
    `refused`, nothing, for the store works and does not take this very thing.
    """

    code = "store_unavailable"
    retryable = True

    def __init__(
        self, message: str, *, kind: Literal["away", "setup", "refused"] = "away", status: int | None = None
    ) -> None:
        super().__init__(message, status=status)
        self.kind = kind


class CrmError(SitniksError):
    """A call to Sitniks that did not bring a usable answer."""


class Unauthorized(CrmError):
    """401: the key is wrong."""

    code = "unauthorized"


class PlanRequired(CrmError):
    """403: the account's plan has no Open API."""

    code = "plan_required"


class Forbidden(CrmError):
    """401 or 403 of one kind of call, while the key is accepted for others; or one that the account does not have."""

    code = "forbidden"


class RateLimited(CrmError):
    """429, or a 503 that says "too fast": the key must rest. Not a failed attempt."""

    code = "rate_limited"
    retryable = True


class CallTimeout(CrmError):
    """No answer within the timeout; a write may have been applied when `unconfirmed` is set."""

    code = "timeout"
    retryable = True


class Unavailable(CrmError):
    """No connection, a broken one, a 5xx, or a page (HTML) that something in between answered with."""

    code = "unavailable"
    retryable = True


class BadResponse(CrmError):
    """An answer that is not what the contract says: HTML, another shape, more than the size limit, a redirect."""

    code = "bad_response"
    retryable = True


class NotFound(CrmError):
    """404: the chat (or page) is not there."""

    code = "chat_not_found"


class TooLarge(BadResponse):
    """An answer above the size limit: a smaller page may do."""


class NotApplied(CrmError):
    """A 2xx that says that the write failed."""

    code = "not_applied"


class Refused(CrmError):
    """400, 422 and other 4xx: the CRM will not do this as asked."""

    code = "bad_response"


def cure_of(exc: BaseException) -> str | None:
    """The cure where a proxy, or the certificates, of this process keep every call from being made; else None."""
    chain = [exc]
    while len(chain) < 8 and (cause := chain[-1].__cause__ or chain[-1].__context__):
        chain.append(cause)
    text = str(exc).lower()
    if isinstance(exc, ImportError) and "socks" in text:
        return 'the environment names a SOCKS proxy: pip install "httpx[socks]", or remove ALL_PROXY'
    if type(exc).__name__ == "ProxyError" or (isinstance(exc, ValueError) and "proxy" in text):
        return "correct the proxy that HTTPS_PROXY or ALL_PROXY names, or name the host in NO_PROXY"
    if any(isinstance(one, ssl.SSLCertVerificationError) for one in chain):
        return "check this machine's clock, and set SSL_CERT_FILE to the certificates of a network that opens TLS"
    unread = isinstance(exc, FileNotFoundError | IsADirectoryError | PermissionError | ssl.SSLError)
    if unread and os.environ.get("SSL_CERT_FILE"):
        return "the certificates that SSL_CERT_FILE names cannot be read: correct that variable, or remove it"
    return None
