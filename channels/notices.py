"""Notices to staff by e-mail: that there is something to read, and where to sign in. Nothing else.

Whoever reads over a shoulder or breaks into a mailbox learns that a case exists, not whose, not what.
"""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import make_msgid
from urllib.parse import unquote, urlsplit

from bot.errors import SendError, SendOutcome
from bot.settings import Settings

TIMEOUT_SECONDS = 15

_SUBJECT = "Voiceback: something is waiting for you"
_URGENT_SUBJECT = "Voiceback: please look now"
_BODY = """\
There is something for you to read in Voiceback.

Please sign in: {address}

This message says no more on purpose. Do not answer it.
"""


def send(settings: Settings, to: str, template: str) -> None:
    """Send one notice. Raises :class:`bot.errors.SendError`; messages of it hold no address."""
    message = EmailMessage()
    message["From"] = settings.email_from
    message["To"] = to
    message["Subject"] = _URGENT_SUBJECT if template == "critical_case" else _SUBJECT
    message["Message-ID"] = make_msgid(domain=settings.email_from.rpartition("@")[2].strip("> ") or None)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_BODY.format(address=f"{settings.public_base_url}/console/"))
    url = urlsplit(settings.smtp_url.get_secret_value())
    if not url.hostname:
        raise SendError(SendOutcome.PERMANENT, "smtp_off", action="operator")
    try:
        with _connect(url.scheme, url.hostname, url.port) as server:
            if url.username:
                server.login(unquote(url.username), unquote(url.password or ""))
            server.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        code = next(iter(error.recipients.values()))[0]
        raise SendError(_of(code), str(code)) from None
    except smtplib.SMTPResponseException as error:
        raise SendError(_of(error.smtp_code), str(error.smtp_code)) from None
    except (OSError, smtplib.SMTPException) as error:
        # A notice that comes twice does no harm; one that never comes might.
        raise SendError(SendOutcome.RETRYABLE, type(error).__name__) from None


def _connect(scheme: str, host: str, port: int | None) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if scheme == "smtps":
        return smtplib.SMTP_SSL(host, port or 465, timeout=TIMEOUT_SECONDS, context=context)
    server = smtplib.SMTP(host, port or 25, timeout=TIMEOUT_SECONDS)
    if scheme == "smtp+starttls":
        server.starttls(context=context)
    return server


def _of(code: int) -> SendOutcome:
    return SendOutcome.PERMANENT if 500 <= code < 600 else SendOutcome.RETRYABLE
