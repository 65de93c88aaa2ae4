"""Postgres held inside a transaction that has written a record and has not committed."""

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from tests.crash.waiting import wait_until
from tests.postgres.stack import Stack

# The trigger runs as its owner, because the roles of the project may not look at the flag. Its lock shows who waits.
_MAKE = """
create schema test_midway;
create table test_midway.flag (held boolean not null);
create function test_midway.hold() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  while exists (select from test_midway.flag) loop
    perform pg_catalog.pg_advisory_xact_lock_shared(4711);
    perform pg_catalog.pg_sleep(0.01);
  end loop;
  return null;
end $$;
create trigger test_midway after update on public.sitniks_chat_mappings
  for each row execute function test_midway.hold();
"""
_HELD = "from pg_locks where locktype = 'advisory' and objid = 4711"


class Midway:
    """Inside `with midway.hold():` every transaction that changes a record stops before its end.

    At the block's end the transactions go on, by turns to their commit and to a rollback.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._held = 0

    def __enter__(self) -> Self:
        self.sql(_MAKE)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.sql("drop schema test_midway cascade")

    def hold(self) -> "_Hold":
        """Hold the transactions that change a record from now on."""
        self._held += 1
        return _Hold(self, commit=bool(self._held % 2))

    def reached(self) -> None:
        """Wait until a transaction is held."""
        wait_until(self.holds, 10.0)

    def holds(self) -> bool:
        """Whether a transaction is held now."""
        return self.sql(f"select count(*) {_HELD}") != [("0",)]

    def unfinished(self, sessions: Iterable[str]) -> bool:
        """Whether something is left to be done for one of the sessions.

        Asked past PostgREST, whose few connections may all be held.
        """
        names = ", ".join(f"'{session}'" for session in sessions)
        found = f"select count(*) from public.sitniks_chat_mappings where pending and user_id in ({names})"
        return self.sql(found) != [("0",)]

    def sql(self, text: str) -> list[tuple[str | None, ...]]:
        """Run SQL as the owner of everything."""
        return self._stack.sql(text, user="supabase_admin")


class _Hold:
    """One stretch of holding."""

    def __init__(self, midway: Midway, *, commit: bool) -> None:
        self._midway, self._commit = midway, commit

    def __enter__(self) -> None:
        self._midway.sql("insert into test_midway.flag values (true)")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        end = "delete from test_midway.flag;"
        if not self._commit:
            end = f"select pg_cancel_backend(pid) {_HELD}; {end}"
        self._midway.sql(end)
