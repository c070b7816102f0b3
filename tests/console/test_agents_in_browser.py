"""The life of the agent's page in a real browser: it follows what happens without being reloaded."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pyotp
import pytest
from playwright.sync_api import Page

from bot import roster
from bot.roster import Newcomer
from bot.service import Service
from bot.staff import Role
from tests.browser import NewPage
from tests.cases.planting import Planted
from tests.console.conftest import PASSWORD, make_app
from tests.console.test_agents import PHONE, Line
from tests.console.test_pages_in_browser import TELEPHONE, overflow, running


@pytest.fixture
def secret(service: Service) -> str:
    """The secret of the agent Lan."""
    roles = frozenset({Role.AGENT, Role.SUPERVISOR})
    return roster.add(service, Newcomer("Lan", roles, PASSWORD, phone=PHONE, languages=("en", "id")))


@pytest.fixture
def site(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A console that runs, whose pages look for news without a pause to wait for."""
    monkeypatch.setattr("console.agents.REFRESH_SECONDS", 0.1)
    monkeypatch.setattr("console.line.REFRESH_SECONDS", 0.1)
    with running(make_app(service)) as address:
        yield address


def enter(page: Page, site: str, secret: str) -> None:
    """Sign in and go to one's calls."""
    page.goto(f"{site}/sign-in?next=/console/agent")
    page.get_by_label("Name").fill("Lan")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Code of your authenticator app").fill(pyotp.TOTP(secret).at(time.time()))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="My calls").wait_for()


def test_a_call_from_ring_to_wrap_up(
    service: Service, browser: NewPage, site: str, secret: str, case: Planted
) -> None:
    line, page = Line(service, case), browser(viewport=TELEPHONE)
    enter(page, site, secret)
    page.get_by_role("button", name="I am available").click()
    page.get_by_text("You are available.", exact=True).wait_for()
    page.get_by_role("button", name="I am away").focus()
    line.waits()
    line.rings()
    page.locator(".seat.ringing").get_by_text("press 1 there").wait_for()
    assert page.locator("#news").text_content() == "Your telephone rings: press 1 there to take the call."
    assert page.evaluate("document.activeElement.id") == "live"
    assert overflow(page) == 0
    line.is_taken()
    page.get_by_text("You never see who it is").wait_for()
    page.get_by_label("In your own words").fill("She was told to say that")
    page.get_by_label("What is it about?").select_option(index=2)
    line.is_over()
    page.get_by_role("button", name="Save, and take the next call").wait_for()
    # The page was made anew under her hands: what she was typing stands, and so does the place of her hands.
    assert page.get_by_label("In your own words").input_value() == "She was told to say that"
    assert page.get_by_label("What is it about?").input_value()
    assert overflow(page) == 0
    page.get_by_label("In your own words").focus()
    page.keyboard.press("End")
    page.keyboard.type(" nothing had happened.")
    page.get_by_role("button", name="Save, and take the next call").click()
    page.get_by_text("The talk is closed.").wait_for()
    page.goto(f"{site}/cases/{case.id}")
    page.get_by_text("She was told to say that nothing had happened.").wait_for()


def test_the_page_says_so_when_the_session_is_over_and_keeps_what_was_typed(
    service: Service, browser: NewPage, site: str, secret: str, case: Planted
) -> None:
    line, page = Line(service, case), browser()
    enter(page, site, secret)
    page.get_by_role("button", name="I am available").click()
    page.get_by_text("You are available.", exact=True).wait_for()
    line.talk()
    page.get_by_label("In your own words").fill("Half of a sentence")
    page.context.clear_cookies()
    page.locator(".notice", has_text="You are signed out.").wait_for()
    assert page.get_by_label("In your own words").input_value() == "Half of a sentence"


def test_the_line_follows_what_happens(
    service: Service, browser: NewPage, site: str, secret: str, case: Planted
) -> None:
    page = browser(viewport=TELEPHONE)
    enter(page, site, secret)
    page.goto(f"{site}/line")
    page.get_by_text("Nobody waits for a person.").wait_for()
    Line(service, case).waits()
    page.get_by_text("Waits", exact=True).wait_for()
    assert page.locator("#news").text_content() == "1 waiting, 0 talking."
    assert overflow(page) == 0


def test_without_javascript_the_page_works_by_reloading(
    service: Service, browser: NewPage, site: str, secret: str, case: Planted
) -> None:
    line, page = Line(service, case), browser(java_script_enabled=False)
    enter(page, site, secret)
    page.get_by_role("button", name="I am available").click()
    line.talk()
    page.get_by_role("link", name="Reload this page").click()
    page.get_by_label("In your own words").fill("He has no contract")
    page.get_by_role("button", name="Save the note").click()
    page.get_by_text("Note saved.").wait_for()
    page.get_by_text("He has no contract").wait_for()
