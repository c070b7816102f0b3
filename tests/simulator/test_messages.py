"""Text messages: out, in, failing, opted out, taken away."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from twilio.rest.api.v2010.account.message import MessageInstance

from simulator import server
from simulator.segments import segment_count
from tests.simulator.conftest import (
    ACCOUNT,
    HOTLINE,
    TOKEN,
    WORKER,
    Customer,
    Page,
    Twilio,
    configuration,
    connect,
    refused,
)


def send(twilio: Twilio, body: str = "Halo", to: str = WORKER, **parameters: Any) -> MessageInstance:
    return twilio.client.messages.create(to=to, from_=HOTLINE, body=body, **parameters)


def text_in(twilio: Twilio, body: str, **more: Any) -> str:
    sid = str(twilio.post("/sim/sms", **{"from": WORKER, "to": HOTLINE, "body": body}, **more)["sid"])
    twilio.idle()
    return sid


def test_a_message_climbs_the_ladder_with_signed_callbacks(twilio: Twilio, customer: Customer) -> None:
    message = send(twilio, status_callback=customer.url + "/sms/status")
    assert message.status == "queued"
    twilio.idle()
    assert [form["MessageStatus"] for form in customer.forms("/sms/status")] == ["sent", "delivered"]
    assert all(hit.genuine and hit.form["MessageSid"] == message.sid for hit in customer.hits)
    assert twilio.client.messages(message.sid).fetch().status == "delivered"


@pytest.mark.parametrize(
    ("code", "status"), [(30003, "undelivered"), (30005, "undelivered"), (21610, "failed"), (30001, "failed")]
)
def test_a_failure_by_number_comes_later(twilio: Twilio, customer: Customer, code: int, status: str) -> None:
    twilio.post("/sim/errors", number=WORKER, message=code)
    sid = send(twilio, status_callback=customer.url + "/sms/status").sid
    twilio.idle()
    last = customer.forms("/sms/status")[-1]
    assert (last["MessageStatus"], last["ErrorCode"]) == (status, str(code))
    assert twilio.client.messages(sid).fetch().error_code == code


@pytest.mark.parametrize(
    ("to", "code"),
    [
        ("+15005550001", 21211),
        ("+15005550002", 21612),
        ("+15005550003", 21408),
        ("+15005550004", 21610),
        ("+15005550009", 21614),
        ("12345", 21211),
    ],
)
def test_a_wrong_recipient_is_refused(twilio: Twilio, to: str, code: int) -> None:
    with refused(code):
        send(twilio, to=to)


@pytest.mark.parametrize(
    ("from_", "code"), [("+15005550007", 21606), ("+15005550008", 21611), ("+4470", 21606)]
)
def test_a_wrong_sender_is_refused(twilio: Twilio, from_: str, code: int) -> None:
    with refused(code):
        twilio.client.messages.create(to=WORKER, from_=from_, body="x")


def test_a_body_that_is_missing_or_too_long_is_refused(twilio: Twilio) -> None:
    with refused(21602):
        send(twilio, body="")
    with refused(21617):
        send(twilio, body="x" * 1601)
    assert send(twilio, body="x" * 1600).num_segments == "11"


def test_a_refusal_can_be_laid_on_a_number(twilio: Twilio) -> None:
    twilio.post("/sim/errors", number=WORKER, create=20429)
    with refused(20429):
        send(twilio)


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("ñ" * 160, 1),
        ("’" * 70, 1),
        ("ก" * 71, 2),
        ("ã" * 135, 3),
        ("😀" * 35, 1),
    ],
)
def test_segments_are_counted_as_the_network_does(text: str, segments: int) -> None:
    assert segment_count(text) == segments


def test_an_incoming_message_reaches_the_customer_signed(twilio: Twilio, customer: Customer) -> None:
    sid = text_in(twilio, "Saya mau bicara")
    (hit,) = customer.at("/sms")
    assert hit.genuine
    assert hit.form["MessageSid"] == sid
    assert (hit.form["From"], hit.form["To"], hit.form["Body"]) == (WORKER, HOTLINE, "Saya mau bicara")


def test_an_incoming_message_can_be_repeated_with_the_same_sid(twilio: Twilio, customer: Customer) -> None:
    sid = text_in(twilio, "Halo")
    twilio.post("/sim/sms", repeat=sid)
    twilio.idle()
    first, second = customer.forms("/sms")
    assert first == second


def test_a_reply_in_twiml_is_sent(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/sms"] = "<Message>Terima kasih</Message>"
    text_in(twilio, "Halo")
    messages = twilio.client.messages.list(to=WORKER)
    assert [(message.body, message.direction) for message in messages] == [("Terima kasih", "outbound-reply")]


def test_an_incoming_message_that_nobody_takes_is_lost_and_can_be_listed(
    twilio: Twilio, customer: Customer
) -> None:
    customer.pages["/sms"] = Page(status=500)
    sid = text_in(twilio, "Halo")
    (alert,) = twilio.get("/sim/state", parts="alerts")["alerts"]
    assert (alert["code"], alert["sid"]) == (11200, sid)
    since = datetime.now(UTC) - timedelta(minutes=1)
    listed = twilio.client.messages.list(to=HOTLINE, date_sent_after=since)
    assert [message.sid for message in listed] == [sid]


def test_the_fallback_takes_a_message_that_the_first_address_does_not(customer: Customer) -> None:
    config = configuration(customer)
    config["numbers"][HOTLINE]["sms_fallback_url"] = customer.url + "/fallback"
    customer.pages["/sms"] = Page(status=503)
    running = server.start(config)
    try:
        twilio = connect(running.url)
        text_in(twilio, "Halo")
    finally:
        running.stop()
    (form,) = customer.forms("/fallback")
    assert (form["Body"], form["ErrorCode"]) == ("Halo", "11200")


def test_stop_blocks_and_start_allows_again(twilio: Twilio, customer: Customer) -> None:
    text_in(twilio, " stop ")
    with refused(21610):
        send(twilio)
    assert len(customer.at("/sms")) == 1
    text_in(twilio, "START")
    assert send(twilio).status == "queued"


def test_a_delivered_message_can_be_emptied_and_deleted(twilio: Twilio) -> None:
    sid = str(send(twilio, body="secret").sid)
    twilio.idle()
    assert twilio.client.messages(sid).update(body="").body == ""
    assert "secret" not in str(twilio.get("/sim/state"))
    assert twilio.client.messages(sid).delete()
    with refused(20404):
        twilio.client.messages(sid).fetch()


def test_a_message_on_its_way_cannot_be_deleted(customer: Customer) -> None:
    running = server.start(configuration(customer, speed=0.01))
    try:
        twilio = connect(running.url)
        sid = str(send(twilio).sid)
        with refused(20009):
            twilio.client.messages(sid).delete()
        with refused(20009):
            twilio.client.messages(sid).update(body="")
    finally:
        running.stop()


def test_messages_are_listed_page_by_page_newest_first(twilio: Twilio) -> None:
    sids = [send(twilio, body=str(number)).sid for number in range(5)]
    assert [message.sid for message in twilio.client.messages.list(page_size=2)] == sids[::-1]
    assert len(twilio.client.messages.list(limit=3)) == 3
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert twilio.client.messages.list(date_sent_after=tomorrow) == []


def test_whatsapp_addresses_share_the_handset(twilio: Twilio, customer: Customer) -> None:
    sender, recipient = f"whatsapp:{HOTLINE}", f"whatsapp:{WORKER}"
    assert twilio.client.messages.create(to=recipient, from_=sender, body="Halo").to == recipient
    twilio.post(
        "/sim/sms", **{"from": recipient, "to": sender, "body": "Ya", "extra": {"ButtonPayload": "yes"}}
    )
    twilio.idle()
    (form,) = customer.forms("/sms")
    assert (form["WaId"], form["ButtonPayload"]) == (WORKER[1:], "yes")
    (handset,) = twilio.get("/sim/handsets")
    assert len(handset["messages"]) == 2


# --- files ------------------------------------------------------------------------------------------------


def test_a_picture_comes_with_an_address_that_wants_the_password_and_leads_to_the_bytes(
    twilio: Twilio, customer: Customer
) -> None:
    twilio.post("/sim/sms", **{"from": WORKER, "to": HOTLINE, "body": "Look", "media": ["picture"]})
    twilio.idle()
    form = customer.forms("/sms")[0]
    assert (form["Body"], form["NumMedia"], form["MediaContentType0"]) == ("Look", "1", "image/jpeg")
    assert form["MessageSid"].startswith("MM")
    address = form["MediaUrl0"]
    assert requests.get(address, timeout=10).status_code == 401
    first = requests.get(address, auth=(ACCOUNT, TOKEN), timeout=10, allow_redirects=False)
    assert first.status_code == 307
    assert requests.get(first.headers["Location"], timeout=10).content.startswith(b"\xff\xd8\xff")
    assert requests.get(first.headers["Location"] + "x", timeout=10).status_code == 403


def test_files_are_listed_and_deleted_alone_or_with_their_message(twilio: Twilio) -> None:
    own = {"name": "slip.pdf", "content_type": "application/pdf", "data": "JVBERi0="}
    sid = twilio.post("/sim/sms", **{"from": WORKER, "to": HOTLINE, "media": [own, "voice"]})["sid"]
    twilio.idle()
    message = twilio.client.messages(sid)
    assert message.fetch().num_media == "2"
    slip, voice = message.media.list()
    assert (slip.content_type, voice.content_type) == ("application/pdf", "audio/ogg")
    assert message.media(str(slip.sid)).delete()
    assert [each.sid for each in message.media.list()] == [voice.sid]
    assert message.delete()
    with refused(20404):
        message.media(str(voice.sid)).fetch()


@pytest.mark.parametrize("wrong", ["song", {"data": "no base64"}, {"data": ""}, 7])
def test_a_file_that_is_none_is_refused(twilio: Twilio, wrong: object) -> None:
    body = {"from": WORKER, "to": HOTLINE, "media": [wrong]}
    assert requests.post(f"{twilio.url}/sim/sms", json=body, timeout=10).status_code == 400


def test_what_the_customer_deletes_stays_on_the_phone_over_a_restart(
    customer: Customer, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    running = server.start(configuration(customer), state=state)
    twilio = connect(running.url)
    for words in ("one", "two"):
        sid = twilio.post("/sim/sms", **{"from": WORKER, "to": HOTLINE, "body": words, "media": ["voice"]})[
            "sid"
        ]
        twilio.idle()
        if words == "one":
            twilio.client.messages(sid).delete()
    running.stop()
    again = server.start(configuration(customer), state=state)
    try:
        twilio = connect(again.url)
        assert [each["body"] for each in twilio.get("/sim/state", parts="messages")["messages"]] == ["two"]
        with requests.get(
            f"{again.url}/sim/live", params={"open": WORKER}, stream=True, timeout=10
        ) as stream:
            line = next(stream.iter_lines())
        view = json.loads(line.removeprefix(b"data: "))
        assert [each["body"] for each in view["open"]["texts"]] == ["one", "two"]
    finally:
        again.stop()
