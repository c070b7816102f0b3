"""What TwiML does on a live call."""

from __future__ import annotations

import pytest

from simulator.sound import make_wav
from tests.simulator.conftest import WORKER, Customer, Page, Twilio, steps

LANGUAGES_WITHOUT_A_VOICE = ["my-MM", "km-KH", "ne-NP", "lo-LA", "si-LK", "ur-PK", "bn-BD", "id"]


def said(call: dict[str, object]) -> list[str]:
    return [step["text"] for step in steps(call, "say")]


def test_what_is_said_is_heard_in_order_and_the_end_of_the_document_ends_the_call(
    twilio: Twilio, customer: Customer
) -> None:
    customer.pages["/voice"] = '<Say language="id-ID">Halo</Say><Pause length="2"/><Say>Bye</Say>'
    twilio.script("human-yes")
    call = twilio.talk(url=customer.url + "/voice")
    assert said(call) == ["Halo", "Bye"]
    assert call["status"] == "completed"
    assert call["duration"] >= 2


def test_keys_are_posted_to_the_action_which_is_relative_to_the_document(
    twilio: Twilio, customer: Customer
) -> None:
    customer.pages["/deep/voice"] = '<Gather numDigits="1" action="turn?n=1"><Say>Press</Say></Gather>'
    customer.pages["/deep/turn"] = "<Say>Thanks</Say><Hangup/>"
    twilio.script({"steps": [{"keys": "7"}]})
    call = twilio.talk(url=customer.url + "/deep/voice")
    (form,) = customer.forms("/deep/turn")
    assert form["Digits"] == "7"
    assert form["CallStatus"] == "in-progress"
    assert said(call) == ["Press", "Thanks"]


