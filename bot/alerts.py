"""What must not wait until somebody looks: rules that the clock asks every half minute.

A rule that holds opens an incident and tells administrators by e-mail, once; the incident closes by itself when the
rule has not held for five minutes. What comes again within an hour opens it again and tells nobody. That the clock
itself has stopped is noticed by the web process (:func:`clock_stopped`), and over with the clock's next round.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, Integer, cast, func, literal_column, select
from sqlalchemy.exc import IntegrityError

from bot import incidents, outbox, troubles, watch
from bot.clock import wall_time
from bot.ids import earliest
from bot.incidents import IncidentKind
from bot.messages import Channel
from bot.service import Service
from bot.settings import Settings
from bot.storage.tables import Attempt, Callback, Heartbeat, Outbox, table
from bot.watch import Now

_attempt = table(Attempt)
_callback = table(Callback)
_heartbeat = table(Heartbeat)
_outbox = table(Outbox)

CLOCK_STOPPED: Final = timedelta(seconds=60)
TEMPLATE: Final = "operations"
"""The notice to administrators; like every notice it says only where to sign in."""
KINDS: Final = (
    IncidentKind.LATENESS,
    IncidentKind.BACKLOG,
    IncidentKind.ERRORS,
    IncidentKind.NUMBER_BLOCKED,
)
"""What the rules open and close. The clock's own is closed apart."""
_CALM: Final = timedelta(minutes=5)
_TREND: Final = timedelta(minutes=15)
_RECENT: Final = timedelta(hours=1)
_FEWEST_ERRORS: Final = 10
_REFUSING: Final = ("403", "603", "607", "608")
"""SIP answers of a network that refuses our number: forbidden, decline (RFC 3261), unwanted (RFC 8197), rejected
(RFC 8688). One may be one person; many are a block."""
_NOT_OURS: Final = frozenset({"21210", "21606", "21659", "21660", "30032", "30034", "30035"})
"""Twilio's codes for a number that may not send or call: not ours, not verified, not registered. One is enough."""
_FILTERED: Final = frozenset({"30007"})
"""Twilio's code for a text that a carrier filtered. Many of them are a blocked number."""


def review(connection: Connection, settings: Settings, found: Now, now: datetime, wall: datetime) -> None:
    """Ask every rule: open what holds, close what is over, and tell administrators of what is new."""
    holding = (
        {(IncidentKind.LATENESS, subject) for subject in _late(connection, settings, found, now)}
        | {(IncidentKind.BACKLOG, subject) for subject in _waiting(settings, found)}
        | {(IncidentKind.ERRORS, subject) for subject in _failing(connection, settings, now, wall)}
        | {(IncidentKind.NUMBER_BLOCKED, subject) for subject in _blocked(connection, settings, now, wall)}
    )
    opened = [incidents.begin(connection, kind, subject, now) for kind, subject in sorted(holding)]
    if any(opened):
        outbox.notify(connection, TEMPLATE, now, role="admin")
    incidents.close_quiet(connection, KINDS, now - _CALM, now)
    incidents.resolve(connection, IncidentKind.CLOCK, "clock", now)


def clock_silence(connection: Connection) -> timedelta | None:
    """For how long no clock has beaten (wall time); None if none ever did. Above :data:`CLOCK_STOPPED` it has
    stopped: readiness, ``doctor`` and the alert all ask here."""
    at = connection.execute(select(_heartbeat.c.at).where(_heartbeat.c.name == "clock")).scalar()
    return None if at is None else wall_time() - at


def clock_stopped(service: Service) -> bool:
    """Notice that no clock beats any more. True if administrators are to be told now: the notices of the outbox
    wait for the clock, so whoever asks must tell them itself. A service whose clock never ran is not stopped."""
    with service.database.read() as connection:
        silent = clock_silence(connection)
    if silent is None or silent <= CLOCK_STOPPED:
        return False
    try:
        with service.database.write() as connection:
            return incidents.begin(connection, IncidentKind.CLOCK, "clock", service.clock.now())
    except IntegrityError:
        # Another web process noticed at the same moment, and tells.
        return False


