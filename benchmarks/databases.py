"""An empty, migrated database for one measurement, as durable as in service: SQLite or PostgreSQL."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bot.storage.database import open_database
from tests.postgres import running

KINDS = ("sqlite", "postgresql")


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a measurement happens. ``process_id`` is the database server's, if there is one."""

    kind: str
    url: str
    folder: Path
    version: str
    process_id: int | None


@contextmanager
def prepared(kind: str) -> Iterator[Ground]:
    """A database of ``kind`` and a folder beside it, both gone at the end of the block.

    PostgreSQL is started from plain binaries as the tests do it, with fsync and synchronous commit on.
    Raises :class:`tests.postgres.PostgresUnavailable` where none can run.
    """
    with tempfile.TemporaryDirectory(prefix="vb-bench-") as name:
        folder = Path(name)
        if kind == "sqlite":
            yield _migrated(Ground(kind, f"sqlite:///{folder / 'voiceback.db'}", folder, _sqlite(), None))
            return
        with running() as server:
            server.durable(True)
            url = server.create("voiceback")
            _tidy(url)
            postmaster = int((server.folder / "data" / "postmaster.pid").read_text().split()[0])
            yield _migrated(
                Ground(
                    kind,
                    url,
                    folder,
                    f"PostgreSQL {int(server.version) // 10000}.{int(server.version) % 10000}",
                    postmaster,
                )
            )


def _tidy(url: str) -> None:
    """Switch on what the tests switch off: dead rows are cleared away and statistics kept, as in service."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET autovacuum = on")
        connection.execute("SELECT pg_reload_conf()")


def _migrated(ground: Ground) -> Ground:
    database = open_database(ground.url)
    database.upgrade()
    database.dispose()
    return ground


def _sqlite() -> str:
    import sqlite3

    return f"SQLite {sqlite3.sqlite_version}"
