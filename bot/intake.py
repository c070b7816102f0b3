"""One inbound, one transaction: find the conversation, take one step of the flow, write what follows.

The channels hand in a verified :class:`~bot.messages.Inbound` and a way to render prompts; everything
that a message leads to (answers, cases, replies, callbacks) is written in the same transaction as the
message itself. The unique key (channel, event id) decides about duplicates, the version of the
conversation about two writers; the loser reads again. If the flow engine fails, the inbound alone is
kept, parked, and tried again by the clock.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

import structlog
from babel.languages import get_official_languages
from sqlalchemy import Connection, and_, bindparam, insert, literal_column, select, update
from sqlalchemy.exc import SQLAlchemyError

from bot import (
    arrivals,
    contacts,
    effects,
    handoff,
    language,
    links,
    moving,
    names,
    parked,
    safety,
    steps,
    threads,
    waiting,
    ways,
)
from bot.callbacks import dial, settle, wishes
from bot.contacts import Known, StopReason
from bot.effects import Standing
from bot.errors import ConflictError, EngineError, NotFound
from bot.flow import engine
from bot.flow.context import Locality, Sprint, nowhere
from bot.flow.events import HideRequested, StartRequested, UnsafeFlagged
from bot.ids import new_id
from bot.messages import (
    Address,
    AddressKind,
    Attention,
    Channel,
    HangUp,
    Inbound,
    Input,
    Keys,
    Signal,
    Text,
    Timeout,
)
from bot.safety import CALLBACK, PassWords
from bot.service import Service
from bot.steps import CONVERSATION_COLUMNS, INVITE, Door, Turn
from bot.storage.tables import AddressRow, Conversation, Message, Stop, table
from bot.storage.types import AnyRow, AnySelect
from bot.transcript import IS_KNOWN, is_duplicate, is_overtaken

log = structlog.get_logger()

_address = table(AddressRow)
_stop = table(Stop)
_conversation = table(Conversation)
_message = table(Message)

HOTLINE = "hotline"
WRITE = "write"
ASK_AGAIN: Final = Keys("#")
"""Answers nothing: the question of the moment is asked again."""
_LONGEST_PUT_OFF: Final = 300
"""Characters of a first message, with its closing, that may say only when she wants to be contacted."""
HANG_UP = "hangup"
"""The timer of a call that is over, after the time in which a last turn may still come."""

_THREAD: Final[AnySelect] = (
    select(
        _address.c.id.label("address_id"),
        _address.c.language.label("known_language"),
        _address.c.country,
        _stop.c.index.label("stop"),
        IS_KNOWN.label("duplicate"),
        *CONVERSATION_COLUMNS,
    )
    .outerjoin(_stop, _stop.c.index == _address.c.stop_index)
    .outerjoin(
        _conversation,
        and_(
            _conversation.c.address_id == _address.c.id,
            _conversation.c.channel == bindparam("channel"),
            _conversation.c.state.in_((literal_column("'open'"), literal_column("'human'"))),
            # A talk in writing never has a call. Asking for that as well lets PostgreSQL, as long as it has
            # no statistics, read all talks in writing by their empty call_id.
        ),
    )
    .where(_address.c.kind == bindparam("kind"), _address.c.index == bindparam("index"))
)


def receive(service: Service, door: Door, inbound: Inbound) -> bool:
    """Take one message; True if it was new. When this returns, the message is stored for good."""
    try:
        return _taken(service, door, inbound)
    except EngineError:
        return parked.park(service, inbound)


def _taken(service: Service, door: Door, inbound: Inbound) -> bool:
    """Take a message in. Raises :class:`EngineError` for whatever cannot be read on the way, as a callback of a later
    version: what she wrote is kept all the same. A database that is away, or too busy, is told to the provider."""
    try:
        return steps.retrying(lambda: _receive(service, door, inbound))
    except (EngineError, ConflictError, SQLAlchemyError):
        raise
    except Exception as error:  # the error's text may hold what no log may; its kind is enough
        log.error("message_not_taken", error=type(error).__name__)
        raise EngineError("the message could not be taken") from None


def wake(service: Service, door: Door, conversation_id: str) -> None:
    """A timer of a conversation fired: remind, expire, or take a silent call as over."""
    steps.retrying(lambda: _wake(service, door, conversation_id))


def invite(service: Service, door: Door, conversation_id: str) -> None:
    """A call is over in which the worker asked to be written to: a neutral text opens a talk in writing."""
    now = service.clock.now()
    with service.database.write() as connection:
        row = steps.load(connection, conversation_id)
        if row is None or row.timer_kind != INVITE:
            return
        connection.execute(
            update(_conversation)
            .where(_conversation.c.id == conversation_id)
            .values(timer_at=None, timer_kind=None)
        )
        if row.address_id is None or handoff.is_busy(connection, row.address_id, door.capabilities.channel):
            return
        facts = {"trigger": "message", "language": row.language, "language_known": "yes"}
        context = steps.context(service, door, now)
        sprint = steps.run(lambda: engine.start(service.library.get(WRITE), context, facts))
        standing = Standing(
            conversation_id=new_id(),
            channel=door.capabilities.channel,
            address_id=row.address_id,
            contact_id=row.contact_id,
            attempt_id=None,
            audit_id=row.audit_id,
            language=row.language,
            answers=0,
        )
        steps.write(connection, service, door, standing, sprint, now, Turn(None, None))


def open_text(service: Service, door: Door, attempt_id: str) -> bool:
    """Begin a callback in writing: its neutral opening goes out. False if the address is in a talk already, or if
    the attempt was taken away from a worker who stood still for too long.
    """
    now = service.clock.now()
    with service.database.write() as connection:
        row = safety.called(connection, attempt_id)
        if row is None:
            raise NotFound(f"there is no attempt {attempt_id}")
        if not dial.is_being_placed(connection, attempt_id):
            return False
        if handoff.is_busy(connection, row.address_id, row.channel):
            return False
        check = PassWords(service.sealer, [row])
        context = steps.context(service, door, now, check)
        sprint = steps.run(
            lambda: engine.start(service.library.get(CALLBACK), context, safety.facts(row, "callback"))
        )
        standing = Standing(
            conversation_id=new_id(),
            channel=Channel(row.channel),
            address_id=row.address_id,
            contact_id=None,
            attempt_id=attempt_id,
            audit_id=row.audit_id,
            language=sprint.session.language,
            answers=0,
        )
        steps.write(connection, service, door, standing, sprint, now, Turn(None, None, check=check))
    return True


def retry_parked(service: Service, door: Door, message_id: str) -> bool:
    """Try a parked message again; False if the engine still cannot take it."""
    return parked.take_again(service, message_id, lambda inbound: _taken(service, door, inbound))


def _receive(service: Service, door: Door, inbound: Inbound) -> bool:
    now = service.clock.now()
    if door.capabilities.threads:
        return _receive_in_thread(service, door, inbound, now)
    sender = inbound.sender
    if sender is None:
        raise EngineError("a message without a sender")
    with service.database.write() as connection:
        if sender.kind is AddressKind.WHATSAPP:
            sender = names.settle(connection, service.sealer, sender, inbound.also, now)
            inbound = replace(inbound, sender=sender)
        row = _thread(connection, service, sender, inbound)
        if row.duplicate if row is not None else is_duplicate(connection, inbound):
            return False
        if inbound.signal is Signal.BLOCKED:
            _shut_out(connection, service, inbound, sender, now)
            return True
        proved = _proved(connection, service, door, inbound, row, now)
        if proved is None:
            return True
        inbound = proved
        if row is not None and row.state == handoff.HUMAN:
            _keep_along(connection, service, row, inbound, now)
            handoff.take(connection, service, row, inbound, now, erases=door.capabilities.erases)
            if door.capabilities.window:
                waiting.end(connection, row.address_id, now)
            return True
        if row is not None and row.conversation_id is not None:
            _go_on(connection, service, door, inbound, row, now)
            return True
        known = (
            Known(row.address_id, row.known_language, row.country, row.stop is not None)
            if row is not None
            else contacts.remember(connection, service.sealer, sender, now, inbound.country)
        )
        if row is not None and _took_up(connection, service, door, inbound, known, now):
            return True
        if not _begin_put_off(connection, service, door, inbound, known, now, sure=True):
            _begin_thread(connection, service, door, inbound, known, now)
        if door.capabilities.window:
            waiting.end(connection, known.id, now)
    return True


def _receive_in_thread(service: Service, door: Door, inbound: Inbound, now: datetime) -> bool:
    """Take a message whose conversation is told by a token. Without a true one it begins a new conversation,
    which knows nothing, whoever the sender claims to be."""
    with service.database.write() as connection:
        if is_duplicate(connection, inbound):
            return False
        row = threads.conversation(connection, service.sealer, inbound.tokens)
        here = row is not None and row.channel == inbound.channel
        going_on = row is not None and here and row.state in ("open", handoff.HUMAN)
        known = (
            contacts.remember(connection, service.sealer, inbound.sender, now, inbound.country)
            if inbound.sender is not None and not going_on
            else None
        )
        to = row.address_id if row is not None and going_on else known.id if known else None
        attention = inbound.attention if to else Attention.FILE
        if attention is Attention.ANSWER and to and threads.is_talked_out(connection, door, to, now):
            attention = Attention.KEEP if going_on else Attention.FILE
        if attention is Attention.FILE or (attention is Attention.KEEP and row is not None):
            threads.keep(connection, service.sealer, replace(inbound, attention=attention), row, to, now)
            return True
        if attention is Attention.ANSWER:
            proved = _proved(connection, service, door, inbound, row if going_on else None, now)
            if proved is None:
                return True
            inbound = proved
        if row is not None and going_on and row.state == handoff.HUMAN:
            handoff.take(connection, service, row, inbound, now)
        elif row is not None and going_on:
            _go_on(connection, service, door, inbound, row, now)
        elif known is not None:
            if row is not None and _took_up(connection, service, door, inbound, known, now, row):
                return True
            # Who brings back the token of a talk that is over has read it: its language is no secret.
            known = replace(known, language=row.language if row is not None else None)
            silent = attention is Attention.KEEP
            if silent or not _begin_put_off(
                connection, service, door, inbound, known, now, sure=row is not None
            ):
                _begin_thread(connection, service, door, inbound, known, now, silent=silent)
    return True


def _proved(
    connection: Connection,
    service: Service,
    door: Door,
    inbound: Inbound,
    row: AnyRow | None,
    now: datetime,
) -> Inbound | None:
    """Look whether a message proves by digits who is there; None if it did, and everything is written.

    ``row`` is the address with the talk that is open on it, if any. On the stop list nothing is compared.
    """
    if links.entry(inbound.input) is None or inbound.sender is None:
        return inbound
    known = contacts.remember(connection, service.sealer, inbound.sender, now, inbound.country)
    if known.stopped:
        return inbound
    gate = row if row is not None and row.conversation_id is not None else None
    here = moving.There(inbound.channel, known.id, inbound.line, inbound.sender)
    proved = arrivals.in_writing(connection, service, door, inbound, here, gate, now)
    if proved is None and door.capabilities.window:
        waiting.end(connection, known.id, now)
    return proved


def _took_up(
    connection: Connection,
    service: Service,
    door: Door,
    inbound: Inbound,
    known: Known,
    now: datetime,
    thread: AnyRow | None = None,
) -> bool:
    """Whether a talk that waits here took the message. ``thread`` is the one that a token names."""
    if known.stopped:
        return False
    here = moving.There(inbound.channel, known.id, inbound.line, inbound.sender)
    named = thread.conversation_id if thread is not None else None
    taken = moving.take_up(connection, service, door, inbound, here, now, named)
    if taken and door.capabilities.window:
        waiting.end(connection, known.id, now)
    return taken


def _go_on(
    connection: Connection, service: Service, door: Door, inbound: Inbound, row: AnyRow, now: datetime
) -> None:
    """Take a message in the talk that is open, and let out what waited for one."""
    standing, session = steps.open_session(service, row, inbound.sender)
    standing = _came_along(connection, service, standing, inbound, now)
    if inbound.shared is not None:
        medium = _callback_medium(connection, service, inbound.sender, row.address_id)
        session = engine.learn(session, {"callback_medium": medium})
    given = _given(inbound, row.stop is not None) or ASK_AGAIN
    check = safety.pass_words_of(connection, service.sealer, row, now)
    place = partial(_place, connection, service, row.flow, standing, check, now)
    context = steps.context(service, door, now, check, place)
    windowed = door.capabilities.window
    unseen = windowed and waiting.is_unseen(connection, row.address_id, row.conversation_id)
    early = inbound.late and is_overtaken(connection, row.conversation_id, inbound.received_at)
    heard = steps.run(lambda: engine.overhear(session, given, context)) if unseen or early else None
    if heard is not None:
        steps.hear(connection, service, standing, inbound, heard, row.version, now)
        if windowed:
            waiting.end(connection, row.address_id, now)
        return
    sprint = steps.run(lambda: engine.resume(session, given, context))
    step = Turn(inbound, row.version, check=check)
    if moving.goes_on(sprint):
        moving.go_on(connection, service, door, row, standing, sprint, now, step)
    else:
        steps.write(connection, service, door, standing, sprint, now, step)
    if unseen:
        waiting.drop(connection, row.address_id, row.conversation_id)
    if windowed and not _hides(sprint):
        waiting.end(connection, row.address_id, now)


def _thread(connection: Connection, service: Service, sender: Address, inbound: Inbound) -> AnyRow | None:
    """The address with its open conversation, if any, and whether the message is a duplicate: one statement."""
    return connection.execute(
        _THREAD,
        {
            "kind": sender.kind,
            "index": service.sealer.address_index(sender),
            "channel": inbound.channel,
            "event_id": inbound.event_id,
        },
    ).one_or_none()


def _begin_thread(
    connection: Connection,
    service: Service,
    door: Door,
    inbound: Inbound,
    known: Known,
    now: datetime,
    *,
    silent: bool = False,
) -> None:
    """The first message of a conversation. ``silent``: a supervisor reads it, and nothing is answered."""
    spoken = known.language or _guess(service, inbound.input, known.country) or _hinted(service, inbound)
    facts = {
        "trigger": "message",
        "language": spoken or "en",
        "language_known": "yes" if spoken else "no",
        "callback_medium": _callback_medium(connection, service, inbound.sender, known.id),
    }
    facts |= {"country": known.country} if known.country else {}
    context = steps.context(service, door, now)
    first = _given(inbound, known.stopped)
    sprint = steps.run(lambda: engine.start(service.library.get(HOTLINE), context, facts, first=first))
    standing = _of_a_stranger(inbound, known, sprint.session.language)
    if known.stopped and not _lifts_stop(sprint):
        # Said stop, and writes again: it is kept and read by a person, but nothing is answered.
        sprint = replace(sprint, prompt=replace(sprint.prompt, texts=(), options=()))
    if silent:
        prompt = replace(sprint.prompt, texts=(), options=())
        events = (*sprint.events, threads.UNANSWERED)
        sprint = replace(sprint, prompt=prompt, events=events, timers=(), ended=True)
    standing = _came_along(connection, service, standing, inbound, now)
    steps.write(connection, service, door, standing, sprint, now, Turn(inbound, None))


def _of_a_stranger(inbound: Inbound, known: Known, language: str) -> Standing:
    """A conversation that begins with somebody of whom nothing but the address is known."""
    return Standing(
        conversation_id=new_id(),
        channel=inbound.channel,
        address_id=known.id,
        contact_id=None,
        attempt_id=None,
        audit_id=None,
        language=language,
        answers=0,
        address=inbound.sender,
    )


def _begin_put_off(
    connection: Connection,
    service: Service,
    door: Door,
    inbound: Inbound,
    known: Known,
    now: datetime,
    *,
    sure: bool,
) -> bool:
    """A worker whom we are to contact writes first, and only that another time is better, or which: the callback's
    own flow asks for her code and moves it, and no second one is made. True if that is what she wrote.

    ``sure`` says that the sender is who wrote. Where anybody can write any sender, only who has a code is asked.
    """
    said = inbound.input
    if known.stopped or inbound.signal is not None or inbound.card or not isinstance(said, Text):
        return False
    if len(said.text) > _LONGEST_PUT_OFF:
        return False
    expected = safety.awaiting(connection, known.id, now)
    if not expected or not (sure or expected[0].pass_word_digest):
        return False
    wish = _when(service, engine.above_closing(said.text), expected[0], known, now)
    if wish is None:
        return False
    place = safety.place_of(expected, None) or nowhere()
    facts = safety.facts(expected[0], "returned")
    context = steps.context(service, door, now, place=lambda: place)
    flow = service.library.get(CALLBACK)
    sprint = steps.run(lambda: engine.start(flow, context, facts, wish=wish or None))
    standing = _of_a_stranger(inbound, known, sprint.session.language)
    if not expected[0].pass_word_digest:
        settle.hold(connection, expected[0].contact_id, now, proven=False)
    steps.write(connection, service, door, standing, sprint, now, Turn(inbound, None))
    return True


def _when(service: Service, text: str, expected: AnyRow, known: Known, now: datetime) -> str | None:
    """The time that a text names and nothing else, empty for the word LATER, None for anything else."""
    local = now.astimezone(ZoneInfo(expected.timezone))
    for spoken in dict.fromkeys((expected.language, known.language or "en", "en")):
        tongue = service.catalogs.tongue(spoken)
        if service.library.words.command(text, tongue, service.catalogs) == "later":
            return ""
        words = service.library.times_in(spoken)
        wish = wishes.understand(text, words, local, expected.country)
        if wish is not None and wishes.is_only_time(text, words):
            return str(wish)
    return None


def _place(
    connection: Connection,
    service: Service,
    flow: str,
    standing: Standing,
    check: PassWords | None,
    now: datetime,
) -> Locality:
    """Where her clock is read: that of the callback that she moves, as soon as it is known whose it is."""
    if flow == CALLBACK and standing.attempt_id is None and standing.address_id:
        expected = check.expected if check is not None else safety.expected(connection, standing.address_id)
        her = (check.matched if check is not None else None) or standing.contact_id
        place = safety.place_of(expected, her)
        if place is not None:
            return place
    return effects.place_of(connection, service.sealer, standing, now)


def _callback_medium(
    connection: Connection, service: Service, sender: Address | None, address_id: str
) -> str:
    """How a callback that is asked for in this talk would come: as a call where we know a number of hers."""
    if sender is not None and sender.kind is AddressKind.PHONE:
        return "voice"
    return "voice" if contacts.given_phone(connection, service.sealer, address_id) else "text"


def _given(inbound: Inbound, stopped: bool) -> Input | None:
    """What the flow is to take, or None for what answers nothing.

    The button that opens a talk is the word START only for who said stop; a number that was handed over is
    no answer to a question.
    """
    if inbound.signal is Signal.SHARED or (inbound.signal is Signal.OPENED and not stopped):
        return None
    return inbound.input


def _came_along(
    connection: Connection, service: Service, standing: Standing, inbound: Inbound, now: datetime
) -> Standing:
    """What a message brings beside its words: the code of the worker's card, or a number of her own."""
    if inbound.card and standing.audit_id is None:
        standing = replace(standing, audit_id=effects.audit_of_card(connection, inbound.card))
    if inbound.shared is not None:
        standing = effects.with_contact(connection, standing, now)
        if standing.contact_id and standing.address_id:
            who, where = standing.contact_id, standing.address_id
            contacts.give_phone(connection, service.sealer, who, where, inbound.shared, now)
    return standing


