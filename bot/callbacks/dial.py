"""Placing one attempt: the steps around the one request to the provider.

:func:`begin` is the point of no return: after it has committed, a crash leaves the attempt unknown,
and an unknown attempt is never dialled again. What the provider said is then written by
:func:`placed`, :func:`not_taken` or :func:`ambiguous`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, exists, select, update

from bot import pace
from bot.callbacks import settle
from bot.callbacks.claim import LAST_START, UNSETTLED, WRITING_LEASE
from bot.callbacks.policy import from_json
from bot.callbacks.states import AttemptState, CallbackState, CallStatus, Disposition
from bot.clock import wall_time
from bot.messages import Address, Channel
from bot.privacy.seal import Sealer
from bot.storage.tables import AddressRow, Attempt, Audit, Callback, Client, Stop, Transfer, table
from bot.storage.types import AnyRow, AnySelect
from bot.transfers import TransferState

_attempt = table(Attempt)
_audit = table(Audit)
_callback = table(Callback)
_client = table(Client)
_address = table(AddressRow)
_stop = table(Stop)
_transfer = table(Transfer)

_led = select(_transfer.c.state).where(_transfer.c.attempt_id == _attempt.c.id).scalar_subquery()
"""Where the agent stands who leads an attempt; NULL where no agent does."""

ASK_LEASE = timedelta(seconds=30)
"""How long asking the provider may take before the attempt counts as unknown."""
RING_LEASE = timedelta(minutes=2)
"""How long a placed call may go without news before the provider is asked."""
PUT_BACK = timedelta(minutes=1)

# Made once: making one of these costs more than the database needs to run it.
_LOAD: Final[AnySelect] = (
    select(
        _attempt.c.id,
        _attempt.c.state,
        _attempt.c.window_end,
        _attempt.c.asked_at,
        _attempt.c.call_id,
        _callback.c.id.label("callback_id"),
        _callback.c.state.label("callback_state"),
        _callback.c.due_at,
        _callback.c.channel,
        _callback.c.country,
        _callback.c.language,
        _address.c.id.label("address_id"),
        _address.c.kind,
        _address.c.sealed,
        exists().where(_stop.c.index == _address.c.stop_index).label("stopped"),
        _led.label("led"),
        _client.c.policy,
    )
    .join(_callback, _callback.c.id == _attempt.c.callback_id)
    .join(_address, _address.c.id == _callback.c.address_id)
    .outerjoin(_audit, _audit.c.id == _callback.c.audit_id)
    .outerjoin(_client, _client.c.id == _audit.c.client_id)
    .where(_attempt.c.id == bindparam("attempt_id"))
)
_STANDS: Final = select(_attempt.c.state, _attempt.c.channel).where(_attempt.c.id == bindparam("attempt_id"))
_TAKE: Final = update(_attempt).where(
    _attempt.c.id == bindparam("attempt_id"), _attempt.c.state == AttemptState.CLAIMED.value
)
_PLACED: Final = update(_attempt).where(
    _attempt.c.id == bindparam("attempt_id"),
    _attempt.c.state.in_([AttemptState.PLACING.value, AttemptState.UNKNOWN.value]),
)
LOOK_AGAIN = timedelta(seconds=10)
LOOK_UNTIL = timedelta(minutes=2)
"""How long an unknown attempt is looked for at the provider before it counts as spent."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a channel needs to place the call."""

    attempt_id: str
    callback_id: str
    channel: str
    to: Address = field(repr=False)
    address_id: str
    country: str
    caller_id: str | None = field(repr=False)
    """The number of ours that the client's policy wants to call this country with, if it names one; for dialling only."""
    language: str
    state: str
    call_id: str | None
    asked_at: datetime
    """Wall time at which the provider was asked."""


def turn(
    connection: Connection, attempt_id: str, per_second: float, wall: Callable[[], datetime] = wall_time
) -> datetime | None:
    """When a claimed attempt may be begun (wall time): calls are claimed in handfuls and may come from several
    workers at once, or again from one that died, but they start one after the other, at the provider's pace.

    None: its turn comes too late to be waited for. The attempt is handed out again then.
    """
    row = connection.execute(_STANDS, {"attempt_id": attempt_id}).one_or_none()
    if row is None or row.state != AttemptState.CLAIMED or row.channel != Channel.VOICE:
        return wall()
    start, booked = pace.book(connection, pace.STARTS, per_second, pace.TURN_WITHIN, wall)
    if booked:
        return start
    connection.execute(_TAKE, {"lease_until": start, "attempt_id": attempt_id})
    return None


def begin(
    connection: Connection, sealer: Sealer, attempt_id: str, now: datetime, wall: datetime
) -> Order | None:
    """Move a claimed attempt to ``placing`` and give the order, or None if it must not be dialled (any more).

    Checked last of all: the attempt is still ours, the callback still wanted, the worker has not said
    stop, the window is open, and the agent who is to lead the talk is still on the line. If not, the attempt
    is settled as released and the callback planned anew.
    """
    row = connection.execute(_LOAD, {"attempt_id": attempt_id}).one_or_none()
    if row is None or row.state != AttemptState.CLAIMED:
        return None
    if row.stopped:
        settle.settle(connection, attempt_id, Disposition.STOPPED, now)
        return None
    if (
        row.callback_state != CallbackState.DIALLING
        or not now + LAST_START < row.window_end
        or now < row.due_at
        or row.led not in (None, TransferState.TALKING)
    ):
        settle.settle(connection, attempt_id, Disposition.RELEASED, now)
        return None
    values = {
        "state": AttemptState.PLACING,
        "lease_until": wall + ASK_LEASE,
        "claimed_at": now,
        "asked_at": wall,
    }
    taken = connection.execute(_TAKE, values | {"attempt_id": attempt_id})
    # An attempt that was begun is looked after also if its client's policy cannot be read then.
    caller_id = from_json(row.policy).number_for(row.country)
    return _order(row, sealer, wall, caller_id) if taken.rowcount == 1 else None


