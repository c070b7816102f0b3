"""When the rehearsal's clock may move on, and to when: never while something is under way that a window ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Connection, ScalarSelect, and_, bindparam, func, literal_column, select

from bot.callbacks.claim import UNSETTLED
from bot.callbacks.states import AttemptState, CallbackState
from bot.messages import Channel
from bot.storage.tables import Attempt, Callback, Conversation, Outbox, table
from bot.storage.types import AnySelect, UTCDateTime

_attempt = table(Attempt)
_callback = table(Callback)
_conversation = table(Conversation)
_outbox = table(Outbox)

LONGEST_TALK = timedelta(hours=1)
"""How far the clock may move on, on itself, while people talk. It never moves while a telephone is to ring."""


@dataclass(frozen=True, slots=True)
class View:
    """What the database says at one moment. ``open_attempts`` counts those too that wait for their last turn."""

    busy: bool
    open_attempts: int
    open_callbacks: int
    next_at: datetime | None
    """The next instant at which something is due, on the rehearsal's clock."""
    not_beyond: datetime | None
    """Until then the clock may move on although people talk; None if nobody does."""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be done, whatever the time."""
        return not (self.busy or self.open_attempts or self.open_callbacks)


def look(connection: Connection, now: datetime) -> View:
    """What is under way and what comes next.

    What is to be dialled, and what rings, belongs to its window, and the clock stands still for it. People may
    talk while it moves, as they do in life, for :data:`LONGEST_TALK` at most. A call that has ended waits ten
    seconds of real time for its last turn and takes nobody's time meanwhile.
    """
    row = connection.execute(_LOOK, {"now": now}).one()
    instants = [each for each in (row.next_call, row.next_timer) if each is not None]
    return View(
        busy=bool(row.waiting or row.dialling or row.texts or row.timers),
        open_attempts=row.attempts,
        open_callbacks=row.scheduled,
        next_at=min(instants, default=None),
        not_beyond=None if row.talks_since is None else row.talks_since + LONGEST_TALK,
    )


def later(instant: datetime, step: timedelta) -> datetime:
    """The first instant on the grid of ``step`` that is not before ``instant``: what is due together is done together."""
    since = instant - datetime(2000, 1, 1, tzinfo=UTC)
    return instant + (-since % step)


def _count(column: ColumnElement[str], *where: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.count(column)).where(*where).scalar_subquery()


def _statement() -> AnySelect:
    now = bindparam("now", type_=UTCDateTime())
    scheduled = _callback.c.state == literal_column(f"'{CallbackState.SCHEDULED}'")
    texts = _outbox.c.state.in_([literal_column(f"'{each}'") for each in ("queued", "leased", "sending")])
    talks = (AttemptState.ANSWERED, AttemptState.ENDED)
    talking = and_(_attempt.c.state == AttemptState.ANSWERED, _attempt.c.channel == Channel.VOICE)
    timer = _conversation.c.timer_at
    return select(
        _count(_callback.c.id, scheduled, _callback.c.due_at <= now).label("waiting"),
        _count(_callback.c.id, scheduled).label("scheduled"),
        select(func.min(_callback.c.due_at)).where(scheduled).scalar_subquery().label("next_call"),
        _count(_attempt.c.id, UNSETTLED).label("attempts"),
        _count(_attempt.c.id, UNSETTLED, _attempt.c.state.not_in(talks)).label("dialling"),
        select(func.min(_attempt.c.claimed_at))
        .where(UNSETTLED, talking)
        .scalar_subquery()
        .label("talks_since"),
        _count(_outbox.c.id, texts).label("texts"),
        _count(_conversation.c.id, timer <= now).label("timers"),
        select(func.min(timer)).where(timer.is_not(None)).scalar_subquery().label("next_timer"),
    )


_LOOK: Final = _statement()
