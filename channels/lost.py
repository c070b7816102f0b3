"""Texts whose webhook never reached us: the provider's own list is looked through, and what is new is taken.

A webhook that fails for good is lost; the text itself lies with the provider. Every few minutes one process
asks for what came in since the list was last read to its end, with some minutes more, so that nothing falls
between two readings. What is known already, by the provider's id, is passed over; so a webhook that comes
after all, or comes again, changes nothing. After an outage the reading goes on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import select

from bot import incidents, intake, tick, transcript
from bot.clock import wall_time
from bot.errors import ConflictError, SendError
from bot.incidents import IncidentKind
from bot.messages import Channel as Name
from bot.messages import Inbound
from bot.service import Service
from bot.storage.tables import Heartbeat, table
from channels.base import Channel, Listing

log = structlog.get_logger()

_heartbeat = table(Heartbeat)

GRACE: Final = timedelta(minutes=2)
"""What came later than this is left to its webhook, which the provider may still be trying."""
OVERLAP: Final = timedelta(minutes=10)
"""How much is read again, for what the provider's list shows late."""
STRETCH: Final = timedelta(hours=6)
"""How much is asked for at once after an outage."""
LONGEST: Final = timedelta(days=30)
"""What is older is not looked for: it would be answered as if it were of today."""
_SECONDS: Final = 30.0
"""Then a job ends and leaves the rest to the next one."""


def part(channel: Name) -> str:
    """The name under which a reading stands among the parts that say that they are alive."""
    return f"poll {channel}"


def poll(heart: Service, doors: Mapping[Name, Channel]) -> int:
    """Read every list up to now, or for half a minute; gives how many texts were found that nobody brought.

    The first reading only notes where to begin: what lay with the provider before is not ours to answer.
    """
    until = time.monotonic() + _SECONDS
    found = 0
    for name, door in doors.items():
        if not isinstance(door, Listing):
            continue
        try:
            found += _read(heart, name, door, until)
        except ConflictError:
            # A worker is writing just now; the next reading begins where this one did, and finds her text again.
            continue
        except SendError as error:
            log.warning("poll_failed", channel=name.value, code=error.code)
            if error.action == "operator":
                with heart.database.write() as connection:
                    subject = f"{name} {error.code}"
                    incidents.report(connection, IncidentKind.PROVIDER, subject, heart.clock.now())
    return found


def _read(heart: Service, name: Name, door: Listing, deadline: float) -> int:
    wall = wall_time()
    last = wall - GRACE
    with heart.database.read() as connection:
        at = connection.execute(
            select(_heartbeat.c.at).where(_heartbeat.c.name == part(name))
        ).scalar_one_or_none()
    if at is None:
        tick.alive(heart, part(name), wall)
        return 0
    at = max(at, wall - LONGEST)
    found = 0
    while at < last and time.monotonic() < deadline:
        upto = min(at + STRETCH, last)
        found += _take(heart, name, door, at - OVERLAP, upto)
        tick.alive(heart, part(name), upto)
        at = upto
    return found


def _take(heart: Service, name: Name, door: Listing, since: datetime, until: datetime) -> int:
    """Take what came in between two instants (wall time) and is not known, oldest first."""

    def known(event_ids: list[str]) -> set[str]:
        with heart.database.read() as connection:
            return transcript.known(connection, name, event_ids)

    found = 0
    for inbound in door.listed(since, until, known):
        found += _took(heart, door, inbound)
    return found


def _took(heart: Service, door: Listing, inbound: Inbound) -> bool:
    now = heart.clock.now()
    # Written down by the service's clock, which the demo moves.
    written = replace(inbound, late=True, received_at=inbound.received_at + (now - wall_time()))
    if not intake.receive(heart, door, written):
        return False
    log.warning("inbound_found", channel=inbound.channel.value)
    with heart.database.write() as connection:
        incidents.report(connection, IncidentKind.LOST, inbound.channel.value, now)
    return True
