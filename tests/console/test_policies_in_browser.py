"""The page of policies as a supervisor uses it: in a real browser, on a telephone, without JavaScript, by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot import staff
from bot.audits.importing import bring_in
from bot.audits.upload import read
from bot.callbacks import policies
from bot.service import Service
from bot.staff import Role
from bot.storage.database import Database, open_database
from tests.browser import NewPage
from tests.console.conftest import PASSWORD, make_app
from tests.console.test_pages_in_browser import TELEPHONE, enter, overflow, running
from tests.journeys.world import Worker, upload


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    """SQLite alone: nothing here depends on the database."""
    opened = open_database(sqlite_url)
    yield opened
    opened.dispose()


@pytest.fixture
def site(service: Service, tmp_path: Path) -> Iterator[str]:
    """The address of a console that runs, with a client and sixty-one workers."""
    workers = [Worker(number=f"+6281200000{n:03}", alias=f"W-{n}") for n in range(61)]
    path = tmp_path / "upload.csv"
    path.write_text(upload(workers), encoding="utf-8")
    assert bring_in(service, read(path)).created == 61
    with running(make_app(service)) as address:
        yield address


def test_a_policy_is_previewed_and_saved_on_a_telephone_by_keyboard(
    service: Service, browser: NewPage, site: str
) -> None:
    secret = staff.add(service.database, service.sealer, service.clock, "Mira", PASSWORD, [Role.SUPERVISOR])
    page = browser(viewport=TELEPHONE, java_script_enabled=False)
    enter(page, site, secret)
    page.get_by_role("link", name="Policies").click()
    assert overflow(page) == 0
    page.get_by_role("link", name="Brand A").click()
    assert overflow(page) == 0
    page.get_by_label("Daily cap").fill("20")
    page.get_by_label("Daily cap").press("Enter")
    page.get_by_role("heading", name="Preview: nothing is saved yet").wait_for()
    assert overflow(page) == 0
    page.get_by_text("Who and when").click()
    assert overflow(page) == 0
    assert page.get_by_role("definition").filter(has_text="61").count() > 0
    page.get_by_role("button", name="Save what was previewed").press("Enter")
    page.get_by_text("61 callbacks were planned anew").wait_for()
    with service.database.read() as connection:
        assert policies.of_client(connection, "Brand A").daily_cap == 20
    page.get_by_role("button", name="Bring the former policy back").click()
    page.get_by_text("again what it was").wait_for()
    assert page.get_by_label("Daily cap").input_value() == ""
