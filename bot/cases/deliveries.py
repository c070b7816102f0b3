"""What became of the texts of a conversation, and where it went on: as the people who work on a case need to know it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Final

from sqlalchemy import Connection, select

from bot.messages import Channel, DeliveryStatus
from bot.storage.tables import Outbox, table
from bot.storage.types import AnyRow

_outbox = table(Outbox)


class Delivery(StrEnum):
    """How far a text of ours came."""

    QUEUED = "queued"
    AGAIN = "again"
    """It did not get through so far and is tried again."""
    SENDING = "sending"
    UNKNOWN = "unknown"
    """It may have been sent; the provider is being asked."""
    WAITING = "waiting"
    """The channel takes it only after the worker's next message."""
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"
    CANCELLED = "cancelled"
    """It was not sent, because it no longer meant anything."""


class Turn(StrEnum):
    """How a conversation came to be somewhere else than with the message before."""

    CHANNEL = "channel"
    ADDRESS = "address"
    FALLBACK = "fallback"
    """What was sent before was lost, so it went on where the worker had allowed it."""


_STANDING: Final[Mapping[str, Delivery]] = {
    "queued": Delivery.QUEUED,
    "leased": Delivery.QUEUED,
    "sending": Delivery.SENDING,
    "unknown": Delivery.UNKNOWN,
    "waiting": Delivery.WAITING,
    "failed": Delivery.FAILED,
    "cancelled": Delivery.CANCELLED,
}
"""What an open or closed row of the outbox means; of one that was sent, the provider's reports tell more."""
_REPORTED: Final[Mapping[str, Delivery]] = {
    DeliveryStatus.DELIVERED: Delivery.DELIVERED,
    DeliveryStatus.READ: Delivery.READ,
    DeliveryStatus.UNDELIVERED: Delivery.FAILED,
    DeliveryStatus.FAILED: Delivery.FAILED,
    DeliveryStatus.CANCELED: Delivery.CANCELLED,
}


def of_messages(connection: Connection, rows: Sequence[AnyRow]) -> Mapping[str, Delivery]:
    """What became of the outgoing texts among some rows of ``message``, by their ids. What was said in a call is
    heard or not, and has no delivery."""
    written = [row for row in rows if row.direction == "out" and row.channel != Channel.VOICE]
    query = select(_outbox.c.message_id, _outbox.c.state, _outbox.c.tries)
    found = connection.execute(query.where(_outbox.c.message_id.in_([row.id for row in written])))
    queued = {row.message_id: row for row in found}
    return {row.id: _delivery(queued.get(row.id), row.status) for row in written}


def _delivery(queued: AnyRow | None, status: str | None) -> Delivery:
    state = queued.state if queued is not None else "sent"
    if state == "queued" and queued is not None and queued.tries:
        return Delivery.AGAIN
    return _STANDING.get(state) or _REPORTED.get(status or "", Delivery.SENT)


def turns(rows: Sequence[AnyRow], became: Mapping[str, Delivery]) -> Mapping[str, Turn]:
    """Where a conversation went on elsewhere: by the id of the first message there. ``rows`` are in order."""
    found: dict[str, Turn] = {}
    lost = False
    for before, row in pairwise(rows):
        lost = before.direction == "out" and (lost or became.get(before.id) is Delivery.FAILED)
        if row.channel != before.channel:
            # The worker's own word brings it elsewhere; only a text of ours that was lost does it without her.
            found[row.id] = Turn.FALLBACK if lost and row.direction == "out" else Turn.CHANNEL
        elif row.address_id != before.address_id and None not in (row.address_id, before.address_id):
            found[row.id] = Turn.FALLBACK if lost and row.direction == "out" else Turn.ADDRESS
    return found
