"""A client's callbacks follow a new policy: audit by audit, each in a transaction of its own.

A client may have thousands of callbacks waiting. Were they planned in one transaction, no message could be written
down meanwhile on SQLite. How far it has come stands in the client's row (``anew_after``), so that the clock goes on
where a process was killed. A callback that is dialled in between is dialled by the policy before; nothing is dialled
by half of one. One that cannot be read (:mod:`bot.unreadable`) stays as it was planned, and keeps no other back.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Final

from sqlalchemy import ColumnElement, Connection, func, select, update

from bot import unreadable
from bot.callbacks import requests, rounds, settle
from bot.callbacks.plan import GiveUp
from bot.callbacks.policy import Policy, from_json
from bot.callbacks.states import AUDIT, CallbackState
from bot.storage.database import Database
from bot.storage.tables import Audit, Callback, Client, CohortMember, table
from bot.storage.types import AnyRow
from bot.unreadable import apart

_client = table(Client)
_audit = table(Audit)
_callback = table(Callback)
_member = table(CohortMember)

_FIRST: Final = ""
"""Before the first audit: ids are never empty."""

_MAY_COME_BACK: Final = (*rounds.NOT_REACHED, GiveUp.NOT_IN_SAMPLE, rounds.NO_ROUND)
"""Reasons that another policy may take away. A worker's own word is not among them."""


def may_come_back(reason: str | None) -> bool:
    """Whether a callback that was given up for a reason, and that nobody dialled, follows a new policy."""
    return reason is None or reason in _MAY_COME_BACK


def begin(connection: Connection, client_id: str, policy: Policy, now: datetime) -> int:
    """In the transaction that keeps a policy: what nobody has dialled is to follow it. Gives their number.

    Whether later rounds follow is asked anew.
    """
    connection.execute(update(_client).where(_client.c.id == client_id).values(anew_after=_FIRST))
    rounds.look_again(connection, client_id, policy, now)
    affected = (
        select(func.count())
        .select_from(_callback.join(_audit, _audit.c.id == _callback.c.audit_id))
        .where(_audit.c.client_id == client_id, *_waiting())
    )
    return connection.execute(affected).scalar_one()


def unfinished(connection: Connection) -> list[str]:
    """The clients whose callbacks do not all follow their policy yet."""
    return list(connection.execute(select(_client.c.id).where(_client.c.anew_after.is_not(None))).scalars())


def go_on(database: Database, client_id: str, now: datetime) -> bool:
    """Plan the callbacks of one more audit; False if none is left. Whoever else does it at once takes another audit."""
    with database.write() as connection:
        row = connection.execute(
            # Whoever claims its callbacks may write rows that refer to the client meanwhile, as of a new day.
            select(_client.c.policy, _client.c.anew_after)
            .where(_client.c.id == client_id)
            .with_for_update(key_share=True)
        ).one()
        if row.anew_after is None:
            return False
        audit_id = _next(connection, client_id, row.anew_after)
        connection.execute(update(_client).where(_client.c.id == client_id).values(anew_after=audit_id))
        if audit_id is None:
            return False
        _plan(connection, audit_id, from_json(row.policy), now)
        return True


def _next(connection: Connection, client_id: str, after: str) -> str | None:
    has_some = select(_callback.c.id).where(_callback.c.audit_id == _audit.c.id, *_waiting()).exists()
    return connection.execute(
        select(_audit.c.id)
        .where(_audit.c.client_id == client_id, _audit.c.id > after, has_some)
        .order_by(_audit.c.id)
        .limit(1)
    ).scalar_one_or_none()


def _plan(connection: Connection, audit_id: str, policy: Policy, now: datetime) -> None:
    names = ("id", "round", "preference", "country", "first_day", "last_day")
    rows = connection.execute(
        select(
            *(_callback.c[name] for name in names),
            _audit.c.audit_date,
            _member.c.preference.label("registered"),
        )
        .join(_audit, _audit.c.id == _callback.c.audit_id)
        .outerjoin(_member, _member.c.id == _callback.c.cohort_member_id)
        .where(_callback.c.audit_id == audit_id, *_waiting())
        # Whoever dials one at this moment keeps it.
        .with_for_update(of=_callback)
    ).all()
    for row in rows:
        tell = partial(unreadable.tell, connection, row.id, now)
        with apart("follow_policy", row.id, tell), connection.begin_nested():
            _plan_one(connection, row, policy, now)


def _plan_one(connection: Connection, row: AnyRow, policy: Policy, now: datetime) -> None:
    found = policy.round(row.round)
    this = update(_callback).where(_callback.c.id == row.id)
    if found is None:
        over = {"state": CallbackState.GIVEN_UP, "give_up_reason": rounds.NO_ROUND}
        connection.execute(this.values(**over, due_at=None, window_end=None, updated_at=now))
        return
    own_wish = requests.is_own_wish(row)
    first_day, last_day = requests.days_under(found, row.audit_date, row, own_wish=own_wish)
    connection.execute(this.values(first_day=first_day, last_day=last_day))
    settle.schedule(connection, row.id, now)


def _waiting() -> tuple[ColumnElement[bool], ...]:
    """What another policy may still plan otherwise: nobody has dialled it."""
    return (
        _callback.c.kind == AUDIT,
        _callback.c.attempts == 0,
        _callback.c.state.in_([CallbackState.SCHEDULED, CallbackState.GIVEN_UP]),
        _callback.c.give_up_reason.is_(None) | _callback.c.give_up_reason.in_(_MAY_COME_BACK),
    )
