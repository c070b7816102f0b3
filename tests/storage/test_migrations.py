"""What the migrations make is what the tables say, on both kinds of database."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from bot.storage.database import Database, _alembic
from bot.storage.tables import metadata


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
