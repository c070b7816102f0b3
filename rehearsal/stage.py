"""The stage of a rehearsal: the service as an operator runs it and a make-believe world, each in processes of its own.

Nothing of the operator's own settings reaches it: the database, the keys and the embedded Redis stand in the
folder of the rehearsal.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import Any

from sqlalchemy import func, inspect, select

from bot import processes
from bot.errors import ConfigurationError
from bot.privacy import keys
from bot.service import Service, open_service, start_demo_clock
from bot.settings import Settings
from bot.storage.database import Database, open_database

ROOT = Path(__file__).parents[1]
HOTLINE = "+12025550100"
CALLER = "+12025550199"
CALLS_PER_SECOND = 200
"""What the make-believe provider takes, instead of one call a second."""
SLOTS = 80
"""Calls under way at once: more would only wait for the processors."""
SPEED = 1000
"""How much faster telephones ring and people talk than in life."""
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds of each part of the service and of the make-believe world."""

    by_part: Mapping[str, float]

    def since(self, before: Spent) -> Spent:
        """What was spent after ``before``."""
        return Spent({part: used - before.by_part.get(part, 0.0) for part, used in self.by_part.items()})


@dataclass
class World:
    """The make-believe world, by its control API."""

    url: str

    def add(self, handsets: Sequence[Json]) -> None:
        """Make handsets."""
        self._ask("POST", "/sim/handsets", list(handsets))

    def text(self, sender: str, words: str) -> None:
        """A worker writes to the hotline."""
        self._ask("POST", "/sim/sms", {"from": sender, "to": HOTLINE, "body": words})

    def tally(self) -> Json:
        """How many calls were asked for, and how many of them twice."""
        found: Json = self._ask("GET", "/sim/tally")
        return found

    def is_busy(self) -> bool:
        """Whether a call, a message or a webhook is under way."""
        return bool(not self._ask("GET", "/sim/wait?timeout=0")["met"])

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - our own address
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the same
            return json.loads(answer.read())


@dataclass
class Stage:
    """Everything that runs."""

    folder: Path
    service: Service
    world: World
    running: dict[str, Popen[bytes]] = field(default_factory=dict)
    database_process: int | None = None
    """The database's server, where it is a process of its own on this machine."""

    def check(self) -> None:
        """Raise :class:`ConfigurationError` if a part has ended."""
        for part, process in self.running.items():
            if process.poll() is not None:
                raise ConfigurationError(f"{part} ended; {self.folder / part}.log says why")

    def spent(self) -> Spent:
        """CPU seconds up to now, told apart by what each process does."""
        parts: defaultdict[str, float] = defaultdict(float)
        for part, process in self.running.items():
            if part != "work":
                parts[part] += processes.cpu_seconds(process.pid)
                continue
            for child in processes.children(process.pid):
                parts[_part_of(processes.command_of(child))] += processes.cpu_seconds(child)
        parts["rehearsal"] = time.process_time()
        if self.database_process:
            parts["database"] = processes.cpu_seconds(self.database_process)
        return Spent(dict(parts))


def _part_of(command: str) -> str:
    if "worker.py" not in command:
        return "redis"
    return "clock" if "worker.py clock" in command else "workers"


@contextmanager
def staged(folder: Path, database_url: str | None) -> Iterator[Stage]:
    """Start everything in ``folder`` and stop it at the end of the block.

    ``database_url`` is an empty database; None makes one of SQLite in the folder. Raises
    :class:`ConfigurationError` for a database with tables in it, and when something does not start.
    """
    web, world = _free_port(), _free_port()
    url = database_url or f"sqlite:///{folder / 'voiceback.db'}"
    account = {"sid": "AC" + secrets.token_hex(16), "token": secrets.token_hex(16)}
    environment = _environment(folder, url, account, web, world)
    service = _prepare(environment, url)
    stage = Stage(
        folder,
        service,
        World(f"http://127.0.0.1:{world}"),
        database_process=_database_process(service.database),
    )
    configuration = folder / "simulator.json"
    configuration.write_text(json.dumps(_world(account, f"http://127.0.0.1:{web}")), encoding="utf-8")
    try:
        _start(
            stage, "simulator", environment, "-m", "simulator", "--config", str(configuration), *_at(world)
        )
        _start(stage, "web", environment, str(ROOT / "cli.py"), "serve", *_at(web))
        _start(stage, "work", environment, str(ROOT / "cli.py"), "work")
        _wait(stage, f"http://127.0.0.1:{web}/readyz")
        _wait(stage, f"http://127.0.0.1:{world}/sim/tally")
        yield stage
    finally:
        _stop(stage)
        stage.service.database.dispose()


