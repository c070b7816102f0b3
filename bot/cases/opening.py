"""From grievance to case: what is reported in one conversation becomes one case, at once.

A case is opened with the first grievance and waits for nothing: not for the end of the conversation,
not for consent. Later grievances of the conversation join it and may raise its severity. Supervisors are
told by a notice that says nothing but that there is something to read.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from bot.cases.lifecycle import CaseState, Clocks, Severity, clocks
from bot.flow.events import GrievanceRaised
from bot.ids import new_id
from bot.outbox import notify
from bot.storage.tables import Audit, Case, CaseEvent, Factory, Grievance, table

_case = table(Case)
_event = table(CaseEvent)
_grievance = table(Grievance)
_audit = table(Audit)
_factory = table(Factory)

_REFERENCE_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Without letters and digits that are taken for one another when they are read aloud."""

UNCLASSIFIED = "unclassified"
"""Words that nobody has put into a category so far."""
TAMPERING = frozenset({"coaching", "forced_disclosure"})
TAMPERED_BY = 3
"""So many workers of one site make it an alert."""


@dataclass(frozen=True, slots=True)
class Source:
    """The conversation in which something was reported."""

    conversation_id: str
    contact_id: str | None
    audit_id: str | None
    language: str


def record(connection: Connection, source: Source, raised: list[GrievanceRaised], now: datetime) -> str:
    """Open the conversation's case or add to it; gives the case's id. ``raised`` must not be empty."""
    found = connection.execute(
        select(_case.c.id, _case.c.severity, _case.c.category).where(
            _case.c.conversation_id == source.conversation_id
        )
    ).one_or_none()
    gravest = min(raised, key=lambda event: (event.severity, event.category == UNCLASSIFIED))
    if found is None:
        case_id = _open(connection, source, gravest, now)
    else:
        case_id = found.id
        if gravest.severity < found.severity:
            _raise(connection, source, case_id, gravest, now)
        elif found.category == UNCLASSIFIED:
            _classify(connection, case_id, raised, now)
    for event in raised:
        _keep(connection, case_id, source.conversation_id, event, now)
    if source.audit_id and any(event.category in TAMPERING for event in raised):
        _watch_integrity(connection, case_id, source.audit_id, now)
    return case_id


def remark(connection: Connection, conversation_id: str, kind: str, now: datetime) -> None:
    """Note in the conversation's case, if it has one, that something happened (``wants_a_person``, …)."""
    case_id = connection.execute(
        select(_case.c.id).where(_case.c.conversation_id == conversation_id)
    ).scalar_one_or_none()
    if case_id is not None:
        _log(connection, case_id, kind, None, now)


def _watch_integrity(connection: Connection, case_id: str, audit_id: str, now: datetime) -> None:
    """Three workers of one audit who were coached or questioned: the audit itself is in doubt."""
    workers = connection.execute(
        select(func.count(func.distinct(_grievance.c.conversation_id)))
        .join(_case, _case.c.id == _grievance.c.case_id)
        .where(_case.c.audit_id == audit_id, _grievance.c.category.in_(TAMPERING))
    ).scalar_one()
    if workers == TAMPERED_BY:
        _log(connection, case_id, "audit_integrity_alert", None, now)
        notify(connection, "audit_integrity", now)


def _open(connection: Connection, source: Source, gravest: GrievanceRaised, now: datetime) -> str:
    place = _place(connection, source.audit_id)
    case_id = new_id()
    connection.execute(
        insert(_case).values(
            id=case_id,
            reference=_reference(),
            conversation_id=source.conversation_id,
            contact_id=source.contact_id,
            audit_id=source.audit_id,
            client_id=place[0],
            factory_id=place[1],
            category=gravest.category,
            severity=gravest.severity,
            state=CaseState.RECEIVED,
            language=source.language,
            received_at=now,
            updated_at=now,
            version=0,
            **_due(clocks(Severity(gravest.severity), now, place[2])),
        )
    )
    _log(connection, case_id, "opened", gravest.severity, now)
    notify(connection, "critical_case" if gravest.severity == Severity.S1 else "new_case", now)
    return case_id


def _raise(
    connection: Connection, source: Source, case_id: str, gravest: GrievanceRaised, now: datetime
) -> None:
    # The clocks of the graver level run from now: nobody could know of it before.
    due = clocks(Severity(gravest.severity), now, _place(connection, source.audit_id)[2])
    connection.execute(
        update(_case)
        .where(_case.c.id == case_id)
        .values(
            severity=gravest.severity,
            category=gravest.category,
            reviewed_at=None,
            updated_at=now,
            version=_case.c.version + 1,
            **_due(due),
        )
    )
    _log(connection, case_id, "severity_raised", gravest.severity, now)
    notify(connection, "critical_case" if gravest.severity == Severity.S1 else "graver_case", now)


def _classify(connection: Connection, case_id: str, raised: list[GrievanceRaised], now: datetime) -> None:
    """What the case is about became known after it was opened: her first words came before any question."""
    known = [event for event in raised if event.category != UNCLASSIFIED]
    if known:
        category = min(known, key=lambda event: event.severity).category
        connection.execute(
            update(_case)
            .where(_case.c.id == case_id)
            .values(category=category, updated_at=now, version=_case.c.version + 1)
        )
        _log(connection, case_id, "classified", category, now)


def _keep(
    connection: Connection, case_id: str, conversation_id: str, event: GrievanceRaised, now: datetime
) -> None:
    same = (
        _grievance.c.conversation_id == conversation_id,
        _grievance.c.question == event.question,
        _grievance.c.category == event.category,
    )
    severity = connection.execute(select(_grievance.c.severity).where(*same)).scalar_one_or_none()
    if severity is None:
        connection.execute(
            insert(_grievance).values(
                id=new_id(),
                case_id=case_id,
                conversation_id=conversation_id,
                question=event.question,
                category=event.category,
                severity=event.severity,
                indicators=" ".join(event.indicators),
                created_at=now,
            )
        )
    elif event.severity < severity:
        connection.execute(
            update(_grievance)
            .where(*same)
            .values(severity=event.severity, indicators=" ".join(event.indicators))
        )


def _place(connection: Connection, audit_id: str | None) -> tuple[str | None, str | None, str | None]:
    """Client, factory and country of an audit."""
    if audit_id is None:
        return None, None, None
    row = connection.execute(
        select(_audit.c.client_id, _audit.c.factory_id, _factory.c.country)
        .join(_factory, _factory.c.id == _audit.c.factory_id)
        .where(_audit.c.id == audit_id)
    ).one()
    return row.client_id, row.factory_id, row.country


def _due(due: Clocks) -> dict[str, datetime | None]:
    return {
        "review_due_at": due.review,
        "safety_due_at": due.safety,
        "plan_due_at": due.plan,
        "close_due_at": due.close,
    }


def _log(connection: Connection, case_id: str, kind: str, detail: str | None, now: datetime) -> None:
    connection.execute(
        insert(_event).values(id=new_id(), case_id=case_id, kind=kind, detail=detail, created_at=now)
    )


def _reference() -> str:
    """What people call the case when they talk: eight letters and digits, about 6 × 10^11 of them."""
    letters = "".join(secrets.choice(_REFERENCE_LETTERS) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"
