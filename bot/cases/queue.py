"""The queue of cases: what is overdue first, read page by page, never slower as the history grows.

Instants are UTC; ``now`` is the service's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    case,
    func,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
)

from bot.cases import lifecycle
from bot.cases.lifecycle import CaseState, ClockName, Clocks, Severity
from bot.storage.tables import Case, Factory, Staff, table
from bot.storage.types import UTCDateTime

PAGE: Final = 50
_FAR: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""Stands for a clock that does not run, where SQL compares clocks."""

_case, _factory, _staff = table(Case), table(Factory), table(Staff)
# Written out, because a partial index is used only where the statement says the same as the index does.
IS_OPEN: Final[ColumnElement[bool]] = _case.c.state.not_in(
    [literal_column(f"'{state}'") for state in sorted(lifecycle.CLOSED)]
)


class Scope(StrEnum):
    """Which cases a list shows."""

    OPEN = "open"
    MINE = "mine"
    """Open, and assigned to whoever asks."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ends: the sorting values of its last line, and the instant at which the list was begun."""

    as_of: datetime
    late: int
    severity: str
    due: datetime
    id: str


@dataclass(frozen=True, slots=True)
class CaseLine:
    """One case in a list. ``due_at`` is the next end of a running clock; None when none runs."""

    id: str
    reference: str
    category: str
    severity: Severity
    state: CaseState
    language: str
    received_at: datetime
    clock: ClockName | None
    due_at: datetime | None
    factory: str | None
    country: str | None
    assignee: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """Some lines, and where the next page begins; None on the last one."""

    lines: tuple[CaseLine, ...]
    following: Cursor | None


@dataclass(frozen=True, slots=True)
class Counts:
    """Open cases. Closed ones are not counted here, because their number grows for ever."""

    open: int
    overdue: int
    mine: int
    by_severity: Mapping[Severity, int]


def read(
    connection: Connection,
    scope: Scope,
    now: datetime,
    *,
    staff_id: str,
    severity: Severity | None = None,
    after: Cursor | None = None,
    limit: int = PAGE,
) -> Page:
    """One page of a list. Open cases: overdue ones first, then by severity and next clock. Closed: newest first."""
    if scope is Scope.CLOSED:
        return _closed(connection, now, severity, after, limit)
    as_of = after.as_of if after else now
    due = next_due(connection.dialect.name)
    late: ColumnElement[int] = case((due <= as_of, 0), else_=1)
    order = (late, _case.c.severity, due, _case.c.id)
    query = _lines(severity).add_columns(late.label("late"), due.label("due"))
    query = query.where(IS_OPEN)
    if scope is Scope.MINE:
        query = query.where(_case.c.assignee_id == staff_id)
    if after is not None:
        place = (literal(after.late), literal(after.severity), _instant(after.due), literal(after.id))
        query = query.where(tuple_(*order) > tuple_(*place))
    rows = connection.execute(query.order_by(*order).limit(limit + 1)).all()
    following = None
    if len(rows) > limit:
        last = rows[limit - 1]
        following = Cursor(as_of, last.late, last.severity, last.due, last.id)
    return Page(tuple(_line(row) for row in rows[:limit]), following)


def counts(connection: Connection, now: datetime, *, staff_id: str) -> Counts:
    """How many cases are open, late, and whose."""
    due = next_due(connection.dialect.name)
    late = func.sum(case((due <= now, 1), else_=0))
    mine = func.sum(case((_case.c.assignee_id == staff_id, 1), else_=0))
    query = select(_case.c.severity, func.count().label("n"), late.label("late"), mine.label("mine"))
    query = query.where(IS_OPEN).group_by(_case.c.severity)
    rows = connection.execute(query).all()
    by_severity = dict.fromkeys(Severity, 0) | {Severity(row.severity): row.n for row in rows}
    return Counts(
        open=sum(row.n for row in rows),
        overdue=sum(row.late for row in rows),
        mine=sum(row.mine for row in rows),
        by_severity=by_severity,
    )


def _closed(
    connection: Connection, now: datetime, severity: Severity | None, after: Cursor | None, limit: int
) -> Page:
    query = _lines(severity).where(_case.c.state.in_(sorted(lifecycle.CLOSED)))
    order = (_case.c.updated_at, _case.c.id)
    if after is not None:
        query = query.where(tuple_(*order) < tuple_(_instant(after.due), literal(after.id)))
    query = query.order_by(*(column.desc() for column in order)).limit(limit + 1)
    rows = connection.execute(query).all()
    following = None
    if len(rows) > limit:
        last = rows[limit - 1]
        following = Cursor(now, 0, last.severity, last.updated_at, last.id)
    return Page(tuple(_line(row) for row in rows[:limit]), following)


def _lines(severity: Severity | None) -> Select[Any]:
    joined = _case.outerjoin(_factory, _case.c.factory_id == _factory.c.id)
    joined = joined.outerjoin(_staff, _case.c.assignee_id == _staff.c.id)
    query = select(
        _case, _factory.c.name.label("factory"), _factory.c.country, _staff.c.name.label("assignee")
    ).select_from(joined)
    return query.where(_case.c.severity == severity) if severity else query


def next_due(dialect: str) -> ColumnElement[Any]:
    """The next end of a running clock, in SQL: the same rule as :func:`lifecycle.running`. Far away if none runs."""
    least = func.least if dialect == "postgresql" else func.min
    return least(*ends().values(), type_=UTCDateTime())


def ends() -> Mapping[ClockName, ColumnElement[Any]]:
    """The end of each clock, in SQL; far away where it does not run."""
    return {
        ClockName.REVIEW: _unless(
            or_(_case.c.reviewed_at.is_(None), _case.c.severity == Severity.S1), _case.c.review_due_at
        ),
        ClockName.SAFETY: _unless(_case.c.state.in_(sorted(lifecycle.BEFORE_CONTACT)), _case.c.safety_due_at),
        ClockName.PLAN: _unless(_case.c.state.in_(sorted(lifecycle.BEFORE_PLAN)), _case.c.plan_due_at),
        ClockName.CLOSE: _unless(_case.c.state.not_in(sorted(lifecycle.WAITING)), _case.c.close_due_at),
    }


def _unless(runs: ColumnElement[bool], end: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((and_(runs, end.is_not(None)), end), else_=_instant(_FAR))


def _instant(at: datetime) -> ColumnElement[Any]:
    return literal(at, UTCDateTime())


def _line(row: Row[Any]) -> CaseLine:
    clock, due_at = min(running(row), key=lambda end: end[1], default=(None, None))
    return CaseLine(
        id=row.id,
        reference=row.reference,
        category=row.category,
        severity=Severity(row.severity),
        state=CaseState(row.state),
        language=row.language,
        received_at=row.received_at,
        clock=clock,
        due_at=due_at,
        factory=row.factory,
        country=row.country,
        assignee=row.assignee,
    )


def running(row: Row[Any]) -> tuple[tuple[ClockName, datetime], ...]:
    """The clocks that run for a row of the table ``cases``, with their ends."""
    plan = row.plan_due_at or _FAR
    due = Clocks(row.review_due_at, row.safety_due_at, plan, row.close_due_at)
    found = lifecycle.running(CaseState(row.state), Severity(row.severity), row.reviewed_at is not None, due)
    return tuple((name, at) for name, at in found if at != _FAR)
