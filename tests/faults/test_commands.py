"""An operator's commands, killed at one statement after another: to give them again is all that has to be done."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import func, select

from bot.audits.importing import Report, bring_in
from bot.audits.upload import read
from bot.clock import FrozenClock
from bot.flow.catalog import Catalogs
from bot.flow.library import Library
from bot.ids import new_id
from bot.privacy.keys import Keyring
from bot.privacy.seal import Sealer
from bot.service import Service
from bot.storage import tables
from bot.storage.database import Database, open_database
from bot.storage.tables import table
from tests.faults.cast import fork
from tests.faults.tap import Point, Tap
from tests.journeys.world import Worker, settings_for, upload
from tests.postgres import Postgres

WORKERS = 3


def was_killed(command: Callable[[], object], database: Database, folder: Path, moment: int) -> bool:
    """Give a command in a process that is killed at one of its moments; false if it was done before that."""
    database.dispose()

    def act() -> None:
        tap = Tap("command", folder / "trace", Point("command", 0, moment))
        tap.watch(database)
        tap.begin("command")
        command()

    _, status = os.waitpid(fork(act), 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Generator[Database, None, None]]:
    """Gives databases without a schema, one after the other; each is gone when the next one comes."""

    def on_sqlite() -> Generator[Database, None, None]:
        while True:
            path = tmp_path / f"{new_id()}.db"
            made = open_database(f"sqlite:///{path}")
            try:
                yield made
            finally:
                made.dispose()
                path.unlink()

    def on_postgres() -> Generator[Database, None, None]:
        server: Postgres = request.getfixturevalue("postgres")
        while True:
            name = f"upgrade_{new_id()}"
            made = open_database(server.create(name))
            try:
                yield made
            finally:
                made.dispose()
                server.drop(name)

    return on_sqlite if request.param == "sqlite" else on_postgres


def test_an_upgrade_that_was_killed_is_given_again(
    empty: Callable[[], Generator[Database, None, None]], tmp_path: Path
) -> None:
    with closing(empty()) as databases:
        counted = next(databases)
        assert not was_killed(counted.upgrade, counted, tmp_path, -1)
        step = len((tmp_path / "trace").read_text("utf-8").splitlines()) // 3
        for moment in (step // 2, step, 2 * step):
            database = next(databases)
            assert was_killed(database.upgrade, database, tmp_path, moment)
            database.upgrade()
            database.check_schema()
            with database.read() as connection:
                context = MigrationContext.configure(connection, opts={"compare_type": True})
                assert compare_metadata(context, tables.metadata) == []


def test_an_upload_that_was_killed_is_uploaded_again(
    sqlite_url: str,
    tmp_path: Path,
    ring: Keyring,
    frozen_clock: FrozenClock,
    real_flows: Library,
    real_catalogs: Catalogs,
) -> None:
    database = open_database(sqlite_url)
    nowhere = "http://127.0.0.1:1"
    service = Service(
        settings=settings_for(nowhere, nowhere, database_url=sqlite_url),
        database=database,
        keyring=ring,
        sealer=Sealer(ring),
        clock=frozen_clock,
        library=real_flows,
        catalogs=real_catalogs,
    )
    path = tmp_path / "upload.csv"
    killed = 0
    # Another audit each time, of other workers: what earlier ones left does not matter.
    for moment in range(0, 10_000, 12):
        people = [Worker(f"+6281{moment:04}{n:05}", alias=f"W-{moment}-{n}") for n in range(WORKERS)]
        path.write_text(upload(people, ref=f"A-{moment}"), encoding="utf-8")

        def bring() -> Report:
            return bring_in(service, read(path))

        done = not was_killed(bring, database, tmp_path, moment)
        again = bring()
        assert (again.rejected, again.created + again.unchanged) == (0, WORKERS)
        assert bring().unchanged == WORKERS
        if done:
            break
        killed += 1
    assert killed > 3
    with database.read() as connection:
        callbacks = select(func.count()).select_from(table(tables.Callback))
        assert (
            connection.execute(callbacks.where(table(tables.Callback).c.round == 1)).scalar_one()
            == (killed + 1) * WORKERS
        )
    database.dispose()
