"""Notices to staff by e-mail: that there is something to read, and where to sign in. Nothing else.

Whoever reads over a shoulder or breaks into a mailbox learns that a case exists, not whose, not what.
"""

from __future__ import annotations

from email.message import EmailMessage
from email.utils import make_msgid, parseaddr

from bot.settings import Settings
from channels.smtp import hand_over

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
    sender = parseaddr(settings.email_from)[1]
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2] or None)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_BODY.format(address=settings.console_url))
    hand_over(settings, message, sender, to)
