"""The whole service as it is run: `voiceback serve` and `voiceback work` as processes, with a Redis of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import requests

from bot.audits.importing import bring_in
from bot.audits.upload import read
from bot.privacy import keys
from bot.service import Service, open_service, start_demo_clock
from bot.storage.database import open_database
from server import KILL_SECONDS
from simulator import server as simulator
from tests.journeys.world import (
    ACCOUNT,
    CALLER,
    HOTLINE,
    ROOT,
    TOKEN,
    Network,
    Worker,
    age,
    network_configuration,
    settings_for,
    upload,
)
from tests.ports import free_port

PATIENCE = 180.0
"""Seconds that a wait may last; it ends as soon as what it waits for is there."""
SOON = KILL_SECONDS - 5
"""Seconds within which a part that is told to end is gone, on a slow and busy machine too; before it would be killed."""
ALWAYS = "morning;lunch;afternoon;evening;night"
_ZONES = ("Asia/Jakarta", "America/Jamaica", "Africa/Nairobi", "Africa/Lagos", "Pacific/Auckland")
_HOURS = frozenset({*range(9, 16), 18, 19})


def waking_zone() -> str:
    """A time zone in which a worker may be called now and in the next hour: no window has the hour from 17 to 18."""
    return next(zone for zone in _ZONES if datetime.now(ZoneInfo(zone)).hour in _HOURS)


def eventually(condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Wait until something that other processes bring about is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: it did not come to pass"
        time.sleep(0.05)


@dataclass
class Station:
    """The running service."""

    folder: Path
    port: int
    network: Network
    service: Service
    environment: dict[str, str]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    """Where further web servers listen."""

    @property
    def url(self) -> str:
        """Where it is served."""
        return f"http://127.0.0.1:{self.port}"

    # --- processes -----------------------------------------------------------------------------

    def start(self, part: str) -> None:
        """Start ``serve`` or ``work``, or another of the kind (``work-2``); its words go to a log file."""
        command = part.partition("-")[0]
        port = self.ports.get(part, self.port)
        arguments = [command, "--port", str(port)] if command == "serve" else [command]
        with (self.folder / f"{part}.log").open("ab") as log:
            self.running[part] = subprocess.Popen(
                [sys.executable, str(ROOT / "cli.py"), *arguments],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        """Wait until the web answers and the clock beats."""
        eventually(self.is_ready, "ready")

    def is_ready(self) -> bool:
        """Whether everything that the service needs is there."""
        try:
            answer = requests.get(self.url + "/readyz", timeout=5)
        except requests.RequestException:
            return False
        return answer.ok and all(check["ok"] for check in answer.json()["checks"] if check["name"] != "flows")

    def answers(self, part: str) -> bool:
        """Whether a web server is ready, asked at its own port. The others are where the clock beats."""
        if part not in self.ports:
            return self.is_ready()
        try:
            return requests.get(f"http://127.0.0.1:{self.ports[part]}/readyz", timeout=5).ok
        except requests.RequestException:
            return False

    def keep(self) -> None:
        """Start again what has died, as systemd does."""
        for part, process in list(self.running.items()):
            if process.poll() is not None:
                self.start(part)

    def end(self, part: str) -> None:
        """Kill a part and all below it, as if its machine had lost its power."""
        for process in family(self.running[part].pid):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.running[part].wait()

    def kill(self, words: str, number: int = signal.SIGKILL) -> list[int]:
        """Send a signal to this station's processes whose command line has the words; gives their ids."""
        found = self.pids(words)
        for each in found:
            os.kill(each, number)
        return found

    def pids(self, words: str) -> list[int]:
        """This station's processes whose command line has the words."""
        return [each for each in self.processes() if words in command_of(each)]

    def processes(self) -> list[int]:
        """Every process below those that were started."""
        return [each for part in self.running.values() for each in family(part.pid)]

    def stop(self) -> None:
        """End everything as an operator does."""
        for process in reversed(self.running.values()):
            if process.poll() is None:
                process.terminate()
        for process in self.running.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    # --- people ----------------------------------------------------------------------------------

    def interviewed(self, *workers: Worker) -> None:
        """Register an audit of six days ago; its workers may be called now."""
        zone = waking_zone()
        placed = [Worker(**{**vars(w), "timezone": zone, "preferred_time": ALWAYS}) for w in workers]
        path = self.folder / "upload.csv"
        day = datetime.now(ZoneInfo(zone)).date() - timedelta(days=6)
        path.write_text(upload(placed, audit_date=day.isoformat()), encoding="utf-8")
        self.network.post(
            "/sim/handsets",
            [
                {"number": w.number, "name": w.alias, "pass_word": w.pass_word, "script": w.script}
                for w in workers
            ],
        )
        assert not bring_in(self.service, read(path)).rejected
        path.unlink()

    def age(self, seconds: int = 150) -> None:
        """Let the leases run out that a dead process left."""
        age(self.service.database, timedelta(seconds=seconds))


def family(parent: int) -> list[int]:
    """A process and all below it (Linux)."""
    found = [parent] if Path(f"/proc/{parent}").exists() else []
    for listing in Path(f"/proc/{parent}/task").glob("*/children"):
        try:
            children = [int(word) for word in listing.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += family(child)
    return found


def command_of(process: int) -> str:
    """The command line of a process; empty if it is gone."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


@contextmanager
def station(
    folder: Path,
    database_url: str,
    *,
    log_level: str = "INFO",
    movable: bool = False,
    parts: Sequence[str] = ("serve", "work"),
    front: int | None = None,
    ports: Mapping[str, int] | None = None,
    more: Callable[[Network], Mapping[str, str]] = lambda _network: {},
    **network_changes: object,
) -> Iterator[Station]:
    """A station that serves and works, until the end of the block; of other ``parts``, those are started and not waited
    for. ``more`` gives further settings; the time of a ``movable`` one can be moved, as a demo's. With a load balancer at the port ``front``, ``ports`` says where each of
    the web servers behind it listens.
    """
    port = front or free_port()
    url = f"http://127.0.0.1:{port}"
    network = simulator.start(network_configuration(url, **network_changes))
    keys.write(folder / "keys.json", keys.generate())
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | {
        "DATABASE_URL": database_url,
        "VOICEBACK_KEYS": str(folder / "keys.json"),
        "VOICEBACK_FLOWS": str(ROOT / "flows"),
        "VOICEBACK_LOCALES": str(ROOT / "locales"),
        "PUBLIC_BASE_URL": url,
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_AUTH_TOKEN": TOKEN,
        "TWILIO_API_BASE": network.url,
        "TWILIO_SMS_FROM": HOTLINE,
        "TWILIO_VOICE_FROM": CALLER,
        "TWILIO_CALLS_PER_SECOND": "50",
        "SMS_PER_SECOND": "50",
        "LOG_LEVEL": log_level,
        "NO_PROXY": "127.0.0.1",
    }
    environment |= more(Network(network.url))
    settings = settings_for(url, network.url, database_url=database_url, voiceback_keys=folder / "keys.json")
    database = open_database(database_url)
    database.upgrade()
    if movable:
        start_demo_clock(database)
    database.dispose()
    service = open_service(settings)
    made = Station(folder, port, Network(network.url), service, environment, ports=dict(ports or {}))
    try:
        for part in parts:
            made.start(part)
        if {"serve", "work"} <= set(parts):
            made.wait_until_ready()
        yield made
    finally:
        made.stop()
        service.database.dispose()
        network.stop()
