"""A talk that moves: the same conversation goes on at another address of the worker's, or in another channel.

Its row stays, with its answers, its case and its questions; what changes is where it is. It moves by the
worker's own act only: a code or a pass-word (:mod:`bot.links`), a call for which she asked, a word in the
thread that she left; or because her letters are lost and she gave us another way to her (:mod:`bot.ways`).
Wherever it goes on, a neutral question for safety comes first, and nothing telling before it.

    in writing at A ──code at B──▶ in writing at B
          │  └──her call, or a code keyed in a call──▶ in that call ──the call is over──▶ waits at A
          └──"later"──▶ waits at A ──she writes──▶ in writing at A

A talk that goes on in a call keeps the address at which it is written to, so that it finds its way back. Who
opened the door to it (the talk in which the code or the pass-word was given) ends as moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, exists, insert, or_, select, update

from bot import contacts, handoff, incidents, line, outbox, safety, steps, ways
from bot.cases import opening
from bot.effects import Standing
from bot.errors import ConflictError
from bot.flow import engine, phrases
from bot.flow.context import Context, Sprint
from bot.flow.events import ContinueRequested, Ended, Outcome
from bot.flow.words import normal
from bot.incidents import IncidentKind
from bot.messages import Address, Channel, Inbound, Input, Text
from bot.service import Service
from bot.steps import Door, Turn
from bot.storage.tables import (
    AddressRow,
    Answer,
    Attempt,
    Callback,
    Case,
    Conversation,
    Message,
    Outbox,
    table,
)
from bot.storage.types import AnyRow, AnySelect
from bot.transcript import Thread, heard_row, keep_parts, message_row

_address = table(AddressRow)
_answer = table(Answer)
_attempt = table(Attempt)
_callback = table(Callback)
_case = table(Case)
_conversation = table(Conversation)
_message = table(Message)
_outbox = table(Outbox)

WAITS: Final = timedelta(days=3)
"""How long after its last word a talk that was put off goes on when she writes in its thread again."""
_MOST_LOOKED_AT: Final = 5
_OBEYED: Final = frozenset(("stop", "hide", "danger"))
"""Words that mean the same whatever was asked."""


@dataclass(frozen=True, slots=True)
class There:
    """Where a talk goes on. ``address`` in clear only while the worker is on it, for the zone of its number."""

    channel: Channel
    address_id: str | None
    line: str | None = None
    """Our own number or account there; None if she has not written to one there."""
    address: Address | None = field(default=None, repr=False)
    call_id: str | None = None
    turn: int | None = None
    """In a call: the number of the turn that it takes over."""


# --- a call for which she asked -------------------------------------------------------------------


def goes_on(sprint: Sprint) -> bool:
    """Whether a sprint asks that the talk for which the worker wanted this callback goes on now."""
    return any(isinstance(event, ContinueRequested) for event in sprint.events)


def go_on(
    connection: Connection,
    service: Service,
    door: Door,
    gate: AnyRow,
    standing: Standing,
    sprint: Sprint,
    now: datetime,
    turn: Turn,
) -> str:
    """The callback's own talk has proved who is there, and that it is safe: the awaited talk goes on in its place.

    Gives the document, on the telephone. If that talk came to its end meanwhile, there is nothing left to ask.
    """
    row = _awaited(connection, standing.attempt_id)
    if row is None or not (row.state == "open" or is_put_off(service, row)):
        return steps.write(connection, service, door, standing, _finished(service, sprint), now, turn)
    said = sprint.prompt.texts
    silent = replace(sprint, prompt=replace(sprint.prompt, texts=(), options=()))
    here = There(standing.channel, row.address_id, None, standing.address, turn.call_id, turn.number)
    if turn.call_id is None:
        here = replace(here, address_id=standing.address_id, line=gate.line)
        steps.write(connection, service, door, standing, silent, now, turn)
        _marked(connection, gate.conversation_id, row.conversation_id)
        attempt_id = standing.attempt_id
        return carry(connection, service, door, row, here, now, attempt_id=attempt_id, said=said, safe=True)
    _marked(connection, gate.conversation_id, row.conversation_id)
    document = carry(
        connection, service, door, row, here, now, attempt_id=standing.attempt_id, said=said, safe=True
    )
    steps.write(connection, service, door, standing, silent, now, replace(turn, document=document))
    return document


def _awaited(connection: Connection, attempt_id: str | None) -> AnyRow | None:
    awaited = (
        select(_callback.c.continues_id)
        .join(_attempt, _attempt.c.callback_id == _callback.c.id)
        .where(_attempt.c.id == attempt_id)
    )
    found = connection.execute(awaited).scalar_one_or_none()
    return load(connection, found) if found else None


def _finished(service: Service, sprint: Sprint) -> Sprint:
    """The same end, for a callback whose talk came to its own end before."""
    thanks = service.catalogs.tongue(sprint.session.language).text(phrases.GOODBYE)
    prompt = replace(sprint.prompt, texts=(*sprint.prompt.texts, thanks))
    events = tuple(
        Ended(Outcome.COMPLETED) if isinstance(event, Ended) else event
        for event in sprint.events
        if not isinstance(event, ContinueRequested)
    )
    return replace(sprint, prompt=prompt, events=events)


def put_back(connection: Connection, conversation_id: str) -> None:
    """A call is over: a talk that came into it from a written thread and is not finished waits in that again.

    Until it goes on it is still known by its call, because a report of a recording may come late.
    """
    row = load(connection, conversation_id)
    if row.state != "ended" or row.outcome not in safety.PUT_OFF or not _is_visiting(connection, row):
        return
    kind = connection.execute(select(_address.c.kind).where(_address.c.id == row.address_id)).scalar_one()
    connection.execute(
        update(_conversation)
        .where(_conversation.c.id == conversation_id)
        .values(channel=ways.WRITTEN[kind], attempt_id=None)
    )


def _is_visiting(connection: Connection, row: AnyRow) -> bool:
    """Whether a talk on the telephone has another home: something of it was written."""
    if row.channel != Channel.VOICE or row.address_id is None:
        return False
    written = exists().where(
        _message.c.conversation_id == row.conversation_id, _message.c.channel != Channel.VOICE
    )
    return bool(connection.execute(select(written)).scalar())


# --- she writes where a talk waits ----------------------------------------------------------------


def take_up(
    connection: Connection,
    service: Service,
    door: Door,
    inbound: Inbound,
    here: There,
    now: datetime,
    named: str | None = None,
) -> bool:
    """A message in a thread in which no talk is open: True if it was taken by one that waits for it.

    The talk goes on after the neutral question for safety, if it was put off not long ago. One that goes on in
    a call at this moment keeps the message and answers there. ``named`` is the talk that a token names: it comes
    back from wherever it is.
    """
    row = load(connection, named) if named else _waiting_at(connection, here)
    if row is None or row.state == handoff.HUMAN:
        return False
    if row.channel == Channel.VOICE and row.state == "open":
        _keep_beside_call(connection, service, row, inbound, here, now)
        return True
    if row.state == "ended" and (not is_put_off(service, row) or row.updated_at <= now - WAITS):
        return False
    # She wrote herself, so no opening is needed that asks if the time is good.
    carry(connection, service, door, row, here, now, inbound=inbound, proven=True, given=inbound.input)
    return True


def _waiting_at(connection: Connection, here: There) -> AnyRow | None:
    rows = connection.execute(
        select(*_COLUMNS)
        .where(
            _conversation.c.address_id == here.address_id,
            or_(
                _conversation.c.channel == here.channel,
                (_conversation.c.channel == Channel.VOICE) & (_conversation.c.state == "open"),
            ),
        )
        .order_by(_conversation.c.id.desc())
        .limit(_MOST_LOOKED_AT)
    ).all()
    for row in rows:
        if row.channel == here.channel:
            return row if row.state == "ended" and row.outcome in safety.PUT_OFF else None
        if _is_visiting(connection, row):
            return row
    return None


def _keep_beside_call(
    connection: Connection, service: Service, row: AnyRow, inbound: Inbound, here: There, now: datetime
) -> None:
    """What she writes while the talk goes on in a call is kept with it. Stop is obeyed at once."""
    thread = Thread(row.conversation_id, here.address_id, here.channel)
    heard = heard_row(service.sealer, thread, inbound, now)
    connection.execute(insert(_message).values(**heard))
    keep_parts(connection, service.sealer, heard["id"], inbound, now)
    opening.remark(connection, row.conversation_id, "worker_wrote", now)
    if _command(service, row.language, inbound.input) == "stop" and here.address_id:
        contacts.stop(connection, here.address_id, row.contact_id, contacts.StopReason.WORKER, now)


# --- letters that are lost ------------------------------------------------------------------------


def fall_back(service: Service, doors: Mapping[Channel, Door], conversation_id: str) -> None:
    """A letter of a talk in writing was lost for good: the talk goes on by the next way that the worker gave us.

    What was lost is not sent again; the question of the moment is asked anew there, after the neutral opening.
    Without another way the operator is told, and the talk waits for her.
    """
    steps.retrying(lambda: _fall_back(service, doors, conversation_id))


def _fall_back(service: Service, doors: Mapping[Channel, Door], conversation_id: str) -> None:
    now = service.clock.now()
    with service.database.write() as connection:
        row = load(connection, conversation_id)
        if row.timer_kind != ways.ASTRAY:
            return
        found = ways.others(connection, conversation_id, tuple(doors)) if row.state == "open" else []
        free = [way for way in found if not handoff.is_busy(connection, way.address_id, way.channel)]
        if not free:
            incidents.report(connection, IncidentKind.DELIVERY, f"{row.channel} no_other_way", now)
            wait_on(connection, service, row, now)
            return
        way = free[0]
        there = There(way.channel, way.address_id)
        carry(connection, service, doors[way.channel], row, there, now, contact_id=way.contact_id)


def wait_on(connection: Connection, service: Service, row: AnyRow, now: datetime) -> None:
    """Nothing goes out, and she may still say something: the talk of a row (:func:`load`) ends when its flow says."""
    expire = service.library.get(row.flow, row.revision).expire if row.state == "open" else None
    connection.execute(
        update(_conversation)
        .where(_conversation.c.id == row.conversation_id)
        .values(
            timer_at=now + timedelta(seconds=expire) if expire else None,
            timer_kind="expire" if expire else None,
        )
    )


# --- moving it ------------------------------------------------------------------------------------

_COLUMNS: Final = [
    *steps.CONVERSATION_COLUMNS,
    *(_conversation.c[name] for name in ("address_id", "revision", "outcome", "updated_at")),
]
_LOAD: Final[AnySelect] = select(*_COLUMNS).where(_conversation.c.id == bindparam("conversation_id"))


def load(connection: Connection, conversation_id: str) -> AnyRow:
    """A conversation with all that is needed to move it. It must exist."""
    return connection.execute(_LOAD, {"conversation_id": conversation_id}).one()


def is_put_off(service: Service, row: AnyRow) -> bool:
    """Whether a talk that is over for now stopped in the middle, and can go on."""
    if row.state != "ended" or row.outcome not in safety.PUT_OFF:
        return False
    if row.flow == safety.CALLBACK:
        # Its callback is planned anew, and asks from the beginning, behind the pass-word.
        return False
    return engine.is_unfinished(steps.open_session(service, row, None)[1])


def carry(
    connection: Connection,
    service: Service,
    door: Door,
    row: AnyRow,
    there: There,
    now: datetime,
    *,
    inbound: Inbound | None = None,
    given: Input | None = None,
    said: tuple[str, ...] = (),
    attempt_id: str | None = None,
    contact_id: str | None = None,
    proven: bool = False,
    safe: bool = False,
) -> str:
    """Let a talk go on somewhere else; gives the document, on the telephone.

    Into a call it keeps its address. ``given`` is what she wrote: a word that means the same at any time is
    obeyed there. Raises :class:`ConflictError` if somebody else moved it on meanwhile.
    """
    standing, session = steps.open_session(service, row, there.address)
    _hush(connection, row.conversation_id)
    in_call = there.call_id is not None
    standing = replace(
        standing,
        channel=there.channel,
        address_id=row.address_id if in_call else there.address_id,
        attempt_id=attempt_id or row.attempt_id,
        contact_id=row.contact_id or contact_id,
    )
    spoken_with = row.line if in_call or there.address_id == row.address_id else there.line or ""
    _place(connection, row, standing, there.call_id, spoken_with, now)
    world = line.context(connection, service, door, now) if in_call else steps.context(service, door, now)
    facts = {"reachable": "no"} if in_call and there.address_id is None else {}
    sprint = steps.run(lambda: engine.carry_on(session, world, facts, proven=proven or safe, safe=safe))
    if given is not None and _command(service, row.language, given) in _OBEYED:
        sprint = _and_then(sprint, given, world)
    prompt = replace(sprint.prompt, texts=(*said, *sprint.prompt.texts))
    # What brought it here was a code, unless it is what she says.
    redact = sprint.redact or (inbound is not None and given is None)
    sprint = replace(sprint, prompt=prompt, redact=redact)
    turn = Turn(inbound, row.version, number=there.turn, call_id=there.call_id)
    document = steps.write(connection, service, door, standing, sprint, now, turn)
    if in_call:
        line.follow(connection, service, None, sprint, None, row.conversation_id)
    return document


def _and_then(sprint: Sprint, given: Input, world: Context) -> Sprint:
    """What came of an input right after a sprint; what that would have asked is not asked."""
    after = steps.run(lambda: engine.resume(sprint.session, given, world))
    return replace(after, events=sprint.events + after.events)


def _place(
    connection: Connection, row: AnyRow, standing: Standing, call_id: str | None, line: str, now: datetime
) -> None:
    """Where a talk is from now on. Its version is still the one that was read: the step that follows counts it."""
    moved = connection.execute(
        update(_conversation)
        .where(_conversation.c.id == row.conversation_id, _conversation.c.version == row.version)
        .values(
            channel=standing.channel,
            address_id=standing.address_id,
            attempt_id=standing.attempt_id,
            call_id=call_id,
            line=line,
            state="open",
            outcome=None,
            updated_at=now,
        )
    )
    if not moved.rowcount:
        raise ConflictError("the conversation was moved on by another writer")


def _hush(connection: Connection, conversation_id: str) -> None:
    """What a talk had still to say where it was stays unsaid."""
    said = select(_message.c.id).where(_message.c.conversation_id == conversation_id)
    connection.execute(
        update(_outbox)
        .where(_outbox.c.message_id.in_(said), _outbox.c.state.in_(("queued", "leased", "waiting")))
        .values(state="cancelled")
    )


def close(
    connection: Connection, gate: AnyRow, moved_to: str, now: datetime, turn: int | None = None
) -> None:
    """End the talk that only opened the door; another one goes on in its place, and in its call."""
    _hush(connection, gate.conversation_id)
    values: dict[str, object] = {} if turn is None else {"turn": turn}
    closed = connection.execute(
        update(_conversation)
        .where(_conversation.c.id == gate.conversation_id, _conversation.c.version == gate.version)
        .values(
            state="ended",
            outcome=Outcome.MOVED,
            moved_to=moved_to,
            call_id=None,
            timer_at=None,
            timer_kind=None,
            version=gate.version + 1,
            updated_at=now,
            **values,
        )
    )
    if not closed.rowcount:
        raise ConflictError("the conversation was moved on by another writer")


def _marked(connection: Connection, gate_id: str, moved_to: str) -> None:
    """The call is no longer the gate's."""
    connection.execute(
        update(_conversation).where(_conversation.c.id == gate_id).values(call_id=None, moved_to=moved_to)
    )


