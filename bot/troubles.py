"""What providers did not take, or said later that it failed: channel, country and code, for a day. No worker.

Rows are only ever put in here, so that a failure never waits for another one's lock; the clock counts them
(:mod:`bot.tally`) and looks whether there are too many (:mod:`bot.alerts`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select

from bot.ids import new_id
from bot.storage.tables import AddressRow, Outbox, Trouble, table

_trouble = table(Trouble)
_outbox = table(Outbox)
_address = table(AddressRow)

KEPT: Final = timedelta(hours=24)
ANYWHERE: Final = "*"
_OF_THE_WORKER: Final = frozenset({"blocked", "bad_number", "window", "tomorrow", "later"})
"""What a failure asks of us (:class:`bot.messages.StatusUpdate`) where it is about one telephone only."""


@dataclass(frozen=True, slots=True)
class Sum:
    """How often one code came."""

    channel: str
    country: str
    code: str
    ours: bool
    number: int


def note(
    connection: Connection, channel: str, country: str | None, code: str | None, action: str, now: datetime
) -> None:
    """A provider did not take something. ``action`` is what the failure asks of us, empty for an unknown code."""
    connection.execute(
        insert(_trouble).values(
            id=new_id(),
            at=now,
            channel=channel,
            country=country or ANYWHERE,
            code=(code or "failed")[:32],
            ours=action not in _OF_THE_WORKER,
        )
    )


def note_text(connection: Connection, outbox_id: str, code: str | None, action: str, now: datetime) -> None:
    """The same for something of the outbox."""
    row = connection.execute(
        select(_outbox.c.channel, _address.c.country)
        .outerjoin(_address, _address.c.id == _outbox.c.address_id)
        .where(_outbox.c.id == outbox_id)
    ).one_or_none()
    if row is not None:
        note(connection, row.channel, row.country, code, action, now)


def since(connection: Connection, instant: datetime) -> list[Sum]:
    """How often each code came since an instant within :data:`KEPT`, most frequent first."""
    number = func.count()
    columns = (_trouble.c.channel, _trouble.c.country, _trouble.c.code, _trouble.c.ours)
    rows = connection.execute(
        select(*columns, number)
        .where(_trouble.c.at >= instant)
        .group_by(*columns)
        .order_by(number.desc(), _trouble.c.channel, _trouble.c.code, _trouble.c.country)
    )
    return [Sum(*row) for row in rows]


def forget(connection: Connection, now: datetime) -> None:
    """Let go of what was counted and is older than :data:`KEPT`."""
    connection.execute(delete(_trouble).where(_trouble.c.at < now - KEPT, _trouble.c.tallied.is_not(None)))
