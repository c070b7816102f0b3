"""The desk: what the people who work on cases read and do.

Reads return frozen dataclasses in which sealed texts are open; they hold no number, name or alias of
a worker, because none is ever opened here. Actions run in the caller's write transaction, guard the
case with its version and leave an event behind. Instants are UTC; ``now`` is the service's clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
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
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from bot.cases import lifecycle
from bot.cases.lifecycle import CaseState, ClockName, Clocks, Need, Severity, Transition
from bot.cases.masking import mask
from bot.errors import ConflictError, InputError, NotFound, SealError
from bot.ids import new_id
from bot.privacy.keys import Purpose
from bot.privacy.seal import Sealer
from bot.storage.tables import (
    AddressRow,
    Answer,
    Attempt,
    Audit,
    Callback,
    Case,
    CaseEvent,
    Client,
    Consent,
    Contact,
    ContactAddress,
    Conversation,
    Factory,
    Grievance,
    Message,
    RecordingRow,
    Staff,
    Stop,
    table,
)
from bot.storage.types import UTCDateTime

WORKER_CHECK_QUESTION: Final = "remedy_done"
"""The question of the worker check: its answers ``yes`` and ``no`` are the worker's word on a remedy."""
UNREADABLE: Final = "[this text cannot be opened: please tell the operator]"
NOTE_LENGTH: Final = 4000
PAGE: Final = 50
MESSAGES: Final = 200
_FAR: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""Stands for a clock that does not run, where SQL compares clocks."""

_case, _event, _staff = table(Case), table(CaseEvent), table(Staff)
_answer, _conversation, _message = table(Answer), table(Conversation), table(Message)
_recording, _factory, _audit = table(RecordingRow), table(Factory), table(Audit)


# --- the queue ----------------------------------------------------------------------------------


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


def queue(
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
    due = _due_column(connection.dialect.name)
    late: ColumnElement[int] = case((due <= as_of, 0), else_=1)
    order = (late, _case.c.severity, due, _case.c.id)
    query = _lines(severity).add_columns(late.label("late"), due.label("due"))
    query = query.where(_case.c.state.in_(sorted(lifecycle.OPEN)))
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
    due = _due_column(connection.dialect.name)
    late = func.sum(case((due <= now, 1), else_=0))
    mine = func.sum(case((_case.c.assignee_id == staff_id, 1), else_=0))
    query = select(_case.c.severity, func.count().label("n"), late.label("late"), mine.label("mine"))
    query = query.where(_case.c.state.in_(sorted(lifecycle.OPEN))).group_by(_case.c.severity)
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


def _due_column(dialect: str) -> ColumnElement[Any]:
    """The next end of a running clock, in SQL: the same rule as :func:`lifecycle.running`."""
    ends: tuple[ColumnElement[Any], ...] = (
        _unless(or_(_case.c.reviewed_at.is_(None), _case.c.severity == Severity.S1), _case.c.review_due_at),
        _unless(_case.c.state.in_(sorted(lifecycle.BEFORE_CONTACT)), _case.c.safety_due_at),
        _unless(_case.c.state.in_(sorted(lifecycle.BEFORE_PLAN)), _case.c.plan_due_at),
        _unless(_case.c.state.not_in(sorted(lifecycle.WAITING)), _case.c.close_due_at),
    )
    least = func.least if dialect == "postgresql" else func.min
    return least(*ends, type_=UTCDateTime())


def _unless(runs: ColumnElement[bool], end: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((and_(runs, end.is_not(None)), end), else_=_instant(_FAR))


def _instant(at: datetime) -> ColumnElement[Any]:
    return literal(at, UTCDateTime())


def _line(row: Row[Any]) -> CaseLine:
    clock, due_at = min(_running(row), key=lambda end: end[1], default=(None, None))
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


def _running(row: Row[Any]) -> tuple[tuple[ClockName, datetime], ...]:
    plan = row.plan_due_at or _FAR
    due = Clocks(row.review_due_at, row.safety_due_at, plan, row.close_due_at)
    found = lifecycle.running(CaseState(row.state), Severity(row.severity), row.reviewed_at is not None, due)
    return tuple((name, at) for name, at in found if at != _FAR)


# --- one case -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reported:
    """One grievance of a case."""

    question: str
    category: str
    severity: Severity
    indicators: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """One answer: ``code`` counts, ``text`` is what the worker said, in their own language."""

    id: str
    question: str
    kind: str
    code: str | None
    text: str | None = field(repr=False)
    at: datetime


@dataclass(frozen=True, slots=True)
class Sound:
    """A recording that can be played."""

    id: str
    answer_id: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Happening:
    """One event of a case's history."""

    kind: str
    detail: str | None
    staff: str | None
    note: str | None = field(repr=False)
    at: datetime


