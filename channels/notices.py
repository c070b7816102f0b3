"""Notices to staff by e-mail: that there is something to read, and where to sign in. Nothing else.

Whoever reads over a shoulder or breaks into a mailbox learns that a case exists, not whose, not what.
"""

from __future__ import annotations

from contextlib import suppress
from email.message import EmailMessage
from email.utils import make_msgid, parseaddr

from bot import letters
from bot.alerts import TEMPLATE
from bot.errors import SendError
from bot.service import Service
from bot.settings import Settings
from channels.smtp import hand_over

_SUBJECT = "Voiceback: something is waiting for you"
_URGENT_SUBJECT = "Voiceback: please look now"
_URGENT = ("critical_case", TEMPLATE)
_BODY = """\
There is something for you to read in Voiceback.

Please sign in: {address}

This message says no more on purpose. Do not answer it.
"""


def tell_administrators(service: Service) -> None:
    """Tell them at once, past the outbox, because its clock does not beat. Who cannot be told now is not told."""
    if not service.settings.smtp_url.get_secret_value():
        return
    with service.database.read() as connection:
        emails = letters.emails_of(connection, service.sealer, "admin")
    for email in emails:
        with suppress(SendError):
            send(service.settings, email, TEMPLATE)


def send(settings: Settings, to: str, template: str) -> None:
    """Send one notice. Raises :class:`bot.errors.SendError`; messages of it hold no address."""
    message = EmailMessage()
    message["From"] = settings.email_from
    message["To"] = to
    message["Subject"] = _URGENT_SUBJECT if template in _URGENT else _SUBJECT
    sender = parseaddr(settings.email_from)[1]
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2] or None)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_BODY.format(address=settings.console_url))
    hand_over(settings, message, sender, to)
