"""What the tests of channels share: a world with post."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.channels.post import HOTLINE, SECRET, PostOffice, post_office
from tests.journeys.world import World, Worlds


@pytest.fixture
def office() -> Iterator[PostOffice]:
    """A real SMTP server."""
    with post_office() as running:
        yield running


@pytest.fixture
def post_url(request: pytest.FixtureRequest) -> str:
    """A migrated, empty database: SQLite, or what a test asks for by the name of the fixture of its address."""
    return str(request.getfixturevalue(getattr(request, "param", "sqlite_url")))


@pytest.fixture
def post_world(office: PostOffice, worlds: Worlds, post_url: str) -> World:
    """The service with e-mail on."""
    return worlds(post_url, smtp_url=office.url, email_from=f"Line <{HOTLINE}>", email_webhook_secret=SECRET)
