"""Misfortune on purpose, and the same again for the same seed."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from twilio.base.exceptions import TwilioRestException

from simulator.chaos import Chaos, ChaosPlan
from simulator.errors import ConfigError
from tests.simulator.conftest import HOTLINE, WORKER, Customer, Twilio, refused

ALL_EVENTS = ["initiated", "ringing", "answered", "completed"]


def call_with_events(twilio: Twilio, customer: Customer) -> list[str]:
    """Dial once; the statuses in the order in which they came."""
    before = len(customer.hits)
    twilio.script("human-yes")
    twilio.talk(
        url=customer.url + "/voice",
        status_callback=customer.url + "/status",
        status_callback_event=ALL_EVENTS,
    )
    return [hit.form["CallStatus"] for hit in customer.hits[before:] if hit.path == "/status"]


@pytest.mark.parametrize("what", ["drop", "duplicate", "error"])
def test_the_same_seed_brings_the_same_misfortune(what: str) -> None:
    def rolls(seed: int) -> list[bool]:
        chaos = Chaos(ChaosPlan(seed=seed, drop=0.5, duplicate=0.5, error=0.5))
        return [chaos.strikes(what, "callback|+62") for _ in range(64)]

    assert rolls(7) == rolls(7)
    assert rolls(7) != rolls(8)
    assert 16 < sum(rolls(7)) < 48


def test_one_numbers_misfortune_does_not_hang_on_anothers() -> None:
    alone, among = (Chaos(ChaosPlan(seed=7, drop=0.5)) for _ in range(2))
    expected = [alone.strikes("drop", "callback|a") for _ in range(32)]
    found = []
    for _ in range(32):
        among.strikes("drop", "callback|b")
        found.append(among.strikes("drop", "callback|a"))
    assert found == expected


def test_callbacks_are_lost(twilio: Twilio, customer: Customer) -> None:
    twilio.post("/sim/chaos", drop=1)
    assert call_with_events(twilio, customer) == []
    twilio.post("/sim/chaos")
    assert len(call_with_events(twilio, customer)) == 4


def test_callbacks_come_twice(twilio: Twilio, customer: Customer) -> None:
    twilio.post("/sim/chaos", duplicate=1)
    came = call_with_events(twilio, customer)
    assert sorted(came) == sorted(["initiated", "ringing", "in-progress", "completed"] * 2)
    assert len(customer.at("/voice")) == 2


def test_callbacks_come_out_of_order(twilio: Twilio, customer: Customer) -> None:
    twilio.post("/sim/chaos", seed=3, reorder=0.5)
    runs = [call_with_events(twilio, customer) for _ in range(6)]
    assert all(len(came) == 4 for came in runs)
    assert any(came != ["initiated", "ringing", "in-progress", "completed"] for came in runs)


def test_incoming_messages_come_twice_or_not_at_all(twilio: Twilio, customer: Customer) -> None:
    message = {"from": WORKER, "to": HOTLINE, "body": "x"}
    twilio.post("/sim/chaos", duplicate=1)
    twilio.post("/sim/sms", **message)
    twilio.idle()
    assert len({form["MessageSid"] for form in customer.forms("/sms")}) == 1
    assert len(customer.at("/sms")) == 2
    twilio.post("/sim/chaos", drop=1)
    twilio.post("/sim/sms", **message)
    twilio.idle()
    assert len(customer.at("/sms")) == 2


def test_an_error_after_the_deed_leaves_the_call_made(twilio: Twilio, customer: Customer) -> None:
    twilio.post("/sim/chaos", error=1)
    with refused(20500):
        twilio.call(url=customer.url + "/voice")
    twilio.post("/sim/chaos")
    assert len(twilio.client.calls.list(to=WORKER)) == 1


def test_an_error_before_the_deed_leaves_nothing(twilio: Twilio, customer: Customer) -> None:
    twilio.post("/sim/chaos", error_before=1)
    with refused(20503):
        twilio.call(url=customer.url + "/voice")
    twilio.post("/sim/chaos")
    assert twilio.client.calls.list(to=WORKER) == []


def test_a_hanging_request_ends_without_an_answer_after_the_deed(twilio: Twilio, customer: Customer) -> None:
    twilio.post("/sim/chaos", hang=1)
    with pytest.raises((requests.ConnectionError, requests.Timeout)):
        twilio.call(url=customer.url + "/voice")
    twilio.post("/sim/chaos")
    assert len(twilio.client.calls.list(to=WORKER)) == 1


def test_a_run_can_be_repeated_by_its_seed(twilio: Twilio, customer: Customer) -> None:
    def run() -> list[Any]:
        twilio.post("/sim/reset")
        twilio.post("/sim/chaos", seed=11, drop=0.3, error=0.3)
        outcomes: list[Any] = []
        for _ in range(6):
            try:
                outcomes.append(len(call_with_events(twilio, customer)))
            except TwilioRestException as error:
                outcomes.append(error.code)
                twilio.idle()
        return outcomes

    assert run() == run()


@pytest.mark.parametrize(
    "plan", [{"drop": 2}, {"drop": "often"}, {"luck": 0.1}, {"delay": [3, 1]}, {"delay": 5}]
)
def test_a_wrong_plan_is_refused(plan: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ChaosPlan.parse(plan)
