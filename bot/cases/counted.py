"""What happens to cases, as sums (:mod:`bot.tally`): how soon, in which way, and whether its clocks were kept.

A change of state counts when it can no longer be taken back, so that nothing that was counted has to be uncounted. A
case is counted once for each state that it comes to, and a clock once, when it stops.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, exists, func, select, update

from bot.cases import lifecycle
from bot.cases.lifecycle import CaseState, ClockName, Clocks, Severity
from bot.storage.tables import Case, CaseEvent, Conversation, Factory, Grievance, Transfer, table
from bot.storage.types import AnyRow
from bot.tally import NO_CLIENT, SPANS, Counts, What, class_of

_case = table(Case)
_event = table(CaseEvent)
_conversation = table(Conversation)
_factory = table(Factory)
_grievance = table(Grievance)
_transfer = table(Transfer)

GRIEVANCES: Final[ColumnElement[bool]] = _grievance.c.tallied.is_(None)
_NO_REPORT: Final = "wants_a_person"
"""What is filed for somebody who wants to talk: nothing was reported yet."""
_COUNTED: Final = (
    *("opened", "severity_raised", "severity", "circumstances"),
    *("state", "undo", "reviewed", "answered_worker"),
)
"""The kinds of events that something is counted of, or that say when a clock runs out."""


def ripe(now: datetime) -> ColumnElement[bool]:
    """Events that are not counted, and that nobody can take back any more."""
    return and_(_event.c.tallied.is_(None), _event.c.created_at < now - lifecycle.UNDO)


def fold_events(connection: Connection, counts: Counts, now: datetime, most: int) -> int:
    """Count at most so many events, and mark them; gives how many."""
    due = select(_event.c.id, _event.c.case_id).where(ripe(now)).limit(most)
    rows = connection.execute(due.with_for_update(skip_locked=True)).all()
    fresh = {row.id for row in rows}
    if not fresh:
        return 0
    for course in _courses(connection, {row.case_id for row in rows}):
        for at, what, code in _of_course(course, fresh):
            counts[at.date(), course.case.client_id or NO_CLIENT, what.value, code] += 1
    connection.execute(update(_event).where(_event.c.id.in_(fresh)).values(tallied=True))
    return len(fresh)


@dataclass(frozen=True, slots=True)
class _Course:
    """A case with its events in their order, and those changes of state that were not taken back."""

    case: AnyRow
    events: Sequence[AnyRow]
    moves: Sequence[_Move]


@dataclass(frozen=True, slots=True)
class _Move:
    id: str
    at: datetime
    left: CaseState
    entered: CaseState


def _courses(connection: Connection, case_ids: Collection[str]) -> list[_Course]:
    met = select(func.min(_transfer.c.answered_at)).where(
        _transfer.c.conversation_id == _case.c.conversation_id
    )
    cases = connection.execute(
        select(_case, _factory.c.country, met.scalar_subquery().label("talked_at"))
        .outerjoin(_factory, _factory.c.id == _case.c.factory_id)
        .where(_case.c.id.in_(case_ids))
    ).all()
    events: defaultdict[str, list[AnyRow]] = defaultdict(list)
    for row in connection.execute(
        select(_event)
        .where(_event.c.case_id.in_(case_ids), _event.c.kind.in_(_COUNTED))
        .order_by(_event.c.case_id, _event.c.id)
    ):
        events[row.case_id].append(row)
    return [_Course(case, events[case.id], _moves(events[case.id])) for case in cases]


def _moves(events: Sequence[AnyRow]) -> list[_Move]:
    """The changes of state that hold. What was taken back is left out, as on the page of the case."""
    found: list[_Move] = []
    for event in events:
        if event.kind == "state" and event.detail:
            left, _, entered = event.detail.partition(">")
            found.append(_Move(event.id, event.created_at, CaseState(left), CaseState(entered)))
        elif event.kind == "undo" and found:
            found.pop()
    return found


_Sums = list[tuple[datetime, What, str]]


def _of_course(course: _Course, fresh: Collection[str]) -> _Sums:
    """What the fresh events of a case add, each with its instant."""
    found: _Sums = []
    for event in course.events:
        if event.id in fresh:
            found += _of_event(course, event)
    for n, move in enumerate(course.moves):
        if move.id in fresh:
            found += _of_move(course, n, move)
    return found


def _of_event(course: _Course, event: AnyRow) -> _Sums:
    at = event.created_at
    if event.kind == "opened":
        return [(at, What.CASE, "opened")]
    if event.kind == "reviewed" and _is_first(course, event):
        span = _span(course, at)
        return [
            (at, What.CASE_REVIEW, span),
            (at, What.CASE_CLOCK, _kept(course, ClockName.REVIEW, event.id, at)),
        ]
    talked_at = course.case.talked_at
    # Who had talked with a person before was answered then, and is counted with that talk.
    if event.kind == "answered_worker" and _is_first(course, event) and (talked_at is None or talked_at > at):
        return [(at, What.CASE_REPLY, _span(course, at))]
    return []


def _of_move(course: _Course, n: int, move: _Move) -> _Sums:
    at, earlier = move.at, course.moves[:n]
    found: _Sums = []
    if all(move.entered is not other.entered for other in earlier):
        found.append((at, What.CASE, move.entered.value))
        if move.entered is CaseState.TRIAGED:
            found.append((at, What.CASE_TRIAGE, _span(course, at)))
        if move.entered is CaseState.REMEDY_AGREED:
            found.append((at, What.CASE_CLOCK, _kept(course, ClockName.PLAN, move.id, at)))
    if _is_contact(move) and not any(_is_contact(other) for other in earlier):
        found.append((at, What.CASE_CLOCK, _kept(course, ClockName.SAFETY, move.id, at)))
    if move.entered in lifecycle.CLOSED:
        found += _of_closing(course, move, earlier)
    if move.left in lifecycle.CLOSED and move.entered is CaseState.REOPENED:
        found.append((at, What.CASE, "reopened_closed"))
    return found


def _of_closing(course: _Course, move: _Move, earlier: Sequence[_Move]) -> _Sums:
    found: _Sums = [(move.at, What.CASE, "closed")]
    if all(other.entered not in lifecycle.CLOSED for other in earlier):
        found.append((move.at, What.CASE_CLOSE, _span(course, move.at)))
    if _due(course, move.id).close is not None:
        found.append((move.at, What.CASE_CLOCK, _kept(course, ClockName.CLOSE, move.id, move.at)))
    return found


def _is_contact(move: _Move) -> bool:
    """Whether the clock of safety stops here: the worker was asked. A case that is withdrawn or held was not."""
    return move.left in lifecycle.BEFORE_CONTACT and move.entered is CaseState.ACKNOWLEDGED


def _is_first(course: _Course, event: AnyRow) -> bool:
    return all(other.id >= event.id for other in course.events if other.kind == event.kind)


def _span(course: _Course, at: datetime) -> str:
    return class_of((at - course.case.received_at).total_seconds(), SPANS)


# --- clocks -----------------------------------------------------------------------------------


def _kept(course: _Course, clock: ClockName, stop: str, at: datetime) -> str:
    """Whether a clock had not run out when an event stopped it."""
    due = _due(course, stop)
    end = {
        ClockName.REVIEW: due.review,
        ClockName.SAFETY: due.safety,
        ClockName.PLAN: due.plan + _waited(course, stop),
        ClockName.CLOSE: due.close + _waited(course, stop) if due.close else at,
    }[clock]
    return f"{clock} {'kept' if at <= end else 'broken'}"


def _due(course: _Course, stop: str) -> Clocks:
    """When the clocks ran out as they stood before an event: of the severity of then, from when that was known."""
    severity, since = Severity(course.case.severity), course.case.received_at
    for event in course.events:
        if event.id >= stop or not event.detail:
            continue
        if event.kind in ("opened", "severity_raised"):
            severity, since = Severity(event.detail), event.created_at
        elif event.kind in ("severity", "circumstances"):
            severity = Severity(event.detail.rpartition(">")[2])
    due = lifecycle.clocks(severity, since, course.case.country)
    reopened = (move.at for move in course.moves if move.entered is CaseState.REOPENED and move.id < stop)
    again = max(reopened, default=None)
    if again is None:
        return due
    fresh = lifecycle.clocks(severity, again, course.case.country)
    return Clocks(due.review, due.safety, fresh.plan, fresh.close)


def _waited(course: _Course, stop: str) -> timedelta:
    """How long it was the worker's turn, since the case was opened or reopened: clocks stood still."""
    waited = timedelta()
    before = [move for move in course.moves if move.id <= stop]
    for move, following in pairwise(before):
        if move.entered is CaseState.REOPENED:
            waited = timedelta()
        elif move.entered in lifecycle.WAITING:
            waited += following.at - move.at
    return waited


