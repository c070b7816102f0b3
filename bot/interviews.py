"""A callback that an agent leads, as the agent sees it: one question at a time, what is entered, and how it ends.

What is entered goes through the same flow into the same conversation as if the worker had pressed the keys. An
interview is an agent's own from when she is joined with the worker until she has wrapped it up, so that she can
still enter what was said last, and how it ended, when the call is over. None holds a number or a worker's name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from sqlalchemy import Connection, select

from bot import effects, steps, talks, transfers
from bot.callbacks import moves, wishes
from bot.cases import actions
from bot.cases.desk import Said
from bot.clock import wall_time
from bot.effects import Standing
from bot.errors import InputError, NotFound
from bot.flow import asker, phrases
from bot.flow.answers import SKIP
from bot.flow.catalog import Tongue
from bot.flow.context import Context, Sprint
from bot.flow.events import Outcome
from bot.flow.library import Library
from bot.flow.model import Kind
from bot.flow.session import Session
from bot.flow.talk import Talk
from bot.messages import Button, Capabilities, Channel, Prompt, Rendered, Text
from bot.privacy import access
from bot.service import Service
from bot.steps import Place, Turn
from bot.storage.tables import Answer, Audit, Conversation, Factory, Message, table
from bot.storage.types import AnyRow, AnySelect

_answer = table(Answer)
_audit = table(Audit)
_conversation = table(Conversation)
_factory = table(Factory)
_message = table(Message)

LONGEST: Final = actions.NOTE_LENGTH
"""Characters of an answer in words."""


@dataclass(frozen=True, slots=True)
class Line:
    """Something to be said: in the worker's language, and in English for who leads the talk."""

    spoken: str
    english: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One possible answer."""

    code: str
    label: Line


@dataclass(frozen=True, slots=True)
class Question:
    """The question of the moment. ``sprint`` names it: what is entered for an earlier one changes nothing."""

    sprint: str
    id: str
    kind: Kind
    line: Line
    choices: tuple[Choice, ...]
    may_skip: bool


@dataclass(frozen=True, slots=True)
class Sheet:
    """What an agent sees of an interview of hers."""

    transfer_id: str
    language: str
    factory: str | None
    country: str | None
    audit_ref: str | None
    audit_date: date | None
    flow: str
    revision: str
    said: tuple[Line, ...]
    """What is to be said before the question, or at the end."""
    question: Question | None
    """None when the questions are over."""
    outcome: str | None
    answers: tuple[Said, ...] = field(repr=False)


def sheet(service: Service, staff_id: str, transfer_id: str, now: datetime) -> Sheet:
    """One's own interview, at the question of the moment. The reading is logged.

    Raises :class:`NotFound` for an interview that is not hers (any more).
    """
    with service.database.write() as connection:
        row = talks.own(connection, staff_id, transfer_id)
        talk = steps.load(connection, row.conversation_id)
        if talk is None:
            raise NotFound(f"no talk {transfer_id}")
        access.record(connection, staff_id, "read_talk", "transfer", transfer_id, wall_time())
        more = connection.execute(_more(row.conversation_id)).one()
        question = _question(service, talk, now) if talk.state == "open" else None
        return Sheet(
            transfer_id=transfer_id,
            language=talk.language,
            factory=more.name,
            country=more.country,
            audit_ref=more.ref,
            audit_date=more.audit_date,
            flow=talk.flow,
            revision=more.revision,
            said=_said(connection, service, talk, more.revision, question),
            question=question,
            outcome=more.outcome,
            answers=_answers(connection, service, row.conversation_id),
        )


def enter(service: Service, staff_id: str, transfer_id: str, sprint: str, given: Button | Text) -> None:
    """What the worker answered to the question that ``sprint`` names. One that was answered already is let be.

    Raises :class:`InputError` (``not_an_answer``) for what does not answer it and :class:`NotFound`
    as :func:`sheet`.
    """
    steps.retrying(lambda: _enter(service, staff_id, transfer_id, sprint, given))


def conclude(
    service: Service, staff_id: str, transfer_id: str, outcome: Outcome, when: str | None = None
) -> None:
    """End the interview as the agent says, with its call if that is still on: the worker hears a neutral goodbye.

    ``when`` is the other time that the worker asked for (``later``), in English words or in hers. A worker who is
    in danger is never contacted again, and a supervisor looks at once; she and who said stop are heeded also where
    the talk was over before. Raises :class:`InputError` for another outcome, a time that is not understood, or
    a talk that had ended in another way (``ended``), and :class:`NotFound` as :func:`sheet`.
    """
    if outcome not in asker.ENDS:
        raise InputError("a talk cannot end like that", code="outcome_unknown")
    steps.retrying(lambda: _conclude(service, staff_id, transfer_id, outcome, when))


# --- inside -------------------------------------------------------------------------------------


def _enter(service: Service, staff_id: str, transfer_id: str, sprint: str, given: Button | Text) -> None:
    now = service.clock.now()

    def step(_standing: Standing, session: Session, context: Context) -> Sprint | None:
        return asker.enter(session, given, context) if session.sprint == sprint else None

    with service.database.write() as connection:
        row = talks.own(connection, staff_id, transfer_id)
        if _take(connection, service, row, step, now):
            access.record(connection, staff_id, "enter_answer", "transfer", transfer_id, wall_time())


def _conclude(service: Service, staff_id: str, transfer_id: str, outcome: Outcome, when: str | None) -> None:
    now = service.clock.now()
    with service.database.write() as connection:
        # The report that her call is over takes the transfer first and the attempt then: in another order the two
        # could wait for each other.
        row = talks.own(connection, staff_id, transfer_id, lock=True)

        def step(standing: Standing, session: Session, context: Context) -> Sprint:
            preference = None
            if outcome is Outcome.LATER:
                preference = _preference(connection, service, standing, when or "", now)
            return asker.conclude(session, outcome, context, preference)

        ended = _take(connection, service, row, step, now)
        if ended:
            access.record(connection, staff_id, "end_talk", "transfer", transfer_id, wall_time())
        else:
            _heard_after_the_end(connection, staff_id, row, outcome, now)
        transfers.dismiss(connection, transfer_id, wall_time())


class _Desk:
    """Where an agent enters answers. The worker is on the telephone, and hears the agent and not us."""

    capabilities = Capabilities(channel=Channel.VOICE, text_limit=0, keypad=True, synchronous=True)

    def render(self, prompt: Prompt, place: Place) -> list[Rendered]:
        """Nothing: the agent says it."""
        del prompt, place
        return [Rendered("")]


_DESK: Final = _Desk()
_Step = Callable[[Standing, Session, Context], Sprint | None]


def _take(connection: Connection, service: Service, row: AnyRow, step: _Step, now: datetime) -> bool:
    """Let the flow take a step, if the conversation is open; whether it did."""
    talk = steps.load(connection, row.conversation_id)
    if talk is None or talk.state != "open":
        return False
    standing, session = steps.open_session(service, talk, None)
    sprint = step(standing, session, steps.context(service, _DESK, now))
    if sprint is None:
        return False
    steps.write(connection, service, _DESK, standing, sprint, now, Turn(None, talk.version))
    return True


def _heard_after_the_end(
    connection: Connection, staff_id: str, row: AnyRow, outcome: Outcome, now: datetime
) -> None:
    """The conversation was over, mostly because its agent took long to say how it ended. Nothing that the worker
    wanted is passed over in silence."""
    if outcome is Outcome.UNSAFE:
        talks.unsafe(connection, staff_id, row.id, now)
    elif outcome is Outcome.STOPPED:
        talks.stop(connection, staff_id, row.id, now)
    elif connection.execute(_more(row.conversation_id)).one().outcome != outcome:
        raise InputError("the talk had ended before this; write what she wanted into a note", code="ended")


def _preference(
    connection: Connection, service: Service, standing: Standing, text: str, now: datetime
) -> str:
    place = effects.place_of(connection, service.sealer, standing, now)
    local = now.astimezone(place.zone)
    return str(wishes.typed(text, moves.words_for(service.library, standing.language), local, place.country))


def _more(conversation_id: str) -> AnySelect:
    return (
        select(
            _conversation.c.revision,
            _conversation.c.outcome,
            _audit.c.ref,
            _audit.c.audit_date,
            _factory.c.name,
            _factory.c.country,
        )
        .outerjoin(_audit, _audit.c.id == _conversation.c.audit_id)
        .outerjoin(_factory, _factory.c.id == _audit.c.factory_id)
        .where(_conversation.c.id == conversation_id)
    )


def _question(service: Service, talk: AnyRow, now: datetime) -> Question:
    session = steps.open_session(service, talk, None)[1]
    asking = Talk(steps.context(service, _DESK, now), session)
    ask, tongue = asking.ask, asking.tongue
    offered = asking.question().prompt.options
    english = _COMMON | {choice.code: choice.label for choice in ask.choices}
    return Question(
        sprint=session.sprint,
        id=asking.step.id,
        kind=ask.kind,
        line=Line(tongue.text(ask.wording.voice), ask.wording.voice),
        choices=tuple(
            Choice(each.code, Line(each.label, english.get(each.code, each.label)))
            for each in offered
            if each.code != SKIP
        ),
        may_skip=ask.skip,
    )


_COMMON: Final = {
    "yes": phrases.YES,
    "no": phrases.NO,
    "not_sure": phrases.NOT_SURE,
}


def _said(
    connection: Connection, service: Service, talk: AnyRow, revision: str, question: Question | None
) -> tuple[Line, ...]:
    """What the flow said last, without the question itself."""
    newest = (
        select(_message.c.id, _message.c.body_sealed)
        .where(_message.c.conversation_id == talk.conversation_id, _message.c.direction == "out")
        .order_by(_message.c.id.desc())
        .limit(1)
    )
    row = connection.execute(newest).one_or_none()
    if row is None:
        return ()
    words = service.sealer.open_text(f"message.body_sealed:{row.id}", row.body_sealed).split("\n")
    known = _english(service.library, talk.flow, revision, service.catalogs.tongue(talk.language))
    told = [each for each in words if each and (question is None or each != question.line.spoken)]
    return tuple(Line(each, known.get(each, each)) for each in told)


def _english(library: Library, flow: str, revision: str, tongue: Tongue) -> dict[str, str]:
    """What a flow can say, in English, by what is said in the worker's language."""
    told = library.get(flow, revision)
    spoken = [wording.voice for step in told.steps.values() for wording in step.say]
    return {tongue.text(each): each for each in (*spoken, phrases.GOODBYE, phrases.WRONG_TIME)}


def _answers(connection: Connection, service: Service, conversation_id: str) -> tuple[Said, ...]:
    rows = connection.execute(
        select(_answer).where(_answer.c.conversation_id == conversation_id).order_by(_answer.c.n)
    )
    return tuple(
        Said(
            row.id,
            row.question,
            row.kind,
            row.code,
            service.sealer.open_text(f"answer.text_sealed:{row.id}", row.text_sealed)
            if row.text_sealed
            else None,
            row.created_at,
        )
        for row in rows
    )
