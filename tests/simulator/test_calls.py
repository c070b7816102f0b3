"""Dialling, ringing, answering, ending; and what the customer is told of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from simulator import server
from tests.simulator.conftest import (
    HOTLINE,
    WORKER,
    Customer,
    Page,
    Twilio,
    configuration,
    connect,
    refused,
    steps,
)

ALL_EVENTS = ["initiated", "ringing", "answered", "completed"]
STRANGER = "+6281200000099"


def test_the_events_come_in_order_signed_and_numbered(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = "<Say>Hello</Say>"
    twilio.script("human-yes")
    twilio.talk(
        url=customer.url + "/voice",
        status_callback=customer.url + "/status?attempt=a1",
        status_callback_event=ALL_EVENTS,
    )
    forms = customer.forms("/status")
    assert [form["CallStatus"] for form in forms] == ["initiated", "ringing", "in-progress", "completed"]
    assert [form["SequenceNumber"] for form in forms] == ["0", "1", "2", "3"]
    assert all(form["CallbackSource"] == "call-progress-events" for form in forms)
    assert forms[-1]["SipResponseCode"] == "200"
    assert int(forms[-1]["CallDuration"]) >= 1
    assert all(hit.genuine for hit in customer.hits)


def test_without_named_events_only_the_end_is_told(twilio: Twilio, customer: Customer) -> None:
    twilio.script("human-yes")
    twilio.talk(url=customer.url + "/voice", status_callback=customer.url + "/status")
    assert [form["CallStatus"] for form in customer.forms("/status")] == ["completed"]


@pytest.mark.parametrize(
    ("script", "status", "sip"),
    [
        ("busy", "busy", "486"),
        ("no-answer", "no-answer", "487"),
        ("failed", "failed", "503"),
        ("unreachable", "failed", "404"),
        ({"answer": "failed", "sip": 484}, "failed", "484"),
    ],
)
def test_an_unanswered_call_tells_why_and_asks_for_no_document(
    twilio: Twilio, customer: Customer, script: object, status: str, sip: str
) -> None:
    twilio.script(script)
    call = twilio.talk(url=customer.url + "/voice", status_callback=customer.url + "/status")
    (form,) = customer.forms("/status")
    assert (form["CallStatus"], form["SipResponseCode"], form["CallDuration"]) == (status, sip, "0")
    assert customer.at("/voice") == []
    assert twilio.client.calls(call["sid"]).fetch().duration is None


def test_a_phone_rings_no_longer_than_the_time_out(twilio: Twilio, customer: Customer) -> None:
    twilio.script({"ring": 30, "steps": []})
    assert twilio.talk(url=customer.url + "/voice", timeout=5)["status"] == "no-answer"
    assert twilio.talk(url=customer.url + "/voice", timeout=60)["status"] == "completed"


@pytest.mark.parametrize(
    ("script", "mode", "verdict"),
    [
        ("machine", "Enable", "machine_start"),
        ("machine", "DetectMessageEnd", "machine_end_beep"),
        ("fax", "Enable", "fax"),
        ("human-yes", "Enable", "human"),
        ("silent", "Enable", "unknown"),
    ],
)
def test_a_synchronous_verdict_comes_with_the_first_document(
    twilio: Twilio, customer: Customer, script: str, mode: str, verdict: str
) -> None:
    customer.pages["/voice"] = "<Hangup/>"
    twilio.script(script)
    call = twilio.talk(
        url=customer.url + "/voice", machine_detection=mode, status_callback=customer.url + "/status"
    )
    assert customer.forms("/voice")[0]["AnsweredBy"] == verdict
    assert customer.forms("/status")[0]["AnsweredBy"] == verdict
    assert twilio.client.calls(call["sid"]).fetch().answered_by == verdict


def test_an_asynchronous_verdict_comes_by_itself(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = '<Pause length="60"/>'
    twilio.script("machine")
    twilio.talk(
        url=customer.url + "/voice",
        machine_detection="Enable",
        async_amd="true",
        async_amd_status_callback=customer.url + "/amd",
    )
    assert "AnsweredBy" not in customer.forms("/voice")[0]
    assert customer.forms("/amd")[0]["AnsweredBy"] == "machine_start"


def test_without_detection_nobody_is_told_who_answered(twilio: Twilio, customer: Customer) -> None:
    twilio.script("machine")
    twilio.talk(url=customer.url + "/voice")
    assert "AnsweredBy" not in customer.forms("/voice")[0]


def test_a_declined_call_is_busy(by_hand: Twilio, customer: Customer) -> None:
    sid = by_hand.call(url=customer.url + "/voice")
    by_hand.until(sid, status="ringing")
    by_hand.post(f"/sim/handsets/{WORKER}/decline")
    by_hand.idle()
    assert by_hand.client.calls(sid).fetch().status == "busy"


def test_one_phone_holds_one_call(by_hand: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = '<Pause length="100000"/>'
    first = by_hand.call(url=customer.url + "/voice")
    by_hand.answer(first)
    second = by_hand.call(url=customer.url + "/voice")
    by_hand.until(second, status="busy")
    by_hand.client.calls(first).update(status="completed")
    by_hand.idle()


def test_a_ringing_call_can_be_cancelled(by_hand: Twilio, customer: Customer) -> None:
    sid = by_hand.call(url=customer.url + "/voice", status_callback=customer.url + "/status")
    by_hand.until(sid, status="ringing")
    by_hand.client.calls(sid).update(status="canceled")
    by_hand.idle()
    assert [form["CallStatus"] for form in customer.forms("/status")] == ["canceled"]


def test_an_ended_call_cannot_be_changed(twilio: Twilio, customer: Customer) -> None:
    twilio.script("busy")
    sid = twilio.talk(url=customer.url + "/voice")["sid"]
    with refused(21220):
        twilio.client.calls(sid).update(status="completed")
    with refused(21220):
        twilio.client.calls(sid).update(url=customer.url + "/voice")


def test_the_rest_api_can_end_a_call_in_progress(by_hand: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = '<Gather timeout="100000" action="/done"/>'
    sid = by_hand.call(url=customer.url + "/voice", status_callback=customer.url + "/status")
    by_hand.answer(sid)
    by_hand.until(sid, doing="gather")
    by_hand.client.calls(sid).update(status="completed")
    by_hand.idle()
    assert customer.forms("/status")[0]["CallStatus"] == "completed"
    assert customer.at("/done") == []


def test_the_time_limit_ends_a_call(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = '<Pause length="100000"/>'
    twilio.script("human-yes")
    call = twilio.talk(url=customer.url + "/voice", time_limit=30)
    assert steps(call, "hangup")[-1]["by"] == "limit"


def test_a_whole_call_can_be_recorded(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = '<Pause length="5"/>'
    twilio.script("human-yes")
    sid = twilio.talk(
        url=customer.url + "/voice", record=True, recording_status_callback=customer.url + "/kept"
    )["sid"]
    assert customer.forms("/kept")[0]["RecordingSource"] == "OutboundAPI"
    assert len(twilio.client.recordings.list(call_sid=sid)) == 1


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"to": "", "url": "http://127.0.0.1/x"}, 21201),
        ({"to": "0812", "url": "http://127.0.0.1/x"}, 21211),
        ({"to": WORKER}, 21205),
        ({"to": WORKER, "url": "voice"}, 21205),
        ({"to": WORKER, "url": "http://a_b.example/x"}, 21205),
        ({"to": WORKER, "url": "http://127.0.0.1/x", "timeout": 601}, 20001),
        ({"to": WORKER, "url": "http://127.0.0.1/x", "machine_detection": "Maybe"}, 20001),
        ({"to": WORKER, "url": "http://127.0.0.1/x", "status_callback_event": ["picked-up"]}, 20001),
        ({"to": "+15005550001", "url": "http://127.0.0.1/x"}, 21217),
        ({"to": "+15005550002", "url": "http://127.0.0.1/x"}, 21214),
        ({"to": "+15005550003", "url": "http://127.0.0.1/x"}, 21215),
        ({"to": "+15005550004", "url": "http://127.0.0.1/x"}, 21216),
    ],
)
def test_a_wrong_request_is_refused_with_twilios_code(
    twilio: Twilio, parameters: dict[str, object], code: int
) -> None:
    with refused(code):
        twilio.client.calls.create(from_=HOTLINE, **parameters)
    assert twilio.get("/sim/state", parts="calls")["calls"] == []


def test_only_an_owned_number_may_call(twilio: Twilio) -> None:
    with refused(21210):
        twilio.client.calls.create(to=WORKER, from_="+15005550099", url="http://127.0.0.1/x")


def test_errors_can_be_laid_on_a_number(twilio: Twilio, customer: Customer) -> None:
    twilio.post("/sim/errors", number=WORKER, create=10004)
    with refused(10004):
        twilio.call(url=customer.url + "/voice")
    twilio.post("/sim/errors", number=WORKER, call="failed", sip=480)
    assert twilio.talk(url=customer.url + "/voice")["sip"] == 480
    twilio.post("/sim/errors", number=WORKER)
    twilio.script("human-yes")
    assert twilio.talk(url=customer.url + "/voice")["status"] == "completed"


def test_calls_are_listed_by_number_and_time_page_by_page(twilio: Twilio, customer: Customer) -> None:
    twilio.script("busy")
    sids = [twilio.talk(url=customer.url + "/voice")["sid"] for _ in range(5)]
    twilio.post("/sim/default-script", script="no-answer")
    twilio.talk(to=STRANGER, url=customer.url + "/voice")
    listed = twilio.client.calls.list(to=WORKER, page_size=2)
    assert [call.sid for call in listed] == sids[::-1]
    before, after = datetime.now(UTC) - timedelta(minutes=1), datetime.now(UTC) + timedelta(minutes=1)
    assert len(twilio.client.calls.list(start_time_after=before)) == 6
    assert twilio.client.calls.list(start_time_after=after) == []
    assert len(twilio.client.calls.list(status="no-answer")) == 1


def test_an_ended_call_can_be_deleted(by_hand: Twilio, customer: Customer) -> None:
    sid = by_hand.call(url=customer.url + "/voice")
    by_hand.until(sid, status="ringing")
    with refused(20009):
        by_hand.client.calls(sid).delete()
    by_hand.post(f"/sim/handsets/{WORKER}/decline")
    by_hand.idle()
    assert by_hand.client.calls(sid).delete()
    with refused(20404):
        by_hand.client.calls(sid).fetch()


@pytest.fixture
def slow_queue(customer: Customer) -> Iterator[Twilio]:
    # One call a minute of the simulator's time: the second waits in the queue.
    running = server.start(configuration(customer, speed=1, calls_per_second=1 / 60))
    yield connect(running.url)
    running.stop()


def test_a_call_cancelled_in_the_queue_is_reported_to_nobody(slow_queue: Twilio, customer: Customer) -> None:
    slow_queue.call(url=customer.url + "/voice")
    queued = slow_queue.call(
        to=STRANGER, url=customer.url + "/voice", status_callback=customer.url + "/status"
    )
    assert slow_queue.client.calls(queued).fetch().status == "queued"
    slow_queue.client.calls(queued).update(status="canceled")
    slow_queue.until(queued, status="canceled")
    assert customer.at("/status") == []


def test_the_queue_keeps_the_pace(customer: Customer) -> None:
    # One call in half a second of real time, so that a machine that is slow to ask for them finds a queue too.
    running = server.start(configuration(customer, speed=10, calls_per_second=0.2))
    twilio = connect(running.url)
    try:
        twilio.post("/sim/default-script", script="busy")
        begun = time.monotonic()
        for number in range(4):
            twilio.call(to=f"{STRANGER}{number}", url=customer.url + "/voice")
        twilio.idle()
        assert time.monotonic() - begun >= 1.5
        assert max(int(call.queue_time) for call in twilio.client.calls.list()) >= 2000
    finally:
        running.stop()


def test_an_incoming_call_asks_the_numbers_address_while_it_rings(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = "<Say>Welcome</Say>"
    sid = twilio.post("/sim/call", **{"from": WORKER, "to": HOTLINE, "script": "human-yes"})["sid"]
    twilio.idle()
    (form,) = customer.forms("/voice")
    assert (form["Direction"], form["CallStatus"]) == ("inbound", "ringing")
    assert (form["From"], form["FromCountry"]) == (WORKER, "ID")
    assert [form["CallStatus"] for form in customer.forms("/voice/status")] == ["completed"]
    assert twilio.client.calls(sid).fetch().status == "completed"


@pytest.mark.parametrize(("reason", "status"), [("busy", "busy"), ("rejected", "no-answer")])
def test_a_rejected_call_was_never_answered(
    twilio: Twilio, customer: Customer, reason: str, status: str
) -> None:
    customer.pages["/voice"] = f'<Reject reason="{reason}"/>'
    sid = twilio.post("/sim/call", **{"from": WORKER, "to": HOTLINE, "script": "human-yes"})["sid"]
    twilio.idle()
    call = twilio.client.calls(sid).fetch()
    assert (call.status, call.duration) == (status, None)


def test_an_incoming_calls_webhook_can_be_repeated_with_the_same_sid(
    twilio: Twilio, customer: Customer
) -> None:
    sid = twilio.post("/sim/call", **{"from": WORKER, "to": HOTLINE, "script": "human-yes"})["sid"]
    twilio.idle()
    twilio.post("/sim/call", repeat=sid)
    assert [form["CallSid"] for form in customer.forms("/voice")] == [sid, sid]
    assert customer.forms("/voice")[0] == customer.forms("/voice")[1]


def test_a_withheld_number_may_call(twilio: Twilio, customer: Customer) -> None:
    twilio.post("/sim/call", **{"from": "anonymous", "to": HOTLINE, "script": "human-yes"})
    twilio.idle()
    assert customer.forms("/voice")[0]["From"] == "anonymous"


def test_an_incoming_call_with_a_broken_document_reaches_the_fallback(customer: Customer) -> None:
    config = configuration(customer)
    config["numbers"][HOTLINE]["voice_fallback_url"] = customer.url + "/fallback"
    customer.pages["/voice"] = Page(status=500)
    running = server.start(config)
    twilio = connect(running.url)
    try:
        twilio.post("/sim/call", **{"from": WORKER, "to": HOTLINE, "script": "human-yes"})
        twilio.idle()
        assert customer.forms("/fallback")[0]["ErrorCode"] == "11200"
    finally:
        running.stop()