def _keep_along(
    connection: Connection, service: Service, row: AnyRow, inbound: Inbound, now: datetime
) -> None:
    """The same in a talk that is in a person's hands."""
    if inbound.card or inbound.shared is not None:
        standing, _ = steps.open_session(service, row, inbound.sender)
        standing = _came_along(connection, service, standing, inbound, now)
        connection.execute(
            update(_conversation)
            .where(_conversation.c.id == row.conversation_id)
            .values(contact_id=standing.contact_id, audit_id=standing.audit_id)
        )


def _shut_out(
    connection: Connection, service: Service, inbound: Inbound, sender: Address, now: datetime
) -> None:
    """The worker told the provider to let nothing of ours through: that is a stop like any other."""
    known = contacts.remember(connection, service.sealer, sender, now, inbound.country)
    contacts.stop(connection, known.id, None, StopReason.PROVIDER, now)
    row_id = new_id()
    connection.execute(
        insert(_message).values(
            id=row_id,
            address_id=known.id,
            channel=inbound.channel,
            direction="in",
            event_id=inbound.event_id,
            body_sealed=service.sealer.seal_text(f"message.body_sealed:{row_id}", ""),
            status_rank=-1,
            created_at=now,
        )
    )


def _hinted(service: Service, inbound: Inbound) -> str | None:
    """The language of the worker's own telephone, where her words decide nothing.

    English decides nothing either: that is what telephones are sold with.
    """
    hint = language.match(inbound.language_hint) if inbound.language_hint else None
    return hint if hint != "en" and hint in service.catalogs.languages else None


