"""What an operator must look at: told once per kind and subject, counted after that."""

from __future__ import annotations

from datetime import datetime
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
    LEFTOVER = "leftover"
    """Something could not be deleted at the provider. Subject: channel and code."""


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
