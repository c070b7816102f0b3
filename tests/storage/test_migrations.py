"""What the migrations make is what the tables say, on both kinds of database."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, inspect, text

from bot.clock import wall_time
from bot.ids import new_id
from bot.storage.database import Database, _alembic, open_database
from bot.storage.tables import Transfer, metadata, table
from tests.postgres import Postgres

FIRST = "0001"
_AS_A_WRITER = text("LOCK TABLE cases IN ROW EXCLUSIVE MODE")
CHECKED = {"callback_one_of_a_round", "transfer_open_callback", "transfer_attempt"}
"""New promises of old tables that were looked at: the code of 0002 made callbacks of audits in the first round only,
one for each worker, and never makes another. The code of 0003 fills neither the callback nor the attempt of a transfer,
and where nothing is filled in nothing is promised."""


def test_the_migrations_make_every_table_and_column(database: Database) -> None:
    with database.read() as connection:
        found = inspect(connection)
        for each in metadata.sorted_tables:
            columns = {column["name"]: column for column in found.get_columns(each.name)}
            assert set(columns) == {column.name for column in each.columns}, each.name
            for column in each.columns:
                assert columns[column.name]["nullable"] == bool(column.nullable), f"{each.name}.{column.name}"


def test_nothing_is_left_to_migrate(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        changes = compare_metadata(context, metadata)
    structural = [
        change
        for change in changes
        if (isinstance(change, tuple) and "table" in change[0]) or "column" in str(change[0])
    ]
    assert structural == []


def test_there_is_one_line_of_migrations() -> None:
    script = ScriptDirectory.from_config(_alembic())
    assert len(script.get_heads()) == 1
    assert len(script.get_bases()) == 1


def test_the_code_of_the_schema_before_can_go_on_after_each_migration(tmp_path: Path) -> None:
    # While a rolling update lasts, code that knows nothing of a migration reads and writes what it made.
    database = open_database(f"sqlite:///{tmp_path / 'old.db'}")
    try:
        for before, after in _pairs(database):
            assert set(before) <= set(after), "a table is gone"
            for name, table in before.items():
                _assert_old_statements_fit(name, table, after[name])
    finally:
        database.dispose()


def back_to(database: Database, revision: str) -> None:
    """Take back every migration after one."""
    with database.engine.connect() as connection:
        config = _alembic()
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
        connection.commit()


def test_a_led_call_that_nobody_picked_up_stands_in_the_way_of_no_downgrade(database: Database) -> None:
    now = wall_time()
    with database.write() as connection:
        rung = {"id": new_id(), "callback_id": new_id(), "language": "en", "state": "ended", "ring": 1}
        connection.execute(insert(table(Transfer)).values(**rung, lease_until=now, waiting_since=now))
    back_to(database, "0003")
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM transfer")).scalar() == 0
    database.upgrade()
    database.check_schema()


def test_an_index_that_a_killed_upgrade_left_broken_is_made_again(postgres_url: str) -> None:
    database = open_database(postgres_url)
    broken = text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass('cases_open')")
    valid = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('cases_open')")
    try:
        back_to(database, "0005")
        with database.write() as connection:
            connection.execute(broken)
            connection.execute(text("UPDATE alembic_version SET version_num = '0004'"))
        database.upgrade()
        database.check_schema()
        with database.read() as connection:
            assert connection.execute(valid).scalar_one()
    finally:
        database.dispose()


def test_writers_go_on_while_an_upgrade_makes_an_index(postgres_url: str) -> None:
    # The writer's transaction is open all the while the index waits for it; a plain index would be waited for by the
    # second writer, and that one has no time to wait.
    database = open_database(postgres_url)
    try:
        back_to(database, "0005")
        with database.write() as connection:
            connection.execute(text("DROP INDEX cases_open"))
            connection.execute(text("UPDATE alembic_version SET version_num = '0004'"))
        upgrade = Thread(target=database.upgrade)
        with database.write() as first:
            first.execute(_AS_A_WRITER)
            upgrade.start()
            _until_the_index_waits(database)
            with database.write() as second:
                second.execute(text("SET LOCAL lock_timeout = '1s'"))
                second.execute(_AS_A_WRITER)
        upgrade.join()
        database.check_schema()
    finally:
        database.dispose()


def _until_the_index_waits(database: Database) -> None:
    waiting = text(
        "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'CREATE INDEX CONCURRENTLY%'"
    )
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with database.read() as connection:
            if connection.execute(waiting).first():
                return
        time.sleep(0.02)
    raise AssertionError("no index was begun")


def test_two_upgrades_at_once_take_turns(postgres: Postgres) -> None:
    name = f"upgrade_{new_id()}"
    url = postgres.create(name)
    databases = [open_database(url) for _ in range(2)]
    try:
        with ThreadPoolExecutor() as both:
            assert list(both.map(Database.upgrade, databases)) == [None, None]
        databases[0].check_schema()
    finally:
        for each in databases:
            each.dispose()
        postgres.drop(name)


def _pairs(database: Database) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The schema before and after each migration from the second on, as a database tells it."""
    script = ScriptDirectory.from_config(_alembic())
    line = [each.revision for each in script.walk_revisions()][::-1]
    assert line[0] == FIRST
    shapes = []
    with database.engine.connect() as connection:
        config = _alembic()
        config.attributes["connection"] = connection
        for revision in line:
            command.upgrade(config, revision)
            connection.commit()
            shapes.append(_shape(connection))
    return list(pairwise(shapes))


def _shape(connection: Connection) -> dict[str, Any]:
    found = inspect(connection)
    return {
        name: {
            "columns": {each["name"]: each for each in found.get_columns(name)},
            "key": found.get_pk_constraint(name)["constrained_columns"],
            "unique": {
                *(str(each["name"] or each["column_names"]) for each in found.get_unique_constraints(name)),
                *(str(each["name"]) for each in found.get_indexes(name) if each["unique"]),
            },
            "foreign": {str(each["constrained_columns"]) for each in found.get_foreign_keys(name)},
            "checks": {str(each["sqltext"]) for each in found.get_check_constraints(name)},
        }
        for name in found.get_table_names()
    }


def _assert_old_statements_fit(name: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    """No column is gone or changed, a new one may be left out, and nothing new is demanded of rows."""
    for column, old in before["columns"].items():
        new = after["columns"].get(column)
        assert new is not None, f"{name}.{column} is gone"
        assert str(new["type"]) == str(old["type"]), f"{name}.{column} is of another type"
        assert new["nullable"] or not old["nullable"], f"{name}.{column} may not be empty any more"
    for column in after["columns"].keys() - before["columns"].keys():
        new = after["columns"][column]
        assert new["nullable"] or new["default"] is not None, f"{name}.{column} cannot be left out"
    assert after["key"] == before["key"], name
    assert after["unique"] - before["unique"] <= CHECKED, f"{name}: a new promise about old rows"
    assert after["checks"] <= before["checks"], f"{name}: a new condition of old rows"
    new_columns = after["columns"].keys() - before["columns"].keys()
    assert all(
        any(f"'{column}'" in each for column in new_columns) for each in after["foreign"] - before["foreign"]
    ), f"{name}: an old column must now refer to another table"