def _guess(service: Service, given: Input, country: str | None) -> str | None:
    """The language of a first text if we can speak it, and its letters and words leave no doubt.

    What the words alone leave open (Indonesian or Malay?), the country of the number may decide.
    """
    if not isinstance(given, Text):
        return None
    guess = language.guess(given.text)
    official = get_official_languages(country) if country else ()
    sure = guess.decided or guess.best in official
    return guess.best if sure and guess.best in service.catalogs.languages else None


def _lifts_stop(sprint: Sprint) -> bool:
    return any(isinstance(event, StartRequested) for event in sprint.events)


def _hides(sprint: Sprint) -> bool:
    """Whether the worker just said that nothing telling may come to her screen now."""
    return any(isinstance(event, (HideRequested, UnsafeFlagged)) for event in sprint.events)


def _wake(service: Service, door: Door, conversation_id: str) -> None:
    now = service.clock.now()
    with service.database.write() as connection:
        row = steps.load(connection, conversation_id)
        if row is None or row.timer_at is None or row.timer_at > now:
            return
        if row.timer_kind == handoff.RELEASE:
            handoff.release(connection, conversation_id, now)
            return
        if row.state != "open" or row.timer_kind == ways.ASTRAY:
            return
        standing, session = steps.open_session(service, row, None)
        given: Input = HangUp() if row.timer_kind == HANG_UP else Timeout(row.sprint, row.timer_kind)
        sprint = steps.run(lambda: engine.resume(session, given, steps.context(service, door, now)))
        if door.capabilities.window and row.address_id is not None:
            sprint = _beside_what_waits(connection, service, row, sprint)
        steps.write(connection, service, door, standing, sprint, now, Turn(None, row.version))


def _beside_what_waits(connection: Connection, service: Service, row: AnyRow, sprint: Sprint) -> Sprint:
    """A question that waits to be seen needs no reminder beside it, and a talk that is over no question."""
    if sprint.ended:
        waiting.drop(connection, row.address_id, row.conversation_id)
        return sprint
    if not waiting.is_unseen(connection, row.address_id, row.conversation_id):
        return sprint
    sealer, name = service.sealer, sprint.session.sprint
    waiting.renew(connection, sealer, row.address_id, row.conversation_id, name)
    return replace(sprint, prompt=replace(sprint.prompt, texts=(), options=()))