@dataclass(frozen=True, slots=True)
class Undo:
    """The last change of state, which can be taken back until ``until``."""

    back_to: CaseState
    until: datetime


@dataclass(frozen=True, slots=True)
class CaseDetail:
    """Everything that a case page shows, but the transcript."""

    id: str
    reference: str
    version: int
    category: str
    severity: Severity
    state: CaseState
    language: str
    received_at: datetime
    reviewed_at: datetime | None
    running: tuple[tuple[ClockName, datetime], ...]
    assignee_id: str | None
    assignee: str | None
    client: str | None
    factory: str | None
    supplier: str | None
    country: str | None
    audit_ref: str | None
    audit_date: date | None
    timezone: str
    """The worker's zone (IANA name); UTC when nobody knows it."""
    conversation_id: str
    channel: str
    flow: str
    revision: str
    outcome: str | None
    stopped: bool
    """The worker said stop, or it is unsafe: nobody contacts this address again."""
    grievances: tuple[Reported, ...]
    answers: tuple[Said, ...]
    consents: Mapping[str, bool]
    """The newest answer to each consent that was asked for."""
    recordings: tuple[Sound, ...]
    events: tuple[Happening, ...]
    ways: tuple[Transition, ...]
    """The changes of state that are allowed now."""
    undo: Undo | None


def detail(connection: Connection, sealer: Sealer, case_id: str, now: datetime) -> CaseDetail:
    """One case. Raises :class:`NotFound`. Whoever calls notes the reading in the access log."""
    row = _case_row(connection, case_id)
    own = _own_addresses(connection, row)
    events = _events(connection, case_id)
    stays = _stays(row, events)
    return CaseDetail(
        id=row.id,
        reference=row.reference,
        version=row.version,
        category=row.category,
        severity=Severity(row.severity),
        state=CaseState(row.state),
        language=row.language,
        received_at=row.received_at,
        reviewed_at=row.reviewed_at,
        running=_running(row),
        assignee_id=row.assignee_id,
        assignee=row.assignee,
        client=row.client,
        factory=row.factory,
        supplier=row.supplier,
        country=row.country,
        audit_ref=row.audit_ref,
        audit_date=row.audit_date,
        timezone=row.contact_zone or row.callback_zone or "UTC",
        conversation_id=row.conversation_id,
        channel=row.channel,
        flow=row.flow,
        revision=row.revision,
        outcome=row.outcome,
        stopped=row.stopped is not None,
        grievances=_grievances(connection, case_id),
        answers=_answers(connection, sealer, row, own),
        consents=_consents(connection, row.conversation_id),
        recordings=_recordings(connection, row.conversation_id),
        events=tuple(_happening(sealer, event) for event in events),
        ways=_ways(connection, row, stays),
        undo=_undo(stays, now),
    )


@dataclass(frozen=True, slots=True)
class Spoken:
    """One entry of a transcript. ``direction`` is ``in`` (the worker) or ``out`` (we)."""

    id: str
    direction: str
    channel: str
    status: str | None
    text: str = field(repr=False)
    at: datetime


