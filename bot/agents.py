"""Agents: members of staff who talk with workers on the telephone, and whether they can be rung now.

    away ⇄ free → ringing → talking → wrap_up → free | away
                     └→ free (the caller left)  or  → away (she did not take it)

An agent who is not signed in to the console, or whose page is closed, is not there whatever her state
says: a telephone that rings in an empty room helps nobody. Who does not take a ring is away from then
on, so that the next caller is not lost on her. Statements that move an agent name the states that she
may come from. ``since`` is the service's time; presence is wall time, like the sessions it is read from.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import phonenumbers
from sqlalchemy import ColumnElement, Connection, exists, insert, select, update

from bot import language
from bot.errors import AddressError, InputError, NotFound
from bot.messages import Address, AddressKind
from bot.privacy.keys import Purpose
from bot.privacy.seal import Sealer
from bot.staff import LONGEST_SESSION, Role
from bot.storage.tables import Agent, Staff, StaffSession, table
from bot.storage.types import AnyRow, AnySelect

_agent = table(Agent)
_staff = table(Staff)
_session = table(StaffSession)

PRESENCE: Final = timedelta(minutes=5)
"""An agent whose console page was not heard of for so long is not there. The page asks every few seconds, a
browser in the background once a minute, and the session notes it once a minute."""


class AgentState(StrEnum):
    """Where an agent stands; see the drawing at the head of this module."""

    AWAY = "away"
    FREE = "free"
    RINGING = "ringing"
    """Her telephone rings, or is about to."""
    TALKING = "talking"
    WRAP_UP = "wrap_up"
    """The talk is over and she writes down what there is to write."""


@dataclass(frozen=True, slots=True)
class Seat:
    """An agent as she sees herself and as supervisors see her. Holds no number."""

    staff_id: str
    name: str
    languages: tuple[str, ...]
    state: AgentState
    since: datetime
    """When the present state began, in the service's time."""
    is_present: bool
    """Whether her console page is open. Without it she is not rung, whatever her state."""
    missed: int
    """Rings in a row that she did not take. An agent who is away with one here was set away by it."""


# --- who is an agent --------------------------------------------------------------------------


def set_phone_and_languages(
    connection: Connection,
    sealer: Sealer,
    staff_id: str,
    *,
    phone: str | None,
    languages: Collection[str] | None,
    now: datetime,
) -> None:
    """Make a member of staff an agent, or change the telephone on which she is rung or what she speaks.

    ``phone`` has + and the country code, ``languages`` are BCP-47 codes or aliases, the first is the one in
    which the system talks to her. None leaves what is there. Raises :class:`InputError` for what is missing
    or wrong (the message never holds the number) and :class:`NotFound` for nobody.
    """
    if connection.execute(select(_staff.c.id).where(_staff.c.id == staff_id)).first() is None:
        raise NotFound(f"no member of staff {staff_id}")
    values: dict[str, object] = {}
    if phone is not None:
        values["phone_sealed"] = sealer.seal_text(_context(staff_id), _e164(phone), Purpose.STAFF)
    if languages is not None:
        values["languages"] = " ".join(_known(languages))
    known = connection.execute(select(_agent.c.staff_id).where(_agent.c.staff_id == staff_id)).first()
    if known is None:
        if phone is None or languages is None:
            raise InputError("an agent needs a telephone and at least one language", code="agent_incomplete")
        connection.execute(
            insert(_agent).values(staff_id=staff_id, state=AgentState.AWAY, since=now, missed=0, **values)
        )
    elif values:
        connection.execute(update(_agent).where(_agent.c.staff_id == staff_id).values(**values))


def phone(connection: Connection, sealer: Sealer, staff_id: str) -> Address:
    """The telephone of an agent; it prints as ``<address>``. Raises :class:`NotFound`."""
    sealed = connection.execute(
        select(_agent.c.phone_sealed).where(_agent.c.staff_id == staff_id)
    ).scalar_one_or_none()
    if sealed is None:
        raise NotFound(f"no agent {staff_id}")
    return Address(AddressKind.PHONE, sealer.open_text(_context(staff_id), sealed, Purpose.STAFF))


