"""Who may ask, what an account owns, and what a recording sounds like."""

from __future__ import annotations

import io
import wave

import pytest
import requests
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from simulator.sound import make_mp3, make_wav, sound_seconds
from tests.simulator.conftest import ACCOUNT, HOTLINE, TOKEN, Customer, Twilio, refused


def recorded(twilio: Twilio, customer: Customer) -> str:
    """Let a worker leave a recording of four seconds; its SID."""
    customer.pages["/voice"] = '<Record action="/done"/>'
    twilio.script({"steps": [{"speak": "upah tidak dibayar", "seconds": 4, "hangup": True}]})
    twilio.talk(url=customer.url + "/voice")
    return customer.forms("/done")[0]["RecordingSid"]


def test_a_wrong_token_is_refused(twilio: Twilio) -> None:
    stranger = Client(ACCOUNT, "wrong", http_client=TwilioHttpClient(timeout=10, pool_connections=False))
    stranger.api.base_url = twilio.url
    with refused(20003):
        stranger.api.accounts(ACCOUNT).fetch()
    reply = requests.get(f"{twilio.url}/2010-04-01/Accounts/{ACCOUNT}/Calls.json", timeout=10)
    assert reply.status_code == 401
    assert set(reply.json()) == {"code", "message", "more_info", "status"}


def test_another_account_is_refused(twilio: Twilio) -> None:
    url = f"{twilio.url}/2010-04-01/Accounts/AC{'1' * 32}/Calls.json"
    assert requests.get(url, auth=(ACCOUNT, TOKEN), timeout=10).status_code == 401


def test_credentials_can_be_checked(twilio: Twilio) -> None:
    assert twilio.client.api.accounts(ACCOUNT).fetch().status == "active"


def test_webhook_addresses_can_be_read_and_changed(twilio: Twilio, customer: Customer) -> None:
    (number,) = twilio.client.incoming_phone_numbers.list(phone_number=HOTLINE)
    assert number.voice_url == customer.url + "/voice"
    assert number.voice_fallback_url == ""
    number.update(
        voice_url=customer.url + "/other#rc=3&rp=all", voice_fallback_url=customer.url + "/fallback"
    )
    (number,) = twilio.client.incoming_phone_numbers.list()
    assert number.voice_url == customer.url + "/other#rc=3&rp=all"
    assert number.voice_fallback_url == customer.url + "/fallback"
    assert number.sms_url == customer.url + "/sms"


def test_a_recording_can_be_fetched_and_deleted(twilio: Twilio, customer: Customer) -> None:
    sid = recorded(twilio, customer)
    recording = twilio.client.recordings(sid).fetch()
    assert (recording.duration, recording.status) == ("4", "completed")
    url = customer.forms("/done")[0]["RecordingUrl"]
    assert requests.get(url, timeout=10).status_code == 401
    sound = requests.get(url, auth=(ACCOUNT, TOKEN), timeout=10)
    with wave.open(io.BytesIO(sound.content)) as file:
        assert file.getnframes() / file.getframerate() == 4
    mp3 = requests.get(url + ".mp3", auth=(ACCOUNT, TOKEN), timeout=10)
    assert mp3.headers["Content-Type"] == "audio/mpeg"
    assert twilio.client.recordings(sid).delete()
    assert twilio.client.recordings.list() == []
    assert requests.get(url + ".wav", auth=(ACCOUNT, TOKEN), timeout=10).status_code == 404
    assert twilio.client.recordings(sid).fetch().status == "deleted"


@pytest.mark.parametrize("seconds", [0.5, 1, 7.25, 61])
def test_made_up_sounds_last_as_long_as_they_say(seconds: float) -> None:
    assert sound_seconds(make_wav("halo apa kabar", seconds)) == pytest.approx(seconds, abs=0.001)
    assert sound_seconds(make_mp3(seconds)) == pytest.approx(seconds, rel=0.01, abs=0.05)


def test_silence_is_silent_and_speech_is_not() -> None:
    assert not any(make_wav("", 1)[44:])
    assert any(make_wav("ya", 1)[44:])


def test_an_unknown_path_is_answered_as_twilio_does(twilio: Twilio) -> None:
    reply = requests.get(f"{twilio.url}/2010-04-01/Accounts/{ACCOUNT}/Nonsense.json", timeout=10)
    assert (reply.status_code, reply.json()["code"]) == (404, 20404)
