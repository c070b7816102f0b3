"""Numbers for Prometheus, read from SQL when they are asked for: what is open, and sums that are kept.

No number here is about a person or a factory, and none needs a scan of history. Sums are by client (an opaque id) and
code. What would tell an operator what a worker said is not told apart: a critical report is a completed talk, and a
worker in danger is one of ``other``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, select

from bot import agents, queue, tally, watch
from bot.callbacks.states import CallbackState, Disposition
from bot.clock import wall_time
from bot.service import Service
from bot.storage.tables import Heartbeat, table
from bot.tally import Count, What

_heartbeat = table(Heartbeat)
OTHER: Final = "other"
VEILED: Final = {
    Disposition.CRITICAL.value: Disposition.COMPLETED.value,
    Disposition.UNSAFE.value: OTHER,
    Disposition.NOT_SAFE_NOW.value: Disposition.LATER.value,
    CallbackState.UNSAFE.value: OTHER,
}
"""Codes that would tell what a worker said or fears, and those under which they are counted here."""


def text(service: Service) -> bytes:
    """The exposition in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Numbers(service))
    return generate_latest(registry)


class _Numbers(Collector):
    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterable[Metric]:
        """Everything, in one read of the database."""
        now, wall = self._service.clock.now(), wall_time()
        with self._service.database.read() as connection:
            yield from _open(watch.read(connection, now))
            yield _labelled(
                "voiceback_agents",
                "Agents by state; who is not there is away",
                "state",
                [(state.value, number) for state, number in agents.by_state(connection, wall).items()],
            )
            yield _heartbeats(connection, wall)
            counts = tally.of_all_days(connection)
        yield from _jobs(queue.backlog(self._service.settings))
        yield from _sums(counts)


def _open(found: watch.Now) -> Iterable[Metric]:
    yield _gauge("voiceback_callbacks_due", "Callbacks that should be dialled now", found.due)
    yield _gauge("voiceback_callbacks_late", "Callbacks due for more than five minutes", found.late)
    yield _gauge(
        "voiceback_callbacks_lateness_seconds", "How long the oldest due callback waits", found.lateness
    )
    yield _gauge(
        "voiceback_callbacks_lateness_p95_seconds",
        "The wait that 95 of 100 due callbacks do not exceed",
        found.lateness_p95,
    )
    yield _gauge("voiceback_attempts_open", "Dials under way", found.dialling)
    yield _labelled(
        "voiceback_outbox_queued",
        "Texts and notices that are due to be sent",
        "channel",
        [(line.name, line.depth) for line in found.outbox],
    )
    yield _labelled(
        "voiceback_outbox_oldest_seconds",
        "How long the first of them has been due",
        "channel",
        [(line.name, line.age) for line in found.outbox],
    )
    yield _gauge("voiceback_messages_parked", "Messages that the engine could not take yet", found.parked)
    yield _gauge("voiceback_recordings_waiting", "Recordings to be fetched", found.recordings)
    yield _gauge("voiceback_files_waiting", "Files of messages to be fetched", found.files)
    yield _gauge("voiceback_incidents_open", "Things that an operator must look at", found.incidents)
    yield _gauge("voiceback_callers_waiting", "Callers who wait for an agent", found.callers_waiting)
    yield _gauge(
        "voiceback_callers_longest_wait_seconds", "How long the first of them waits", found.longest_wait
    )


def _jobs(found: queue.Backlog | None) -> Iterable[Metric]:
    depth, age = (found.depth, found.age) if found else (math.nan, math.nan)
    yield _gauge("voiceback_jobs_waiting", "Jobs that no worker has begun; NaN without Redis", depth)
    yield _gauge("voiceback_jobs_oldest_seconds", "How long the first of them waits", age)


def _heartbeats(connection: Connection, wall: datetime) -> Metric:
    rows = connection.execute(select(_heartbeat.c.name, _heartbeat.c.at))
    return _labelled(
        "voiceback_heartbeat_age_seconds",
        "Seconds since a part was last alive",
        "part",
        [(row.name, (wall - row.at).total_seconds()) for row in rows],
    )


# --- sums -------------------------------------------------------------------------------------


def _sums(counts: Sequence[Count]) -> Iterable[Metric]:
    kinds = (
        ("attempts", "Attempts that are over, by how they came out", "disposition", What.ATTEMPT),
        ("callbacks_ended", "Callbacks that are over, by their end", "end", What.ENDED),
        ("dials", "Dials begun inside or outside the worker's window", "window", What.DIALLED),
        ("promises_missed", "Promised windows that went by without a ring", "of", What.MISSED),
        ("talks", "Answered attempts, by how far the talk came", "stage", What.HEARD),
    )
    for name, told, label, what in kinds:
        family = CounterMetricFamily(f"voiceback_{name}", told, labels=["client", label])
        for (client, code), number in sorted(_by_client(counts, what).items()):
            family.add_metric([client, code], number)
        yield family
    yield _errors(counts)
    yield _lateness(counts)


def _by_client(counts: Sequence[Count], what: What) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for each in counts:
        if each.what == what:
            found[each.client_id, VEILED.get(each.code, each.code)] += each.number
    return found


def _errors(counts: Sequence[Count]) -> Metric:
    family = CounterMetricFamily(
        "voiceback_provider_errors", "What providers did not take, by code", labels=["channel", "code"]
    )
    for each in counts:
        if each.what == What.ERROR:
            channel, _, code = each.code.partition(" ")
            family.add_metric([channel, code], each.number)
    return family


def _lateness(counts: Sequence[Count]) -> Metric:
    found: Counter[str] = Counter()
    for each in counts:
        if each.what in (What.LATE, What.LATE_SECONDS):
            found[each.code] += each.number
    buckets, total = [], 0
    for code in (*map(str, tally.LATENESS), "more"):
        total += found[code]
        buckets.append(("+Inf" if code == "more" else f"{float(code)}", float(total)))
    family = HistogramMetricFamily("voiceback_dial_lateness_seconds", "From the due time to the dial")
    family.add_metric([], buckets, found["sum"])
    return family


def _gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_text, value=value)


def _labelled(
    name: str, help_text: str, label: str, values: Iterable[tuple[str, float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=[label])
    for key, value in values:
        family.add_metric([key], value)
    return family
