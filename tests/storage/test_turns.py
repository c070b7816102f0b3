"""Writers that share a commit: what each of them is promised, whoever else writes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError, OperationalError

from bot.clock import wall_time
from bot.storage.database import Database, open_database
from bot.storage.tables import ContactAddress, Pace, table

WRITERS = 16
_pace = table(Pace)
_link = table(ContactAddress)


@pytest.fixture
def opened(sqlite_url: str) -> Iterator[Database]:
    database = open_database(sqlite_url)
    yield database
    database.dispose()


def test_what_was_written_is_committed_when_the_block_has_ended(database: Database) -> None:
    missing: list[str] = []

    def writer(number: int) -> None:
        for turn in range(10):
            name = f"{number}-{turn}"
            with database.write() as connection:
                _add(connection, name)
            if name not in _names(database):
                missing.append(name)

    _at_once(writer)
    assert not missing
    assert len(_names(database)) == 10 * WRITERS


def test_a_writer_that_fails_leaves_no_trace_and_harms_nobody(database: Database) -> None:
    def writer(number: int) -> None:
        for turn in range(10):
            try:
                with database.write() as connection:
                    _add(connection, f"{number}-{turn}")
                    if number % 3 == 0:
                        raise LookupError
            except LookupError:
                continue

    _at_once(writer)
    assert _names(database) == {f"{n}-{turn}" for n in range(WRITERS) if n % 3 for turn in range(10)}


def test_a_broken_key_is_told_to_the_one_who_broke_it(database: Database) -> None:
    told: list[int] = []

    def writer(number: int) -> None:
        try:
            with database.write() as connection:
                _add(connection, "the same")
        except IntegrityError:
            told.append(number)

    _at_once(writer)
    assert len(told) == WRITERS - 1
    assert _names(database) == {"the same"}


def test_a_commit_that_fails_is_told_to_everyone_and_the_next_one_works(opened: Database) -> None:
    def write_an_orphan() -> None:
        with opened.write() as connection:
            # From here on a foreign key is looked at when the transaction is committed.
            connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
            row = {"contact_id": "nobody", "address_id": "nowhere", "how": "self", "created_at": wall_time()}
            connection.execute(insert(_link), row)

    with pytest.raises(OperationalError):
        write_an_orphan()
    with opened.write() as connection:
        _add(connection, "afterwards")
    assert _names(opened) == {"afterwards"}


def test_a_transaction_that_the_database_dropped_is_never_taken_as_committed(opened: Database) -> None:
    def write_and_lose() -> None:
        with opened.write() as connection:
            _add(connection, "lost")
            # What SQLite does by itself when the disk is full.
            connection.exec_driver_sql("ROLLBACK")

    with pytest.raises(OperationalError):
        write_and_lose()
    with opened.write() as connection:
        _add(connection, "afterwards")
    assert _names(opened) == {"afterwards"}


def test_nobody_who_shared_a_dropped_transaction_is_told_that_it_was_committed(opened: Database) -> None:
    told: list[str] = []

    def writer(number: int) -> None:
        for turn in range(10):
            name = f"{number}-{turn}"
            try:
                with opened.write() as connection:
                    _add(connection, name)
                    if number == 0:
                        connection.exec_driver_sql("ROLLBACK")
                told.append(name)
            except OperationalError:
                continue

    _at_once(writer)
    assert _names(opened) == set(told)


def _at_once(writer: Callable[[int], None]) -> None:
    """Run ``writer`` for every number, all at the same moment."""
    start = threading.Barrier(WRITERS)

    def run(number: int) -> None:
        start.wait(60)
        writer(number)

    with ThreadPoolExecutor(WRITERS) as pool:
        for done in [pool.submit(run, number) for number in range(WRITERS)]:
            done.result(60)


def _add(connection: Connection, name: str) -> None:
    connection.execute(insert(_pace), {"name": name, "next_at": wall_time()})


def _names(database: Database) -> set[str]:
    with database.read() as connection:
        return set(connection.execute(select(_pace.c.name)).scalars())


def test_a_write_inside_a_write_is_an_error_and_not_a_wait_for_ever(opened: Database) -> None:
    with pytest.raises(RuntimeError, match="inside a write"), opened.write(), opened.write():
        raise AssertionError("a thread cannot wait for itself")
    with opened.write() as connection:
        _add(connection, "after")
    assert _names(opened) == {"after"}
