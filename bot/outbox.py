"""What is to be sent: rows that are claimed with a lease, sent once, and asked about when in doubt.

    queued → leased → sending → sent
                         ├────→ queued   (surely not taken: again later, with backoff and jitter)
                         ├────→ unknown  (may have been taken: the provider is asked first)
                         ├────→ waiting  (for the worker's next message; then queued: ``bot.waiting``)
                         └────→ failed | cancelled

Here rows are put in and claimed; :mod:`bot.letters` opens what a claimed row holds, :mod:`bot.receipts`
writes what became of it. Per address one row is under way at a time, oldest first, so that texts arrive in
the order in which they were said. Leases and retries run on wall time.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from math import ceil
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    exists,
    func,
    insert,
    literal_column,
    select,
    update,
)

from bot import pace
from bot.ids import new_id
from bot.messages import Channel
from bot.storage.database import Database
from bot.storage.tables import Outbox, Staff, table
from bot.storage.types import AnySelect

_outbox = table(Outbox)
_staff = table(Staff)

LEASE = timedelta(seconds=60)
_FEW = 10
"""So many may always be under way on a channel: one job's worth."""
ERASURE = "erasure"
"""The kind of an outbox row that takes back what was sent."""
STOP_CONFIRMATION = "stop_confirmation"
"""The one message that an address on the stop list still gets."""
REMINDER = "reminder"
"""A question asked again because nothing was heard."""
NOTICE = "notice"
"""The channel's approved neutral notice, which asks the worker to write."""
CLOSED = "closed"
"""A text that the provider refused because the worker had been silent for too long."""
BEFORE_CALL = "before_call"
"""A text that says when we will call (:mod:`bot.callbacks.reminders`)."""
LINK = "link"
"""A text that shows a code, which stands in it only while it is sent (:mod:`bot.links`)."""
HELD = "held"
"""A text that has waited for the worker's next message once."""


# --- putting in -------------------------------------------------------------------------------


def queue_row(
    message_id: str, address_id: str, channel: str, now: datetime, *, template: str | None = None
) -> dict[str, object]:
    """The outbox row of a message to a worker."""
    return {
        "id": new_id(),
        "kind": "message",
        "message_id": message_id,
        "address_id": address_id,
        "staff_id": None,
        "template": template,
        "channel": channel,
        "state": "queued",
        "due_at": now,
        "tries": 0,
        "created_at": now,
    }


def take_back(connection: Connection, address_id: str, channel: str, now: datetime) -> dict[str, object]:
    """The quick exit: what is not sent yet stays unsent. Gives the row that erases what was sent.

    It goes in before the last word of the conversation, which is sent after it and stays.
    """
    connection.execute(
        update(_outbox)
        .where(_outbox.c.address_id == address_id, _outbox.c.channel == channel, _outbox.c.state == "queued")
        .values(state="cancelled")
    )
    return queue_row("", address_id, channel, now) | {"kind": ERASURE, "message_id": None}


def notify(connection: Connection, template: str, now: datetime, *, role: str = "supervisor") -> None:
    """Tell everybody active in a role who has an e-mail address that there is something to read."""
    rows = connection.execute(
        select(_staff.c.id).where(
            _staff.c.active, _staff.c.roles.contains(role), _staff.c.email_sealed.is_not(None)
        )
    )
    notices = [
        {
            "id": new_id(),
            "kind": "notice",
            "message_id": None,
            "address_id": None,
            "staff_id": row.id,
            "template": template,
            "channel": "email",
            "state": "queued",
            "due_at": now,
            "tries": 0,
            "created_at": now,
        }
        for row in rows
    ]
    if notices:
        connection.execute(insert(_outbox), notices)


# --- claiming ---------------------------------------------------------------------------------

# Written out, because a partial index is used only where the statement says the same as the index does.
_QUEUED: Final[ColumnElement[bool]] = _outbox.c.state == literal_column("'queued'")
_UNDER_WAY: Final[ColumnElement[bool]] = _outbox.c.state.in_(
    [literal_column(f"'{state}'") for state in ("leased", "sending", "unknown")]
)