def _context(staff_id: str) -> str:
    return f"agent.phone_sealed:{staff_id}"


def _e164(text: str) -> str:
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        number = phonenumbers.PhoneNumber()
    if not phonenumbers.is_possible_number(number):
        raise AddressError(
            "give the telephone with + and the country code, for instance +84 912 345 678",
            code="phone_invalid",
        )
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _known(codes: Collection[str]) -> list[str]:
    found = [language.match(code) for code in codes]
    if not found or None in found:
        raise InputError(f"languages are: {', '.join(language.SERVED)}", code="language_unknown")
    return list(dict.fromkeys(code for code in found if code is not None))


# --- coming and going -------------------------------------------------------------------------


def come(connection: Connection, staff_id: str, now: datetime) -> None:
    """She takes calls from now on. One who is free, rung or talking already stays as she is.

    Raises :class:`InputError` (``no_phone``) for somebody who has no telephone with us.
    """
    came = move(connection, staff_id, AgentState.FREE, {AgentState.AWAY, AgentState.WRAP_UP}, now)
    if not came and state_of(connection, staff_id) is None:
        raise InputError("an administrator has to enter your telephone and languages first", code="no_phone")


def go(connection: Connection, staff_id: str, now: datetime) -> None:
    """She takes no more calls. Raises :class:`InputError` (``in_call``) while her telephone rings or she talks."""
    if move(connection, staff_id, AgentState.AWAY, {AgentState.FREE, AgentState.WRAP_UP}, now):
        connection.execute(update(_agent).where(_agent.c.staff_id == staff_id).values(missed=0))
    elif state_of(connection, staff_id) in {AgentState.RINGING, AgentState.TALKING}:
        raise InputError("you are being called, or talk with somebody, at this moment", code="in_call")


def move(
    connection: Connection, staff_id: str, to: AgentState, out_of: Collection[AgentState], now: datetime
) -> bool:
    """Move an agent from one of the states ``out_of``; False if she is in none of them."""
    values: dict[str, object] = {"state": to, "since": now}
    if to in {AgentState.FREE, AgentState.TALKING}:
        values["missed"] = 0
    moved = connection.execute(
        update(_agent).where(_agent.c.staff_id == staff_id, _agent.c.state.in_(out_of)).values(**values)
    )
    return moved.rowcount == 1


def missed(connection: Connection, staff_id: str, now: datetime) -> None:
    """She did not take a ring: she is away until she says that she is back."""
    connection.execute(
        update(_agent)
        .where(_agent.c.staff_id == staff_id, _agent.c.state == AgentState.RINGING)
        .values(state=AgentState.AWAY, since=now, missed=_agent.c.missed + 1)
    )


def state_of(connection: Connection, staff_id: str) -> AgentState | None:
    """The state of an agent; None for somebody who is none."""
    state = connection.execute(
        select(_agent.c.state).where(_agent.c.staff_id == staff_id)
    ).scalar_one_or_none()
    return AgentState(state) if state is not None else None


# --- who is there -----------------------------------------------------------------------------


def is_there(connection: Connection, spoken: str, wall: datetime) -> bool:
    """Whether an agent who speaks a language (BCP-47) is signed in to the line, free or busy."""
    query = _present(wall).where(_speaks(spoken)).limit(1)
    return connection.execute(query).first() is not None


def languages_there(connection: Connection, wall: datetime) -> list[frozenset[str]]:
    """What each agent speaks who is signed in to the line, free or busy."""
    return [frozenset(row.languages.split()) for row in connection.execute(_present(wall))]


def free_languages(connection: Connection, wall: datetime) -> list[frozenset[str]]:
    """What each agent speaks who can be rung now. Reads only, and locks nobody."""
    query = _present(wall).where(_agent.c.state == AgentState.FREE)
    return [frozenset(row.languages.split()) for row in connection.execute(query)]


