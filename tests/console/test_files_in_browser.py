"""Files on the case page, in a real browser: nothing is opened before somebody asks for it."""

from __future__ import annotations

from sqlalchemy import select

from bot.service import Service
from bot.storage.tables import AccessLog, table
from tests.browser import NewPage
from tests.console.test_pages_in_browser import TELEPHONE, enter, overflow, secret, site

__all__ = ["secret", "site"]


def openings(service: Service) -> int:
    """How often a file was opened, by the access log."""
    log = table(AccessLog)
    with service.database.read() as connection:
        return len(connection.execute(select(log.c.id).where(log.c.object_kind == "attachment")).all())


def test_a_picture_is_fetched_when_it_is_asked_for_and_fits_a_telephone(
    service: Service, browser: NewPage, site: str, secret: str
) -> None:
    page = browser(viewport=TELEPHONE, java_script_enabled=True)
    enter(page, site, secret)
    page.locator("table.list a").first.click()
    summary = page.get_by_text("Show the picture")
    summary.scroll_into_view_if_needed()
    page.wait_for_load_state("networkidle")
    assert openings(service) == 0
    summary.focus()
    page.keyboard.press("Enter")
    picture = page.get_by_alt_text("Picture that the worker sent")
    picture.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('.file img').naturalWidth > 0")
    assert overflow(page) == 0
    assert openings(service) == 1
