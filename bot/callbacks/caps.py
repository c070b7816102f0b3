"""The most callbacks of a client that are begun in a day, over all processes.

A place is taken in the transaction that claims the callback, under a lock on the day's row, and given back if
the provider was never asked. Callbacks that find no place are planned for another day. Only what an upload
promised counts: who asked for a call herself gets it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bot.callbacks.policy import Policy, from_json
from bot.callbacks.states import AUDIT, CallbackState
from bot.storage.tables import Audit, Callback, Client, ClientDay, table
from bot.unreadable import may_be_read

_client = table(Client)
_audit = table(Audit)
_callback = table(Callback)
_day = table(ClientDay)


def held_until(
    connection: Connection, client_id: str | None, policy: Policy, now: datetime
) -> datetime | None:
    """When a client may begin callbacks again, in UTC; None if it may now."""
    if client_id is None or policy.daily_cap is None:
        return None
    begun = begun_on(connection, client_id, policy.day_of(now))
    return policy.day_after(now) if begun >= policy.daily_cap else None


def begun_on(connection: Connection, client_id: str, day: date) -> int:
    """How many places of a day are taken."""
    taken = select(_day.c.begun).where(_day.c.client_id == client_id, _day.c.day == day)
    return connection.execute(taken).scalar_one_or_none() or 0


def full(connection: Connection, now: datetime) -> list[str]:
    """The clients that may begin no more callbacks on the day of ``now``."""
    return [
        client_id
        for client_id, policy in _capped(connection).items()
        if held_until(connection, client_id, policy, now) is not None
    ]


def take(connection: Connection, audits: Sequence[tuple[str, str]], now: datetime) -> dict[str, date | None]:
    """Take places for callbacks, given with their audits in the order in which they are due.

    Gives those that may begin, and the day on which each counts (None without a cap). The days stay locked until
    the transaction ends.
    """
    capped = _capped(connection)
    if not capped:
        return dict.fromkeys((callback_id for callback_id, _ in audits))
    client_of = _clients(connection, [audit_id for _, audit_id in audits])
    granted: dict[str, date | None] = {}
    # In one order, so that two clocks cannot wait for each other.
    for client_id in sorted({client_of.get(audit_id, "") for _, audit_id in audits}):
        mine = [callback_id for callback_id, audit_id in audits if client_of.get(audit_id, "") == client_id]
        if client_id not in capped:
            granted |= dict.fromkeys(mine)
            continue
        day = capped[client_id].day_of(now)
        number = _reserve(connection, client_id, day, capped[client_id].daily_cap or 0, len(mine))
        granted |= dict.fromkeys(mine[:number], day)
    return granted


def give_back(connection: Connection, callback_id: str, day: date) -> None:
    """A callback was not begun after all: its place on that day is free again."""
    client_id = (
        select(_audit.c.client_id)
        .join(_callback, _callback.c.audit_id == _audit.c.id)
        .where(_callback.c.id == callback_id)
        .scalar_subquery()
    )
    connection.execute(
        update(_day)
        .where(_day.c.client_id == client_id, _day.c.day == day, _day.c.begun > 0)
        .values(begun=_day.c.begun - 1)
    )


def held_back(connection: Connection, now: datetime, limit: int) -> list[str]:
    """Due callbacks of clients whose day is full: they are to be planned for another day."""
    clients = full(connection, now)
    if not clients:
        return []
    due = (
        select(_callback.c.id)
        .join(_audit, _audit.c.id == _callback.c.audit_id)
        .where(
            _callback.c.state == CallbackState.SCHEDULED,
            _callback.c.due_at <= now,
            _callback.c.kind == AUDIT,
            _audit.c.client_id.in_(clients),
            may_be_read(_callback.c.id, now),
        )
        .limit(limit)
    )
    return list(connection.execute(due).scalars())


def _capped(connection: Connection) -> dict[str, Policy]:
    rows = connection.execute(select(_client.c.id, _client.c.policy).where(_client.c.daily_cap.is_not(None)))
    policies = {row.id: from_json(row.policy) for row in rows}
    # The policy is the truth; the column only says where to look.
    return {client_id: policy for client_id, policy in policies.items() if policy.daily_cap is not None}


def _clients(connection: Connection, audit_ids: list[str]) -> dict[str, str]:
    rows = connection.execute(select(_audit.c.id, _audit.c.client_id).where(_audit.c.id.in_(audit_ids)))
    return {row.id: row.client_id for row in rows}


def _reserve(connection: Connection, client_id: str, day: date, most: int, wanted: int) -> int:
    """Lock a client's day and take up to ``wanted`` of its places; gives how many there were."""
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    connection.execute(make(_day).values(client_id=client_id, day=day, begun=0).on_conflict_do_nothing())
    this = (_day.c.client_id == client_id, _day.c.day == day)
    begun = connection.execute(select(_day.c.begun).where(*this).with_for_update()).scalar_one()
    number = max(0, min(wanted, most - int(begun)))
    if number:
        connection.execute(update(_day).where(*this).values(begun=begun + number))
    return number
