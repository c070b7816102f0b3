"""Two phones in one talk, as those who hold them see it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from simulator import server
from tests.browser import NewPage
from tests.simulator.conftest import (
    HOTLINE,
    LONGEST_RING,
    WORKER,
    Customer,
    Twilio,
    configuration,
    connect,
)

AGENT = "+15005550020"
PHONE = {"width": 360, "height": 740}


@pytest.fixture
def phones(customer: Customer) -> Iterator[Twilio]:
    """A worker's phone and an agent's, at a pace that a hand can follow."""
    running = server.start(configuration(customer, speed=4))
    twilio = connect(running.url, LONGEST_RING)
    twilio.post("/sim/handsets", number=AGENT, name="Ayu, agent (made up)", language="id", script="manual")
    yield twilio
    running.stop()


def test_an_agent_accepts_talks_and_hangs_up_by_hand(
    phones: Twilio, customer: Customer, browser: NewPage
) -> None:
    customer.pages["/voice"] = "<Dial><Conference>case-1</Conference></Dial>"
    customer.pages["/ask"] = (
        '<Gather numDigits="1" action="/voice" timeout="1000"><Say>Press 1</Say></Gather>'
    )
    caller = phones.post("/sim/call", **{"from": WORKER, "to": HOTLINE, "script": "manual"})["sid"]
    phones.until(caller, doing="waiting")
    called = phones.call(to=AGENT, url=customer.url + "/ask")
    worker, agent = browser(viewport=PHONE), browser(viewport=PHONE)
    worker.goto(f"{phones.url}/#%2B{WORKER[1:]}")
    expect(worker.locator("#doing")).to_have_text("Waiting for somebody to come on the line")
    agent.goto(f"{phones.url}/#%2B{AGENT[1:]}")
    agent.get_by_role("button", name="Answer", exact=True).click()
    phones.until(called, doing="gather")
    agent.get_by_role("button", name="1", exact=True).click()
    expect(worker.locator("#doing")).to_have_text("Talking with Ayu, agent (made up)")
    expect(agent.locator("#doing")).to_have_text("Talking with Siti (made up)")
    agent.get_by_label("Say something").fill("Selamat pagi")
    agent.get_by_role("button", name="Say it").click()
    expect(worker.locator("#transcript")).to_contain_text("Selamat pagi")
    agent.get_by_role("button", name="Hang up").click()
    expect(worker.locator("#doing")).to_have_text("Alone on the line")
    worker.get_by_role("button", name="Hang up").click()
    phones.idle()
