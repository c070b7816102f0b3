"""What an operator must look at: told once per kind and subject, counted after that."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Connection, insert, select, update

from bot.ids import new_id
from bot.storage.tables import Incident, table

_incident = table(Incident)


class IncidentKind(StrEnum):
    """What went wrong."""

    FLOW_FILE = "flow_file"
    """A flow file is broken; the last good revision goes on. Subject: the file's name."""
    PARKED = "parked"
    """A message could not be taken by the engine; it is kept and tried again. Subject: its id."""
    PROVIDER = "provider"
    """The provider refuses our configuration. Subject: channel and code."""
    DELIVERY = "delivery"
    """A message to a worker could not be delivered. Subject: channel and code."""
    LOST = "lost"
    """A message's webhook did not reach us; it was found by asking the provider. Subject: the channel."""
    RECORDING = "recording"
    """A recording could not be fetched. Subject: its id."""
    PASS_WORD = "pass_word"  # noqa: S105 - the name of an incident, not a secret
    """Somebody tried many pass-words of one audit's workers from addresses that we do not know. Subject: its id."""
    FILE = "file"
    """A file that a worker sent could not be fetched, or is too large. Subject: its id."""
    CLOCK = "clock"
    """No clock beats: nobody is called and nothing is sent. Subject: ``clock``."""
    LATENESS = "lateness"
    """Callbacks are dialled too late, or later and later. Subject: ``callbacks``."""
    BACKLOG = "backlog"
    """Texts or notices have been due for too long. Subject: the channel, or ``notices``."""
    ERRORS = "errors"
    """A provider fails too often. Subject: the channel."""
    NUMBER_BLOCKED = "number_blocked"
    """A number of ours is blocked or refused. Subject: channel, country and code."""
    UNREADABLE = "unreadable"
    """A row cannot be read, as one of a later version during an update; it is tried again. Subject: its id."""
    LEFTOVER = "leftover"
    """Something could not be deleted at the provider. Subject: channel and code."""


QUIET = timedelta(hours=1)
"""Who was told of something is not told again when it comes back within this time."""


def report(connection: Connection, kind: IncidentKind, subject: str, now: datetime) -> None:
    """Tell the operator, or count a thing that was told already and open it again."""
    found = connection.execute(
        update(_incident)
        .where(_incident.c.kind == kind, _incident.c.subject == subject)
        .values(count=_incident.c["count"] + 1, last_at=now, resolved_at=None)
    )
    if not found.rowcount:
        connection.execute(
            insert(_incident).values(
                id=new_id(), kind=kind, subject=subject, count=1, first_at=now, last_at=now
            )
        )


def begin(connection: Connection, kind: IncidentKind, subject: str, now: datetime) -> bool:
    """A state of things holds: open its incident, or note that it still holds.

    True if somebody is to be told: it is new, or comes again after more than :data:`QUIET`. Raises IntegrityError if
    another process opens it at the same moment.
    """
    this = _incident.c.kind == kind, _incident.c.subject == subject
    row = connection.execute(select(_incident.c.resolved_at).where(*this)).one_or_none()
    if row is None:
        connection.execute(
            insert(_incident).values(
                id=new_id(), kind=kind, subject=subject, count=1, first_at=now, last_at=now
            )
        )
        return True
    again = connection.execute(
        update(_incident)
        .where(*this, _incident.c.resolved_at.is_not(None))
        .values(count=_incident.c["count"] + 1, last_at=now, resolved_at=None)
    )
    if again.rowcount:
        return row.resolved_at is not None and bool(row.resolved_at < now - QUIET)
    connection.execute(update(_incident).where(*this).values(last_at=now))
    return False


def close_quiet(
    connection: Connection, kinds: Collection[IncidentKind], before: datetime, now: datetime
) -> None:
    """Resolve what last held before an instant."""
    connection.execute(
        update(_incident)
        .where(_incident.c.kind.in_(kinds), _incident.c.resolved_at.is_(None), _incident.c.last_at <= before)
        .values(resolved_at=now)
    )


def resolve(connection: Connection, kind: IncidentKind, subject: str, now: datetime) -> None:
    """The thing is mended."""
    connection.execute(
        update(_incident)
        .where(_incident.c.kind == kind, _incident.c.subject == subject, _incident.c.resolved_at.is_(None))
        .values(resolved_at=now)
    )


def unresolved(connection: Connection, limit: int = 50) -> list[tuple[str, str, int, datetime]]:
    """Kind, subject, count and last time of what is still open, newest first."""
    rows = connection.execute(
        select(_incident.c.kind, _incident.c.subject, _incident.c["count"], _incident.c.last_at)
        .where(_incident.c.resolved_at.is_(None))
        .order_by(_incident.c.last_at.desc())
        .limit(limit)
    )
    return [(kind, subject, count, last_at) for kind, subject, count, last_at in rows]