# --- rules ------------------------------------------------------------------------------------


def _late(connection: Connection, settings: Settings, found: Now, now: datetime) -> list[str]:
    """Dials are too late, or later and later while no fewer are due."""
    too_late = found.lateness_p95 > settings.alert_late_minutes * 60
    return ["callbacks"] if too_late or _grows(connection, found, now) else []


def _grows(connection: Connection, found: Now, now: datetime) -> bool:
    if found.lateness_p95 <= watch.LATE.total_seconds():
        return False
    since = now - _TREND - timedelta(minutes=1)
    before = {
        name: [value for at, value in watch.history(connection, name, since) if at <= now - _TREND]
        for name in ("due", "lateness_p95")
    }
    if not (before["due"] and before["lateness_p95"]):
        return False
    by = found.lateness_p95 - before["lateness_p95"][-1]
    return by > watch.LATE.total_seconds() and found.due >= before["due"][-1] > 0


def _waiting(settings: Settings, found: Now) -> list[str]:
    """Queues of texts whose first has been due for too long."""
    return [line.name for line in found.outbox if line.age > settings.alert_outbox_minutes * 60]


def _failing(connection: Connection, settings: Settings, now: datetime, wall: datetime) -> list[str]:
    """Channels whose provider fails too often of late, for reasons that are not the worker's telephone."""
    errors: Counter[str] = Counter()
    for each in troubles.since(connection, now - _TREND):
        if each.ours:
            errors[each.channel] += each.number
    return [
        channel
        for channel, number in errors.items()
        if number >= _FEWEST_ERRORS
        and number * 100 >= settings.alert_error_percent * (number + _done(connection, channel, wall))
    ]


def _done(connection: Connection, channel: str, wall: datetime) -> int:
    """What a provider took of late. Ids begin with their time, so the key finds recent rows."""
    if channel == Channel.VOICE:
        query = select(func.count()).where(
            _attempt.c.id >= earliest(wall - _RECENT),
            _attempt.c.channel == channel,
            _attempt.c.asked_at >= wall - _TREND,
        )
    else:
        query = select(func.count()).where(
            _outbox.c.id >= earliest(wall - _RECENT),
            _outbox.c.channel == channel,
            _outbox.c.state == "sent",
            _outbox.c.lease_until >= wall - _TREND,
        )
    return int(connection.execute(query).scalar_one())


def _blocked(connection: Connection, settings: Settings, now: datetime, wall: datetime) -> list[str]:
    """Numbers of ours that are refused, named by channel and country: what a setting has for it."""
    found = [
        f"{each.channel} {each.country} {each.code}"
        for each in troubles.since(connection, now - _RECENT)
        if each.code in _NOT_OURS or (each.code in _FILTERED and each.number >= settings.alert_refused)
    ]
    refused = func.sum(cast(_attempt.c.code.in_(_REFUSING), Integer))
    rows = connection.execute(
        select(_callback.c.country, func.count(), refused)
        .join(_callback, _callback.c.id == _attempt.c.callback_id)
        .where(
            _attempt.c.id >= earliest(wall - _RECENT),
            _attempt.c.state == literal_column("'settled'"),
            _attempt.c.channel == Channel.VOICE.value,
            _attempt.c.settled_at >= now - _RECENT,
            # A report can come before the answer to our request, so only when we asked is sure.
            _attempt.c.asked_at.is_not(None),
        )
        .group_by(_callback.c.country)
    )
    # Half of the calls: a block hits nearly all, and people who decline are fewer.
    return found + [
        f"voice {country} refused"
        for country, all_calls, number in rows
        if (number or 0) >= settings.alert_refused and 2 * number >= all_calls
    ]