def transcript(
    connection: Connection, sealer: Sealer, case_id: str, before: str | None = None, limit: int = MESSAGES
) -> tuple[tuple[Spoken, ...], str | None]:
    """The newest messages of a case's conversation, in order, and the id before which older ones lie.

    Raises :class:`NotFound`. Whoever calls notes the reading in the access log.
    """
    row = _case_row(connection, case_id)
    own = _own_addresses(connection, row)
    query = select(_message).where(_message.c.conversation_id == row.conversation_id)
    if before is not None:
        query = query.where(_message.c.id < before)
    rows = connection.execute(query.order_by(_message.c.id.desc()).limit(limit + 1)).all()
    older = rows[limit - 1].id if len(rows) > limit else None
    # What was said and what answered it share an instant and often a millisecond: the worker came first.
    rows = sorted(rows[:limit], key=lambda m: (m.created_at, m.direction != "in", m.id))
    said = (
        Spoken(
            id=m.id,
            direction=m.direction,
            channel=m.channel,
            status=m.status,
            text=_read(sealer, f"message.body_sealed:{m.id}", m.body_sealed, own, row.country_hint),
            at=m.created_at,
        )
        for m in rows
    )
    return tuple(said), older


@dataclass(frozen=True, slots=True)
class Audio:
    """A recording, opened."""

    data: bytes = field(repr=False)
    content_type: str
    case_id: str


def recording(connection: Connection, sealer: Sealer, recording_id: str) -> Audio:
    """A recording that belongs to a case. Raises :class:`NotFound`, :class:`SealError`."""
    query = select(_recording, _case.c.id.label("case_id"))
    query = query.join(_case, _case.c.conversation_id == _recording.c.conversation_id)
    row = connection.execute(query.where(_recording.c.id == recording_id)).first()
    if row is None or row.audio_sealed is None:
        raise NotFound(f"no recording {recording_id}")
    data = sealer.open(Purpose.CONTENT, f"recording.audio_sealed:{row.id}", row.audio_sealed)
    return Audio(data, row.content_type or "application/octet-stream", row.case_id)


def _case_row(connection: Connection, case_id: str) -> Row[Any]:
    address, attempt, callback = table(AddressRow), table(Attempt), table(Callback)
    client, contact, stop = table(Client), table(Contact), table(Stop)
    joined = (
        _case.join(_conversation, _case.c.conversation_id == _conversation.c.id)
        .outerjoin(_factory, _case.c.factory_id == _factory.c.id)
        .outerjoin(_audit, _case.c.audit_id == _audit.c.id)
        .outerjoin(client, _case.c.client_id == client.c.id)
        .outerjoin(_staff, _case.c.assignee_id == _staff.c.id)
        .outerjoin(contact, _case.c.contact_id == contact.c.id)
        .outerjoin(address, _conversation.c.address_id == address.c.id)
        .outerjoin(stop, address.c.stop_index == stop.c.index)
        .outerjoin(attempt, _conversation.c.attempt_id == attempt.c.id)
        .outerjoin(callback, attempt.c.callback_id == callback.c.id)
    )
    columns = (
        _conversation.c.channel,
        _conversation.c.flow,
        _conversation.c.revision,
        _conversation.c.outcome,
        _conversation.c.address_id,
        _factory.c.name.label("factory"),
        _factory.c.supplier,
        _factory.c.country,
        func.coalesce(address.c.country, _factory.c.country).label("country_hint"),
        _audit.c.ref.label("audit_ref"),
        _audit.c.audit_date,
        client.c.name.label("client"),
        _staff.c.name.label("assignee"),
        contact.c.timezone.label("contact_zone"),
        callback.c.timezone.label("callback_zone"),
        stop.c.index.label("stopped"),
    )
    found = select(_case, *columns).select_from(joined).where(_case.c.id == case_id)
    row = connection.execute(found).first()
    if row is None:
        raise NotFound(f"no case {case_id}")
    return row


