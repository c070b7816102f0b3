"""How the open cases stand against their clocks at this moment. Closed ones are sums (:mod:`bot.cases.counted`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, case, exists, func, literal, select

from bot.cases import lifecycle, queue
from bot.cases.lifecycle import ClockName, Severity
from bot.storage.tables import Case, CaseEvent, table
from bot.storage.types import UTCDateTime
from bot.tally import MORE, SPANS

NEGLECTED: Final = timedelta(days=1)
"""A case whose clock ran out longer ago is neglected."""

_case, _event = table(Case), table(CaseEvent)


@dataclass(frozen=True, slots=True)
class Level:
    """The open cases of one severity."""

    open: int
    late: Mapping[ClockName, int]
    """Those whose clock has run out, by clock."""


@dataclass(frozen=True, slots=True)
class Standing:
    """All open cases."""

    levels: Mapping[Severity, Level]
    states: Mapping[str, int]
    """By state, in the order of the lifecycle; only states with a case."""

    @property
    def open(self) -> int:
        """How many."""
        return sum(level.open for level in self.levels.values())


def read(connection: Connection, now: datetime) -> Standing:
    """Count."""
    ends = queue.ends()
    late = [func.sum(case((end <= now, 1), else_=0)).label(name.value) for name, end in ends.items()]
    query = select(_case.c.severity, _case.c.state, func.count().label("number"), *late)
    rows = connection.execute(query.where(queue.IS_OPEN).group_by(_case.c.severity, _case.c.state)).all()
    states = Counter(dict.fromkeys(lifecycle.CaseState, 0))
    for row in rows:
        states[row.state] += row.number
    return Standing(
        levels={severity: _level([row for row in rows if row.severity == severity]) for severity in Severity},
        states={state: number for state, number in states.items() if number},
    )


def _level(rows: list[Any]) -> Level:
    late = {name: sum(getattr(row, name.value) for row in rows) for name in ClockName}
    return Level(sum(row.number for row in rows), late)


def counted(connection: Connection, now: datetime) -> tuple[int, int]:
    """How many cases are open, and how many of them are neglected: for whoever may know no more."""
    due = queue.next_due(connection.dialect.name)
    neglected = func.sum(case((due <= now - NEGLECTED, 1), else_=0))
    number, late = connection.execute(select(func.count(), neglected).where(queue.IS_OPEN)).one()
    return number, late or 0


def ages(connection: Connection, now: datetime) -> dict[str, int]:
    """How old the open cases are that were never closed, by class of :data:`bot.tally.SPANS`."""
    reopened = exists().where(
        _event.c.case_id == _case.c.id,
        _event.c.kind == "state",
        _event.c.detail.in_(
            [f"{state}>{lifecycle.CaseState.REOPENED}" for state in sorted(lifecycle.CLOSED)]
        ),
    )
    limits = [
        (_case.c.received_at >= literal(now - timedelta(seconds=limit), UTCDateTime()), str(limit))
        for limit in SPANS
    ]
    age = case(*limits, else_=MORE).label("age")
    rows = connection.execute(select(age, func.count()).where(queue.IS_OPEN, ~reopened).group_by("age"))
    return {str(row[0]): row[1] for row in rows}
