"""When the rehearsal's clock may move on, and to when: never while something is under way that a window ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, func, select

from bot.callbacks.states import AttemptState, CallbackState
from bot.storage.tables import Attempt, Callback, Conversation, Outbox, table

_attempt = table(Attempt)
_callback = table(Callback)
_conversation = table(Conversation)
_outbox = table(Outbox)


@dataclass(frozen=True, slots=True)
class View:
    """What the database says at one moment. ``open_attempts`` counts those too that wait for their last turn."""

    busy: bool
    open_attempts: int
    open_callbacks: int
    next_at: datetime | None
    """The next instant at which something is due, on the rehearsal's clock."""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be done, whatever the time."""
        return not (self.busy or self.open_attempts or self.open_callbacks)


def look(connection: Connection, now: datetime) -> View:
    """What is under way and what comes next.

    A call that has ended waits ten seconds of real time for its last turn. It takes nobody's time meanwhile, so
    the clock need not stand still for it.
    """
    due = _callback.c.due_at <= now
    waiting = _count(connection, _callback.c.id, _callback.c.state == CallbackState.SCHEDULED, due)
    attempts = _count(connection, _attempt.c.id, _attempt.c.state != AttemptState.SETTLED)
    ended = _count(connection, _attempt.c.id, _attempt.c.state == AttemptState.ENDED)
    texts = _count(connection, _outbox.c.id, _outbox.c.state.in_(("queued", "leased", "sending")))
    timers = _count(connection, _conversation.c.id, _conversation.c.timer_at <= now)
    scheduled = connection.execute(
        select(func.count(), func.min(_callback.c.due_at)).where(_callback.c.state == CallbackState.SCHEDULED)
    ).one()
    timer = connection.execute(
        select(func.min(_conversation.c.timer_at)).where(_conversation.c.timer_at.is_not(None))
    ).scalar_one()
    return View(
        busy=bool(waiting or attempts > ended or texts or timers),
        open_attempts=attempts,
        open_callbacks=int(scheduled[0]),
        next_at=min((each for each in (scheduled[1], timer) if each), default=None),
    )


def later(instant: datetime, step: timedelta) -> datetime:
    """The first instant on the grid of ``step`` that is not before ``instant``: what is due together is done together."""
    since = instant - datetime(2000, 1, 1, tzinfo=UTC)
    return instant + (-since % step)


def _count(connection: Connection, column: ColumnElement[str], *where: ColumnElement[bool]) -> int:
    return int(connection.execute(select(func.count(column)).where(*where)).scalar_one())
