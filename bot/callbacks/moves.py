"""Somebody of ours moves a callback to a time that the worker named to them, and moves it back if that was a slip.

What was typed is read like a worker's own words, and is kept nowhere: only the time that was understood is. Each
move stands in the access log, with who did it, and in a row that knows the time before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, exists, insert, select, update

from bot.callbacks import requests, settle, wishes
from bot.callbacks.plan import DayCode, Explanation, GivenUp, GiveUp, Planned, explain
from bot.callbacks.preference import wish
from bot.callbacks.requests import Considerations
from bot.callbacks.states import CallbackState
from bot.callbacks.wishes import Vocabulary
from bot.clock import wall_time
from bot.errors import ConflictError, InputError, NotFound
from bot.flow.library import Library
from bot.ids import new_id
from bot.privacy import access
from bot.storage.tables import Attempt, Callback, CallbackMove, Case, table
from bot.storage.types import AnyRow

_attempt = table(Attempt)
_callback = table(Callback)
_case = table(Case)
_move = table(CallbackMove)

LONGEST: Final = wishes.LONGEST
"""Characters of what may be typed."""
_MOST_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a move would do. ``said`` is what was understood, as a day and hours on the worker's clock."""

    callback_id: str
    preference: str
    said: str
    planned: Planned
    version: str
    """Of the callback over which it was proposed."""


def propose(
    connection: Connection, callback_id: str, text: str, words: tuple[Vocabulary, ...], now: datetime
) -> Proposal:
    """Read a time in the words of ``words``, or in the grammar of :mod:`bot.callbacks.preference`; changes nothing.

    Raises :class:`NotFound`, :class:`ConflictError` if the callback is dialled right now, over, or on the stop
    list, and :class:`InputError` for a time that is not understood, is over, or at which nobody may be called.
    """
    known = _known(connection, callback_id, now)
    local = now.astimezone(known.request.timezone)
    country = known.row.country
    preference = wish(str(wishes.typed(text, words, local, country)), now, known.request.timezone)
    said = wishes.said(preference, local, country, "en")
    explained = explain(*settle.asked_for(known, preference, now), now)
    if isinstance(explained.verdict, GivenUp):
        raise InputError(_why_not(explained), code="no_such_time")
    return Proposal(callback_id, str(preference), said, explained.verdict, version(known.row))


def move(connection: Connection, proposal: Proposal, now: datetime, *, by: str | None = None) -> Planned:
    """Do what was proposed, in the transaction in which it was. ``by`` is the member of staff, None the command line."""
    before = connection.execute(select(_callback).where(_callback.c.id == proposal.callback_id)).one()
    connection.execute(
        insert(_move).values(
            id=new_id(),
            callback_id=before.id,
            staff_id=by,
            preference=proposal.preference,
            former=before.preference,
            former_first_day=before.first_day,
            former_last_day=before.last_day,
            former_due_at=before.due_at,
            former_window_end=before.window_end,
            created_at=now,
        )
    )
    verdict = settle.put_off(connection, before.id, proposal.preference, now, proven=True)
    if not isinstance(verdict, Planned):
        raise ConflictError("the callback was changed meanwhile")
    access.record(connection, by, "move_callback", "callback", before.id, wall_time())
    return verdict


def undo(connection: Connection, callback_id: str, now: datetime, *, by: str | None = None) -> Planned:
    """Plan a callback again as it was before the last move.

    Raises :class:`NotFound`, :class:`ConflictError` if there is no move that can be taken back (see
    :func:`latest`), and :class:`InputError` if no time is left at which it could take place as before.
    """
    row = _known(connection, callback_id, now).row
    last = latest(connection, row)
    if last is None:
        raise ConflictError("there is no move to take back")
    connection.execute(update(_move).where(_move.c.id == last.id).values(undone_at=now))
    connection.execute(
        update(_callback)
        .where(_callback.c.id == callback_id)
        .values(preference=last.former, first_day=last.former_first_day, last_day=last.former_last_day)
    )
    verdict = settle.schedule(connection, callback_id, now)
    if not isinstance(verdict, Planned):
        raise InputError("No time is left at which she could be called as before.", code="no_such_time")
    access.record(connection, by, "undo_move", "callback", callback_id, wall_time())
    return verdict


def latest(connection: Connection, callback: AnyRow) -> AnyRow | None:
    """The last move of a callback if it can be taken back: it holds still, and nobody was called since."""
    last = connection.execute(
        select(_move).where(_move.c.callback_id == callback.id).order_by(_move.c.id.desc()).limit(1)
    ).one_or_none()
    if last is None or last.undone_at is not None or last.preference != callback.preference:
        return None
    since = (_attempt.c.callback_id == callback.id, _attempt.c.claimed_at >= last.created_at)
    tried = connection.execute(select(exists().where(*since))).scalar_one()
    return None if tried or callback.state != CallbackState.SCHEDULED else last


def planned_for_case(connection: Connection, case_id: str) -> list[AnyRow]:
    """The callbacks that wait for the worker of a case, the next one first: ``id``, ``due_at`` and ``timezone``."""
    hers = select(_case.c.contact_id).where(_case.c.id == case_id, _case.c.contact_id.is_not(None))
    contact_id = connection.execute(hers).scalar_one_or_none()
    found = (
        select(_callback.c.id, _callback.c.due_at, _callback.c.timezone)
        .where(_callback.c.contact_id == contact_id, _callback.c.state == CallbackState.SCHEDULED)
        .order_by(_callback.c.due_at)
        .limit(_MOST_SHOWN)
    )
    return list(connection.execute(found).all()) if contact_id else []


def words_for(library: Library, language: str) -> tuple[Vocabulary, ...]:
    """The words in which a time for a worker may be typed: English ones, and those of her language."""
    return tuple(library.times_in(each) for each in dict.fromkeys((language, "en")))


def version(callback: AnyRow) -> str:
    """What changes whenever a callback is planned anew."""
    return f"{callback.updated_at.isoformat()} {callback.attempts}"


def _known(connection: Connection, callback_id: str, now: datetime) -> Considerations:
    """A callback that may be moved, and that nobody else touches until the transaction ends."""
    one = select(_callback.c.id).where(_callback.c.id == callback_id).with_for_update()
    if connection.execute(one).first() is None:
        raise NotFound(f"there is no callback {callback_id[:40]}")
    known = requests.read(connection, callback_id, now)
    if known.row.state != CallbackState.SCHEDULED or settle.is_stopped(connection, known.row.address_id):
        raise ConflictError("only a callback that is scheduled can be moved")
    return known


def _why_not(explained: Explanation) -> str:
    """Why no call may begin at a time that was understood."""
    verdict = explained.verdict
    if isinstance(verdict, GivenUp) and verdict.reason is GiveUp.ATTEMPTS_USED:
        return "The client's attempts for this worker are used up."
    codes = {day.code for day in explained.days}
    if DayCode.IN_SHIFT in codes:
        return "That lies within the shifts of her factory, and the client's policy keeps out of them."
    if DayCode.PUBLIC_HOLIDAY in codes:
        return "That lies on a public holiday, and the client's policy calls nobody on one."
    return "No call may begin then: it lies outside the days of this callback."
