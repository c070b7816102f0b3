"""What the channels share of Twilio: the client, the signature, files, deleting, and what its error codes mean.

Sources: Twilio's pages on webhook security and error codes, and the source of its SDK 9.13.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NoReturn

import requests
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import SIGNATURE_HEADER, RequestValidator, compare
from twilio.rest import Client
from twilio.rest.api.v2010.account.message import MessageInstance
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Request

from bot.clock import wall_time
from bot.errors import SendError, SendOutcome, UnverifiedRequest
from bot.messages import DeliveryStatus, MediaRef, Receipt, StatusUpdate
from bot.settings import Settings

FLOOD_SECONDS = 5.0
"""How long Twilio is left alone after "too many requests", for which it names no time."""
AWAY_SECONDS = 15.0
"""How long it is left alone when it cannot be reached, or does not answer in time."""
TIMEOUT_SECONDS = 10
"""The SDK's own default is to wait for ever."""
_MOST_MEDIA = 10
_PAGE = 1000
"""Messages that Twilio gives at once, at most."""
API = "https://api.twilio.com"
_SID = re.compile(r"[A-Za-z0-9]{4,64}")
RETRY_HINT = "#rc=3&rp=all"
"""Connection override: Twilio asks again, up to three times, when we answer 5xx or not at all."""

# The SDK logs addresses with query parameters, and those hold numbers.
logging.getLogger("twilio.http_client").setLevel(logging.WARNING)


@lru_cache(maxsize=4)
def client(account: str, token: str, base: str) -> Client:
    """A client with a time-out; ``base`` replaces the API's address if it is not empty."""
    made = Client(account, token, http_client=TwilioHttpClient(timeout=TIMEOUT_SECONDS))
    if base:
        made.api.base_url = base
        made.messaging.base_url = base
        made.content.base_url = base
    return made


def client_of(settings: Settings) -> Client:
    """The client for the account in the settings."""
    return client(
        settings.twilio_account_sid, settings.twilio_auth_token.get_secret_value(), settings.twilio_api_base
    )


STATUSES = {
    "accepted": DeliveryStatus.QUEUED,
    "scheduled": DeliveryStatus.QUEUED,
    "queued": DeliveryStatus.QUEUED,
    "sending": DeliveryStatus.SENDING,
    "sent": DeliveryStatus.SENT,
    "delivered": DeliveryStatus.DELIVERED,
    "undelivered": DeliveryStatus.UNDELIVERED,
    "failed": DeliveryStatus.FAILED,
    "canceled": DeliveryStatus.CANCELED,
    "read": DeliveryStatus.READ,
}
"""How far a message came, in Twilio's words and in ours."""


def receipt_of(message: MessageInstance, settings: Settings) -> Receipt:
    """Our receipt for a message that Twilio took."""
    status = STATUSES.get(str(message.status), DeliveryStatus.QUEUED)
    return Receipt(str(message.sid), status, settings.forget_at(wall_time()))


def country_of(code: str | None) -> str | None:
    """A country that Twilio names, if it is one: an ISO 3166 code of two letters."""
    return code.upper() if code and len(code) == 2 and code.isalpha() else None


def ids_in(request: Request) -> tuple[str, str, str]:
    """The id, the sender and our own number of an incoming message. Raises ``BadRequest`` unless they can be kept.

    Who hides a number on WhatsApp may have no other name than ``ExternalUserId``.
    """
    form = request.form
    sid, line = form.get("MessageSid", ""), form.get("To", "")
    sender = form.get("From") or form.get("ExternalUserId", "")
    if not _SID.fullmatch(sid) or not all(each and each.isprintable() for each in (sender, line)):
        raise BadRequest("MessageSid, From and To are required")
    return sid, sender[:160], line[:64]


def media_in(request: Request) -> tuple[MediaRef, ...]:
    """The files that came with an incoming message."""
    try:
        count = min(int(request.form.get("NumMedia", "0") or 0), _MOST_MEDIA)
    except ValueError:
        count = 0
    return tuple(
        MediaRef(request.form.get(f"MediaUrl{n}", ""), request.form.get(f"MediaContentType{n}", "")[:64])
        for n in range(count)
    )


def messages_to(
    settings: Settings, lines: Sequence[str], since: datetime, until: datetime
) -> list[MessageInstance]:
    """What came in to our numbers between two instants (Twilio counts whole seconds), oldest first.

    Raises :class:`SendError`. Source: https://www.twilio.com/docs/messaging/api/message-resource, "read multiple".
    """
    found: list[MessageInstance] = []
    try:
        for line in lines:
            found += client_of(settings).messages.list(
                to=line, date_sent_after=since, date_sent_before=until, page_size=_PAGE
            )
    except Exception as error:
        raise_failure(error)
    # Twilio gives the newest first; sorting keeps the order of those of the same second.
    came = [each for each in reversed(found) if each.direction == "inbound" and _is_whole(each)]
    return sorted(came, key=sent_at)


def _is_whole(message: MessageInstance) -> bool:
    return bool(_SID.fullmatch(str(message.sid)) and message.from_ and message.to)


def sent_at(message: MessageInstance) -> datetime:
    """When Twilio took a message, in UTC."""
    at: datetime = message.date_sent or message.date_created
    return at.astimezone(UTC)


