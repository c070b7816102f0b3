"""The roster: who works here, as administrators see and change it. No number, address or secret is in it."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, select

from bot import agents, staff
from bot.clock import wall_time
from bot.errors import NotFound
from bot.privacy import access
from bot.service import Service
from bot.staff import Role
from bot.storage.tables import Agent, Staff, table
from bot.storage.types import AnyRow, AnySelect

_staff, _agent = table(Staff), table(Agent)


@dataclass(frozen=True, slots=True)
class Member:
    """A member of staff."""

    id: str
    name: str
    roles: frozenset[Role]
    active: bool
    created_at: datetime
    has_email: bool
    languages: tuple[str, ...]
    """What an agent speaks on the telephone (BCP-47); empty for somebody who has no telephone with us."""

    @property
    def has_phone(self) -> bool:
        """Whether there is a telephone on which she is rung."""
        return bool(self.languages)


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Somebody who is to be added. With a telephone (+ and country code) go the languages that she speaks."""

    name: str
    roles: frozenset[Role]
    password: str = field(repr=False)
    email: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)
    languages: tuple[str, ...] = ()


def members(connection: Connection) -> tuple[Member, ...]:
    """Everybody, active ones first, then by name."""
    rows = connection.execute(_members().order_by(_staff.c.active.desc(), _staff.c.name))
    return tuple(_member(row) for row in rows)


def member(connection: Connection, staff_id: str) -> Member:
    """One member of staff by id. Raises :class:`NotFound`."""
    return _only(connection, _staff.c.id == staff_id)


def named(connection: Connection, name: str) -> Member:
    """One member of staff by name, as somebody typed it. Raises :class:`NotFound`."""
    return _only(connection, _staff.c.name == staff.normal_name(name))


def add(service: Service, newcomer: Newcomer, *, by: str | None = None) -> str:
    """Add somebody, all or nothing; gives the secret of their one-time passwords, shown this once.

    ``by`` is the administrator's id, None the command line. Raises :class:`InputError` as
    :func:`bot.staff.add` and :func:`bot.agents.set_phone_and_languages` do.
    """

    def line(connection: Connection, staff_id: str) -> None:
        if newcomer.phone or newcomer.languages:
            _set_line(connection, service, staff_id, newcomer.phone or None, newcomer.languages or None, by)

    return staff.add(
        service.database,
        service.sealer,
        service.clock,
        newcomer.name,
        newcomer.password,
        newcomer.roles,
        newcomer.email,
        by=by,
        also=line,
    )


def set_line(
    service: Service,
    staff_id: str,
    phone: str | None,
    languages: Collection[str] | None,
    *,
    by: str | None = None,
) -> None:
    """Give somebody a telephone on which workers are put through, and what they speak; None leaves what is there.

    Raises :class:`InputError` and :class:`NotFound`.
    """
    with service.database.write() as connection:
        _set_line(connection, service, staff_id, phone, languages, by)


def fresh_password() -> str:
    """A password for a person's first day: 96 bits, to be handed over once and then replaced."""
    return secrets.token_urlsafe(12)


def _set_line(
    connection: Connection,
    service: Service,
    staff_id: str,
    phone: str | None,
    languages: Collection[str] | None,
    by: str | None,
) -> None:
    now = service.clock.now()
    agents.set_phone_and_languages(
        connection, service.sealer, staff_id, phone=phone, languages=languages, now=now
    )
    access.record(connection, by, "set_line", "staff", staff_id, wall_time())


def _only(connection: Connection, which: ColumnElement[bool]) -> Member:
    row = connection.execute(_members().where(which)).one_or_none()
    if row is None:
        raise NotFound("no such member of staff")
    return _member(row)


def _members() -> AnySelect:
    joined = _staff.outerjoin(_agent, _agent.c.staff_id == _staff.c.id)
    return select(_staff, _agent.c.languages).select_from(joined)


def _member(row: AnyRow) -> Member:
    return Member(
        id=row.id,
        name=row.name,
        roles=staff.roles_of(row.roles),
        active=row.active,
        created_at=row.created_at,
        has_email=row.email_sealed is not None,
        languages=tuple((row.languages or "").split()),
    )
