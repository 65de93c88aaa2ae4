"""A Supabase project from here: a client that keeps its key to itself, and errors that end with the cure."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Literal, Self, TypeVar

import httpx
from pydantic import SecretStr

from mirt_sitniks.core.addresses import is_loopback
from mirt_sitniks.errors import StoreError, cure_of
from mirt_sitniks.process.off_loop import load

T = TypeVar("T")
Json = dict[str, Any]
Factory = Callable[[], Awaitable[Any]]

# A connection that was idle can be dead without anybody having said so (supabase-py#1064).
_DEAD = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)
# Two keys met in one row and Postgres undid the second: deadlock, serialisation, a chat that both gave away.
_UNDONE = ("40P01", "40001", "23505", "55P03")
UNDONE_TRIES = 5
# How long one request that stalls may keep the others of its process waiting, in seconds.
TURN = 0.5
CONNECTIONS = 20
# The database, or PostgREST's way to it, went away in between.
_CUT = ("57P01", "PGRST001")
_status: ContextVar[list[int]] = ContextVar("_status")


class Turn:
    """A place in the line of those of this process who write one row, for else each of them undoes all others.

    It is had once, and left at the latest after `TURN` seconds: a request that stalls keeps nobody for longer.
    """

    def __init__(self, line: asyncio.Lock) -> None:
        self._line, self._had = line, False
        self._late: asyncio.TimerHandle | None = None

    async def comes(self, wanted: bool) -> bool:
        """Whether others may have written since: true after waiting for a turn that is `wanted`, else it is left."""
        if not wanted:
            self.leave()
        if not wanted or self._had:
            return False
        await self._line.acquire()
        self._had, self._late = True, asyncio.get_running_loop().call_later(TURN, self.leave)
        return True

    def leave(self) -> None:
        """Let the next one go."""
        late, self._late = self._late, None
        if late:
            late.cancel()
            self._line.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.leave()


class Project:
    """Sends queries over one PostgREST client, made by `factory` on first use and anew on another event loop.

    `timeout` seconds bound all that one `exchange` does. Whoever made the client, we opened it: `aclose` closes it.
    """

    def __init__(self, factory: Factory, timeout: float) -> None:
        self._factory, self._timeout = factory, timeout
        self._client: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening, self.line = asyncio.Lock(), asyncio.Lock()

    async def aclose(self) -> None:
        """Close the connections; on a loop other than theirs they can only be let go."""
        client, self._client = self._client, None
        if client is not None and self._loop is asyncio.get_running_loop():
            with suppress(Exception):
                # A client of `supabase` has one for PostgREST in it.
                await getattr(client, "postgrest", client).aclose()

    async def exchange(self, verb: str, work: Callable[[Any], Awaitable[T]]) -> T:
        """What `work` brings over the client, within the timeout; of errors only `StoreError`, raised where no frame
        holds the key."""
        outcome = await self._attempt(verb, work)
        if isinstance(outcome, StoreError):
            # Raised here and not where it arose: frames further in hold the key.
            raise outcome
        return outcome

    async def _attempt(self, verb: str, work: Callable[[Any], Awaitable[T]]) -> T | StoreError:
        seen: list[int] = []
        _status.set(seen)
        try:
            async with asyncio.timeout(self._timeout):
                return await work(await self._open())
        except StoreError as exc:
            return exc.with_traceback(None)
        except Exception as exc:
            return _translate(verb, exc, seen[-1] if seen else None)
        except BaseException as exc:
            exc.__context__ = None
            raise exc.with_traceback(None) from None

    async def call(self, client: Any, function: str, request: Json, *, safe: bool = False) -> Any:
        """A function's answer."""
        return await self.send(lambda: client.rpc(f"sitniks_{function}", {"request": request}), safe=safe)

    async def send(self, query: Callable[[], Any], *, safe: bool = False) -> Any:
        """What a query brings. What Postgres undid is sent again, after a lost answer only what is `safe` to."""
        for left in reversed(range(UNDONE_TRIES)):
            try:
                return (await query().execute()).data
            except Exception as exc:
                if not left or not (getattr(exc, "code", None) in _UNDONE or (safe and is_lost(exc))):
                    raise
        raise AssertionError("unreachable")

    async def _open(self) -> Any:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # Another loop's client (an earlier `asyncio.run`, the parent of a fork) cannot be closed from here.
            self._loop, self._client, self._opening, self.line = loop, None, asyncio.Lock(), asyncio.Lock()
        async with self._opening:
            if self._client is None:
                self._client = await self._factory()
            return self._client


def is_lost(exc: Exception) -> bool:
    """Whether the answer may have been given all the same."""
    return isinstance(exc, _DEAD) or getattr(exc, "code", None) in _CUT


