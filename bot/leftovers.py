"""What is done with us and still lies with a provider: messages and records of calls, deleted there after a time.

A message carries the time itself (``message.forget_at``) and becomes a leftover when that is over; a call is
noted when it ended. The provider is asked again for 14 days, because it does not delete what it is not done
with. Everything here runs on wall time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Executable, case, delete, exists, null, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bot.backoff import delay
from bot.clock import wall_time
from bot.errors import SendError
from bot.ids import new_id
from bot.media import FILES, is_hopeless
from bot.messages import Channel
from bot.settings import Settings
from bot.storage.tables import Leftover, Message, table
from bot.storage.types import AnyRow

_leftover = table(Leftover)
_message = table(Message)

LEASE = timedelta(minutes=10)
"""Long, because deleting waits behind everything that a worker waits for."""
_NOTE: Final[Mapping[str, Executable]] = {
    "postgresql": postgresql.insert(_leftover).on_conflict_do_nothing(),
    "sqlite": sqlite.insert(_leftover).on_conflict_do_nothing(),
}
"""Made once, because every call that is over is noted."""
TWILIOS_PATIENCE: Final = timedelta(minutes=1)
"""How long to wait at least before what was not complete (error 20009) is tried again."""


class Kind(StrEnum):
    """What lies there."""

    MESSAGE = "message"
    CALL = "call"


@dataclass(frozen=True, slots=True)
class Left:
    """One thing to be deleted at the provider, by the provider's id."""

    id: str
    kind: Kind
    channel: Channel
    provider_id: str
    tries: int


def note_call(connection: Connection, settings: Settings, call_id: str) -> None:
    """A call is over: its record is to be deleted, if the operator wants it. To say it twice does no harm."""
    due_at = settings.forget_at(wall_time())
    if due_at is not None:
        _note(connection, [_row(Kind.CALL, Channel.VOICE, call_id, due_at)])


def note_message(connection: Connection, channel: Channel, provider_id: str, due_at: datetime | None) -> None:
    """A message is to be deleted at ``due_at``; None lets it stay. To say it twice does no harm."""
    if due_at is not None:
        _note(connection, [_row(Kind.MESSAGE, channel, provider_id, due_at)])


def claim(connection: Connection, wall: datetime, limit: int) -> list[str]:
    """Lease what is due, messages too whose time has come; gives the rows' ids."""
    _take_messages(connection, wall, limit)
    due = (
        select(_leftover.c.id)
        .where(_leftover.c.due_at <= wall)
        .order_by(_leftover.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = list(connection.execute(due).scalars())
    if ids:
        connection.execute(
            update(_leftover)
            .where(_leftover.c.id.in_(ids))
            .values(due_at=wall + LEASE, tries=_leftover.c.tries + 1)
        )
    return ids


def load(connection: Connection, leftover_id: str) -> Left | None:
    """A leftover by its id; None if it is gone."""
    row = connection.execute(select(_leftover).where(_leftover.c.id == leftover_id)).one_or_none()
    if row is None:
        return None
    return Left(row.id, Kind(row.kind), Channel(row.channel), row.provider_id, row.tries)


def gone(connection: Connection, left: Left) -> None:
    """The provider has it no more."""
    connection.execute(delete(_leftover).where(_leftover.c.id == left.id))


def not_deleted(connection: Connection, left: Left, error: SendError, wall: datetime, now: datetime) -> None:
    """The provider did not delete it: again later, for 14 days, and then the operator is told."""
    if is_hopeless(connection, left.channel, error, left.tries, now):
        gone(connection, left)
        return
    wait = max(TWILIOS_PATIENCE, delay(left.tries), timedelta(seconds=error.wait))
    connection.execute(update(_leftover).where(_leftover.c.id == left.id).values(due_at=wall + wait))


def let_stay(connection: Connection) -> None:
    """The operator does not want anything deleted: what was noted before is let be."""
    connection.execute(delete(_leftover))
    connection.execute(update(_message).where(_message.c.forget_at.is_not(None)).values(forget_at=null()))


def _take_messages(connection: Connection, wall: datetime, limit: int) -> None:
    """Messages whose time has come become leftovers. One whose files are still to be fetched waits for them,
    because they go with it."""
    named = case((_message.c.direction == "in", _message.c.event_id), else_=_message.c.provider_id)
    due = (
        select(_message.c.id, _message.c.channel, named.label("provider_id"))
        .where(
            _message.c.forget_at <= wall,
            ~exists().where(FILES.c.message_id == _message.c.id, FILES.c.state == "due"),
        )
        .limit(limit)
        .with_for_update(skip_locked=True, of=_message)
    )
    rows: Sequence[AnyRow] = connection.execute(due).all()
    if not rows:
        return
    connection.execute(
        update(_message).where(_message.c.id.in_([row.id for row in rows])).values(forget_at=null())
    )
    left = [
        _row(Kind.MESSAGE, Channel(row.channel), row.provider_id, wall) for row in rows if row.provider_id
    ]
    if left:
        _note(connection, left)


def _row(kind: Kind, channel: Channel, provider_id: str, due_at: datetime) -> dict[str, Any]:
    return {
        "id": new_id(),
        "kind": kind,
        "channel": channel,
        "provider_id": provider_id,
        "due_at": due_at,
        "tries": 0,
    }


def _note(connection: Connection, rows: list[dict[str, Any]]) -> None:
    connection.execute(_NOTE[connection.dialect.name], rows)