def claim(
    database: Database, channel: Channel, per_second: float, now: datetime, wall: datetime, limit: int
) -> list[str]:
    """Lease what is due to workers on a channel, per address only the oldest; gives the rows' ids.

    Each channel has a pace of its own over all processes (:mod:`bot.pace`), and no more under way than goes
    out in a second (ten at least): one that is flooded, slow or shut keeps no other waiting.
    """
    due = _due(now, _outbox.c.channel == channel, _outbox.c.address_id.is_not(None))
    with database.read() as connection:
        if connection.execute(due.limit(1)).first() is None:
            return []
    pace.make(database, channel, wall)
    with database.write() as connection:
        room = pace.room(connection, channel, per_second, wall)
        allowed = min(room.count, limit, max(_FEW, ceil(per_second)) - _under_way(connection, channel))
        if allowed <= 0:
            return []
        ids = _lease(connection, due.where(~_is_behind()), allowed, wall)
        pace.use(connection, room, len(ids))
        return ids


def claim_notices(database: Database, now: datetime, wall: datetime, limit: int) -> list[str]:
    """Lease the notices to staff that are due, whatever waits to go to workers; gives the rows' ids."""
    due = _due(now, _outbox.c.kind == literal_column("'notice'"))
    with database.read() as connection:
        if connection.execute(due.limit(1)).first() is None:
            return []
    with database.write() as connection:
        return _lease(connection, due, limit, wall)


def _due(now: datetime, *where: ColumnElement[bool]) -> AnySelect:
    return select(_outbox.c.id).where(_QUEUED, *where, _outbox.c.due_at <= now)


def _is_behind() -> ColumnElement[bool]:
    """Whether something earlier to the same address is not sent yet."""
    earlier = _outbox.alias("earlier")
    states: list[ColumnElement[str]] = [
        literal_column(f"'{state}'") for state in ("queued", "leased", "sending", "unknown")
    ]
    return exists().where(
        earlier.c.address_id == _outbox.c.address_id,
        earlier.c.state.in_(states),
        earlier.c.id < _outbox.c.id,
    )


def _under_way(connection: Connection, channel: Channel) -> int:
    """How many a channel has in workers' hands. What is in doubt is not: the provider is asked about it later."""
    count = select(func.count()).where(
        _UNDER_WAY, _outbox.c.state != literal_column("'unknown'"), _outbox.c.channel == channel
    )
    return int(connection.execute(count).scalar_one())


def _lease(connection: Connection, due: AnySelect, limit: int, wall: datetime) -> list[str]:
    oldest = due.order_by(_outbox.c.due_at).limit(limit).with_for_update(skip_locked=True, of=_outbox)
    ids = list(connection.execute(oldest).scalars())
    if ids:
        connection.execute(
            update(_outbox)
            .where(_outbox.c.id.in_(ids), _QUEUED)
            .values(state="leased", lease_until=wall + LEASE)
        )
    return ids


def release_stale(connection: Connection, now: datetime, wall: datetime, limit: int) -> list[str]:
    """Look after rows whose lease ran out; gives the ids of those about which the provider must be asked.

    A row that was only leased was not sent and is queued again. A row that was being sent becomes unknown.
    """
    stale = (
        select(_outbox.c.id, _outbox.c.state)
        .where(_UNDER_WAY, _outbox.c.lease_until < wall)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = connection.execute(stale).all()
    leased = [row.id for row in rows if row.state == "leased"]
    doubtful = [row.id for row in rows if row.state != "leased"]
    if leased:
        connection.execute(update(_outbox).where(_outbox.c.id.in_(leased)).values(state="queued", due_at=now))
    if doubtful:
        connection.execute(
            update(_outbox)
            .where(_outbox.c.id.in_(doubtful))
            .values(state="unknown", lease_until=wall + LEASE)
        )
    return doubtful
