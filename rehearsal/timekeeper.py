"""When the rehearsal's clock may move on, and to when: never while something is under way that a window ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    ScalarSelect,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
)

from bot.callbacks.claim import UNSETTLED
from bot.callbacks.states import AttemptState, CallbackState
from bot.messages import Channel
from bot.storage.tables import Attempt, Callback, Conversation, Outbox, table
from bot.storage.types import AnySelect, UTCDateTime

_GRID: Final = datetime(2000, 1, 1, tzinfo=UTC)

_attempt = table(Attempt)
_callback = table(Callback)
_conversation = table(Conversation)
_outbox = table(Outbox)

LONGEST_CALL = timedelta(hours=4)
"""How far the clock may move on while a call rings or people talk. It never moves while a call is to be placed."""
STEP = timedelta(minutes=30)
"""The clock stops at half hours; no window is shorter than one of them."""
_MARGIN = timedelta(minutes=1)
"""So long before its window's end the clock stands still for a call that rings, because what is not dialled by then is
cancelled; and before a talk would have lasted too long without a word."""


@dataclass(frozen=True, slots=True)
class View:
    """What the database says at one moment. ``open_attempts`` counts those too that wait for their last turn."""

    busy: bool
    open_attempts: int
    open_callbacks: int
    next_at: datetime | None
    """The next instant at which something is due, on the rehearsal's clock."""
    not_beyond: datetime | None
    """Until then the clock may move on although telephones ring and people talk; None if none do."""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be done, whatever the time."""
        return not (self.busy or self.open_attempts or self.open_callbacks)


def look(connection: Connection, now: datetime) -> View:
    """What is under way and what comes next.

    What is to be dialled belongs to its window, and the clock stands still for it. Once the provider has taken the
    call it may move while the telephone rings, within that window, and while people talk, as in life: not so far
    between two answers that the talk would be given up, and for :data:`LONGEST_CALL` at most. A call that has ended
    waits ten seconds of real time for its last turn and takes nobody's time meanwhile.
    """
    row = connection.execute(_LOOK, {"now": now}).one()
    instants = [each for each in (row.next_call, row.next_timer) if each is not None]
    bounds = [
        *([] if row.calls_since is None else [row.calls_since + LONGEST_CALL]),
        *(each - _MARGIN for each in (row.rings_until, row.talks_until) if each is not None),
    ]
    return View(
        busy=bool(row.waiting or row.dialling or row.texts or row.timers),
        open_attempts=row.attempts,
        open_callbacks=row.scheduled,
        next_at=min(instants, default=None),
        not_beyond=min(bounds, default=None),
    )


def move(now: datetime, to: datetime, not_beyond: datetime | None) -> timedelta:
    """How far the clock moves towards an instant at which something is due; zero if it has to stand still.

    It stops on the grid of :data:`STEP`, so that what is due together is done together, and where it may not go so
    far at once it goes as far as it may.
    """
    target = to + -(to - _GRID) % STEP
    if not_beyond is not None and target > not_beyond:
        target = not_beyond - (not_beyond - _GRID) % STEP
    return max(target - now, timedelta())


def _is(column: ColumnElement[str], *values: str) -> ColumnElement[bool]:
    """Written out, as the partial indexes are, and so that the statement is rendered once and not at each look."""
    words: list[ColumnElement[str]] = [literal_column(f"'{value}'") for value in values]
    return column == words[0] if len(words) == 1 else column.in_(words)


def _count(column: ColumnElement[str], *where: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.count(column)).where(*where).scalar_subquery()


def _statement() -> AnySelect:
    now = bindparam("now", type_=UTCDateTime())
    scheduled = _is(_callback.c.state, CallbackState.SCHEDULED)
    texts = _is(_outbox.c.state, "queued", "leased", "sending", "unknown")
    by_voice = _is(_attempt.c.channel, Channel.VOICE)
    ringing = and_(_is(_attempt.c.state, AttemptState.PLACED), by_voice)
    talking = and_(_is(_attempt.c.state, AttemptState.ANSWERED), by_voice)
    asking = _is(_attempt.c.state, AttemptState.CLAIMED, AttemptState.PLACING, AttemptState.UNKNOWN)
    timer = _conversation.c.timer_at
    return select(
        _count(_callback.c.id, scheduled, _callback.c.due_at <= now).label("waiting"),
        _count(_callback.c.id, scheduled).label("scheduled"),
        select(func.min(_callback.c.due_at)).where(scheduled).scalar_subquery().label("next_call"),
        _count(_attempt.c.id, UNSETTLED).label("attempts"),
        _count(_attempt.c.id, UNSETTLED, asking).label("dialling"),
        select(func.min(_attempt.c.claimed_at))
        .where(UNSETTLED, or_(ringing, talking))
        .scalar_subquery()
        .label("calls_since"),
        select(func.min(_attempt.c.window_end))
        .where(UNSETTLED, ringing)
        .scalar_subquery()
        .label("rings_until"),
        select(func.min(timer))
        .where(
            timer.is_not(None),
            _conversation.c.attempt_id.in_(select(_attempt.c.id).where(UNSETTLED, talking)),
        )
        .scalar_subquery()
        .label("talks_until"),
        _count(_outbox.c.id, texts).label("texts"),
        _count(_conversation.c.id, timer <= now).label("timers"),
        select(func.min(timer)).where(timer.is_not(None)).scalar_subquery().label("next_timer"),
    )


_LOOK: Final = _statement()
