"""The desk: what the people who work on a case read.

Everything is a frozen dataclass in which sealed texts are open; none holds a number, name or alias of
a worker, because none is ever opened here. Instants are UTC; ``now`` is the service's clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, func, select

from bot.cases import deliveries, files
from bot.cases.course import Undo, stays_of, undo, ways
from bot.cases.deliveries import Delivery, Turn
from bot.cases.files import File, FileState
from bot.cases.lifecycle import CaseState, ClockName, Severity, Transition
from bot.cases.masking import mask
from bot.cases.queue import running
from bot.contacts import StopReason
from bot.errors import NotFound, SealError
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

UNREADABLE: Final = "[this text cannot be opened: please tell the operator]"
WEIGHED: Final = "circumstances"
"""The kind of the event that circumstances made a case graver."""
MESSAGES: Final = 200
"""How many messages of a transcript are read at once."""

_case, _event, _staff = table(Case), table(CaseEvent), table(Staff)
_answer, _conversation, _message = table(Answer), table(Conversation), table(Message)
_recording, _factory, _audit = table(RecordingRow), table(Factory), table(Audit)


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
    """A recording: to be played if it is kept, else what became of it."""

    id: str
    answer_id: str | None
    at: datetime
    state: FileState


@dataclass(frozen=True, slots=True)
class Happening:
    """One event of a case's history."""

    kind: str
    detail: str | None
    staff: str | None
    note: str | None = field(repr=False)
    at: datetime


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
    unsafe: bool
    """It is because it is unsafe: she gave the sign, or an agent learned of it."""
    grievances: tuple[Reported, ...]
    answers: tuple[Said, ...]
    consents: Mapping[str, bool]
    """The newest answer to each consent that was asked for."""
    recordings: tuple[Sound, ...]
    events: tuple[Happening, ...]
    ways: tuple[Transition, ...]
    """The changes of state that are allowed now."""
    undo: Undo | None
    weighed: bool
    """Circumstances have raised the severity already."""


def detail(connection: Connection, sealer: Sealer, case_id: str, now: datetime) -> CaseDetail:
    """One case. Raises :class:`NotFound`. Whoever calls notes the reading in the access log."""
    row = case_row(connection, case_id)
    own = _own_addresses(connection, row)
    events = events_of(connection, case_id)
    stays = stays_of(row, events)
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
        running=running(row),
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
        unsafe=StopReason.UNSAFE in (row.stopped, row.outcome),
        grievances=_grievances(connection, case_id),
        answers=_answers(connection, sealer, row, own),
        consents=_consents(connection, row.conversation_id),
        recordings=_recordings(connection, row.conversation_id),
        events=tuple(_happening(sealer, event) for event in events),
        ways=ways(connection, row, stays),
        undo=undo(stays, now),
        weighed=is_weighed(events),
    )


@dataclass(frozen=True, slots=True)
class Spoken:
    """One entry of a transcript. ``direction`` is ``in`` (the worker) or ``out`` (we)."""

    id: str
    direction: str
    channel: str
    delivery: Delivery | None
    """How far it came; None for what the worker said, and for what was said in a call."""
    error_code: str | None
    """The provider's own word for the last failure, if there was one."""
    turn: Turn | None
    """How the conversation came to be here, where it was elsewhere with the message before."""
    text: str = field(repr=False)
    at: datetime
    files: tuple[File, ...] = ()


def transcript(
    connection: Connection, sealer: Sealer, case_id: str, before: str | None = None, limit: int = MESSAGES
) -> tuple[tuple[Spoken, ...], str | None]:
    """The newest messages of a case's conversation, in order, and the id before which older ones lie.

    Raises :class:`NotFound`. Whoever calls notes the reading in the access log.
    """
    row = case_row(connection, case_id)
    own = _own_addresses(connection, row)
    query = select(_message).where(_message.c.conversation_id == row.conversation_id)
    if before is not None:
        query = query.where(_message.c.id < before)
    rows = connection.execute(query.order_by(_message.c.id.desc()).limit(limit + 1)).all()
    older = rows[limit - 1].id if len(rows) > limit else None
    # What was said and what answered it share an instant and often a millisecond: the worker came first.
    rows = sorted(rows[:limit], key=lambda m: (m.created_at, m.direction != "in", m.id))
    ids = [m.id for m in rows]
    found = files.of_messages(
        connection, ids, lambda context, sealed: _read(sealer, context, sealed, own, row.country_hint)
    )
    became = deliveries.of_messages(connection, rows)
    turns = deliveries.turns(rows, became)
    said = (
        Spoken(
            id=m.id,
            direction=m.direction,
            channel=m.channel,
            delivery=became.get(m.id),
            error_code=m.error_code,
            turn=turns.get(m.id),
            text=_read(sealer, f"message.body_sealed:{m.id}", m.body_sealed, own, row.country_hint),
            at=m.created_at,
            files=found.get(m.id, ()),
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


def case_row(connection: Connection, case_id: str) -> Row[Any]:
    """The row of a case with what is around it, all still sealed. Raises :class:`NotFound`."""
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
        stop.c.reason.label("stopped"),
    )
    found = select(_case, *columns).select_from(joined).where(_case.c.id == case_id)
    row = connection.execute(found).first()
    if row is None:
        raise NotFound(f"no case {case_id}")
    return row


def _own_addresses(connection: Connection, row: Row[Any]) -> frozenset[str]:
    """The blind indexes of the addresses that the worker of a case is known to use."""
    address, link = table(AddressRow), table(ContactAddress)
    index = select(address.c.index)
    found = set(connection.execute(index.where(address.c.id == row.address_id)).scalars())
    if row.contact_id is not None:
        linked = index.join(link, link.c.address_id == address.c.id).where(
            link.c.contact_id == row.contact_id
        )
        found |= set(connection.execute(linked).scalars())
    return frozenset(found)


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
    here = _recording.c.audio_sealed.is_not(None).label("here")
    columns = (_recording.c.id, _recording.c.answer_id, _recording.c.created_at, _recording.c.state, here)
    query = select(*columns).where(_recording.c.conversation_id == conversation_id)
    return tuple(
        Sound(row.id, row.answer_id, row.created_at, files.state_of(row.state, here=row.here))
        for row in connection.execute(query.order_by(_recording.c.id))
    )


def events_of(connection: Connection, case_id: str) -> list[Row[Any]]:
    """The events of a case in order, notes still sealed."""
    query = select(_event, _staff.c.name.label("staff")).select_from(
        _event.outerjoin(_staff, _event.c.staff_id == _staff.c.id)
    )
    return list(connection.execute(query.where(_event.c.case_id == case_id).order_by(_event.c.id)))


def is_weighed(events: Iterable[Row[Any]]) -> bool:
    """Whether circumstances have raised a case's severity already."""
    return any(event.kind == WEIGHED for event in events)


def _happening(sealer: Sealer, row: Row[Any]) -> Happening:
    note = _read(sealer, f"case_event.note_sealed:{row.id}", row.note_sealed) or None
    return Happening(row.kind, row.detail, row.staff, note, row.created_at)
