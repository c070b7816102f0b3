"""What the tests of channels share: a world with post."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.flow.catalog import Catalogs
from bot.flow.library import Library
from bot.privacy.keys import Keyring
from bot.privacy.seal import Sealer
from bot.storage.database import Database, open_database
from tests.channels.post import HOTLINE, SECRET, PostOffice, post_office
from tests.journeys.world import World, make_world


@pytest.fixture
def office() -> Iterator[PostOffice]:
    """A real SMTP server."""
    with post_office() as running:
        yield running


@pytest.fixture
def post_database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A migrated, empty database: SQLite, or what a test asks for by the name of the fixture of its address."""
    opened = open_database(str(request.getfixturevalue(getattr(request, "param", "sqlite_url"))))
    yield opened
    opened.dispose()


@pytest.fixture
def post_world(
    office: PostOffice,
    post_database: Database,
    ring: Keyring,
    sealer: Sealer,
    real_flows: Library,
    real_catalogs: Catalogs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    """The service with e-mail on."""
    given: dict[str, Any] = {
        "smtp_url": office.url,
        "email_from": f"Line <{HOTLINE}>",
        "email_webhook_secret": SECRET,
    }
    yield from make_world(
        post_database, ring, sealer, real_flows, real_catalogs, tmp_path, monkeypatch, **given
    )