def _own_addresses(connection: Connection, row: Row[Any]) -> frozenset[str]:
    """The blind indexes of the addresses that the worker of a case is known to use."""
    address, link = table(AddressRow), table(ContactAddress)
    linked = select(link.c.address_id).where(link.c.contact_id == row.contact_id)
    query = select(address.c.index).where(or_(address.c.id == row.address_id, address.c.id.in_(linked)))
    return frozenset(connection.execute(query).scalars())


def _read(
    sealer: Sealer,
    context: str,
    sealed: bytes | None,
    own: frozenset[str] = frozenset(),
    country: str | None = None,
) -> str:
    """A sealed text, open; one damaged row must not hide the rest of a case."""
    if sealed is None:
        return ""
    try:
        return mask(sealer, sealer.open_text(context, sealed), own, country)
    except SealError:
        return UNREADABLE


def _grievances(connection: Connection, case_id: str) -> tuple[Reported, ...]:
    grievance = table(Grievance)
    order = (grievance.c.severity, grievance.c.id)
    rows = connection.execute(select(grievance).where(grievance.c.case_id == case_id).order_by(*order))
    return tuple(
        Reported(row.question, row.category, Severity(row.severity), tuple(row.indicators.split()))
        for row in rows
    )


def _answers(connection: Connection, sealer: Sealer, row: Row[Any], own: frozenset[str]) -> tuple[Said, ...]:
    query = select(_answer).where(_answer.c.conversation_id == row.conversation_id).order_by(_answer.c.n)
    found = []
    for answer in connection.execute(query):
        context = f"answer.text_sealed:{answer.id}"
        text = _read(sealer, context, answer.text_sealed, own, row.country_hint) or None
        found.append(Said(answer.id, answer.question, answer.kind, answer.code, text, answer.created_at))
    return tuple(found)


def _consents(connection: Connection, conversation_id: str) -> Mapping[str, bool]:
    consent = table(Consent)
    query = select(consent.c.scope, consent.c.given).where(consent.c.conversation_id == conversation_id)
    return {row.scope: row.given for row in connection.execute(query.order_by(consent.c.id))}


def _recordings(connection: Connection, conversation_id: str) -> tuple[Sound, ...]:
    query = select(_recording.c.id, _recording.c.answer_id, _recording.c.created_at)
    query = query.where(
        _recording.c.conversation_id == conversation_id, _recording.c.audio_sealed.is_not(None)
    )
    rows = connection.execute(query.order_by(_recording.c.id))
    return tuple(Sound(row.id, row.answer_id, row.created_at) for row in rows)


def _events(connection: Connection, case_id: str) -> list[Row[Any]]:
    query = select(_event, _staff.c.name.label("staff")).select_from(
        _event.outerjoin(_staff, _event.c.staff_id == _staff.c.id)
    )
    return list(connection.execute(query.where(_event.c.case_id == case_id).order_by(_event.c.id)))


def _happening(sealer: Sealer, row: Row[Any]) -> Happening:
    note = _read(sealer, f"case_event.note_sealed:{row.id}", row.note_sealed) or None
    return Happening(row.kind, row.detail, row.staff, note, row.created_at)


# --- actions ------------------------------------------------------------------------------------


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
class ChangeSeverity:
    """Another severity, and with it other clocks."""

    to: Severity