def free(connection: Connection, wall: datetime) -> dict[str, frozenset[str]]:
    """Who can be rung now and what each speaks, whoever is free for longest first.

    In a write transaction their rows are locked; what another clock has locked is left out.
    """
    query = (
        _present(wall)
        .where(_agent.c.state == AgentState.FREE)
        .order_by(_agent.c.since, _agent.c.staff_id)
        .with_for_update(skip_locked=True, of=_agent)
    )
    return {row.staff_id: frozenset(row.languages.split()) for row in connection.execute(query)}


def board(connection: Connection, wall: datetime) -> tuple[Seat, ...]:
    """All agents, for supervisors: who is there first, then by name."""
    rows = connection.execute(_seats(wall).where(_staff.c.active, _is_agent()))
    seats = [_seat(row) for row in rows]
    return tuple(sorted(seats, key=lambda seat: (not seat.is_present, seat.name)))


def mine(connection: Connection, staff_id: str, wall: datetime) -> Seat | None:
    """One's own seat; None for somebody who is no agent yet (an administrator enters telephone and languages)."""
    row = connection.execute(_seats(wall).where(_agent.c.staff_id == staff_id)).one_or_none()
    return _seat(row) if row is not None else None


def without_phone(connection: Connection) -> list[str]:
    """Active members of staff with the role of an agent and no telephone: their ids, for ``doctor``."""
    query = select(_staff.c.id).outerjoin(_agent, _agent.c.staff_id == _staff.c.id)
    found = query.where(_staff.c.active, _is_agent(), _agent.c.staff_id.is_(None)).order_by(_staff.c.id)
    return list(connection.execute(found).scalars())


def languages_with_phone(connection: Connection) -> frozenset[str]:
    """What the agents speak, whether they are there or not."""
    rows = connection.execute(
        select(_agent.c.languages)
        .join(_staff, _staff.c.id == _agent.c.staff_id)
        .where(_staff.c.active, _is_agent())
    )
    return frozenset(spoken for row in rows for spoken in row.languages.split())


def by_state(connection: Connection, wall: datetime) -> Mapping[AgentState, int]:
    """How many agents are in each state; who is not there counts as away."""
    counts = dict.fromkeys(AgentState, 0)
    for seat in board(connection, wall):
        counts[seat.state if seat.is_present else AgentState.AWAY] += 1
    return counts


def _present(wall: datetime) -> AnySelect:
    return (
        select(_agent.c.staff_id, _agent.c.languages)
        .join(_staff, _staff.c.id == _agent.c.staff_id)
        .where(_agent.c.state != AgentState.AWAY, _staff.c.active, _is_agent(), _page_is_open(wall))
    )


def _seats(wall: datetime) -> AnySelect:
    present = _staff.c.active & _page_is_open(wall)
    return select(_agent, _staff.c.name, present.label("is_present")).join(
        _staff, _staff.c.id == _agent.c.staff_id
    )


def _seat(row: AnyRow) -> Seat:
    return Seat(
        staff_id=row.staff_id,
        name=row.name,
        languages=tuple(row.languages.split()),
        state=AgentState(row.state),
        since=row.since,
        is_present=bool(row.is_present),
        missed=row.missed,
    )


def _page_is_open(wall: datetime) -> ColumnElement[bool]:
    return exists().where(
        _session.c.staff_id == _agent.c.staff_id,
        _session.c.seen_at > wall - PRESENCE,
        _session.c.created_at > wall - LONGEST_SESSION,
    )


def _is_agent() -> ColumnElement[bool]:
    # A role that was taken away ends the sessions, but she may sign in again with what is left.
    found: ColumnElement[bool] = (" " + _staff.c.roles + " ").contains(f" {Role.AGENT} ", autoescape=True)
    return found


def _speaks(spoken: str) -> ColumnElement[bool]:
    found: ColumnElement[bool] = (" " + _agent.c.languages + " ").contains(f" {spoken} ", autoescape=True)
    return found
