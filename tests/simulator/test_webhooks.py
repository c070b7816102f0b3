"""How the customer is asked: signatures, retries, overrides, time-outs, redirects."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from twilio.request_validator import RequestValidator

from simulator import server
from simulator.webhooks import parse_overrides, sign
from tests.simulator.conftest import (
    HOTLINE,
    TOKEN,
    WORKER,
    Customer,
    Hit,
    Page,
    Twilio,
    configuration,
    connect,
)


@pytest.mark.parametrize(
    "url",
    [
        "https://hotline.example/channels/voice",
        "http://127.0.0.1:8000/channels/voice/turn?turn=2&a=%C3%B6%2F",
        "https://hotline.example/",
    ],
)
def test_the_signature_is_the_one_that_twilios_validator_expects(url: str) -> None:
    params = {"CallSid": "CA1", "From": WORKER, "Body": "ဟုတ်ကဲ့ & more", "Empty": ""}
    assert RequestValidator(TOKEN).validate(url, params, sign(TOKEN, url, params))
    assert not RequestValidator("another").validate(url, params, sign(TOKEN, url, params))


def ask(twilio: Twilio, url: str, number: str = WORKER) -> None:
    twilio.script("human-yes", number)
    twilio.talk(url=url)


def failing_times(times: int, status: int) -> object:
    def answer(_: Hit) -> Page:
        answered.append(1)
        return Page(status=status) if len(answered) <= times else Page()

    answered: list[int] = []
    return answer


@pytest.mark.parametrize(
    ("fragment", "status", "requests"),
    [
        ("", 500, 1),
        ("#rc=3&rp=all", 500, 4),
        ("#rc=2&rp=5xx", 503, 3),
        ("#rc=2&rp=4xx", 503, 1),
        ("#rc=2&rp=4xx", 429, 3),
        ("#rc=2&rp=ct,4xx", 404, 3),
        ("#rc=0&rp=all", 500, 1),
    ],
)
def test_the_fragment_says_what_is_tried_again(
    twilio: Twilio, customer: Customer, fragment: str, status: int, requests: int
) -> None:
    customer.pages["/voice"] = Page(status=status)
    ask(twilio, customer.url + "/voice?turn=1" + fragment)
    hits = customer.at("/voice")
    assert len(hits) == requests
    assert all(hit.genuine for hit in hits), "the fragment is neither sent nor signed"


def test_retries_carry_the_same_idempotency_token(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = failing_times(2, 500)  # type: ignore[assignment]  # a callable of Hit
    ask(twilio, customer.url + "/voice#rc=3&rp=all")
    ask(twilio, customer.url + "/voice")
    tokens = [hit.headers["I-Twilio-Idempotency-Token"] for hit in customer.at("/voice")]
    assert len(tokens) == 4
    assert len(set(tokens[:3])) == 1
    assert tokens[3] != tokens[0]


def test_a_refused_connection_is_tried_once_more_by_default(twilio: Twilio) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ask(twilio, f"http://127.0.0.1:{closed.getsockname()[1]}/voice")
    attempts = [line["attempt"] for line in twilio.webhooks() if line["kind"] == "document"]
    assert attempts == [0, 1]


def test_a_document_that_takes_too_long_goes_to_the_fallback(twilio: Twilio, customer: Customer) -> None:
    def slow(_: Hit) -> Page:
        time.sleep(0.4)
        return Page()

    customer.pages["/voice"] = slow
    twilio.script("human-yes")
    call = twilio.talk(url=customer.url + "/voice#tt=100&rc=0", fallback_url=customer.url + "/fallback")
    assert customer.forms("/fallback")[0]["ErrorCode"] == "11205"
    assert call["status"] == "completed"


def test_a_redirect_is_followed(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = Page(status=307, headers=(("Location", "/moved"),))
    ask(twilio, customer.url + "/voice")
    assert len(customer.at("/moved")) == 1


def test_a_failed_callback_is_in_the_log_and_nothing_else_happens(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/status"] = Page(status=500)
    twilio.script("human-yes")
    call = twilio.talk(url=customer.url + "/voice", status_callback=customer.url + "/status")
    assert call["status"] == "completed"
    (line,) = [line for line in twilio.webhooks() if line["kind"] == "callback"]
    assert (line["status"], line["failure"]) == (500, "HTTP 500")
    assert line["milliseconds"] > 0


def test_overrides_are_read_from_the_fragment() -> None:
    rules = parse_overrides("ct=2000&rt=5000&tt=15000&rc=3&rp=4xx,rt", 10.0)
    assert (rules.connect, rules.read, rules.total, rules.retries) == (2.0, 5.0, 15.0, 3)
    assert rules.retry_on("rt")
    assert not rules.retry_on("ct")
    assert parse_overrides("", 10.0).retry_on("ct")


@pytest.fixture
def other_port(customer: Customer) -> Iterator[Twilio]:
    running = server.start(configuration(customer, webhook_timeout=0.2))
    yield connect(running.url)
    running.stop()


def test_the_time_out_can_be_configured(other_port: Twilio, customer: Customer) -> None:
    def slow(_: Hit) -> Page:
        time.sleep(0.5)
        return Page()

    customer.pages["/sms"] = slow
    other_port.post("/sim/sms", **{"from": WORKER, "to": HOTLINE, "body": "x"})
    other_port.idle()
    (alert,) = other_port.get("/sim/state", parts="alerts")["alerts"]
    assert alert["code"] == 11205
