"""What an operator must look at: incidents, the parts of the service that are alive, the channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from flask import current_app, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import Connection, select, update

from bot import alerts
from bot.clock import wall_time
from bot.errors import NotFound
from bot.incidents import IncidentKind
from bot.messages import Channel
from bot.privacy import access
from bot.service import DEMO_CLOCK, Service
from bot.settings import Settings
from bot.storage.tables import Heartbeat, table
from bot.storage.tables import Incident as IncidentRow
from console.session import staff

_MOST: Final = 100
_YESTERDAY: Final = timedelta(hours=24)
_SILENT: Final = timedelta(minutes=2)
"""A part that has not been heard for so long is shown as silent."""
_incident, _heartbeat = table(IncidentRow), table(Heartbeat)


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that went wrong, perhaps many times. ``subject`` is an id, a file name or a code."""

    id: str
    kind: str
    subject: str
    count: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the service, and when it was last heard (real time)."""

    name: str
    at: datetime
    silent: bool


def show() -> ResponseReturnValue:
    """The page of the operator."""
    service: Service = current_app.extensions["voiceback"]
    now = wall_time()
    with service.database.read() as connection:
        incidents, parts = read_incidents(connection), read_parts(connection, now)
        recovered = read_recovered(connection, service.clock.now())
    return render_template(
        "console/operations.html",
        incidents=incidents,
        recovered=recovered,
        most=_MOST,
        parts_alive=parts,
        channels=channels(service.settings),
        now=now,
    )


def resolve(incident_id: str) -> ResponseReturnValue:
    """Say that an incident was looked after. It shows again if it happens again."""
    service: Service = current_app.extensions["voiceback"]
    now = wall_time()
    done = update(_incident).where(_incident.c.id == incident_id, _incident.c.resolved_at.is_(None))
    with service.database.write() as connection:
        if connection.execute(done.values(resolved_at=now)).rowcount == 0:
            raise NotFound(f"no open incident {incident_id}")
        access.record(connection, staff().id, "resolve_incident", "incident", incident_id, now)
    flash("Marked as looked after.")
    return redirect(url_for("console.operations"), 303)


def read_incidents(connection: Connection) -> list[Incident]:
    """The open incidents, latest first, at most a hundred."""
    columns = [_incident.c[name] for name in Incident.__dataclass_fields__]
    query = select(*columns).where(_incident.c.resolved_at.is_(None))
    rows = connection.execute(query.order_by(_incident.c.last_at.desc()).limit(_MOST))
    return [Incident(*row) for row in rows]


def read_recovered(connection: Connection, now: datetime) -> list[Incident]:
    """What an alert was raised about and is over by itself since yesterday, the latest first."""
    columns = ("id", "kind", "subject", "count", "first_at", "resolved_at")
    query = select(*(_incident.c[name] for name in columns))
    kinds = (*alerts.KINDS, IncidentKind.CLOCK)
    rows = connection.execute(
        query.where(_incident.c.kind.in_(kinds), _incident.c.resolved_at >= now - _YESTERDAY)
        .order_by(_incident.c.resolved_at.desc())
        .limit(_MOST)
    )
    return [Incident(*row) for row in rows]


def read_parts(connection: Connection, now: datetime) -> list[Part]:
    """The parts of the service that were ever alive. ``now`` is real time."""
    query = select(_heartbeat).where(_heartbeat.c.name != DEMO_CLOCK).order_by(_heartbeat.c.name)
    return [Part(row.name, row.at, now - row.at > _SILENT) for row in connection.execute(query)]


def channels(settings: Settings) -> Mapping[str, bool]:
    """The channels that this version knows, and whether their settings switch them on."""
    switches = {channel.value: getattr(settings, f"{channel}_on", None) for channel in Channel}
    return {name: on for name, on in switches.items() if on is not None}
