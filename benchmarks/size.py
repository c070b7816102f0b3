"""What gets slower as the database grows: claims, an inbound text, the clock, and the pages of the console."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from statistics import median

from flask.testing import FlaskClient
from sqlalchemy import delete, literal_column, select, update

from app import create_app
from benchmarks import report, texting
from benchmarks.databases import prepared
from benchmarks.filling import PLANNED, fill
from benchmarks.inbound import ANSWERS, OPENING, STEP
from benchmarks.load import drive
from benchmarks.serving import OURS, ROOT, Server, serving
from benchmarks.workers import placed, service_of, settings_of
from bot import alerts, folding, staff, tick, watch
from bot.callbacks.claim import Limits, claim_due
from bot.clock import wall_time
from bot.processes import children
from bot.service import Service
from bot.storage.tables import Attempt, Callback, Case, Client, Outbox, table
from tests.journeys.test_callback import PASSWORD, sign_in

SIZES = (10_000, 100_000)
REPEATS = 25
_CLAIMED = 50
_TEXTS = 8
"""Inbound texts for each repeat of the rest."""
_YARDSTICK = "for comparison: a page without a query"
_PAGES = {
    _YARDSTICK: "/console/sign-in",
    "queue of cases": "/console/cases",
    "closed cases": "/console/cases?show=closed",
    "one case": "/console/cases/{case}",
    "callbacks": "/console/callbacks",
    "callbacks given up": "/console/callbacks?show=given_up",
    "callbacks given up, of one reason": "/console/callbacks?show=given_up&reason=daily_cap",
    "watch": "/console/watch",
    "operations": "/console/operations",
    "clients and policies": "/console/policies",
    "policy of a client": "/console/policies/{client}",
    "line": "/console/line",
    "/metrics": "/metrics",
}
_attempt = table(Attempt)
_callback = table(Callback)
_case = table(Case)
_client = table(Client)
_outbox = table(Outbox)
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Spell:
    """Seconds that something lasted, and those of CPU time."""

    lasted: float
    cpu: float


class Meter:
    """Measures one thing after the other. CPU time tells more than the clock on the wall where others use the machine."""

    def __init__(self, server: int | None) -> None:
        self._server = server

    def spell(self, act: Callable[[], object]) -> Spell:
        """Do it once."""
        cpu, began = time.thread_time() + self.database(), time.perf_counter()
        act()
        lasted = time.perf_counter() - began
        return Spell(lasted, time.thread_time() + self.database() - cpu)

    def database(self) -> float:
        """CPU seconds of the database's own processes up to now (Linux); of SQLite 0, because it is part of ours."""
        if self._server is None:
            return 0.0
        return sum(_on_cpu(each) for each in children(self._server))


def _on_cpu(process_id: int) -> float:
    try:
        return int(Path(f"/proc/{process_id}/schedstat").read_text().split()[0]) / 1e9
    except OSError:
        return 0.0


@dataclass(frozen=True, slots=True)
class Time:
    """How long one thing took, and the CPU time of whoever did it and of the database: milliseconds, medians of its repeats."""

    lasted: float
    cpu: float

    @classmethod
    def of(cls, spells: Sequence[Spell]) -> Time:
        """Of some repeats."""
        return cls(median(each.lasted for each in spells) * 1000, median(each.cpu for each in spells) * 1000)


@dataclass(frozen=True, slots=True)
class Size:
    """The times of each thing at one size, and the seconds that it took to fill up to it."""

    callbacks: int
    filled_in: float
    times: dict[str, Time]


def measure(kind: str, sizes: Sequence[int], repeats: int = REPEATS) -> list[Size]:
    """Fill one database step by step and measure at each size."""
    with prepared(kind) as ground:
        settings = settings_of(ground, ROOT / "flows")
        service = service_of(settings)
        try:
            found, there = [], 0
            visitor, meter = signed_in(service), Meter(ground.process_id)
            with serving(OURS, settings, ground.folder) as web:
                for size in sizes:
                    report.progress(f"{ground.version}: filling up to {size:,} callbacks")
                    bar = report.Bar(size - there)
                    started = time.monotonic()
                    fill(service, there, size, bar.tell)
                    filled_in, there = time.monotonic() - started, size
                    report.progress(f"{ground.version}: measuring at {size:,}")
                    times = measure_at(service, web, visitor, size, meter, repeats)
                    found.append(Size(size, filled_in, times))
            return found
        finally:
            service.database.dispose()


