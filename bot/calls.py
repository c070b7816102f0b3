"""The telephone: a call begins, takes its turns, and is over.

Each turn's document is stored with it, so a repeated turn is answered with the same document.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, or_, select, update

from bot import (
    arrivals,
    contacts,
    effects,
    incidents,
    leads,
    line,
    links,
    media,
    moving,
    safety,
    steps,
    talks,
    transcript,
    transfers,
)
from bot.callbacks import settle
from bot.clock import wall_time
from bot.effects import Standing
from bot.errors import NotFound
from bot.flow import asker, engine, phrases
from bot.flow.context import Context, Sprint
from bot.flow.events import Outcome
from bot.flow.session import Session
from bot.ids import new_id
from bot.incidents import IncidentKind
from bot.intake import HANG_UP, HOTLINE
from bot.messages import Channel, Expects, HangUp, Inbound, Input, Keys, Prompt, Recording, Transferred
from bot.safety import CALLBACK, MISSED, PassWords
from bot.service import Service
from bot.steps import INVITE, Door, Place, Turn
from bot.storage.tables import Conversation, table
from bot.storage.types import AnyRow
from bot.transfers import TransferOutcome

_conversation = table(Conversation)

WHO_LEFT: Final = "who_left"
"""The timer of a call that came out of a talk with an agent: the provider is asked who left it first, because the
report that it was she, by the sign of danger, may be lost."""


def begin(service: Service, door: Door, inbound: Inbound, attempt_id: str | None) -> str:
    """Somebody is on the telephone: the first document. The same request again gets the same document.

    ``attempt_id`` names the attempt of a call that we placed. A call to the number that calls workers
    hears the neutral greeting if we ever had a reason to call this telephone; any other call is the hotline's.
    """
    return steps.retrying(lambda: _begin(service, door, inbound, attempt_id))


def take_turn(
    service: Service, door: Door, inbound: Inbound, conversation_id: str, turn: int, *, goes_on: bool = True
) -> str:
    """What was keyed, said or left out in one turn of a call: the next document.

    A repeated turn gives the document that it got before; a turn out of order gives the latest one. ``goes_on`` says
    that her call was not over when this was sent.
    """
    return steps.retrying(lambda: _take_turn(service, door, inbound, conversation_id, turn, goes_on=goes_on))


def latest_document(service: Service, call_id: str) -> str | None:
    """The last document of a call, to be said again after the provider could not reach us; None if unknown."""
    with service.database.read() as connection:
        row = connection.execute(
            select(_conversation.c.id, _conversation.c.turn).where(_conversation.c.call_id == call_id)
        ).one_or_none()
        if row is None:
            return None
        return transcript.document(connection, service.sealer, Channel.VOICE, f"{call_id}:{row.turn}")


def hang_up(service: Service, door: Door, conversation_id: str) -> None:
    """A call is over for good: the flow learns it, and the attempt is settled."""
    steps.retrying(lambda: _hang_up(service, door, conversation_id))


def over(service: Service, call_id: str) -> str | None:
    """The provider says that a call to us ended; gives the attempt that it belongs to, if any.

    Without one, the flow learns it a little later, because a last turn may still be on its way.
    """
    now = service.clock.now()
    with service.database.write() as connection:
        transfers.call_over(connection, call_id, now, wall_time())
        columns = (_conversation.c.id, _conversation.c.attempt_id, _conversation.c.timer_kind)
        row = connection.execute(
            select(*columns).where(_conversation.c.call_id == call_id, _conversation.c.state == "open")
        ).one_or_none()
        if row is not None and row.attempt_id is None and row.timer_kind != WHO_LEFT:
            _hang_up_soon(connection, row.id, now)
        return row.attempt_id if row is not None else None


def danger_in_talk(service: Service, door: Door, transfer_id: str, call_id: str) -> None:
    """The worker gave the sign of danger in her talk with an agent, which took her out of it: her talk is over, her
    call gets a neutral goodbye, nobody contacts her again, and a supervisor looks at once.

    ``call_id`` is the call that left; nothing happens if it is not the worker's. Safe to repeat.
    """
    steps.retrying(lambda: _danger_in_talk(service, door, transfer_id, call_id))


def know_who_left(service: Service, conversation_id: str, *, is_over: bool) -> None:
    """The provider has said who left a talk first: it is not asked again. Safe to repeat. ``is_over`` is what it says of
    her call: a report of that is heard of here, if it came before this."""
    now = service.clock.now()
    with service.database.write() as connection:
        row = moving.load(connection, conversation_id)
        if row.timer_kind != WHO_LEFT:
            return
        if row.state == "open" and is_over:
            _hang_up_soon(connection, conversation_id, now)
        else:
            moving.wait_on(connection, service, row, now)
        # Who asked to be written to after the call waited for this.
        connection.execute(
            update(_conversation)
            .where(
                _conversation.c.id == conversation_id,
                _conversation.c.state == "ended",
                _conversation.c.invited,
            )
            .values(timer_at=now, timer_kind=INVITE, timer_lease=None)
        )


def keep_recording(service: Service, inbound: Inbound, conversation_id: str, recording: Recording) -> None:
    """Speech is fetched and kept, whatever becomes of its turn. Raises :class:`NotFound` for another call's.

    It does not stand for its turn, which may come later and bring the sign of danger with it; only if the
    call ends without that turn is the speech taken as the answer (:func:`hang_up`).
    """
    steps.retrying(lambda: _keep_recording(service, inbound, conversation_id, recording))


def break_off(service: Service, inbound: Inbound, conversation_id: str | None) -> Prompt:
    """The flow engine failed in a call: what was recorded is kept, the operator is told, the caller hears a
    neutral goodbye in the language of the call."""
    now = service.clock.now()
    language = "en"
    with service.database.write() as connection:
        row = steps.load(connection, conversation_id) if conversation_id else None
        if row is not None:
            language = row.language
            if isinstance(inbound.input, Recording):
                media.expect_recording(connection, row.conversation_id, inbound.input.ref, now)
        incidents.report(connection, IncidentKind.PARKED, conversation_id or "call", now)
    return Prompt((service.catalogs.tongue(language).text(phrases.WRONG_TIME),), language)


def _begin(service: Service, door: Door, inbound: Inbound, attempt_id: str | None) -> str:
    now = service.clock.now()
    with service.database.write() as connection:
        document = transcript.document(connection, service.sealer, inbound.channel, inbound.event_id)
        if document is not None:
            return document
        call = _call_of(connection, service, inbound, attempt_id, now)
        context = line.context(connection, service, door, now, call.check)
        sprint = steps.run(lambda: engine.start(service.library.get(call.flow), context, call.facts))
        standing = replace(call.standing, language=sprint.session.language)
        if attempt_id:
            settle.answered(connection, attempt_id, _call_id(inbound), now, wall_time())
        document = steps.write(
            connection,
            service,
            door,
            standing,
            sprint,
            now,
            Turn(inbound, None, number=0, call_id=_call_id(inbound), check=call.check),
        )
        line.follow(connection, service, None, sprint, None, standing.conversation_id)
        if attempt_id and asker.is_led(sprint.session):
            leads.bind(connection, attempt_id, standing.conversation_id)
        return document


@dataclass(frozen=True, slots=True)
class _Call:
    """What a call that begins is about."""

    flow: str
    facts: dict[str, str] = field(repr=False)
    standing: Standing = field(repr=False)
    check: PassWords | None = field(repr=False)


def _call_of(
    connection: Connection, service: Service, inbound: Inbound, attempt_id: str | None, now: datetime
) -> _Call:
    standing = Standing(
        conversation_id=new_id(),
        channel=Channel.VOICE,
        address_id=None,
        contact_id=None,
        attempt_id=attempt_id,
        audit_id=None,
        language="en",
        answers=0,
        address=inbound.sender,
    )
    if attempt_id is not None:
        row = safety.called(connection, attempt_id)
        if row is None:
            raise NotFound(f"there is no attempt {attempt_id}")
        standing = replace(standing, address_id=row.address_id, audit_id=row.audit_id)
        if row.kind == MISSED:
            return _returned(connection, service, standing, row.address_id, now)
        check = PassWords(service.sealer, [row])
        led = {asker.LED: asker.AGENT} if leads.is_led(connection, attempt_id) else {}
        return _Call(CALLBACK, safety.facts(row, "callback") | led, standing, check)
    if inbound.sender is None:
        facts = _hotline_facts(None, inbound.country) | {"reachable": "no"}
        facts |= _may_have_code(connection, service, inbound.line, now)
        return _Call(HOTLINE, facts, standing, None)
    known = contacts.remember(connection, service.sealer, inbound.sender, now, inbound.country)
    standing = replace(standing, address_id=known.id)
    trigger = "call"
    if inbound.line in service.settings.twilio_voice_from:
        check = safety.returned(connection, service.sealer, known.id, now)
        if check.expected:
            facts = safety.facts(safety.present(check.expected, now), "returned")
            return _Call(CALLBACK, facts, standing, check)
        # Whoever returns a call of ours need not be the one whom we called: the greeting is as neutral.
        trigger = "missed" if safety.has_rung(connection, known.id) else trigger
    facts = _hotline_facts(known.language, known.country, trigger)
    facts |= _may_have_code(connection, service, inbound.line, now)
    return _Call(HOTLINE, facts, standing, None)


def _returned(
    connection: Connection, service: Service, standing: Standing, address_id: str, now: datetime
) -> _Call:
    """We return a missed call: as the callback of the worker whose telephone it is, which waits for her elsewhere and
    takes place here once she has given her pass-word, or else as the hotline."""
    her = safety.alone(connection, address_id, now)
    if her is not None:
        check = safety.returned(connection, service.sealer, address_id, now)
        return _Call(CALLBACK, safety.facts(her, "callback"), standing, check)
    known = contacts.known(connection, address_id)
    return _Call(HOTLINE, _hotline_facts(known.language, known.country, "missed"), standing, None)


def _may_have_code(connection: Connection, service: Service, number: str, now: datetime) -> dict[str, str]:
    """Whether a caller is asked for a code: where one was shown that is still good, and on the numbers from
    which we call workers, because one of them may call from another telephone."""
    asks = number in service.settings.twilio_voice_from or links.any_open(connection, now)
    return {"code_open": "yes"} if asks else {}


def _hotline_facts(spoken: str | None, country: str | None, trigger: str = "call") -> dict[str, str]:
    facts = {
        "trigger": trigger,
        "language": spoken or "en",
        "language_known": "yes" if spoken else "no",
    }
    return facts | ({"country": country} if country else {})


def _take_turn(
    service: Service, door: Door, inbound: Inbound, conversation_id: str, turn: int, *, goes_on: bool
) -> str:
    now = service.clock.now()
    with service.database.write() as connection:
        document = _document_for(connection, service, door, inbound, conversation_id, turn, now)
        if goes_on and inbound.input is Transferred.TALKED:
            _ask_who_left(connection, conversation_id, now)
        return document


def _ask_who_left(connection: Connection, conversation_id: str, now: datetime) -> None:
    if not transfers.has_talked(connection, conversation_id):
        return
    connection.execute(
        update(_conversation)
        .where(
            _conversation.c.id == conversation_id,
            or_(_conversation.c.outcome.is_(None), _conversation.c.outcome != Outcome.UNSAFE),
        )
        .values(timer_at=now, timer_kind=WHO_LEFT, timer_lease=None)
    )


def _document_for(
    connection: Connection,
    service: Service,
    door: Door,
    inbound: Inbound,
    conversation_id: str,
    turn: int,
    now: datetime,
) -> str:
    row = steps.load_turn(connection, conversation_id, inbound)
    call_id = _call_id(inbound)
    if row is None:
        raise NotFound("a turn of a call that is not known")
    document = transcript.document_of(service.sealer, row)
    if document is not None:
        # Also of a conversation that has left this call since, for another one.
        return document
    if row.call_id != call_id:
        raise NotFound("a turn of a call that is not known")
    if row.state != "open" or turn != row.turn + 1:
        return _out_of_order(connection, service, door, row, inbound, turn)
    standing, session = steps.open_session(service, row, inbound.sender)
    check = safety.pass_words_of(connection, service.sealer, row, now)
    here = moving.There(
        Channel.VOICE, row.address_id, inbound.line, inbound.sender, call_id=call_id, turn=turn
    )
    taken = arrivals.in_call(connection, service, door, inbound, here, row, session, now)
    if isinstance(taken, str):
        return taken
    inbound = taken
    context = line.context(connection, service, door, now, check)
    given = line.confirmed(connection, conversation_id, inbound.input)
    if asker.is_led(session):
        beside = _beside_agent(connection, service, door, row, session, given, now)
        if isinstance(beside, str):
            return beside
        session, ask = beside
        sprint = steps.run(lambda: ask(session, given, context))
    else:
        sprint = steps.run(lambda: engine.resume(session, given, context))
    wait = _to_agent(service, door, row, sprint, turn)
    step = Turn(inbound, row.version, number=turn, call_id=call_id, check=check, document=wait)
    if moving.goes_on(sprint):
        return moving.go_on(connection, service, door, row, standing, sprint, now, step)
    document = steps.write(connection, service, door, standing, sprint, now, step)
    line.follow(connection, service, session, sprint, given, conversation_id)
    if sprint.ended:
        moving.put_back(connection, conversation_id)
    elif row.timer_kind == HANG_UP:
        _hang_up_soon(connection, conversation_id, now)
    return document


def _out_of_order(
    connection: Connection, service: Service, door: Door, row: AnyRow, inbound: Inbound, turn: int
) -> str:
    """What a call hears in a turn that the flow does not take: what it heard last, or a farewell where the conversation
    has ended beside it."""
    if isinstance(inbound.input, Recording):
        media.expect_recording(connection, row.conversation_id, inbound.input.ref, service.clock.now())
    if turn > row.turn and _is_over_beside(connection, row):
        return _farewell(connection, service, door, row)
    last = f"{row.call_id}:{row.turn}"
    return transcript.document(connection, service.sealer, inbound.channel, last) or ""


def _is_over_beside(connection: Connection, row: AnyRow) -> bool:
    """Whether the conversation of a call has ended beside it: by the agent who led it, or by the worker's sign of danger
    in a talk."""
    if row.state == "open":
        return False
    led = leads.of_conversation(connection, row.conversation_id) is not None
    return led or transfers.has_talked(connection, row.conversation_id)


def _beside_agent(
    connection: Connection,
    service: Service,
    door: Door,
    row: AnyRow,
    session: Session,
    given: Input,
    now: datetime,
) -> str | tuple[Session, _Ask]:
    """A turn of a call that an agent leads, or is to lead: the document, where nothing is asked of the flow, or the
    session with what takes the turn.

    Before the gate it is as in any call, as long as the agent is there. Past it the worker's keys mean nothing but
    danger, and the end of the conference is the end of her call; if she never met the agent, the system asks.
    """
    there = leads.is_led(connection, row.attempt_id)
    if not session.safe:
        return (session if there else engine.learn(session, {asker.LED: asker.SYSTEM})), engine.resume
    if isinstance(given, Keys) and "*" in given.digits:
        return session, engine.resume
    if not (there or transfers.has_talked(connection, row.conversation_id)):
        return session, lambda held, _given, context: asker.without(held, context)
    if isinstance(given, Transferred) or not there:
        transfers.leave_line(connection, row.conversation_id, TransferOutcome.TALKED, now, wall_time())
        return _farewell(connection, service, door, row)
    return _wait(service, door, row, row.turn + 1)


_Ask = Callable[[Session, Input, Context], Sprint]


def _to_agent(service: Service, door: Door, row: AnyRow, sprint: Sprint, turn: int) -> str | None:
    """The document by which a worker who has passed the gate comes to the agent who waits for her, if one does:
    what is asked then, the agent asks."""
    led = asker.is_led(sprint.session) and sprint.session.safe and not sprint.ended
    return _wait(service, door, row, turn + 1) if led else None


def _wait(service: Service, door: Door, row: AnyRow, turn: int) -> str:
    tongue = service.catalogs.tongue(row.language)
    prompt = Prompt((tongue.text(phrases.PLEASE_WAIT),), tongue.language, Expects.PERSON)
    return door.render(prompt, Place(row.conversation_id, turn, ended=False))[0].text


def _farewell(connection: Connection, service: Service, door: Door, row: AnyRow) -> str:
    """The last document of a call whose conversation has ended beside it."""
    outcome = select(_conversation.c.outcome).where(_conversation.c.id == row.conversation_id)
    words = asker.farewell(connection.execute(outcome).scalar_one())
    tongue = service.catalogs.tongue(row.language)
    prompt = Prompt((tongue.text(words),), tongue.language)
    return door.render(prompt, Place(row.conversation_id, 0, ended=True))[0].text


def _hang_up(service: Service, door: Door, conversation_id: str) -> None:
    now = service.clock.now()
    with service.database.write() as connection:
        row = steps.load(connection, conversation_id)
        if row is None or row.state != "open":
            return
        standing, session = steps.open_session(service, row, None)
        context = steps.context(service, door, now)
        last = _last_input(connection, service, conversation_id, session)
        sprint = steps.run(lambda: _last_sprint(session, context, last))
        steps.write(connection, service, door, standing, sprint, now, Turn(None, row.version))
        line.follow(connection, service, session, sprint, HangUp(), conversation_id)
        moving.put_back(connection, conversation_id)


def _danger_in_talk(service: Service, door: Door, transfer_id: str, call_id: str) -> None:
    now = service.clock.now()
    with service.database.write() as connection:
        conversation_id = transfers.talk_of(connection, transfer_id, call_id)
        row = steps.load(connection, conversation_id) if conversation_id else None
        if row is None:
            return
        if row.state != "open":
            _danger_after_all(connection, row, now)
            return
        standing, session = steps.open_session(service, row, None)
        context = steps.context(service, door, now)
        sprint = steps.run(lambda: asker.conclude(session, Outcome.UNSAFE, context))
        steps.write(connection, service, door, standing, sprint, now, Turn(None, row.version))
        transfers.leave_line(connection, row.conversation_id, TransferOutcome.TALKED, now, wall_time())


def _danger_after_all(connection: Connection, row: AnyRow, now: datetime) -> None:
    """The sign is heard of when its conversation has ended: the turn that follows her leaving was quicker, or her agent
    has said how the talk ended. What she is to be spared does not depend on that."""
    talks.danger(connection, row.conversation_id, now)
    connection.execute(
        update(_conversation)
        .where(_conversation.c.id == row.conversation_id)
        # Who asked to be written to is not: it may be read by whoever she is in danger from.
        .values(outcome=Outcome.UNSAFE, timer_at=None, timer_kind=None)
    )
    if row.attempt_id is not None:
        settle.was_unsafe(connection, row.attempt_id, now)


def _keep_recording(service: Service, inbound: Inbound, conversation_id: str, recording: Recording) -> None:
    with service.database.write() as connection:
        row = steps.load(connection, conversation_id)
        if row is None or row.call_id != _call_id(inbound):
            raise NotFound("a recording of a call that is not known")
        media.expect_recording(connection, conversation_id, recording.ref, service.clock.now())


def _hang_up_soon(connection: Connection, conversation_id: str, now: datetime) -> None:
    """A call is over, also if a turn of it comes only now: its flow learns it, once no other can come any more."""
    connection.execute(
        update(_conversation)
        .where(_conversation.c.id == conversation_id)
        .values(timer_at=now + settle.GRACE, timer_kind=HANG_UP)
    )


def _last_input(
    connection: Connection, service: Service, conversation_id: str, session: Session
) -> Input | None:
    """What happened in a call after its last turn: a talk with an agent, or an answer whose recording was
    reported but whose turn never came."""
    if line.is_in_line(service, session):
        return Transferred.TALKED if transfers.has_talked(connection, conversation_id) else None
    unheard = effects.unheard_recording(connection, conversation_id)
    # How long it is will be known when it is fetched; that it is not empty is enough here.
    return Recording(unheard, 1) if unheard is not None else None


def _last_sprint(session: Session, context: Context, last: Input | None) -> Sprint:
    """The end of a call, after what happened last in it."""
    if last is None:
        return engine.resume(session, HangUp(), context)
    before = engine.resume(session, last, context)
    if before.ended:
        return before
    over = engine.resume(before.session, HangUp(), context)
    return replace(over, events=before.events + over.events)


def _call_id(inbound: Inbound) -> str:
    return inbound.event_id.rpartition(":")[0]
