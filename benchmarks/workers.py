"""Many workers in the middle of an SMS conversation, without leading each of them there message by message.

One worker is led there through intake; the others get copies of that conversation, each with an address
of its own, and with the session sealed for its own row.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import insert, select

from benchmarks import texting
from benchmarks.databases import Ground
from benchmarks.serving import ROOT
from bot import contacts, intake
from bot.clock import wall_time
from bot.flow.session import Session
from bot.ids import new_id
from bot.messages import Address, AddressKind, Inbound, Text
from bot.messages import Channel as Name
from bot.privacy import keys
from bot.service import Service, open_service
from bot.settings import Settings
from bot.storage.tables import AddressRow, Conversation, table
from channels.sms import SMS

_address = table(AddressRow)
_conversation = table(Conversation)
_FIRST = 6281100000000


def settings_of(ground: Ground, flows: Path) -> dict[str, str]:
    """The settings of a server on ``ground``, as environment variables; makes its keys if there are none."""
    path = ground.folder / "keys.json"
    if not path.exists():
        keys.write(path, keys.generate())
    return {
        "DATABASE_URL": ground.url,
        "PUBLIC_BASE_URL": texting.PUBLIC,
        "VOICEBACK_KEYS": str(path),
        "VOICEBACK_FLOWS": str(flows),
        "VOICEBACK_LOCALES": str(ROOT / "locales"),
        "TWILIO_ACCOUNT_SID": texting.ACCOUNT,
        "TWILIO_AUTH_TOKEN": texting.TOKEN,
        "TWILIO_SMS_FROM": texting.LINE,
        "LOG_LEVEL": "WARNING",
    }


def service_of(settings: dict[str, str]) -> Service:
    """The heart, opened with the same settings as the server."""
    return open_service(Settings.model_validate({name.lower(): value for name, value in settings.items()}))


def number(place: int) -> str:
    """The made-up number of the worker at ``place``."""
    return f"+{_FIRST + place}"


def placed(service: Service, opening: Sequence[str], step: str, first: int, count: int) -> list[str]:
    """The numbers of ``count`` workers, from the one at ``first`` on, who have said ``opening``.

    Raises LookupError unless that led to ``step``: a changed flow must not change what is measured unseen.
    """
    numbers = [number(first + place) for place in range(count)]
    door = SMS(service.settings)
    for text in opening:
        intake.receive(service, door, _inbound(numbers[0], text))
    _copy(service, step, numbers[0], numbers[1:])
    return numbers


def _inbound(sender: str, text: str) -> Inbound:
    return Inbound(
        channel=Name.SMS,
        event_id=texting.sid(),
        sender=Address(AddressKind.PHONE, sender),
        line=texting.LINE,
        input=Text(text),
        received_at=wall_time(),
        country="ID",
    )


def _copy(service: Service, step: str, model: str, numbers: Sequence[str]) -> None:
    sealer, now = service.sealer, service.clock.now()
    with service.database.write() as connection:
        known = contacts.find(connection, sealer, Address(AddressKind.PHONE, model))
        if known is None:
            raise LookupError("the model conversation was not kept")
        row = connection.execute(
            select(_conversation).where(
                _conversation.c.address_id == known.id, _conversation.c.state == "open"
            )
        ).one()
        session = sealer.open_text(f"conversation.session_sealed:{row.id}", row.session_sealed)
        reached = Session.load(session.encode()).step
        if reached != step:
            raise LookupError(f"the conversation stands at {reached}, not at {step}")
        copies = []
        for each in numbers:
            row_id = new_id()
            person = contacts.remember(connection, sealer, Address(AddressKind.PHONE, each), now, "ID")
            sealed = sealer.seal_text(f"conversation.session_sealed:{row_id}", session)
            copies.append({**row._mapping, "id": row_id, "address_id": person.id, "session_sealed": sealed})
        if copies:
            connection.execute(insert(_conversation), copies)
