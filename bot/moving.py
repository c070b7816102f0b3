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

from sqlalchemy import Connection, exists, insert, or_, select, update

from bot import contacts, handoff, incidents, line, links, outbox, safety, steps, ways
from bot.callbacks.claim import adopt_returned
from bot.cases import opening
from bot.clock import wall_time
from bot.contacts import How
from bot.effects import Standing
from bot.errors import ConflictError, NotFound
from bot.flow import engine, phrases
from bot.flow.context import Sprint
from bot.flow.events import ContinueRequested, Ended, Outcome
from bot.flow.model import Kind
from bot.flow.session import Session
from bot.flow.words import normal
from bot.ids import new_id
from bot.incidents import IncidentKind
from bot.links import Code, Proof
from bot.messages import Address, Channel, Inbound, Input, Keys, Text
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
from bot.storage.types import AnyRow
from bot.transcript import MASK, Thread, heard_row, keep_parts, message_row

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


# --- digits that prove something ----------------------------------------------------------------


def prove(
    connection: Connection,
    service: Service,
    door: Door,
    inbound: Inbound,
    here: There,
    gate: AnyRow | None,
    now: datetime,
) -> Inbound | None:
    """Take a message in writing that may be a code or a pass-word from elsewhere.

    None if it was taken: then everything is written. Else the message as the flow is to take it, in which no
    pass-word is left. ``gate`` is the talk that is open here.
    """
    entry = links.entry(inbound.input)
    if entry is None or here.address_id is None:
        return inbound
    if isinstance(entry, Code):
        return _by_code(connection, service, door, inbound, here, gate, entry, now)
    proven = links.prove(connection, service.sealer, entry, here.address_id, now)
    if proven is None:
        return inbound
    # What follows the card's number is, or was meant to be, a pass-word: it goes no further than this.
    seen = replace(inbound, input=Text(entry.card), parts=())
    if proven.contact_id is None:
        return seen
    contacts.join(connection, proven.contact_id, here.address_id, How.PASS_WORD, now)
    if gate is not None and not _only_opened(connection, service, gate):
        return seen
    adopted = _adopt(connection, proven.contact_id, here, now)
    if adopted is None:
        return seen
    begun = new_id()
    if gate is not None:
        _close(connection, gate, begun, now)
    _begin_callback(connection, service, door, here, adopted, begun, now, inbound=inbound)
    return None


def keyed(
    connection: Connection,
    service: Service,
    door: Door,
    inbound: Inbound,
    gate: AnyRow,
    session: Session,
    here: There,
    now: datetime,
) -> str | Inbound:
    """The same for digits keyed in a call, at the questions that ask for them.

    Gives the document with which the call goes on elsewhere, or the turn as the flow is to take it.
    """
    entry = links.entry(inbound.input)
    if entry is None or session.step not in links.ASKED_AT:
        return inbound
    place = here.address_id or gate.conversation_id
    begun, document = None, None
    if isinstance(entry, Proof):
        proven = links.prove(connection, service.sealer, entry, place, now)
        seen = replace(inbound, input=Keys(entry.card))
        if proven is None or proven.contact_id is None or not _only_opened(connection, service, gate):
            return seen
        if here.address_id:
            contacts.join(connection, proven.contact_id, here.address_id, How.PASS_WORD, now)
        adopted = _adopt(connection, proven.contact_id, here, now)
        if adopted is None:
            return seen
        begun = new_id()
        _close(connection, gate, begun, now, turn=here.turn)
        document = _begin_callback(connection, service, door, here, adopted, begun, now)
    else:
        row = _shown(connection, service, entry, place, now)
        # A mistyped code may be tried again; after too many wrong ones the questions go on.
        may_try = links.may_try(connection, service.sealer, place)
        seen = (
            inbound
            if session.step == "card_number"
            else replace(inbound, input=Keys("#" if may_try else "0"))
        )
        if row is None or not _can_move(row, here) or not _only_opened(connection, service, gate):
            return seen
        if not links.spend(connection, service.sealer, entry, now):
            return seen
        row = _linked(connection, row, here, now)
        _close(connection, gate, row.conversation_id, now, turn=here.turn)
        # She was asked in this very call if it is safe: the question for digits stands behind that.
        document = _carry(connection, service, door, row, here, now, safe=True)
    _keep_turn(connection, service, gate, inbound, document, now)
    return document


def _by_code(
    connection: Connection,
    service: Service,
    door: Door,
    inbound: Inbound,
    here: There,
    gate: AnyRow | None,
    code: Code,
    now: datetime,
) -> Inbound | None:
    row = _shown(connection, service, code, here.address_id or "", now)
    if row is None or (row.address_id == here.address_id and row.channel == here.channel):
        return inbound
    if not links.spend(connection, service.sealer, code, now):
        return inbound
    row = _linked(connection, row, here, now)
    if not _can_move(row, here) or (gate is not None and not _only_opened(connection, service, gate)):
        return _only_link(connection, service, door, inbound, gate, now)
    if gate is not None:
        _close(connection, gate, row.conversation_id, now)
    if row.state == handoff.HUMAN:
        _carry_to_person(connection, service, row, here, inbound, now)
    else:
        _carry(connection, service, door, row, here, now, inbound=inbound, proven=True)
    return None