def look_up(connection: Connection, sealer: Sealer, attempt_id: str) -> Order | None:
    """The order of an attempt whose fate must be asked of the provider."""
    row = connection.execute(_LOAD, {"attempt_id": attempt_id}).one_or_none()
    if row is None or row.asked_at is None or row.state == AttemptState.SETTLED:
        return None
    return _order(row, sealer, row.asked_at)


def placed(connection: Connection, attempt_id: str, call_id: str, now: datetime, wall: datetime) -> None:
    """The provider took the call. A report that came earlier than this is kept."""
    values = {
        "state": AttemptState.PLACED,
        "call_id": call_id,
        "placed_at": now,
        "lease_until": wall + RING_LEASE,
    }
    connection.execute(_PLACED, values | {"attempt_id": attempt_id})


def is_being_placed(connection: Connection, attempt_id: str) -> bool:
    """Whether the attempt is still with whoever began it; it stays so until the transaction ends."""
    mine = (_attempt.c.id == attempt_id, _attempt.c.state == AttemptState.PLACING)
    return bool(connection.execute(select(_attempt.c.id).where(*mine).with_for_update()).first())


def opened(connection: Connection, attempt_id: str, now: datetime, wall: datetime) -> None:
    """A callback in writing began: its attempt lasts as long as its conversation."""
    values = {
        "state": AttemptState.ANSWERED,
        "placed_at": now,
        "answered_at": now,
        "lease_until": wall + WRITING_LEASE,
    }
    connection.execute(_PLACED, values | {"attempt_id": attempt_id})


def put_back(connection: Connection, attempt_id: str, now: datetime) -> None:
    """The provider surely did not take it (too many requests, unreachable, refused configuration): not spent.

    The callback is due again a minute later, within the same window, or planned anew.
    """
    if not settle.settle(connection, attempt_id, Disposition.RELEASED, now):
        return
    callback = select(_attempt.c.callback_id).where(_attempt.c.id == attempt_id).scalar_subquery()
    connection.execute(
        update(_callback)
        .where(
            _callback.c.id == callback,
            _callback.c.state == CallbackState.SCHEDULED,
            _callback.c.due_at < now + PUT_BACK,
        )
        .values(due_at=now + PUT_BACK)
    )


def ambiguous(connection: Connection, attempt_id: str, wall: datetime) -> None:
    """Nobody knows whether the provider took it: look for it before anything else happens."""
    connection.execute(
        update(_attempt)
        .where(_attempt.c.id == attempt_id, _attempt.c.state == AttemptState.PLACING)
        .values(state=AttemptState.UNKNOWN, lease_until=wall + LOOK_AGAIN)
    )


def not_found(connection: Connection, order: Order, wall: datetime, now: datetime) -> None:
    """The provider does not know the call (yet): look again, and after two minutes count it as spent."""
    if wall - order.asked_at >= LOOK_UNTIL:
        settle.settle(connection, order.attempt_id, Disposition.UNKNOWN, now)
        return
    connection.execute(
        update(_attempt)
        .where(_attempt.c.id == order.attempt_id, _attempt.c.state == AttemptState.UNKNOWN)
        .values(lease_until=wall + LOOK_AGAIN)
    )


def take_stale(connection: Connection, wall: datetime, limit: int) -> list[str]:
    """Attempts whose state has lasted longer than its lease: the clock has them looked after.

    An attempt that was being placed becomes unknown here, and never goes back to claimed.
    """
    stale = (
        select(_attempt.c.id)
        .where(
            UNSETTLED,
            _attempt.c.state != AttemptState.CLAIMED,
            _attempt.c.lease_until < wall,
        )
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = [row.id for row in connection.execute(stale)]
    if ids:
        mine = _attempt.c.id.in_(ids)
        connection.execute(update(_attempt).where(mine).values(lease_until=wall + ASK_LEASE))
        connection.execute(
            update(_attempt)
            .where(mine, _attempt.c.state == AttemptState.PLACING)
            .values(state=AttemptState.UNKNOWN)
        )
    return ids


def past_window(connection: Connection, now: datetime, limit: int) -> list[str]:
    """Calls that the provider still queues although their window is over: they are to be cancelled."""
    rows = connection.execute(
        select(_attempt.c.id)
        .where(
            UNSETTLED,
            _attempt.c.state == AttemptState.PLACED,
            _attempt.c.provider_rank < CallStatus.DIALLED.rank,
            _attempt.c.window_end <= now,
        )
        .limit(limit)
    )
    return [row.id for row in rows]


def _order(row: AnyRow, sealer: Sealer, asked_at: datetime, caller_id: str | None = None) -> Order:
    return Order(
        attempt_id=row.id,
        callback_id=row.callback_id,
        channel=row.channel,
        to=sealer.open_address(row.address_id, row.kind, row.sealed),
        address_id=row.address_id,
        country=row.country,
        caller_id=caller_id,
        language=row.language,
        asked_at=asked_at,
        state=row.state,
        call_id=row.call_id,
    )