def opener(url: str, key: str | SecretStr, timeout: float) -> Callable[[], Awaitable[Any]]:
    """What opens a client; the key lives in a closure, where no `repr()` or `vars()` shows it."""
    address = url.strip().rstrip("/")
    secret = (key.get_secret_value() if isinstance(key, SecretStr) else key).strip()

    def make() -> tuple[Any, httpx.AsyncClient]:
        # Whoever uses SQLite never pays for it; this part of `supabase` loads in a fraction of the time of the whole.
        from postgrest import AsyncPostgrestClient

        headers = {"apikey": secret, "Authorization": f"Bearer {secret}"}
        client = AsyncPostgrestClient(f"{address}/rest/v1", headers=headers)
        # Their session follows redirects with the key, and keeps an idle HTTP/2 connection that may have died; over
        # HTTP/1.1 a closed connection is noticed before it is used. It stays open from one sweep to the next.
        theirs = client.session
        client.session = httpx.AsyncClient(
            base_url=theirs.base_url,
            headers=theirs.headers,
            timeout=timeout,
            # The pool looks at all of its connections for each request: many at once are slow, and no use to PostgREST.
            limits=httpx.Limits(max_connections=CONNECTIONS, keepalive_expiry=120.0),
            follow_redirects=False,
            trust_env=not is_loopback(address),
            event_hooks={"response": [_note]},
        )
        return client, theirs

    async def opened() -> Any:
        if not secret.isascii() or not secret.isprintable() or " " in secret or not secret:
            raise StoreError(f"SUPABASE_KEY holds characters that no key has; {_KEY}", kind="setup")
        client, theirs = await load(make)
        await theirs.aclose()
        return client

    return opened


async def _note(response: httpx.Response) -> None:
    # The package's error does not tell the status of an answer.
    with suppress(LookupError):
        _status.get().append(response.status_code)


def _translate(verb: str, exc: Exception, status: int | None) -> StoreError:
    """Our error for a foreign one: its type and code are copied, its text and frames are not."""
    code = str(getattr(exc, "code", None) or status or type(exc).__name__)
    said = f"Supabase answered `{verb}` with {code}"
    if cure := cure_of(exc):
        return StoreError(f"Supabase cannot be reached ({code}); {cure}")
    if code in _REFUSED and "future" in str(exc):
        code = "future"
    if code in _MISSING:
        return StoreError(f"{said}: a table or function is missing; {MIGRATE}", kind="setup", status=status)
    if code in _FULL:
        return StoreError(f"{said}: the database takes no writes; make room or end its read-only mode", status=status)
    if code in _CURES:
        return StoreError(f"{said}: {_CURES[code]}", kind=_KINDS.get(code, "away"), status=status)
    if code == "42501" or code in _REFUSED or (status in (401, 403) and code == str(status)):
        return StoreError(f"{said}: {_KEY}; with such a key {MIGRATE}", kind="setup", status=status)
    if code in _TOO_MUCH or (code[:2] in _BAD_VALUES and len(code) == 5 and code not in _UNDONE):
        return StoreError(f"{said}: it does not take a value that was to be kept", kind="refused", status=status)
    return _out_of_reach(verb, exc, code, status)


def _out_of_reach(verb: str, exc: Exception, code: str, status: int | None) -> StoreError:
    """What no database said."""
    said = f"Supabase answered `{verb}` with {code}"
    if isinstance(exc, TimeoutError | httpx.TimeoutException):
        return StoreError(f"Supabase did not answer `{verb}` in time ({code}); {_REACH}")
    if isinstance(exc, httpx.HTTPError | OSError):
        return StoreError(f"Supabase cannot be reached ({code}); {_REACH}")
    if isinstance(exc, KeyError | TypeError | ValueError | AttributeError) and status is not None:
        kind = type(exc).__name__
        return StoreError(f"{said} and something that is no answer of it ({kind}); {_REACH}", status=status)
    return StoreError(f"{said}; {_REACH}", status=status)


_MISSING = ("PGRST202", "PGRST203", "PGRST204", "PGRST205", "42P01", "42703", "42704", "42883", "42P10", "404")
_REFUSED = ("PGRST300", "PGRST301", "PGRST302", "PGRST303")
_FULL = ("25006", "53100")
# What Postgres says of a value, and PostgREST of a request, whoever sends it and whenever.
_TOO_MUCH, _BAD_VALUES = ("54000", "413", "414", "PGRST102"), ("22", "23")
_KINDS: dict[str, Literal["setup", "refused"]] = {"402": "setup", "PGRST106": "setup", "54000": "refused"}
_CURES = {
    "402": "the project is restricted, over its quota or for an unpaid bill; see its organization's billing page",
    "PGRST106": "the API does not serve the schema `public`; add it to the project's exposed schemas",
    "future": "the key counts as issued in the future; set the clock of the server that answers, or make a new key",
    "54000": "a session's id is longer than an index holds; give sessions ids of at most 200 characters",
    "57014": "the statement took longer than the project allows; raise service_role's statement_timeout, or prune",
}
MIGRATE = "run the SQL of `mirt-sitniks migrations --print` in the project's SQL editor"
_KEY = "set SUPABASE_KEY to the project's service_role key or to one that begins with sb_secret_"
_REACH = "check SUPABASE_URL, the network and that the project is not paused"