def _shown(connection: Connection, service: Service, code: Code, place: str, now: datetime) -> AnyRow | None:
    """The talk in which a good code was shown; a wrong one is counted."""
    if not links.may_try(connection, service.sealer, place):
        return None
    found = links.conversation_of(connection, service.sealer, code, now)
    if found is None:
        links.was_wrong(connection, service.sealer, place)
        return None
    return steps.load(connection, found)


def _linked(connection: Connection, row: AnyRow, here: There, now: datetime) -> AnyRow:
    """The person of the talk has this address too; without a contact she becomes one."""
    contact_id = row.contact_id
    if contact_id is None:
        contact_id = contacts.new_contact(
            connection, row.address_id, now, how=How.SELF, language=row.language
        )
        connection.execute(
            update(_conversation)
            .where(_conversation.c.id == row.conversation_id)
            .values(contact_id=contact_id)
        )
    if here.address_id:
        contacts.join(connection, contact_id, here.address_id, How.CODE, now)
    # The row is held by this transaction now; what another one wrote before that is seen.
    return _loaded(connection, row.conversation_id)


def _can_move(row: AnyRow, here: There) -> bool:
    """Whether a talk in writing can go on there. One with a person does not go on in a call."""
    if row.channel == Channel.VOICE:
        return False
    if row.state == handoff.HUMAN:
        return here.call_id is None
    return row.state == "open" or row.outcome in safety.PUT_OFF


def _only_opened(connection: Connection, service: Service, gate: AnyRow) -> bool:
    """Whether nothing was said in a talk yet but what opens any talk: language, safety, consent."""
    gate = _loaded(connection, gate.conversation_id)
    if gate.state != "open" or gate.attempt_id is not None:
        return False
    if connection.execute(select(exists().where(_case.c.conversation_id == gate.conversation_id))).scalar():
        return False
    flow = service.library.get(gate.flow, gate.revision)
    opening_steps = [
        step.id
        for step in flow.steps.values()
        if step.safety or step.consent or (step.ask is not None and step.ask.kind is Kind.LANGUAGE)
    ] + [links.ASKED_BEFORE]
    said = select(_answer.c.id).where(
        _answer.c.conversation_id == gate.conversation_id, _answer.c.question.not_in(opening_steps)
    )
    return connection.execute(said.limit(1)).first() is None


