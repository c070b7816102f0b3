"""What people do to a case. Actions run in the caller's write transaction and leave an event behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select, update

from bot import handoff
from bot.cases import lifecycle
from bot.cases.course import Stay, stays_of, undo, ways
from bot.cases.desk import WEIGHED, case_row, events_of, is_weighed
from bot.cases.lifecycle import CaseState, Ground, Need, Severity
from bot.errors import ConflictError, InputError, NotFound
from bot.ids import new_id
from bot.privacy.seal import Sealer
from bot.storage.tables import Case, CaseEvent, table

NOTE_LENGTH: Final = 4000
"""The most characters of a note."""

_case, _event = table(Case), table(CaseEvent)


@dataclass(frozen=True, slots=True)
class Take:
    """Work on it oneself, also when it was somebody else's."""


@dataclass(frozen=True, slots=True)
class MarkReviewed:
    """A person has read it. A critical case is due for review again a day later."""


@dataclass(frozen=True, slots=True)
class AddNote:
    """Words for colleagues, kept sealed."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AnswerWorker:
    """Words to the worker, in the thread in which they wrote to us."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ChangeSeverity:
    """Another severity, and with it other clocks."""

    to: Severity


@dataclass(frozen=True, slots=True)
class WeighCircumstances:
    """One level graver, because of who is concerned or who is accused; once for a case."""

    grounds: frozenset[Ground]


