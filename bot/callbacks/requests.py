"""What the planner must know of a callback, read from the tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, and_, bindparam, exists, select

from bot.callbacks import caps
from bot.callbacks.plan import GiveUp, Request
from bot.callbacks.policy import Policy, Round, from_json
from bot.callbacks.preference import parse, repeated
from bot.callbacks.shifts import WEEK, Shift
from bot.callbacks.states import AUDIT, AttemptState, Disposition
from bot.messages import Channel
from bot.storage.tables import (
    Attempt,
    Audit,
    Callback,
    Client,
    CohortMember,
    Contact,
    Conversation,
    table,
)
from bot.storage.tables import Shift as ShiftRow
from bot.storage.types import AnyRow, AnySelect

_attempt = table(Attempt)
_callback = table(Callback)
_audit = table(Audit)
_client = table(Client)
_contact = table(Contact)
_conversation = table(Conversation)
_member = table(CohortMember)
_shift = table(ShiftRow)

COMPARISON = "comparison"
QUESTIONS: Final = "callback"
"""The flow that a callback goes through, in a call and in writing."""
PROVED: Final[ColumnElement[bool]] = exists().where(
    _conversation.c.attempt_id == _attempt.c.id,
    _conversation.c.flow == QUESTIONS,
    _conversation.c.contact_id.is_not(None),
)
"""Whether the worker gave her code in an attempt."""


@dataclass(frozen=True, slots=True)
class Considerations:
    """A callback's row (see :func:`columns`), its client's policy, and the request that follows from both."""

    row: AnyRow
    policy: Policy
    request: Request


def columns() -> AnySelect:
    """The columns of a callback with what counts of its audit, its client and its worker."""
    return (
        select(
            _callback,
            _client.c.id.label("client_id"),
            _client.c.policy,
            _audit.c.factory_id,
            _audit.c.audit_date,
            _member.c.row_key,
            _member.c.role,
            _member.c.consent,
            _member.c.preference.label("registered"),
            _member.c.channel.label("registered_channel"),
            _member.c.address_id.label("registered_address_id"),
            _member.c.reminder.label("agreed_at_interview"),
            _contact.c.reminders.label("wants_reminders"),
        )
        .outerjoin(_audit, _audit.c.id == _callback.c.audit_id)
        .outerjoin(_client, _client.c.id == _audit.c.client_id)
        .outerjoin(_member, _member.c.id == _callback.c.cohort_member_id)
        .outerjoin(_contact, _contact.c.id == _callback.c.contact_id)
    )


def read(connection: Connection, callback_id: str, now: datetime) -> Considerations:
    """Everything that counts for one callback at ``now``. There must be one of this id."""
    row = connection.execute(_COLUMNS, {"callback_id": callback_id}).one()
    policy = policy_for(row, from_json(row.policy))
    tried = connection.execute(_TRIES, {"callback_id": callback_id}).all()
    request = build(row, policy, tried, shifts_of(connection, [row.factory_id]).get(row.factory_id, ()))
    if row.kind == AUDIT:
        request = replace(request, held_until=caps.held_until(connection, row.client_id, policy, now))
    return Considerations(row, policy, request)


def policy_for(row: AnyRow, policy: Policy) -> Policy:
    """A client's policy as it holds for one callback: once an opening in writing takes the place of calls, their
    number no longer counts.
    """
    return replace(policy, max_attempts=None) if row.instead else policy


def tries() -> AnySelect:
    """The spent attempts: when they began, where, how they came out, and whether she herself put one off."""
    return select(
        _attempt.c.callback_id,
        _attempt.c.claimed_at,
        _attempt.c.channel,
        _attempt.c.disposition,
        and_(_attempt.c.disposition == Disposition.LATER, PROVED).label("by_her"),
    ).where(_attempt.c.state == AttemptState.SETTLED, _attempt.c.disposition != Disposition.RELEASED)


def shifts_of(connection: Connection, factory_ids: Iterable[str | None]) -> dict[str, tuple[Shift, ...]]:
    """The shifts of factories, by id; a factory without any is left out."""
    known = [each for each in factory_ids if each]
    if not known:
        return {}
    found: dict[str, tuple[Shift, ...]] = {}
    for row in connection.execute(_SHIFTS, {"factories": known}):
        days = frozenset(WEEK.index(day) for day in row.days.split())
        shift = Shift(days, row.begins, row.ends, row.valid_from, row.valid_until)
        found[row.factory_id] = (*found.get(row.factory_id, ()), shift)
    return found


def build(row: AnyRow, policy: Policy, tried: Iterable[AnyRow], shifts: tuple[Shift, ...]) -> Request:
    """The request of a callback, from its row, its spent attempts and the shifts of its factory. Pure."""
    attempts = list(tried)
    dispositions = [attempt.disposition for attempt in attempts]
    by_her = sum(bool(attempt.by_her) for attempt in attempts)
    return Request(
        preference=parse(row.preference) if row.preference else None,
        timezone=ZoneInfo(row.timezone),
        country=row.country,
        region=row.region,
        first_day=row.first_day,
        last_day=row.last_day,
        attempts=tuple(attempt.claimed_at for attempt in attempts),
        third_party=dispositions.count(Disposition.THIRD_PARTY),
        unverified=dispositions.count(Disposition.UNVERIFIED),
        put_off=dispositions.count(Disposition.LATER) - by_her,
        put_off_by_her=by_her,
        stop=_stop(row, policy, attempts),
        chosen=_chose(row),
        shifts=shifts,
    )


def _stop(row: AnyRow, policy: Policy, attempts: list[AnyRow]) -> GiveUp | None:
    if row.role == COMPARISON and not (policy.calls_comparison(row.row_key) or attempts):
        return GiveUp.NOT_IN_SAMPLE
    if row.instead and any(attempt.channel != Channel.VOICE for attempt in attempts):
        return GiveUp.ATTEMPTS_USED
    return None


def _chose(row: AnyRow) -> bool:
    """Whether the worker named her windows: at the interview, or in a talk with us. Of somebody who was not
    interviewed the upload states a window that nobody asked her for.
    """
    if row.kind != AUDIT or row.role != COMPARISON:
        return True
    return is_own_wish(row)


def is_own_wish(row: AnyRow) -> bool:
    """Whether a worker named another time, to us or in a talk, than the one with which she was registered. ``row`` has
    ``preference``, ``country`` and ``registered``, which is None for who was not registered."""
    if row.registered is None:
        return True
    registered = str(repeated(parse(row.registered), row.country)) if row.registered else ""
    return row.preference not in (row.registered, registered)


def days_under(found: Round, audit_date: date, row: AnyRow | Request, *, own_wish: bool) -> tuple[date, date]:
    """First and last day of a callback under a policy that gives its round other days. A time that she named herself
    keeps the days that it had. ``row`` has ``first_day`` and ``last_day``."""
    first, last = found.days(audit_date)
    return (min(first, row.first_day), max(last, row.last_day)) if own_wish else (first, last)


# Made once, because every call that is over asks them.
_COLUMNS: Final = columns().where(_callback.c.id == bindparam("callback_id"))
_TRIES: Final = tries().where(_attempt.c.callback_id == bindparam("callback_id"))
_SHIFTS: Final = (
    select(_shift)
    .where(_shift.c.factory_id.in_(bindparam("factories", expanding=True)))
    .order_by(_shift.c.id)
)
