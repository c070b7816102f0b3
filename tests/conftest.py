"""What every test may ask for: real databases, a real Redis, a real browser, keys and a clock that stands.

Every test also runs under a watch: no word to an address outside this machine, and no thread or process
left behind.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser
from redis import Redis
from redis.client import PubSubWorkerThread

from bot.clock import FrozenClock
from bot.ids import new_id
from bot.privacy.keys import Keyring, generate
from bot.privacy.seal import Sealer
from bot.queue import EmbeddedRedis
from bot.settings import Settings
from bot.storage.database import Database, open_database
from tests.browser import NewPage, find_chromium, launched, pages
from tests.guard import guard, guarded
from tests.postgres import Postgres
from tests.postgres import running as postgres_running

pytest_plugins = ["tests.journeys.world"]

_LEFTOVER_SECONDS = 30.0
_TEMPLATE = "voiceback_template"

_outside: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    """Shut the door to the outside, and make the run independent of who runs it."""
    config.addinivalue_line("markers", "durable: this test's PostgreSQL writes to the disk at every commit")
    for name in Settings.model_fields:
        os.environ.pop(name.upper(), None)
    Settings.model_config["env_file"] = None
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    sys.addaudithook(_refuse_outside)


# --- the watch ----------------------------------------------------------------------------------


class OutsideAddress(RuntimeError):
    """A test tried to reach an address that is not on this machine."""


def _refuse_outside(event: str, arguments: tuple[Any, ...]) -> None:
    # An audit hook sees every socket of the interpreter, whatever library opened it (PEP 578).
    if event in {"socket.connect", "socket.sendto"}:
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) and address else None
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if isinstance(host, str) and not _is_here(host):
        _outside.append(f"{event} {host}")
        raise OutsideAddress(f"{event}: tests may only talk to this machine")


def _is_here(host: str) -> bool:
    if host in {"", "localhost", "0.0.0.0", "::"}:  # noqa: S104 - to listen on, not to reach
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True)
def watch() -> Iterator[list[str]]:
    """Fail a test that reached outside, even if it swallowed the error, or that left something running.

    Yields the addresses outside that were refused; a test that means it clears the list.
    """
    _outside.clear()
    threads, children = _threads(), _children()
    yield _outside
    refused, left = list(_outside), _left(threads, children)
    if refused:
        pytest.fail(f"reached outside this machine: {', '.join(refused)}", pytrace=False)
    if left:
        pytest.fail(f"left running: {', '.join(left)}", pytrace=False)


def _left(threads: set[threading.Thread], children: dict[int, str]) -> list[str]:
    """Names of what began in a test and is still there a moment after it."""
    deadline = time.monotonic() + _LEFTOVER_SECONDS
    while True:
        left = [f"thread {thread.name}" for thread in _threads() - threads]
        left += [f"process {name}" for child, name in _children().items() if child not in children]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)


def _threads() -> set[threading.Thread]:
    # An RQ worker that ends at once leaves its listener asleep for up to a minute; asyncio keeps its pool.
    return {
        thread
        for thread in threading.enumerate()
        if not isinstance(thread, PubSubWorkerThread) and not thread.name.startswith("asyncio_")
    }


def _children() -> dict[int, str]:
    """Living children of this process, by id, where the system tells (Linux)."""
    found: dict[int, str] = {}
    for listing in Path("/proc/self/task").glob("*/children"):
        try:
            ids = [int(word) for word in listing.read_text().split()]
        except OSError:
            continue
        for child in ids:
            if child not in guarded:
                found |= _living(child)
    return found


def _living(child: int) -> dict[int, str]:
    try:
        name, _, rest = Path(f"/proc/{child}/stat").read_text().rpartition(")")
    except OSError:
        return {}
    return {} if rest.split()[0] == "Z" else {child: name.partition("(")[2]}


# --- databases ----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL. Where none can run the tests fail; they are not skipped."""
    with postgres_running() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres) -> str:
    """The name of a migrated, empty database to copy from."""
    template = open_database(postgres.create(_TEMPLATE))
    template.upgrade()
    template.dispose()
    return _TEMPLATE


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty database file to copy from."""
    path = tmp_path_factory.mktemp("template") / "voiceback.db"
    template = open_database(f"sqlite:///{path}")
    template.upgrade()
    template.dispose()
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The address of a migrated, empty SQLite database of the test's own."""
    path = tmp_path / "voiceback.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres: Postgres, postgres_template: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a migrated, empty PostgreSQL database of the test's own."""
    durable = request.node.get_closest_marker("durable") is not None
    name = f"test_{new_id()}"
    if durable:
        postgres.durable(True)
    yield postgres.create(name, postgres_template)
    postgres.drop(name)
    if durable:
        postgres.durable(False)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """For tests that start processes: a migrated, empty database; the test runs once on each kind."""
    fixture = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    return str(request.getfixturevalue(fixture))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated, empty database; the test runs once on each kind."""
    opened = open_database(database_url)
    yield opened
    opened.dispose()


# --- Redis --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def embedded_redis() -> Iterator[EmbeddedRedis]:
    """The embedded server of the test run, behind a socket and a password."""
    folder = Path(tempfile.mkdtemp(prefix="vb-redis-"))
    with EmbeddedRedis.start(folder) as server:
        process_id = int((folder / "redis.pid").read_text())
        with guard(process_id, folder):
            yield server
            server.stop()


@pytest.fixture(scope="session")
def redis_url(embedded_redis: EmbeddedRedis) -> str:
    """For tests that start processes: a value of ``REDIS_URL``. Ask for ``redis`` as well to find it empty."""
    return embedded_redis.url


@pytest.fixture
def redis(embedded_redis: EmbeddedRedis) -> Redis:
    """A connection to an empty Redis."""
    embedded_redis.connection.flushall()
    return embedded_redis.connection


# --- keys and time ------------------------------------------------------------------------------


@pytest.fixture
def ring() -> Keyring:
    """New keys."""
    return generate()


@pytest.fixture
def sealer(ring: Keyring) -> Sealer:
    """Seals with those keys."""
    return Sealer(ring)


@pytest.fixture
def frozen_clock() -> FrozenClock:
    """A clock that stands at 09:00 UTC on Monday, 2 March 2026."""
    return FrozenClock(datetime(2026, 3, 2, 9, 0, tzinfo=UTC))


# --- the browser --------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def chromium_path() -> Path:
    """The path of a Chromium, fetched if there is none. Where none can be had the tests fail."""
    return find_chromium()


# A module at a time, because Playwright holds the main thread's event loop while it runs, and the other
# tests need that.
@pytest.fixture(scope="module")
def chromium(chromium_path: Path) -> Iterator[Browser]:
    """A running headless Chromium."""
    with launched(chromium_path) as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Iterator[NewPage]:
    """Makes pages: ``page = browser(viewport={...})``. The test fails if a page breaks its content security
    policy, if a script fails, or if a page asks for something that is not on this machine.
    """
    with pages(chromium) as (new_page, problems):
        yield new_page
    if problems:
        pytest.fail("in the browser: " + "; ".join(problems), pytrace=False)
