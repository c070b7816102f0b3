"""The flows that conversations began with, kept in the database.

A conversation stays with the revision that it began with, also after the file was edited. And when a
file is broken, the service goes on with the last good revision, also over a restart; the operator is
told by an incident.
"""

from __future__ import annotations

import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from bot import incidents
from bot.clock import Clock
from bot.errors import ConfigurationError
from bot.flow.library import Library
from bot.flow.loader import revision_of
from bot.flow.source import Fault, FlowFaults
from bot.incidents import IncidentKind
from bot.storage.database import Database
from bot.storage.tables import FlowRevision, table

_revision = table(FlowRevision)
_LOOK_EVERY_SECONDS = 5.0


def open_library(database: Database, folder: Path, clock: Clock) -> Library:
    """The flows of ``folder``; for files that are broken, their last good revisions.

    Raises :class:`ConfigurationError` if a file is broken and there is no earlier good state.
    """
    fetch = _Fetch(database)
    try:
        library = Library.open(folder, fetch)
    except FlowFaults as faults:
        held = _last_good(database, fetch)
        if held is None:
            raise ConfigurationError(f"the flows in {folder} cannot be used:\n{faults}") from None
        held.folder = folder
        _tell(database, held.reload(), clock.now())
        return held
    keep(database, library, clock.now())
    _tell(database, [], clock.now())
    return library


class Watch:
    """Reloads the flows when a file changed: looks at most every five seconds, in one thread at a time."""

    def __init__(self, database: Database, library: Library, clock: Clock) -> None:
        self._database = database
        self._library = library
        self._clock = clock
        self._lock = threading.Lock()
        self._looked_at = time.monotonic()
        self._seen = _stamp(library.folder)

    def look(self) -> None:
        """Take up changed files; a broken one changes nothing but is reported."""
        if time.monotonic() - self._looked_at < _LOOK_EVERY_SECONDS or not self._lock.acquire(blocking=False):
            return
        try:
            self._looked_at = time.monotonic()
            stamp = _stamp(self._library.folder)
            if stamp != self._seen:
                self._seen = stamp
                faults = self._library.reload()
                if not faults:
                    keep(self._database, self._library, self._clock.now())
                _tell(self._database, faults, self._clock.now())
        finally:
            self._lock.release()


def keep(database: Database, library: Library, now: datetime) -> None:
    """Store the source of every file of a faultless folder, once per revision."""
    for path in sorted(library.folder.glob("*.yaml")):
        source = path.read_text(encoding="utf-8")
        values = {"name": path.stem, "revision": revision_of(source)}
        with database.read() as connection:
            known = connection.execute(select(_revision.c.name).filter_by(**values)).first()
        if known:
            continue
        try:
            with database.write() as connection:
                connection.execute(insert(_revision).values(**values, source=source, created_at=now))
        except IntegrityError:
            # Another process stored the same revision first.
            continue


class _Fetch:
    """Reads the source of an older revision."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __call__(self, name: str, revision: str) -> str | None:
        with self._database.read() as connection:
            return connection.execute(
                select(_revision.c.source).where(_revision.c.name == name, _revision.c.revision == revision)
            ).scalar_one_or_none()


def _last_good(database: Database, fetch: _Fetch) -> Library | None:
    with database.read() as connection:
        rows = connection.execute(
            select(_revision.c.name, _revision.c.source).order_by(_revision.c.created_at)
        ).all()
    with tempfile.TemporaryDirectory() as folder:
        for row in rows:
            (Path(folder) / f"{row.name}.yaml").write_text(row.source, encoding="utf-8")
        try:
            return Library.open(Path(folder), fetch)
        except FlowFaults:
            return None


def _tell(database: Database, faults: list[Fault], now: datetime) -> None:
    broken = {fault.file for fault in faults}
    with database.read() as connection:
        told = {
            subject
            for kind, subject, *_ in incidents.unresolved(connection)
            if kind == IncidentKind.FLOW_FILE
        }
    if not broken and not told:
        return
    with database.write() as connection:
        for file in sorted(broken):
            incidents.report(connection, IncidentKind.FLOW_FILE, file, now)
        for file in sorted(told - broken):
            incidents.resolve(connection, IncidentKind.FLOW_FILE, file, now)


def _stamp(folder: Path) -> tuple[tuple[str, int], ...]:
    return tuple((path.name, path.stat().st_mtime_ns) for path in sorted(folder.glob("*.yaml")))
