"""The pages as a person uses them: in a real browser, with and without JavaScript, on a telephone, by keyboard."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pyotp
import pytest
from flask import Flask
from playwright.sync_api import Page, expect

from bot import staff
from bot.cases.lifecycle import Severity
from bot.service import Service
from bot.staff import Role
from tests.browser import NewPage
from tests.cases.planting import plant
from tests.console.conftest import PASSWORD, make_app

TELEPHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 900}


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = False
    block_on_close = True


class _Quiet(WSGIRequestHandler):
    timeout = 5

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def site(service: Service) -> Iterator[str]:
    """The address of a console that runs, with four cases and a supervisor."""
    for n, severity in enumerate(Severity):
        plant(
            service.database,
            service.sealer,
            service.clock.now(),
            library=service.library,
            severity=severity,
            number=f"+62812{n:08d}",
        )
    with running(make_app(service)) as address:
        yield address


class running:  # noqa: N801 - reads as a verb where it is used
    """A server on a free port of this machine, for the length of a block."""

    def __init__(self, app: Flask) -> None:
        self.server = make_server("127.0.0.1", 0, app, _Server, _Quiet)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> str:
        self.thread.start()
        return f"http://127.0.0.1:{self.server.server_port}/console"

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.socket.shutdown(socket.SHUT_RDWR)
        self.server.server_close()


@pytest.fixture
def secret(service: Service) -> str:
    """The secret of the supervisor Mira."""
    roles = [Role.SUPERVISOR, Role.ADMIN, Role.AGENT]
    return staff.add(service.database, service.sealer, service.clock, "Mira", PASSWORD, roles)


def enter(page: Page, site: str, secret: str) -> None:
    """Sign in as a person does."""
    page.goto(f"{site}/sign-in")
    page.get_by_label("Name").fill("Mira")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Code of your authenticator app").fill(pyotp.TOTP(secret).at(time.time()))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Cases").wait_for()


def overflow(page: Page) -> int:
    """By how many pixels a page is wider than its window."""
    width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return int(width)


def test_a_supervisor_works_on_a_case_without_javascript(browser: NewPage, site: str, secret: str) -> None:
    page = browser(viewport=DESK, java_script_enabled=False)
    enter(page, site, secret)
    page.get_by_role("link", name="S1", exact=True).click()
    page.locator("table.list a").first.click()
    page.get_by_role("button", name="Take it").click()
    page.get_by_text("You work on this case now.").wait_for()
    page.get_by_label("Kept sealed").fill("Asked the partner for a lawyer")
    page.get_by_role("button", name="Save the note").click()
    page.get_by_text("Note saved.").wait_for()
    page.get_by_label("Safety check").check()
    page.get_by_role("button", name="Move the case").click()
    page.get_by_role("button", name='Undo: back to "Received"').click()
    page.get_by_text("The last move was taken back.").wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sign in").wait_for()
    page.go_back()
    assert page.get_by_text("Asked the partner for a lawyer").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_a_telephone(
    service: Service, browser: NewPage, site: str, secret: str, scheme: str
) -> None:
    page = browser(viewport=TELEPHONE, color_scheme=scheme)
    enter(page, site, secret)
    case = page.locator("table.list a").first.get_attribute("href")
    places = ["/cases", "/cases?show=closed", "/callbacks", "/operations", str(case).removeprefix("/console")]
    places += ["/agent", "/line", "/watch", "/callbacks?show=due", "/staff", "/account"]
    for place in places:
        page.goto(site + place)
        assert overflow(page) == 0, place
    page.goto(f"{site}/watch")
    # As in a language that is written from right to left.
    page.evaluate("document.documentElement.dir = 'rtl'")
    assert overflow(page) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_paper(browser: NewPage, site: str, secret: str, scheme: str) -> None:
    page = browser(viewport=DESK, color_scheme=scheme)
    enter(page, site, secret)
    case = str(page.locator("table.list a").first.get_attribute("href"))[len("/console") :]
    for place in ("/cases", case, "/agent", "/line", "/watch", "/staff"):
        page.goto(site + place)
        # WCAG 2.2, success criterion 1.4.3: at least 4.5 to 1.
        assert page.evaluate(_FAINT) == []


def test_the_page_can_be_used_by_keyboard_alone(browser: NewPage, site: str, secret: str) -> None:
    page = browser(viewport=DESK)
    page.goto(f"{site}/sign-in")
    # The field of the name has the focus, without a click, as soon as the page has settled.
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("Mira")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Tab")
    page.keyboard.type(pyotp.TOTP(secret).at(time.time()))
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Cases").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")
    focus = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(focus) == "solid"


def test_every_field_has_a_label_and_every_page_one_heading(browser: NewPage, site: str, secret: str) -> None:
    page = browser(viewport=DESK)
    enter(page, site, secret)
    case = str(page.locator("table.list a").first.get_attribute("href"))[len("/console") :]
    for place in (case, "/staff", "/account"):
        page.goto(site + place)
        fields = "[...document.querySelectorAll('input:not([type=hidden]),select,textarea')]"
        assert page.evaluate(f"{fields}.filter(field => !field.labels.length).length") == 0
        assert page.locator("h1").count() == 1
        ids = "[...document.querySelectorAll('[id]')].map(one => one.id)"
        assert page.evaluate(f"(found => found.length - new Set(found).size)({ids})") == 0


def test_words_of_workers_are_text_and_run_in_their_own_direction(
    browser: NewPage, service: Service, site: str, secret: str
) -> None:
    case = plant(
        service.database,
        service.sealer,
        service.clock.now(),
        library=service.library,
        severity=Severity.S1,
        number="+6281299999999",
        words="میری تنخواہ روک لی گئی <img src=x onerror=alert(1)>",
    )
    page = browser(viewport=DESK)
    enter(page, site, secret)
    page.get_by_role("link", name=case.reference).click()
    said = page.locator(".thread .in .said")
    assert said.evaluate("one => getComputedStyle(one).direction") == "rtl"
    assert page.locator(".said img").count() == 0


_FAINT = """() => {
  const parse = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const paper = element => {
    for (let one = element; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const worded = element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
  const faint = element => {
    const pair = [parse(getComputedStyle(element).color), paper(element)].map(light).sort((a, b) => b - a);
    return (pair[0] + 0.05) / (pair[1] + 0.05) < 4.5;
  };
  return [...document.body.querySelectorAll('*')].filter(worded).filter(faint)
    .map(element => `${element.tagName} ${element.className} ${element.textContent.trim().slice(0, 30)}`);
}"""
