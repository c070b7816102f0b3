"""Who is due: the clock takes callbacks in SQL, never more than pace and call slots allow.

Calls share one bucket (:mod:`bot.pace`) that is locked first, so any number of clocks on any number of
hosts keep to the limits together. What is due is decided by the service's clock; pace and leases run on
wall time, because the demo may move the first but not the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)

from bot import pace
from bot.callbacks import caps, modes
from bot.callbacks.states import AUDIT, AttemptState, CallbackState
from bot.ids import new_id
from bot.messages import Channel
from bot.storage.database import Database
from bot.storage.tables import Attempt, Audit, Callback, table
from bot.storage.types import AnyRow, AnySelect
from bot.unreadable import may_be_read

_audit = table(Audit)
_callback = table(Callback)
_attempt = table(Attempt)

CLAIM_LEASE = timedelta(seconds=30)
"""How long a claimed attempt may wait for a worker before it is handed out again."""
LAST_START = timedelta(seconds=60)
"""What must be left of a window for a dial to begin, so that ringing ends within it."""
TALK = timedelta(minutes=10)
"""How long a returned call may go without a turn before the provider is asked how it is."""
WRITING_LEASE = timedelta(days=30)
"""A conversation in writing ends by its own timers, long before this."""
UNSETTLED: ColumnElement[bool] = _attempt.c.state != literal_column("'settled'")
"""Said in so many words by every statement that looks for attempts under way: only then is their index used."""
SCHEDULED: ColumnElement[bool] = _callback.c.state == literal_column("'scheduled'")
"""The same for callbacks that wait for their time."""
HANGING_UP: ColumnElement[bool] = and_(
    _attempt.c.state == literal_column("'settled'"),
    _attempt.c.ended_at.is_(None),
    _attempt.c.call_id.is_not(None),
)
"""Calls that are settled and of which the provider has not said yet that they are over; likewise for its index."""
GOODBYE = timedelta(minutes=2)
"""How long they count as under way."""
MOST_WRITTEN = 200
"""Callbacks in writing that are begun at once, at most."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The provider's calls per second, how many calls may be under way, and the channels that are set up.

    A callback on a channel that is off waits: dialling it would only spend its attempts.
    """

    calls_per_second: float
    slots: int
    channels: tuple[str, ...] = (Channel.VOICE, Channel.SMS)


_EAST = timedelta(hours=14)
"""How far ahead of UTC the first clocks of the world are."""


def begun(now: datetime) -> ColumnElement[bool]:
    """Callbacks that may take place in a talk that the worker begins herself: the first round at any time, a later
    one from its first day on, or a call at eight days would be the one that asks about ninety.
    """
    return or_(_callback.c.round == 1, _callback.c.first_day <= (now + _EAST).date())


def has_begun(callback: AnyRow, now: datetime) -> bool:
    """The same of one row with ``round`` and ``first_day``."""
    return bool(callback.round == 1 or callback.first_day <= (now + _EAST).date())


def claim_due(database: Database, now: datetime, wall: datetime, limits: Limits) -> list[str]:
    """Take the due callbacks that may be dialled at once; gives the ids of their new attempts.

    No client begins more in a day than its policy allows (:mod:`bot.callbacks.caps`).

    Calls keep the provider's pace and take a slot each. Callbacks in writing need neither: what is written has
    a pace of its own (:mod:`bot.outbox`).
    """
    pace.make(database, pace.CALLS, wall)
    with database.read() as connection:
        if not _anything_due(connection, now, limits):
            return []
    writing = [name for name in limits.channels if name != Channel.VOICE]
    with database.write() as connection:
        claimed = []
        if Channel.VOICE in limits.channels:
            room = pace.room(connection, pace.CALLS, limits.calls_per_second, wall)
            allowed = min(room.count, free_slots(connection, limits.slots, now)) if room.count else 0
            theirs = modes.not_for_system(connection, now)
            claimed = _claim(connection, now, allowed, [Channel.VOICE], None if theirs is None else ~theirs)
            pace.use(connection, room, len(claimed))
        claimed += _claim(connection, now, MOST_WRITTEN, writing)
        return [str(attempt["id"]) for attempt in _begin(connection, claimed, now, wall)]


def claim_led(
    connection: Connection, callback_ids: Sequence[str], now: datetime, wall: datetime, limits: Limits
) -> dict[str, str]:
    """Take callbacks whose agents are on the line already, within the same limits as all others; gives the new
    attempt by callback. What is not given may not be dialled (now).
    """
    room = pace.room(connection, pace.CALLS, limits.calls_per_second, wall)
    allowed = min(room.count, free_slots(connection, limits.slots, now)) if room.count else 0
    claimed = _claim(connection, now, allowed, [Channel.VOICE], _callback.c.id.in_(callback_ids))
    pace.use(connection, room, len(claimed))
    return {str(each["callback_id"]): str(each["id"]) for each in _begin(connection, claimed, now, wall)}


def _begin(
    connection: Connection, claimed: list[dict[str, object]], now: datetime, wall: datetime
) -> list[dict[str, object]]:
    attempts = [_attempt_of(row, now, wall) for row in claimed]
    if attempts:
        connection.execute(insert(_attempt), attempts)
    return attempts


def waiting_claims(connection: Connection, wall: datetime, limit: int) -> list[str]:
    """Attempts that were claimed and whose lease ran out before a worker asked the provider."""
    rows = connection.execute(
        update(_attempt)
        .where(
            _attempt.c.id.in_(
                select(_attempt.c.id)
                .where(UNSETTLED, _attempt.c.state == AttemptState.CLAIMED, _attempt.c.lease_until < wall)
                .limit(limit)
                .with_for_update(skip_locked=True)
            )
        )
        .values(lease_until=wall + CLAIM_LEASE)
        .returning(_attempt.c.id)
    )
    return [row.id for row in rows]


def missed_windows(connection: Connection, now: datetime, limit: int) -> list[str]:
    """Scheduled callbacks whose window went by without a dial: they are to be planned anew. One that cannot be read
    (:mod:`bot.unreadable`) stands back."""
    rows = connection.execute(
        select(_callback.c.id)
        .where(
            SCHEDULED,
            _callback.c.due_at <= now,
            _callback.c.window_end <= now + LAST_START,
            may_be_read(_callback.c.id, now),
        )
        .limit(limit)
    )
    return [row.id for row in rows]


def _anything_due(connection: Connection, now: datetime, limits: Limits) -> bool:
    due = select(_callback.c.id).where(
        SCHEDULED,
        _callback.c.due_at <= now,
        _callback.c.channel.in_(limits.channels),
    )
    if (theirs := modes.not_for_system(connection, now)) is not None:
        due = due.where(~theirs)
    return connection.execute(due.limit(1)).first() is not None


def free_slots(connection: Connection, slots: int, now: datetime) -> int:
    """How many calls may still be under way beside those that are.

    A talk is settled when its flow ends; its call goes on until the goodbye is said. If the provider does not tell
    that it is over, it counts as over after a while. A call that is over takes no slot, although its agent may
    still write up what was said.
    """
    calls = select(func.count()).select_from(_attempt).where(_attempt.c.channel == Channel.VOICE)
    open_ones = calls.where(UNSETTLED, _attempt.c.ended_at.is_(None)).scalar_subquery()
    goodbyes = calls.where(HANGING_UP, _attempt.c.settled_at > now - GOODBYE).scalar_subquery()
    under_way = connection.execute(select(open_ones + goodbyes)).scalar_one()
    return max(0, slots - int(under_way))


def _claim(
    connection: Connection,
    now: datetime,
    limit: int,
    channels: Sequence[str],
    which: ColumnElement[bool] | None = None,
) -> list[dict[str, object]]:
    if not (limit and channels):
        return []
    other = _callback.alias("other")
    due = (
        select(_callback.c.id, _callback.c.address_id, _callback.c.audit_id, _callback.c.kind)
        .where(
            SCHEDULED,
            _callback.c.due_at <= now,
            _callback.c.window_end > now + LAST_START,
            _callback.c.channel.in_(channels),
            # A phone shared by several workers rings for one of them at a time.
            ~exists().where(
                other.c.address_id == _callback.c.address_id, other.c.state == CallbackState.DIALLING
            ),
        )
        .order_by(_callback.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True, of=_callback)
    )
    if which is not None:
        due = due.where(which)
    if full := caps.full(connection, now):
        # What finds no place today is planned for another day, and does not stand before others meanwhile.
        of_full = exists().where(_audit.c.id == _callback.c.audit_id, _audit.c.client_id.in_(full))
        due = due.where(~and_(_callback.c.kind == AUDIT, of_full))
    first_per_address: dict[str, AnyRow] = {}
    for row in connection.execute(due):
        first_per_address.setdefault(row.address_id, row)
    counted_on = _with_places(connection, list(first_per_address.values()), now)
    if not counted_on:
        return []
    rows = connection.execute(
        update(_callback)
        .where(
            _callback.c.id.in_(list(counted_on)),
            _callback.c.state == CallbackState.SCHEDULED,
        )
        .values(state=CallbackState.DIALLING, attempts=_callback.c.attempts + 1, updated_at=now)
        .returning(
            _callback.c.id,
            _callback.c.attempts,
            _callback.c.channel,
            _callback.c.due_at,
            _callback.c.window_end,
        )
    )
    return [dict(row._mapping) | {"counted_on": counted_on[row.id]} for row in rows]


def _with_places(connection: Connection, due: list[AnyRow], now: datetime) -> dict[str, date | None]:
    """Those that may begin today, and the day on which each counts."""
    promised = [(row.id, row.audit_id) for row in due if row.kind == AUDIT and row.audit_id]
    others = [row.id for row in due if not (row.kind == AUDIT and row.audit_id)]
    return dict.fromkeys(others) | caps.take(connection, promised, now)


def _attempt_of(callback: dict[str, object], now: datetime, wall: datetime) -> dict[str, object]:
    return {
        "id": new_id(),
        "callback_id": callback["id"],
        "n": callback["attempts"],
        "channel": callback["channel"],
        "state": AttemptState.CLAIMED.value,
        "provider_rank": -1,
        "due_at": callback.get("due_at"),
        "window_end": callback["window_end"],
        "lease_until": wall + CLAIM_LEASE,
        "claimed_at": now,
        "counted_on": callback.get("counted_on"),
    }


def adopt_returned(
    connection: Connection,
    contact_id: str,
    call_id: str | None,
    now: datetime,
    wall: datetime,
    *,
    channel: Channel = Channel.VOICE,
) -> tuple[str, str | None] | None:
    """A worker called back, or wrote, and proved who she is: her scheduled callback takes place in this talk.

    Gives the new attempt's id and the audit's, or None if nothing is scheduled (or it is dialled right now).
    """
    found = connection.execute(_next_of(contact_id, now)).scalar_one_or_none()
    if found is None:
        return None
    row = connection.execute(
        update(_callback)
        .where(_callback.c.id == found, _callback.c.state == CallbackState.SCHEDULED)
        .values(state=CallbackState.DIALLING, attempts=_callback.c.attempts + 1, updated_at=now)
        .returning(
            _callback.c.id,
            _callback.c.attempts,
            _callback.c.channel,
            _callback.c.window_end,
            _callback.c.audit_id,
        )
    ).one()
    attempt = _attempt_of(dict(row._mapping), now, wall) | {
        "state": AttemptState.ANSWERED.value,
        "channel": channel,
        "call_id": call_id,
        "answered_at": now,
        "lease_until": wall + (TALK if channel is Channel.VOICE else WRITING_LEASE),
    }
    connection.execute(insert(_attempt).values(**attempt))
    return str(attempt["id"]), row.audit_id


def adopt_in_call(connection: Connection, contact_id: str, attempt_id: str, now: datetime) -> bool:
    """A worker to whom we returned a missed call proved who she is: her scheduled callback takes place in this very
    call. The attempt is one of that callback from now on, and the return of the missed call is done.

    False, and nothing is changed, if nothing is scheduled for her (or it is dialled right now), or the call is over.
    """
    found = connection.execute(_next_of(contact_id, now)).scalar_one_or_none()
    if found is None:
        return False
    returned = select(_attempt.c.callback_id).where(_attempt.c.id == attempt_id)
    former = connection.execute(returned).scalar_one()
    number = select(_callback.c.attempts + 1).where(_callback.c.id == found)
    moved = connection.execute(
        update(_attempt)
        .where(_attempt.c.id == attempt_id, UNSETTLED)
        .values(callback_id=found, n=connection.execute(number).scalar_one())
    )
    if not moved.rowcount:
        return False
    connection.execute(
        update(_callback)
        .where(_callback.c.id == found)
        .values(state=CallbackState.DIALLING, attempts=_callback.c.attempts + 1, updated_at=now)
    )
    connection.execute(
        update(_callback)
        .where(_callback.c.id == former)
        .values(
            state=CallbackState.REACHED,
            attempts=_callback.c.attempts - 1,
            due_at=None,
            window_end=None,
            updated_at=now,
        )
    )
    return True


def _next_of(contact_id: str, now: datetime) -> AnySelect:
    """What is scheduled for a worker next and may take place now, locked; none that somebody else is taking."""
    return (
        select(_callback.c.id)
        .where(
            _callback.c.contact_id == contact_id,
            _callback.c.state == CallbackState.SCHEDULED,
            begun(now),
        )
        .order_by(_callback.c.due_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
