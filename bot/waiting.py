"""Texts that wait for the worker's next message, on channels that take free text only for some hours after one.

    a text is refused because the window is closed ──▶ ``waiting``, and one neutral notice asks the worker to write
    the worker writes ──▶ what still means something is queued again, oldest first; the rest is dropped

The notice is approved by the provider and tells nothing. However many texts wait, there is one notice, and
another one only when a text comes that finds the last notice unanswered for most of a day.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, insert, literal_column, select, update

from bot.ids import new_id
from bot.outbox import HELD, NOTICE, REMINDER, STOP_CONFIRMATION, queue_row
from bot.privacy.seal import Sealer
from bot.storage.tables import Conversation, Message, Outbox, table
from bot.storage.types import AnyRow

_outbox = table(Outbox)
_message = table(Message)
_conversation = table(Conversation)

ASK_AGAIN = timedelta(hours=20)
"""How long one notice has to do."""
NOTICE_BODY = "[notice]"
"""What a transcript shows of a notice; its words lie with the provider."""

# Written out, because a partial index is used only where the statement says the same as the index does.
_WAITS: ColumnElement[bool] = _outbox.c.state == literal_column("'waiting'")


def hold(connection: Connection, sealer: Sealer, outbox_id: str, now: datetime) -> bool:
    """Let a text wait, and ask the worker to write if nobody did lately.

    False, and nothing done, if it is the notice itself that was refused, or a text that has waited before: what
    goes wrong twice is not tried in a circle.
    """
    row = connection.execute(
        select(_outbox.c.template, _outbox.c.address_id, _outbox.c.channel, _message.c.conversation_id)
        .join(_message, _message.c.id == _outbox.c.message_id)
        .where(_outbox.c.id == outbox_id)
    ).one()
    if row.template in (HELD, NOTICE, STOP_CONFIRMATION):
        return False
    asked = _is_asked(connection, row.address_id, now)
    kept = REMINDER if row.template == REMINDER else HELD
    connection.execute(
        update(_outbox)
        .where(_outbox.c.id == outbox_id)
        .values(state="waiting", due_at=now, tries=0, template=kept)
    )
    if not asked:
        _ask(connection, sealer, row, now)
    return True


def _is_asked(connection: Connection, address_id: str, now: datetime) -> bool:
    """Whether a text began to wait lately, and with it a notice went out that may still be answered."""
    found = select(_outbox.c.id).where(
        _WAITS, _outbox.c.address_id == address_id, _outbox.c.due_at > now - ASK_AGAIN
    )
    return connection.execute(found.limit(1)).first() is not None


def _ask(connection: Connection, sealer: Sealer, row: AnyRow, now: datetime) -> None:
    message_id = new_id()
    connection.execute(
        insert(_message).values(
            id=message_id,
            conversation_id=row.conversation_id,
            address_id=row.address_id,
            channel=row.channel,
            direction="out",
            body_sealed=sealer.seal_text(f"message.body_sealed:{message_id}", NOTICE_BODY),
            status_rank=-1,
            created_at=now,
        )
    )
    connection.execute(
        insert(_outbox).values(queue_row(message_id, row.address_id, row.channel, now, template=NOTICE))
    )


def is_unseen(connection: Connection, address_id: str, conversation_id: str) -> bool:
    """Whether the question of the moment still waits: since the worker last wrote, nothing of it has gone out."""
    waits = select(_outbox.c.id).join(_message, _message.c.id == _outbox.c.message_id)
    waits = waits.where(
        _WAITS, _outbox.c.address_id == address_id, _message.c.conversation_id == conversation_id
    )
    if connection.execute(waits.limit(1)).first() is None:
        return False
    heard_at = select(_conversation.c.heard_at).where(_conversation.c.id == conversation_id)
    heard = connection.execute(heard_at).scalar_one()
    seen = (
        select(_outbox.c.id)
        .join(_message, _message.c.id == _outbox.c.message_id)
        .where(
            _message.c.conversation_id == conversation_id,
            _outbox.c.state == "sent",
            _outbox.c.template.is_distinct_from(NOTICE),
        )
    )
    if heard is not None:
        seen = seen.where(_message.c.created_at >= heard)
    return connection.execute(seen.limit(1)).first() is None


def renew(connection: Connection, sealer: Sealer, address_id: str, conversation_id: str, sprint: str) -> None:
    """The question that waits is still the question of the moment, which has a new name: its buttons get it too."""
    rows = connection.execute(
        select(_message.c.id, _message.c.options_sealed)
        .join(_outbox, _outbox.c.message_id == _message.c.id)
        .where(
            _WAITS,
            _outbox.c.address_id == address_id,
            _message.c.conversation_id == conversation_id,
            _message.c.options_sealed.is_not(None),
        )
    ).all()
    for row in rows:
        context = f"message.options_sealed:{row.id}"
        data = json.loads(sealer.open_text(context, row.options_sealed)) | {"sprint": sprint}
        connection.execute(
            update(_message)
            .where(_message.c.id == row.id)
            .values(options_sealed=sealer.seal_text(context, json.dumps(data)))
        )


def end(connection: Connection, address_id: str, now: datetime) -> None:
    """The worker wrote: what waited for that is queued again, in its order, except reminders of what she did."""
    mine = (_WAITS, _outbox.c.address_id == address_id)
    connection.execute(update(_outbox).where(*mine, _outbox.c.template == REMINDER).values(state="cancelled"))
    connection.execute(update(_outbox).where(*mine).values(state="queued", due_at=now))


def drop(connection: Connection, address_id: str, conversation_id: str) -> None:
    """What waits of a talk says nothing any more: it went elsewhere, or it is over."""
    said = select(_message.c.id).where(_message.c.conversation_id == conversation_id)
    connection.execute(
        update(_outbox)
        .where(_WAITS, _outbox.c.address_id == address_id, _outbox.c.message_id.in_(said))
        .values(state="cancelled")
    )
