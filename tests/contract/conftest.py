"""A world for each row of the table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.contract.row import Row
from tests.contract.table import ROWS
from tests.journeys.world import World, Worlds


@pytest.fixture(params=ROWS, ids=str)
def row(request: pytest.FixtureRequest) -> Row:
    """Each channel of the table in turn."""
    found: Row = request.param
    return found


@pytest.fixture
def world(row: Row, outside: Mapping[str, Any], worlds: Worlds, sqlite_url: str) -> World:
    """A world in which the channel is on."""
    return worlds(sqlite_url, **{**row.settings, **outside})


@pytest.fixture
def outside(row: Row) -> Iterator[Mapping[str, Any]]:
    """What the channel needs beside the simulator, and its settings; it outlives the world."""
    with row.outside() as more:
        yield more
