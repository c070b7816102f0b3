"""How the service does its work now and did it this week: for supervisors and administrators, without a worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from flask import current_app, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy import Connection

from bot import queue, tally, troubles, watch
from bot.callbacks.states import CallbackState
from bot.metrics import VEILED
from bot.rates import Cases, ratio
from bot.service import Service
from bot.tally import Count, What
from console import charts, session, timing

REFRESH_SECONDS: Final = 15
DAYS: Final = 7
CHARTED: Final = timedelta(hours=3)
_CURVES: Final = (("due", "Due"), ("late", "Late"), ("dialling", "Dialling"), ("outbox", "Texts waiting"))
_GIVEN_UP: Final = f"{CallbackState.GIVEN_UP} "


@dataclass(frozen=True, slots=True)
class Period:
    """What became of a day, or of some days. Rates are None where there is nothing to have a rate of."""

    dialled: int
    reached: int
    given_up: Mapping[str, int]
    """By reason, most frequent first."""
    otherwise: int
    """Callbacks that ended because the worker wanted no call, or should get none."""
    missed: int
    attempts_per_complete: float | None
    in_window: float | None
    broken: float | None
    safe: float | None
    completion: float | None
    cases: Cases

    @property
    def promised(self) -> int:
        """Windows that came: those with a dial and those without."""
        return self.dialled + self.missed


def show() -> ResponseReturnValue:
    """The page. Its script asks for it again and again; that is no use of the session."""
    service: Service = current_app.extensions["voiceback"]
    if request.args.get("watching"):
        session.leave_untouched()
    now = service.clock.now()
    with service.database.read() as connection:
        found = watch.read(connection, now)
        counts = tally.of_days(connection, now.date() - timedelta(days=DAYS - 1), now.date())
        errors = troubles.since(connection, now - troubles.KEPT)
        curves = _curves(connection, now)
    return render_template(
        "console/watch.html",
        found=found,
        jobs=queue.backlog(service.settings),
        today=period([each for each in counts if each.day == now.date()]),
        week=period(counts),
        days=DAYS,
        errors=errors,
        curves=curves,
        hours=int(CHARTED.total_seconds() // 3600),
        dials=charts.bars(_dials(counts, now.date())),
        seconds=REFRESH_SECONDS,
        now=now,
        wait=lambda seconds: timing.span(timedelta(seconds=seconds)),
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


def period(counts: Sequence[Count]) -> Period:
    """What some sums tell together, over all clients."""
    sums: dict[str, Counter[str]] = {what.value: Counter() for what in What}
    for each in counts:
        sums[each.what][each.code] += each.number
    dialled = sum(sums[What.DIALLED].values())
    missed = sums[What.MISSED]["window"]
    ended = sums[What.ENDED]
    given_up = Counter(
        {code.removeprefix(_GIVEN_UP): number for code, number in ended.items() if code.startswith(_GIVEN_UP)}
    )
    cases = Cases.of(sums[What.OUTCOME])
    attempts = sum(number for code, number in sums[What.ATTEMPT].items() if code != "released")
    heard = sums[What.HEARD]
    reached = ended[CallbackState.REACHED]
    return Period(
        dialled=dialled,
        reached=reached,
        given_up={VEILED.get(code, code): number for code, number in given_up.most_common()},
        otherwise=sum(ended.values()) - reached - sum(given_up.values()),
        missed=missed,
        attempts_per_complete=ratio(attempts, cases.complete),
        in_window=ratio(sums[What.DIALLED]["inside"], dialled),
        broken=ratio(missed, missed + dialled),
        safe=ratio(heard["safe"], heard["answered"]),
        completion=ratio(heard["finished"], heard["began"]),
        cases=cases,
    )
