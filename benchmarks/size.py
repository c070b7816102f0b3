"""What gets slower as the database grows: claims, an inbound text, and the pages of the console."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from statistics import median

from flask.testing import FlaskClient
from sqlalchemy import delete, select, update

from app import create_app
from benchmarks import report, texting
from benchmarks.databases import prepared
from benchmarks.filling import fill
from benchmarks.inbound import ANSWERS, OPENING, STEP
from benchmarks.load import drive
from benchmarks.serving import OURS, ROOT, Server, serving
from benchmarks.workers import placed, service_of, settings_of
from bot import staff
from bot.callbacks.claim import Limits, claim_due
from bot.clock import wall_time
from bot.service import Service
from bot.storage.tables import Attempt, Callback, Case, table
from tests.journeys.test_callback import PASSWORD, sign_in

SIZES = (10_000, 100_000)
_CLAIMED = 50
_REPEATS = 7
_TEXTS = 60
_PAGES = {
    "cases, first page": "/console/cases",
    "closed cases": "/console/cases?show=closed",
    "one case": "/console/cases/{case}",
    "callbacks": "/console/callbacks",
    "operations": "/console/operations",
    "watch": "/console/watch",
}
_attempt = table(Attempt)
_callback = table(Callback)
_case = table(Case)


@dataclass(frozen=True, slots=True)
class Size:
    """Milliseconds of each thing at one size, medians; and the seconds that it took to fill so far."""

    callbacks: int
    filled_in: float
    milliseconds: dict[str, float]


def measure(kind: str, sizes: Sequence[int]) -> list[Size]:
    """Fill one database step by step and measure at each size."""
    with prepared(kind) as ground:
        settings = settings_of(ground, ROOT / "flows")
        service = service_of(settings)
        try:
            found, there = [], 0
            visitor = _signed_in(service)
            with serving(OURS, settings, ground.folder) as web:
                for size in sizes:
                    started = time.monotonic()
                    fill(service, there, size, lambda done: _tell(ground.version, done))
                    filled_in, there = time.monotonic() - started, size
                    found.append(Size(size, filled_in, _at(service, web, visitor, size)))
                    report.progress(f"{ground.version}: measured at {size:,}")
            return found
        finally:
            service.database.dispose()


def show(kind: str, found: Sequence[Size]) -> None:
    """Print milliseconds at each size, and how many times slower than at the smallest."""
    first = found[0].milliseconds
    rows = [
        [
            name,
            *(f"{each.milliseconds[name]:,.1f}" for each in found),
            *(f"{each.milliseconds[name] / first[name]:.2f}" for each in found[1:]),
        ]
        for name in first
    ]
    report.show(
        f"Milliseconds against callbacks in the database, {kind}, medians",
        [
            "",
            *(f"{each.callbacks:,}" for each in found),
            *(f"ratio {each.callbacks:,}" for each in found[1:]),
        ],
        rows,
        ["filled in " + ", ".join(f"{each.filled_in:,.0f} s to {each.callbacks:,}" for each in found)],
    )


def _tell(version: str, done: int) -> None:
    if done % 10_000 == 0:
        report.progress(f"{version}: {done:,} callbacks")


def _at(service: Service, web: Server, visitor: FlaskClient, size: int) -> dict[str, float]:
    found = {
        f"claim of {_CLAIMED} due": _claims(service),
        "inbound text (p50)": _texts(service, web, size),
    }
    with service.database.read() as connection:
        case = connection.execute(select(_case.c.id).limit(1)).scalar_one()
    for name, path in _PAGES.items():
        found[name] = _timed(partial(_look, visitor, path.format(case=case)))
    return found


def _look(visitor: FlaskClient, path: str) -> None:
    assert visitor.get(path).status_code == 200, path


def _timed(act: Callable[[], object]) -> float:
    spent = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        act()
        spent.append(time.perf_counter() - started)
    return median(spent) * 1000


def _claims(service: Service) -> float:
    """Some planned callbacks become due and are claimed, all at once; they are put back before the next time."""
    return median(claim_times(service, _CLAIMED, _REPEATS)) * 1000


def claim_times(service: Service, count: int, repeats: int) -> list[float]:
    """Seconds of each claim of ``count`` planned callbacks that have just become due."""
    limits = Limits(1_000_000.0, 1_000_000)
    spent = []
    for _ in range(repeats):
        make_due(service, count)
        now, wall = service.clock.now(), wall_time() + timedelta(hours=1)
        started = time.perf_counter()
        claimed = claim_due(service.database, now, wall, limits)
        spent.append(time.perf_counter() - started)
        assert len(claimed) == count, len(claimed)
        _put_back(service)
    return spent


def make_due(service: Service, count: int) -> None:
    """Let so many of the planned callbacks be due now, with an hour of their window left."""
    now = service.clock.now()
    due = {"due_at": now, "window_end": now + timedelta(hours=1)}
    with service.database.write() as connection:
        some = select(_callback.c.id).where(_callback.c.state == "scheduled").limit(count)
        connection.execute(update(_callback).where(_callback.c.id.in_(some)).values(**due))


def _put_back(service: Service) -> None:
    later = service.clock.now() + timedelta(days=1)
    planned = {"state": "scheduled", "due_at": later, "window_end": later + timedelta(hours=3)}
    with service.database.write() as connection:
        connection.execute(delete(_attempt).where(_attempt.c.state == "claimed"))
        connection.execute(update(_callback).where(_callback.c.state == "dialling").values(**planned))


def _texts(service: Service, web: Server, size: int) -> float:
    senders = placed(service, OPENING, STEP, 10 * size, _TEXTS)
    requests = [texting.post(texting.Words(texting.sid(), each, ANSWERS[0])) for each in senders]
    load = drive(web.port, requests, 1)
    assert set(load.statuses) == {200}
    return load.quantile(0.5)


def _signed_in(service: Service) -> FlaskClient:
    roles = [staff.Role.SUPERVISOR, staff.Role.ADMIN]
    secret = staff.add(service.database, service.sealer, service.clock, "supervisor", PASSWORD, roles, None)
    visitor = create_app(service=service).test_client()
    sign_in(visitor, secret)
    return visitor
