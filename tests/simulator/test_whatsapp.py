"""WhatsApp: windows, content resources, taps, names that hide a number; with the real SDK."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import expect
from twilio.rest.content.v1.content import ContentInstance, ContentList

from simulator import server
from simulator.errors import ConfigError
from simulator.records import account_of
from tests.browser import NewPage
from tests.simulator.conftest import HOTLINE, WORKER, Customer, Json, Twilio, configuration, connect, refused

LINE = f"whatsapp:{HOTLINE}"
HANDSET = f"whatsapp:{WORKER}"
NOTICE = "HX" + "3" * 32
BUTTONS = {
    "twilio/quick-reply": {
        "body": "Is it safe?",
        "actions": [
            {"type": "QUICK_REPLY", "title": "Yes", "id": "yes:{{1}}"},
            {"type": "QUICK_REPLY", "title": "No", "id": "no:{{1}}"},
        ],
    }
}
LIST = {
    "twilio/list-picker": {
        "body": "What is it about?",
        "button": "1–2",
        "items": [
            {"item": "Pay", "id": "pay:{{1}}"},
            {"item": "Hours", "id": "hours:{{1}}", "description": "Hours and rest"},
        ],
    }
}


def world_of(customer: Customer, **changes: Any) -> Json:
    """A small world in which the hotline has WhatsApp, and one notice is approved."""
    config = configuration(customer, **changes)
    config["numbers"][HOTLINE]["whatsapp_url"] = customer.url + "/whatsapp"
    words = {"twilio/text": {"body": "Please write to us."}}
    config["contents"] = [
        {"sid": NOTICE, "friendly_name": "notice", "language": "en", "types": words, "approved": True}
    ]
    return config


def open_to(url: str) -> Twilio:
    """The real SDK with the parts that WhatsApp needs."""
    twilio = connect(url)
    twilio.client.content.base_url = twilio.client.messaging.base_url = url
    return twilio


@pytest.fixture
def whatsapp(customer: Customer) -> Iterator[Twilio]:
    running = server.start(world_of(customer))
    yield open_to(running.url)
    running.stop()


def make(twilio: Twilio, types: Json, name: str = "question") -> ContentInstance:
    """A content resource, made by the SDK."""
    asked = {"friendly_name": name, "language": "en", "variables": {"1": "x"}, "types": types}
    return twilio.client.content.v1.contents.create(ContentList.ContentCreateRequest(asked))


def write(twilio: Twilio, body: str = "Halo", **extra: str) -> None:
    """The worker writes."""
    twilio.post("/sim/sms", **{"from": HANDSET, "to": LINE, "body": body, "extra": extra})
    twilio.idle()


def send(twilio: Twilio, to: str = HANDSET, **fields: Any) -> Json:
    """Send to the worker; the message when it has come as far as it comes."""
    sid = twilio.client.messages.create(to=to, from_=LINE, **fields).sid
    twilio.idle()
    found: list[Json] = twilio.get("/sim/state", parts="messages")["messages"]
    return next(each for each in found if each["sid"] == sid)


def test_free_text_goes_only_to_who_wrote_to_the_same_number(whatsapp: Twilio, customer: Customer) -> None:
    late = send(whatsapp, body="Halo", status_callback=customer.url + "/status")
    assert (late["status"], late["error_code"]) == ("failed", 63016)
    assert customer.forms("/status")[-1]["ErrorCode"] == "63016"
    write(whatsapp)
    assert send(whatsapp, body="Halo")["status"] == "delivered"
    whatsapp.post("/sim/window", number=WORKER, open=False)
    assert send(whatsapp, body="Halo")["error_code"] == 63016


def test_an_approved_notice_goes_to_anybody(whatsapp: Twilio) -> None:
    shown = send(whatsapp, content_sid=NOTICE)
    assert (shown["status"], shown["body"]) == ("delivered", "Please write to us.")


def test_a_message_from_a_resource_shows_what_can_be_tapped(whatsapp: Twilio, customer: Customer) -> None:
    write(whatsapp)
    sid = make(whatsapp, BUTTONS).sid
    shown = send(whatsapp, content_sid=sid, content_variables=json.dumps({"1": "s7"}))
    assert shown["body"] == "Is it safe?"
    whatsapp.post("/sim/tap", message=shown["sid"], index=1)
    whatsapp.idle()
    form = customer.forms("/whatsapp")[-1]
    assert (form["ButtonPayload"], form["ButtonText"], form["Body"]) == ("no:s7", "No", "No")
    assert form["OriginalRepliedMessageSid"] == shown["sid"]
    assert all(hit.genuine for hit in customer.hits)


def test_an_entry_of_a_list_is_tapped(whatsapp: Twilio, customer: Customer) -> None:
    write(whatsapp)
    shown = send(whatsapp, content_sid=make(whatsapp, LIST).sid, content_variables=json.dumps({"1": "s7"}))
    whatsapp.post("/sim/tap", message=shown["sid"], index=1)
    whatsapp.idle()
    form = customer.forms("/whatsapp")[-1]
    assert (form["ListId"], form["ListTitle"]) == ("hours:s7", "Hours")
    assert "ButtonPayload" not in form


def test_four_buttons_need_an_approval(whatsapp: Twilio) -> None:
    write(whatsapp)
    actions = [{"type": "QUICK_REPLY", "title": str(n), "id": str(n)} for n in range(4)]
    sid = make(whatsapp, {"twilio/quick-reply": {"body": "Which?", "actions": actions}}).sid
    assert send(whatsapp, content_sid=sid)["error_code"] == 63021
    requests.post(
        f"{whatsapp.url}/v1/Content/{sid}/ApprovalRequests/whatsapp",
        auth=(whatsapp.client.username, whatsapp.client.password),
        timeout=10,
    ).raise_for_status()
    assert send(whatsapp, content_sid=sid)["status"] == "delivered"


def test_a_list_opens_no_talk(whatsapp: Twilio) -> None:
    assert send(whatsapp, content_sid=make(whatsapp, LIST).sid)["error_code"] == 63016


def _quick(**changes: Any) -> Json:
    action = {"type": "QUICK_REPLY", "title": "Yes", "id": "yes"} | changes
    return {"twilio/quick-reply": {"body": "Which?", "actions": [action]}}


@pytest.mark.parametrize(
    "types",
    [
        {},
        BUTTONS | LIST,
        {"twilio/pay": {"body": "x"}},
        {"twilio/text": {"body": ""}},
        {"twilio/quick-reply": {"body": "x" * 1025, "actions": [{"title": "a", "id": "a"}]}},
        {"twilio/quick-reply": {"body": "x", "actions": []}},
        _quick(title="x" * 21),
        _quick(id="x" * 201),
        {"twilio/quick-reply": {"body": "x", "actions": [{"title": "a"}, {"title": "a"}]}},
        {"twilio/list-picker": {"body": "x", "button": "", "items": [{"item": "a", "id": "a"}]}},
        {"twilio/list-picker": {"body": "x", "button": "b", "items": [{"item": "x" * 25, "id": "a"}]}},
        {
            "twilio/list-picker": {
                "body": "x",
                "button": "b",
                "items": [{"item": str(n), "id": str(n)} for n in range(11)],
            }
        },
    ],
)
def test_a_resource_over_its_limits_is_refused(whatsapp: Twilio, types: Json) -> None:
    with refused(20001):
        make(whatsapp, types)


def test_resources_are_found_by_name_listed_fetched_and_deleted(whatsapp: Twilio) -> None:
    made = [str(make(whatsapp, BUTTONS, name=f"q-{n}").sid) for n in range(3)]
    contents = whatsapp.client.content.v2.contents
    assert [each.sid for each in contents.list(content_name="q-1")] == [made[1]]
    assert [each.sid for each in contents.list(page_size=2)] == [NOTICE, *made]
    one = whatsapp.client.content.v1.contents(made[0])
    assert one.fetch().types == BUTTONS
    assert one.approval_fetch().fetch().whatsapp == {"status": "unsubmitted"}
    assert one.delete()
    with refused(20404):
        one.fetch()


def test_what_a_message_is_made_from_must_be_known_and_its_variables_texts(whatsapp: Twilio) -> None:
    with refused(21655):
        send(whatsapp, content_sid="HX" + "0" * 32)
    for wrong in ("x", "[]", '{"1": 2}', '{"a b": "c"}'):
        with refused(21656):
            send(whatsapp, content_sid=NOTICE, content_variables=wrong)


def test_senders_are_listed_with_their_webhooks(whatsapp: Twilio, customer: Customer) -> None:
    (sender,) = whatsapp.client.messaging.v2.channels_senders.list(channel="whatsapp")
    assert sender.sender_id == LINE
    assert sender.webhook["callback_url"] == customer.url + "/whatsapp"


def test_content_needs_the_account_s_password(whatsapp: Twilio) -> None:
    assert requests.get(f"{whatsapp.url}/v1/Content", timeout=10).status_code == 401


def test_who_hides_a_number_has_an_account_and_is_reached_by_it(whatsapp: Twilio, customer: Customer) -> None:
    write(whatsapp)
    account = f"whatsapp:{account_of(WORKER)}"
    form = customer.forms("/whatsapp")[-1]
    assert (form["From"], form["ExternalUserId"], form["WaId"]) == (HANDSET, account, WORKER[1:])
    hidden = {"hides_number": True}
    requests.patch(f"{whatsapp.url}/sim/handsets/{WORKER}", json=hidden, timeout=10).raise_for_status()
    write(whatsapp)
    form = customer.forms("/whatsapp")[-1]
    assert (form["From"], "WaId" in form) == (account, False)
    assert WORKER[1:] not in str(form)
    shown = send(whatsapp, to=account, body="Halo")
    assert (shown["status"], shown["owner"]) == ("delivered", WORKER)
    with refused(21211):
        send(whatsapp, to="whatsapp:ID.1", body="Halo")


def test_what_was_looked_at_is_reported_as_read(whatsapp: Twilio, customer: Customer) -> None:
    write(whatsapp)
    send(whatsapp, body="Halo", status_callback=customer.url + "/status")
    whatsapp.post(f"/sim/handsets/{WORKER}/read")
    whatsapp.idle()
    assert customer.forms("/status")[-1]["MessageStatus"] == "read"


def test_twilio_does_not_obey_stop_on_whatsapp(whatsapp: Twilio) -> None:
    write(whatsapp, "STOP")
    assert send(whatsapp, body="Halo")["status"] == "delivered"


def test_windows_and_resources_survive_a_restart(customer: Customer, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    first = server.start(world_of(customer), state=state)
    twilio = open_to(first.url)
    write(twilio)
    sid = make(twilio, BUTTONS).sid
    first.stop()
    second = server.start(world_of(customer), state=state)
    try:
        assert send(open_to(second.url), content_sid=sid)["status"] == "delivered"
    finally:
        second.stop()


@pytest.mark.parametrize("row", [{}, {"sid": "HX1"}, {"sid": "HX1", "language": "en", "types": {"x": {}}}])
def test_a_wrong_resource_in_the_configuration_stops_the_start(customer: Customer, row: Json) -> None:
    with pytest.raises(ConfigError, match="contents"):
        server.start(world_of(customer) | {"contents": [row]})


def test_the_phone_page_shows_buttons_and_taps_them(customer: Customer, browser: NewPage) -> None:
    running = server.start(world_of(customer))
    try:
        twilio = open_to(running.url)
        page = browser(viewport={"width": 360, "height": 740})
        page.goto(running.url)
        page.get_by_role("button", name="Siti").click()
        page.get_by_role("tab", name="WhatsApp").click()
        page.get_by_label("Write on WhatsApp").fill("Halo")
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_text("Halo")).to_be_visible()
        twilio.idle()
        send(twilio, content_sid=make(twilio, BUTTONS).sid, content_variables=json.dumps({"1": "s7"}))
        page.get_by_role("button", name="Yes", exact=True).click()
        expect(page.get_by_text("Is it safe?")).to_be_visible()
        twilio.idle()
        assert customer.forms("/whatsapp")[-1]["ButtonPayload"] == "yes:s7"
    finally:
        running.stop()
