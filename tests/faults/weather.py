"""Brings the faults of a schedule about, from outside: by signals, locks and the make-believe provider."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import psycopg
from redis.exceptions import RedisError
from sqlalchemy import update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from bot.clock import wall_time
from bot.errors import ConfigurationError
from bot.queue import EmbeddedRedis
from bot.service import DEMO_CLOCK
from bot.storage import tables
from bot.storage.tables import table
from tests.faults.schedule import Fault, Kind
from tests.faults.station import Station, command_of, family

Made = TypeVar("Made")
_heartbeat = table(tables.Heartbeat)

CHAOS = {
    Kind.ERROR: "error",
    Kind.ERROR_BEFORE: "error_before",
    Kind.HANG: "hang",
    Kind.DUPLICATE: "duplicate",
    Kind.REORDER: "reorder",
    Kind.DROP: "drop",
}
LOCKED = ("attempt", "callback", "message", "outbox")
OVER = 100
"""Seconds after which any lease of a job is over."""


def patiently(act: Callable[[], Made]) -> Made:
    """Do something with a database that may be away for a moment."""
    for _ in range(200):
        with suppress(DBAPIError):
            return act()
        time.sleep(0.1)
    return act()


class Weather:
    """What goes wrong with a station."""

    def __init__(self, at: Station, numbers: Sequence[str]) -> None:
        self._at = at
        self._numbers = numbers
        self._url = make_url(at.environment["DATABASE_URL"])
        self.moves: list[tuple[datetime, timedelta]] = []
        """Since when (wall time) the service's clock was ahead by how much."""

    # --- time ----------------------------------------------------------------------------------

    def move(self, seconds: float) -> None:
        """Move the service's clock, forward or back."""
        own = _heartbeat.c.name == DEMO_CLOCK
        change = (
            update(_heartbeat)
            .where(own)
            .values(value=_heartbeat.c.value + seconds)
            .returning(_heartbeat.c.value)
        )

        def write() -> float:
            with self._at.service.database.write() as connection:
                return float(connection.execute(change).scalar_one())

        self.moves.append((wall_time(), timedelta(seconds=patiently(write))))

    def age(self, seconds: int) -> None:
        """Let the machine's time jump: forward, and the provider's messages age with it, or back."""
        patiently(lambda: self._at.age(seconds))
        if seconds > 0:
            self._at.network.post("/sim/age", seconds=seconds)

    # --- faults --------------------------------------------------------------------------------

    def strike(self, fault: Fault) -> None:
        """Bring one fault about; one that lasts has ended when this returns, except for the provider's."""
        kind, strength = fault.kind, fault.strength
        if kind in CHAOS:
            self._chaos(fault, {CHAOS[kind]: 0.3 + 0.7 * strength})
        elif kind is Kind.DELAY:
            self._chaos(fault, {"delay": [0, 60 * strength]})
        elif kind is Kind.REFUSE:
            self._refuse(fault)
        elif kind in (Kind.CLOCK_FORWARD, Kind.CLOCK_BACK):
            self.move((300 + 1500 * strength) * (1 if kind is Kind.CLOCK_FORWARD else -0.5))
        elif kind in (Kind.WALL_FORWARD, Kind.WALL_BACK):
            self.age(int(40 + 160 * strength) * (1 if kind is Kind.WALL_FORWARD else -1))
        elif kind is Kind.LOCK_DATABASE:
            self._lock(0.3 + 2 * strength)
        elif kind is Kind.CRASH_DATABASE:
            self._crash()
        else:
            self._strike_process(fault)

    def clear(self) -> None:
        """Fair weather at the provider."""
        self._at.network.post("/sim/chaos", {})
        for number in self._numbers:
            self._at.network.post("/sim/errors", number=number)

    def _chaos(self, fault: Fault, plan: dict[str, object]) -> None:
        self._at.network.post("/sim/chaos", plan | {"seed": fault.choice})

    def _refuse(self, fault: Fault) -> None:
        """A tenth of the numbers gets "too many requests"; those of the last time get through again."""
        for place, number in enumerate(self._numbers):
            refused = (place + fault.choice) % 10 == 0
            self._at.network.post("/sim/errors", **({"create": 20429} if refused else {}), number=number)

    def _strike_process(self, fault: Fault) -> None:
        kind = fault.kind
        if kind is Kind.KILL_WORK:
            self._at.end(self._part("work", fault))
        elif kind is Kind.KILL_WEB:
            self._at.end(self._part("serve", fault))
        elif kind is Kind.FLUSH_REDIS:
            with suppress(RedisError, ConfigurationError), EmbeddedRedis.attach(self._redis) as redis:
                redis.connection.flushall()
        elif kind is Kind.KILL_WEB_WORKER:
            _signal(self._web_workers(), fault, signal.SIGKILL)
        elif kind in (Kind.KILL_WORKER, Kind.KILL_CLOCK):
            _signal(self._named("jobs" if kind is Kind.KILL_WORKER else "clock"), fault, signal.SIGKILL)
        elif kind is Kind.KILL_REDIS:
            _signal(self._redis_process(), fault, signal.SIGKILL)
        elif kind is Kind.PAUSE_REDIS:
            with _standing_still(self._redis_process(), fault):
                time.sleep(0.3 + 2 * fault.strength)
        else:
            self._pause(self._named("jobs" if kind is Kind.PAUSE_WORKER else "clock"), fault)

    def _pause(self, processes: list[int], fault: Fault) -> None:
        """One stands still while its leases run out; it may hold locks that the ageing itself must wait for."""
        ageing = threading.Thread(target=self.age, args=(OVER,))
        with _standing_still(processes, fault):
            ageing.start()
            time.sleep(1 + fault.strength)
        ageing.join()

    def _part(self, command: str, fault: Fault) -> str:
        parts = [name for name in self._at.running if name.partition("-")[0] == command]
        return parts[fault.choice % len(parts)]

    def _named(self, part: str) -> list[int]:
        return [each for each in self._at.processes() if f"worker.py {part}" in command_of(each)]

    def _web_workers(self) -> list[int]:
        roots = [process.pid for part, process in self._at.running.items() if part.startswith("serve")]
        return [child for root in roots for child in family(root) if child != root]

    @property
    def _redis(self) -> Path:
        return self._at.folder / "var" / "redis"

    def _redis_process(self) -> list[int]:
        try:
            number = int((self._redis / "redis.pid").read_text())
        except (OSError, ValueError):
            return []
        return [number] if "valkey" in command_of(number) or "redis" in command_of(number) else []

    # --- the database --------------------------------------------------------------------------

    def _lock(self, seconds: float) -> None:
        """Nobody can write meanwhile; on PostgreSQL nobody can read what calls and texts need, either."""
        if self._url.get_backend_name() == "sqlite":
            with closing(sqlite3.connect(str(self._url.database), isolation_level=None, timeout=30)) as file:
                file.execute("BEGIN IMMEDIATE")
                time.sleep(seconds)
            return
        # Whoever locks so much may meet others who hold a part of it: then the server ends one of them.
        with suppress(psycopg.OperationalError), self._connected() as connection:
            connection.execute(f"LOCK TABLE {', '.join(LOCKED)} IN ACCESS EXCLUSIVE MODE")
            time.sleep(seconds)
            connection.rollback()

    def _connected(self) -> psycopg.Connection:
        return psycopg.connect(self._at.environment["DATABASE_URL"])

    def _crash(self) -> None:
        """One of PostgreSQL's processes is killed: the server ends all others and recovers from its log."""
        with suppress(psycopg.OperationalError), self._connected() as connection:
            own = connection.execute("SELECT pg_backend_pid()").fetchone()
            assert own is not None
            os.kill(own[0], signal.SIGKILL)
            connection.execute("SELECT 1")


def _signal(processes: list[int], fault: Fault, number: int) -> int | None:
    """Signal one of some processes; gives its id, or None if there is none (it was just killed)."""
    if not processes:
        return None
    chosen = processes[fault.choice % len(processes)]
    with suppress(ProcessLookupError):
        os.kill(chosen, number)
    return chosen


@contextmanager
def _standing_still(processes: list[int], fault: Fault) -> Iterator[None]:
    chosen = _signal(processes, fault, signal.SIGSTOP)
    try:
        yield
    finally:
        if chosen is not None:
            with suppress(ProcessLookupError):
                os.kill(chosen, signal.SIGCONT)
