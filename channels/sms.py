"""SMS through Twilio's Programmable Messaging."""

from __future__ import annotations

from datetime import datetime

from twilio.rest.api.v2010.account.message import MessageInstance
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Request

from bot.clock import wall_time
from bot.messages import (
    Address,
    AddressKind,
    Capabilities,
    DeliveryStatus,
    Inbound,
    Media,
    MediaRef,
    Outbound,
    Prompt,
    Receipt,
    Rendered,
    Reveal,
    StatusUpdate,
    Text,
)
from bot.messages import Channel as Name
from bot.settings import Settings
from bot.steps import Place
from channels.base import written
from channels.twilio_api import RETRY_HINT, Signature, action_for, client_of, raise_failure

_MOST_MEDIA = 10
_SMS_LIMIT = 1600
"""Twilio refuses longer bodies with 21617."""


class SMS:
    """Texts in and out. The provider's message id makes duplicates visible."""

    capabilities = Capabilities(channel=Name.SMS, text_limit=_SMS_LIMIT, media_in=True)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._signature = Signature(settings)

    # --- in ------------------------------------------------------------------------------------

    def receive(self, request: Request) -> list[Inbound]:
        """One inbound message per webhook."""
        self._signature.check(request)
        form = request.form
        sid, sender, line = form.get("MessageSid"), form.get("From"), form.get("To")
        if not sid or not sender or not line:
            raise BadRequest("MessageSid, From and To are required")
        return [
            Inbound(
                channel=Name.SMS,
                event_id=sid[:128],
                sender=Address(AddressKind.PHONE, sender[:64]),
                line=line[:64],
                input=_input(request),
                received_at=wall_time(),
                country=_country(form.get("FromCountry")),
            )
        ]

    # --- out -----------------------------------------------------------------------------------

    def render(self, prompt: Prompt, place: Place) -> list[Rendered]:  # noqa: ARG002 - a text looks the same everywhere
        """A numbered list under the question, cut at Twilio's limit."""
        return written(prompt, _SMS_LIMIT)

    def send(self, outbound: Outbound, country: str | None) -> Receipt:
        """Ask Twilio to send. Twilio's status reports come to ``/channels/sms/status``."""
        try:
            message = client_of(self._settings).messages.create(
                to=outbound.to.reveal(Reveal.SEND),
                from_=self._line(country),
                body=outbound.text,
                status_callback=(
                    f"{self._settings.public_base_url}/channels/sms/status?m={outbound.message_id}{RETRY_HINT}"
                ),
            )
        except Exception as error:
            raise_failure(error)
        return _receipt(message)

    def find(self, outbound: Outbound, country: str | None, since: datetime) -> list[Receipt]:
        """The texts that went to this number since ``since`` with the same words."""
        try:
            sent = client_of(self._settings).messages.list(
                to=outbound.to.reveal(Reveal.RECONCILE),
                from_=self._line(country),
                date_sent_after=since,
                limit=50,
            )
        except Exception as error:
            raise_failure(error)
        return [_receipt(message) for message in sent if message.body == outbound.text]

    def _line(self, country: str | None) -> str:
        return self._settings.twilio_sms_from.for_country(country) or ""

    # --- reports -------------------------------------------------------------------------------

    def status(self, request: Request) -> StatusUpdate | None:
        """A delivery report; the message id is ours, from the address that we gave."""
        self._signature.check(request)
        status = _STATUSES.get(request.form.get("MessageStatus", ""))
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
        )


def _receipt(message: MessageInstance) -> Receipt:
    return Receipt(str(message.sid), _STATUSES.get(str(message.status), DeliveryStatus.QUEUED))


def _input(request: Request) -> Text | Media:
    body = request.form.get("Body", "")
    try:
        count = min(int(request.form.get("NumMedia", "0") or 0), _MOST_MEDIA)
    except ValueError:
        count = 0
    items = tuple(
        MediaRef(request.form.get(f"MediaUrl{n}", ""), request.form.get(f"MediaContentType{n}", "")[:64])
        for n in range(count)
    )
    return Media(items, body) if items else Text(body)


def _country(code: str | None) -> str | None:
    return code.upper() if code and len(code) == 2 and code.isalpha() else None


_STATUSES = {
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
