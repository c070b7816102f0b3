"""An agent's talk with a worker: what she may read of it, what she writes down, and that she is done.

A talk is an agent's own from when she took the call until she has wrapped it up; nobody else's is found
here, and none holds a number or a worker's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from sqlalchemy import Connection, select, update

from bot import agents, contacts
from bot.agents import AgentState
from bot.cases import actions, desk, opening
from bot.cases.actions import AddNote
from bot.cases.desk import CaseDetail, Happening, Said, Spoken
from bot.clock import wall_time
from bot.contacts import StopReason
from bot.errors import InputError, NotFound
from bot.flow.events import GrievanceRaised
from bot.flow.schema import SEVERITIES
from bot.flow.taxonomy import Taxonomy
from bot.privacy import access
from bot.privacy.seal import Sealer
from bot.storage.tables import Attempt, Case, Conversation, Staff, Transfer, table
from bot.storage.types import AnyRow
from bot.transfers import IN_LINE, TransferState

_transfer = table(Transfer)
_attempt = table(Attempt)
_conversation = table(Conversation)
_case = table(Case)
_staff = table(Staff)

_QUESTION: Final = "agent"
"""The question under which what an agent heard is filed."""


@dataclass(frozen=True, slots=True)
class OwnTalk:
    """What an agent is called for, talks in, or has to wrap up."""

    transfer_id: str
    language: str
    state: TransferState
    waiting_since: datetime
    answered_at: datetime | None
    ended_at: datetime | None
    is_open: bool
    """She took the call, so she may read its script and write notes."""
    is_callback: bool
    """A worker whom she calls back: the flow's questions are hers to ask (:mod:`bot.interviews`)."""
    dialled: str | None
    """How far the call to that worker has come (:class:`bot.callbacks.states.AttemptState`)."""
    version: int
    """Counts what was said and entered in the conversation."""


