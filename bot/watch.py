"""How the work goes at this moment: what is due, late and waiting, with one small reading a minute for a day.

Every number is over what is open, found by the index of what is open: none takes longer with a longer history.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, func, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite

from bot import transfers
from bot.callbacks import modes
from bot.callbacks.claim import UNSETTLED
from bot.messages import Channel
from bot.storage.tables import (
    Attempt,
    Callback,
    Incident,
    Media,
    Message,
    Outbox,
    Reading,
    RecordingRow,
    table,
)

_callback = table(Callback)
_attempt = table(Attempt)
_outbox = table(Outbox)
_message = table(Message)
_recording = table(RecordingRow)
_media = table(Media)
_incident = table(Incident)
_reading = table(Reading)

LATE: Final = timedelta(minutes=5)
"""A callback that has been due for longer counts as late."""
NOTICES: Final = "notices"
"""The queue of what goes to staff, beside those of the channels."""
_KEPT: Final = timedelta(hours=24)
_TOP: Final = 0.05
"""The share of the longest waits above the 95th percentile."""

# Written out, because a partial index is used only where the statement says the same as the index does.
_SCHEDULED: Final[ColumnElement[bool]] = _callback.c.state == literal_column("'scheduled'")
_QUEUED: Final[ColumnElement[bool]] = _outbox.c.state == literal_column("'queued'")
_NOTICE: Final[ColumnElement[bool]] = _outbox.c.kind == literal_column("'notice'")


@dataclass(frozen=True, slots=True)
class Line:
    """What waits in one queue: how many, and the seconds for which the first has been due."""

    name: str
    depth: int
    age: float


@dataclass(frozen=True, slots=True)
class Now:
    """What is open. Times are seconds."""

    scheduled: int
    next_due_at: datetime | None
    due: int
    late: int
    lateness: float
    """How long the oldest due callback waits."""
    lateness_p95: float
    """The wait that 95 of 100 due callbacks do not exceed."""
    for_agents: int
    """Callbacks that are due and wait for agents, as their client wants it: neither due nor late above."""
    dialling: int
    callers_waiting: int
    longest_wait: float
    outbox: tuple[Line, ...]
    """By channel, then the notices to staff."""
    parked: int
    recordings: int
    files: int
    incidents: int

    @property
    def outbox_depth(self) -> int:
        """What is due in all queues."""
        return sum(line.depth for line in self.outbox)

    def line(self, name: str) -> Line:
        """One queue; empty if nothing waits in it."""
        return next((line for line in self.outbox if line.name == name), Line(name, 0, 0.0))


def read(connection: Connection, now: datetime) -> Now:
    """Look."""
    theirs = modes.for_agents(connection)
    ours = _SCHEDULED if theirs is None else and_(_SCHEDULED, ~theirs)
    number = _count(connection, _callback, ours, _callback.c.due_at <= now)
    oldest = _nth(connection, ours, now, 0) if number else 0.0
    waiting = [caller for caller in transfers.line(connection) if caller.state in transfers.IN_LINE]
    scheduled, next_due_at = connection.execute(
        select(func.count(), func.min(_callback.c.due_at)).where(_SCHEDULED)
    ).one()
    return Now(
        scheduled=scheduled,
        next_due_at=next_due_at,
        due=number,
        late=_count(connection, _callback, ours, _callback.c.due_at <= now - LATE),
        lateness=oldest,
        lateness_p95=_nth(connection, ours, now, int(number * _TOP)) if number else 0.0,
        for_agents=0
        if theirs is None
        else _count(connection, _callback, _SCHEDULED, theirs, _callback.c.due_at <= now),
        dialling=_count(connection, _attempt, UNSETTLED),
        callers_waiting=len(waiting),
        longest_wait=max(((now - caller.since).total_seconds() for caller in waiting), default=0.0),
        outbox=_queues(connection, now),
        parked=_count(connection, _message, _message.c.retry_at.is_not(None)),
        recordings=_count(connection, _recording, _to_fetch(_recording)),
        files=_count(connection, _media, _to_fetch(_media)),
        incidents=_count(connection, _incident, _incident.c.resolved_at.is_(None)),
    )


def _nth(connection: Connection, which: ColumnElement[bool], now: datetime, n: int) -> float:
    """How many seconds the n-th oldest due callback waits."""
    query = select(_callback.c.due_at).where(which, _callback.c.due_at <= now)
    due_at = connection.execute(query.order_by(_callback.c.due_at).offset(n).limit(1)).scalar()
    return (now - due_at).total_seconds() if due_at else 0.0


def _queues(connection: Connection, now: datetime) -> tuple[Line, ...]:
    to_workers = [
        _queue(connection, now, channel.value, _outbox.c.channel == channel.value, ~_NOTICE)
        for channel in Channel
        if channel is not Channel.VOICE
    ]
    return (*to_workers, _queue(connection, now, NOTICES, _NOTICE))


def _queue(connection: Connection, now: datetime, name: str, *which: ColumnElement[bool]) -> Line:
    columns = select(func.count(), func.min(_outbox.c.due_at))
    depth, oldest = connection.execute(columns.where(_QUEUED, *which, _outbox.c.due_at <= now)).one()
    return Line(name, depth, (now - oldest).total_seconds() if oldest else 0.0)


def _to_fetch(of: Table) -> ColumnElement[bool]:
    return of.c.state.in_([literal_column("'due'"), literal_column("'fetched'")])


def _count(connection: Connection, of: Table, *where: ColumnElement[bool]) -> int:
    return int(connection.execute(select(func.count()).select_from(of).where(and_(*where))).scalar_one())


# --- readings ---------------------------------------------------------------------------------


def note(connection: Connection, found: Now, now: datetime) -> None:
    """Keep a reading of this minute, unless there is one, and forget those of more than a day ago."""
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    values = {
        "due": float(found.due),
        "late": float(found.late),
        "lateness_p95": found.lateness_p95,
        "dialling": float(found.dialling),
        "outbox": float(found.outbox_depth),
    }
    at = now.replace(second=0, microsecond=0)
    rows = [{"name": name, "at": at, "value": value} for name, value in values.items()]
    connection.execute(make(_reading).on_conflict_do_nothing(), rows)
    connection.execute(delete(_reading).where(_reading.c.name.in_(values), _reading.c.at < now - _KEPT))


def history(connection: Connection, name: str, since: datetime) -> list[tuple[datetime, float]]:
    """The readings of one number since an instant of the last day, oldest first."""
    rows = connection.execute(
        select(_reading.c.at, _reading.c.value)
        .where(_reading.c.name == name, _reading.c.at >= since)
        .order_by(_reading.c.at)
    )
    return [(row.at, row.value) for row in rows]
