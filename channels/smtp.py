"""Handing a mail to the server that sends for us: the one way in which mail leaves, letters and notices alike."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from bot.errors import SendError, SendOutcome
from bot.settings import Settings
from channels.certificates import trusted

TIMEOUT_SECONDS = 15
AWAY_SECONDS = 15.0
"""How long the server is left alone when it cannot be reached, or closes (RFC 5321, 3.8: 421)."""
_REFUSED_SENDER = frozenset({454, 504, 530, 534, 535, 538})
"""Replies about our sign-in (RFC 4954, section 6): the operator has to mend it."""


def hand_over(settings: Settings, message: EmailMessage, sender: str, recipient: str) -> None:
    """Send ``message`` from the envelope sender ``sender`` to one address.

    Raises :class:`bot.errors.SendError`, which holds the server's code and nothing of the mail. What fails
    before the mail is handed over was surely not taken; what breaks off after that may have been.
    """
    with connected(settings) as server:
        try:
            server.send_message(message, from_addr=sender, to_addrs=[recipient])
        except smtplib.SMTPRecipientsRefused as error:
            code, words = next(iter(error.recipients.values()))
            raise _failure(code, words) from None
        except smtplib.SMTPResponseException as error:
            raise _failure(error.smtp_code, error.smtp_error) from None
        except (smtplib.SMTPNotSupportedError, UnicodeError, ValueError) as error:
            # An address in letters that the server cannot carry (RFC 6531).
            raise SendError(SendOutcome.PERMANENT, type(error).__name__[:16], action="bad_number") from None
        except (OSError, smtplib.SMTPException) as error:
            wait = AWAY_SECONDS if isinstance(error, TimeoutError) else 0.0
            raise SendError(SendOutcome.AMBIGUOUS, type(error).__name__[:16], wait=wait) from None


@contextmanager
def connected(settings: Settings) -> Iterator[smtplib.SMTP]:
    """A signed-in connection to ``SMTP_URL``. Raises :class:`bot.errors.SendError` if there is none."""
    server = _open(settings)
    try:
        yield server
    finally:
        with suppress(OSError, smtplib.SMTPException):
            server.quit()


def _open(settings: Settings) -> smtplib.SMTP:
    url = urlsplit(settings.smtp_url.get_secret_value())
    if not url.hostname:
        raise SendError(SendOutcome.PERMANENT, "smtp_off", action="operator")
    try:
        if url.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                url.hostname, url.port or 465, timeout=TIMEOUT_SECONDS, context=trusted()
            )
        else:
            default = 587 if url.scheme == "smtp+starttls" else 25
            server = smtplib.SMTP(url.hostname, url.port or default, timeout=TIMEOUT_SECONDS)
    except (OSError, smtplib.SMTPException) as error:
        raise _unreachable(error) from None
    try:
        if url.scheme == "smtp+starttls":
            server.starttls(context=trusted())
        if url.username:
            server.login(unquote(url.username), unquote(url.password or ""))
    except (OSError, smtplib.SMTPException) as error:
        server.close()
        raise _unreachable(error) from None
    return server


def _unreachable(error: Exception) -> SendError:
    """No connection, no sign-in: surely nothing was sent."""
    if isinstance(error, smtplib.SMTPResponseException) and 500 <= error.smtp_code < 600:
        return SendError(SendOutcome.PERMANENT, str(error.smtp_code), action="operator")
    return SendError(SendOutcome.RETRYABLE, type(error).__name__[:16], wait=AWAY_SECONDS)


def _failure(code: int, words: bytes | str) -> SendError:
    """What a refusal means, by the reply code and, where there is one, the enhanced status (RFC 3463)."""
    text = words.decode("ascii", "replace") if isinstance(words, bytes) else words
    status = text.split(maxsplit=1)[0] if text[:1] in "245" and text[1:2] == "." else ""
    if not 500 <= code < 600:
        wait = AWAY_SECONDS if code == 421 else 0.0
        return SendError(SendOutcome.RETRYABLE, status or str(code), wait=wait)
    if code in _REFUSED_SENDER:
        return SendError(SendOutcome.PERMANENT, str(code), action="operator")
    return SendError(SendOutcome.PERMANENT, (status or str(code))[:16], action=action_for(status or "5.1.1"))


def action_for(status: str) -> str:
    """What a permanent enhanced status asks of us: ``bad_number``, ``later``, ``operator`` or nothing."""
    kind, _, rest = status.partition(".")
    if kind == "4" or status == "5.2.2":
        return "later"  # tried for days, or the box is full
    if rest.startswith("1.") or rest in ("2.1", "4.1", "4.4"):
        return "bad_number"
    return "operator" if rest.startswith("7.") else ""
