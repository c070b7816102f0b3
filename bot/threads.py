"""Conversations that are told by a token: mail goes on with one only if it brings back a token of ours.

Every message that we send on such a channel has a name that nobody can guess (:meth:`Sealer.token`), which
comes back in what answers it. The sender's address proves nothing, because anybody can write any.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, func, insert, null, select

from bot import incidents, receipts, transcript
from bot.cases import opening
from bot.flow.events import GrievanceRaised
from bot.incidents import IncidentKind
from bot.messages import Attention, Inbound
from bot.privacy.seal import Sealer
from bot.steps import CONVERSATION_COLUMNS, Door
from bot.storage.tables import Conversation, Message, table
from bot.storage.types import AnyRow
from bot.transcript import Thread

_conversation = table(Conversation)
_message = table(Message)

DAY = timedelta(days=1)
UNANSWERED = GrievanceRaised("unanswered", "unclassified", "S3")
"""What puts a message before a supervisor that no machine may answer."""


def conversation(connection: Connection, sealer: Sealer, tokens: tuple[str, ...]) -> AnyRow | None:
    """The conversation, open or over, that a message with these tokens belongs to."""
    message_id = receipts.named(sealer, tokens)
    if message_id is None:
        return None
    return connection.execute(
        select(_conversation.c.address_id, null().label("stop"), *CONVERSATION_COLUMNS)
        .join(_message, _message.c.conversation_id == _conversation.c.id)
        .where(_message.c.id == message_id)
    ).one_or_none()


def is_talked_out(connection: Connection, door: Door, address_id: str, now: datetime) -> bool:
    """Whether so much went to an address within a day that it must be a machine that answers us.

    The operator is told.
    """
    able = door.capabilities
    if not able.answers_per_day:
        return False
    sent = connection.execute(
        select(func.count()).where(
            _message.c.address_id == address_id,
            _message.c.channel == able.channel,
            _message.c.direction == "out",
            _message.c.created_at > now - DAY,
        )
    ).scalar_one()
    if sent < able.answers_per_day:
        return False
    incidents.report(connection, IncidentKind.DELIVERY, f"{able.channel} loop", now)
    return True


def keep(
    connection: Connection,
    sealer: Sealer,
    inbound: Inbound,
    thread: AnyRow | None,
    address_id: str | None,
    now: datetime,
) -> None:
    """Keep a message that nothing goes out to, in the conversation that it answers if there is one.

    What may be from a person is put before a supervisor, in the case of that conversation.
    """
    where = Thread(thread.conversation_id if thread is not None else None, address_id, inbound.channel)
    row = transcript.heard_row(sealer, where, inbound, now)
    connection.execute(insert(_message), row)
    transcript.keep_parts(connection, sealer, row["id"], inbound, now)
    if inbound.attention is not Attention.FILE and thread is not None:
        alert(connection, thread, now)


def alert(connection: Connection, thread: AnyRow, now: datetime) -> None:
    """Put a conversation before a supervisor in which something waits that no machine may answer."""
    source = opening.Source(thread.conversation_id, thread.contact_id, thread.audit_id, thread.language)
    opening.record(connection, source, [UNANSWERED], now)
