"""How the promised calls are going: counts only, no number and no name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from flask import current_app, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy import Connection, func, literal_column, select

from bot import watch
from bot.callbacks.states import AttemptState, CallbackState
from bot.clock import wall_time
from bot.ids import earliest
from bot.service import Service
from bot.storage.tables import Attempt, Callback, table
from bot.storage.types import AnyRow

PERIOD: Final = timedelta(days=30)
_MOST: Final = 50
KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {"due": "Due now", "late": "Late", "dialling": "Under way", "given_up": "Given up"}
)
"""What can be listed, and how the list is called."""
_callback, _attempt = table(Callback), table(Attempt)


@dataclass(frozen=True, slots=True)
class Overview:
    """What is going on now, and what became of the callbacks and attempts of the last 30 days."""

    scheduled: int
    due: int
    dialling: int
    next_due_at: datetime | None
    states: Mapping[str, int]
    given_up: Mapping[str, int]
    dispositions: Mapping[str, int]


def show() -> ResponseReturnValue:
    """The page of callbacks."""
    service: Service = current_app.extensions["voiceback"]
    now = service.clock.now()
    wanted, reason = request.args.get("show", ""), request.args.get("reason", "")
    with service.database.read() as connection:
        overview = read(connection, now)
        listed = some(connection, now, wanted, reason) if wanted in KINDS else None
    return render_template(
        "console/callbacks.html",
        overview=overview,
        listed=listed,
        heading=KINDS.get(wanted),
        reason=reason if wanted == "given_up" else "",
        most=_MOST,
        now=now,
        days=PERIOD.days,
    )


def some(connection: Connection, now: datetime, wanted: str, reason: str = "") -> list[AnyRow]:
    """Callbacks of one kind of :data:`KINDS`, at most fifty: the longest waiting first, those given up newest first."""
    query = select(
        _callback.c.id,
        _callback.c.state,
        _callback.c.channel,
        _callback.c.country,
        _callback.c.timezone,
        _callback.c.due_at,
        _callback.c.window_end,
        _callback.c.attempts,
        _callback.c.give_up_reason,
    )
    scheduled = _callback.c.state == literal_column("'scheduled'")
    if wanted == "dialling":
        under_way = select(_attempt.c.callback_id).where(_attempt.c.state != literal_column("'settled'"))
        query = query.where(_callback.c.id.in_(under_way)).order_by(_callback.c.due_at)
    elif wanted == "given_up":
        query = query.where(
            _callback.c.id >= earliest(wall_time() - PERIOD), _callback.c.state == CallbackState.GIVEN_UP
        )
        query = query.where(_callback.c.give_up_reason == reason) if reason else query
        query = query.order_by(_callback.c.id.desc())
    else:
        until = now - watch.LATE if wanted == "late" else now
        query = query.where(scheduled, _callback.c.due_at <= until).order_by(_callback.c.due_at)
    return list(connection.execute(query.limit(_MOST)).all())


def read(connection: Connection, now: datetime) -> Overview:
    """Count. Open callbacks by their own small indexes, the rest no further back than :data:`PERIOD`."""
    waiting = _callback.c.state == CallbackState.SCHEDULED
    scheduled, next_due_at = connection.execute(
        select(func.count(), func.min(_callback.c.due_at)).where(waiting)
    ).one()
    due = connection.execute(select(func.count()).where(waiting, _callback.c.due_at <= now)).scalar_one()
    under_way = select(func.count()).where(_attempt.c.state != AttemptState.SETTLED)
    since = earliest(wall_time() - PERIOD)
    recent = _callback.c.id >= since
    return Overview(
        scheduled=scheduled,
        due=due,
        dialling=connection.execute(under_way).scalar_one(),
        next_due_at=next_due_at,
        states=_count(connection, _callback.c.state, recent),
        given_up=_count(connection, _callback.c.give_up_reason, recent),
        dispositions=_count(connection, _attempt.c.disposition, _attempt.c.id >= since),
    )


def _count(connection: Connection, column: Any, which: Any) -> Mapping[str, int]:
    """How many rows have each value of a column, most frequent first."""
    number = func.count().label("number")
    query = select(column, number).where(which, column.is_not(None)).group_by(column)
    return {row[0]: row[1] for row in connection.execute(query.order_by(number.desc(), column))}
