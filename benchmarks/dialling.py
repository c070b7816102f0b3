"""How fast due callbacks are dialled, beside bare RQ jobs in the same workers and beside bare claims.

As many callbacks become due at one moment; it is measured until the provider was asked for the last of them and that
is written down. Nobody picks up. Bare claims are what the clock does in SQL, alone and in one process.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from sqlalchemy import ColumnElement, delete, func, select, update

from benchmarks import report, size, whole
from benchmarks.databases import prepared
from benchmarks.drain import Round, nothing, wait_for
from benchmarks.filling import PLANNED, fill
from benchmarks.serving import ROOT
from benchmarks.workers import service_of, settings_of
from bot import queue
from bot.ids import new_id
from bot.queue import EmbeddedRedis
from bot.storage.tables import Attempt, Callback, table
from tests.faults.station import Station

_attempt = table(Attempt)
_callback = table(Callback)


@dataclass(frozen=True, slots=True)
class Dial:
    """The rounds of dials and of bare jobs; and bare claims, in callbacks per second."""

    dials: list[Round]
    jobs: list[Round]
    claims: list[float]


def measure(kind: str, count: int, rounds: int) -> Dial:
    """Measure on one kind of database. Raises AssertionError if a callback was not dialled, or twice."""
    alone = claims(kind, count, rounds)
    with prepared(kind) as ground, whole.running(ground) as at:
        return measure_at(at, ground.version, count, rounds, alone)


def claims(kind: str, count: int, rounds: int) -> list[float]:
    """Claims alone, in callbacks per second: on a database that no clock looks at."""
    with prepared(kind) as ground:
        service = service_of(settings_of(ground, ROOT / "flows"))
        try:
            fill(service, 0, count * PLANNED)
            return [count / each.lasted for each in size.claims(service, count, rounds, size.Meter(None))]
        finally:
            service.database.dispose()


def measure_at(at: Station, version: str, count: int, rounds: int, alone: list[float]) -> Dial:
    """Dials and bare jobs with a service that runs already, beside claims ``alone``."""
    fill(at.service, 0, count * PLANNED)
    return _beside(at, version, count, rounds, alone)


def show(kind: str, found: Dial) -> None:
    """Print one table."""
    dials = [each.per_second for each in found.dials]
    jobs = [each.per_second for each in found.jobs]
    rows = [
        ["Due to provider asked", *_figures(found.dials), ""],
        ["Bare RQ jobs", *_figures(found.jobs), _share(dials, jobs)],
        ["Bare claims", f"{median(found.claims):,.0f}", "", "", _share(dials, found.claims)],
    ]
    report.show(
        f"Dials, {kind}, {found.dials[0].count} due at once, two workers, medians of {len(dials)} rounds",
        ["", "per second", "service CPU µs", "provider CPU µs", "dials / it"],
        rows,
        ["CPU of a dial includes its reports from the provider, and planning the next attempt."],
    )


def _figures(rounds: list[Round]) -> list[str]:
    return [
        f"{median(one.per_second for one in rounds):,.0f}",
        f"{median(one.service_micros for one in rounds):,.0f}",
        f"{median(one.provider_micros for one in rounds):,.0f}",
    ]


def _share(ours: list[float], theirs: list[float]) -> str:
    share = report.ratio(ours, theirs)
    return f"{share[0]:.2f} ({share[1]:.2f} to {share[2]:.2f})"


def _beside(at: Station, version: str, count: int, rounds: int, claims: list[float]) -> Dial:
    found = Dial([], [], claims)
    redis = EmbeddedRedis.attach(at.folder / "var" / "redis")
    try:
        jobs = queue.queue(redis.connection)
        nothing(at, jobs, count)
        for number in range(rounds):
            found.dials.append(_dials(at, count))
            found.jobs.append(nothing(at, jobs, count))
            report.progress(
                f"{version}: round {number + 1} of {rounds}: dials {found.dials[-1].per_second:,.0f}/s, "
                f"bare jobs {found.jobs[-1].per_second:,.0f}/s"
            )
    finally:
        redis.stop()
    return found


def _dials(at: Station, count: int) -> Round:
    before, began, since = whole.spent(at), time.perf_counter(), new_id()
    asked_before = at.network.get("/sim/tally")["calls"]
    size.make_due(at.service, count)
    wait_for(lambda: _asked(at, since) == count, count)
    seconds = time.perf_counter() - began
    wait_for(lambda: _settled(at, since) == count, count)
    done = Round(count, seconds, whole.spent(at).since(before))
    tally = at.network.get("/sim/tally")
    assert tally["calls"] - asked_before == count, "not every callback was dialled once"
    assert tally["repeated"] == 0, "a callback was dialled twice"
    _forget(at, since)
    return done


def _asked(at: Station, since: str) -> int:
    return _number(at, since, _attempt.c.placed_at.is_not(None) | (_attempt.c.provider_rank >= 0))


def _settled(at: Station, since: str) -> int:
    return _number(at, since, _attempt.c.state == "settled")


def _number(at: Station, since: str, where: ColumnElement[bool]) -> int:
    """How many attempts of this round there are: ids rise, and those of the rows that were filled in are older."""
    mine = select(func.count()).select_from(_attempt).where(_attempt.c.id >= since, where)
    with at.service.database.read() as connection:
        return int(connection.execute(mine).scalar_one())


def _forget(at: Station, since: str) -> None:
    """What was dialled is not looked at again; its callbacks wait for a day that does not come."""
    mine = select(_attempt.c.callback_id).where(_attempt.c.id >= since)
    later = at.service.clock.now() + timedelta(days=30)
    waiting = {"state": "scheduled", "give_up_reason": None, "due_at": later, "window_end": later}
    with at.service.database.write() as connection:
        connection.execute(update(_callback).where(_callback.c.id.in_(mine)).values(**waiting))
        connection.execute(delete(_attempt).where(_attempt.c.id >= since))
