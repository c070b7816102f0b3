"""The telephone in the table: it is not written on, so only what holds for every webhook is tried with it."""

from __future__ import annotations

from typing import Any

from bot.messages import Channel
from tests.contract import twilio
from tests.contract.row import Failure, Row, Sending
from tests.journeys.world import HOTLINE, World

SENDER = "+6281200000025"
PATH = "/channels/voice"


def _text(world: World, _words: str, number: int) -> Sending:
    """A call begins; what she says comes later, in turns."""
    form = {
        "CallSid": f"CA{number:032x}",
        "From": SENDER,
        "To": HOTLINE,
        "Direction": "inbound",
        "CallStatus": "ringing",
        "FromCountry": "ID",
    }
    return twilio.signed(world, PATH, form)


def _media(_world: World, _number: int) -> Sending:
    raise NotImplementedError("a call has recordings, which tests/journeys tries")


def _fail(_world: World, _failure: Failure) -> None:
    raise NotImplementedError("how calls fail is tried in tests/journeys/test_never_twice.py")


def call(world: World, *keys: str) -> None:
    """She calls the hotline, answers with these keys or, where they are words, with her voice, and hangs up."""
    steps: list[dict[str, Any]] = [
        {"keys": each} if each[0] in "0123456789*#" else {"speak": each, "seconds": 3} for each in keys
    ]
    world.network.ring(SENDER, HOTLINE, {"steps": [*steps, {"hangup": True}]})
    world.network.idle()
    world.rest()


ROW = Row(
    channel=Channel.VOICE,
    sender=SENDER,
    text=_text,
    media=_media,
    raw=lambda world, body: twilio.raw(world, PATH, body),
    forged=twilio.forged,
    unsigned=twilio.unsigned,
    sent=lambda _world: [],
    fail=_fail,
    failures=(),
)
