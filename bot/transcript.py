"""Rows of the transcript: what was said both ways, sealed, and the documents that answered a call's turns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, exists, select

from bot.ids import new_id
from bot.messages import (
    Button,
    Channel,
    HangUp,
    Inbound,
    Input,
    Keys,
    Media,
    Recording,
    Silence,
    Text,
    Timeout,
)
from bot.privacy.seal import Sealer
from bot.storage.tables import Message, table

_message = table(Message)

MASK = "••••"
"""What is kept of an entry that was a pass-word."""
IS_KNOWN: Final = exists().where(
    _message.c.channel == bindparam("channel"), _message.c.event_id == bindparam("event_id")
)
"""Whether the event ``event_id`` of ``channel`` was taken already."""


@dataclass(frozen=True, slots=True)
class Thread:
    """Where something was said."""

    conversation_id: str
    address_id: str | None
    channel: str


def message_row(
    sealer: Sealer, thread: Thread, direction: str, body: str, now: datetime
) -> dict[str, object]:
    """The row of one thing said, ``in`` or ``out``."""
    row_id = new_id()
    return {
        "id": row_id,
        "conversation_id": thread.conversation_id,
        "address_id": thread.address_id,
        "channel": thread.channel,
        "direction": direction,
        "event_id": None,
        "body_sealed": sealer.seal_text(f"message.body_sealed:{row_id}", body),
        "options_sealed": None,
        "reply_sealed": None,
        "status_rank": -1,
        "created_at": now,
    }


def body_of(given: Input) -> str:
    """What the transcript shows of an input. Speech is beside it as a recording."""
    match given:
        case Text(text):
            return text
        case Keys(digits):
            return digits
        case Button(code):
            return code
        case Media(items, caption):
            return "\n".join(
                [caption, *(f"[{item.content_type or 'file'}] {item.ref}" for item in items)]
            ).strip()
        case Recording() | Silence() | HangUp() | Timeout():
            return ""


def is_duplicate(connection: Connection, inbound: Inbound) -> bool:
    """Whether this very event was taken already."""
    event = {"channel": inbound.channel, "event_id": inbound.event_id}
    return bool(connection.execute(select(IS_KNOWN), event).scalar_one())


def document(connection: Connection, sealer: Sealer, channel: Channel, event_id: str) -> str | None:
    """The stored document of a turn that was answered before."""
    row = connection.execute(
        select(_message.c.id, _message.c.reply_sealed).where(
            _message.c.channel == channel, _message.c.event_id == event_id
        )
    ).one_or_none()
    if row is None or row.reply_sealed is None:
        return None
    return sealer.open_text(f"message.reply_sealed:{row.id}", row.reply_sealed)
