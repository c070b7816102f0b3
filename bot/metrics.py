"""Numbers for Prometheus, read from SQL when they are asked for. Only counts and ages, over what is open.

No number here is about a person, a factory or a client, and none needs a scan of history.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, func, select

from bot import agents, transfers
from bot.callbacks.states import AttemptState, CallbackState
from bot.clock import wall_time
from bot.service import Service
from bot.storage.tables import Attempt, Callback, Heartbeat, Incident, Message, Outbox, table

_callback = table(Callback)
_attempt = table(Attempt)
_outbox = table(Outbox)
_message = table(Message)
_incident = table(Incident)
_heartbeat = table(Heartbeat)


def text(service: Service) -> bytes:
    """The exposition in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Numbers(service))
    return generate_latest(registry)


class _Numbers(Collector):
    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterable[Metric]:
        """Every gauge, in one read of the database."""
        now, wall = self._service.clock.now(), wall_time()
        with self._service.database.read() as connection:
            due = _callback.c.state == CallbackState.SCHEDULED, _callback.c.due_at <= now
            yield _gauge(
                "voiceback_callbacks_due",
                "Callbacks that should be dialled now",
                _count(connection, _callback.c.id, *due),
            )
            oldest = connection.execute(select(func.min(_callback.c.due_at)).where(*due)).scalar()
            late = (now - oldest).total_seconds() if oldest else 0.0
            yield _gauge(
                "voiceback_callbacks_lateness_seconds", "How long the oldest due callback waits", late
            )
            yield _gauge(
                "voiceback_attempts_open",
                "Dials under way",
                _count(connection, _attempt.c.id, _attempt.c.state != AttemptState.SETTLED),
            )
            yield _gauge(
                "voiceback_outbox_queued",
                "Texts and notices to be sent",
                _count(connection, _outbox.c.id, _outbox.c.state == "queued"),
            )
            yield _gauge(
                "voiceback_messages_parked",
                "Messages that the engine could not take yet",
                _count(connection, _message.c.id, _message.c.retry_at.is_not(None)),
            )
            yield _gauge(
                "voiceback_incidents_open",
                "Things that an operator must look at",
                _count(connection, _incident.c.id, _incident.c.resolved_at.is_(None)),
            )
            yield from _line(connection, now, wall)
            ages = GaugeMetricFamily(
                "voiceback_heartbeat_age_seconds", "Seconds since a part was last alive", labels=["part"]
            )
            for row in connection.execute(select(_heartbeat.c.name, _heartbeat.c.at)):
                ages.add_metric([row.name], (wall - row.at).total_seconds())
            yield ages


def _line(connection: Connection, now: datetime, wall: datetime) -> Iterable[Metric]:
    """Callers who wait for an agent, and the agents."""
    waiting = [caller for caller in transfers.line(connection) if caller.state in transfers.IN_LINE]
    longest = max(((now - caller.since).total_seconds() for caller in waiting), default=0.0)
    yield _gauge("voiceback_callers_waiting", "Callers who wait for an agent", len(waiting))
    yield _gauge("voiceback_callers_longest_wait_seconds", "How long the first of them waits", longest)
    states = GaugeMetricFamily(
        "voiceback_agents", "Agents by state; who is not there is away", labels=["state"]
    )
    for state, number in agents.by_state(connection, wall).items():
        states.add_metric([state.value], number)
    yield states


def _gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_text, value=value)


def _count(connection: Connection, column, *where) -> float:  # type: ignore[no-untyped-def]  # column expressions
    return float(connection.execute(select(func.count(column)).where(*where)).scalar_one())
