"""WhatsApp through Twilio: questions as buttons or lists, and nothing but a neutral notice to who has been silent.

Free text may be sent for 24 hours after the worker's last message. Later than that a text waits
(``bot.waiting``), and a notice that WhatsApp approved asks her to write. Typing signs and read marks are
never sent: they would show on her screen.

Sources: https://www.twilio.com/docs/whatsapp/key-concepts, …/whatsapp/api, …/content, …/api/errors/63016.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from twilio.base.exceptions import TwilioRestException
from twilio.rest.api.v2010.account.message import MessageInstance
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Request

from bot.clock import wall_time
from bot.contacts import country_of
from bot.errors import SendError, SendOutcome
from bot.messages import (
    Address,
    AddressKind,
    Brought,
    Button,
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
from channels.base import cut, numbered, written
from channels.contents import MOST_BUTTONS, MOST_ITEMS, Contents, types_of, variables
from channels.twilio_api import (
    RETRY_HINT,
    Signature,
    client_of,
    failure,
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

WINDOW = timedelta(hours=24)
"""How long free text may be sent after the worker's last message."""
OUTSIDE_WINDOW = "63016"
"""Twilio's code for a text that came too late. It mostly comes in a delivery report."""
_CONTENT_UNKNOWN = "21655"
_LIMIT = 1600
"""Twilio refuses longer bodies with 21617."""
_PREFIX = "whatsapp:"
_NUMBER = re.compile(r"\+[1-9]\d{5,14}")
_ACCOUNT = re.compile(r"[A-Za-z0-9._-]{3,128}")
_PAYLOAD = re.compile(r"([A-Za-z0-9_.-]{1,64}):([0-9a-f]{32})")


class WhatsApp:
    """Messages in and out. The provider's message id makes duplicates visible."""

    capabilities = Capabilities(
        channel=Name.WHATSAPP,
        text_limit=_LIMIT,
        buttons=MOST_BUTTONS,
        list_items=MOST_ITEMS,
        media_in=True,
        window=True,
    )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._signature = Signature(settings)
        self._contents = Contents(settings)

    # --- in ------------------------------------------------------------------------------------

    def receive(self, request: Request) -> list[Inbound]:
        """One inbound message per webhook: words, a tap, files, or a place."""
        self._signature.check(request)
        sid, sender, line = ids_in(request)
        names = _names(sender, request.form.get("ExternalUserId", ""))
        if not line.startswith(_PREFIX) or not names:
            raise BadRequest("From and To must be whatsapp: addresses")
        now = wall_time()
        return [
            Inbound(
                channel=Name.WHATSAPP,
                event_id=sid,
                sender=names[0],
                line=line.removeprefix(_PREFIX),
                input=_input(request),
                received_at=now,
                country=country_of(names[0]),
                forget_at=self._settings.forget_at(now),
                also=names[1] if len(names) > 1 else None,
            )
        ]

    def listed(
        self, since: datetime, until: datetime, known: Callable[[list[str]], set[str]]
    ) -> list[Inbound]:
        """The messages in Twilio's list that no webhook brought. Of a tap the list has the label only."""
        lines = [_PREFIX + number for number in self._settings.twilio_whatsapp_from.numbers]
        found = messages_to(self._settings, lines, since, until)
        old = known([str(message.sid) for message in found])
        fresh = (self._listed(message) for message in found if str(message.sid) not in old)
        return [each for each in fresh if each is not None]

    def _listed(self, message: MessageInstance) -> Inbound | None:
        names = _names(str(message.from_)[:160], "")
        if not names:
            return None
        files = media_of(self._settings, message)
        return Inbound(
            channel=Name.WHATSAPP,
            event_id=str(message.sid),
            sender=names[0],
            line=str(message.to).removeprefix(_PREFIX)[:64],
            input=Media(files, message.body or "") if files else Text(message.body or ""),
            received_at=sent_at(message),
            country=country_of(names[0]),
            forget_at=self._settings.forget_at(wall_time()),
        )

    # --- out -----------------------------------------------------------------------------------

    def render(self, prompt: Prompt, place: Place) -> list[Rendered]:  # noqa: ARG002 - the same at every place
        """A question that fits is shown with its options to tap, after what is said before it; else it is numbered.

        Statements go apart, so that a resource at Twilio holds a question and nothing else.
        """
        statements, question = list(prompt.texts[:-1]), prompt.texts[-1] if prompt.texts else ""
        if types_of(question, prompt.options) is None or len(_numbered(question, prompt)) > _LIMIT:
            return written(prompt, _LIMIT)
        return [*(Rendered(text) for text in cut(statements, _LIMIT)), Rendered(question, prompt.options)]

    def send(self, outbound: Outbound, country: str | None) -> Receipt:
        """Ask Twilio to send; its status reports come to ``/channels/whatsapp/status``.

        Raises :class:`SendError` with the action ``window`` for a text that must wait for the worker's next
        message, and ``operator`` where no notice is set that could ask for one.
        """
        if not outbound.notice and (outbound.silent_for is None or outbound.silent_for >= WINDOW):
            if not self._settings.twilio_whatsapp_templates:
                raise SendError(SendOutcome.PERMANENT, "no_template", action="operator")
            raise SendError(SendOutcome.PERMANENT, OUTSIDE_WINDOW, action="window")
        fields = self._fields(outbound)
        try:
            return self._create(outbound, country, fields)
        except TwilioRestException as error:
            if str(error.code) != _CONTENT_UNKNOWN or outbound.notice or "body" in fields:
                raise self._mended(failure(error)) from None
        except Exception as error:
            raise_failure(error)
        # Somebody deleted the resource at Twilio: it is made anew, once.
        self._contents.forget(types_of(outbound.text, outbound.options) or {}, outbound.language)
        try:
            return self._create(outbound, country, self._fields(outbound))
        except Exception as error:
            raise_failure(error)

    def _create(self, outbound: Outbound, country: str | None, fields: dict[str, str]) -> Receipt:
        base = self._settings.public_base_url
        message = client_of(self._settings).messages.create(
            to=_PREFIX + outbound.to.reveal(Reveal.SEND),
            from_=self._line(outbound, country),
            status_callback=f"{base}/channels/whatsapp/status?m={outbound.message_id}{RETRY_HINT}",
            **fields,
        )
        return receipt_of(message, self._settings)

    def _fields(self, outbound: Outbound) -> dict[str, str]:
        """What the message is made from: the notice, a question to tap, or words."""
        if outbound.notice:
            sid = self._settings.twilio_whatsapp_templates.for_language(outbound.language)
            if sid is None:
                raise SendError(SendOutcome.PERMANENT, "no_template", action="operator")
            return {"content_sid": sid}
        types = types_of(outbound.text, outbound.options)
        if types is not None and outbound.sprint is not None:
            sid = self._contents.sid(types, outbound.language)
            if sid is not None:
                return {"content_sid": sid, "content_variables": variables(outbound.sprint)}
        return {"body": "\n".join([outbound.text, *_lines(outbound)])}

    def _line(self, outbound: Outbound, country: str | None) -> str:
        """The number that the worker wrote to, because only that one may answer her; else the country's."""
        lines = self._settings.twilio_whatsapp_from
        line = outbound.line if outbound.line in lines else lines.for_country(country)
        return f"{_PREFIX}{line}" if line else ""

    def find(self, outbound: Outbound, country: str | None, since: datetime) -> list[Receipt]:
        """What went to this account since ``since`` with the same words, or as the same notice."""
        try:
            sent = client_of(self._settings).messages.list(
                to=_PREFIX + outbound.to.reveal(Reveal.RECONCILE),
                from_=self._line(outbound, country),
                date_sent_after=since,
                limit=50,
            )
            words = self._words(outbound)
        except SendError:
            raise
        except Exception as error:
            raise_failure(error)
        return [receipt_of(message, self._settings) for message in sent if _says(message, words)]

    def _words(self, outbound: Outbound) -> set[str]:
        if not outbound.notice:
            return {outbound.text, "\n".join([outbound.text, *_lines(outbound)])}
        return self._contents.bodies(self._fields(outbound)["content_sid"])

    # --- reports -------------------------------------------------------------------------------

    def status(self, request: Request) -> StatusUpdate | None:
        """A delivery report; the message id is ours, from the address that we gave."""
        self._signature.check(request)
        report = report_in(request, self._settings)
        if report is None or report.action != "window" or self._settings.twilio_whatsapp_templates:
            return report
        return replace(report, action="operator")

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

    def _mended(self, error: SendError) -> SendError:
        """The same error; where no notice could ask the worker to write, being too late is the operator's to mend."""
        if error.action == "window" and not self._settings.twilio_whatsapp_templates:
            return SendError(error.outcome, error.code, action="operator")
        return error


