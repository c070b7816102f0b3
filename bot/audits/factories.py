"""Factories, and the hours of work there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from sqlalchemy import Connection, delete, exists, insert, or_, select

from bot.callbacks import requests, settle
from bot.callbacks.shifts import WEEK, Shift
from bot.callbacks.states import CallbackState
from bot.clock import wall_time
from bot.errors import InputError
from bot.ids import new_id
from bot.privacy import access
from bot.service import Service
from bot.storage.tables import Audit, Callback, Client, Factory, table
from bot.storage.tables import Shift as ShiftRow
from bot.storage.types import AnySelect

_factory = table(Factory)
_client = table(Client)
_audit = table(Audit)
_callback = table(Callback)
_shift = table(ShiftRow)


@dataclass(frozen=True, slots=True)
class Workplace:
    """A factory as an operator sees it."""

    id: str
    name: str
    country: str
    client: str
    shifts: tuple[Shift, ...] = ()


def listed(connection: Connection, limit: int) -> list[Workplace]:
    """Factories with their shifts, by client and name."""
    return _found(connection, _in_order().limit(limit))


def of_client(connection: Connection, client_id: str, limit: int) -> list[Workplace]:
    """The factories of one client with their shifts, by name."""
    return _found(connection, _in_order().where(_factory.c.client_id == client_id).limit(limit))


def find(connection: Connection, name: str) -> Workplace:
    """The factory of a name, or of an id. Raises :class:`InputError` if there is none, or more than one."""
    found = _found(connection, _in_order().where(or_(_factory.c.name == name, _factory.c.id == name)))
    if len(found) > 1:
        ids = ", ".join(each.id for each in found[:10])
        raise InputError(f"{len(found)} factories have this name; give one of their ids: {ids}.", code="many")
    if not found:
        names = list(connection.execute(select(_factory.c.name).limit(1000)).scalars())
        close = get_close_matches(name, names, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else " Factories come with their first audit."
        raise InputError(f"there is no such factory.{hint}", code="unknown_factory")
    return found[0]


def named(connection: Connection, client: str, name: str, country: str | None) -> list[Workplace]:
    """The factories of a client that have a name, in one country or in any."""
    query = _in_order().where(_client.c.name == client, _factory.c.name == name)
    return _found(connection, query if country is None else query.where(_factory.c.country == country))


def set_shifts(service: Service, name: str, shifts: Iterable[Shift]) -> int:
    """As :func:`keep`, for the factory of a name or an id. Raises as :func:`find` does."""
    with service.database.read() as connection:
        factory_id = find(connection, name).id
    return keep(service, factory_id, shifts)


def keep(service: Service, factory_id: str, shifts: Iterable[Shift], *, by: str | None = None) -> int:
    """Keep the shifts of a factory in place of those that it had, and plan its workers' calls anew.

    Gives the number of callbacks planned anew. ``by`` is the member of staff, None the command line.
    """
    now = service.clock.now()
    with service.database.write() as connection:
        _put(connection, factory_id, shifts)
        ids = scheduled(connection, factory_id)
        for callback_id in ids:
            settle.replan(connection, callback_id, now)
        access.record(connection, by, "set_shifts", "factory", factory_id, wall_time())
    return len(ids)


def scheduled(connection: Connection, factory_id: str) -> list[str]:
    """The callbacks of a factory's workers that are planned."""
    waiting = connection.execute(
        select(_callback.c.id)
        .join(_audit, _audit.c.id == _callback.c.audit_id)
        .where(_audit.c.factory_id == factory_id, _callback.c.state == CallbackState.SCHEDULED)
    )
    return list(waiting.scalars())


def clients_without_shifts(connection: Connection) -> frozenset[str]:
    """The names of the clients of whose factories none has shifts."""
    theirs = exists().where(_factory.c.client_id == _client.c.id, _shift.c.factory_id == _factory.c.id)
    return frozenset(connection.execute(select(_client.c.name).where(~theirs)).scalars())


def _in_order() -> AnySelect:
    return (
        select(_factory, _client.c.name.label("client"))
        .join(_client, _client.c.id == _factory.c.client_id)
        .order_by(_client.c.name, _factory.c.name, _factory.c.country)
    )


def _found(connection: Connection, query: AnySelect) -> list[Workplace]:
    rows = connection.execute(query).all()
    shifts = requests.shifts_of(connection, [row.id for row in rows])
    return [Workplace(row.id, row.name, row.country, row.client, shifts.get(row.id, ())) for row in rows]


def _put(connection: Connection, factory_id: str, shifts: Iterable[Shift]) -> None:
    connection.execute(delete(_shift).where(_shift.c.factory_id == factory_id))
    rows = [
        {
            "id": new_id(),
            "factory_id": factory_id,
            "days": " ".join(WEEK[day] for day in sorted(shift.days)),
            "begins": shift.begins,
            "ends": shift.ends,
            "valid_from": shift.valid_from,
            "valid_until": shift.valid_until,
        }
        for shift in shifts
    ]
    if rows:
        connection.execute(insert(_shift), rows)
