"""One way to the database, SQLite or PostgreSQL alike.

``read()`` gives a connection for queries; ``write()`` gives a transaction that commits at the end of
the block. On SQLite a write begins with BEGIN IMMEDIATE, and the writers of one process take turns
(:mod:`bot.storage.turns`), so that threads wait in order instead of polling for the file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, func, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from bot.errors import ConfigurationError, SchemaError
from bot.storage.dialect import use
from bot.storage.turns import Turns

_MIGRATIONS = Path(__file__).parent / "migrations"
_POOL = 34
"""Connections per process: one for each web thread (granian runs 32) and two to spare."""
_UPGRADE_LOCK = 0x766F696365
"""The number of the advisory lock of an upgrade."""
_UPGRADE_SECONDS = 30.0


class Database:
    """The engine and the two ways to use it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.dialect = engine.dialect.name
        self._turns = Turns(engine) if self.dialect == "sqlite" else None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for queries; nothing is committed."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction: committed at the end of the block, rolled back if it raises."""
        with self._turns.turn() if self._turns else self.engine.begin() as connection:
            yield connection

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    # --- schema ------------------------------------------------------------------------------

    def upgrade(self) -> None:
        """Bring the schema to the newest revision (``voiceback db upgrade``); safe to repeat after it was broken off.

        Others may read and write meanwhile. Raises :class:`ConfigurationError`, also when another upgrade goes on.
        """
        try:
            with self._alone(), self.engine.connect() as connection:
                config = _alembic()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                connection.commit()
        except DBAPIError as error:
            raise ConfigurationError(_unreachable(error)) from None
        except CommandError:
            raise ConfigurationError(
                "the database's schema is newer than this code. Install the newer version; nothing was changed."
            ) from None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait for another upgrade of this database. On SQLite the file's own lock is enough.

        The lock is asked for again and again, because a statement that waits would itself be waited for by an index
        that is made concurrently. It ends with its connection, which the pool gives up.
        """
        with self.engine.connect() as connection:
            if self.dialect == "postgresql":
                connection.detach()
                self._lock_upgrades(connection)
            yield

    def _lock_upgrades(self, connection: Connection) -> None:
        until = time.monotonic() + _UPGRADE_SECONDS
        while not connection.execute(select(func.pg_try_advisory_lock(_UPGRADE_LOCK))).scalar_one():
            connection.commit()
            if time.monotonic() > until:
                raise ConfigurationError("another upgrade of this database goes on. Wait for its end.")
            time.sleep(0.2)
        connection.commit()

    def check_schema(self) -> None:
        """Raise :class:`SchemaError` if the schema is behind the code; a newer one is accepted, for rolling updates."""
        script = ScriptDirectory.from_config(_alembic())
        known = {revision.revision for revision in script.walk_revisions()}
        try:
            with self.engine.connect() as connection:
                current = MigrationContext.configure(connection).get_current_revision()
        except DBAPIError as error:
            raise ConfigurationError(_unreachable(error)) from None
        if current is None or (current in known and current != script.get_current_head()):
            raise SchemaError("the database's schema is not up to date. Run `voiceback db upgrade`.")

    def ping(self) -> None:
        """Raise a DBAPIError when the database cannot be written to right now."""
        with self.read() as connection:
            connection.execute(text("SELECT 1"))


def open_database(url: str) -> Database:
    """Open ``sqlite:///path`` or ``postgresql://…``. Raises :class:`ConfigurationError`; values are never in it."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError("DATABASE_URL is not a database address") from None
    if parsed.drivername in {"postgresql", "postgres"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise ConfigurationError("DATABASE_URL must be sqlite:///… or postgresql://…")
    arguments: dict[str, Any] = {}
    if parsed.get_backend_name() == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise ConfigurationError("DATABASE_URL: an SQLite database must be a file")
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        _private(Path(parsed.database))
        arguments["connect_args"] = {"timeout": 15, "isolation_level": None, "check_same_thread": False}
        parsed = use(parsed)
    else:
        arguments["connect_args"] = {"connect_timeout": 5, "application_name": "voiceback"}
        arguments["pool_pre_ping"] = True
    # hide_parameters keeps numbers and answers out of every exception's text.
    engine = create_engine(
        parsed, hide_parameters=True, pool_size=_POOL, max_overflow=0, pool_timeout=10, **arguments
    )
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _pragmas)
    return Database(engine)


def _private(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.close(descriptor)


def _pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    # FULL: an acknowledged message survives a power cut. secure_delete: what is purged leaves no trace.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config


def _unreachable(error: DBAPIError) -> str:
    return f"the database cannot be reached or used ({type(error.orig).__name__}). Check DATABASE_URL."