def media_of(settings: Settings, message: MessageInstance) -> tuple[MediaRef, ...]:
    """The files that came with a message of Twilio's list, named as webhooks name them. Raises :class:`SendError`."""
    if not int(message.num_media or 0):
        return ()
    base = settings.twilio_api_base or API
    try:
        files = message.media.list(limit=_MOST_MEDIA)
    except Exception as error:
        raise_failure(error)
    return tuple(
        MediaRef(f"{base}{str(file.uri).removesuffix('.json')}", str(file.content_type)[:64])
        for file in reversed(files)
    )


def report_in(request: Request, settings: Settings) -> StatusUpdate | None:
    """The delivery report in a verified request; our message id is from the address that we gave."""
    status = STATUSES.get(request.form.get("MessageStatus", ""))
    message_id = request.args.get("m", "")
    code = request.form.get("ErrorCode", "")[:16]
    if status is None or not message_id:
        return None
    return StatusUpdate(
        message_id=message_id[:32],
        provider_id=request.form.get("MessageSid", "")[:64],
        status=status,
        code=code or None,
        action=action_for(code),
        forget_at=settings.forget_at(wall_time()),
    )


class Signature:
    """Checks that a request was signed by Twilio with our auth token, for the address that Twilio called."""

    def __init__(self, settings: Settings) -> None:
        self._validator = RequestValidator(settings.twilio_auth_token.get_secret_value())
        self._base = settings.public_base_url

    def check(self, request: Request) -> None:
        """Raise :class:`UnverifiedRequest` unless the signature fits.

        The address is the public one plus the raw query string; our paths are plain ASCII.
        """
        query = request.environ.get("QUERY_STRING", "")
        url = f"{self._base}{request.path}{'?' + query if query else ''}"
        given = request.headers.get(SIGNATURE_HEADER, "")
        params = request.form if request.method == "POST" else {}
        if not given.isascii() or not self._fits(url, params, given):
            raise UnverifiedRequest("the signature is missing or wrong")

    def _fits(self, url: str, params: Mapping[str, str], given: str) -> bool:
        # The SDK's own check computes the signature twice, with and without a port; the address as it is
        # fits nearly always.
        return compare(self._validator.compute_signature(url, params), given) or bool(
            self._validator.validate(url, params, given)
        )


def failure(error: Exception) -> SendError:
    """What a failed request to Twilio means for us: retry, ask first, or never again."""
    if isinstance(error, TwilioRestException):
        return _of_code(error.status, str(error.code or error.status))
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return SendError(SendOutcome.RETRYABLE, "connect_timeout", wait=AWAY_SECONDS)
    if isinstance(error, requests.exceptions.ConnectionError) and _refused(error):
        return SendError(SendOutcome.RETRYABLE, "unreachable", wait=AWAY_SECONDS)
    if isinstance(error, (requests.exceptions.RequestException, TwilioException, ValueError)):
        wait = AWAY_SECONDS if isinstance(error, requests.exceptions.Timeout) else 0.0
        return SendError(SendOutcome.AMBIGUOUS, type(error).__name__, wait=wait)
    raise error


def raise_failure(error: Exception) -> NoReturn:
    """Raise :func:`failure`'s error without the original, whose text holds numbers."""
    raise failure(error) from None


def _refused(error: requests.exceptions.ConnectionError) -> bool:
    """Whether the connection was never made, so that nothing can have been taken."""
    return "NewConnectionError" in repr(error) or "NameResolutionError" in repr(error)


_FLOOD = frozenset({"20429", "429", "63018"})
"""Too many requests: of the account, or of the sender on WhatsApp. It is not about the message."""
_RETRYABLE = frozenset({"20429", "429", "30001", "21611", "30022", "10004", "14107", "63012", "63018"})
_OPERATOR = frozenset(
    {"20003", "20404", "21408", "21606", "21659", "30002", "21210", "21215", "21216", "13227", "21603"}
    | {"21655", "21656", "63005", "63007", "63015", "63021", "63027", "63028"}
)
_BLOCKED = frozenset({"21610", "30004", "63014"})
_BAD_NUMBER = frozenset(
    {"21211", "21214", "21217", "13224", "21614", "21612", "30005", "30006", "63003", "63024"}
)
_NOT_SOON = frozenset({"63032", "63049"})
"""Meta holds messages to this person back for a while; to ask again at once would make it longer."""
_WINDOW = "63016"


def _of_code(status: int, code: str) -> SendError:
    if status == 429 or code in _FLOOD:
        return SendError(SendOutcome.RETRYABLE, code, wait=FLOOD_SECONDS)
    if code in _RETRYABLE:
        return SendError(SendOutcome.RETRYABLE, code)
    if status >= 500 or code == "20500":
        return SendError(SendOutcome.AMBIGUOUS, code)
    return SendError(SendOutcome.PERMANENT, code, action=action_for(code))


def action_for(code: str) -> str:
    """What an error code asks of us, as :class:`bot.messages.StatusUpdate` lists it; nothing for an unknown one.

    A code that is worth a retry at once asks for ``soon`` when it comes in a delivery report.
    """
    if code in _OPERATOR:
        return "operator"
    if code in _BLOCKED:
        return "blocked"
    if code in _BAD_NUMBER:
        return "bad_number"
    if code in _RETRYABLE:
        return "soon"
    if code in _NOT_SOON:
        return "tomorrow"
    if code == _WINDOW:
        return "window"
    return "later" if code in _SOFT else ""


_SOFT = frozenset({"30003", "30008", "30036", "30410", "30500"})
