"""How the service does its work now and did it this week: for supervisors and administrators, without a worker."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from flask import current_app, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy import Connection

from bot import figures, queue, staff, tally, troubles, watch
from bot.cases import standing
from bot.cases.lifecycle import ClockName
from bot.service import Service
from bot.tally import Count, What
from console import charts, session, timing

REFRESH_SECONDS: Final = 15
DAYS: Final = 7
MONTH: Final = 30
CHARTED: Final = timedelta(hours=3)
_CURVES: Final = (("due", "Due"), ("late", "Late"), ("dialling", "Dialling"), ("outbox", "Texts waiting"))
_CASES: Final = "console.cases"
"""Who may read cases may read how many there are."""
_OF_CASES: Final = (
    *(What.CASE, What.CASE_REVIEW, What.CASE_REPLY, What.CASE_TRIAGE, What.CASE_CLOSE, What.CASE_CLOCK),
    *(What.GRIEVANCE, What.WORKER, What.OUTCOME),
)


def show() -> ResponseReturnValue:
    """The page. Its script asks for it again and again; that is no use of the session."""
    service: Service = current_app.extensions["voiceback"]
    if request.args.get("watching"):
        session.leave_untouched()
    now = service.clock.now()
    with service.database.read() as connection:
        found = watch.read(connection, now)
        counts = tally.over_clients(connection, now.date() - timedelta(days=DAYS - 1), now.date())
        errors = troubles.since(connection, now - troubles.KEPT)
        curves = _curves(connection, now)
        cases = _cases(connection, now) if staff.allows(_CASES, session.staff().roles) else None
    today, week = figures.sums(each for each in counts if each.day == now.date()), figures.sums(counts)
    return render_template(
        "console/watch.html",
        found=found,
        jobs=queue.backlog(service.settings),
        today=figures.calls(today),
        week=figures.calls(week),
        line=(figures.line(today), figures.line(week)),
        level=figures.SERVICE_LEVEL,
        cases=cases,
        days=DAYS,
        month=MONTH,
        errors=errors,
        curves=curves,
        hours=int(CHARTED.total_seconds() // 3600),
        dials=charts.bars(_dials(counts, now.date())),
        seconds=REFRESH_SECONDS,
        now=now,
        wait=lambda seconds: timing.span(timedelta(seconds=seconds)),
        at_most=_most,
        lasting=lambda seconds: timing.elapsed(timedelta(seconds=seconds)),
        clocks=tuple(ClockName),
        zip=zip,
    )


def _most(seconds: float | None) -> str:
    """A time that was counted by class, in words; empty where there is none."""
    if seconds is None:
        return ""
    if math.isinf(seconds):
        return "longer"
    return timing.brief(timedelta(seconds=seconds))


@dataclass(frozen=True, slots=True)
class Cases:
    """What supervisors see of cases: how the open ones stand, and what became of all."""

    now: standing.Standing
    month: figures.Handling
    all: figures.Handling
    half_closed: float | None
    """The seconds within which half of all cases are closed, heeding those that are still open."""


def _cases(connection: Connection, now: datetime) -> Cases:
    month = tally.over_clients(connection, now.date() - timedelta(days=MONTH - 1), now.date(), _OF_CASES)
    ever = figures.sums(tally.over_clients(connection, tally.ALL_DAYS, tally.ALL_DAYS, _OF_CASES))
    return Cases(
        now=standing.read(connection, now),
        month=figures.handling(figures.sums(month)),
        all=figures.handling(ever),
        half_closed=figures.survival(ever[What.CASE_CLOSE], standing.ages(connection, now), tally.SPANS),
    )


def _curves(connection: Connection, now: datetime) -> list[tuple[str, charts.Curve | None]]:
    since = now - CHARTED
    return [
        (told, charts.curve(watch.history(connection, name, since), since, now)) for name, told in _CURVES
    ]


def _dials(counts: Sequence[Count], today: date) -> list[tuple[str, int]]:
    days = [today - timedelta(days=n) for n in range(DAYS - 1, -1, -1)]
    number = Counter(dict.fromkeys(days, 0))
    for each in counts:
        if each.what == What.DIALLED:
            number[each.day] += each.number
    return [(day.isoformat(), number[day]) for day in days]