def _prepare(environment: Mapping[str, str], url: str) -> Service:
    keys.write(Path(environment["VOICEBACK_KEYS"]), keys.generate())
    database = open_database(url)
    if inspect(database.engine).get_table_names():
        raise ConfigurationError("this database has tables in it. A rehearsal needs an empty one of its own.")
    database.upgrade()
    start_demo_clock(database)
    database.dispose()
    known = {name.lower(): value for name, value in environment.items()}
    return open_service(Settings.model_validate(known))


def _database_process(database: Database) -> int | None:
    """The server whose child answers us; None for SQLite, and for a server on another machine."""
    if database.dialect != "postgresql":
        return None
    with database.read() as connection:
        child = int(connection.execute(select(func.pg_backend_pid())).scalar_one())
    if not processes.command_of(child).startswith("postgres"):
        return None
    return processes.parent_of(child)


def _environment(folder: Path, url: str, account: Json, web: int, world: int) -> dict[str, str]:
    """The settings of the service: as an operator's, with pace and slots that a make-believe provider can bear."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": "127.0.0.1",
        "DATABASE_URL": url,
        "VOICEBACK_KEYS": str(folder / "keys.json"),
        "VOICEBACK_FLOWS": str(ROOT / "flows"),
        "VOICEBACK_LOCALES": str(ROOT / "locales"),
        "PUBLIC_BASE_URL": f"http://127.0.0.1:{web}",
        "TWILIO_ACCOUNT_SID": account["sid"],
        "TWILIO_AUTH_TOKEN": account["token"],
        "TWILIO_API_BASE": f"http://127.0.0.1:{world}",
        "TWILIO_SMS_FROM": HOTLINE,
        "TWILIO_VOICE_FROM": CALLER,
        "TWILIO_CALLS_PER_SECOND": str(CALLS_PER_SECOND),
        "TWILIO_CALL_SLOTS": str(SLOTS),
        "SMS_PER_SECOND": str(CALLS_PER_SECOND),
        "CLOCK_BEAT_SECONDS": "0.03",
        "POLL_MINUTES": "0",
        "LOG_LEVEL": "WARNING",
    }


def _world(account: Json, base: str) -> Json:
    number = {
        "voice_url": f"{base}/channels/voice#rc=3&rp=all",
        "voice_fallback_url": f"{base}/channels/voice/fallback",
        "voice_status_url": f"{base}/channels/voice/status",
        "sms_url": f"{base}/channels/sms#rc=3&rp=all",
    }
    return {
        "account_sid": account["sid"],
        "auth_token": account["token"],
        "speed": SPEED,
        "calls_per_second": CALLS_PER_SECOND,
        "call_limit": 2000,
        "log_limit": 200,
        "numbers": {HOTLINE: number, CALLER: number},
    }


# --- processes --------------------------------------------------------------------------------


def _start(stage: Stage, part: str, environment: Mapping[str, str], *arguments: str) -> None:
    with (stage.folder / f"{part}.log").open("ab") as log:
        stage.running[part] = processes.start(
            arguments, folder=stage.folder, environment=environment, log=log
        )


def _at(port: int) -> tuple[str, str]:
    return "--port", str(port)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(stage: Stage, url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(url):
        stage.check()
        if time.monotonic() > deadline:
            raise ConfigurationError(f"the service did not become ready; see the logs in {stage.folder}")
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _stop(stage: Stage) -> None:
    # The world goes last, so that what is under way can still end well.
    for process in reversed(stage.running.values()):
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except TimeoutExpired:
            process.kill()
            process.wait()
