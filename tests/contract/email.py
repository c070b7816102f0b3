"""E-mail in the table."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from bot.messages import Channel
from simulator.attachments import sample
from tests.channels.post import HOTLINE, SECRET, PostOffice, letter, post_office, reply
from tests.contract.row import Failure, Row, Sending, Wired
from tests.journeys.world import World

SENDER = "siti@mail.example"
PATH = "/channels/email"


class _Post:
    """The SMTP server of the world that is tried, and what was written in it, by number."""

    def __init__(self) -> None:
        self.office = PostOffice()
        self.written: dict[int, bytes] = {}

    @contextmanager
    def running(self) -> Iterator[dict[str, Any]]:
        """Settings for as long as the server runs."""
        with post_office() as self.office:
            self.written = {}
            yield {"smtp_url": self.office.url, "email_from": HOTLINE, "email_webhook_secret": SECRET}

    def text(self, world: World, words: str, number: int) -> Sending:
        """A mail that answers our latest one, if there is any."""
        if number not in self.written:
            came = self.office.to(SENDER)
            mail = reply(came[-1], words, sender=SENDER) if came else letter(words, sender=SENDER)
            self.written[number] = mail.as_bytes()
        return _signed(world, self.written[number])

    def sent(self, _world: World) -> list[str]:
        """The words of what reached the worker."""
        return [each.text for each in self.office.to(SENDER)]

    def fail(self, _world: World, failure: Failure) -> None:
        """The server refuses the worker's address."""
        self.office.refuse[SENDER] = f"{failure.code} no"


def _signed(_world: World, body: bytes) -> Sending:
    stamp = str(int(time.time()))
    signature = hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    headers = {"X-Voiceback-Timestamp": stamp, "X-Voiceback-Signature": f"sha256={signature}"}
    return Sending(PATH, body, headers | {"Content-Type": "message/rfc822"})


def _media(world: World, _number: int) -> Sending:
    mail = letter("listen please", sender=SENDER)
    mail.add_attachment(b"OggS", maintype="audio", subtype="ogg", filename="a.ogg")
    return _signed(world, mail.as_bytes())


def _voice_note(world: World) -> None:
    mail = letter("listen please", sender=SENDER)
    mail.add_attachment(sample("voice")[2], maintype="audio", subtype="ogg", filename="a.ogg")
    assert _signed(world, mail.as_bytes()).post(world).ok


def _forged(true: Sending) -> Sending:
    return replace(true, headers={**true.headers, "X-Voiceback-Signature": "sha256=" + "0" * 64})


def _unsigned(true: Sending) -> Sending:
    return replace(true, headers={"Content-Type": "message/rfc822"})


def _hurry(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("channels.smtp.TIMEOUT_SECONDS", 0.5)


_POST = _Post()

ROW = Row(
    channel=Channel.EMAIL,
    sender=SENDER,
    text=_POST.text,
    media=_media,
    raw=_signed,
    forged=_forged,
    unsigned=_unsigned,
    sent=_POST.sent,
    fail=_POST.fail,
    wired=Wired("smtp_url", b"\r\n.\r\n", _hurry, most=2),
    failures=(
        Failure(421, at_once=True, state="queued"),
        Failure(450, at_once=True, state="queued"),
        Failure(451, at_once=True, state="queued"),
        Failure(452, at_once=True, state="queued"),
        Failure(530, at_once=True, state="failed", incident="provider"),
        Failure(550, at_once=True, state="failed", incident="delivery"),
        Failure(552, at_once=True, state="failed", incident="delivery"),
        Failure(553, at_once=True, state="failed", incident="delivery"),
    ),
    outside=_POST.running,
    voice_note=_voice_note,
)
