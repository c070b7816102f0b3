"""One way to the database, alike on both kinds."""

from __future__ import annotations

import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import IntegrityError, StatementError

from bot.clock import wall_time
from bot.errors import ConfigurationError, SchemaError
from bot.storage.database import Database, open_database
from bot.storage.tables import AddressRow, Heartbeat, table

_heartbeat = table(Heartbeat)
NOW = datetime(2026, 3, 2, 9, 0, 0, 123456, tzinfo=UTC)


def beat(database: Database, name: str, at: datetime = NOW) -> None:
    """Write one row."""
    with database.write() as connection:
        connection.execute(insert(_heartbeat).values(name=name, at=at, value=0.0))


def test_instants_keep_their_zone_and_their_microseconds(database: Database) -> None:
    beat(database, "a", NOW.astimezone(timezone(timedelta(hours=6, minutes=30))))
    with database.read() as connection:
        found = connection.execute(select(_heartbeat.c.at)).scalar_one()
    assert found == NOW
    assert found.utcoffset() == timedelta()


def test_a_naive_instant_is_an_error(database: Database) -> None:
    with pytest.raises(StatementError):
        beat(database, "a", NOW.replace(tzinfo=None))


def test_a_write_that_fails_leaves_nothing(database: Database) -> None:
    def fail() -> None:
        with database.write() as connection:
            connection.execute(insert(_heartbeat).values(name="a", at=NOW, value=0.0))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with database.read() as connection:
        assert connection.execute(select(_heartbeat)).all() == []


def test_many_threads_write_one_after_the_other(database: Database) -> None:
    beat(database, "a")

    def count(_: int) -> None:
        with database.write() as connection:
            row = connection.execute(select(_heartbeat.c.value).with_for_update()).scalar_one()
            connection.execute(update(_heartbeat).values(value=row + 1))

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(count, range(60)))
    with database.read() as connection:
        assert connection.execute(select(_heartbeat.c.value)).scalar_one() == 60


def test_an_error_never_holds_what_was_to_be_written(database: Database) -> None:
    address = table(AddressRow)
    values = {
        "id": "1" * 32,
        "kind": "phone",
        "index": "+6281277788899",
        "stop_index": "s",
        "sealed": b"x",
        "created_at": NOW,
    }
    with database.write() as connection:
        connection.execute(insert(address).values(**values))
    with pytest.raises(IntegrityError) as refused, database.write() as connection:
        connection.execute(insert(address).values(**values))
    if database.dialect == "sqlite":
        assert "81277788899" not in str(refused.value)
    assert "81277788899" not in str(refused.value.statement)


def test_rows_print_nothing_but_what_they_are() -> None:
    row = AddressRow(
        id="1", kind="phone", index="i", stop_index="s", sealed=b"+6281277788899", created_at=wall_time()
    )
    assert repr(row) == str(row) == "<AddressRow>"


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://x/y", "sqlite://", "sqlite:///:memory:", "postgresql+asyncpg"]
)
def test_an_address_that_is_none_is_refused_without_being_told(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        open_database(url)
    assert "DATABASE_URL" in str(refused.value)


def test_a_database_that_cannot_be_reached_is_told_without_its_password() -> None:
    lost = open_database("postgresql://someone:hunter2@127.0.0.1:1/none")
    with pytest.raises(ConfigurationError) as refused:
        lost.check_schema()
    assert "hunter2" not in str(refused.value)
    lost.dispose()


# --- SQLite -------------------------------------------------------------------------------------------


def test_the_file_is_private(sqlite_url: str, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "voiceback.db"
    made = open_database(f"sqlite:///{path}")
    made.upgrade()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    made.dispose()


def test_what_is_deleted_leaves_the_file(sqlite_url: str) -> None:
    database = open_database(sqlite_url)
    beat(database, "canary-kestrel")
    with database.write() as connection:
        connection.execute(_heartbeat.delete())
    with database.read() as connection:
        connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    database.dispose()
    assert b"canary-kestrel" not in Path(sqlite_url.removeprefix("sqlite:///")).read_bytes()


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("secure_delete", 1), ("foreign_keys", 1), ("synchronous", 2)],
)
def test_every_connection_is_careful(sqlite_url: str, pragma: str, value: object) -> None:
    database = open_database(sqlite_url)
    with database.read() as connection:
        assert connection.execute(text(f"PRAGMA {pragma}")).scalar_one() == value
    database.dispose()


# --- the schema -----------------------------------------------------------------------------------------


def test_an_empty_database_is_told_from_one_that_is_up_to_date(tmp_path: Path, database: Database) -> None:
    empty = open_database(f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(SchemaError, match="db upgrade"):
        empty.check_schema()
    empty.dispose()
    database.check_schema()


def test_an_upgrade_can_be_repeated(database: Database) -> None:
    beat(database, "a")
    database.upgrade()
    database.upgrade()
    with database.read() as connection:
        assert connection.execute(select(_heartbeat.c.name)).scalars().all() == ["a"]


def test_a_database_newer_than_the_code_is_accepted(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.check_schema()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "voiceback.db"
    path.write_bytes(b"this is no database at all, but it is long enough to be looked at" * 50)
    broken = open_database(f"sqlite:///{path}")
    with pytest.raises((ConfigurationError, sqlite3.DatabaseError)):
        broken.check_schema()
    broken.dispose()
