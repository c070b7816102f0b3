"""The post of the tests: a real SMTP server that keeps what it is handed, and workers with a mail program."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP, default
from email.utils import make_msgid

import requests
from aiosmtpd import smtp
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope, Session

from tests.journeys.world import World
from tests.ports import free_port

SECRET = "0123456789abcdef-of-the-tests"
HOTLINE = "hotline@voiceback.example"
WORKER = "siti@mail.example"
OTHER = "dewi@mail.example"
SUBJECT = "Your message"


@dataclass(frozen=True)
class Sent:
    """A mail that we handed over."""

    sender: str
    recipient: str
    raw: bytes = field(repr=False)

    @property
    def mail(self) -> EmailMessage:
        """The mail, read."""
        read = BytesParser(policy=default).parsebytes(self.raw)
        assert isinstance(read, EmailMessage)
        return read

    @property
    def text(self) -> str:
        """Its words."""
        return str(self.mail.get_content()).replace("\r\n", "\n")


@dataclass
class PostOffice:
    """What an SMTP server was handed. ``refuse`` holds the reply for a recipient, ``answer`` that to the mail."""

    url: str = ""
    sent: list[Sent] = field(default_factory=list)
    refuse: dict[str, str] = field(default_factory=dict)
    answer: str = "250 2.0.0 taken"
    hang_up: bool = False

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: smtp.SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Take or refuse a recipient."""
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: smtp.SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep a mail, or take it and break off before saying so."""
        content = envelope.content
        assert isinstance(content, bytes)
        if self.answer.startswith("2"):
            sender = envelope.mail_from or ""
            self.sent += [Sent(sender, address, content) for address in envelope.rcpt_tos]
        if self.hang_up and isinstance(server.transport, asyncio.Transport):
            server.transport.abort()
        return self.answer

    def to(self, address: str) -> list[Sent]:
        """What went to an address."""
        return [each for each in self.sent if each.recipient == address]


@contextmanager
def post_office() -> Iterator[PostOffice]:
    """A running SMTP server."""
    office = PostOffice()
    port = free_port()
    controller = Controller(office, hostname="127.0.0.1", port=port)
    controller.start()
    office.url = f"smtp://127.0.0.1:{port}"
    try:
        yield office
    finally:
        controller.stop()


# --- what workers write -----------------------------------------------------------------------------


def letter(
    text: str, *, sender: str = WORKER, subject: str = "", to: str = HOTLINE, **headers: str
) -> EmailMessage:
    """A new mail to the hotline. Underscores in names of headers stand for hyphens."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = to
    mail["Date"] = "Mon, 02 Mar 2026 09:00:00 +0000"
    mail["Message-ID"] = make_msgid(domain="mail.example")
    if subject:
        mail["Subject"] = subject
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    return mail


def reply(to: Sent, text: str, *, sender: str = WORKER, **headers: str) -> EmailMessage:
    """An answer as mail programs write it: to the address for replies, with the quote below."""
    mail = to.mail
    quoted = "\n".join(f"> {line}".rstrip() for line in to.text.splitlines())
    words = f"{text}\n\nOn Mon, 2 Mar 2026 at 09:00, Hotline <{HOTLINE}> wrote:\n\n{quoted}\n"
    named = {"In_Reply_To": str(mail["Message-ID"]), "References": str(mail["Message-ID"])} | headers
    return letter(words, sender=sender, subject=f"Re: {mail['Subject']}", to=str(mail["Reply-To"]), **named)


def deliver(
    world: World, raw: bytes | EmailMessage, *, secret: str = SECRET, at: float | None = None
) -> requests.Response:
    """Hand a raw mail to our webhook, signed as the documentation says."""
    body = raw.as_bytes() if isinstance(raw, EmailMessage) else raw
    stamp = str(int(time.time() if at is None else at))
    signature = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return requests.post(
        f"{world.url}/channels/email",
        data=body,
        headers={
            "Content-Type": "message/rfc822",
            "X-Voiceback-Timestamp": stamp,
            "X-Voiceback-Signature": f"sha256={signature}",
        },
        timeout=30,
    )
