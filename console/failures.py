"""Why a text did not arrive, in words, by the code that the provider gave.

Sources: Twilio's pages on error codes; the enhanced status codes of mail (RFC 3463); our names for what
Telegram answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_OUT_OF_REACH: Final = "the phone was off or out of reach"
_NOBODY: Final = "there is nobody at this number or account"
_BLOCKED: Final = "the worker's provider lets nothing of ours through"
_FILTERED: Final = "the carrier filtered it out"
_SET_UP: Final = "our own set-up was refused; the operator was told"
_CODES: Final = (
    (_OUT_OF_REACH, "30003 30008 30036 30410 30500"),
    (_BLOCKED, "21610 30004 63014 forbidden"),
    (_NOBODY, "21211 21214 21217 13224 21614 21612 30005 30006 63003 63024"),
    (_NOBODY, "deactivated not_started chat_not_found chat_migrated SMTPRecipientsRefused"),
    (_FILTERED, "30007 30034"),
    ("the worker had not written for 24 hours", "63016"),
    ("WhatsApp holds messages to this worker back for a while", "63032 63049"),
    (_SET_UP, "20003 20404 21408 21606 21659 30002 21210 21215 21216 13227 21603 21655 21656"),
    (_SET_UP, "63005 63007 63015 63021 63027 63028 token no_template smtp_off"),
    ("it was too long", "21617"),
    ("too many messages at once", "20429 429 21611 30001 30022 63012 63018 flood"),
    ("the provider could not be reached", "unreachable connect_timeout network timed_out"),
)
_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {code: words for words, codes in _CODES for code in codes.split()}
)
_MAIL: Final = (
    ("5.2.2", "the mailbox is full"),
    ("5.1.", "there is nobody at this address"),
    ("5.4.", "there is nobody at this address"),
    ("5.2.1", "there is nobody at this address"),
    ("5.7.", "the mail server refused it"),
    ("4.", "the mailbox took nothing for days"),
)


def why(code: str | None) -> str:
    """The reason for a failure, in words; the code itself where it has none."""
    if not code:
        return "the reason is not known"
    mail = next((words for prefix, words in _MAIL if code.startswith(prefix)), None)
    return _WORDS.get(code) or mail or f"the provider's reason is {code}"
