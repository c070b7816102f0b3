"""An update and the rows that go with it, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from bot.clock import wall_time
from bot.storage.database import Database
from bot.storage.tables import Contact, Heartbeat, Pace, table
from bot.storage.together import Rows, update_with

_beat = table(Heartbeat)
_pace = table(Pace)
_contact = table(Contact)
_CHANGE = update(_beat).where(_beat.c.name == bindparam("key"), _beat.c.value == bindparam("was"))


@pytest.fixture
def beating(database: Database) -> Database:
    with database.write() as connection:
        connection.execute(insert(_beat), {"name": "one", "at": wall_time(), "value": 1.0})
    return database


def test_the_change_and_rows_of_several_tables_are_written(beating: Database) -> None:
    assert _change(beating, was=1.0, rows=[(_pace, [_row("a"), _row("b")]), (_contact, [_person("c")])]) == 1
    assert _held(beating) == (2.0, 2, 1)


def test_a_change_needs_no_rows(beating: Database) -> None:
    assert _change(beating, was=1.0, rows=[(_pace, [])]) == 1
    assert _held(beating) == (2.0, 0, 0)


def test_rows_of_one_table_may_fill_different_columns(beating: Database) -> None:
    assert _change(beating, was=1.0, rows=[(_contact, [_person("c")])]) == 1
    assert _change(beating, was=2.0, rows=[(_contact, [_person("d") | {"language": "my"}])]) == 1
    assert _held(beating) == (2.0, 0, 2)


def test_a_change_that_finds_no_row_is_told(beating: Database) -> None:
    assert _change(beating, was=7.0, rows=[]) == 0
    assert _held(beating) == (1.0, 0, 0)


def test_a_row_that_is_there_already_undoes_the_change(beating: Database) -> None:
    with pytest.raises(IntegrityError):
        _change(beating, was=1.0, rows=[(_pace, [_row("a"), _row("a")])])
    assert _held(beating) == (1.0, 0, 0)


def _change(database: Database, was: float, rows: Rows) -> int:
    with database.write() as connection:
        return update_with(connection, _CHANGE, {"key": "one", "was": was}, {"value": 2.0}, rows)


def _row(name: str) -> dict[str, object]:
    return {"name": name, "next_at": wall_time()}


def _person(row_id: str) -> dict[str, object]:
    return {"id": row_id, "created_at": wall_time()}


def _held(database: Database) -> tuple[float, int, int]:
    with database.read() as connection:
        value = connection.execute(select(_beat.c.value)).scalar_one()
        counts = [
            connection.execute(select(func.count()).select_from(each)).scalar_one()
            for each in (_pace, _contact)
        ]
    return value, counts[0], counts[1]