def own_talk(connection: Connection, staff_id: str) -> OwnTalk | None:
    """The transfer of an agent at this moment; None while nobody is hers. No log is kept of this reading: it
    tells nothing but a language."""
    mine = (
        select(_transfer, _attempt.c.state.label("dialled"), _conversation.c.version)
        .outerjoin(_attempt, _attempt.c.id == _transfer.c.attempt_id)
        .outerjoin(_conversation, _conversation.c.id == _transfer.c.conversation_id)
        .where(_transfer.c.agent_id == staff_id, _transfer.c.wrapped_up_at.is_(None))
    )
    is_over = _transfer.c.state == TransferState.ENDED
    newest = mine.order_by(is_over, _transfer.c.ended_at.desc(), _transfer.c.id.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    state = agents.state_of(connection, staff_id)
    if row is None or state not in (AgentState.RINGING, AgentState.TALKING, AgentState.WRAP_UP):
        return None
    is_callback = row.callback_id is not None
    return OwnTalk(
        transfer_id=row.id,
        language=row.language,
        state=TransferState(row.state),
        waiting_since=row.waiting_since,
        answered_at=row.answered_at,
        ended_at=row.ended_at,
        is_open=state is not AgentState.RINGING and not (is_callback and row.answered_at is None),
        is_callback=is_callback,
        dialled=row.dialled,
        version=row.version or 0,
    )


@dataclass(frozen=True, slots=True)
class Script:
    """What an agent sees of her own call. There is no number and no name of a worker in it."""

    transfer_id: str
    case_id: str
    reference: str
    language: str
    waiting_since: datetime
    answered_at: datetime | None
    factory: str | None
    country: str | None
    audit_ref: str | None
    audit_date: date | None
    flow: str
    revision: str
    answers: tuple[Said, ...]
    transcript: tuple[Spoken, ...]
    notes: tuple[Happening, ...]
    """What she has written down in this talk so far."""
    stopped: bool
    """Nobody contacts this worker again: she said stop, or it is unsafe."""


def script(connection: Connection, sealer: Sealer, staff_id: str, transfer_id: str, now: datetime) -> Script:
    """What was said so far in the conversation of one's own call, from when it is taken until it is wrapped up.

    The reading is logged, so this wants a write transaction. Raises :class:`NotFound` for a talk that is not
    hers (any more).
    """
    row = own(connection, staff_id, transfer_id)
    case_id = _case_of(connection, row, now)
    case = desk.detail(connection, sealer, case_id, now)
    said, _older = desk.transcript(connection, sealer, case_id)
    access.record(connection, staff_id, "read_talk", "transfer", transfer_id, wall_time())
    return Script(
        transfer_id=row.id,
        case_id=case_id,
        reference=case.reference,
        language=row.language,
        waiting_since=row.waiting_since,
        answered_at=row.answered_at,
        factory=case.factory,
        country=case.country,
        audit_ref=case.audit_ref,
        audit_date=case.audit_date,
        flow=case.flow,
        revision=case.revision,
        answers=case.answers,
        transcript=said,
        notes=_own_notes(connection, case, staff_id, row.waiting_since),
        stopped=case.stopped,
    )


def note(
    connection: Connection,
    sealer: Sealer,
    taxonomy: Taxonomy,
    staff_id: str,
    transfer_id: str,
    words: str,
    now: datetime,
    *,
    category: str | None = None,
    severity: str | None = None,
) -> None:
    """What the agent heard goes into the case of that conversation: words, sealed, and what it is about.

    ``category`` is one of the taxonomy's codes, ``severity`` S1 to S4 or None for that of the category. Raises
    :class:`InputError` for an empty note or an unknown code, :class:`NotFound` for a talk that is not hers.
    """
    row = own(connection, staff_id, transfer_id)
    if category is None and severity is not None:
        raise InputError("say what it is about, too", code="category_missing")
    if category is not None:
        raised = _raised(taxonomy, category, severity)
        case_id = opening.record(connection, _source(connection, row.conversation_id), [raised], now)
    else:
        case_id = _case_of(connection, row, now)
    actions.act(connection, sealer, case_id, AddNote(words), staff_id=staff_id, version=-1, now=now)
    access.record(connection, staff_id, "note_talk", "transfer", transfer_id, wall_time())


def unsafe(connection: Connection, staff_id: str, transfer_id: str, now: datetime) -> None:
    """The agent learned that the worker is in danger from being contacted: nobody calls or writes to her again,
    and a supervisor looks at once. Raises :class:`NotFound` for a talk that is not hers."""
    row = own(connection, staff_id, transfer_id)
    danger(connection, row.conversation_id, now)
    access.record(connection, staff_id, "unsafe_talk", "transfer", transfer_id, wall_time())


def danger(connection: Connection, conversation_id: str, now: datetime) -> None:
    """The worker of a conversation is in danger from being contacted: nobody calls or writes to her again, and a
    supervisor looks at once. Safe to repeat."""
    duress = GrievanceRaised("duress", "threat", "S1")
    opening.record(connection, _source(connection, conversation_id), [duress], now)
    _stop(connection, conversation_id, StopReason.UNSAFE, now)


def stop(connection: Connection, staff_id: str, transfer_id: str, now: datetime) -> None:
    """The worker told the agent that she wants no more contact: nobody calls or writes to her again.

    Raises :class:`NotFound` for a talk that is not hers.
    """
    row = own(connection, staff_id, transfer_id)
    _stop(connection, row.conversation_id, StopReason.WORKER, now)
    access.record(connection, staff_id, "stop_talk", "transfer", transfer_id, wall_time())


def wrap_up(
    connection: Connection, staff_id: str, transfer_id: str, now: datetime, *, available: bool
) -> None:
    """The agent has written down what there was to write: she takes calls again, or is away.

    Raises :class:`NotFound` for a talk that is not hers, or is wrapped up already, and :class:`InputError`:
    ``in_call`` while it lasts, ``no_end`` for a callback of which she has not said how it ended.
    """
    row = own(connection, staff_id, transfer_id)
    to = AgentState.FREE if available else AgentState.AWAY
    if not agents.move(connection, staff_id, to, {AgentState.WRAP_UP}, now):
        raise InputError("the call is still on", code="in_call")
    if row.callback_id is not None and _is_open(connection, row):
        raise InputError("say first how the talk ended, or enter the last answers", code="no_end")
    connection.execute(update(_transfer).where(_transfer.c.id == transfer_id).values(wrapped_up_at=now))


# --- inside -------------------------------------------------------------------------------------


def _raised(taxonomy: Taxonomy, category: str, severity: str | None) -> GrievanceRaised:
    known = taxonomy.categories.get(category)
    if known is None:
        raise InputError("there is no such category", code="category_unknown")
    if severity is not None and severity not in SEVERITIES:
        raise InputError(f"a severity is one of {', '.join(SEVERITIES)}", code="severity_unknown")
    return GrievanceRaised(_QUESTION, category, severity or known.severity, known.ilo)


def own(connection: Connection, staff_id: str, transfer_id: str, *, lock: bool = False) -> AnyRow:
    """The row of a talk that is an agent's own at this moment, locked if the caller is to change it. Raises
    :class:`NotFound` for any other."""
    query = select(_transfer).where(_transfer.c.id == transfer_id)
    query = query.with_for_update() if lock else query
    row = connection.execute(query).one_or_none()
    if (
        row is None
        or row.agent_id != staff_id
        or row.wrapped_up_at is not None
        or row.state in IN_LINE
        or ((row.state != TransferState.TALKING or row.callback_id) and row.answered_at is None)
    ):
        raise NotFound(f"no talk {transfer_id}")
    return row


def _is_open(connection: Connection, row: AnyRow) -> bool:
    state = select(_conversation.c.state).where(_conversation.c.id == row.conversation_id)
    return bool(connection.execute(state).scalar_one() == "open")


def _own_notes(
    connection: Connection, case: CaseDetail, staff_id: str, since: datetime
) -> tuple[Happening, ...]:
    name = connection.execute(select(_staff.c.name).where(_staff.c.id == staff_id)).scalar_one()
    return tuple(e for e in case.events if e.kind == "note" and e.staff == name and e.at >= since)


def _stop(connection: Connection, conversation_id: str, reason: StopReason, now: datetime) -> None:
    talk = connection.execute(
        select(_conversation.c.address_id, _conversation.c.contact_id).where(
            _conversation.c.id == conversation_id
        )
    ).one()
    if talk.address_id is not None:
        contacts.stop(connection, talk.address_id, talk.contact_id, reason, now)


def _source(connection: Connection, conversation_id: str) -> opening.Source:
    talk = connection.execute(
        select(_conversation.c.contact_id, _conversation.c.audit_id, _conversation.c.language).where(
            _conversation.c.id == conversation_id
        )
    ).one()
    return opening.Source(conversation_id, talk.contact_id, talk.audit_id, talk.language)


def _case_of(connection: Connection, row: AnyRow, now: datetime) -> str:
    """The case of a conversation. Whoever asks for a person has one, and so has what an agent wrote down; this makes
    sure of it."""
    case_id = connection.execute(
        select(_case.c.id).where(_case.c.conversation_id == row.conversation_id)
    ).scalar_one_or_none()
    if case_id is not None:
        return str(case_id)
    asked = _QUESTION if row.callback_id else "wants_a_person"
    wanted = GrievanceRaised(asked, opening.UNCLASSIFIED, "S3")
    return opening.record(connection, _source(connection, row.conversation_id), [wanted], now)