@dataclass(frozen=True, slots=True)
class Move:
    """Another state; some ways ask for a reason in words."""

    to: CaseState
    note: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Undo the last change of state."""


Action = Take | MarkReviewed | AddNote | AnswerWorker | ChangeSeverity | WeighCircumstances | Move | TakeBack


def act(
    connection: Connection,
    sealer: Sealer,
    case_id: str,
    action: Action,
    *,
    staff_id: str,
    version: int,
    now: datetime,
) -> None:
    """Do one thing to a case, in the caller's write transaction.

    ``version`` is the one that the person saw. Raises :class:`NotFound`; :class:`ConflictError` when
    somebody else was first (a note is never too late); :class:`InputError` for a way that is not open,
    a reason or a worker's word that is missing, a note that is empty or too long.
    """
    locked = select(_case.c.version).where(_case.c.id == case_id).with_for_update()
    current = connection.execute(locked).scalar()
    if current is None:
        raise NotFound(f"no case {case_id}")
    if current != version and not isinstance(action, AddNote):
        raise ConflictError(f"case {case_id} was changed in the meantime")
    row = case_row(connection, case_id)
    events = events_of(connection, case_id)
    if isinstance(action, AnswerWorker):
        handoff.answer(connection, sealer, row.conversation_id, action.text, now)
    change = _change(connection, row, events, action, staff_id, now)
    _append(connection, sealer, row, events, change, staff_id, now)
    if change.values:
        values = dict(change.values) | {"version": current + 1, "updated_at": now}
        connection.execute(update(_case).where(_case.c.id == case_id).values(values))


@dataclass(frozen=True, slots=True)
class _Change:
    """What an action does: an event, and new values of the case."""

    kind: str
    detail: str | None = None
    note: str | None = field(default=None, repr=False)
    values: Mapping[str, object] = field(default_factory=dict)


def _change(
    connection: Connection,
    row: Row[Any],
    events: list[Row[Any]],
    action: Action,
    staff_id: str,
    now: datetime,
) -> _Change:
    match action:
        case Take():
            return _Change("taken", values={"assignee_id": staff_id})
        case MarkReviewed():
            return _reviewed(row, now)
        case AddNote(text):
            return _Change("note", note=_note(text, needed=True))
        case AnswerWorker():
            return _Change("answered_worker")
        case ChangeSeverity(to):
            return _severity(row, to, now)
        case WeighCircumstances(grounds):
            return _weighed(row, events, grounds, now)
        case Move(to, note):
            return _moved(connection, row, stays_of(row, events), to, note, now)
        case TakeBack():
            return _taken_back(row, stays_of(row, events), now)


def _append(
    connection: Connection,
    sealer: Sealer,
    row: Row[Any],
    events: list[Row[Any]],
    change: _Change,
    staff_id: str,
    now: datetime,
) -> None:
    event_id = _after(events[-1].id if events else "")
    context = f"case_event.note_sealed:{event_id}"
    values = {
        "id": event_id,
        "case_id": row.id,
        "staff_id": staff_id,
        "kind": change.kind,
        "detail": change.detail,
        "note_sealed": sealer.seal_text(context, change.note) if change.note else None,
        "created_at": now,
    }
    connection.execute(insert(_event).values(values))


def _after(last: str) -> str:
    """A new id that sorts after ``last``, also within one millisecond and when clocks of hosts differ."""
    fresh = new_id()
    return fresh if fresh > last else f"{int(last, 16) + 1:032x}"


def _note(text: str, *, needed: bool) -> str:
    text = text.strip()
    if needed and not text:
        raise InputError("write a few words", code="note_missing")
    if len(text) > NOTE_LENGTH:
        raise InputError(f"a note has at most {NOTE_LENGTH} characters", code="note_long")
    return text


def _reviewed(row: Row[Any], now: datetime) -> _Change:
    values: dict[str, object] = {"reviewed_at": now}
    if row.severity == Severity.S1:
        values["review_due_at"] = now + lifecycle.DAILY
    return _Change("reviewed", values=values)


def _severity(row: Row[Any], to: Severity, now: datetime) -> _Change:
    if to == row.severity:
        raise InputError("the case has this severity already", code="severity_same")
    # Calendar of the factory where it is known; the zone is the worker's.
    old, new = (lifecycle.clocks(Severity(s), row.received_at, row.country) for s in (row.severity, to))
    values: dict[str, object] = {
        "severity": to.value,
        "safety_due_at": new.safety,
        # What the case had waited for the worker is kept.
        "plan_due_at": new.plan + ((row.plan_due_at or old.plan) - old.plan),
        "close_due_at": _moved_along(new.close, old.close, row.close_due_at),
    }
    if row.reviewed_at is None:
        values["review_due_at"] = new.review
    elif to is Severity.S1:
        values["review_due_at"] = now + lifecycle.DAILY
    return _Change("severity", detail=f"{row.severity}>{to}", values=values)


def _weighed(row: Row[Any], events: list[Row[Any]], grounds: frozenset[Ground], now: datetime) -> _Change:
    if not grounds:
        raise InputError("say which circumstances make it graver", code="grounds_missing")
    if is_weighed(events):
        raise InputError("circumstances have raised this case already", code="grounds_again")
    severity = Severity(row.severity)
    change = _severity(row, lifecycle.raise_severity(severity, grounds), now)
    # What a worker is stands in the sealed note and not in a column that is counted.
    words = ", ".join(sorted(ground.value.replace("_", " ") for ground in grounds))
    return replace(change, kind=WEIGHED, note=words)


def _moved_along(new: datetime | None, old: datetime | None, kept: datetime | None) -> datetime | None:
    return new + (kept - old) if new and old and kept else new


def _moved(
    connection: Connection, row: Row[Any], stays: list[Stay], to: CaseState, note: str, now: datetime
) -> _Change:
    way = next((way for way in ways(connection, row, stays) if way.to is to), None)
    if way is None:
        raise InputError("the case cannot go there from where it stands", code="way_closed")
    reason = _note(note, needed=way.needs is Need.NOTE) or None
    values: dict[str, object] = {"state": to.value}
    if CaseState(row.state) in lifecycle.WAITING:
        values |= _shifted(row, now - stays[-1].since)
    if to is CaseState.REOPENED:
        fresh = lifecycle.clocks(Severity(row.severity), now, row.country)
        values |= {"plan_due_at": fresh.plan, "close_due_at": fresh.close}
    return _Change("state", f"{row.state}>{to}", reason, values)


def _taken_back(row: Row[Any], stays: list[Stay], now: datetime) -> _Change:
    way_back = undo(stays, now)
    if way_back is None:
        raise InputError("there is no change of state to take back", code="undo_over")
    values: dict[str, object] = {"state": way_back.back_to.value}
    left = stays[-2]
    if left.state in lifecycle.WAITING:
        values |= _shifted(row, left.since - stays[-1].since)
    return _Change("undo", f"{row.state}>{way_back.back_to}", values=values)


def _shifted(row: Row[Any], by: timedelta) -> dict[str, object]:
    """The clocks that stand still while it is the worker's turn, moved by the time waited."""
    ends = {"plan_due_at": row.plan_due_at, "close_due_at": row.close_due_at}
    return {name: end + by for name, end in ends.items() if end is not None}
