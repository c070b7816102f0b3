"""Text messages as Twilio delivers them: a form of 19 fields, signed, as the bytes of one HTTP request.

Source of the signature: Twilio's page on webhook security (HMAC-SHA1 over the address and the sorted fields).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from urllib.parse import urlencode

ACCOUNT = "AC" + "0" * 32
TOKEN = secrets.token_hex(16)
"""Made anew for every run, because nothing outside the run needs it."""
PUBLIC = "https://hotline.example"
LINE = "+15005550006"
PATH = "/channels/sms"


@dataclass(frozen=True, slots=True)
class Words:
    """One text of one worker. ``sid`` is the provider's id of it."""

    sid: str
    sender: str = field(repr=False)
    body: str = field(repr=False)


def sid() -> str:
    """A new message id of the provider's form."""
    return "SM" + secrets.token_hex(16)


def post(words: Words, path: str = PATH) -> bytes:
    """The whole request that brings ``words``, signed for the public address of :data:`PATH`."""
    form = _form(words)
    signed = PUBLIC + PATH + "".join(name + form[name] for name in sorted(form))
    digest = hmac.new(TOKEN.encode(), signed.encode(), hashlib.sha1).digest()
    body = urlencode(form).encode()
    head = (
        f"POST {path} HTTP/1.1\r\n"
        "Host: hotline.example\r\n"
        "User-Agent: TwilioProxy/1.1\r\n"
        "Accept: */*\r\n"
        "Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n"
        f"X-Twilio-Signature: {base64.b64encode(digest).decode()}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _form(words: Words) -> dict[str, str]:
    return {
        "ToCountry": "US",
        "ToState": "",
        "SmsMessageSid": words.sid,
        "NumMedia": "0",
        "ToCity": "",
        "FromZip": "",
        "SmsSid": words.sid,
        "FromState": "",
        "SmsStatus": "received",
        "FromCity": "",
        "Body": words.body,
        "FromCountry": "ID",
        "To": LINE,
        "ToZip": "",
        "NumSegments": "1",
        "MessageSid": words.sid,
        "AccountSid": ACCOUNT,
        "From": words.sender,
        "ApiVersion": "2010-04-01",
    }
