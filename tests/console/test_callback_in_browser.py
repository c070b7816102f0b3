"""A callback is moved and moved back in a real browser, on a telephone, without JavaScript, by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from bot import staff
from bot.audits.importing import bring_in
from bot.audits.upload import read
from bot.service import Service
from bot.staff import Role
from bot.storage.database import Database, open_database
from bot.storage.tables import Callback, table
from tests.browser import NewPage
from tests.console.conftest import PASSWORD, make_app
from tests.console.test_pages_in_browser import TELEPHONE, enter, overflow, running
from tests.journeys.world import Worker, upload

_callback = table(Callback)


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    """SQLite alone: nothing here depends on the database."""
    opened = open_database(sqlite_url)
    yield opened
    opened.dispose()


@pytest.fixture
def site(service: Service, tmp_path: Path) -> Iterator[str]:
    """The address of a console that runs, with one worker to be called."""
    path = tmp_path / "upload.csv"
    path.write_text(upload([Worker(language="id")]), encoding="utf-8")
    assert bring_in(service, read(path)).created == 1
    with running(make_app(service)) as address:
        yield address


def wanted(service: Service) -> tuple[str, str]:
    """The id of the callback, and the time that it is planned for."""
    with service.database.read() as connection:
        row = connection.execute(select(_callback).where(_callback.c.round == 1)).one()
    return row.id, row.preference


def test_a_callback_is_moved_and_moved_back_on_a_telephone_by_keyboard(
    service: Service, browser: NewPage, site: str
) -> None:
    secret = staff.add(service.database, service.sealer, service.clock, "Mira", PASSWORD, [Role.SUPERVISOR])
    page = browser(viewport=TELEPHONE, java_script_enabled=False)
    enter(page, site, secret)
    callback_id, _ = wanted(service)
    page.goto(f"{site}/callbacks/{callback_id}")
    assert overflow(page) == 0
    field = page.get_by_label("When does the worker want to be called?")
    field.fill("some day")
    field.press("Enter")
    page.get_by_role("alert").filter(has_text="That was not understood").wait_for()
    field.fill("besok setelah jam 8")
    field.press("Enter")
    page.get_by_role("heading", name="Preview: nothing is changed yet").wait_for()
    assert overflow(page) == 0
    page.get_by_role("button", name="Move as previewed").press("Enter")
    page.get_by_text("Moved: Tue, Mar 3, 20:00–21:00").wait_for()
    assert wanted(service)[1] == "2026-03-03 after 20:00"
    assert overflow(page) == 0
    page.get_by_role("button", name="Move it back").press("Enter")
    page.get_by_text("planned again as it was").wait_for()
    assert wanted(service)[1] == "evening"
