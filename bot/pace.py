"""How fast things may start, over all processes: one bucket of tokens for each provider's limit, in SQL.

A bucket is a row of the table ``pace``. Its ``next_at`` is the wall time up to which it has been used: what
has gone by since then is room, and at most a second's worth of it is kept (for less than one a second, one).
A bucket whose ``next_at`` lies ahead is closed until then, because the provider wants to be left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from bot.storage.database import Database
from bot.storage.tables import Pace, table
from bot.storage.types import AnySelect

_pace = table(Pace)

CALLS = "calls"
"""The bucket of the telephone, from which callbacks are claimed; those of texts have the names of their channels."""
STARTS = "starts"
"""The bucket in which every call, to a worker or to an agent, books the moment at which it starts."""
TURN_WITHIN = timedelta(seconds=3)
"""A job waits so long at most for its turn to start a call; one that comes later is somebody's who is handed it
then."""
_KEPT = timedelta(seconds=1)
_ROUNDING = 1e-6

# Every dial asks these, so they are made once.
_NEXT: Final = select(_pace.c.next_at).where(_pace.c.name == bindparam("bucket")).with_for_update()
_USE: Final = update(_pace).where(_pace.c.name == bindparam("bucket"))
_IS_THERE: Final = select(_pace.c.name).where(_pace.c.name == bindparam("bucket"))


@dataclass(frozen=True, slots=True)
class Room:
    """How many may start now, while the bucket is locked by the transaction that asked."""

    name: str
    per_second: float
    since: datetime
    """Wall time up to which the bucket counts as used."""
    count: int


def make(database: Database, name: str, wall: datetime) -> None:
    """Make a bucket, full, if there is none of this name. Safe to repeat, whoever else does it at the same time."""
    with database.read() as connection:
        if connection.execute(_IS_THERE, {"bucket": name}).first():
            return
    try:
        with database.write() as connection:
            connection.execute(insert(_pace).values(name=name, next_at=wall - _KEPT))
    except IntegrityError:
        # Another clock was quicker.
        return


def room(connection: Connection, name: str, per_second: float, wall: datetime) -> Room:
    """Lock a bucket that was made, and say how many may start now; 0 while it is closed."""
    next_at = connection.execute(_NEXT, {"bucket": name}).scalar_one()
    since = max(next_at, wall - max(_KEPT, timedelta(seconds=1 / per_second)))
    count = int((wall - since).total_seconds() * per_second + _ROUNDING)
    return Room(name, per_second, since, max(0, count))


def use(connection: Connection, room: Room, number: int) -> None:
    """So many were started of those that there was room for."""
    if number:
        later = room.since + timedelta(seconds=number / room.per_second)
        connection.execute(_USE, {"next_at": later, "bucket": room.name})


def take(connection: Connection, name: str, per_second: float, wall: datetime) -> None:
    """One was started that asked for no room: there is room for one less."""
    use(connection, room(connection, name, per_second, wall), 1)


def book(
    connection: Connection, name: str, per_second: float, within: timedelta, wall: Callable[[], datetime]
) -> tuple[datetime, bool]:
    """The next start (wall time) of a bucket that was made, and whether it is the asker's alone.

    What is booked lies 1/``per_second`` apart, whoever asks, so that no second has more starts than the pace. A
    start that is further off than ``within`` is not booked.
    """
    next_at = connection.execute(_NEXT, {"bucket": name}).scalar_one()
    # Only now is it known how long the bucket was waited for.
    present = wall()
    start = max(next_at, present)
    if start - present > within:
        return start, False
    later = start + timedelta(seconds=1 / per_second)
    connection.execute(_USE, {"next_at": later, "bucket": name})
    return start, True


def turn(database: Database, name: str, every: timedelta, wall: datetime) -> bool:
    """Whether it is time again for what is done every so often; of all who ask, one is told so."""
    make(database, name, wall)
    with database.read() as connection:
        if is_closed(connection, name, wall):
            return False
    with database.write() as connection:
        mine = update(_pace).where(_pace.c.name == name, _pace.c.next_at <= wall).values(next_at=wall + every)
        return bool(connection.execute(mine).rowcount)


def close(connection: Connection, name: str, until: datetime) -> None:
    """The provider wants to be left alone until then (wall time); a bucket that is closed for longer stays so."""
    connection.execute(
        update(_pace).where(_pace.c.name == name, _pace.c.next_at < until).values(next_at=until)
    )


def closed(wall: datetime) -> AnySelect:
    """The names of the buckets that are closed, for the conditions of other statements."""
    return select(_pace.c.name).where(_pace.c.next_at > wall)


def is_closed(connection: Connection, name: str, wall: datetime) -> bool:
    """Whether the provider of a bucket is being left alone. What is only used up for the moment is not closed."""
    next_at = connection.execute(select(_pace.c.next_at).where(_pace.c.name == name)).scalar_one_or_none()
    return next_at is not None and next_at > wall