def test_the_finish_key_ends_the_input_and_is_not_part_of_it(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = '<Gather action="/done"/>'
    twilio.script({"steps": [{"keys": "{pass_word}#99"}]})
    twilio.talk(url=customer.url + "/voice")
    (form,) = customer.forms("/done")
    assert form["Digits"] == "4711"
    assert form["FinishedOnKey"] == "#"


def test_an_empty_finish_key_makes_the_hash_an_ordinary_key(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = '<Gather action="/done" finishOnKey="" timeout="3"/>'
    twilio.script({"steps": [{"keys": "1#"}]})
    twilio.talk(url=customer.url + "/voice")
    assert customer.forms("/done")[0]["Digits"] == "1#"


def test_silence_goes_on_to_the_next_verb_and_asks_nobody(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = '<Gather action="/done"><Say>Press</Say></Gather><Say>Nothing heard</Say>'
    twilio.script({"steps": [{"silence": True}]})
    call = twilio.talk(url=customer.url + "/voice")
    assert said(call) == ["Press", "Nothing heard"]
    assert customer.at("/done") == []


def test_silence_is_posted_when_the_document_asks_for_it(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = '<Gather action="/done" actionOnEmptyResult="true"/>'
    twilio.script({"steps": [{"silence": True}]})
    twilio.talk(url=customer.url + "/voice")
    assert customer.forms("/done")[0]["Digits"] == ""


def test_without_an_action_the_same_document_is_asked_again(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = lambda hit: "<Hangup/>" if "Digits" in hit.form else '<Gather numDigits="1"/>'
    twilio.script({"steps": [{"keys": "1"}]})
    twilio.talk(url=customer.url + "/voice?x=1")
    assert [form.get("Digits") for form in customer.forms("/voice")] == [None, "1"]


def test_a_key_during_the_prompt_cuts_it_short(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = (
        '<Gather numDigits="1" action="/done"><Pause length="3000"/><Say>Never heard</Say></Gather>'
    )
    twilio.script({"steps": [{"keys": "1", "barge": True}]})
    call = twilio.talk(url=customer.url + "/voice")
    assert customer.forms("/done")[0]["Digits"] == "1"
    assert said(call) == []


def test_a_hang_up_during_a_gather_posts_no_action(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = '<Gather action="/done"/><Redirect>/after</Redirect>'
    twilio.script({"steps": [{"hangup": True}]})
    call = twilio.talk(url=customer.url + "/voice", status_callback=customer.url + "/status")
    assert customer.at("/done") == []
    assert customer.at("/after") == []
    assert customer.forms("/status")[-1]["CallStatus"] == "completed"
    assert steps(call, "hangup")[0]["by"] == "callee"


def test_a_recording_is_posted_with_the_key_that_ended_it(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = '<Record action="/done" finishOnKey="#"/><Say>Never reached</Say>'
    twilio.script({"steps": [{"speak": "three weeks without pay", "seconds": 4, "keys": "#"}]})
    call = twilio.talk(url=customer.url + "/voice")
    (form,) = customer.forms("/done")
    assert (form["RecordingDuration"], form["Digits"]) == ("4", "#")
    assert form["RecordingUrl"].endswith(form["RecordingSid"])
    assert said(call) == []


def test_a_hang_up_during_a_recording_posts_it_with_digits_hangup(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = '<Record action="/done"/>'
    twilio.script({"steps": [{"speak": "they dismissed her", "seconds": 3, "hangup": True}]})
    twilio.talk(url=customer.url + "/voice")
    (form,) = customer.forms("/done")
    assert (form["Digits"], form["RecordingDuration"], form["CallStatus"]) == ("hangup", "3", "completed")


def test_a_silent_recording_is_kept(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = '<Record action="/done" recordingStatusCallback="/kept"/>'
    twilio.script({"steps": [{"silence": True}]})
    twilio.talk(url=customer.url + "/voice")
    (form,) = customer.forms("/done")
    assert "Digits" not in form
    (kept,) = customer.forms("/kept")
    assert kept["RecordingSid"] == form["RecordingSid"]
    assert kept["RecordingStatus"] == "completed"


def test_a_recording_stops_at_its_longest_length(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = '<Record action="/done" maxLength="10"/>'
    twilio.script({"steps": [{"speak": "a long story", "seconds": 500}]})
    twilio.talk(url=customer.url + "/voice")
    assert customer.forms("/done")[0]["RecordingDuration"] == "10"


def test_speech_is_posted_when_it_is_asked_for(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = '<Gather input="dtmf speech" action="/done"/>'
    twilio.script({"steps": [{"speak": "ya"}]})
    twilio.talk(url=customer.url + "/voice")
    assert customer.forms("/done")[0]["SpeechResult"] == "ya"


def test_a_sound_is_fetched_and_played(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = "<Play>/hello.wav</Play>"
    customer.pages["/hello.wav"] = Page(make_wav("mingalaba", 2), content_type="audio/wav")
    twilio.script("human-yes")
    call = twilio.talk(url=customer.url + "/voice")
    (step,) = steps(call, "play")
    assert step["seconds"] == 2
    assert [hit.method for hit in customer.at("/hello.wav")] == ["GET"]


@pytest.mark.parametrize(
    ("control", "times"), [("max-age=604800", 1), ("no-cache, max-age=604800", 2), ("", 2)]
)
def test_a_sound_is_not_asked_for_again_while_it_is_fresh(
    twilio: Twilio, customer: Customer, control: str, times: int
) -> None:
    customer.pages["/voice"] = "<Play>/hello.wav</Play><Play>/hello.wav</Play>"
    customer.pages["/hello.wav"] = Page(
        make_wav("mingalaba", 2), content_type="audio/wav", headers=(("Cache-Control", control),)
    )
    twilio.script("human-yes")
    call = twilio.talk(url=customer.url + "/voice")
    assert len(steps(call, "play")) == 2
    assert len(customer.at("/hello.wav")) == times


def test_what_came_in_place_of_a_sound_makes_the_last_one_no_fresher(
    twilio: Twilio, customer: Customer
) -> None:
    customer.pages["/voice"] = "<Play>/hello.wav</Play>"
    customer.pages["/hello.wav"] = Page(make_wav("mingalaba", 2), content_type="audio/wav")
    twilio.script("human-yes")
    played = [len(steps(twilio.talk(url=customer.url + "/voice"), "play"))]
    customer.pages["/hello.wav"] = Page(
        b"<html>", content_type="text/html", headers=(("Cache-Control", "max-age=604800"),)
    )
    played += [len(steps(twilio.talk(url=customer.url + "/voice"), "play")) for _ in range(2)]
    assert (played, len(customer.at("/hello.wav"))) == ([1, 0, 0], 3)


def test_a_page_in_place_of_a_sound_fails_the_document(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = "<Play>/hello.wav</Play><Say>Never reached</Say>"
    customer.pages["/hello.wav"] = Page(b"<html>", content_type="text/html")
    twilio.script("human-yes")
    call = twilio.talk(url=customer.url + "/voice")
    assert call["error_code"] == 12300
    assert "Never reached" not in said(call)


@pytest.mark.parametrize("language", LANGUAGES_WITHOUT_A_VOICE)
def test_a_language_without_a_voice_fails(twilio: Twilio, customer: Customer, language: str) -> None:
    customer.pages["/voice"] = f'<Say language="{language}">x</Say>'
    twilio.script("human-yes")
    assert twilio.talk(url=customer.url + "/voice")["error_code"] == 13511


@pytest.mark.parametrize(
    "document",
    [
        "<say>x</say>",
        "<Speak>x</Speak>",
        '<Say lang="id-ID">x</Say>',
        "<Gather><Record/></Gather>",
        "<Gather><Hangup/></Gather>",
        '<Gather numdigits="1"/>',
        '<Pause length="long"/>',
        "<Dial>0812</Dial>",
        '<Dial record="record-from-answer">+15005550099</Dial>',
        '<Dial callerId="+15005550098">+15005550099</Dial>',
        "<Dial><Client>agent</Client></Dial>",
        "<Dial><Conference/></Dial>",
        '<Dial><Conference beep="loud">x</Conference></Dial>',
        '<Dial><Conference startConferenceOnEnter="perhaps">x</Conference></Dial>',
        '<Dial><Conference statusCallbackEvent="begin">x</Conference></Dial>',
        '<Dial><Conference record="record-from-start">x</Conference></Dial>',
        "<Dial><Number>+15005550099</Number><Conference>x</Conference></Dial>",
        "<Enqueue>x</Enqueue>",
        "<Say>a<Play>b</Play></Say>",
        "loose words",
        "<Say>no end",
    ],
)
def test_what_twilio_does_not_know_ends_the_call_with_an_error(
    twilio: Twilio, customer: Customer, document: str
) -> None:
    customer.pages["/voice"] = document
    twilio.script("human-yes")
    call = twilio.talk(url=customer.url + "/voice")
    assert call["error_code"] is not None
    assert call["status"] == "completed"
    assert twilio.get("/sim/state", parts="alerts")["alerts"][-1]["sid"] == call["sid"]


@pytest.mark.parametrize(
    "broken",
    [
        Page(status=500),
        Page(status=404),
        Page(b"<Response><Nonsense/></Response>"),
        Page(b"<Response/>", content_type="text/html"),
        Page(b"<Response>"),
    ],
)
def test_a_broken_document_goes_to_the_fallback(twilio: Twilio, customer: Customer, broken: Page) -> None:
    customer.pages["/voice"] = broken
    customer.pages["/fallback"] = "<Say>Please call again</Say>"
    twilio.script("human-yes")
    call = twilio.talk(url=customer.url + "/voice", fallback_url=customer.url + "/fallback")
    (form,) = customer.forms("/fallback")
    assert form["ErrorUrl"] == customer.url + "/voice"
    assert form["ErrorCode"]
    assert said(call) == ["Please call again"]


def test_a_broken_fallback_ends_the_call(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = customer.pages["/fallback"] = Page(status=500)
    twilio.script("human-yes")
    call = twilio.talk(url=customer.url + "/voice", fallback_url=customer.url + "/fallback")
    assert call["status"] == "completed"
    assert len(customer.at("/fallback")) == 1


def test_a_redirect_goes_on_with_another_document(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = '<Redirect method="GET">next?n=2</Redirect><Say>Never reached</Say>'
    customer.pages["/next"] = "<Say>Here</Say>"
    twilio.script("human-yes")
    call = twilio.talk(url=customer.url + "/voice")
    assert said(call) == ["Here"]
    (hit,) = customer.at("/next")
    assert (hit.method, hit.genuine) == ("GET", True)


def test_twiml_in_the_request_needs_absolute_actions(twilio: Twilio, customer: Customer) -> None:
    twilio.script({"steps": [{"keys": "1"}, {"keys": "1"}]})
    call = twilio.talk(twiml='<Response><Gather numDigits="1" action="/done"/></Response>')
    assert call["error_code"] == 11100
    absolute = f'<Response><Gather numDigits="1" action="{customer.url}/done"/></Response>'
    assert twilio.talk(twiml=absolute)["error_code"] is None
    assert len(customer.at("/done")) == 1


def test_the_rest_api_interrupts_what_is_being_said(by_hand: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = '<Pause length="100000"/><Say>Never heard</Say>'
    customer.pages["/other"] = "<Say>Changed</Say>"
    sid = by_hand.call(url=customer.url + "/voice")
    by_hand.answer(sid)
    by_hand.until(sid, doing="pause")
    by_hand.client.calls(sid).update(url=customer.url + "/other")
    by_hand.idle()
    assert said(by_hand.get(f"/sim/calls/{sid}")) == ["Changed"]


def test_keys_pressed_before_anybody_asks_are_lost(by_hand: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = '<Pause length="40"/><Gather action="/done" timeout="1"/>'
    sid = by_hand.call(url=customer.url + "/voice")
    by_hand.answer(sid)
    by_hand.until(sid, doing="pause")
    by_hand.post(f"/sim/handsets/{WORKER}/keys", keys="1")
    by_hand.idle()
    assert customer.at("/done") == []
