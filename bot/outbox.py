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

from sqlalchemy import Connection, and_, exists, insert, or_, select, update

from bot.ids import new_id
from bot.storage.tables import Outbox, Staff, table

_outbox = table(Outbox)
_staff = table(Staff)

LEASE = timedelta(seconds=60)
_ACTIVE = ("queued", "leased", "sending", "unknown")
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


def notify(connection: Connection, template: str, now: datetime) -> None:
    """Tell every active supervisor who has an e-mail address that there is something to read."""
    rows = connection.execute(
        select(_staff.c.id).where(
            _staff.c.active, _staff.c.roles.contains("supervisor"), _staff.c.email_sealed.is_not(None)
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


def claim(connection: Connection, now: datetime, wall: datetime, limit: int) -> list[str]:
    """Lease what is due, per address only the oldest; gives the rows' ids."""
    earlier = _outbox.alias("earlier")
    due = (
        select(_outbox.c.id)
        .where(
            _outbox.c.state == "queued",
            _outbox.c.due_at <= now,
            or_(
                _outbox.c.address_id.is_(None),
                ~exists().where(
                    and_(
                        earlier.c.address_id == _outbox.c.address_id,
                        earlier.c.state.in_(_ACTIVE),
                        earlier.c.id < _outbox.c.id,
                    )
                ),
            ),
        )
        .order_by(_outbox.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True, of=_outbox)
    )
    ids = list(connection.execute(due).scalars())
    if ids:
        connection.execute(
            update(_outbox)
            .where(_outbox.c.id.in_(ids), _outbox.c.state == "queued")
            .values(state="leased", lease_until=wall + LEASE)
        )
    return ids


def release_stale(connection: Connection, now: datetime, wall: datetime, limit: int) -> list[str]:
    """Look after rows whose lease ran out; gives the ids of those about which the provider must be asked.

    A row that was only leased was not sent and is queued again. A row that was being sent becomes unknown.
    """
    stale = (
        select(_outbox.c.id, _outbox.c.state)
        .where(_outbox.c.state.in_(("leased", "sending", "unknown")), _outbox.c.lease_until < wall)
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
