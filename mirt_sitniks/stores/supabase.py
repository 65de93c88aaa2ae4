"""The store for more than one machine: Postgres does the work, each verb is one function and one round trip."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, TypeVar

import httpx
from pydantic import SecretStr

from mirt_sitniks.core.addresses import is_loopback
from mirt_sitniks.core.record import Intent, Record
from mirt_sitniks.core.store import OVERDUE, Claimed, Entry, Recorded, Report, Settled, StoreOptions
from mirt_sitniks.core.text import clean
from mirt_sitniks.errors import StoreError
from mirt_sitniks.process.off_loop import load
from mirt_sitniks.stores import supabase_rows as rows

T = TypeVar("T")
Json = dict[str, Any]

TABLES = ("sitniks_chat_mappings", "sitniks_ledger", "sitniks_directory", "sitniks_keys")
VERBS = ("record", "claim", "settle", "observe", "get", "story_of", "forget", "prune", "counts", "check")

# A connection that was idle can be dead without anybody having said so (supabase-py#1064).
_DEAD = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)
# Two keys met in one row and Postgres undid the second: deadlock, serialisation, a chat that both gave away.
_UNDONE = ("40P01", "40001", "23505")
UNDONE_TRIES = 5
# The database, or PostgREST's way to it, went away in between.
_CUT = ("57P01", "PGRST001")
_status: ContextVar[list[int]] = ContextVar("_status")


class SupabaseStore:
    """Sync and care stores in a Supabase project that has the migrations; its clock is the database's.

    `key` is the service_role key or one that begins with `sb_secret_`; it stays out of every attribute, message and
    traceback. `timeout` seconds bound a whole verb. The client is made on first use, on the loop that uses it, and
    anew on another loop: by `client_factory`, if there is one, else of the `postgrest` package, which comes with
    `supabase`. Either way we opened it, so `aclose()` closes it; a closed store opens again when it is used.
    """

    def __init__(
        self,
        url: str,
        key: str | SecretStr,
        *,
        timeout: float = 5.0,
        client_factory: Callable[[], Awaitable[Any]] | None = None,
    ) -> None:
        self._timeout = timeout
        self._factory = client_factory or opener(url, key, timeout)
        self._client: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening = asyncio.Lock()

    async def record(self, options: StoreOptions, intent: Intent, *, want: int = 2) -> Recorded:
        """Log an intent. Repeated after a lost answer it is `KNOWN`; a claim that was lost with it ends by itself."""
        request = {"terms": rows.options_json(options), "intent": rows.intent_json(intent), "want": want}
        session = intent.session
        return await self._ask("record", request, lambda answer: rows.recorded_of(answer, session), again=request)

    async def claim(self, options: StoreOptions, *, limit: int = 9) -> Claimed:
        """Take due work."""
        return await self._ask("claim", {"terms": rows.options_json(options), "limit": limit}, rows.claimed_of)

    async def settle(self, options: StoreOptions, report: Report) -> Settled:
        """Fold a round in."""
        request = {"terms": rows.options_json(options), **rows.report_json(report)}
        # Folded twice a round says the same, but a call may be given back, or counted later, only once.
        return await self._ask("settle", request, rows.settled_of, again={**request, "unused": [], "late": []})

    async def observe(self, chat_id: str, *, status: str | None = None, manager_id: int | None = None) -> None:
        """Note an own write."""
        request = {"chat_id": chat_id, "status": status, "manager_id": manager_id}
        await self._ask("observe", request, lambda answer: None, again=request)

    async def get(self, session: str) -> Record | None:
        """The record of a session."""
        return await self._ask("get", {"session": session}, rows.record_of, again={"session": session})

    async def ledger(self, session: str, *, limit: int = 100) -> tuple[Entry, ...]:
        """The newest entries of a session."""
        request = {"session": session, "limit": limit}
        return await self._ask("story_of", request, rows.entries_of, again=request)

    async def forget(self, session: str) -> int:
        """Erase one customer."""
        return await self._ask("forget", {"session": session}, int)

    async def prune(self, older_than: float) -> int:
        """Delete what is converged and old."""
        return await self._ask("prune", {"older_than": older_than}, int)

    async def counts(self) -> dict[str, int]:
        """How much is there."""
        return await self._ask("counts", {"overdue": OVERDUE}, dict[str, int], again={"overdue": OVERDUE})

    async def check(self) -> None:
        """Raise unless tables, functions and rights are there, and strangers have none."""
        request: Json = {"tables": list(TABLES), "functions": [f"sitniks_{verb}" for verb in VERBS]}
        for kind, names in (await self._ask("check", request, dict[str, list[str]], again=request)).items():
            if names:
                raise StoreError(f"Supabase: {_FINDINGS[kind]} {', '.join(names)}; {_MIGRATE}")

    async def aclose(self) -> None:
        """Close the connections; on a loop other than theirs they can only be let go."""
        client, self._client = self._client, None
        if client is not None and self._loop is asyncio.get_running_loop():
            with suppress(Exception):
                # A client of `supabase` has one for PostgREST in it.
                await getattr(client, "postgrest", client).aclose()

    async def _ask(self, verb: str, request: Json, read: Callable[[Any], T], *, again: Json | None = None) -> T:
        """The answer of a function. `again` is sent in place of `request` when a dead connection kept the answer."""
        outcome = await self._exchange(verb, clean(request), read, clean(again))
        if isinstance(outcome, StoreError):
            # Raised here and not where it arose: frames further in hold the key.
            raise outcome
        return outcome

    async def _exchange(self, verb: str, request: Json, read: Callable[[Any], T], again: Json | None) -> T | StoreError:
        seen: list[int] = []
        _status.set(seen)
        try:
            async with asyncio.timeout(self._timeout):
                return read(await self._send(verb, request, again))
        except StoreError as exc:
            return exc.with_traceback(None)
        except Exception as exc:
            return _translate(verb, exc, seen[-1] if seen else None)
        except BaseException as exc:
            exc.__context__ = None
            raise exc.with_traceback(None) from None

    async def _send(self, verb: str, request: Json, again: Json | None) -> Any:
        client = await self._open()
        for _ in range(UNDONE_TRIES):
            try:
                return await _rpc(client, verb, request)
            except Exception as exc:
                code = getattr(exc, "code", None)
                if code in _UNDONE:
                    continue
                if again is None or not (isinstance(exc, _DEAD) or code in _CUT):
                    raise
                request = again
                break
        return await _rpc(client, verb, request)

    async def _open(self) -> Any:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # Another loop's client (an earlier `asyncio.run`, the parent of a fork) cannot be closed from here.
            self._loop, self._client, self._opening = loop, None, asyncio.Lock()
        async with self._opening:
            if self._client is None:
                self._client = await self._factory()
            return self._client


async def _rpc(client: Any, verb: str, request: Json) -> Any:
    return (await client.rpc(f"sitniks_{verb}", {"request": request}).execute()).data


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
            limits=httpx.Limits(keepalive_expiry=120.0),
            follow_redirects=False,
            trust_env=not is_loopback(address),
            event_hooks={"response": [_note]},
        )
        return client, theirs

    async def opened() -> Any:
        if not secret.isascii() or not secret.isprintable() or " " in secret or not secret:
            raise StoreError(f"SUPABASE_KEY holds characters that no key has; {_KEY}")
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
    said = f"Supabase answered sitniks_{verb} with {code}"
    if code in _MISSING:
        return StoreError(f"{said}: a table or function is missing; {_MIGRATE}", status=status)
    if code in _FULL:
        return StoreError(f"{said}: the database takes no writes; make room or end its read-only mode", status=status)
    if code in _CURES:
        return StoreError(f"{said}: {_CURES[code]}", status=status)
    if code == "42501" or code in _REFUSED or (status in (401, 403) and code == str(status)):
        return StoreError(f"{said}: {_KEY}; with such a key {_MIGRATE}", status=status)
    if isinstance(exc, TimeoutError | httpx.TimeoutException):
        return StoreError(f"Supabase did not answer sitniks_{verb} in time ({code}); {_REACH}")
    if isinstance(exc, httpx.HTTPError | OSError):
        return StoreError(f"Supabase cannot be reached ({code}); {_REACH}")
    if isinstance(exc, KeyError | TypeError | ValueError | AttributeError) and status is not None:
        kind = type(exc).__name__
        return StoreError(f"{said} and something that is no answer of it ({kind}); {_REACH}", status=status)
    return StoreError(f"{said}; {_REACH}", status=status)


_MISSING = ("PGRST202", "PGRST203", "PGRST204", "PGRST205", "42P01", "42703", "42704", "42883", "42P10", "404")
_REFUSED = ("PGRST300", "PGRST301", "PGRST302", "PGRST303")
_FULL = ("25006", "53100")
_CURES = {
    "54000": "a session's id is longer than an index holds; give sessions ids of at most 200 characters",
    "57014": "the statement took longer than the project allows; raise service_role's statement_timeout, or prune",
}
_MIGRATE = "run the SQL of `mirt-sitniks migrations --print` in the project's SQL editor"
_KEY = "set SUPABASE_KEY to the project's service_role key or to one that begins with sb_secret_"
_REACH = "check SUPABASE_URL, the network and that the project is not paused"
_FINDINGS = {"missing": "missing:", "denied": "this key has no right to:", "open": "open to anon or authenticated:"}