def carry_to_person(
    connection: Connection, service: Service, row: AnyRow, there: There, inbound: Inbound, now: datetime
) -> None:
    """A talk in which a person answers goes on there in the same hands."""
    _hush(connection, row.conversation_id)
    moved = connection.execute(
        update(_conversation)
        .where(_conversation.c.id == row.conversation_id, _conversation.c.version == row.version)
        .values(
            channel=there.channel,
            address_id=there.address_id,
            line=there.line or "",
            version=row.version + 1,
            heard_at=now,
            updated_at=now,
            timer_at=now + handoff.STAYS,
            timer_kind=handoff.RELEASE,
        )
    )
    if not moved.rowcount:
        raise ConflictError("the conversation was moved on by another writer")
    words = service.catalogs.tongue(row.language).text(phrases.GOES_ON_HERE)
    answer_beside(connection, service, load(connection, row.conversation_id), inbound, words, now)


def answer_beside(
    connection: Connection, service: Service, row: AnyRow, inbound: Inbound, words: str, now: datetime
) -> None:
    """Keep a message without what it proved, and answer it with a text that no flow knows."""
    thread = Thread(row.conversation_id, row.address_id, row.channel)
    heard = heard_row(service.sealer, thread, inbound, now, masked=True)
    answer = message_row(service.sealer, thread, "out", words, now)
    connection.execute(insert(_message), [heard, answer])
    letter = outbox.queue_row(str(answer["id"]), row.address_id, row.channel, now)
    connection.execute(insert(_outbox).values(**letter))


def _command(service: Service, language: str, given: Input) -> str | None:
    """The global word that a text is, or the sign of danger."""
    if not isinstance(given, Text):
        return None
    if normal(given.text) == "*":
        return "danger"
    tongue = service.catalogs.tongue(language)
    return service.library.words.command(given.text, tongue, service.catalogs)
