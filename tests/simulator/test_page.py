"""The phone page, as one who holds a phone sees it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from simulator import server
from simulator.sound import make_wav
from tests.browser import NewPage
from tests.simulator.conftest import (
    HOTLINE,
    LONGEST_RING,
    WORKER,
    Customer,
    Page,
    Twilio,
    configuration,
    connect,
    eventually,
)

PHONE = {"width": 360, "height": 740}


@pytest.fixture
def phone(customer: Customer) -> Iterator[Twilio]:
    """A world at a pace that a hand can follow."""
    running = server.start(configuration(customer, speed=4))
    yield connect(running.url, LONGEST_RING)
    running.stop()


def test_a_call_is_answered_keyed_and_recorded_by_hand(
    phone: Twilio, customer: Customer, browser: NewPage
) -> None:
    customer.pages["/voice"] = (
        '<Gather numDigits="1" action="/turn" timeout="100000"><Say language="id-ID">Tekan satu</Say></Gather>'
    )
    customer.pages["/turn"] = '<Record action="/done" timeout="100000" finishOnKey="#"/>'
    page = browser()
    page.goto(phone.url)
    expect(page.get_by_text("Make-believe phone: nobody is called")).to_be_visible()
    page.get_by_role("button", name="Siti").click()
    phone.call(url=customer.url + "/voice")
    expect(page.get_by_role("alert")).to_contain_text(HOTLINE)
    page.get_by_role("button", name="Answer", exact=True).click()
    expect(page.get_by_role("log")).to_contain_text("Tekan satu")
    page.keyboard.press("1")
    page.get_by_label("Say something").fill("upah tidak dibayar")
    page.get_by_role("button", name="Say it").click()
    expect(page.get_by_role("log")).to_contain_text("upah tidak dibayar")
    page.get_by_role("button", name="hash").click()
    expect(page.get_by_text(re.compile("completed"))).to_be_visible()
    phone.idle()
    assert customer.forms("/turn")[0]["Digits"] == "1"
    assert customer.forms("/done")[0]["Digits"] == "#"


def test_a_recorded_text_is_played_to_who_answers(
    phone: Twilio, customer: Customer, browser: NewPage
) -> None:
    customer.pages["/voice"] = '<Play>/hello.wav</Play><Pause length="600"/>'
    customer.pages["/hello.wav"] = Page(make_wav("mingalaba", 2), content_type="audio/wav")
    page = browser()
    page.goto(phone.url)
    page.get_by_role("button", name="Siti").click()
    phone.call(url=customer.url + "/voice")
    with page.expect_response(re.compile("/sim/audio/")) as played:
        page.get_by_role("button", name="Answer", exact=True).click()
    assert played.value.ok
    expect(page.get_by_role("log")).to_contain_text("a recorded text, 2 s")
    page.get_by_role("button", name="Hang up").click()
    phone.idle()


def test_a_phone_on_a_script_is_only_watched(phone: Twilio, customer: Customer, browser: NewPage) -> None:
    customer.pages["/voice"] = '<Say>Hello</Say><Pause length="600"/>'
    page = browser()
    page.goto(phone.url)
    page.get_by_role("button", name="Siti").click()
    page.get_by_label("When it rings").select_option("human-yes")
    eventually(lambda: bool(phone.get("/sim/handsets")[0]["script"] == "human-yes"))
    phone.call(url=customer.url + "/voice")
    expect(page.get_by_text("A script holds this phone")).to_be_visible()
    expect(page.get_by_role("group", name="Keypad")).to_be_hidden()


def test_texts_of_both_directions_stand_in_one_thread_on_a_small_screen(
    phone: Twilio, customer: Customer, browser: NewPage
) -> None:
    customer.pages["/sms"] = "<Message>شکریہ</Message>"
    page = browser(viewport=PHONE)
    page.goto(phone.url)
    page.get_by_role("button", name="Siti").click()
    page.get_by_role("tab", name="SMS").click()
    page.get_by_label("Write a message").fill("<b>Halo</b>")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#texts li")).to_have_count(2)
    expect(page.locator("#texts li").first).to_contain_text("<b>Halo</b>")
    assert page.evaluate("getComputedStyle(document.querySelector('#texts .them .words')).direction") == "rtl"
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_an_unread_message_shows_on_the_list_until_it_is_opened(phone: Twilio, browser: NewPage) -> None:
    page = browser()
    page.goto(phone.url)
    phone.client.messages.create(to=WORKER, from_=HOTLINE, body="Halo")
    expect(page.locator(".badge")).to_have_text("1 new")
    page.get_by_role("button", name="Siti").click()
    expect(page.locator(".badge")).to_have_count(0)


def test_the_hotline_is_called_with_a_button_and_a_number_to_choose(
    phone: Twilio, customer: Customer, browser: NewPage
) -> None:
    customer.pages["/voice"] = '<Say>Welcome</Say><Pause length="100000"/>'
    page = browser()
    page.goto(phone.url)
    page.get_by_role("button", name="Siti").click()
    page.get_by_label("Call the hotline").select_option(HOTLINE)
    page.get_by_role("button", name="Call", exact=True).click()
    expect(page.get_by_role("log")).to_contain_text("Welcome")
    page.get_by_role("button", name="Hang up").click()
    expect(page.get_by_role("button", name="Call", exact=True)).to_be_visible()
    phone.idle()
    assert customer.forms("/voice")[0]["Direction"] == "inbound"


def test_a_button_shows_what_it_was_answered(customer: Customer, browser: NewPage) -> None:
    customer.pages["/clock"] = Page(b'{"message": "It is Tuesday"}', content_type="application/json")
    action = {"label": "+1 hour", "url": customer.url + "/clock"}
    running = server.start(configuration(customer, actions=[action], handsets=[]))
    try:
        page = browser()
        page.goto(connect(running.url).url)
        expect(page.get_by_text("No handsets yet")).to_be_visible()
        page.get_by_role("button", name="+1 hour").click()
        expect(page.get_by_text("It is Tuesday")).to_be_visible()
        page.goto("about:blank")
    finally:
        running.stop()
