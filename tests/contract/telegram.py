"""Telegram in the table."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import requests

from bot.messages import Channel
from channels.telegram import SECRET_HEADER, Telegram
from simulator.chats import account_id
from tests.contract.row import Failure, Row, Sending, Wired
from tests.journeys.world import BOT_TOKEN, World

SENDER = "+6281200000023"
PATH = "/channels/telegram"
SECRET = "a-make-believe-webhook-secret"
HEADERS = {"Content-Type": "application/json", SECRET_HEADER: SECRET}
PERSON = {"id": account_id(SENDER), "is_bot": False, "first_name": "x", "language_code": "en"}
PLACE = {"id": PERSON["id"], "type": "private", "first_name": "x"}
FIRST_TAP = 5000


def _raw(_world: World, body: bytes) -> Sending:
    return Sending(PATH, body, HEADERS)


def _message(world: World, number: int, content: dict[str, Any]) -> Sending:
    # The world's Telegram must know, too, that she pressed START: nobody else may be written to.
    if not _screen(world):
        world.network.post(f"/sim/telegram/people/{SENDER}/start", {})
    message = {"message_id": number, "date": 1, "chat": PLACE, "from": PERSON} | content
    return _raw(world, json.dumps({"update_id": number, "message": message}).encode())


def _text(world: World, words: str, number: int) -> Sending:
    return _message(world, number, {"text": words})


def _media(world: World, number: int) -> Sending:
    voice = {"file_id": "F" * 40, "file_unique_id": "u", "duration": 3, "mime_type": "audio/ogg"}
    return _message(world, number, {"voice": voice, "caption": "listen please"})


def _voice_note(world: World) -> None:
    hook = {"url": f"{world.url}{PATH}", "secret_token": SECRET}
    assert requests.post(f"{world.network.url}/bot{BOT_TOKEN}/setWebhook", data=hook, timeout=10).ok
    world.network.post(f"/sim/telegram/people/{SENDER}/start", {})
    world.network.post(f"/sim/telegram/people/{SENDER}/voice", {})


def _tap(world: World, index: int) -> None:
    shown = [each for each in _screen(world) if each["buttons"]][-1]
    data = [button["data"] for row in shown["buttons"] for button in row][index]
    query = {
        "id": "1",
        "from": PERSON,
        "chat_instance": "1",
        "message": {"message_id": shown["id"], "date": 1, "chat": PLACE},
        "data": data,
    }
    body = {"update_id": FIRST_TAP + shown["id"], "callback_query": query}
    assert _raw(world, json.dumps(body).encode()).post(world).ok


def _screen(world: World) -> list[dict[str, Any]]:
    """What is on her screen, oldest first."""
    for account in world.network.get("/sim/telegram")["accounts"]:
        if account["number"] == SENDER:
            return [message for message in account["messages"] if not message["deleted"]]
    return []


def _fail(world: World, failure: Failure) -> None:
    rule = {"code": failure.code} | ({"retry_after": 5} if failure.code == 429 else {})
    world.network.post("/sim/telegram/errors", rule)


def _hurry(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(Telegram._ask.__kwdefaults__ or {}, "seconds", 0.5)


ROW = Row(
    channel=Channel.TELEGRAM,
    sender=SENDER,
    text=_text,
    media=_media,
    raw=_raw,
    forged=lambda sending: replace(sending, headers=HEADERS | {SECRET_HEADER: SECRET[::-1]}),
    unsigned=lambda sending: replace(sending, headers={"Content-Type": "application/json"}),
    sent=lambda world: [message["text"] for message in _screen(world) if not message["mine"]],
    fail=_fail,
    wired=Wired("telegram_api_base", b"/sendMessage", _hurry, most=2),
    failures=(
        Failure(429, at_once=True, state="queued"),
        Failure(502, at_once=True, state="unknown"),
        Failure(500, at_once=True, state="unknown"),
        Failure(400, at_once=True, state="failed", incident="delivery"),
        Failure(401, at_once=True, state="failed", incident="provider"),
        Failure(403, at_once=True, state="failed", stopped=True),
    ),
    settings={"telegram_bot_token": BOT_TOKEN, "telegram_webhook_secret": SECRET},
    tap=_tap,
    voice_note=_voice_note,
)
