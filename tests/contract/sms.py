"""SMS in the table."""

from __future__ import annotations

from bot.messages import Channel
from tests.contract import twilio
from tests.contract.row import Failure, Row, Sending
from tests.journeys.world import HOTLINE, World

SENDER = "+6281200000021"
PATH = "/channels/sms"


def _form(number: int, words: str) -> dict[str, str]:
    return {
        "MessageSid": f"SM{number:032x}",
        "From": SENDER,
        "To": HOTLINE,
        "Body": words,
        "NumMedia": "0",
        "FromCountry": "ID",
    }


def _text(world: World, words: str, number: int) -> Sending:
    return twilio.signed(world, PATH, _form(number, words))


def _media(world: World, number: int) -> Sending:
    return twilio.signed(world, PATH, _form(number, "listen please") | twilio.lost_file(world))


ROW = Row(
    channel=Channel.SMS,
    sender=SENDER,
    text=_text,
    media=_media,
    raw=lambda world, body: twilio.raw(world, PATH, body),
    forged=twilio.forged,
    unsigned=twilio.unsigned,
    sent=lambda world: twilio.sent(world, SENDER),
    fail=lambda world, failure: twilio.fail(world, SENDER, failure),
    failures=(
        Failure(20429, at_once=True, state="queued"),
        Failure(20003, at_once=True, state="failed", incident="provider"),
        Failure(21610, at_once=True, state="failed", stopped=True),
        Failure(21614, at_once=True, state="failed", incident="delivery"),
        Failure(30003, at_once=False, state="queued"),
        Failure(30005, at_once=False, state="sent", incident="delivery"),
        Failure(30004, at_once=False, state="sent", stopped=True),
        Failure(30007, at_once=False, state="sent", incident="delivery"),
    ),
    wired=twilio.WIRED,
    report=lambda world, *told: twilio.report(world, f"{PATH}/status", *told),
    status_path=f"{PATH}/status",
    voice_note=lambda world: twilio.voice_note(world, SENDER, HOTLINE),
)
