"""A world for each row of the table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.flow.catalog import Catalogs
from bot.flow.library import Library
from bot.privacy.keys import Keyring
from bot.privacy.seal import Sealer
from bot.storage.database import open_database
from tests.contract.row import Row
from tests.contract.table import ROWS
from tests.journeys.world import World, make_world


@pytest.fixture(params=ROWS, ids=str)
def row(request: pytest.FixtureRequest) -> Row:
    """Each channel of the table in turn."""
    found: Row = request.param
    return found


@pytest.fixture
def world(
    row: Row,
    sqlite_url: str,
    ring: Keyring,
    sealer: Sealer,
    real_flows: Library,
    real_catalogs: Catalogs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    """A world in which the channel is on."""
    database = open_database(sqlite_url)
    try:
        with row.outside() as more:
            given = {**row.settings, **more}
            yield from make_world(
                database, ring, sealer, real_flows, real_catalogs, tmp_path, monkeypatch, **given
            )
    finally:
        database.dispose()
