"""WhatsApp in the table."""

from __future__ import annotations

from bot.messages import Channel
from simulator.records import account_of
from tests.contract import twilio
from tests.contract.row import Failure, Row, Sending
from tests.journeys.world import HOTLINE, NOTICE, World

SENDER = "+6281200000022"
ADDRESS = f"whatsapp:{SENDER}"
PATH = "/channels/whatsapp"


def _form(number: int, words: str) -> dict[str, str]:
    return {
        "MessageSid": f"SM{number:032x}",
        "From": ADDRESS,
        "To": f"whatsapp:{HOTLINE}",
        "WaId": SENDER[1:],
        "ExternalUserId": f"whatsapp:{account_of(SENDER)}",
        "MessageType": "text",
        "Body": words,
        "NumMedia": "0",
    }


def _text(world: World, words: str, number: int) -> Sending:
    # The world's WhatsApp must know, too, that she wrote: it opens the window for free text.
    world.network.post("/sim/window", number=SENDER, open=True)
    return twilio.signed(world, PATH, _form(number, words))


def _media(world: World, number: int) -> Sending:
    files = twilio.lost_file(world) | {"MessageType": "audio"}
    return twilio.signed(world, PATH, _form(number, "listen please") | files)


def _tap(world: World, index: int) -> None:
    shown = world.network.get("/sim/state", parts="messages")["messages"]
    asked = [each for each in shown if each["to"] == ADDRESS and each["content"].get("options")][-1]
    world.network.post("/sim/tap", message=asked["sid"], index=index)
    world.network.idle()


ROW = Row(
    channel=Channel.WHATSAPP,
    sender=SENDER,
    text=_text,
    media=_media,
    raw=lambda world, body: twilio.raw(world, PATH, body),
    forged=twilio.forged,
    unsigned=twilio.unsigned,
    sent=lambda world: twilio.sent(world, ADDRESS),
    fail=lambda world, failure: twilio.fail(world, SENDER, failure),
    failures=(
        Failure(20429, at_once=True, state="queued"),
        Failure(63018, at_once=True, state="queued"),
        Failure(20003, at_once=True, state="failed", incident="provider"),
        Failure(21211, at_once=True, state="failed", incident="delivery"),
        Failure(63018, at_once=False, state="queued"),
        Failure(63012, at_once=False, state="queued"),
        Failure(63014, at_once=False, state="sent", stopped=True),
        Failure(63024, at_once=False, state="sent", incident="delivery"),
        Failure(63003, at_once=False, state="sent", incident="delivery"),
        Failure(63005, at_once=False, state="sent", incident="provider"),
        Failure(63021, at_once=False, state="sent", incident="provider"),
        Failure(63027, at_once=False, state="sent", incident="provider"),
        Failure(63028, at_once=False, state="sent", incident="provider"),
        Failure(63032, at_once=False, state="queued"),
        Failure(63049, at_once=False, state="queued"),
    ),
    settings={"twilio_whatsapp_from": HOTLINE, "twilio_whatsapp_templates": f"*={NOTICE}"},
    wired=twilio.WIRED,
    report=lambda world, *told: twilio.report(world, f"{PATH}/status", *told),
    status_path=f"{PATH}/status",
    voice_note=lambda world: twilio.voice_note(world, ADDRESS, f"whatsapp:{HOTLINE}"),
    tap=_tap,
)
