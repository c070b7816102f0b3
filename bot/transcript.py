"""Rows of the transcript: what was said both ways, sealed, and the documents that answered a call's turns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, exists, insert, select

from bot import filetypes, media
from bot.ids import new_id
from bot.messages import (
    Brought,
    Button,
    Channel,
    HangUp,
    Inbound,
    Input,
    Keys,
    Media,
    Part,
    Recording,
    Silence,
    Text,
    Timeout,
    Transferred,
)
from bot.outbox import REMINDER
from bot.privacy.seal import Sealer
from bot.storage.tables import Attachment, Message, Outbox, table
from bot.storage.types import AnyRow

_message = table(Message)
_attachment = table(Attachment)
_outbox = table(Outbox)

_MOST_AT_ONCE: Final = 500

MASK = "••••"
"""What is kept of an entry that was a pass-word."""
IS_KNOWN: Final = exists().where(
    _message.c.channel == bindparam("channel"), _message.c.event_id == bindparam("event_id")
)
"""Whether the event ``event_id`` of ``channel`` was taken already."""
_IS_IT: Final = select(IS_KNOWN)
_REPLY: Final = select(_message.c.id.label("message_id"), _message.c.reply_sealed).where(
    _message.c.channel == bindparam("channel"), _message.c.event_id == bindparam("event_id")
)


def known(connection: Connection, channel: Channel, event_ids: Sequence[str]) -> set[str]:
    """Those of the events that were taken already."""
    found: set[str] = set()
    for start in range(0, len(event_ids), _MOST_AT_ONCE):
        some = event_ids[start : start + _MOST_AT_ONCE]
        query = select(_message.c.event_id).where(
            _message.c.channel == channel, _message.c.event_id.in_(some)
        )
        found.update(connection.execute(query).scalars())
    return found


def is_overtaken(connection: Connection, conversation_id: str, written_at: datetime) -> bool:
    """Whether we asked or said something, other than the same question again, after a message was written."""
    later = (
        select(_message.c.id)
        .outerjoin(_outbox, _outbox.c.message_id == _message.c.id)
        .where(
            _message.c.conversation_id == conversation_id,
            _message.c.direction == "out",
            _message.c.created_at > written_at,
            _outbox.c.template.is_distinct_from(REMINDER),
        )
    )
    return connection.execute(later.limit(1)).first() is not None


@dataclass(frozen=True, slots=True)
class Thread:
    """Where something was said."""

    conversation_id: str | None
    """None for what belongs to no conversation."""
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
        "origin_sealed": None,
        "status_rank": -1,
        "forget_at": None,
        "created_at": now,
    }


def heard_row(
    sealer: Sealer, thread: Thread, inbound: Inbound, now: datetime, *, masked: bool = False
) -> dict[str, object]:
    """The row of what a worker said. ``masked`` hides it, where it was a pass-word."""
    row = message_row(sealer, thread, "in", MASK if masked else told(inbound), now)
    row["event_id"] = inbound.event_id
    row["forget_at"] = inbound.forget_at
    if inbound.origin:
        row["origin_sealed"] = sealer.seal_text(f"message.origin_sealed:{row['id']}", inbound.origin)
    return row


def keep_parts(
    connection: Connection,
    sealer: Sealer,
    message_id: object,
    inbound: Inbound,
    now: datetime,
    *,
    masked: bool = False,
) -> None:
    """Keep what came with a message, sealed; what lies with the provider is to be fetched.

    The whole text of a mail with a pass-word in it is not kept.
    """
    parts = [part for part in inbound.parts if part.is_file or not masked]
    if parts:
        connection.execute(insert(_attachment), _attachment_rows(sealer, str(message_id), parts, now))
    elif isinstance(inbound.input, Media) and inbound.input.items and not inbound.parts:
        media.expect(connection, sealer, str(message_id), inbound.channel, inbound.input.items, now)


def _attachment_rows(
    sealer: Sealer, message_id: str, parts: Iterable[Part], now: datetime
) -> list[dict[str, object]]:
    rows = []
    for n, part in enumerate(parts, 1):
        kind = filetypes.told_by(part.content, part.content_type)
        brought = Brought(part.content, part.content_type, part.name)
        rows.append(media.attachment_row(sealer, message_id, n, brought, kind, now, is_file=part.is_file))
    return rows


def told(inbound: Inbound) -> str:
    """What the transcript shows of a message: its heading, its words, and the files that came with it."""
    words = "" if isinstance(inbound.input, Media) and inbound.parts else body_of(inbound.input)
    files = (f"[{part.content_type}] {n}" for n, part in enumerate(inbound.parts, 1) if part.is_file)
    return "\n".join(line for line in (inbound.subject, words, *files) if line)


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
                [caption, *(f"[{item.content_type or 'file'}] {n}" for n, item in enumerate(items, 1))]
            ).strip()
        case Transferred():
            return f"[person: {given.value}]"
        case Recording() | Silence() | HangUp() | Timeout():
            return ""


def is_duplicate(connection: Connection, inbound: Inbound) -> bool:
    """Whether this very event was taken already."""
    event = {"channel": inbound.channel, "event_id": inbound.event_id}
    return bool(connection.execute(_IS_IT, event).scalar_one())


def document(connection: Connection, sealer: Sealer, channel: Channel, event_id: str) -> str | None:
    """The stored document of a turn that was answered before."""
    row = connection.execute(_REPLY, {"channel": channel, "event_id": event_id}).one_or_none()
    return document_of(sealer, row) if row is not None else None


def document_of(sealer: Sealer, row: AnyRow) -> str | None:
    """The same of a row with ``message_id`` and ``reply_sealed``; both are None where nothing was answered yet."""
    if row.reply_sealed is None:
        return None
    return sealer.open_text(f"message.reply_sealed:{row.message_id}", row.reply_sealed)
