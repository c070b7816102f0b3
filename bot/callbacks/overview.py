"""Callbacks as operators see them: what is due, what was tried, why it is planned so. Ids and codes only."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, select

from bot.callbacks import reminders, settle
from bot.callbacks.states import AAPOR, CallbackState, Disposition
from bot.errors import NotFound
from bot.storage.tables import Attempt, Callback, table
from bot.storage.types import AnyRow

_callback = table(Callback)
_attempt = table(Attempt)

Plain = dict[str, object]


def due(connection: Connection, now: datetime, limit: int) -> list[Plain]:
    """What is due at ``now`` and waits to be dialled, the longest waiting first."""
    query = (
        select(_callback)
        .where(_callback.c.state == CallbackState.SCHEDULED, _callback.c.due_at <= now)
        .order_by(_callback.c.due_at)
        .limit(limit)
    )
    return _with_attempts(connection, connection.execute(query).all())


def planned(connection: Connection, limit: int) -> list[Plain]:
    """What will be dialled, soonest first."""
    query = (
        select(_callback)
        .where(_callback.c.state == CallbackState.SCHEDULED)
        .order_by(_callback.c.due_at)
        .limit(limit)
    )
    return _with_attempts(connection, connection.execute(query).all())


def newest(connection: Connection, limit: int) -> list[Plain]:
    """All callbacks whatever their state, newest first."""
    query = select(_callback).order_by(_callback.c.id.desc()).limit(limit)
    return _with_attempts(connection, connection.execute(query).all())


def one(connection: Connection, callback_id: str) -> Plain:
    """One callback. Raises :class:`NotFound`."""
    row = connection.execute(select(_callback).where(_callback.c.id == callback_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no callback {callback_id[:40]}")
    return _with_attempts(connection, [row])[0]


def explained(connection: Connection, callback_id: str, now: datetime) -> Plain:
    """The plan of a callback, day by day."""
    return settle.explanation(connection, callback_id, now).as_data()


def _with_attempts(connection: Connection, rows: Iterable[AnyRow]) -> list[Plain]:
    found = {row.id: _plain(row) for row in rows}
    attempts = connection.execute(
        select(_attempt).where(_attempt.c.callback_id.in_(list(found))).order_by(_attempt.c.n)
    )
    for attempt in attempts:
        listed = found[attempt.callback_id]["attempts"]
        assert isinstance(listed, list)  # noqa: S101 - made by _plain
        listed.append(_plain_attempt(attempt))
    for callback_id, told in reminders.of(connection, found).items():
        found[callback_id]["reminders"] = [
            {"call_at": _iso(each.call_at), "at": _iso(each.at), "state": each.state} for each in told
        ]
    return list(found.values())


def _plain(row: AnyRow) -> Plain:
    return {
        "id": row.id,
        "kind": row.kind,
        "round": row.round,
        "state": row.state,
        "due_at": _iso(row.due_at),
        "window_end": _iso(row.window_end),
        "timezone": row.timezone,
        "channel": row.channel,
        "language": row.language,
        "preference": row.preference,
        "attempts": [],
        "remind_at": _iso(row.remind_at) if row.state == CallbackState.SCHEDULED else None,
        "reminders": [],
        "give_up_reason": row.give_up_reason,
    }


def _plain_attempt(row: AnyRow) -> Plain:
    return {
        "id": row.id,
        "n": row.n,
        "state": row.state,
        "disposition": row.disposition,
        "aapor": AAPOR[Disposition(row.disposition)] if row.disposition else None,
        "claimed_at": _iso(row.claimed_at),
        "placed_at": _iso(row.placed_at),
        "answered_at": _iso(row.answered_at),
        "ended_at": _iso(row.ended_at),
        "seconds": row.seconds,
    }


def _iso(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None
