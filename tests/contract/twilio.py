"""What the rows of SMS and WhatsApp share: Twilio's forms, its signature, its make-believe network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode

import pytest
from twilio.request_validator import RequestValidator

from tests.contract.row import Failure, Sending, Wired
from tests.journeys.world import ACCOUNT, TOKEN, World

HEADER = "X-Twilio-Signature"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def _hurry(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("channels.twilio_api.TIMEOUT_SECONDS", 0.5)


WIRED = Wired("twilio_api_base", b"/Messages.json", _hurry)


def signed(world: World, path: str, form: Mapping[str, str]) -> Sending:
    """A form, signed as Twilio signs."""
    return raw(world, path, urlencode(form).encode())


def raw(world: World, path: str, body: bytes) -> Sending:
    """Any body as a form, signed as far as it can be read as one."""
    form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    signature = RequestValidator(TOKEN).compute_signature(world.url + path, form)
    return Sending(path, body, FORM | {HEADER: signature})


def lost_file(world: World) -> dict[str, str]:
    """A voice note that Twilio has not: its address is one of our account."""
    place = f"{world.network.url}/2010-04-01/Accounts/{ACCOUNT}/Messages/MM{'0' * 32}/Media/ME{'0' * 32}"
    return {"NumMedia": "1", "MediaUrl0": place, "MediaContentType0": "audio/ogg"}


def voice_note(world: World, sender: str, to: str) -> None:
    """A voice note comes by Twilio."""
    world.network.text(sender, "listen please", to=to, media=["voice"])


def forged(sending: Sending) -> Sending:
    """The signature of something else."""
    return replace(sending, headers=FORM | {HEADER: "bm90IHRoZSByaWdodCBvbmU="})


def unsigned(sending: Sending) -> Sending:
    """No signature."""
    return replace(sending, headers=FORM)


def report(world: World, path: str, message_id: str, provider_id: str, status: str) -> Sending:
    """A delivery report about a message of ours."""
    form = {"MessageSid": provider_id, "MessageStatus": status, "SmsStatus": status}
    return signed(world, f"{path}?m={message_id}", form)


def fail(world: World, number: str, failure: Failure) -> None:
    """The network fails for a number as told."""
    world.network.post(
        "/sim/errors", {"number": number, "create" if failure.at_once else "message": failure.code}
    )


def sent(world: World, address: str) -> list[str]:
    """What was delivered to an address."""
    found = world.network.get("/sim/state", parts="messages")["messages"]
    return [
        each["body"] for each in found if each["to"] == address and each["status"] in ("delivered", "read")
    ]
