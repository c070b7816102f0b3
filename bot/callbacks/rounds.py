"""Later rounds: who may be called again is asked once more after 30 and 90 days, or as the client's policy says.

    a callback of an audit is over ──▶ nobody looked yet (``followed IS NULL``)
        ──the clock looks──▶ the next round whose days are not over has a callback, or there is none

Nobody is followed who said stop, refused, was not safe, does not want to be contacted again, or has no telephone
that we know. The row itself remembers that it was looked at, in the transaction that makes the next one, so any
number of clocks may look; and a worker has one callback of each round. A new policy has all of a client's rows
looked at again (:func:`look_again`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, and_, exists, literal_column, select, update

from bot import unreadable
from bot.callbacks import consents, requests, settle
from bot.callbacks.plan import GiveUp
from bot.callbacks.policy import Policy, from_json
from bot.callbacks.preference import parse, repeated
from bot.callbacks.states import AUDIT, CallbackState, Disposition
from bot.flow.events import ConsentScope
from bot.storage.database import Database
from bot.storage.tables import Attempt, Audit, Callback, table
from bot.storage.types import AnyRow
from bot.unreadable import apart, may_be_read

_attempt = table(Attempt)
_audit = table(Audit)
_callback = table(Callback)

NO_ROUND: Final = "no_round"
"""Why a callback is given up whose round the client's policy no longer has."""
NOT_REACHED: Final = frozenset(
    {GiveUp.ATTEMPTS_USED, GiveUp.PERIOD_OVER, GiveUp.NO_WINDOW_IN_PERIOD, GiveUp.DAILY_CAP}
)
"""Ends of a round after which the next one is tried all the same: nobody said no."""
_AGAINST: Final = (CallbackState.UNSAFE, CallbackState.REFUSED, CallbackState.STOPPED)

# Written out, because a partial index is used only where the statement says the same as the index does.
_UNFOLLOWED: ColumnElement[bool] = and_(
    _callback.c.kind == literal_column("'audit'"),
    _callback.c.state.in_((literal_column("'reached'"), literal_column("'given_up'"))),
    _callback.c.followed.is_(None),
)


def follow(database: Database, now: datetime, limit: int) -> int:
    """Make the callbacks of next rounds, for at most ``limit`` rows that nobody looked at; gives how many were made."""
    waiting = select(_callback.c.id).where(_UNFOLLOWED, may_be_read(_callback.c.id, now)).limit(limit)
    with database.read() as connection:
        ids = list(connection.execute(waiting).scalars())
    if not ids:
        return 0
    with apart("follow"), database.write() as connection:
        return sum(_follow(connection, callback_id, now) for callback_id in ids)
    # One of them cannot be read: the others are followed without it.
    return sum(_follow_alone(database, callback_id, now) for callback_id in ids)


def _follow_alone(database: Database, callback_id: str, now: datetime) -> int:
    tell = partial(unreadable.tell_in, database, callback_id, now)
    with apart("follow", callback_id, tell), database.write() as connection:
        return _follow(connection, callback_id, now)
    return 0


def look_again(connection: Connection, client_id: str, policy: Policy, now: datetime) -> None:
    """A client has another policy now: whether a next round follows is asked anew where one can still come."""
    last = max(each.last_call_day for each in policy.all_rounds())
    # A day more, because in the east and in the west of us it is another date.
    since = now.date() - timedelta(days=last + 1)
    audits = select(_audit.c.id).where(_audit.c.client_id == client_id, _audit.c.audit_date >= since)
    connection.execute(
        update(_callback)
        .where(_callback.c.audit_id.in_(audits), _callback.c.followed.is_not(None))
        .values(followed=None)
    )


def may_follow(connection: Connection, row: AnyRow) -> bool:
    """Whether the worker of a callback that is over (see :func:`bot.callbacks.requests.columns`) may be called again."""
    return row.id in to_follow(connection, [row])


def to_follow(connection: Connection, rows: Sequence[AnyRow]) -> set[str]:
    """The callbacks among some for which that is so: three statements, however many they are."""
    over = [row for row in rows if _is_over(row)]
    if not over:
        return set()
    workers = {row.contact_id for row in over}
    against = select(_callback.c.contact_id).where(
        _callback.c.contact_id.in_(workers), _callback.c.state.in_(_AGAINST)
    )
    wrong = select(_attempt.c.callback_id).where(
        _attempt.c.callback_id.in_([row.id for row in over]),
        _attempt.c.disposition == Disposition.WRONG_NUMBER,
    )
    said = consents.newest_of(connection, workers, ConsentScope.CONTACT_AGAIN)
    left_alone = set(connection.execute(against).scalars()) | {who for who, yes in said.items() if not yes}
    unknown = set(connection.execute(wrong).scalars())
    return {row.id for row in over if row.contact_id not in left_alone and row.id not in unknown}


def _is_over(row: AnyRow) -> bool:
    """Whether nothing in the row itself speaks against another round."""
    if row.state not in (CallbackState.REACHED, CallbackState.GIVEN_UP) or row.consent is False:
        return False
    return row.state == CallbackState.REACHED or row.give_up_reason in NOT_REACHED


def next_round(policy: Policy, number: int, audit_date: date, today: date) -> int | None:
    """The first round after ``number`` whose days are not over; None if there is none."""
    for later, each in enumerate(policy.all_rounds(), 1):
        if later > number and each.days(audit_date)[1] >= today:
            return later
    return None


def _follow(connection: Connection, callback_id: str, now: datetime) -> int:
    mine = connection.execute(
        update(_callback).where(_callback.c.id == callback_id, _UNFOLLOWED).values(followed=True)
    )
    if not mine.rowcount:
        return 0
    row = connection.execute(requests.columns().where(_callback.c.id == callback_id)).one()
    policy, today = from_json(row.policy), now.astimezone(ZoneInfo(row.timezone)).date()
    number = next_round(policy, row.round, row.audit_date, today) if row.cohort_member_id else None
    if number is None or _has_later(connection, row) or not may_follow(connection, row):
        return 0
    _promise(connection, row, policy, number, now)
    return 1


def _has_later(connection: Connection, row: AnyRow) -> bool:
    other = _callback.alias("other")
    later = exists().where(
        other.c.cohort_member_id == row.cohort_member_id,
        other.c.kind == AUDIT,
        other.c.round > row.round,
    )
    return bool(connection.execute(select(later)).scalar_one())


def _promise(connection: Connection, row: AnyRow, policy: Policy, number: int, now: datetime) -> None:
    """The callback of a later round: as the auditor registered her, whatever became of the earlier rounds."""
    first_day, last_day = policy.all_rounds()[number - 1].days(row.audit_date)
    settle.promise(
        connection,
        now,
        round=number,
        contact_id=row.contact_id,
        address_id=row.registered_address_id,
        cohort_member_id=row.cohort_member_id,
        audit_id=row.audit_id,
        kind=AUDIT,
        channel=row.registered_channel,
        language=row.language,
        timezone=row.timezone,
        country=row.country,
        region=row.region,
        preference=str(repeated(parse(row.registered), row.country)),
        first_day=first_day,
        last_day=last_day,
    )
