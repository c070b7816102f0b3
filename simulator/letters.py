"""Mails as people see them, and as their programs write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP, default
from email.utils import format_datetime, make_msgid
from html import escape

from simulator.attachments import Attachment
from simulator.markup import harmless
from simulator.records import Json, new_sid, now

DOMAIN = "mail.example"
"""Where everybody in this world has an address."""


@dataclass
class Letter:
    """One mail; ``mine`` if the person wrote it. ``reply_to`` is where an answer goes.

    ``html`` is made harmless; ``quote`` is what her program put below her words; ``files`` are named by sid, name, content type and size.
    """

    mine: bool
    subject: str
    text: str
    name: str
    reply_to: str = ""
    sender: str = ""
    html: str = ""
    quote: str = ""
    files: list[Json] = field(default_factory=list)
    at: datetime = field(default_factory=now)

    def dump(self) -> Json:
        """The mail for the page, the inspection API and the state file."""
        return asdict(self)


def restored(row: Json) -> Letter:
    """What was dumped."""
    return Letter(**row | {"at": datetime.fromisoformat(row["at"])})


@dataclass(frozen=True)
class Draft:
    """What a person wants to send. ``html``: her program writes HTML and nothing else."""

    text: str
    subject: str = ""
    html: bool = False
    files: Sequence[tuple[str, str, bytes]] = ()


def write(draft: Draft, sender: str, hotline: str, asked: Letter | None) -> tuple[EmailMessage, str]:
    """A mail as mail programs write it, and the quote that stands below if it answers ``asked``."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = asked.reply_to if asked else hotline
    mail["Date"] = format_datetime(now())
    mail["Message-ID"] = make_msgid(domain=DOMAIN)
    quote, about, quoted = "", "", ""
    if asked:
        mail["Subject"] = f"Re: {asked.subject.removeprefix('Re: ')}"
        mail["In-Reply-To"] = mail["References"] = asked.name
        about = f"On {asked.at:%a, %d %b %Y at %H:%M}, {hotline} wrote:"
        quoted = "\n".join(f"> {line}".rstrip() for line in asked.text.splitlines())
        quote = f"{about}\n\n{quoted}\n"
    elif draft.subject:
        mail["Subject"] = draft.subject
    if draft.html:
        mail.set_content(_as_html(draft.text, about, asked.text if asked else ""), subtype="html")
    else:
        mail.set_content(f"{draft.text}\n\n{quote}" if quote else draft.text)
    for name, content_type, data in draft.files:
        main, _, sub = content_type.partition("/")
        mail.add_attachment(data, maintype=main, subtype=sub or "octet-stream", filename=name or None)
    return mail, quote


def _as_html(text: str, about: str, quoted: str) -> str:
    words = escape(text).replace("\n", "<br>\n")
    if not about:
        return f'<div dir="auto">{words}</div>\n'
    below = escape(quoted).replace("\n", "<br>\n")
    return (
        f'<div dir="auto">{words}</div><br>\n<div class="gmail_quote"><div class="gmail_attr">{escape(about)}</div>\n'
        f'<blockquote class="gmail_quote">{below}</blockquote></div>\n'
    )


def read(content: bytes, sender: str) -> tuple[Letter, list[Attachment]]:
    """A mail that came, with its files. ``sender`` is the one on the envelope."""
    mail = BytesParser(policy=default).parsebytes(content)
    letter = Letter(
        mine=False,
        subject=str(mail["Subject"] or ""),
        text=_body(mail, "plain"),
        html=harmless(_body(mail, "html")),
        name=str(mail["Message-ID"] or ""),
        reply_to=str(mail["Reply-To"] or mail["From"] or ""),
        sender=sender,
    )
    parts = mail.iter_attachments() if isinstance(mail, EmailMessage) and mail.is_multipart() else ()
    files = [
        Attachment(
            new_sid("ML"),
            letter.name,
            part.get_filename() or "",
            part.get_content_type(),
            bytes(part.get_payload(decode=True) or b""),
        )
        for part in parts
    ]
    letter.files = [each.to_json() for each in files]
    return letter, files


def _body(mail: object, kind: str) -> str:
    part = mail.get_body((kind,)) if isinstance(mail, EmailMessage) else None
    try:
        return str(part.get_content()).replace("\r\n", "\n").strip("\n") if part else ""
    except (LookupError, UnicodeError):
        return "(a mail that this program cannot show)"


def report(letter: Letter, recipient: str, status: str, action: str) -> bytes:
    """A delivery report about a mail (RFC 3464)."""
    text = (
        f"From: Mail Delivery System <MAILER-DAEMON@{DOMAIN}>\nTo: {letter.sender}\nSubject: Undelivered\n"
        f"Date: {format_datetime(now())}\nMessage-ID: {make_msgid(domain=DOMAIN)}\n"
        "Auto-Submitted: auto-replied\nMIME-Version: 1.0\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n'
        "--b\nContent-Type: text/plain\n\nThe mail did not arrive.\n"
        f"--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; {DOMAIN}\n\n"
        f"Final-Recipient: rfc822; {recipient}\nAction: {action}\nStatus: {status}\n\n"
        f"--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: {letter.name}\n\n--b--\n"
    )
    return text.replace("\n", "\r\n").encode()


def address_of(number: str) -> str:
    """The mail address of the owner of a handset."""
    return f"{number.removeprefix('+')}@{DOMAIN}"


def number_of(address: str) -> str:
    """The handset of a mail address; the address itself if it belongs to none."""
    local, _, domain = address.partition("@")
    return f"+{local}" if domain == DOMAIN and local.isdecimal() else address
