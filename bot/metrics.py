"""Numbers for Prometheus, read from SQL when they are asked for: what is open, and sums that are kept.

No number here is about a person or a factory, and none needs a scan of history. Sums are by client (an opaque id) and
code. What would tell an operator what a worker said is not told apart: a critical report is a completed talk, and a
worker in danger is one of ``other``. Cases are told over all clients, of days that are over, and in steps of five.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, select

from bot import agents, figures, queue, tally, watch
from bot.cases import standing
from bot.clock import wall_time
from bot.figures import VEILED, Timing
from bot.service import Service
from bot.storage.tables import Heartbeat, table
from bot.tally import Count, What

_heartbeat = table(Heartbeat)
FIVE: Final = 5
"""Fewer cases than this are not told, and more only in steps of it: whoever watches machines and knows when somebody was
called must not see that she reported something."""
_RECENT: Final = timedelta(days=30)


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
            open_cases = standing.counted(connection, now)
            # The day that is not over is left out of both.
            recent = tally.over_clients(connection, now.date() - _RECENT, now.date(), _OF_CASES)
        yield from _jobs(queue.backlog(self._service.settings))
        yield from _sums(counts)
        yield from _line(counts)
        yield from _cases(open_cases, counts, recent, now.date())


def _open(found: watch.Now) -> Iterable[Metric]:
    yield _gauge("voiceback_callbacks_due", "Callbacks that should be dialled now", found.due)
    yield _gauge("voiceback_callbacks_for_agents", "Due callbacks that wait for agents", found.for_agents)
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
        ("reminders", "Texts before calls that were put into the outbox", "kind", What.REMINDED),
        ("talks", "Answered attempts, by how far the talk came", "stage", What.HEARD),
        ("workers", "Workers, each once: called, and called with success", "stage", What.WORKER),
    )
    for name, told, label, what in kinds:
        family = CounterMetricFamily(f"voiceback_{name}", told, labels=["client", label])
        for (client, code), number in sorted(_by_client(counts, what).items()):
            family.add_metric([client, code], number)
        yield family
    yield _errors(counts)
    yield _lateness(counts)


_UNTOLD: Final = frozenset({"retaliation"})
"""What workers told."""


def _by_client(counts: Sequence[Count], what: What) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for each in counts:
        if each.what == what and each.code not in _UNTOLD:
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
    of = figures.sums(counts)
    return _histogram(
        "voiceback_dial_lateness_seconds",
        "From the due time to the dial",
        of[What.LATE],
        tally.LATENESS,
        of[What.LATE_SECONDS]["sum"],
    )


# --- the line and the cases -------------------------------------------------------------------


def _line(counts: Sequence[Count]) -> Iterable[Metric]:
    of = figures.sums(counts)
    callers = CounterMetricFamily(
        "voiceback_line_callers", "Callers who asked for a person, by what came of it", labels=["outcome"]
    )
    for outcome, number in sorted(of[What.LINE].items()):
        if outcome != "wrapped":
            callers.add_metric([outcome], number)
    yield callers
    yield _histogram(
        "voiceback_line_wait_seconds",
        "How long callers waited whom an agent took",
        of[What.LINE_WAIT],
        tally.WAITS,
        of[What.LINE_SECONDS]["wait"],
    )
    yield CounterMetricFamily(
        "voiceback_line_talk_seconds", "Seconds of talks with agents", of[What.LINE_SECONDS]["talk"]
    )
    yield CounterMetricFamily(
        "voiceback_line_wrap_seconds", "Seconds of writing up after talks", of[What.LINE_SECONDS]["wrap"]
    )


_OF_CASES: Final = (
    *(What.CASE, What.CASE_REVIEW, What.CASE_REPLY, What.CASE_TRIAGE, What.CASE_CLOSE, What.CASE_CLOCK),
)
_TOLD: Final = ("opened", "closed", "reopened_closed")
"""How cases ended is for those who may read them."""


def _cases(
    standing_now: tuple[int, int], counts: Sequence[Count], recent: Sequence[Count], today: date
) -> Iterable[Metric]:
    number, neglected = standing_now
    yield _gauge("voiceback_cases_open", "Open cases, in steps of five", _in_fives(number))
    yield _gauge("voiceback_cases_neglected", "Cases whose clock ran out more than a day ago", neglected)
    of = figures.sums(counts)
    not_over = figures.sums(each for each in recent if each.day == today)
    family = CounterMetricFamily(
        "voiceback_cases", "Cases opened, closed and reopened, in steps of five", labels=["event"]
    )
    for event in _TOLD:
        family.add_metric([event], _in_fives(of[What.CASE][event] - not_over[What.CASE][event]))
    yield family
    clocks = CounterMetricFamily(
        "voiceback_case_clocks", "Clocks of cases that stopped, in steps of five", labels=["clock", "end"]
    )
    for code in sorted(of[What.CASE_CLOCK]):
        past = of[What.CASE_CLOCK][code] - not_over[What.CASE_CLOCK][code]
        clocks.add_metric(code.split(" "), _in_fives(past))
    yield clocks
    yield _times(figures.handling(figures.sums(each for each in recent if each.day < today)))


def _times(found: figures.Handling) -> Metric:
    family = GaugeMetricFamily(
        "voiceback_case_seconds",
        "From receipt of a case, at most, over thirty days",
        labels=["to", "quantile"],
    )
    for name in ("review", "reply", "triage", "close"):
        timing: Timing = getattr(found, name)
        if timing.number >= FIVE and timing.median is not None and timing.p90 is not None:
            family.add_metric([name, "0.5"], timing.median)
            family.add_metric([name, "0.9"], timing.p90)
    return family


def _in_fives(number: int) -> int:
    return number - number % FIVE


# --- forms ------------------------------------------------------------------------------------


def _histogram(
    name: str, help_text: str, classes: Mapping[str, int], limits: Sequence[int], total: float
) -> HistogramMetricFamily:
    buckets, number = [], 0
    for code in (*map(str, limits), tally.MORE):
        number += classes.get(code, 0)
        buckets.append(("+Inf" if code == tally.MORE else f"{float(code)}", float(number)))
    family = HistogramMetricFamily(name, help_text)
    family.add_metric([], buckets, total)
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