def _names(sender: str, account: str) -> list[Address]:
    """The names of the account that wrote, its number first, if it shows one.

    People who hide their number are known by an id of their account with us alone (``ID.4566…``).
    """
    given = [each.removeprefix(_PREFIX) for each in (sender, account) if each.startswith(_PREFIX)]
    numbers = [each for each in given if _NUMBER.fullmatch(each)]
    accounts = [each for each in given if not each.startswith("+") and _ACCOUNT.fullmatch(each)]
    # The id of the account has its own field; the sender's field repeats it where the number is hidden.
    return [Address(AddressKind.WHATSAPP, each) for each in dict.fromkeys([*numbers[:1], *accounts[-1:]])]


def _input(request: Request) -> Text | Media | Button:
    form = request.form
    payload = form.get("ButtonPayload") or form.get("ListId")
    if payload is not None and (ours := _PAYLOAD.fullmatch(payload)):
        return Button(ours[1], ours[2])
    # The button of an approved notice has another payload, or none: its label is what the worker says.
    body = form.get("Body", "") or form.get("ButtonText", "") or form.get("ListTitle", "")
    if form.get("Latitude") and form.get("Longitude"):
        body = _place(request, body)
    items = media_in(request)
    return Media(items, body) if items else Text(body)


def _place(request: Request, body: str) -> str:
    """A place that was shared, in words, so that it is kept like any answer."""
    form = request.form
    where = f"{form['Latitude'][:24]}, {form['Longitude'][:24]}"
    return "\n".join(filter(None, [body, form.get("Label", ""), form.get("Address", ""), where]))


def _numbered(question: str, prompt: Prompt) -> str:
    return "\n".join([question, *numbered(prompt)])


def _lines(outbound: Outbound) -> list[str]:
    return [f"{option.key} {option.label}" for option in outbound.options]


def _says(message: MessageInstance, words: set[str]) -> bool:
    return str(message.direction).startswith("outbound") and message.body in words
