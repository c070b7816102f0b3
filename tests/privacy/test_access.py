"""The access log shows every later edit and drop."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, select, update

from bot.privacy import access
from bot.privacy.access import Finding, Flaw, Head
from bot.storage.database import Database
from bot.storage.tables import AccessLog, table

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
_log = table(AccessLog)


def read_some(database: Database, number: int) -> None:
    """Note that a supervisor read some transcripts."""
    with database.write() as connection:
        for n in range(number):
            at = START + timedelta(seconds=n)
            access.record(connection, None, "read_transcript", "conversation", f"{n:032x}", at)


def seal_all(database: Database, limit: int = 1000) -> None:
    """Seal until nothing is left, as the clock does."""
    while True:
        with database.write() as connection:
            if access.seal_batch(connection, limit) == 0:
                return


def findings(database: Database, *heads: Head) -> list[Finding]:
    """What the verifier finds."""
    with database.read() as connection:
        return access.verify(connection, heads)


def head(database: Database) -> Head:
    """The head of the chain."""
    with database.read() as connection:
        found = access.head(connection)
    assert found is not None
    return found


def test_an_untouched_log_verifies(database: Database) -> None:
    assert findings(database) == []
    read_some(database, 25)
    assert findings(database) == []
    seal_all(database, limit=10)
    assert findings(database, head(database)) == []
    assert head(database).seq == 25


def test_rows_are_chained_in_the_order_in_which_they_were_written(database: Database) -> None:
    read_some(database, 5)
    seal_all(database, limit=2)
    with database.read() as connection:
        rows = connection.execute(select(_log.c.id, _log.c.seq).order_by(_log.c.id)).all()
    assert [row.seq for row in rows] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("action", "read_case"),
        ("object_id", "f" * 32),
        ("object_kind", "recording"),
        ("at", START - timedelta(days=1)),
        ("hash", "0" * 64),
    ],
)
def test_an_edit_of_any_column_is_found(database: Database, column: str, value: object) -> None:
    read_some(database, 5)
    seal_all(database)
    with database.write() as connection:
        connection.execute(update(_log).where(_log.c.seq == 3).values({column: value}))
    assert Finding(Flaw.EDITED, 3) in findings(database)


def test_every_single_edit_and_every_single_drop_is_found(database: Database) -> None:
    read_some(database, 100)
    seal_all(database)
    kept = head(database)
    for seq in (1, 2, 17, 50, 51, 99, 100):
        with database.read() as connection:
            # The change is rolled back with the connection, so that each is judged alone.
            connection.execute(update(_log).where(_log.c.seq == seq).values(object_id="e" * 32))
            assert access.verify(connection, [kept]) == [Finding(Flaw.EDITED, seq)]
        with database.read() as connection:
            connection.execute(delete(_log).where(_log.c.seq == seq))
            flaw = Flaw.CUT if seq == 100 else Flaw.MISSING
            assert access.verify(connection, [kept]) == [Finding(flaw, seq)]


def test_a_cut_tail_is_found_by_a_head_that_was_kept_outside(database: Database) -> None:
    read_some(database, 10)
    seal_all(database)
    kept = head(database)
    with database.write() as connection:
        connection.execute(delete(_log).where(_log.c.seq > 7))
    assert findings(database) == []
    assert findings(database, kept) == [Finding(Flaw.CUT, 10)]


def test_a_chain_that_was_made_anew_is_found_by_a_head_that_was_kept_outside(database: Database) -> None:
    read_some(database, 4)
    seal_all(database)
    kept = head(database)
    with database.write() as connection:
        connection.execute(update(_log).values(seq=None, hash=None))
        connection.execute(update(_log).where(_log.c.object_id == f"{1:032x}").values(action="nothing"))
    seal_all(database)
    assert findings(database) == []
    assert findings(database, kept) == [Finding(Flaw.CUT, 4)]


def test_two_clocks_at_once_make_one_chain(database: Database) -> None:
    read_some(database, 60)
    clocks = [threading.Thread(target=seal_all, args=(database, 7)) for _ in range(3)]
    for clock in clocks:
        clock.start()
    for clock in clocks:
        clock.join()
    assert findings(database, head(database)) == []
    assert head(database).seq == 60
