"""A callback that an agent leads, on her page in a real browser, with telephones that ring."""

from __future__ import annotations

import time

import pyotp
import pytest
from playwright.sync_api import Page

from bot import roster
from bot.callbacks import policies
from bot.callbacks.policy import Mode, Policy
from bot.flow import phrases
from bot.roster import Newcomer
from bot.staff import Role
from bot.storage import tables
from tests.browser import NewPage
from tests.console.conftest import PASSWORD
from tests.console.test_pages_in_browser import TELEPHONE, overflow
from tests.journeys.talking import AGENT, STAYS, until
from tests.journeys.test_leads import EVENING, LISTENS, NUMBER, calls_to, joined
from tests.journeys.world import Worker, World, heard


def enter(page: Page, world: World, secret: str) -> None:
    """Sign in, go to one's calls, and say that one is there."""
    page.goto(f"{world.url}/console/sign-in?next=/console/agent")
    page.get_by_label("Name").fill("Lan")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Code of your authenticator app").fill(pyotp.TOTP(secret).at(time.time()))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="I am available").click()
    page.get_by_text("You are available.", exact=True).wait_for()


def test_an_agent_asks_and_enters_one_question_after_the_other(
    sqlite_world: World, browser: NewPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.agents.REFRESH_SECONDS", 0.1)
    world, page = sqlite_world, browser(viewport=TELEPHONE)
    secret = roster.add(
        world.service,
        Newcomer("Lan", frozenset({Role.AGENT}), PASSWORD, phone=AGENT, languages=("en", "id")),
    )
    world.network.post("/sim/handsets", [{"number": AGENT, "name": "Lan", "script": STAYS}])
    world.interviewed(Worker(language="id", script=LISTENS))
    policies.set_for_client(world.service, "Brand A", Policy(mode=Mode.AGENT))
    world.at(EVENING)
    enter(page, world, secret)
    until(world, joined(world))
    page.get_by_role("heading", name="Ask").wait_for()
    page.get_by_text("If we are cut off, may we call you again?").wait_for()
    assert overflow(page) == 0
    page.get_by_role("button", name="Yes").click()
    page.get_by_text("May we ask you some short questions?").first.wait_for()
    page.get_by_role("button", name="Yes").click()
    page.get_by_text("Is it safe for us to send text messages to this phone?").wait_for()
    page.get_by_label("In your own words").fill("She whispers")
    page.get_by_role("button", name="Save the note").click()
    page.get_by_text("Note saved.").wait_for()
    page.get_by_label("Why").select_option(label="Not safe at this moment: call again")
    page.get_by_role("button", name="End the call").click()
    page.get_by_text("The talk has ended.").wait_for()
    until(world, lambda: calls_to(world)[0]["status"] == "completed")
    page.get_by_role("button", name="Save, and take the next call").wait_for()
    assert overflow(page) == 0
    page.get_by_role("button", name="She wants no more calls or messages from us").click()
    page.get_by_text("The talk has ended.").wait_for()
    until(world, lambda: [row.reason for row in world.rows(tables.Stop)] == ["worker"])
    page.get_by_role("button", name="Save, and take the next call").click()
    page.get_by_text("The talk is closed.").wait_for()
    until(world, lambda: world.dispositions() == ["not_safe_now"])
    tongue = world.service.catalogs.tongue("id")
    assert heard(calls_to(world)[0])[-1] == tongue.text(phrases.WRONG_TIME)
    assert NUMBER not in page.content()
