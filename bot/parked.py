"""What the engine could not take: kept whole and sealed, told to the operator, tried again, taken exactly once."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import insert, select, update

from bot import contacts, incidents
from bot.errors import EngineError
from bot.ids import new_id
from bot.incidents import IncidentKind
from bot.messages import (
    Address,
    AddressKind,
    Attention,
    Button,
    Channel,
    Inbound,
    Input,
    Media,
    MediaRef,
    Part,
    Reveal,
    Signal,
    Text,
)
from bot.service import Service
from bot.storage.tables import AddressRow, Message, table
from bot.transcript import MASK, body_of, is_duplicate

_address = table(AddressRow)
_message = table(Message)

PARK_FOR = timedelta(minutes=1)


def park(service: Service, inbound: Inbound) -> bool:
    """Keep an inbound that the engine could not take, alert the operator, try it again later."""
    now = service.clock.now()
    with service.database.write() as connection:
        if is_duplicate(connection, inbound):
            return False
        known = (
            contacts.remember(connection, service.sealer, inbound.sender, now, inbound.country)
            if inbound.sender
            else None
        )
        row_id = new_id()
        seal = service.sealer.seal_text
        connection.execute(
            insert(_message).values(
                id=row_id,
                conversation_id=None,
                address_id=known.id if known else None,
                channel=inbound.channel,
                direction="in",
                event_id=inbound.event_id,
                body_sealed=seal(f"message.body_sealed:{row_id}", MASK),
                input_sealed=seal(f"message.input_sealed:{row_id}", _pack(inbound)),
                retry_at=now + PARK_FOR,
                status_rank=-1,
                created_at=now,
            )
        )
        incidents.report(connection, IncidentKind.PARKED, row_id, now)
    return True


def take_again(service: Service, message_id: str, take: Callable[[Inbound], object]) -> bool:
    """Give a parked inbound to ``take`` once more; False if the engine still cannot take it."""
    now = service.clock.now()
    with service.database.write() as connection:
        row = connection.execute(
            select(
                _message.c.input_sealed, _message.c.address_id, _message.c.retry_at, _message.c.channel
            ).where(_message.c.id == message_id)
        ).one_or_none()
        if row is None or row.input_sealed is None:
            return True
        packed = service.sealer.open_text(f"message.input_sealed:{message_id}", row.input_sealed)
        address = connection.execute(
            select(_address.c.kind, _address.c.sealed).where(_address.c.id == row.address_id)
        ).one_or_none()
        sender = (
            service.sealer.open_address(row.address_id, address.kind, address.sealed) if address else None
        )
        inbound = _unpack(packed, sender)
        # The parked row gives its event id back, so that the message can be taken as new.
        connection.execute(
            update(_message)
            .where(_message.c.id == message_id)
            .values(event_id=None, retry_at=now + 10 * PARK_FOR)
        )
    try:
        take(inbound)
    except EngineError:
        with service.database.write() as connection:
            connection.execute(
                update(_message)
                .where(_message.c.id == message_id)
                .values(event_id=inbound.event_id, retry_at=now + 10 * PARK_FOR)
            )
        return False
    with service.database.write() as connection:
        connection.execute(_message.delete().where(_message.c.id == message_id))
        incidents.resolve(connection, IncidentKind.PARKED, message_id, now)
    return True


def _pack(inbound: Inbound) -> str:
    given = inbound.input
    body: dict[str, object] = {"kind": type(given).__name__}
    match given:
        case Text(text):
            body["text"] = text
        case Button(code, sprint):
            body |= {"text": code, "sprint": sprint}
        case Media(items, caption):
            body |= {"text": caption, "items": [[item.ref, item.content_type] for item in items]}
        case _:
            body["text"] = body_of(given)
    return json.dumps(
        {
            "input": body,
            "channel": inbound.channel,
            "event_id": inbound.event_id,
            "line": inbound.line,
            "country": inbound.country,
            "language_hint": inbound.language_hint,
            "card": inbound.card,
            "signal": inbound.signal,
            "shared": inbound.shared.reveal(Reveal.SEAL) if inbound.shared else None,
            "tokens": inbound.tokens,
            "origin": inbound.origin,
            "subject": inbound.subject,
            "attention": inbound.attention,
            "parts": [_packed(part) for part in inbound.parts],
            "received_at": inbound.received_at.isoformat(),
            "forget_at": inbound.forget_at.isoformat() if inbound.forget_at else None,
        }
    )


def _packed(part: Part) -> list[object]:
    content = base64.b64encode(part.content).decode()
    return [part.content_type, content, part.name, part.is_file]


def _unpacked(kind: str, content: str, name: str, is_file: bool) -> Part:
    return Part(kind, base64.b64decode(content), name, is_file)


def _unpack(packed: str, sender: Address | None) -> Inbound:
    data = json.loads(packed)
    body = data["input"]
    given: Input
    match body["kind"]:
        case "Button":
            given = Button(body["text"], body["sprint"])
        case "Media":
            given = Media(tuple(MediaRef(ref, kind) for ref, kind in body["items"]), body["text"])
        case _:
            given = Text(body["text"])
    return Inbound(
        channel=Channel(data["channel"]),
        event_id=data["event_id"],
        sender=sender,
        line=data["line"],
        input=given,
        received_at=datetime.fromisoformat(data["received_at"]),
        country=data["country"],
        language_hint=data["language_hint"],
        card=data["card"],
        signal=Signal(data["signal"]) if data["signal"] else None,
        shared=Address(AddressKind.PHONE, data["shared"]) if data["shared"] else None,
        tokens=tuple(data["tokens"]),
        origin=data["origin"],
        subject=data["subject"],
        parts=tuple(_unpacked(*part) for part in data["parts"]),
        attention=Attention(data["attention"]),
        forget_at=datetime.fromisoformat(data["forget_at"]) if data["forget_at"] else None,
    )