def _only_link(
    connection: Connection,
    service: Service,
    door: Door,
    inbound: Inbound,
    gate: AnyRow | None,
    now: datetime,
) -> Inbound | None:
    """The addresses are linked, and nothing moves: what is open here, or begins, goes on."""
    if gate is None:
        return replace(inbound, input=Text(MASK), parts=())
    words = service.catalogs.tongue(gate.language).text(phrases.LINKED)
    if gate.state == handoff.HUMAN:
        _answer_beside(connection, service, gate, inbound, words, now)
        return None
    standing, session = steps.open_session(service, gate, inbound.sender)
    context = steps.context(service, door, now, safety.pass_words_of(connection, service.sealer, gate))
    sprint = steps.run(lambda: engine.resume(session, Keys("#"), context))
    prompt = replace(sprint.prompt, texts=(words, *sprint.prompt.texts))
    sprint = replace(sprint, prompt=prompt, redact=True)
    steps.write(connection, service, door, standing, sprint, now, Turn(inbound, gate.version))
    return None


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
    if row is None or not (row.state == "open" or _is_put_off(service, row)):
        return steps.write(connection, service, door, standing, _finished(service, sprint), now, turn)
    said = sprint.prompt.texts
    silent = replace(sprint, prompt=replace(sprint.prompt, texts=(), options=()))
    here = There(standing.channel, row.address_id, None, standing.address, turn.call_id, turn.number)
    if turn.call_id is None:
        here = replace(here, address_id=standing.address_id, line=gate.line)
        steps.write(connection, service, door, standing, silent, now, turn)
        _marked(connection, gate.conversation_id, row.conversation_id)
        attempt_id = standing.attempt_id
        return _carry(connection, service, door, row, here, now, attempt_id=attempt_id, said=said, safe=True)
    _marked(connection, gate.conversation_id, row.conversation_id)
    document = _carry(
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
    return _loaded(connection, found) if found else None


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
    row = _loaded(connection, conversation_id)
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
    row = _loaded(connection, named) if named else _waiting_at(connection, here)
    if row is None or row.state == handoff.HUMAN:
        return False
    if row.channel == Channel.VOICE and row.state == "open":
        _keep_beside_call(connection, service, row, inbound, here, now)
        return True
    if row.state == "ended" and (not _is_put_off(service, row) or row.updated_at <= now - WAITS):
        return False
    # She wrote herself, so no opening is needed that asks if the time is good.
    _carry(connection, service, door, row, here, now, inbound=inbound, proven=True, given=inbound.input)
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
        row = _loaded(connection, conversation_id)
        if row.timer_kind != ways.ASTRAY:
            return
        found = ways.others(connection, conversation_id, tuple(doors)) if row.state == "open" else []
        free = [way for way in found if not handoff.is_busy(connection, way.address_id, way.channel)]
        if not free:
            incidents.report(connection, IncidentKind.DELIVERY, f"{row.channel} no_other_way", now)
            _wait_on(connection, service, row, now)
            return
        way = free[0]
        there = There(way.channel, way.address_id)
        _carry(connection, service, doors[way.channel], row, there, now, contact_id=way.contact_id)


def _wait_on(connection: Connection, service: Service, row: AnyRow, now: datetime) -> None:
    """Nothing goes out, and she may still write: the talk ends when its flow says."""
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


def _loaded(connection: Connection, conversation_id: str) -> AnyRow:
    return connection.execute(select(*_COLUMNS).where(_conversation.c.id == conversation_id)).one()


def _is_put_off(service: Service, row: AnyRow) -> bool:
    """Whether a talk that is over for now stopped in the middle, and can go on."""
    if row.state != "ended" or row.outcome not in safety.PUT_OFF:
        return False
    return engine.is_unfinished(steps.open_session(service, row, None)[1])


def _carry(
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
        begun = sprint
        sprint = steps.run(lambda: engine.resume(begun.session, given, world))
        sprint = replace(sprint, events=begun.events + sprint.events)
    prompt = replace(sprint.prompt, texts=(*said, *sprint.prompt.texts))
    # What brought it here was a code, unless it is what she says.
    redact = sprint.redact or (inbound is not None and given is None)
    sprint = replace(sprint, prompt=prompt, redact=redact)
    turn = Turn(inbound, row.version, number=there.turn, call_id=there.call_id)
    document = steps.write(connection, service, door, standing, sprint, now, turn)
    if in_call:
        line.follow(connection, service, None, sprint, None, row.conversation_id)
    return document


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


def _close(
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


def _keep_turn(
    connection: Connection, service: Service, gate: AnyRow, inbound: Inbound, document: str, now: datetime
) -> None:
    """The turn in which digits proved something: a repeated one gets the same document."""
    thread = Thread(gate.conversation_id, gate.address_id, gate.channel)
    row = heard_row(service.sealer, thread, inbound, now, masked=True)
    row["reply_sealed"] = service.sealer.seal_text(f"message.reply_sealed:{row['id']}", document)
    connection.execute(insert(_message).values(**row))


def _carry_to_person(
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
    _answer_beside(connection, service, _loaded(connection, row.conversation_id), inbound, words, now)


def _answer_beside(
    connection: Connection, service: Service, row: AnyRow, inbound: Inbound, words: str, now: datetime
) -> None:
    """Keep a message without what it proved, and answer it with a text that no flow knows."""
    thread = Thread(row.conversation_id, row.address_id, row.channel)
    heard = heard_row(service.sealer, thread, inbound, now, masked=True)
    answer = message_row(service.sealer, thread, "out", words, now)
    connection.execute(insert(_message), [heard, answer])
    letter = outbox.queue_row(str(answer["id"]), row.address_id, row.channel, now)
    connection.execute(insert(_outbox).values(**letter))


# --- a callback that takes place here -------------------------------------------------------------


def _adopt(connection: Connection, contact_id: str, here: There, now: datetime) -> str | None:
    """The attempt in which her scheduled callback takes place now; None if none is scheduled."""
    found = adopt_returned(connection, contact_id, here.call_id, now, wall_time(), channel=here.channel)
    return found[0] if found is not None else None


def _begin_callback(
    connection: Connection,
    service: Service,
    door: Door,
    here: There,
    attempt_id: str,
    conversation_id: str,
    now: datetime,
    *,
    inbound: Inbound | None = None,
) -> str:
    """The callback's talk begins behind the pass-word, which was given; gives the document, on the telephone."""
    worker = safety.called(connection, attempt_id)
    if worker is None:
        raise NotFound(f"there is no attempt {attempt_id}")
    facts = safety.facts(worker, "proved")
    context = steps.context(service, door, now)
    sprint = steps.run(lambda: engine.start(service.library.get(safety.CALLBACK), context, facts))
    standing = Standing(
        conversation_id=conversation_id,
        channel=here.channel,
        address_id=here.address_id,
        contact_id=worker.contact_id,
        attempt_id=attempt_id,
        audit_id=worker.audit_id,
        language=sprint.session.language,
        answers=0,
        address=here.address,
    )
    turn = Turn(inbound, None, number=here.turn, call_id=here.call_id)
    return steps.write(connection, service, door, standing, replace(sprint, redact=True), now, turn)


def _command(service: Service, language: str, given: Input) -> str | None:
    """The global word that a text is, or the sign of danger."""
    if not isinstance(given, Text):
        return None
    if normal(given.text) == "*":
        return "danger"
    tongue = service.catalogs.tongue(language)
    return service.library.words.command(given.text, tongue, service.catalogs)
