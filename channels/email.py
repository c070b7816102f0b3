"""E-mail: raw mail in, by webhook or from the hotline's mailbox; plain text out, in threads told by tokens.

Anybody can write any sender, so an address proves nothing: a conversation goes on only for who brings back
the token of one of its messages, in the address that was answered (``hotline+token@…``) or in the
``In-Reply-To`` and ``References`` of the answer. What goes out is text/plain in UTF-8 under a subject that
tells nothing, with a line above which an answer is to be written.

A provider that forwards mail signs it: ``X-Voiceback-Timestamp`` holds the seconds since 1970,
``X-Voiceback-Signature`` holds ``sha256=`` and the HMAC-SHA256, in hexadecimal digits, of that number, a
point, and the raw body, with EMAIL_WEBHOOK_SECRET as key.

Sources: RFC 5322, 5233 (subaddress), 3834 (automatic answers), 3464 and 3463 (delivery reports).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr, parseaddr

import structlog
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Request

from bot.clock import wall_time
from bot.errors import UnverifiedRequest
from bot.flow import phrases
from bot.flow.catalog import Catalogs
from bot.messages import (
    Address,
    AddressKind,
    Attention,
    Capabilities,
    DeliveryStatus,
    Inbound,
    Input,
    Media,
    MediaRef,
    Outbound,
    Part,
    Prompt,
    Receipt,
    Rendered,
    Returned,
    Reveal,
    StatusUpdate,
    Text,
)
from bot.messages import Channel as Name
from bot.settings import Settings
from bot.steps import Place
from channels import mime, smtp
from channels.base import written
from channels.quotes import MARK, MARK_END

log = structlog.get_logger()

SIGNATURE = "X-Voiceback-Signature"
TIMESTAMP = "X-Voiceback-Timestamp"
REPLAY_WINDOW = timedelta(minutes=5)
ANSWERS_PER_DAY = 40
"""More than any talk through a flow needs, and far less than two machines would write one another."""
_LIMIT = 10_000
_MOST_TAG = 64
"""Longest local part of an address: RFC 5321, 4.5.3.1.1."""
TOKEN_LENGTH = 39
_TAGGED = re.compile(r"[^@]*\+([a-z2-7]{20,60})@")
_TOKEN = re.compile(r"[a-z2-7]{20,60}")


class Email:
    """Mail in and out. The token of a message is its Message-ID, its reply address and its envelope sender."""

    capabilities = Capabilities(
        channel=Name.EMAIL,
        text_limit=_LIMIT,
        media_in=True,
        finds=False,
        threads=True,
        at_once=2,
        answers_per_day=ANSWERS_PER_DAY,
    )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._name, address = parseaddr(settings.email_from)
        self._local, _, self._domain = address.lower().partition("@")
        self._catalogs = Catalogs.open(settings.voiceback_locales)

    # --- in ------------------------------------------------------------------------------------

    def receive(self, request: Request) -> Sequence[Inbound | Returned]:
        """One raw mail per webhook."""
        claimed, given = _stamp(request), request.headers.get(SIGNATURE, "")
        # Only now is it known that the body may be a long one.
        request.max_content_length = mime.MOST_BYTES
        raw = request.get_data(cache=False)
        self._check(claimed, given, raw)
        try:
            mail = mime.read(raw)
        except Exception as error:  # its text may hold what no log may; the mail is kept all the same
            log.error("mail_unreadable", error=type(error).__name__)
            return [self.unreadable(raw)]
        if mail is None:
            raise BadRequest("the body is not a mail: it has no From")
        return self.take(mail)

    def _check(self, claimed: str, given: str, raw: bytes) -> None:
        secret = self._settings.email_webhook_secret.get_secret_value()
        expected = hmac.new(secret.encode(), f"{claimed}.".encode() + raw, hashlib.sha256).hexdigest()
        if not secret or not hmac.compare_digest(f"sha256={expected}".encode(), given.encode()):
            raise UnverifiedRequest("the signature is missing or wrong")

    def take(self, mail: mime.Mail, *, attention: Attention | None = None) -> Sequence[Inbound | Returned]:
        """What a mail is in the common format. ``attention`` overrules what its headers say."""
        tokens = tuple(self._tokens(mail))
        if mail.reports:
            return [back for report in mail.reports if (back := _returned(report, tokens)) is not None]
        if mail.sender is not None and self._is_ours(mail.sender):
            attention = Attention.FILE
        subject = "" if tokens and self._is_our_subject(mail.subject) else mail.subject
        given = _input(mail, subject)
        return [
            Inbound(
                channel=Name.EMAIL,
                event_id=mail.digest,
                sender=Address(AddressKind.EMAIL, mail.sender) if mail.sender else None,
                line="",
                input=given,
                received_at=wall_time(),
                tokens=tokens,
                origin=mail.name,
                subject="" if given == Text(subject) else subject,
                parts=mail.parts,
                attention=attention or mail.attention,
            )
        ]

    def unreadable(self, raw: bytes) -> Inbound:
        """A mail that is none, or that was too long to be taken whole, kept as it came."""
        digest = hashlib.sha256(raw).hexdigest()
        part = Part("message/rfc822", raw, is_file=False)
        return Inbound(
            channel=Name.EMAIL,
            event_id=digest,
            sender=None,
            line="",
            input=Text(""),
            received_at=wall_time(),
            parts=(part,),
            attention=Attention.FILE,
        )

    def _tokens(self, mail: mime.Mail) -> list[str]:
        tagged = (_TAGGED.match(address) for address in mail.recipients)
        names = (name.partition("@")[0].lower() for name in mail.references)
        found = [
            *(match[1] for match in tagged if match),
            *(name for name in names if _TOKEN.fullmatch(name)),
        ]
        return list(dict.fromkeys(found))

    def _is_ours(self, address: str) -> bool:
        local, _, domain = address.partition("@")
        return domain == self._domain and local.partition("+")[0] == self._local

    def _is_our_subject(self, subject: str) -> bool:
        bare = re.sub(r"^(?:[^:：]{1,12}[:：]\s*)+", "", subject).casefold()
        return bare in {self._subject(language).casefold() for language in self._catalogs.languages}

    # --- out -----------------------------------------------------------------------------------

    def render(self, prompt: Prompt, place: Place) -> list[Rendered]:  # noqa: ARG002 - a mail looks the same everywhere
        """The texts, and a line for each option."""
        return written(prompt, _LIMIT)

    def send(self, outbound: Outbound, country: str | None) -> Receipt:  # noqa: ARG002 - mail knows no countries
        """Hand one mail to the SMTP server. What bounces later comes back as a mail to its own address."""
        to = outbound.to.reveal(Reveal.SEND)
        smtp.hand_over(self._settings, self._letter(outbound, to), self._tagged(outbound.token), to)
        return Receipt(outbound.token, DeliveryStatus.SENT)

    def _letter(self, outbound: Outbound, to: str) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        message["From"] = formataddr((self._name, f"{self._local}@{self._domain}"))
        message["To"] = to
        message["Reply-To"] = self._tagged(outbound.token)
        message["Subject"] = self._subject(outbound.language)
        message["Date"] = format_datetime(wall_time())
        message["Message-ID"] = f"<{outbound.token}@{self._domain}>"
        if outbound.in_reply_to:
            message["In-Reply-To"] = outbound.in_reply_to
            message["References"] = outbound.in_reply_to
        message["Auto-Submitted"] = "auto-replied" if outbound.in_reply_to else "auto-generated"
        message["X-Auto-Response-Suppress"] = "All"
        marker = self._catalogs.tongue(outbound.language).text(phrases.WRITE_ABOVE)
        text = f"{MARK} {marker} {MARK_END}\n\n{outbound.text}\n"
        plain = sum(char < "\x80" for char in text) * 2 > len(text)
        message.set_content(text, charset="utf-8", cte="quoted-printable" if plain else "base64")
        return message

    def _tagged(self, token: str) -> str:
        return f"{self._local}+{token}@{self._domain}"

    def _subject(self, language: str) -> str:
        return self._catalogs.tongue(language).text(phrases.MAIL_SUBJECT)

    def find(self, outbound: Outbound, country: str | None, since: datetime) -> list[Receipt]:  # noqa: ARG002 - the parameters are the contract's
        """Nothing: no SMTP server can be asked what it took."""
        return []

    # --- reports -------------------------------------------------------------------------------

    def status(self, request: Request) -> StatusUpdate | None:  # noqa: ARG002 - nobody is to come this way
        """Delivery reports are mails and come where mails come; this way is shut."""
        raise UnverifiedRequest("delivery reports of e-mail come as mails")


def _stamp(request: Request) -> str:
    """The time at which a webhook was signed. Raises :class:`UnverifiedRequest` for another time than now."""
    given = request.headers.get(TIMESTAMP, "")
    if not (given.isascii() and given.isdigit() and len(given) <= 12):
        raise UnverifiedRequest("the timestamp is missing or wrong")
    if abs(wall_time().timestamp() - int(given)) > REPLAY_WINDOW.total_seconds():
        raise UnverifiedRequest("the timestamp is not of now")
    return given


def _input(mail: mime.Mail, subject: str) -> Input:
    """The new words; without any, the files; without either, the subject."""
    if mail.words:
        return Text(mail.words)
    files = tuple(
        MediaRef(f"attachment {n}", part.content_type) for n, part in enumerate(mail.parts, 1) if part.is_file
    )
    return Media(files) if files else Text(subject)


def _returned(report: mime.Report, tokens: tuple[str, ...]) -> Returned | None:
    """What a delivery report means for us; that a mail is late means nothing yet."""
    if report.action in ("delivered", "relayed", "expanded"):
        return Returned(tokens, DeliveryStatus.DELIVERED)
    if report.action != "failed":
        return None
    action = smtp.action_for(report.status) if report.status else ""
    return Returned(tokens, DeliveryStatus.UNDELIVERED, report.status or "bounced", action)