@dataclass(frozen=True, slots=True)
class Move:
    """Another state; some ways ask for a reason in words."""

    to: CaseState
    note: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Undo the last change of state."""


Action = Take | MarkReviewed | AddNote | ChangeSeverity | Move | TakeBack


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
    row = _case_row(connection, case_id)
    events = _events(connection, case_id)
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
        case ChangeSeverity(to):
            return _severity(row, to, now)
        case Move(to, note):
            return _moved(connection, row, _stays(row, events), to, note, now)
        case TakeBack():
            return _taken_back(row, _stays(row, events), now)


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


def _moved_along(new: datetime | None, old: datetime | None, kept: datetime | None) -> datetime | None:
    return new + (kept - old) if new and old and kept else new


def _moved(
    connection: Connection, row: Row[Any], stays: list[_Stay], to: CaseState, note: str, now: datetime
) -> _Change:
    way = next((way for way in _ways(connection, row, stays) if way.to is to), None)
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


def _taken_back(row: Row[Any], stays: list[_Stay], now: datetime) -> _Change:
    undo = _undo(stays, now)
    if undo is None:
        raise InputError("there is no change of state to take back", code="undo_over")
    values: dict[str, object] = {"state": undo.back_to.value}
    left = stays[-2]
    if left.state in lifecycle.WAITING:
        values |= _shifted(row, left.since - stays[-1].since)
    return _Change("undo", f"{row.state}>{undo.back_to}", values=values)


def _shifted(row: Row[Any], by: timedelta) -> dict[str, object]:
    """The clocks that stand still while it is the worker's turn, moved by the time waited."""
    ends = {"plan_due_at": row.plan_due_at, "close_due_at": row.close_due_at}
    return {name: end + by for name, end in ends.items() if end is not None}


# --- where a case was ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Stay:
    """A state, and since when."""

    state: CaseState
    since: datetime


def _stays(row: Row[Any], events: Iterable[Row[Any]]) -> list[_Stay]:
    """The states that a case went through, the present one last; what was taken back is left out."""
    stays: list[_Stay] = []
    for event in events:
        if event.kind == "state" and event.detail:
            left, _, entered = event.detail.partition(">")
            if not stays:
                stays.append(_Stay(CaseState(left), row.received_at))
            stays.append(_Stay(CaseState(entered), event.created_at))
        elif event.kind == "undo" and len(stays) > 1:
            stays.pop()
    return stays or [_Stay(CaseState(row.state), row.received_at)]


def _undo(stays: list[_Stay], now: datetime) -> Undo | None:
    if len(stays) < 2 or now - stays[-1].since > lifecycle.UNDO:
        return None
    return Undo(stays[-2].state, stays[-1].since + lifecycle.UNDO)


def _ways(connection: Connection, row: Row[Any], stays: list[_Stay]) -> tuple[Transition, ...]:
    """The ways that are open: those that need the worker's word only once it was given."""
    state = CaseState(row.state)
    held_from = stays[-2].state if state is CaseState.HELD and len(stays) > 1 else None
    ways = lifecycle.transitions(state, held_from)
    if not any(way.needs in _WORDS for way in ways):
        return ways
    word = _worker_word(connection, row, stays[-1].since)
    return tuple(way for way in ways if way.needs not in _WORDS or _WORDS[way.needs] == word)


_WORDS: Final = {Need.WORKER_CONFIRMS: "yes", Need.WORKER_DENIES: "no"}


def _worker_word(connection: Connection, row: Row[Any], since: datetime) -> str | None:
    """The worker's newest answer to the worker check, given since the case waits for it.

    It counts only from a conversation in which the worker was known by pass-word, or from the very
    conversation of the case: a shared telephone does not speak for somebody else.
    """
    link = table(ContactAddress)
    linked = select(link.c.address_id).where(link.c.contact_id == row.contact_id)
    same_person = and_(_conversation.c.address_id.in_(linked), _conversation.c.contact_id == row.contact_id)
    query = (
        select(_answer.c.code)
        .join(_conversation, _answer.c.conversation_id == _conversation.c.id)
        .where(or_(same_person, _conversation.c.id == row.conversation_id))
        .where(_answer.c.question == WORKER_CHECK_QUESTION, _answer.c.created_at >= since)
        .order_by(_answer.c.created_at.desc(), _answer.c.n.desc())
    )
    word: str | None = connection.execute(query.limit(1)).scalar()
    return word
