"""Everything that a door, a job or a command needs, put together once."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import insert, literal_column, select, update
from sqlalchemy.exc import DBAPIError

from bot.clock import Clock, SystemClock, wall_time
from bot.errors import ConfigurationError, InputError
from bot.flow.catalog import Catalogs
from bot.flow.library import Library
from bot.privacy.keys import Keyring, load
from bot.privacy.seal import Sealer
from bot.revisions import open_library
from bot.settings import Settings
from bot.storage.database import Database, open_database
from bot.storage.tables import Heartbeat, table

_heartbeat = table(Heartbeat)

DEMO_CLOCK = "demo_clock"
"""The row of the table ``heartbeat`` that only a demo's database has; its value is the offset in seconds."""
_REREAD_SECONDS = 0.02
MOST_AT_ONCE = timedelta(days=400)
_OFFSET: Final = select(_heartbeat.c.value).where(_heartbeat.c.name == literal_column(f"'{DEMO_CLOCK}'"))
"""Made once: a demo asks it many times a second."""


class DemoClock:
    """The real time plus what the demo was moved forward, shared by all processes through the database."""

    def __init__(self, database: Database, ahead: timedelta) -> None:
        self._database = database
        self._offset = ahead
        self._read_at = time.monotonic()
        self._turn = threading.RLock()

    def now(self) -> datetime:
        """The demo's time, UTC; a move is seen within a fiftieth of a second, by who made it at once."""
        if self._is_old():
            with self._turn:
                # One thread reads it for all who waited here.
                if self._is_old():
                    self._read()
        return wall_time() + self._offset

    def moved(self, seconds: float) -> None:
        """It is ahead by so much from now on, as the database says."""
        with self._turn:
            self._offset = timedelta(seconds=seconds)

    def _is_old(self) -> bool:
        return time.monotonic() - self._read_at > _REREAD_SECONDS

    def _read(self) -> None:
        # A database that is away for a moment must not stop the clock that its retries wait for.
        with suppress(DBAPIError):
            self.moved(_offset(self._database) or 0.0)
        self._read_at = time.monotonic()


@dataclass(frozen=True)
class Service:
    """The heart, ready for use."""

    settings: Settings
    database: Database
    keyring: Keyring
    sealer: Sealer
    clock: Clock
    library: Library
    catalogs: Catalogs

    @property
    def is_demo(self) -> bool:
        """Whether this database belongs to a demo, whose clock can be moved."""
        return isinstance(self.clock, DemoClock)


def open_service(settings: Settings) -> Service:
    """Check keys, database, schema and flows. Raises :class:`bot.errors.ConfigurationError`."""
    ring = load(settings.voiceback_keys)
    database = open_database(settings.database_url)
    database.check_schema()
    ahead = _offset(database)
    clock: Clock = SystemClock() if ahead is None else DemoClock(database, timedelta(seconds=ahead))
    return Service(
        settings=settings,
        database=database,
        keyring=ring,
        sealer=Sealer(ring),
        clock=clock,
        library=open_library(database, settings.voiceback_flows, clock),
        catalogs=Catalogs.open(settings.voiceback_locales),
    )


def _offset(database: Database) -> float | None:
    with database.read() as connection:
        return connection.execute(_OFFSET).scalar_one_or_none()


def start_demo_clock(database: Database) -> None:
    """Make this database a demo's: from now on its clock can be moved. Safe to repeat."""
    with database.write() as connection:
        known = connection.execute(select(_heartbeat.c.name).where(_heartbeat.c.name == DEMO_CLOCK)).first()
        if known is None:
            connection.execute(insert(_heartbeat).values(name=DEMO_CLOCK, at=wall_time(), value=0.0))


def advance_clock(service: Service, by: timedelta) -> datetime:
    """Move the demo's time forward; gives the new time. Raises :class:`ConfigurationError` outside a demo."""
    if not isinstance(service.clock, DemoClock):
        raise ConfigurationError("only the demo's time can be moved; this database is not a demo's")
    if by < timedelta():
        raise InputError("time goes forward only", code="backwards")
    if by > MOST_AT_ONCE:
        raise InputError("at most 400 days at once", code="too_far")
    with service.database.write() as connection:
        offset = connection.execute(
            update(_heartbeat)
            .where(_heartbeat.c.name == DEMO_CLOCK)
            .values(value=_heartbeat.c.value + by.total_seconds())
            .returning(_heartbeat.c.value)
        ).scalar_one()
    service.clock.moved(offset)
    return wall_time() + timedelta(seconds=offset)
