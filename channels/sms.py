"""SMS through Twilio's Programmable Messaging."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from twilio.rest.api.v2010.account.message import MessageInstance
from werkzeug.wrappers import Request

from bot.clock import wall_time
from bot.contacts import country_of as country_of_address
from bot.messages import (
    Address,
    AddressKind,
    Brought,
    Capabilities,
    Inbound,
    Media,
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
from channels.twilio_api import (
    RETRY_HINT,
    Signature,
    client_of,
    country_of,
    ids_in,
    media_in,
    media_of,
    messages_to,
    raise_failure,
    receipt_of,
    report_in,
    sent_at,
)
from channels.twilio_store import discard_media, fetch_media, forget_message

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
        sid, sender, line = ids_in(request)
        now = wall_time()
        return [
            Inbound(
                channel=Name.SMS,
                event_id=sid,
                sender=Address(AddressKind.PHONE, sender[:64]),
                line=line,
                input=_input(request),
                received_at=now,
                country=country_of(request.form.get("FromCountry")),
                forget_at=self._settings.forget_at(now),
            )
        ]

    def listed(
        self, since: datetime, until: datetime, known: Callable[[list[str]], set[str]]
    ) -> list[Inbound]:
        """The texts in Twilio's list that no webhook brought."""
        lines = self._settings.twilio_sms_from.numbers
        found = messages_to(self._settings, lines, since, until)
        old = known([str(message.sid) for message in found])
        return [self._listed(message) for message in found if str(message.sid) not in old]

    def _listed(self, message: MessageInstance) -> Inbound:
        sender = Address(AddressKind.PHONE, str(message.from_)[:64])
        files = media_of(self._settings, message)
        return Inbound(
            channel=Name.SMS,
            event_id=str(message.sid),
            sender=sender,
            line=str(message.to)[:64],
            input=Media(files, message.body or "") if files else Text(message.body or ""),
            received_at=sent_at(message),
            country=country_of_address(sender),
            forget_at=self._settings.forget_at(wall_time()),
        )

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
        return receipt_of(message, self._settings)

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
        return [receipt_of(message, self._settings) for message in sent if message.body == outbound.text]

    def _line(self, country: str | None) -> str:
        return self._settings.twilio_sms_from.for_country(country) or ""

    # --- reports -------------------------------------------------------------------------------

    def status(self, request: Request) -> StatusUpdate | None:
        """A delivery report; the message id is ours, from the address that we gave."""
        self._signature.check(request)
        return report_in(request, self._settings)

    # --- what Twilio keeps ---------------------------------------------------------------------

    def fetch(self, ref: str) -> Brought | None:
        """A file that came with a message; None if Twilio does not have it (yet). Raises :class:`SendError`."""
        return fetch_media(self._settings, ref)

    def discard(self, ref: str) -> None:
        """Delete a file at Twilio; one that is gone already is no error. Raises :class:`SendError`."""
        discard_media(self._settings, ref)

    def forget(self, provider_id: str) -> None:
        """Delete a message at Twilio; one that is gone already is no error. Raises :class:`SendError`."""
        forget_message(self._settings, provider_id)


def _input(request: Request) -> Text | Media:
    body, items = request.form.get("Body", ""), media_in(request)
    return Media(items, body) if items else Text(body)
