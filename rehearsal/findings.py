"""What came out of a rehearsal: counted in its database and at the make-believe provider, and set against the promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, select

from bot.callbacks.preference import parse, windows
from bot.callbacks.states import AAPOR, AttemptState, CallbackState, Disposition
from bot.service import Service
from bot.storage.tables import (
    Attempt,
    Callback,
    Case,
    CohortMember,
    Conversation,
    Grievance,
    Message,
    Stop,
    table,
)
from bot.storage.types import AnyRow

_attempt = table(Attempt)
_callback = table(Callback)
_case = table(Case)
_conversation = table(Conversation)
_grievance = table(Grievance)
_member = table(CohortMember)
_message = table(Message)
_stop = table(Stop)

UNDER_AGE = "child_labour"
_MOST_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class Findings:
    """Figures of a rehearsal. Shares are in per cent, lateness in minutes on the rehearsal's clock."""

    workers: int
    callbacks: int
    reached: int
    reached_percent: float
    states: Mapping[str, int]
    give_up_reasons: Mapping[str, int]
    attempts: int
    dispositions: Mapping[str, int]
    aapor: Mapping[str, int]
    calls_at_provider: int
    in_window_percent: float
    lateness_median: float
    lateness_most: float
    turns: int
    cases: int
    cases_by_severity: Mapping[str, int]
    grievances: int
    under_age: int
    opt_outs: int
    double_dials: int
    outside_window: int
    lost: int
    alerts: int
    """What the provider complained of: a webhook that failed, a document that it could not read."""

    def broken(self, *, finished: bool) -> list[str]:
        """The promises that were broken. What is still open counts as lost only in a rehearsal that was finished."""
        found = [name for name in ("double_dials", "outside_window") if getattr(self, name)]
        return found + (["lost"] if finished and self.lost else [])

    def as_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def find(service: Service, tally: Mapping[str, int], workers: int) -> Findings:
    """Count everything. ``tally`` is the provider's, ``workers`` how many were brought in."""
    with service.database.read() as connection:
        dialled = list(_dialled(connection))
        states = _counts(connection, _callback.c.state)
        dispositions = _counts(connection, _attempt.c.disposition)
        late = sorted(_lateness(row) for row in dialled if not _is_moved(row)) or [0.0]
        outside = sum(not _is_inside(row) for row in dialled)
        callbacks = sum(states.values())
        reached = states.get(CallbackState.REACHED, 0)
        return Findings(
            workers=workers,
            callbacks=callbacks,
            reached=reached,
            reached_percent=_percent(reached, callbacks),
            states=states,
            give_up_reasons=_counts(connection, _callback.c.give_up_reason),
            attempts=sum(_counts(connection, _attempt.c.state).values()),
            dispositions=dispositions,
            aapor=_by_code(dispositions),
            calls_at_provider=tally["calls"],
            in_window_percent=_percent(len(dialled) - outside, len(dialled)),
            lateness_median=round(late[len(late) // 2], 1),
            lateness_most=round(late[-1], 1),
            turns=_number(connection, _message.c.id, _message.c.direction == "in"),
            cases=_number(connection, _case.c.id),
            cases_by_severity=_counts(connection, _case.c.severity),
            grievances=_number(connection, _grievance.c.id),
            under_age=_number(connection, _grievance.c.id, _grievance.c.category == UNDER_AGE),
            opt_outs=_number(connection, _stop.c.index),
            double_dials=tally["repeated"] + max(0, tally["calls"] - len(dialled)),
            outside_window=outside,
            lost=max(0, workers - callbacks) + _open(connection),
            alerts=tally["alerts"],
        )


def _dialled(connection: Connection) -> Iterator[AnyRow]:
    """Attempts for which the provider was asked. A refusal that was surely not taken is among them."""
    wanted = (
        select(
            *(_attempt.c.claimed_at, _attempt.c.window_end, _callback.c.timezone, _callback.c.country),
            *(_callback.c.preference, _member.c.preference.label("registered")),
        )
        .join(_callback, _callback.c.id == _attempt.c.callback_id)
        .join(_member, _member.c.id == _callback.c.cohort_member_id)
        .where(_attempt.c.asked_at.is_not(None))
        .execution_options(yield_per=_MOST_AT_ONCE)
    )
    yield from connection.execute(wanted)


def _is_inside(row: AnyRow) -> bool:
    """Whether a call began in a window that the worker asked for, worked out anew from her own words."""
    if row.claimed_at >= row.window_end:
        return False
    return any(
        start <= row.claimed_at < end
        for wish in {row.registered, row.preference}
        for start, end in _around(row, wish)
    )


def _around(row: AnyRow, wish: str) -> Iterator[tuple[datetime, datetime]]:
    zone = ZoneInfo(row.timezone)
    today = row.claimed_at.astimezone(zone).date()
    for day in (today - timedelta(1), today):
        for window in windows(parse(wish), day, zone, row.country):
            yield window.start, window.end


def _is_moved(row: AnyRow) -> bool:
    return bool(row.registered != row.preference)


def _lateness(row: AnyRow) -> float:
    """Minutes since the window opened in which the call began."""
    begun = [start for start, end in _around(row, row.registered) if start <= row.claimed_at < end]
    return (row.claimed_at - max(begun)).total_seconds() / 60 if begun else 0.0


def _open(connection: Connection) -> int:
    """What is neither done nor given up: callbacks, attempts, and what workers wrote that nobody has taken."""
    return (
        _number(connection, _callback.c.id, _callback.c.state.in_(("scheduled", "dialling")))
        + _number(connection, _attempt.c.id, _attempt.c.state != AttemptState.SETTLED)
        + _number(connection, _message.c.id, _message.c.retry_at.is_not(None))
    )


def _number(connection: Connection, column: Any, *where: Any) -> int:
    return int(connection.execute(select(func.count(column)).where(*where)).scalar_one())


def _counts(connection: Connection, column: Any) -> dict[str, int]:
    rows = connection.execute(
        select(column, func.count()).where(column.is_not(None)).group_by(column).order_by(column)
    )
    return {str(value): int(count) for value, count in rows}


def _by_code(dispositions: Mapping[str, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, count in dispositions.items():
        code = AAPOR[Disposition(name)]
        found[code] = found.get(code, 0) + count
    return dict(sorted(found.items()))


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0


def lines(found: Findings) -> Sequence[str]:
    """The figures for a reader."""
    return (
        f"callbacks        {found.callbacks:,} of {found.workers:,} workers; {found.reached:,} reached "
        f"({found.reached_percent} %)",
        f"  came to        {_listed(found.states)}",
        f"  given up for   {_listed(found.give_up_reasons)}",
        f"attempts         {found.attempts:,}; {found.calls_at_provider:,} calls at the provider",
        f"  dispositions   {_listed(found.dispositions)}",
        f"  AAPOR          {_listed(found.aapor)}",
        f"  in window      {found.in_window_percent} %; after the window's begin: median "
        f"{found.lateness_median} min, most {found.lateness_most} min",
        f"turns of talks   {found.turns:,}",
        f"cases            {found.cases:,} ({_listed(found.cases_by_severity)}) with {found.grievances:,} "
        f"grievances, {found.under_age} of them under-age work",
        f"opt-outs         {found.opt_outs:,}",
        f"promises         double dials {found.double_dials}, outside the window {found.outside_window}, "
        f"lost {found.lost}; the provider's complaints {found.alerts}",
    )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"