def measure_at(
    service: Service, web: Server, visitor: FlaskClient, size: int, meter: Meter, repeats: int
) -> dict[str, Time]:
    """The times of each thing in a database of ``size`` callbacks."""
    with service.database.read() as connection:
        case = connection.execute(select(_case.c.id).limit(1)).scalar_one()
        client = connection.execute(select(_client.c.id).limit(1)).scalar_one()

    def timed(act: Callable[[], object], times: int = repeats) -> Time:
        act()
        return Time.of([meter.spell(act) for _ in range(times)])

    found = {
        f"claim of up to {_CLAIMED} due": Time.of(
            claims(service, min(_CLAIMED, size // PLANNED), repeats, meter)
        ),
        "inbound text": _texts(service, web, size, _TEXTS * repeats, meter),
        "beat of the clock, nothing due": timed(lambda: list(tick.beat(service))),
        "watch and alerts": timed(partial(_watch, service)),
    }
    for name, path in _PAGES.items():
        found[name] = timed(partial(_look, visitor, path.format(case=case, client=client)))
    found["preview of a policy"] = timed(partial(_preview, visitor, client), max(3, repeats // 8))
    return found


def show(kind: str, found: Sequence[Size]) -> None:
    """Print milliseconds at each size, and how many times slower than at the smallest."""
    first = found[0].times
    rows = [
        [
            name,
            *(f"{each.times[name].lasted:,.1f} / {each.times[name].cpu:,.1f}" for each in found),
            *(_slower(each.times[name], first[name]) for each in found[1:]),
        ]
        for name in first
    ]
    report.show(
        f"Milliseconds / CPU ms against callbacks in the database, {kind}, medians; times the smallest by CPU (by ms)",
        [
            "",
            *(f"{each.callbacks:,}" for each in found),
            *(f"times, at {each.callbacks:,}" for each in found[1:]),
        ],
        rows,
        ["filled in " + ", ".join(f"{each.filled_in:,.0f} s to {each.callbacks:,}" for each in found)],
    )


def _slower(now: Time, first: Time) -> str:
    return f"{now.cpu / first.cpu:.2f} ({now.lasted / first.lasted:.2f})"


def _look(visitor: FlaskClient, path: str) -> None:
    assert visitor.get(path).status_code in {200, 303}, path


def _preview(visitor: FlaskClient, client: str) -> None:
    """Ask what the client's policy would do with one more attempt: the form as it stands, with another number."""
    form = dict(_fields(visitor.get(f"/console/policies/{client}").text)) | {"attempts": "7"}
    assert visitor.post(f"/console/policies/{client}/preview", data=form).status_code == 200


def _fields(page: str) -> list[tuple[str, str]]:
    """What a browser would send of a form that nobody changed."""
    inputs = re.findall(r'<input[^>]*\bname="([^"]+)"[^>]*\bvalue="([^"]*)"', page)
    chosen = re.findall(r'<select[^>]*\bname="([^"]+)".*?<option value="([^"]*)" selected', page, re.DOTALL)
    return inputs + chosen


def _watch(service: Service) -> None:
    """What a clock does each half minute; there is nothing to count."""
    now, wall = service.clock.now(), wall_time()
    folding.fold(service)
    with service.database.read() as connection:
        found = watch.read(connection, now)
    with service.database.write() as connection:
        watch.note(connection, found, now)
        alerts.review(connection, service.settings, found, now, wall)


def claims(service: Service, count: int, repeats: int, meter: Meter) -> list[Spell]:
    """What each claim took of ``count`` planned callbacks that have just become due; they are put back after it."""
    limits = Limits(1_000_000.0, 1_000_000)
    spells = []
    for _ in range(repeats):
        make_due(service, count)
        now, wall = service.clock.now(), wall_time() + timedelta(hours=1)
        claimed: list[str] = []
        spells.append(meter.spell(lambda: claimed.extend(claim_due(service.database, now, wall, limits))))  # noqa: B023 - called at once
        assert len(claimed) == count, len(claimed)
        _put_back(service, claimed)
    return spells


def make_due(service: Service, count: int) -> None:
    """Let so many of the planned callbacks be due now, with an hour of their window left."""
    now = service.clock.now()
    due = {"due_at": now, "window_end": now + timedelta(hours=1)}
    with service.database.write() as connection:
        planned = select(_callback.c.id).where(_callback.c.state == literal_column("'scheduled'"))
        some = planned.order_by(_callback.c.due_at).limit(count)
        connection.execute(update(_callback).where(_callback.c.id.in_(some)).values(**due))


def _put_back(service: Service, attempt_ids: Sequence[str]) -> None:
    later = service.clock.now() + timedelta(days=1)
    planned = {"state": "scheduled", "due_at": later, "window_end": later + timedelta(hours=3)}
    with service.database.write() as connection:
        of_attempts = select(_attempt.c.callback_id).where(_attempt.c.id.in_(attempt_ids))
        connection.execute(update(_callback).where(_callback.c.id.in_(of_attempts)).values(**planned))
        connection.execute(delete(_attempt).where(_attempt.c.id.in_(attempt_ids)))


def _texts(service: Service, web: Server, size: int, count: int, meter: Meter) -> Time:
    """Answers of workers in the middle of the hotline's questions, one after the other. CPU is the server's."""
    senders = placed(service, OPENING, STEP, 10 * size, count)
    requests = [texting.post(texting.Words(texting.sid(), each, ANSWERS[0])) for each in senders]
    before = web.cpu_seconds() + meter.database()
    load = drive(web.port, requests, 1)
    cpu = web.cpu_seconds() + meter.database() - before
    assert set(load.statuses) == {200}
    with service.database.write() as connection:
        # Nobody sends the replies here, and a clock that finds them waiting would have something to do.
        waiting = _outbox.c.state.in_(("queued", "leased"))
        connection.execute(update(_outbox).where(waiting).values(state="sent"))
    return Time(load.quantile(0.5), cpu / count * 1000)


def signed_in(service: Service) -> FlaskClient:
    """A visitor of the console who may see all pages that are measured."""
    roles = [staff.Role.SUPERVISOR, staff.Role.ADMIN]
    secret = staff.add(service.database, service.sealer, service.clock, "supervisor", PASSWORD, roles, None)
    visitor = create_app(service=service).test_client()
    sign_in(visitor, secret)
    return visitor
