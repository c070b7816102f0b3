"""Later rounds: who may be called again is asked once more after 30 and 90 days, or as the client's policy says.

    a callback of an audit is over ──▶ nobody looked yet (``followed IS NULL``)
        ──the clock looks──▶ the next round whose days are not over has a callback, or there is none

Nobody is followed who said stop, refused, was not safe, does not want to be contacted again, or has no telephone
that we know. The row itself remembers that it was looked at, in the transaction that makes the next one, so any
number of clocks may look; and a worker has one callback of each round. A new policy has all of a client's rows
looked at again (:func:`look_again`).
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, and_, exists, literal_column, select, update

from bot.callbacks import consents, requests, settle
from bot.callbacks.plan import GiveUp
from bot.callbacks.policy import Policy, from_json
from bot.callbacks.preference import parse, repeated
from bot.callbacks.states import AUDIT, CallbackState, Disposition
from bot.flow.events import ConsentScope
from bot.storage.database import Database
from bot.storage.tables import Attempt, Audit, Callback, table
from bot.storage.types import AnyRow

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
    with database.read() as connection:
        ids = list(connection.execute(select(_callback.c.id).where(_UNFOLLOWED).limit(limit)).scalars())
    if not ids:
        return 0
    with database.write() as connection:
        return sum(_follow(connection, callback_id, now) for callback_id in ids)


def look_again(connection: Connection, client_id: str) -> None:
    """A client's policy has changed: whether a next round follows is asked anew for all of its callbacks."""
    audits = select(_audit.c.id).where(_audit.c.client_id == client_id)
    connection.execute(
        update(_callback)
        .where(_callback.c.audit_id.in_(audits), _callback.c.followed.is_not(None))
        .values(followed=None)
    )


def may_follow(connection: Connection, row: AnyRow) -> bool:
    """Whether the worker of a callback that is over (see :func:`bot.callbacks.requests.columns`) may be called again."""
    if row.state not in (CallbackState.REACHED, CallbackState.GIVEN_UP) or row.consent is False:
        return False
    if row.state == CallbackState.GIVEN_UP and row.give_up_reason not in NOT_REACHED:
        return False
    other = _callback.alias("other")
    against = exists().where(other.c.contact_id == row.contact_id, other.c.state.in_(_AGAINST))
    wrong = exists().where(
        _attempt.c.callback_id == row.id, _attempt.c.disposition == Disposition.WRONG_NUMBER
    )
    if any(connection.execute(select(against, wrong)).one()):
        return False
    return consents.newest(connection, row.contact_id, ConsentScope.CONTACT_AGAIN) is not False


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