# --- talks and grievances ---------------------------------------------------------------------


def count_talks(connection: Connection, counts: Counts, transfer_ids: Collection[str]) -> None:
    """The first talk with an agent answers the worker of a case, unless somebody had written to her before."""
    other = _transfer.alias()
    earlier = exists().where(
        other.c.conversation_id == _transfer.c.conversation_id, other.c.answered_at < _transfer.c.answered_at
    )
    written = exists().where(
        _event.c.case_id == _case.c.id,
        _event.c.kind == "answered_worker",
        _event.c.created_at < _transfer.c.answered_at,
    )
    rows = connection.execute(
        select(_transfer.c.answered_at, _case.c.received_at, _case.c.client_id)
        .join(_case, _case.c.conversation_id == _transfer.c.conversation_id)
        .where(_transfer.c.id.in_(transfer_ids), _transfer.c.answered_at.is_not(None), ~earlier, ~written)
    )
    for answered_at, received_at, client_id in rows:
        span = class_of((answered_at - received_at).total_seconds(), SPANS)
        counts[answered_at.date(), client_id or NO_CLIENT, What.CASE_REPLY.value, span] += 1


def fold_grievances(connection: Connection, counts: Counts, most: int) -> int:
    """Count at most so many things reported, and mark them; gives how many."""
    due = select(_grievance.c.id).where(GRIEVANCES).limit(most).with_for_update(skip_locked=True)
    ids = list(connection.execute(due).scalars())
    if not ids:
        return 0
    rows = connection.execute(
        select(
            _grievance.c.question,
            _grievance.c.created_at,
            _case.c.client_id,
            _conversation.c.attempt_id,
        )
        .join(_case, _case.c.id == _grievance.c.case_id)
        .join(_conversation, _conversation.c.id == _grievance.c.conversation_id)
        .where(_grievance.c.id.in_(ids), _grievance.c.question != _NO_REPORT)
    )
    for row in rows:
        where = "callback" if row.attempt_id is not None else "otherwise"
        counts[row.created_at.date(), row.client_id or NO_CLIENT, What.GRIEVANCE.value, where] += 1
    connection.execute(update(_grievance).where(_grievance.c.id.in_(ids)).values(tallied=True))
    return len(ids)
